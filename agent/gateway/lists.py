"""The lists and their changes: `peer.list`, `peer.watch`, `session.list`, `session.watch`.

Another device gets the sessions hosted here that it may see (L7), and hears of one that it may not see any more that it
is gone.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.ports import Channel, Followed
from agent.presence.rules.registry import Registry, Scope
from agent.presence.rules.sanitising import row_size
from agent.presence.service import Presence
from agent.protocol.messages import ListSessions, Nothing, PeersChanged, SessionsChanged
from agent.protocol.model import SessionId, SessionRow
from agent.trust.access import AccessControl

AT_ONCE, SIZE_MAX = 1000, 500_000
"""Rows of one message, and their bytes: of fifty devices with hundreds of sessions all would not fit into a frame."""


class Lists:
    """Answers from the registry, never by asking around."""

    def __init__(self, registry: Registry, presence: Presence, access: AccessControl) -> None:
        self._registry = registry
        self._presence = presence
        self._access = access

    async def peer_list(self, channel: Channel, asked: Nothing) -> object:
        """Every device, this one first."""
        return self._registry.devices()

    async def peer_watch(self, channel: Channel, asked: Nothing) -> object:
        """The same, then every change."""
        changes = self._presence.subscribe()

        async def follow() -> None:
            with changes:
                async for change in changes:
                    if change.devices or change.devices_gone:
                        told = PeersChanged(changed=change.devices, removed=change.devices_gone)
                        channel.notify("peer.changed", told)
                    await channel.drained()

        return Followed(self._registry.devices(), follow)

    async def session_list(self, channel: Channel, asked: ListSessions) -> object:
        """The sessions of a scope, newest first."""
        return self._rows(channel, _scope(channel, asked), away=asked.all)

    async def session_watch(self, channel: Channel, asked: ListSessions) -> object:
        """The same, then every change."""
        scope = _scope(channel, asked)
        changes = self._presence.subscribe()
        known = self._rows(channel, scope, away=asked.all)
        portions = _portions(known)
        shown = {row.id for row in known}

        async def follow() -> None:
            with changes:
                for rest in portions[1:]:
                    channel.notify("session.changed", SessionsChanged(changed=tuple(rest)))
                    await channel.drained()
                async for change in changes:
                    in_scope = [row for row in change.sessions if scope == "all" or row.local is (scope == "local")]
                    listed = [row for row in in_scope if self._registry.shows(row, away=asked.all)]
                    rows = self._access.shown(channel.device, listed)
                    seen = {row.id for row in rows}
                    gone = [*change.sessions_gone, *(row.id for row in in_scope if row.id not in seen)]
                    if asked.all and any(device.reason for device in change.devices):
                        gone += shown - {row.id for row in self._registry.sessions(away=True)}  # it refuses (R14)
                    await self._tell(channel, shown, rows, gone)

        return Followed(portions[0], follow)

    @staticmethod
    async def _tell(channel: Channel, shown: set[SessionId], rows: list[SessionRow], gone: list[SessionId]) -> None:
        shown.update(row.id for row in rows)
        removed = tuple(session for session in gone if session in shown)
        shown.difference_update(removed)
        for portion in _portions(rows) if rows or removed else ():
            channel.notify("session.changed", SessionsChanged(changed=tuple(portion), removed=removed))
            removed = ()
            await channel.drained()

    def _rows(self, channel: Channel, scope: Scope, *, away: bool) -> list[SessionRow]:
        return self._access.shown(channel.device, self._registry.sessions(scope, away=away))


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


def _scope(channel: Channel, asked: ListSessions) -> Scope:
    return asked.scope if channel.device is None else "local"
