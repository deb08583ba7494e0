"""From a request that was read to the handler that answers it, by its row in `protocol.methods` (DESIGN §3).

One table of routes for clients of this device (control socket) and for gateways (links). A gateway reaches the sessions
hosted here and nothing else: one hop, no loops (L7).
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

from msgspec import Raw

from agent.errors import AgentError, Forbidden, MethodNotFound, NotPaired
from agent.gateway.forwarder import Forwarder, Here
from agent.gateway.guard import InsideGuard
from agent.gateway.presence import PresenceHandlers
from agent.gateway.routes import Caller, Route, Routes, SessionRoute
from agent.gateway.sessions import SessionHandlers
from agent.gateway.terminals import TerminalHandlers
from agent.gateway.transcripts import TranscriptHandlers
from agent.gateway.trust import AccessHandlers
from agent.links.peers import Peers
from agent.links.proxy import Proxy
from agent.links.survey import Survey
from agent.ports import Channel, Clock
from agent.presence.rules.registry import Registry
from agent.presence.service import Presence
from agent.protocol.codec import typed
from agent.protocol.methods import METHODS, REQUEST_CANCEL, TERMINAL_TAKEN, On
from agent.protocol.model import DeviceId
from agent.protocol.waiting import CancelCall
from agent.sessions.catalog import BackendCatalog
from agent.sessions.host import Sessions
from agent.trust.access import AccessControl
from agent.trust.audit import Audit
from agent.trust.gossip import Gossip


class Router:
    """Answers every request. Implements `ports.MessageHandler`."""

    def __init__(
        self,
        *,
        registry: Registry,
        presence: Presence,
        sessions: Sessions,
        backends: BackendCatalog,
        peers: Peers,
        proxy: Proxy,
        access: AccessControl,
        gossip: Gossip,
        audit: Audit,
        clock: Clock,
        may_prompt_others: bool = False,
        more: Sequence[Routes] = (),
    ) -> None:
        """`may_prompt_others`: whether programs inside sessions may use other devices (T9).

        `more`: the routes of what not every service has.
        """
        self._registry = registry
        self._sessions = sessions
        self._proxy = proxy
        self._access = access
        self.pages: set[Channel] = set()  # the clients that are pages in a browser
        self.guard = InsideGuard(allowed=may_prompt_others)
        survey = Survey(registry, peers, clock)
        self._forwarder = Forwarder(registry=registry, index=sessions.index, peers=peers, survey=survey, clock=clock)
        self.terminals = TerminalHandlers(
            sessions=sessions, proxy=proxy, access=access, forwarder=self._forwarder, guard=self.guard
        )
        handlers = (
            PresenceHandlers(registry, presence, access),
            SessionHandlers(
                registry=registry,
                sessions=sessions,
                backends=backends,
                peers=peers,
                proxy=proxy,
                forwarder=self._forwarder,
                guard=self.guard,
            ),
            self.terminals,
            TranscriptHandlers(
                registry=registry, sessions=sessions, access=access, forwarder=self._forwarder, survey=survey
            ),
            AccessHandlers(
                registry=registry,
                sessions=sessions,
                forwarder=self._forwarder,
                gossip=gossip,
                audit=audit,
                rights_changed=self.terminals.rights_changed,
            ),
        )
        routes = [*(each.routes() for each in handlers), *more]
        self.routes = {route.method.name: route for some in routes for route in some}

    def on_request(self, channel: Channel, method: str, params: Raw) -> Awaitable[object]:
        """Answer one request. Raises: MethodNotFound, Forbidden, Undescribed at once; AgentError when awaited."""
        row = METHODS.get(method)
        if row is None:
            raise MethodNotFound(f"no method {method!r}")
        if row.on is On.LOCAL and channel.device is not None:
            raise Forbidden(f"{method} is not for other devices")
        if row.on is On.PAGE and channel not in self.pages:
            raise Forbidden(f"{method} is for pages in a browser", hint="`agent page` opens one")
        if row.on is On.LINK and channel.device is None:
            raise NotPaired("only gateways exchange this")
        if row.guarded:
            self.guard.refuse(channel, method)
        route = self.routes.get(method)
        if route is None:
            raise MethodNotFound(f"no method {method!r}")
        request: Any = typed(params, row.params)
        if channel.device is not None:
            request = self._access.admit(channel.device, row, request)
        # S7: the device whose key authenticated the connection, whatever the message claims.
        device = channel.device or self._registry.own
        return self._answer(route, request, Caller(channel, device, self._registry.name_of(device)))

    async def _answer(self, route: Route[Any, Any] | SessionRoute[Any, Any], request: Any, caller: Caller) -> object:
        try:
            return await self._answer_of(route, request, caller)
        except AgentError as exc:
            exc.lead_on(session=getattr(request, "session_id", ""))
            raise

    async def _answer_of(self, route: Route[Any, Any] | SessionRoute[Any, Any], request: Any, caller: Caller) -> object:
        if isinstance(route, Route):
            return await route.answer(request, caller)
        where = await self._forwarder.locate(caller.channel, request)
        if isinstance(where, Here):
            return await route.here(where.session, request, caller)
        if route.method.changes:
            self.guard.refuse(caller.channel, route.method.name)
        if route.there is not None:
            return await route.there(where, request, caller)
        return await self._forwarder.forward(caller.channel, where, route.method, request)

    def connecting(self, device: DeviceId) -> None:
        """Count a connection that another device opens. Raises: Busy."""
        self._access.connecting(device)

    def on_notification(self, channel: Channel, method: str, params: Raw, frame: bytes) -> None:
        """Take what a linked gateway tells; of a client how far it is, and which request it takes back."""
        if method == TERMINAL_TAKEN.name:
            self.terminals.taken(channel, params)
        elif method == REQUEST_CANCEL.name:
            self._forwarder.cancel(channel, typed(params, CancelCall).call_id)
        elif channel.device is not None:
            self._proxy.on_notification(channel.device, method, params, frame)

    def on_closed(self, channel: Channel) -> None:
        """Let a channel watch nothing any more, since it is gone."""
        self.pages.discard(channel)
        self.guard.drop(channel)
        self._sessions.drop(channel)
        self.terminals.drop(channel)
        self._proxy.drop(channel)
