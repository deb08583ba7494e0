"""What one step changed in the registry's view, and how several steps become one (R11)."""

from __future__ import annotations

from msgspec import Struct

from agent.presence.rules.claims import Contest
from agent.protocol.model import DeviceId, DeviceRow, SessionId, SessionRow


class Changes(Struct, frozen=True, kw_only=True):
    """Rows that are new or different, ids that are no longer listed, and claims that do not count (R13).

    False when there are none.
    """

    devices: tuple[DeviceRow, ...] = ()
    devices_gone: tuple[DeviceId, ...] = ()
    sessions: tuple[SessionRow, ...] = ()
    sessions_gone: tuple[SessionId, ...] = ()
    contests: tuple[Contest, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.devices or self.devices_gone or self.sessions or self.sessions_gone or self.contests)


NOTHING = Changes()


class PendingChanges:
    """Changes that are collected until `take`. Of one row only the last is kept: the number of rows bounds the size."""

    def __init__(self) -> None:
        self._devices: dict[DeviceId, DeviceRow | None] = {}
        self._sessions: dict[SessionId, SessionRow | None] = {}
        self._contests: list[Contest] = []

    def __len__(self) -> int:
        return len(self._devices) + len(self._sessions) + len(self._contests)

    def device(self, device: DeviceId, row: DeviceRow | None) -> None:
        """Record the new row of a device; None: the device is no longer listed."""
        self._devices[device] = row

    def session(self, session: SessionId, row: SessionRow | None) -> None:
        """Record the new row of a session; None: the session is no longer listed."""
        self._sessions[session] = row

    def contest(self, contest: Contest) -> None:
        """Record that a device claims a session of another one, which changes no row."""
        self._contests.append(contest)

    def add(self, changes: Changes) -> None:
        """Add changes that came after all that was collected so far."""
        self._devices.update({row.id: row for row in changes.devices})
        self._devices.update(dict.fromkeys(changes.devices_gone))
        self._sessions.update({row.id: row for row in changes.sessions})
        self._sessions.update(dict.fromkeys(changes.sessions_gone))
        self._contests += changes.contests

    def take(self) -> Changes:
        """Return the collected changes and be empty afterwards."""
        if not len(self):
            return NOTHING
        contests, self._contests = tuple(self._contests), []
        devices, self._devices = self._devices, {}
        sessions, self._sessions = self._sessions, {}
        return Changes(
            devices=tuple([row for row in devices.values() if row is not None]),
            devices_gone=tuple([device for device, row in devices.items() if row is None]),
            sessions=tuple([row for row in sessions.values() if row is not None]),
            sessions_gone=tuple([session for session, row in sessions.items() if row is None]),
            contests=contests,
        )
