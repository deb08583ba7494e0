"""All that is known of one other device, and the rows to list for it (R1, R3, R7, R9, T5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from agent.presence.rules.endpoints import ENDPOINTS_MAX, AnnouncingHosts, Endpoints, endpoints_of
from agent.presence.rules.liveness import Liveness
from agent.presence.rules.sanitised_rows import row_size, sanitised
from agent.protocol.model import (
    NAME_MAX,
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
from agent.protocol.names import UNTITLED, clean, clean_title, display_name
from agent.protocol.times import rfc3339

LOCKED_OUT_FOR = 10.0
"""Seconds of silence after which a smaller revision is believed: a clock was set back, or the greater was forged."""
AHEAD_MAX = 3_600_000
"""Milliseconds that a revision may lie ahead of our clock and still be taken for a time."""
SESSIONS_MAX = 1000
"""Sessions of one device that are listed."""
SIZE_MAX = 786_432
"""Bytes (`sanitised_rows.row_size`) of the sessions of one device that are listed: a thousand of common size."""

stamp = lru_cache(maxsize=4096)(rfc3339)
Hidden = Callable[[str, tuple[str, ...], bool], bool]
"""Whether a session with that id and lineage is hosted here (R2) or is another device's (R13). The last argument tells
whether the id is a whole one, not the beginning of one as a TXT record carries it."""


class _Seen(NamedTuple):
    # What the state of a device says of each of its sessions.
    device: DeviceRef
    attachable: bool
    stale: bool
    away: bool


class RemoteDevice:
    """A device other than this one. Setters take facts; `compose` and `describe` give the rows to be listed."""

    def __init__(self, device: DeviceId, live: Liveness) -> None:
        self.id, self.live = device, live
        self.paired: PairedDevice | None = None
        self.record: PresenceRecord | None = None
        self.rows: dict[SessionId, SessionRow] = {}  # as listed
        self.row: DeviceRow | None = None  # as listed, without `heard_at`
        self._source: Source = "static"
        self._record_at = self._revised_at = 0.0
        self._record_is_news = True  # newer than the sessions that the last link sent
        self._link_rows: dict[SessionId, SessionRow] = {}  # sessions as a link sent them
        self._link_complete = False  # whether the present link has sent all of them
        self._link_size = 0  # bytes of `_link_rows`
        self._left_out = 0  # rows for which there was no room, since all were sent
        self._link_name = self._version = ""
        self._link_endpoint: Endpoint | None = None
        self._endpoints = Endpoints()
        self._announcing_hosts = AnnouncingHosts()
        self._made: dict[str, tuple[SessionClaim | SessionRow, SessionRow | None]] = {}
        self._made_for: object = None

    # --- facts -------------------------------------------------------------------------------------------------------

    def hear(self, record: PresenceRecord, source: Source, now: float) -> bool:
        """Take a presence record (of a paired device: signed). False if it is older than what is known (R9)."""
        sure = self.paired is None  # of a stranger nothing surer can be had
        if sure and source == "mdns" and record.hosts:
            self._announcing_hosts.heard(record.hosts, now)
        if source == "static":
            self._endpoints.configure(record)
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
        if news and not (self.live.linked and self._link_complete):  # a link says the same, and sooner
            self._record_is_news = True
        self.record, self._record_at = record, now
        self._endpoints.heard = tuple(endpoints_of(record)) if self._source == "mdns" else ()
        self.live.heard(now, news=news, sure=sure)
        return True

    def hint(self, record: PresenceRecord) -> None:
        """Take endpoints from an unsigned record, which anybody can have sent."""
        self._endpoints.hint(record)

    def advertised(self, endpoints: Sequence[Endpoint]) -> None:
        """Take the endpoints at which the device says that it can be dialled (L10)."""
        self._endpoints.advertised = endpoints

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
        """Record that an authenticated link to the device is open."""
        self._link_name, self._version = clean(name, NAME_MAX), clean(version, 64)
        self._link_endpoint = endpoint
        self._link_complete = False
        if endpoint:
            self._endpoints.reach(endpoint, now)
        self.live.link_up(now)

    def link_sessions(
        self, rows: Iterable[SessionRow], removed: Iterable[SessionId], now: float, *, whole: bool
    ) -> None:
        """Take the session rows that the device sent over its link, which knows best (R3); `whole`: all of them."""
        known = {} if whole else dict(self._link_rows)
        if whole:
            self._link_size = self._left_out = 0
        for row in rows:
            taken = sanitised(row, now)
            if taken is None:
                continue
            before = known.get(row.id)
            size = self._link_size + row_size(taken) - (row_size(before) if before else 0)
            if (before is None and len(known) == SESSIONS_MAX) or size > SIZE_MAX:
                self._left_out += 1
                continue
            known[taken.id] = taken
            self._link_size = size
        for session in removed:
            gone = known.pop(session, None)
            if gone is not None:
                self._link_size -= row_size(gone)
        if self.live.linked:
            self.live.heard_at = now
        self._link_rows = known
        self._link_complete = True
        self._record_is_news = False

    def recall(self, rows: Iterable[SessionRow], now: float) -> None:
        """Take the sessions that were known before this service started, unless a link has sent some since."""
        if not self.live.linked and not self._link_rows:
            news = self.record is not None and self._record_is_news
            self.link_sessions(rows, (), now, whole=True)
            self._record_is_news = news  # what it announced meanwhile is newer

    def remembered(self) -> list[SessionRow]:
        """Live sessions that a link has sent and that are listed, in the form that `recall` takes."""
        return [row for row in self._link_rows.values() if row.status.live and row.id in self.rows]

    def link_lost(self, reason: str, now: float) -> None:
        """Record the end of the link; the sessions that it sent stand until a newer record is heard."""
        self.live.link_lost(reason, now)
        self._link_endpoint = None

    def pair(self, paired: PairedDevice | None) -> None:
        """Trust the device as `paired` says. None: trust it no longer, and forget what it sent as a trusted one."""
        if paired is not None and self.paired is None and self.record is not None:
            # A stranger's record can be anybody's: a signed one replaces it, whatever its revision. Its addresses stay.
            none = {"working": 0, "needs_input": 0, "idle": 0, "more": 0}
            self.record = msgspec.structs.replace(self.record, revision=0, sessions=(), **none)
        self.paired = paired
        self._endpoints.remembered = paired.endpoints[:ENDPOINTS_MAX] if paired is not None else ()
        if paired is None:
            self._link_rows = {}
            self._link_complete = False
            self._record_is_news = True
            self._link_size = self._left_out = 0
            self._link_name = self._version = ""
            self._endpoints.distrust()
            self._made.clear()

    # --- what follows ------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Display name of the device; for a paired device never one that a packet says (T5)."""
        if self.paired is not None or self._link_name:
            name = self._link_name or (self.paired.name if self.paired else "")
        else:
            name = self.record.name if self.record else ""
        return display_name(name, None if name else next(iter(self.endpoints()), None), self.id)

    def endpoints(self) -> list[Endpoint]:
        """Endpoints at which the device can be dialled, best first (`Endpoints.to_dial`)."""
        return self._endpoints.to_dial()

    def complete(self) -> bool:
        """Whether all sessions of the device are listed, and none was left out for want of room."""
        if self._link_in_force():
            return self._left_out == 0
        return self.record is None or self.record.more == 0

    @property
    def has_sessions(self) -> bool:
        """Whether sessions of the device are listed: it is trusted, and no guest, which is only let in."""
        return self.paired is not None and self.paired.role != "guest"

    def knows_whole_id(self, session: str) -> bool:
        """Whether `session` is a whole id that a link has sent, not the beginning that a TXT record carries."""
        return session in self._link_rows

    def describe(self) -> DeviceRow:
        """The row of the device, without `heard_at`: a change of that alone is no news."""
        statuses = [row.status for row in self._link_rows.values() if row.status.live]
        counts = (len(statuses), statuses.count(Status.WORKING), statuses.count(Status.NEEDS_INPUT))
        state, record = self.live.state, self.record
        if not self._link_in_force() and record:
            counts = (record.working + record.needs_input + record.idle, record.working, record.needs_input)
        remembered = counts[0] if state == "offline" and not self.live.refuses and self.has_sessions else 0
        if state == "offline" or self.live.refuses:
            counts = (0, 0, 0)
        endpoints = self._endpoints.to_show(self._link_endpoint, trusted=self.paired is not None)
        port = endpoints[0].port if endpoints else 0
        return DeviceRow(
            id=self.id,
            name=self.name,
            self=False,
            state=state,
            paired=self.paired is not None,
            addresses=tuple(dict.fromkeys(each.host for each in endpoints if each.port == port)),
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
            remembered=remembered,
            role=self.paired.role if self.paired else "",
        )

    def _contest(self) -> str:
        # Of a paired device only what it has signed counts.
        contested = self._announcing_hosts.contested and self.paired is None
        return "several hosts announce it" if contested else ""

    def dated(self) -> DeviceRow:
        """The listed row of the device, with `heard_at` as it is now."""
        heard_at = self.live.heard_at
        row = self.row or self.describe()
        return msgspec.structs.replace(row, heard_at=None if heard_at is None else rfc3339(heard_at))

    def compose(self, hidden: Hidden, view: object) -> dict[SessionId, SessionRow]:
        """Session rows to list for the device. `view` changes whenever an answer of `hidden` may change.

        Rows are made anew only where something changed: all others are the very same objects as before.
        """
        if not self.has_sessions:
            self._made.clear()
            return {}
        # R12, R14: sessions of a device that is out of reach, or refuses this one, stay known and are not shown.
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
                    or hidden(row.id, row.lineage, row.id in self._link_rows)
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
        if self._link_in_force() or self.record is None:
            yield from self._link_rows.values()
            return
        yield from self.record.sessions
        if self.record.more and self._link_rows:
            claimed = tuple(claim.id for claim in self.record.sessions)
            yield from (row for row in self._link_rows.values() if not row.id.startswith(claimed))

    def _make(self, source: SessionClaim | SessionRow, seen: _Seen) -> SessionRow:
        if isinstance(source, SessionRow):
            return msgspec.structs.replace(source, local=False, **seen._asdict())
        claimed = source.updated_at if source.updated_at <= self._revised_at else int(self._revised_at)
        updated_at = stamp(claimed)
        title = clean_title(source.title)
        for row in self._link_rows.values():
            if row.id.startswith(source.id):  # a link has sent more of this session
                if row.updated_at > stamp(claimed + 0.999):
                    return self._make(row, seen)
                cut = title.endswith("…") and row.title.startswith(title[:-1].rstrip())
                return msgspec.structs.replace(
                    row,
                    title=row.title if cut or not title else title,
                    untitled=row.untitled and (cut or title in ("", row.title)),
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

    def _link_in_force(self) -> bool:
        return (self.live.linked and self._link_complete) or not self._record_is_news


def _content(record: PresenceRecord) -> tuple[int, bytes]:
    newest = max((claim.updated_at for claim in record.sessions), default=0)
    return newest, msgspec.msgpack.encode(msgspec.structs.replace(record, hosts=(), port=0))
