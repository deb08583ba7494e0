"""The methods of the wire: from a decoded request to the service that answers it (DESIGN §3).

One table for clients of this device (control socket) and for gateways (links). A gateway reaches the sessions hosted
here and nothing else: one hop, no loops (L7).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from agent.errors import AgentError, Ambiguous, Forbidden, MethodNotFound, SessionNotFound
from agent.gateway.consent import Consent
from agent.gateway.lists import Lists
from agent.gateway.router import Router
from agent.gateway.terminal import TerminalMethods
from agent.gateway.trust import TrustMethods
from agent.links.patience import PatientCalls
from agent.links.peers import Peers
from agent.links.proxy import Proxy
from agent.ports import Channel, Clock, Followed
from agent.presence.rules.registry import Registry
from agent.protocol.codec import typed
from agent.protocol.messages import (
    AnswerRequest,
    Attach,
    Configure,
    Created,
    CreateSession,
    Detach,
    History,
    Interrupt,
    Nothing,
    OnSession,
    Rename,
    SessionLost,
    StatusReport,
    Submit,
)
from agent.protocol.methods import LOCAL_ONLY, METHODS
from agent.protocol.model import DeviceId, Sender, SessionId
from agent.protocol.waiting import CancelCall
from agent.sessions.host import Sessions
from agent.trust.access import AccessControl

STREAMING = frozenset(
    {"session.attach", "terminal.attach", "session.watch", "peer.watch", "audit.watch", "device.pair"}
)
"""Methods whose answer is only the beginning: they need a WebSocket."""

TRUST = frozenset({"device.pair", "device.join", "device.unpair", "device.leave", "device.limit", "session.share"})
GUARDED = TRUST | {"request.answer", "session.configure"}
"""Methods that no program inside a session may call by default: an agent must not allow itself things (T9)."""

ON_THAT_DEVICE = "run the command on that device"

Handler = Callable[[Channel, Any], Awaitable[object]]


class Methods:
    """Answers every request. Implements `ports.MessageHandler`."""

    def __init__(
        self,
        *,
        own: DeviceId,
        name_of: Callable[[DeviceId], str],
        registry: Registry,
        lists: Lists,
        access: AccessControl,
        consent: Consent,
        sessions: Sessions,
        peers: Peers,
        proxy: Proxy,
        clock: Clock,
        trust: TrustMethods,
        status: Callable[[], StatusReport],
        more: Mapping[str, Handler],
        may_prompt_others: bool = False,
    ) -> None:
        """`more`: methods that other modules answer, by name.

        `may_prompt_others`: whether programs inside sessions may use other devices (T9).
        """
        self._name_of = name_of
        self._own = own
        self._registry = registry
        self._access = access
        self._sessions = sessions
        self._proxy, self._status = proxy, status
        calls = PatientCalls(peers, clock, name_of=name_of, row_of=registry.device)
        self._router = Router(
            registry, peers, calls, name_of, clock=clock, hosted=self._hosted, may_prompt_others=may_prompt_others
        )
        self._terminals = TerminalMethods(own, self._router, sessions=sessions, proxy=proxy, access=access)
        self._table: dict[str, Handler] = {
            "peer.list": lists.peer_list,
            "peer.watch": lists.peer_watch,
            "session.list": lists.session_list,
            "session.watch": lists.session_watch,
            "session.share": self._changes_rights(consent.share),
            "device.limit": self._changes_rights(consent.limit),
            "audit.list": consent.audit,
            "audit.watch": consent.audit_watch,
            "session.create": self._create,
            "session.attach": self._attach,
            "session.detach": self._detach,
            "session.close": self._close,
            "session.rename": self._rename,
            "session.configure": self._configure,
            "session.interrupt": self._interrupt,
            "session.history": self._history,
            "session.participants": self._participants,
            "prompt.submit": self._submit,
            "request.answer": self._answer,
            "device.pair": trust.pair,
            "device.join": trust.join,
            "device.windows": trust.windows,
            "device.unpair": trust.unpair,
            "device.leave": trust.leave,
            "device.list": trust.devices,
            "gateway.status": self._gateway_status,
            **self._terminals.table(),
            **more,
        }

    def on_request(self, channel: Channel, method: str, params: Raw) -> Awaitable[object]:
        """Answer one request. Raises: MethodNotFound, Forbidden, Undescribed at once; AgentError when awaited."""
        handler = self._table.get(method)
        if handler is None:
            raise MethodNotFound(f"no method {method!r}")
        if channel.device is not None and method in LOCAL_ONLY:
            raise Forbidden(f"{method} is not for other devices")
        if method in GUARDED:
            self._router.refuse_inside(channel, method)
        asked: Any = typed(params, METHODS[method])
        if channel.device is not None:
            asked = self._access.admit(channel.device, method, asked)
        return handler(channel, asked)

    def connecting(self, device: DeviceId) -> None:
        """Another device opens a connection. Raises: Busy."""
        self._access.connecting(device)

    def comes_from_inside(self, channel: Channel, session: SessionId) -> None:
        """That client is a program that runs in a session here: it may not act elsewhere in the owner's name (T9)."""
        self._router.comes_from_inside(channel, session)

    def on_notification(self, channel: Channel, method: str, params: Raw, frame: bytes) -> None:
        """Take what a linked gateway tells; of a client how far it is, and which request it takes back."""
        if method == "terminal.taken":
            self._terminals.taken(channel, params)
        elif method == "request.cancel":
            self._router.cancel(channel, typed(params, CancelCall).call_id)
        elif channel.device is not None:
            self._proxy.on_notification(channel.device, method, params, frame)

    def on_closed(self, channel: Channel) -> None:
        """A channel watches nothing any more."""
        self._router.drop(channel)
        self._sessions.drop(channel)
        self._terminals.drop(channel)
        self._proxy.drop(channel)

    # --- sessions ----------------------------------------------------------------------------------------------------

    async def _create(self, channel: Channel, asked: CreateSession) -> object:
        if channel.device is None and asked.device:
            device = self._registry.find_device(asked.device)
            if device != self._own:
                self._router.refuse_inside(channel, "session.create")
                if asked.share != "all":
                    raise Forbidden("only a session of this device can be private from the start", hint=ON_THAT_DEVICE)
                return await self._proxy.create(device, asked)
        return Created(await self._sessions.create(asked, self._sender(channel)))

    async def _attach(self, channel: Channel, asked: Attach) -> object:
        where = await self._router.found(channel, asked)
        if where is not None:

            async def attach(session: SessionId) -> Followed:
                return await self._proxy.attach(channel, where.device, session, asked)

            return await self._router.ask_there(channel, where, "session.attach", asked, attach)
        asked = msgspec.structs.replace(asked, session_id=self._router.here(channel, asked.session_id))
        attached = await self._sessions.attach(channel, channel.device or self._own, asked)
        return Followed(attached, lambda: self._catch_up(channel, attached.session_id))

    async def _catch_up(self, channel: Channel, session: SessionId) -> None:
        # What goes wrong with one session ends no connection: others are watched over it.
        try:
            await self._sessions.catch_up(channel, session)
        except AgentError as exc:
            self._sessions.detach(channel, session)
            channel.notify("session.lost", SessionLost(session_id=session, reason=str(exc)))

    async def _detach(self, channel: Channel, asked: Detach) -> object:
        where = self._router.elsewhere(channel, asked.session_id)
        if where is not None:
            if where.session is not None:  # else it never was attached
                self._proxy.detach(channel, where.session)
        else:
            self._sessions.detach(channel, self._router.here(channel, asked.session_id), asked.viewers)
        return Nothing()

    async def _close(self, channel: Channel, asked: OnSession) -> object:
        if (answer := await self._router.forward(channel, "session.close", asked)) is not None:
            return answer
        await self._sessions.close(self._router.here(channel, asked.session_id), self._sender(channel))
        return Nothing()

    async def _rename(self, channel: Channel, asked: Rename) -> object:
        if (answer := await self._router.forward(channel, "session.rename", asked)) is not None:
            return answer
        await self._sessions.rename(self._router.here(channel, asked.session_id), asked.title, self._sender(channel))
        return Nothing()

    async def _configure(self, channel: Channel, asked: Configure) -> object:
        if (answer := await self._router.forward(channel, "session.configure", asked)) is not None:
            return answer
        session = self._router.here(channel, asked.session_id)
        await self._sessions.configure(session, asked.option, asked.value, self._sender(channel))
        return Nothing()

    async def _interrupt(self, channel: Channel, asked: Interrupt) -> object:
        if (answer := await self._router.forward(channel, "session.interrupt", asked)) is not None:
            return answer
        self._sessions.interrupt(self._router.here(channel, asked.session_id), self._sender(channel), asked.turn)
        return Nothing()

    async def _history(self, channel: Channel, asked: History) -> object:
        try:
            if (answer := await self._router.forward(channel, "session.history", asked)) is not None:
                return answer
        except SessionNotFound:
            # A closed session is in no list; its log is still here.
            return await self._sessions.history(asked)
        asked = msgspec.structs.replace(asked, session_id=self._router.here(channel, asked.session_id))
        return await self._sessions.history(asked)

    async def _participants(self, channel: Channel, asked: OnSession) -> object:
        if (answer := await self._router.forward(channel, "session.participants", asked)) is not None:
            return answer
        return self._sessions.get(self._router.here(channel, asked.session_id)).log.viewers.participants()

    async def _submit(self, channel: Channel, asked: Submit) -> object:
        if (answer := await self._router.forward(channel, "prompt.submit", asked)) is not None:
            return answer
        asked = msgspec.structs.replace(asked, session_id=self._router.here(channel, asked.session_id))
        return await self._sessions.submit(asked, self._sender(channel, asked.client))

    async def _answer(self, channel: Channel, asked: AnswerRequest) -> object:
        if (answer := await self._router.forward(channel, "request.answer", asked)) is not None:
            return answer
        asked = msgspec.structs.replace(asked, session_id=self._router.here(channel, asked.session_id))
        return await self._sessions.answer(asked, self._sender(channel, asked.client))

    # --- this device -------------------------------------------------------------------------------------------------

    async def _gateway_status(self, channel: Channel, asked: Nothing) -> object:
        return self._status()

    def _changes_rights(self, handler: Handler) -> Handler:
        async def handled(channel: Channel, asked: Any) -> object:
            answer = await handler(channel, asked)
            self._terminals.rights_changed()
            return answer

        return handled

    def _hosted(self, selector: str) -> bool:
        try:
            self._sessions.index.find(selector)
        except SessionNotFound:
            return False
        except Ambiguous:
            return True
        return True

    def _sender(self, channel: Channel, client: str = "") -> Sender:
        # S7: the device whose key authenticated the connection, whatever the message claims.
        device = channel.device or self._own
        return Sender(device=device, name=self._name_of(device), client=client)
