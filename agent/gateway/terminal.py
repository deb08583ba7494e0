"""`terminal.*`: the terminal of a session, here or on another device (docs/design/terminal.md)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from agent.errors import Forbidden, SessionNotFound
from agent.gateway.router import Router
from agent.links.proxy import Proxy
from agent.ports import Channel, Followed
from agent.protocol.codec import typed
from agent.protocol.messages import Nothing
from agent.protocol.model import DeviceId, SessionId
from agent.protocol.terminal import (
    TerminalAttach,
    TerminalDetach,
    TerminalInput,
    TerminalResize,
    TerminalTaken,
    typed_bytes,
)
from agent.sessions.host import Sessions
from agent.terminals.hosted import HostedTerminals
from agent.trust.access import AccessControl


class TerminalMethods:
    """Answers them."""

    def __init__(
        self,
        own: DeviceId,
        router: Router,
        *,
        sessions: Sessions,
        proxy: Proxy,
        access: AccessControl,
    ) -> None:
        self._own = own
        self._access = access
        self._relays = proxy.terminals
        self._sessions, self._terminals = sessions, HostedTerminals(sessions)
        self._router = router

    def table(self) -> Mapping[str, Callable[[Channel, Any], Awaitable[object]]]:
        """Method -> handler."""
        return {
            "terminal.attach": self._attach,
            "terminal.input": self._input,
            "terminal.resize": self._resize,
            "terminal.detach": self._detach,
        }

    def taken(self, channel: Channel, params: Raw) -> None:
        """`terminal.taken`, of a client or of a gateway: whichever watches that terminal. Raises: Undescribed."""
        told = typed(params, TerminalTaken)
        self._relays.taken(channel, told)
        self._terminals.taken(channel, told)

    def rights_changed(self) -> None:
        """Somebody may do more or less than before."""
        self._terminals.rights_changed()

    def drop(self, channel: Channel) -> None:
        """A channel is gone."""
        self._terminals.drop(channel)

    async def _attach(self, channel: Channel, asked: TerminalAttach) -> object:
        where = await self._router.found(channel, asked)
        if where is not None:
            steers = True
            try:
                self._router.refuse_inside(channel, "terminal.input")
            except Forbidden:
                steers = False  # it may look (T9)

            async def attach(session: SessionId) -> Followed:
                return await self._relays.attach(channel, where.device, session, asked, steers=steers)

            return await self._router.ask_there(channel, where, "terminal.attach", asked, attach)
        session = self._session(channel, asked.session_id)
        asked = msgspec.structs.replace(asked, session_id=session)

        def may_type() -> bool:
            share = self._sessions.index.find(session).share
            if channel.device is not None and not self._access.of(channel.device).sees(session, share):
                raise SessionNotFound(f"no session {session!r} on that device")
            return self._access.may(channel.device, "terminal.input", share)

        return await self._terminals.attach(channel, channel.device or self._own, asked, steers=may_type)

    async def _input(self, channel: Channel, asked: TerminalInput) -> object:
        data = typed_bytes(asked)
        where = self._router.elsewhere(channel, asked.session_id)
        if where is not None:
            self._router.refuse_inside(channel, "terminal.input")
            await self._relays.type(channel, await self._router.whole(where, asked.session_id), data)
        else:
            await self._terminals.type(channel, self._session(channel, asked.session_id), data)
        return Nothing()

    async def _resize(self, channel: Channel, asked: TerminalResize) -> object:
        where = self._router.elsewhere(channel, asked.session_id)
        if where is not None:
            self._router.refuse_inside(channel, "terminal.resize")
            await self._relays.resize(channel, await self._router.whole(where, asked.session_id), asked)
        else:
            session = self._session(channel, asked.session_id)
            self._terminals.resize(channel, msgspec.structs.replace(asked, session_id=session))
        return Nothing()

    async def _detach(self, channel: Channel, asked: TerminalDetach) -> object:
        where = self._router.elsewhere(channel, asked.session_id)
        if where is not None:
            self._relays.detach(channel, await self._router.whole(where, asked.session_id))
        else:
            self._terminals.detach(channel, self._session(channel, asked.session_id))
        return Nothing()

    def _session(self, channel: Channel, selector: str) -> SessionId:
        return self._sessions.index.find(self._router.here(channel, selector)).id
