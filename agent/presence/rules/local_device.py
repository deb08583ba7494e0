"""This device in its own registry: its row, and its sessions, which hide remote rows of the same id (R2)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

import msgspec

from agent.protocol.model import DeviceId, DeviceRef, DeviceRow, SessionId, SessionRow, Status
from agent.protocol.names import UNTITLED


class LocalDevice:
    """What the registry knows of this device: name, address, and the sessions hosted here."""

    def __init__(self, device: DeviceId, name: str, version: str) -> None:
        self.id = device
        self.sessions: dict[SessionId, SessionRow] = {}
        self.keys_version = 0  # grows whenever `is_mine` may answer otherwise
        self._name, self._version = name, version
        self._port, self._hosts = 0, tuple[str, ...]()
        self._keys: list[str] = []  # ids of sessions and of what they continue, sorted
        self._continued: frozenset[str] = frozenset()

    def move(self, name: str, port: int, hosts: tuple[str, ...]) -> list[SessionRow]:
        """Take another name or address of this device. Returns the session rows that differ by it."""
        renamed, self._name = name != self._name, name
        self._port, self._hosts = port, hosts
        return self.put(list(self.sessions.values())) if renamed else []

    def put(self, rows: Iterable[SessionRow]) -> list[SessionRow]:
        """Take new or changed sessions. Returns the rows that are to be listed differently from before."""
        mine, changed = DeviceRef(self.id, self._name), []
        for row in rows:
            listed = msgspec.structs.replace(row, title=row.title or UNTITLED, device=mine, local=True, stale=False)
            if listed != self.sessions.get(row.id):
                self.sessions[row.id] = listed
                changed.append(listed)
        self._rekey()
        return changed

    def remove(self, sessions: Iterable[SessionId]) -> list[SessionId]:
        """Take sessions off the list. Returns the ids of those that were listed."""
        gone = [session for session in sessions if self.sessions.pop(session, None)]
        self._rekey()
        return gone

    def is_mine(self, session: str, lineage: tuple[str, ...]) -> bool:
        """Whether a session with that id (or its beginning), or with that lineage, is hosted by this device (R2)."""
        at = bisect_left(self._keys, session)
        if at < len(self._keys) and self._keys[at].startswith(session):
            return True
        return bool(lineage) and not self._continued.isdisjoint(lineage)

    def describe(self) -> DeviceRow:
        """The row of this device as it is listed."""
        statuses = [row.status for row in self.sessions.values() if row.status.live]
        return DeviceRow(
            id=self.id,
            name=self._name,
            self=True,
            state="online",
            paired=False,
            addresses=self._hosts,
            port=self._port,
            sessions=len(statuses),
            working=statuses.count(Status.WORKING),
            needs_input=statuses.count(Status.NEEDS_INPUT),
            source="link",  # known first-hand
            version=self._version,
            heard_at=None,
        )

    def _rekey(self) -> None:
        keys = sorted({key for row in self.sessions.values() for key in (row.id, *row.lineage) if key})
        if keys != self._keys:
            self._keys, self._continued = keys, frozenset(keys)
            self.keys_version += 1
