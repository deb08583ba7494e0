"""Finds the device that has a session, and forwards requests to it (L1, L7, L8)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from msgspec import Raw, Struct

from agent.errors import Ambiguous, DeviceNotFound, PeerLost, PeerUnreachable, SessionNotFound
from agent.links.patience import PatientCalls
from agent.links.peers import Peers
from agent.links.rules.peer_results import read_result
from agent.links.survey import Survey
from agent.ports import Channel, Clock
from agent.presence.rules.registry import Registry
from agent.protocol.messages import CreateSession
from agent.protocol.methods import SESSION_PAST, Method
from agent.protocol.model import DeviceId, SessionId
from agent.protocol.transcripts import ListPast
from agent.protocol.waiting import Patient, as_sent
from agent.sessions.index import HostedIndex

T = TypeVar("T")
LOOK = 0.2
"""Seconds between two looks whether an unknown session has become known."""


class Here(Struct, frozen=True):
    """The place of a session of this device, live or closed."""

    session: SessionId


class There(Struct, frozen=True):
    """The place of a session of another device."""

    device: DeviceId
    session: SessionId | None  # None: only the first characters of its id are known here
    selector: str  # by which the client named it


class Forwarder:
    """Finds sessions for clients; other gateways reach only those of this device: one hop, no loops."""

    def __init__(self, *, registry: Registry, index: HostedIndex, peers: Peers, survey: Survey, clock: Clock) -> None:
        self._registry = registry
        self._index = index
        self._peers = peers
        self._survey = survey
        self._clock = clock
        self._calls = PatientCalls(peers, clock, name_of=registry.name_of, row_of=registry.device)

    # --- where a session is ------------------------------------------------------------------------------------------

    def find(self, channel: Channel, selector: str) -> Here | There:
        """The place of the session that a client names. Raises: SessionNotFound, Ambiguous."""
        if channel.device is not None:
            return Here(SessionId(selector))  # `AccessControl.admit` has found it
        try:
            where = self._registry.find_session(selector)
        except SessionNotFound as unknown:
            try:
                return Here(self._index.find(self._of_own(selector)).id)  # one that was closed is in no list
            except SessionNotFound:
                raise unknown from None  # it says what was perhaps meant, on any device
        if where.local and where.session is not None:
            return Here(where.session)
        return There(where.device, where.session, selector)

    def _of_own(self, selector: str) -> str:
        # What follows this device's own name in a selector; else all of it.
        name, slash, rest = selector.partition("/")
        try:
            return rest if slash and rest and self._registry.find_device(name) == self._registry.own else selector
        except (DeviceNotFound, Ambiguous):
            return selector

    async def locate(self, channel: Channel, request: Any) -> Here | There:
        """The place of a request's session, as `find` gives it.

        Just after the start of this service a request that may wait does so until the devices were reached that may
        have the session (L8).
        """
        waits = isinstance(request, Patient) and request.wait != 0
        while True:
            try:
                return self.find(channel, request.session_id)
            except SessionNotFound as exc:
                if not waits or not self._peers.settling():
                    return await self._locate_past(channel, request.session_id, exc)
            await self._clock.sleep(LOOK)

    async def _locate_past(self, channel: Channel, selector: str, unknown: SessionNotFound) -> There:
        # One that was closed on another device: only that one knows of it.
        if channel.device is not None:
            raise unknown
        name, slash, rest = selector.partition("/")
        devices, named = self._survey.devices(), selector
        if slash and rest:
            try:
                devices, named = [self._registry.find_device(name)], rest
            except (DeviceNotFound, Ambiguous):
                raise unknown from None
        answers = await self._survey.ask(
            [each for each in devices if each != self._registry.own], SESSION_PAST, ListPast(named=named)
        )
        found = [(each.device, row) for each in answers.given for row in each.result.sessions]
        if len(found) > 1:
            told = ", ".join(f"{row.id} on {device.name}" for device, row in found)
            raise Ambiguous(f"several sessions match {selector!r}: {told}", hint="give the id")
        if found:
            ((device, row),) = found
            return There(device.id, row.id, selector)
        for each in answers.failed:
            if isinstance(each.error, Ambiguous):
                raise each.error
        away = [each.device.name for each in answers.failed if isinstance(each.error, PeerUnreachable | PeerLost)]
        if not away:
            raise unknown
        hint = f"see `agent sessions --all`; which sessions of {', '.join(away)} are over only shows when it is back"
        raise SessionNotFound(str(unknown), hint=hint)

    async def whole(self, there: There) -> SessionId:
        """The whole id of a session of another device. Raises: SessionNotFound, and as `Peers.link`."""
        if there.session is not None:
            return there.session
        # Known from a record only, by the first characters of its id: the device's own list has the whole.
        link = await self._peers.link(there.device)
        await link.feed.known.wait()
        session = self._registry.find_session(there.selector).session
        if session is None:
            raise SessionNotFound(f"no session {there.selector!r} on {self._registry.name_of(there.device)}")
        return session

    # --- forwarding --------------------------------------------------------------------------------------------------

    async def forward(self, channel: Channel, there: There, method: Method[Any, Any], request: Patient) -> Raw:
        """Forward a request to the session's device; returns its raw result, to pass on.

        Raises: as `PatientCalls.call`, SessionNotFound, RemoteFault (the result does not fit the method).
        """

        async def ask(session: SessionId) -> Raw:
            raw = await self._peers.call(there.device, method, as_sent(request, session), again=False)
            read_result(raw, method, self._registry.name_of(there.device))
            return raw

        return await self.ask(channel, there, method, request, ask)

    async def ask(
        self,
        channel: Channel,
        there: There,
        method: Method[Any, Any],
        request: Patient,
        ask: Callable[[SessionId], Awaitable[T]],
    ) -> T:
        """The result of `ask` for the whole id of a session, once its device is reached (L8)."""

        async def once() -> T:
            return await ask(await self.whole(there))

        return await self._calls.call(channel, there.device, method.name, request, once)

    async def reach(self, channel: Channel, device: DeviceId, method: Method[Any, Any], request: CreateSession) -> None:
        """Return once a device is linked, as long as the request waits for it (L8). Raises: as `PatientCalls.call`."""

        async def linked() -> None:
            return

        await self._calls.call(channel, device, method.name, request, linked)

    def cancel(self, channel: Channel, call_id: str) -> None:
        """Take back a request of a client, at its wish (L8)."""
        self._calls.cancel(channel, call_id)
