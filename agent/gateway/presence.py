"""The lists and their changes (`peer.*`, `session.list`, `session.watch`), `address.*` and `gateway.status`.

Another device gets the sessions hosted here that it may see (L7), and hears of one that it may not see any more that it
is gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from agent.gateway.routes import Caller, Route, Routes
from agent.links.addresses import Addresses
from agent.ports import Channel, Followed
from agent.presence.rules.registry import Registry, Scope
from agent.presence.rules.sanitised_rows import row_size
from agent.presence.service import Presence
from agent.protocol.addresses import SyncAddresses, TellAddresses, ToldAddresses
from agent.protocol.messages import ListSessions, Nothing, PeersChanged, SessionsChanged, StatusReport
from agent.protocol.methods import (
    ADDRESS_SYNC,
    ADDRESS_TELL,
    GATEWAY_STATUS,
    PEER_CHANGED,
    PEER_LIST,
    PEER_WATCH,
    SESSION_CHANGED,
    SESSION_LIST,
    SESSION_WATCH,
)
from agent.protocol.model import DeviceRow, SessionId, SessionRow
from agent.trust.access import AccessControl

AT_ONCE, SIZE_MAX = 1000, 500_000
"""Rows of one message, and their bytes: of fifty devices with hundreds of sessions all would not fit into a frame."""


class PresenceHandlers:
    """Handlers that answer from the registry, never by asking around."""

    def __init__(self, registry: Registry, presence: Presence, access: AccessControl) -> None:
        self._registry = registry
        self._presence = presence
        self._access = access

    def routes(self) -> Routes:
        """List the handlers of the lists, each with its method."""
        return (
            Route(PEER_LIST, self.list_peers),
            Route(PEER_WATCH, self.watch_peers),
            Route(SESSION_LIST, self.list_sessions),
            Route(SESSION_WATCH, self.watch_sessions),
        )

    async def list_peers(self, request: Nothing, caller: Caller) -> tuple[DeviceRow, ...]:
        """Answer with every device, this one first."""
        return tuple(self._registry.devices())

    async def watch_peers(self, request: Nothing, caller: Caller) -> Followed[tuple[DeviceRow, ...]]:
        """Answer with every device, this one first, and tell each change from then on."""
        changes = self._presence.subscribe()

        async def follow() -> None:
            with changes:
                async for change in changes:
                    if change.devices or change.devices_gone:
                        news = PeersChanged(changed=change.devices, removed=change.devices_gone)
                        caller.channel.notify(PEER_CHANGED, news)
                    await caller.channel.drained()

        return Followed(tuple(self._registry.devices()), follow)

    async def list_sessions(self, request: ListSessions, caller: Caller) -> tuple[SessionRow, ...]:
        """Answer with the sessions of a scope, newest first."""
        return tuple(self._rows(caller, _scope(request, caller), away=request.all))

    async def watch_sessions(self, request: ListSessions, caller: Caller) -> Followed[tuple[SessionRow, ...]]:
        """Answer with the sessions of a scope, newest first, and tell each change from then on."""
        channel = caller.channel
        scope = _scope(request, caller)
        changes = self._presence.subscribe()
        known = self._rows(caller, scope, away=request.all)
        portions = _portions(known)
        shown = {row.id for row in known}

        async def follow() -> None:
            with changes:
                for rest in portions[1:]:
                    channel.notify(SESSION_CHANGED, SessionsChanged(changed=tuple(rest)))
                    await channel.drained()
                async for change in changes:
                    in_scope = [row for row in change.sessions if scope == "all" or row.local is (scope == "local")]
                    listed = [row for row in in_scope if self._registry.shows(row, away=request.all)]
                    rows = self._access.shown(channel.device, listed)
                    seen = {row.id for row in rows}
                    gone = [*change.sessions_gone, *(row.id for row in in_scope if row.id not in seen)]
                    if request.all and any(device.reason for device in change.devices):
                        gone += shown - {row.id for row in self._registry.sessions(away=True)}  # it refuses (R14)
                    await self._tell(channel, shown, rows, gone)

        return Followed(tuple(portions[0]), follow)

    @staticmethod
    async def _tell(channel: Channel, shown: set[SessionId], rows: list[SessionRow], gone: list[SessionId]) -> None:
        shown.update(row.id for row in rows)
        removed = tuple(session for session in gone if session in shown)
        shown.difference_update(removed)
        for portion in _portions(rows) if rows or removed else ():
            channel.notify(SESSION_CHANGED, SessionsChanged(changed=tuple(portion), removed=removed))
            removed = ()
            await channel.drained()

    def _rows(self, caller: Caller, scope: Scope, *, away: bool) -> list[SessionRow]:
        return self._access.shown(caller.channel.device, self._registry.sessions(scope, away=away))


def _portions(rows: Iterable[SessionRow]) -> list[list[SessionRow]]:
    # In their order, each as much as fits a frame; at least one.
    portions: list[list[SessionRow]] = [[]]
    size = 0
    for row in rows:
        size += row_size(row)
        if len(portions[-1]) == AT_ONCE or size > SIZE_MAX:
            portions.append([])
            size = row_size(row)
        portions[-1].append(row)
    return portions


def _scope(request: ListSessions, caller: Caller) -> Scope:
    return "local" if caller.remote else request.scope


def address_routes(addresses: Addresses) -> Routes:
    """List the handlers of `address.*`: where members of the household can be dialled."""

    async def sync(request: SyncAddresses, caller: Caller) -> ToldAddresses:
        return await addresses.sync(caller.device, request)

    async def tell(request: TellAddresses, caller: Caller) -> Nothing:
        return await addresses.tell(caller.device, request)

    return Route(ADDRESS_SYNC, sync), Route(ADDRESS_TELL, tell)


def status_routes(status: Callable[[], Awaitable[StatusReport]]) -> Routes:
    """List the handler of `gateway.status`: how this device is doing."""

    async def answer(request: Nothing, caller: Caller) -> StatusReport:
        return await status()

    return (Route(GATEWAY_STATUS, answer),)
