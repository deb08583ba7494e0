"""The full-text index of the transcripts, in their own file: SQLite's FTS5, filled in small steps behind the log.

What is indexed of a session is a number beside its row, so whatever was written is found sooner or later: also what an
older version wrote, or a Python without FTS5. Source: docs/decisions/0032-full-text-search.md.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress

from msgspec import Raw

from agent.errors import BadFrame, StateError
from agent.protocol.events import Event
from agent.protocol.model import SessionId
from agent.protocol.searching import SEARCHED, Match, Matches, Term, searchable, spaced

log = logging.getLogger(__name__)

STEP, COST = 200_000, 1000
"""Characters that are indexed in one transaction (some 10 ms), of which each event costs so many beside its own."""
BEHIND = 0.5
"""Seconds after which what was written is indexed, unless somebody searches sooner."""
PAUSE, REST = 0.01, 2.0
"""Seconds between two steps while an old database is indexed, or so many times what the last step took, if that is
more: the log comes first, above all on a busy machine."""
AFTER_FAILURE = 60.0
"""Seconds between attempts when a step fails."""
CATCH_UP = 3
"""Steps that a search waits for: what was written since the last one has room in them."""
MERGE = 64
"""Pages of the index that are written anew in one step of `merged`."""

_ENTRIES = """
CREATE TABLE IF NOT EXISTS search2_entry (
    number  INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    seq     INTEGER NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS search2_entry_event ON search2_entry (session, seq);
CREATE TABLE IF NOT EXISTS search2_progress (
    session INTEGER PRIMARY KEY,
    seq     INTEGER NOT NULL
);
"""
# Without content of its own: the text is in the events. To take an entry out its text is given again, so `searchable`
# and `spaced` may only change along with the name of this table.
_INDEX = """
CREATE VIRTUAL TABLE IF NOT EXISTS search2 USING {module}
    (text, content = '', tokenize = 'unicode61 remove_diacritics 2')
"""
_FORMER = ("search", "search_entry", "search_progress")
"""Tables of earlier versions, whose index had the colours of programs in its words."""
_LAST = """
SELECT (SELECT at FROM event WHERE session = ?1 ORDER BY seq DESC LIMIT 1) WHERE EXISTS (
    SELECT 1 FROM event INDEXED BY event_outline WHERE session = ?1 AND streamed = 0
    AND seq > coalesce((SELECT seq FROM search2_progress WHERE session = ?1), 0)
)
"""
_NEXT = """
SELECT seq, type, payload, at FROM event INDEXED BY event_outline
WHERE session = ? AND streamed = 0 AND seq > ? ORDER BY seq
"""
_PROGRESS = "SELECT coalesce((SELECT seq FROM search2_progress WHERE session = ?), 0)"
_FIND = """
SELECT session.id, search2_entry.session, search2_entry.seq FROM search2
CROSS JOIN search2_entry ON search2_entry.number = search2.rowid
CROSS JOIN session ON session.number = search2_entry.session
WHERE search2 MATCH ? ORDER BY search2.rowid DESC
"""
_EVENT = "SELECT type, payload, at FROM event WHERE session = ? AND seq = ?"
_INDEXED = """
SELECT search2_entry.number, event.seq, type, payload, at FROM search2_entry
CROSS JOIN event ON event.session = search2_entry.session AND event.seq = search2_entry.seq
WHERE search2_entry.session = ? AND search2_entry.seq >= ?
"""


class SearchIndex:
    """Fills the index over the connection of the thread that writes; only that one may call it."""

    def __init__(self, module: str = "fts5") -> None:
        """`module`: the virtual table that SQLite is asked for."""
        self._module = module
        self.missing = ""  # why there is no index, once that is known
        self._behind: dict[int, None] | None = None  # sessions with events that are not indexed; None: to be looked up
        self._due = 0.0  # monotonic seconds of the next step
        self._made_anew = False

    @property
    def behind(self) -> bool:
        """Whether events are not indexed yet. May be read by any thread."""
        return not self.missing and (self._behind is None or bool(self._behind))

    def written(self, number: int, events: Iterable[Event], now: float) -> None:
        """Take note of events that were committed to the session of that number; `now` in monotonic seconds."""
        if self._behind is None or self.missing or not any(event.type in SEARCHED for event in events):
            return
        if not self._behind:
            self._due = now + BEHIND
        self._behind[number] = None

    def wait(self, now: float) -> float | None:
        """Seconds until the next step is due; None: there is nothing to do."""
        return max(0.0, self._due - now) if self.behind else None

    def put_off(self, now: float) -> None:
        """Take no step for a while: nothing can be written."""
        self._due = now + AFTER_FAILURE

    def step(self, connection: sqlite3.Connection, now: Callable[[], float]) -> None:
        """Index the next events, in one transaction; `now` gives monotonic seconds.

        Raises: sqlite3.Error, and then tries again later.
        """
        begun = now()
        self.put_off(begun)
        try:
            self.prepare(connection)
            self._fill(connection)
        except sqlite3.OperationalError:  # no room, or locked
            raise
        except sqlite3.DatabaseError:
            if self._made_anew:  # then it is not the index that is damaged
                raise
            self._make_anew(connection)
        over = now()
        self._due = over + max(PAUSE, REST * (over - begun))

    def _fill(self, connection: sqlite3.Connection) -> None:
        done, texts, room = [], list[tuple[int, int, str]](), STEP
        for number in self._behind or ():
            read = self._read(connection, number, room)
            texts += ((number, seq, text) for seq, text in read)
            room -= sum(COST + len(text) for _, text in read)
            if room <= 0:
                break
            done.append(number)
        connection.execute("BEGIN IMMEDIATE")
        for number, seq, text in texts:
            if text:
                entry = connection.execute("INSERT INTO search2_entry (session, seq) VALUES (?, ?)", (number, seq))
                connection.execute("INSERT INTO search2 (rowid, text) VALUES (?, ?)", (entry.lastrowid, text))
            connection.execute("INSERT OR REPLACE INTO search2_progress (session, seq) VALUES (?, ?)", (number, seq))
        connection.execute("COMMIT")
        for number in done:
            if self._behind is not None:
                del self._behind[number]

    def _read(self, connection: sqlite3.Connection, number: int, room: int) -> list[tuple[int, str]]:
        # The next events of a session, as text; at least one, if there is one.
        read = []
        with suppress(sqlite3.DatabaseError):  # a damaged log keeps no other one from being indexed
            (last,) = connection.execute(_PROGRESS, (number,)).fetchone()
            for seq, kind, payload, at in connection.execute(_NEXT, (number, last)):
                read.append((seq, spaced(_text(seq, kind, payload, at))))
                room -= COST + len(read[-1][1])
                if room <= 0:
                    break
        return read

    def _make_anew(self, connection: sqlite3.Connection) -> None:
        log.warning("the index of the transcripts is damaged; it is made anew")
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        for statement in (
            "DROP TABLE search2",
            "DELETE FROM search2_entry",
            "DELETE FROM search2_progress",
        ):
            connection.execute(statement)
        self._behind, self._made_anew = None, True

    def caught_up(self, connection: sqlite3.Connection, now: Callable[[], float]) -> Iterator[None]:
        """Index what was written lately, so that a search finds it; of an old database one step more is indexed.

        Raises: sqlite3.Error.
        """
        for _ in range(CATCH_UP):
            self.step(connection, now)
            if not self.behind:
                return
            yield

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Make the index, if there is none, and see what is not in it; outside of a transaction."""
        if self._behind is not None or self.missing:
            return
        try:
            connection.execute(_INDEX.format(module=self._module))
            connection.execute("SELECT rowid FROM search2 LIMIT 1").fetchone()
        except sqlite3.OperationalError as exc:
            if "no such module" not in str(exc):
                raise
            self.missing = str(exc)
            log.warning("transcripts cannot be searched: this Python's SQLite has no FTS5")
            return
        for statement in _ENTRIES.split(";"):
            connection.execute(statement)
        for name in _FORMER:
            connection.execute(f"DROP TABLE IF EXISTS {name}")
        ended: list[tuple[str, int]] = []
        for (number,) in connection.execute("SELECT number FROM session").fetchall():
            with suppress(sqlite3.DatabaseError):  # as in `_read`
                ended += [(str(at), number) for (at,) in connection.execute(_LAST, (number,))]
        self._behind = dict.fromkeys(number for _, number in sorted(ended))

    def remove(self, connection: sqlite3.Connection, number: int, first: int) -> None:
        """Take out the entries of a session's events from `first` on, in a transaction. Raises: sqlite3.Error."""
        if self._behind is None:
            return
        for entry, seq, kind, payload, at in connection.execute(_INDEXED, (number, first)).fetchall():
            text = spaced(_text(seq, kind, payload, at))
            connection.execute("INSERT INTO search2 (search2, rowid, text) VALUES ('delete', ?, ?)", (entry, text))
        connection.execute("DELETE FROM search2_entry WHERE session = ? AND seq >= ?", (number, first))

    def removed(self, connection: sqlite3.Connection, number: int) -> None:
        """Forget how far a session that is gone was indexed, in a transaction. Raises: sqlite3.Error."""
        if self._behind is not None:
            connection.execute("DELETE FROM search2_progress WHERE session = ?", (number,))
            self._behind.pop(number, None)

    def merged(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Write the index anew without what was taken out of it, a few pages in each step. Raises: sqlite3.Error."""
        pages = -MERGE  # below zero: begin with all of it
        while self._behind is not None:
            before = connection.total_changes
            connection.execute("INSERT INTO search2 (search2, rank) VALUES ('merge', ?)", (pages,))
            pages = MERGE
            if connection.total_changes - before < 2:  # sqlite.org/fts5.html, "The 'merge' Command"
                return
            yield


def find(
    connection: sqlite3.Connection, terms: Iterable[Term], limit: int, among: Collection[SessionId] | None
) -> Matches:
    """The newest events that have all terms; none, if there are no terms. Raises: sqlite3.Error."""
    found: list[Match] = []
    asked = " AND ".join(_quoted(term) for term in terms)
    for session, number, seq in connection.execute(_FIND, (asked,)) if asked else ():
        if among is not None and session not in among:
            continue
        if len(found) == limit:
            return Matches(found, more=True)
        row = connection.execute(_EVENT, (number, seq)).fetchone()
        if row is not None:
            kind, payload, at = row
            found.append(Match(SessionId(session), _event(seq, kind, payload, at)))
    return Matches(found)


def unsearchable() -> StateError:
    """The error for a search that cannot be made on this machine."""
    hint = "install a Python whose SQLite has it; `agent log SESSION` shows one transcript without"
    return StateError("this service's Python has an SQLite without FTS5, so transcripts cannot be searched", hint=hint)


def _quoted(term: Term) -> str:
    # A string of FTS5: nothing in it is an operator.
    text = spaced(term.text).replace('"', '""')
    return f'"{text}"{" *" if term.prefix else ""}'


def _text(seq: int, kind: object, payload: object, at: object) -> str:
    with suppress(BadFrame):
        return searchable(_event(seq, kind, payload, at))
    return ""


def _event(seq: int, kind: object, payload: object, at: object) -> Event:
    return Event(seq, str(kind), Raw(payload if isinstance(payload, bytes) else b""), str(at))
