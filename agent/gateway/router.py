"""Where a session is, and asking its device (L1, L7, L8): every request about a session passes here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec import Raw

from agent.errors import Forbidden, SessionNotFound
from agent.links.patience import PatientCalls
from agent.links.peers import Peers
from agent.links.rules.results import read_result
from agent.ports import Channel, Clock
from agent.presence.rules.registry import Registry, Where
from agent.protocol.model import DeviceId, SessionId
from agent.protocol.waiting import Patient, as_sent
from agent.trust.rules.rights import CHANGES

T = TypeVar("T")
LOOK = 0.2
"""Seconds between two looks whether a session that nobody knows has been told of."""


class Router:
    """Finds sessions for clients; a gateway reaches those of this device and nothing else: one hop, no loops."""

    def __init__(
        self,
        registry: Registry,
        peers: Peers,
        calls: PatientCalls,
        name_of: Callable[[DeviceId], str],
        *,
        clock: Clock,
        hosted: Callable[[str], bool],
        may_prompt_others: bool,
    ) -> None:
        """`hosted` tells whether this device has had a session of that id, closed ones included.

        `may_prompt_others`: whether programs inside sessions may use other devices (T9).
        """
        self._registry = registry
        self._peers = peers
        self._calls = calls
        self._name_of = name_of
        self._clock, self._hosted = clock, hosted
        self._may_prompt_others = may_prompt_others
        self._inside: dict[Channel, SessionId] = {}  # clients that a program of that session is

    # --- who asks ----------------------------------------------------------------------------------------------------

    def comes_from_inside(self, channel: Channel, session: SessionId) -> None:
        """That client is a program that runs in a session here: it may not act elsewhere in the owner's name (T9)."""
        if not self._may_prompt_others:
            self._inside[channel] = session

    def refuse_inside(self, channel: Channel, method: str) -> None:
        """Raise Forbidden for a client that runs in a session (T9)."""
        if (session := self._inside.get(channel)) is not None:
            raise Forbidden(
                f"{method}: a program inside a session ({session}) may not act on other devices or for a person",
                hint="run it in a terminal of your own; `sessions.may_prompt_others = true` allows it",
            )

    def drop(self, channel: Channel) -> None:
        """A client is gone."""
        self._inside.pop(channel, None)

    # --- where a session is ------------------------------------------------------------------------------------------

    def here(self, channel: Channel, selector: str) -> str:
        """The id of a session of this device: a client's selector is resolved, a gateway's was by its own."""
        if channel.device is not None:
            return selector
        try:
            return self._registry.find_session(selector).session or selector
        except SessionNotFound:
            return selector  # perhaps one that was closed: the sessions say so

    def elsewhere(self, channel: Channel, selector: str) -> Where | None:
        """Where a session is that a client means, if it is on another device. Raises: Ambiguous."""
        if channel.device is not None:
            return None
        try:
            where = self._registry.find_session(selector)
        except SessionNotFound:
            return None
        return None if where.local else where

    # --- asking its device -------------------------------------------------------------------------------------------

    async def found(self, channel: Channel, asked: Patient) -> Where | None:
        """As `elsewhere`; just after the start of this service, once the devices were reached that may have it (L8)."""
        where = self.elsewhere(channel, asked.session_id)
        while where is None and asked.wait != 0 and self._unknown(channel, asked.session_id):
            await self._clock.sleep(LOOK)
            where = self.elsewhere(channel, asked.session_id)
        return where

    def _unknown(self, channel: Channel, selector: str) -> bool:
        if channel.device is not None or not self._peers.settling():
            return False
        try:
            self._registry.find_session(selector)
        except SessionNotFound:
            return not self._hosted(selector)
        return False

    async def forward(self, channel: Channel, method: str, asked: Patient) -> Raw | None:
        """The answer of the session's device; None if the session is not elsewhere.

        Raises: as `PatientCalls.call`, Forbidden, SessionNotFound, RemoteFault (it is no answer).
        """
        where = await self.found(channel, asked)
        if where is None:
            return None
        if method in CHANGES:
            self.refuse_inside(channel, method)

        async def ask(session: SessionId) -> Raw:
            raw = await self._peers.call(where.device, method, as_sent(asked, session), again=False)
            read_result(raw, method, self._name_of(where.device))
            return raw

        return await self.ask_there(channel, where, method, asked, ask)

    async def ask_there(
        self,
        channel: Channel,
        where: Where,
        method: str,
        asked: Patient,
        ask: Callable[[SessionId], Awaitable[T]],
    ) -> T:
        """What `ask` gives for the whole id of a session elsewhere, as soon as its device is reached (L8)."""

        async def once() -> T:
            return await ask(await self.whole(where, asked.session_id))

        return await self._calls.call(channel, where.device, method, asked, once)

    async def whole(self, where: Where, selector: str) -> SessionId:
        """The whole id of a session elsewhere. Raises: SessionNotFound, and as `Peers.link`."""
        if where.session is None:
            # Known from a record only, by the first characters of its id: the device's own list has the whole.
            link = await self._peers.link(where.device)
            await link.feed.known.wait()
            where = self._registry.find_session(selector)
        if where.session is None:
            raise SessionNotFound(f"no session {selector!r} on {self._name_of(where.device)}")
        return where.session

    def cancel(self, channel: Channel, call_id: str) -> None:
        """A client takes a request of its own back (L8)."""
        self._calls.cancel(channel, call_id)
