"""All that is known of one other device, and the rows that follow from it (R1, R3, R7, R9, T5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from agent.presence.rules.endpoints import ENDPOINTS_MAX, Places, places_of
from agent.presence.rules.liveness import Liveness
from agent.presence.rules.rivals import Rivals
from agent.presence.rules.session_rows import row_size, usable
from agent.protocol.model import (
    NAME_MAX,
    TITLE_MAX,
    DeviceId,
    DeviceRef,
    DeviceRow,
    Endpoint,
    PairedDevice,
    PresenceRecord,
    SessionClaim,
    SessionId,
    SessionRow,
    Source,
    Status,
)
from agent.protocol.names import UNTITLED, clean, display_name
from agent.protocol.times import rfc3339

LOCKED_OUT_FOR = 10.0
"""Seconds of silence after which a smaller revision is believed: a clock was set back, or the greater was forged."""
AHEAD_MAX = 3_600_000
"""Milliseconds that a revision may lie ahead of our clock and still be taken for a time."""
SESSIONS_MAX = 1000
"""Sessions of one device that are listed."""
SIZE_MAX = 786_432
"""Bytes (`hearsay.row_size`) of the sessions of one device that are listed: a thousand of common size."""

stamp = lru_cache(maxsize=4096)(rfc3339)
Hidden = Callable[[str, tuple[str, ...], bool], bool]
"""Whether a session with that id and lineage is one of ours (R2) or another device's (R13); the last one tells whether
that id is all of it, not the beginning which a TXT record carries."""


class _Seen(NamedTuple):
    # What the state of a device says of each of its sessions.
    device: DeviceRef
    attachable: bool
    stale: bool
    away: bool


class KnownDevice:
    """One device other than this one. Setters take facts; `compose` and `describe` give what is to be listed."""

    def __init__(self, device: DeviceId, live: Liveness) -> None:
        self.id, self.live = device, live
        self.paired: PairedDevice | None = None
        self.record: PresenceRecord | None = None
        self.rows: dict[SessionId, SessionRow] = {}  # as listed
        self.row: DeviceRow | None = None  # as listed, without `heard_at`
        self._source: Source = "static"
        self._record_at = self._revised_at = 0.0
        self._record_is_news = True  # newer than what the last link told
        self._told: dict[SessionId, SessionRow] = {}  # by a link
        self._told_all = False  # over the present link
        self._told_size = 0  # bytes
        self._left_out = 0  # rows for which there was no room, since all were told
        self._link_name = self._version = ""
        self._link_endpoint: Endpoint | None = None
        self._places, self._rivals = Places(), Rivals()
        self._made: dict[str, tuple[SessionClaim | SessionRow, SessionRow | None]] = {}
        self._made_for: object = None

    # --- facts -------------------------------------------------------------------------------------------------------

    def hear(self, record: PresenceRecord, source: Source, now: float) -> bool:
        """Take a presence record (of a paired device: signed). False if it is older than what is known (R9)."""
        sure = self.paired is None  # a stranger cannot be asked better
        if sure and source == "mdns" and record.hosts:
            self._rivals.heard(record.hosts, now)
        if source == "static":
            self._places.fix(record)
            if self.record is not None and record.revision <= self.record.revision:
                self.live.heard(now, news=False)
                return True
        held = self.record
        if record == held:
            self._record_at = now
            self.live.heard(now, news=False, sure=sure)
            return True
        if held is not None and not self._supersedes(record, held, now):
            if record.revision != held.revision:
                return False
            # The same publication from another interface, or after the addresses changed.
            record = msgspec.structs.replace(held, hosts=record.hosts, port=record.port)
        news = held is None or record.revision != held.revision
        if news or self._source == "static":
            self._source = source
        if held is None or record.sessions != held.sessions or news:
            self._revised_at = now
        if news and not (self.live.linked and self._told_all):  # a link tells the same, and sooner
            self._record_is_news = True
        self.record, self._record_at = record, now
        self._places.heard = tuple(places_of(record)) if self._source == "mdns" else ()
        self.live.heard(now, news=news, sure=sure)
        return True

    def hint(self, record: PresenceRecord) -> None:
        """Take where it may be dialled from a record that anybody can have sent."""
        self._places.hint(record)

    def told(self, places: Sequence[Endpoint]) -> None:
        """Take where it says that it can be dialled (L10)."""
        self._places.told = places

    def _supersedes(self, record: PresenceRecord, held: PresenceRecord, now: float) -> bool:
        if record.revision == held.revision:
            return _content(record) > _content(held)  # any order of packets ends the same
        believable = now * 1000 + AHEAD_MAX
        if (record.revision <= believable) != (held.revision <= believable):
            greater = record.revision <= believable
        else:
            greater = record.revision > held.revision
        return greater or now - self._record_at >= LOCKED_OUT_FOR

    def link_up(self, name: str, version: str, endpoint: Endpoint | None, now: float) -> None:
        """An authenticated link is open."""
        self._link_name, self._version = clean(name, NAME_MAX), clean(version, 64)
        self._link_endpoint, self._told_all = endpoint, False
        if endpoint:
            self._places.reach(endpoint, now)
        self.live.link_up(now)

    def tell(self, rows: Iterable[SessionRow], removed: Iterable[SessionId], now: float, *, whole: bool) -> None:
        """Take what the device says of its sessions over a link: it knows best (R3)."""
        told = {} if whole else dict(self._told)
        if whole:
            self._told_size = self._left_out = 0
        for row in rows:
            if (taken := usable(row, now)) is None:
                continue
            before = told.get(row.id)
            size = self._told_size + row_size(taken) - (row_size(before) if before else 0)
            if (before is None and len(told) == SESSIONS_MAX) or size > SIZE_MAX:
                self._left_out += 1
                continue
            told[taken.id], self._told_size = taken, size
        for session in removed:
            if gone := told.pop(session, None):
                self._told_size -= row_size(gone)
        if self.live.linked:
            self.live.heard_at = now
        self._told = told
        self._told_all = True
        self._record_is_news = False

    def recall(self, rows: Iterable[SessionRow], now: float) -> None:
        """Take what was known of its sessions before this service started; nothing, if a link has told since."""
        if not self.live.linked and not self._told:
            news = self.record is not None and self._record_is_news
            self.tell(rows, (), now, whole=True)
            self._record_is_news = news  # what it announced meanwhile is newer

    def remembered(self) -> list[SessionRow]:
        """The sessions of which a link has told, as `recall` takes them."""
        return [row for row in self._told.values() if row.status.live and row.id in self.rows]

    def link_lost(self, reason: str, now: float) -> None:
        """The link ended; what it told stands until a newer record is heard."""
        self.live.link_lost(reason, now)
        self._link_endpoint = None

    def pair(self, paired: PairedDevice | None) -> None:
        """It is trusted; None: no longer, and what it told as a trusted device goes."""
        if paired is not None and self.paired is None and self.record is not None:
            # Anybody can have said that: what it has signed replaces it, whatever the revision. It is dialled there.
            none = {"working": 0, "needs_input": 0, "idle": 0, "more": 0}
            self.record = msgspec.structs.replace(self.record, revision=0, sessions=(), **none)
        self.paired = paired
        self._places.remembered = paired.endpoints[:ENDPOINTS_MAX] if paired is not None else ()
        if paired is None:
            self._told = {}
            self._told_all = False
            self._record_is_news = True
            self._told_size = self._left_out = 0
            self._link_name = self._version = ""
            self._places.forget_reached()
            self._made.clear()

    # --- what follows ------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What it is called; of a paired device never what a packet says (T5)."""
        if self.paired is not None or self._link_name:
            name = self._link_name or (self.paired.name if self.paired else "")
        else:
            name = self.record.name if self.record else ""
        return display_name(name, None if name else next(iter(self.endpoints()), None), self.id)

    def endpoints(self) -> list[Endpoint]:
        """Where it can be dialled: where it last worked, then heard, remembered, configured, told, hinted at."""
        return self._places.to_dial()

    def complete(self) -> bool:
        """Whether all its sessions are listed, and none was left out for want of room."""
        if self._told_in_force():
            return self._left_out == 0
        return self.record is None or self.record.more == 0

    @property
    def has_sessions(self) -> bool:
        """Whether what it says of its sessions counts: it is trusted, and no guest, which is let in and no more."""
        return self.paired is not None and self.paired.role != "guest"

    def is_told(self, session: str) -> bool:
        """Whether that id is a whole one, not the beginning that a TXT record carries."""
        return session in self._told

    def describe(self) -> DeviceRow:
        """Its row, without `heard_at`: that alone is no news."""
        statuses = [row.status for row in self._told.values() if row.status.live]
        counts = (len(statuses), statuses.count(Status.WORKING), statuses.count(Status.NEEDS_INPUT))
        state, record = self.live.state, self.record
        if state == "offline" or self.live.refuses:
            counts = (0, 0, 0)
        elif not self._told_in_force() and record:
            counts = (record.working + record.needs_input + record.idle, record.working, record.needs_input)
        places = self._places.to_show(self._link_endpoint, trusted=self.paired is not None)
        port = places[0].port if places else 0
        return DeviceRow(
            id=self.id,
            name=self.name,
            self=False,
            state=state,
            paired=self.paired is not None,
            addresses=tuple(dict.fromkeys(place.host for place in places if place.port == port)),
            port=port,
            sessions=counts[0],
            working=counts[1],
            needs_input=counts[2],
            source="link" if self.live.linked else self._source,
            version=self._version,
            heard_at=None,
            since=None if state != "offline" or self.live.since is None else stamp(self.live.since),
            reason=self.live.reason or self._contest(),
            linked=self.live.linked,
        )

    def _contest(self) -> str:
        # Of a paired device only what it has signed counts.
        return "several hosts announce it" if self._rivals.contested and self.paired is None else ""

    def dated(self) -> DeviceRow:
        """The listed row with `heard_at` as of now."""
        heard_at = self.live.heard_at
        row = self.row or self.describe()
        return msgspec.structs.replace(row, heard_at=None if heard_at is None else rfc3339(heard_at))

    def compose(self, hidden: Hidden, view: object) -> dict[SessionId, SessionRow]:
        """Its sessions to be listed. `view` changes whenever what `hidden` answers may change.

        Rows are made anew only where something changed: the rest are the very same objects.
        """
        if not self.has_sessions:
            self._made.clear()
            return {}
        # R12, R14: what was known of one that is out of reach, or refuses this device, stays known and is not shown.
        away = self.live.state == "offline" or self.live.refuses
        seen = _Seen(
            device=DeviceRef(self.id, self.name),
            attachable=not away and (self.live.linked or bool(self.endpoints())),
            stale=self.live.state != "online",
            away=away,
        )
        context = (seen, view, self.paired)
        known = self._made if context == self._made_for else {}
        made: dict[str, tuple[SessionClaim | SessionRow, SessionRow | None]] = {}
        for source in self._sources():
            before = known.get(source.id) if known else None
            if before is not None and before[0] == source:
                made[source.id] = before
            elif source.id not in made:
                row = self._make(source, seen)
                unseen = (
                    self._is_beyond(row.id)
                    or hidden(row.id, row.lineage, row.id in self._told)
                    or (away and not row.status.live)
                )
                made[source.id] = (source, None if unseen else row)
        self._made, self._made_for = made, context
        return {row.id: row for _, row in made.values() if row is not None}

    def _is_beyond(self, session: str) -> bool:
        # This device is a guest there, let in for one session.
        only = self.paired.session if self.paired is not None and self.paired.role == "host" else ""
        return bool(only) and not only.startswith(session)

    def _sources(self) -> Iterator[SessionClaim | SessionRow]:
        if self._told_in_force() or self.record is None:
            yield from self._told.values()
            return
        yield from self.record.sessions
        if self.record.more and self._told:
            claimed = tuple(claim.id for claim in self.record.sessions)
            yield from (row for row in self._told.values() if not row.id.startswith(claimed))

    def _make(self, source: SessionClaim | SessionRow, seen: _Seen) -> SessionRow:
        if isinstance(source, SessionRow):
            return msgspec.structs.replace(source, local=False, **seen._asdict())
        claimed = source.updated_at if source.updated_at <= self._revised_at else int(self._revised_at)
        updated_at = stamp(claimed)
        title = clean(source.title, TITLE_MAX)
        for row in self._told.values():
            if row.id.startswith(source.id):  # a link has told more of it
                if row.updated_at > stamp(claimed + 0.999):
                    return self._make(row, seen)
                cut = title.endswith("…") and row.title.startswith(title[:-1].rstrip())
                return msgspec.structs.replace(
                    row,
                    title=row.title if cut or not title else title,
                    status=source.status,
                    updated_at=max(updated_at, row.updated_at),
                    local=False,
                    **seen._asdict(),
                )
        return SessionRow(
            id=SessionId(source.id),
            title=title or UNTITLED,
            status=source.status,
            local=False,
            backend="",
            model="",
            created_at=None,
            updated_at=updated_at,
            **seen._asdict(),
        )

    def _told_in_force(self) -> bool:
        return (self.live.linked and self._told_all) or not self._record_is_news


def _content(record: PresenceRecord) -> tuple[int, bytes]:
    newest = max((claim.updated_at for claim in record.sessions), default=0)
    return newest, msgspec.msgpack.encode(msgspec.structs.replace(record, hosts=(), port=0))
