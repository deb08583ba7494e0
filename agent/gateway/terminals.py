"""`terminal.*`: the terminal of a session, here or on another device (docs/design/terminal.md)."""

from __future__ import annotations

from msgspec import Raw, structs

from agent.errors import SessionNotFound
from agent.gateway.forwarder import Forwarder, There
from agent.gateway.guard import InsideGuard
from agent.gateway.routes import Caller, Routes, SessionRoute
from agent.links.proxy import Proxy
from agent.ports import Channel
from agent.protocol.codec import typed
from agent.protocol.messages import Nothing
from agent.protocol.methods import TERMINAL_ATTACH, TERMINAL_DETACH, TERMINAL_INPUT, TERMINAL_RESIZE
from agent.protocol.model import SessionId
from agent.protocol.terminal import (
    TerminalAttach,
    TerminalAttached,
    TerminalDetach,
    TerminalInput,
    TerminalResize,
    TerminalTaken,
    typed_bytes,
)
from agent.sessions.host import Sessions
from agent.terminals.hosted import HostedTerminals
from agent.trust.access import AccessControl

TERMINAL = "terminal"
"""Which client of its device somebody uses who types on a terminal."""


class TerminalHandlers:
    """Handlers of requests about terminals."""

    def __init__(
        self, *, sessions: Sessions, proxy: Proxy, access: AccessControl, forwarder: Forwarder, guard: InsideGuard
    ) -> None:
        self._sessions = sessions
        self._terminals = HostedTerminals(sessions)
        self._relays = proxy.terminals
        self._access = access
        self._forwarder = forwarder
        self._guard = guard

    def routes(self) -> Routes:
        """List the handlers of requests about terminals, each with its method."""
        return (
            SessionRoute(TERMINAL_ATTACH, self.attach, self.attach_there),
            SessionRoute(TERMINAL_INPUT, self.type, self.type_there),
            SessionRoute(TERMINAL_RESIZE, self.resize, self.resize_there),
            SessionRoute(TERMINAL_DETACH, self.detach, self.detach_there),
        )

    def taken(self, channel: Channel, params: Raw) -> None:
        """Take `terminal.taken` of a client or of a gateway, whichever watches that terminal. Raises: Undescribed."""
        notification = typed(params, TerminalTaken)
        self._relays.taken(channel, notification)
        self._terminals.taken(channel, notification)

    def rights_changed(self) -> None:
        """Ask for every viewer's rights anew: a device may do more or less than before."""
        self._terminals.rights_changed()

    def drop(self, channel: Channel) -> None:
        """Detach a channel that is gone from every terminal."""
        self._terminals.drop(channel)

    # --- of this device ----------------------------------------------------------------------------------------------

    async def attach(self, session: SessionId, request: TerminalAttach, caller: Caller) -> TerminalAttached:
        """Show the terminal; whoever may not type there may look."""
        other = caller.channel.device

        def may_type() -> bool:
            share = self._sessions.index.find(session).share
            if other is not None and not self._access.of(other).sees(session, share):
                raise SessionNotFound(f"no session {session!r} on that device")
            return self._access.may(other, TERMINAL_INPUT.right, share)

        request = structs.replace(request, session_id=session)
        return await self._terminals.attach(caller.channel, caller.device, request, steers=may_type)

    async def type(self, session: SessionId, request: TerminalInput, caller: Caller) -> Nothing:
        """Type on the terminal. Raises: BadParams, TooLarge, Busy."""
        await self._terminals.type(caller.channel, caller.sender(TERMINAL), session, typed_bytes(request))
        return Nothing()

    async def resize(self, session: SessionId, request: TerminalResize, caller: Caller) -> Nothing:
        """Note the size of the viewer's window. Raises: BadParams."""
        self._terminals.resize(caller.channel, structs.replace(request, session_id=session))
        return Nothing()

    async def detach(self, session: SessionId, request: TerminalDetach, caller: Caller) -> Nothing:
        """Show the terminal no more."""
        self._terminals.detach(caller.channel, session)
        return Nothing()

    # --- of another device -------------------------------------------------------------------------------------------

    async def attach_there(self, there: There, request: TerminalAttach, caller: Caller) -> object:
        """Show a terminal elsewhere; a client inside a session may only look (T9)."""
        steers = not self._guard.holds(caller.channel)

        async def attach(session: SessionId) -> object:
            return await self._relays.attach(caller.channel, there.device, session, request, steers=steers)

        return await self._forwarder.ask(caller.channel, there, TERMINAL_ATTACH, request, attach)

    async def type_there(self, there: There, request: TerminalInput, caller: Caller) -> Nothing:
        """Type on a terminal elsewhere. Raises: BadParams, TooLarge, and as `Peers.call`."""
        data = typed_bytes(request)
        await self._relays.type(caller.channel, await self._forwarder.whole(there), data)
        return Nothing()

    async def resize_there(self, there: There, request: TerminalResize, caller: Caller) -> Nothing:
        """Tell the device the size of the viewer's window. Raises: as `Peers.call`."""
        await self._relays.resize(caller.channel, await self._forwarder.whole(there), request)
        return Nothing()

    async def detach_there(self, there: There, request: TerminalDetach, caller: Caller) -> Nothing:
        """Show a terminal elsewhere no more."""
        self._relays.detach(caller.channel, await self._forwarder.whole(there))
        return Nothing()
