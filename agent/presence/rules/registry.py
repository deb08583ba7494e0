"""This device's merged view of every device and session (DESIGN §5, R1-R11).

After each fact, publish the `Changes` that it returns and re-arm one timer for `next_deadline`. All times are Unix
seconds. What is known of one device is in `remote_device`, what its silence means in `liveness`, and how a session
is found in `selectors`; here they are put together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from agent.presence.rules.changes import Changes, PendingChanges
from agent.presence.rules.claims import Claims
from agent.presence.rules.liveness import Liveness
from agent.presence.rules.local_device import LocalDevice
from agent.presence.rules.remote_device import Hidden, RemoteDevice
from agent.presence.rules.selectors import SessionIndex, SessionLocation, find_device, find_session, newest_first
from agent.protocol.model import (
    DeviceId,
    DeviceRow,
    Endpoint,
    PairedDevice,
    PresenceRecord,
    SessionId,
    SessionRow,
    Source,
)
from agent.protocol.names import short_id

__all__ = ["Changes", "Registry", "SessionLocation"]

Scope = Literal["all", "local", "remote"]


class Registry:
    """Who is on the network and what runs there. Strangers are capped, trusted devices are not."""

    def __init__(
        self,
        own: DeviceId,
        *,
        name: str,
        version: str,
        unpaired_max: int = 64,
        devices_max: int = 256,
        new_per_second: int = 20,
    ) -> None:
        self.own = own
        self._unpaired_max = unpaired_max
        self._devices_max = devices_max
        self._new_per_second = new_per_second
        self._known: dict[DeviceId, RemoteDevice] = {}
        self._index, self._claims = SessionIndex(), Claims()
        self._local = LocalDevice(own, name, version)
        self.own_row = self._local.describe()
        self._admitted, self._admitted_at = 0.0, 0.0  # strangers lately: a bucket that leaks `new_per_second`

    # --- facts -------------------------------------------------------------------------------------------------------

    def own_changed(self, *, name: str, port: int, hosts: tuple[str, ...], now: float) -> Changes:  # noqa: ARG002 - facts all take the time
        """Take another name or address of this device."""
        pending = PendingChanges()
        for row in self._local.move(name, port, hosts):
            self._index.put(row, pending)
        self._refresh_own(pending)
        return pending.take()

    def local_sessions(self, rows: Iterable[SessionRow], removed: Iterable[SessionId], now: float) -> Changes:  # noqa: ARG002 - facts all take the time
        """Take new, changed and removed sessions that are hosted here. No remote row of the same shows (R2)."""
        pending, view = PendingChanges(), self._view
        for row in self._local.put(rows):
            self._claims.claim_hosted(self.own, row.id)
            self._index.put(row, pending)
        for session in self._local.remove(removed):
            self._index.drop(self.own, session, pending)
        self._claims.trim(self.own, self._local.sessions)
        self._refresh_if_changed(view, pending)
        self._refresh_own(pending)
        return pending.take()

    def own_past(self, sessions: Iterable[SessionId]) -> None:
        """Claim the ids of sessions that were closed here: no other device may use them, either (R13)."""
        for session in sessions:
            self._claims.claim_hosted(self.own, session)
        self._claims.trim(self.own, self._local.sessions)

    def heard(self, record: PresenceRecord, source: Source, now: float) -> Changes:
        """Take a presence record (of a paired device: signed). A record never changes a name, a key or trust (T5)."""
        pending = PendingChanges()
        if record.device == self.own:
            return pending.take()
        known = self._known.get(record.device) or self._admit(record.device, now, pending)
        if known is not None and known.hear(record, source, now):
            self._refresh(known, pending)
        return pending.take()

    def hinted(self, record: PresenceRecord, now: float) -> Changes:  # noqa: ARG002 - facts all take the time
        """Take an unsigned record of a paired device: one more address to try, and nothing else."""
        # With an endpoint to dial, sessions of the device can be attached to.
        return self._take(record.device, lambda known: known.hint(record), paired=True)

    def advertised(self, device: DeviceId, endpoints: Sequence[Endpoint], now: float) -> Changes:  # noqa: ARG002 - facts all take the time
        """Take the endpoints that a paired device signed, perhaps passed on by another: addresses to try (L10)."""
        return self._take(device, lambda known: known.advertised(endpoints), paired=True)

    def goodbye(self, device: DeviceId, now: float) -> Changes:
        """Take a goodbye of a device, or of somebody in its name (R10).

        It does not count while a link is up. A paired device that can be asked is asked first: see `to_probe`.
        """
        known = self._known.get(device)
        sure = known is None or known.paired is None or not known.endpoints()
        return self._take(device, lambda known: known.live.goodbye(now, sure=sure))

    def paired(self, devices: Iterable[PairedDevice], now: float) -> Changes:  # noqa: ARG002 - facts all take the time
        """Take all the devices that are trusted now. One that is no longer among them becomes a stranger."""
        pending, view = PendingChanges(), self._view
        trusted = {device.id: device for device in devices if device.id != self.own}
        for device, paired in trusted.items():
            if device not in self._known:
                self._known[device] = RemoteDevice(device, Liveness.unheard(paired.seen_at))
            self._known[device].pair(paired)
            self._refresh(self._known[device], pending)
        for known in [each for each in self._known.values() if each.paired and each.id not in trusted]:
            known.pair(None)
            self._claims.forget(known.id)
            self._refresh(known, pending)
        self._refresh_if_changed(view, pending)
        return pending.take()

    def link_up(self, device: DeviceId, *, name: str, version: str, endpoint: Endpoint | None, now: float) -> Changes:
        """Record that a link to a device is open; `endpoint` is where it can be dialled again, if known."""
        pending = PendingChanges()
        if device != self.own:
            known = self._known.setdefault(device, RemoteDevice(device, Liveness()))
            known.link_up(name, version, endpoint, now)
            self._refresh(known, pending)
        return pending.take()

    def link_sessions(
        self,
        device: DeviceId,
        rows: Iterable[SessionRow],
        removed: Iterable[SessionId],
        now: float,
        *,
        whole: bool = False,
    ) -> Changes:
        """Take the session rows that a device sent over its link; `whole`: these are all of them."""
        pending, view = PendingChanges(), self._view
        known = self._known.get(device)
        if known is not None and known.has_sessions:
            known.link_sessions(rows, removed, now, whole=whole)
            self._refresh(known, pending)
            if whole:
                self._claims.release_beginnings(device)
                self._refresh_if_changed(view, pending)
        return pending.take()

    def recall(self, device: DeviceId, rows: Iterable[SessionRow], now: float) -> Changes:
        """Take the session rows that a paired device's link had sent before this service was started (R12)."""
        return self._take(device, lambda known: known.recall(rows, now), paired=True)

    def link_lost(self, device: DeviceId, reason: str, now: float) -> Changes:
        """Record the end of a link: the device is stale until it is reached again, or is not."""
        return self._take(device, lambda known: known.link_lost(reason, now))

    def dial_failed(self, device: DeviceId, reason: str, now: float) -> Changes:
        """Record that a device was dialled or probed in vain; twice in a row makes it offline."""
        return self._take(device, lambda known: known.live.dial_failed(reason, now))

    def answered(self, device: DeviceId, now: float, *, refused: bool = False) -> Changes:
        """Record that a device accepted a connection; `refused`: and then would not talk to this device."""
        if refused:
            return self._take(device, lambda known: known.live.refused(now))
        return self._take(device, lambda known: known.live.answered(now))

    def expire(self, now: float) -> Changes:
        """Let time pass: a silent device becomes stale, a stranger that is silent for a day is forgotten."""
        pending = PendingChanges()
        for known in list(self._known.values()):
            before = known.live.state
            if not known.live.expire(now) and known.paired is None:
                self._forget(known, pending)
            elif known.live.state != before:
                self._refresh(known, pending)
        return pending.take()

    def next_deadline(self) -> float | None:
        """When (Unix seconds) `expire` has something to do next; None: never as things stand."""
        deadlines = (known.live.deadline(forgettable=known.paired is None) for known in self._known.values())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    # --- views -------------------------------------------------------------------------------------------------------

    def devices(self) -> list[DeviceRow]:
        """Rows of all devices: this one first, then trusted ones, then strangers, each by name."""
        others = (known.dated() for known in self._known.values())
        return [
            self.own_row,
            *sorted(others, key=lambda row: (not row.paired, row.name.casefold(), row.id)),
        ]

    def sessions(self, scope: Scope = "all", *, away: bool = False) -> list[SessionRow]:
        """Session rows, newest first, ties by id (R4); `away`: also of devices that are out of reach (R12)."""
        if scope == "local":
            return newest_first(self._local.sessions.values())
        rows = (row for row in self._index.rows.values() if self.shows(row, away=away))
        return newest_first(rows if scope == "all" else (row for row in rows if not row.local))

    def shows(self, row: SessionRow, *, away: bool) -> bool:
        """Whether a row is listed; `away`: also if its device is out of reach (R12), but not if it refuses (R14)."""
        return not row.away or (away and not self._known[row.device.id].live.refuses)

    def remembered(self) -> dict[DeviceId, list[SessionRow]]:
        """Session rows that links have sent, by paired device, for `recall` at the next start (R12)."""
        return {known.id: known.remembered() for known in self._known.values() if known.paired is not None}

    def device(self, device: DeviceId) -> DeviceRow | None:
        """The listed row of one device, if it is listed."""
        if device == self.own:
            return self.own_row
        known = self._known.get(device)
        return known.dated() if known else None

    def name_of(self, device: DeviceId) -> str:
        """What a device is called, the short form of its id if it is in no list."""
        row = self.device(device)
        return row.name if row else short_id(device)

    def knows(self, device: DeviceId) -> bool:
        """Whether that other device is listed."""
        return device in self._known

    def trusts(self, device: DeviceId) -> bool:
        """Whether that other device is paired."""
        known = self._known.get(device)
        return known is not None and known.paired is not None

    def takes_sessions(self, device: DeviceId) -> bool:
        """Whether sessions of that other device are listed: not those of a stranger or a guest."""
        known = self._known.get(device)
        return known is not None and known.has_sessions

    def session(self, session: SessionId) -> SessionRow | None:
        """The row of a session, by its id as it is listed."""
        return self._index.rows.get(session)

    def find_device(self, selector: str) -> DeviceId:
        """The device with that name, id or unique prefix. Raises: DeviceNotFound, Ambiguous."""
        rows = (known.row for known in self._known.values())
        return find_device([self.own_row, *(row for row in rows if row)], selector)

    def find_session(self, selector: str) -> SessionLocation:
        """The session with that id, unique prefix, title in any case, or DEVICE/ and one of these.

        Raises: SessionNotFound, Ambiguous.
        """
        return find_session(
            self._index, selector, whole=self._is_whole, device=self.find_device, incomplete=self._is_incomplete
        )

    def endpoints(self, device: DeviceId) -> list[Endpoint]:
        """Endpoints at which to dial a device, best first; none of a device that is not known."""
        known = self._known.get(device)
        return known.endpoints() if known is not None else []

    def announced(self, device: DeviceId) -> tuple[str, ...]:
        """The addresses that a device announced last, as far as its record was accepted."""
        known = self._known.get(device)
        return known.record.hosts if known is not None and known.record is not None else ()

    def to_probe(self, now: float) -> list[DeviceId]:
        """Devices of which a connection attempt would tell whether they are there."""
        return [each.id for each in self._known.values() if each.live.wants_probe(now) and each.endpoints()]

    # --- how ---------------------------------------------------------------------------------------------------------

    def _take(self, device: DeviceId, fact: Callable[[RemoteDevice], None], *, paired: bool = False) -> Changes:
        # One fact about a device that is known (and `paired`), and what follows from it.
        pending = PendingChanges()
        known = self._known.get(device)
        if known is not None and (known.paired is not None or not paired):
            fact(known)
            self._refresh(known, pending)
        return pending.take()

    def _refresh(self, known: RemoteDevice, pending: PendingChanges) -> None:
        if known.paired is None and known.record is None and not known.live.linked:
            self._forget(known, pending)
            return
        row = known.describe()
        if row != known.row:
            known.row = row
            pending.device(known.id, known.dated())
        before, known.rows = known.rows, known.compose(self._hides(known, pending), self._view)
        self._claims.trim(known.id, known.rows)
        for session, now_listed in known.rows.items():
            was = before.get(session) if before else None
            if was is not now_listed and was != now_listed:
                self._index.put(now_listed, pending)
        for session in before.keys() - known.rows.keys():
            self._index.drop(known.id, session, pending)

    @property
    def _view(self) -> tuple[int, int]:
        # Changes whenever a row may be hidden that was not, or the other way round.
        return self._local.keys_version, self._claims.version

    def _refresh_if_changed(self, before: tuple[int, int], pending: PendingChanges) -> None:
        if before != self._view:
            for known in list(self._known.values()):
                self._refresh(known, pending)

    def _hides(self, known: RemoteDevice, pending: PendingChanges) -> Hidden:
        def hides(session: str, lineage: tuple[str, ...], whole: bool) -> bool:
            contest = self._claims.claim(known.id, session, whole=whole)
            if contest is not None and self._claims.is_news(contest):
                pending.contest(contest)
            return contest is not None or self._local.is_mine(session, lineage)

        return hides

    def _forget(self, known: RemoteDevice, pending: PendingChanges) -> None:
        for session in known.rows:
            self._index.drop(known.id, session, pending)
        del self._known[known.id]
        if known.row:
            pending.device(known.id, None)

    def _admit(self, device: DeviceId, now: float, pending: PendingChanges) -> RemoteDevice | None:
        # Phantoms cost their sender nothing: a bounded number a second gets in, and they push out each other only.
        leaked = max(0.0, now - self._admitted_at) * self._new_per_second
        self._admitted, self._admitted_at = max(0.0, self._admitted - leaked), now
        if self._admitted + 1 > self._new_per_second:
            return None
        self._admitted += 1
        strangers = [known for known in self._known.values() if known.paired is None and not known.live.linked]
        trusted = len(self._known) - len(strangers)
        room = min(self._unpaired_max, max(self._unpaired_max // 4, self._devices_max - trusted))
        while len(strangers) >= max(1, room):
            oldest = min(strangers, key=lambda known: (known.live.state != "offline", known.live.heard_at or 0.0))
            strangers.remove(oldest)
            self._forget(oldest, pending)
        known = self._known[device] = RemoteDevice(device, Liveness())
        return known

    def _refresh_own(self, pending: PendingChanges) -> None:
        row = self._local.describe()
        if row != self.own_row:
            self.own_row = row
            pending.device(self.own, row)

    def _is_whole(self, row: SessionRow) -> bool:
        return row.local or self._known[row.device.id].knows_whole_id(row.id)

    def _is_incomplete(self, device: DeviceId) -> bool:
        known = self._known.get(device)
        return known is not None and known.paired is not None and (known.live.refuses or not known.complete())
