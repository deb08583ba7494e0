"""The one thread that writes transcripts: everything that waits is committed together, then answered.

Group commit: an fsync takes as long for a hundred events as for one, so what arrived while the last one ran goes into
the next transaction. Nobody is answered before it is on disk (S2).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Literal, TypeVar

from agent.adapters.storage.filesystem import Abilities
from agent.adapters.storage.schema import VERSION, connect, open_database
from agent.adapters.storage.search_index import SearchIndex
from agent.errors import StoreFull
from agent.protocol.events import STREAMED, Event
from agent.protocol.model import SessionId

log = logging.getLogger(__name__)

BATCH_MAX = 1024
"""Writes in one transaction: keeps the log of one commit, and so the wait of the first caller, small."""

REMOVED = 500
"""Events that are removed in one transaction, the newest first."""
CHECKPOINTS = 20
"""Attempts to empty the log of commits while somebody reads what is in it."""

_NUMBER = "SELECT number FROM session WHERE id = ?"
_FIRST_REMOVED = """
SELECT min(seq), count(*) FROM (SELECT seq FROM event WHERE session = ? ORDER BY seq DESC LIMIT ?)
"""
_SHORT_OF_SPACE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Write:
    """One caller's write: a session's row or events of it, or work in several steps, between which others write."""

    session: SessionId
    done: asyncio.Future[None]
    meta: bytes = b""  # the row's SessionMeta, encoded
    events: Sequence[Event] = ()
    work: Literal["", "remove", "purge", "index"] = ""
    steps: Iterator[None] | None = None  # what is left of the work, once it has begun
    trial: bool = False  # nothing is to be written: only whether that would work
    error: Exception | None = None

    def answer(self) -> None:
        """Tell the caller how the write ended, on its loop. A caller that was cancelled meanwhile hears nothing."""
        if self.error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(self.error)
            self.done.exception()  # looked at: nobody need be there to fetch it


@dataclass(slots=True)
class _Head:
    number: int  # of the session's row
    last: int  # seq of its newest event


class Writer:
    """The thread that owns the writing connection. The queue is bounded by its callers: each waits for its write."""

    def __init__(self, path: Path, can: Abilities, refuses: Callable[[], str], search: str = "fts5") -> None:
        """Open the database. `refuses` tells why nothing may be written any more; empty: it may.

        `search`: the module of the full-text index. Raises: StateError.
        """
        self._path = path
        self._can = can
        self._refuses = refuses
        self._connection = open_database(path, can)
        self._using = Lock()  # held while the connection is used: where no other one can be, reads share it
        self._file = _identity(path)
        self.trouble: StoreFull | None = None  # why the newest transaction failed
        self.index = SearchIndex(search)
        self._heads: dict[SessionId, _Head] = {}
        self._refused: set[SessionId] = set()  # their last append found no room
        self._queue: SimpleQueue[Write | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="storage.writer", daemon=True)
        self._thread.start()

    def submit(self, write: Write) -> None:
        """Queue a write; `write.done` is answered on its own loop once it is on disk or has failed."""
        self._queue.put(write)

    def read(self, fetch: Callable[[sqlite3.Connection], T]) -> T:
        """Read over this connection, where there can be no other one. Raises: sqlite3.Error."""
        with self._using:
            return fetch(self._connection)

    def refusal(self) -> StoreFull | None:
        """The reason why nothing may be written, found without writing; empty if there is none."""
        if _identity(self._path) != self._file:
            return StoreFull(
                f"the transcripts in {self._path} were deleted or replaced while the service runs; nothing is stored",
                hint="put the folder back as it was, or start the service on that device again",
            )
        if reason := self._refuses():
            return StoreFull(f"nothing is stored any more: {reason}", hint="see `agent status` on that device")
        return None

    def stop(self) -> None:
        """Write what is queued, close the database and wait for the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while batch := self._take():
            work = batch.pop() if batch[-1].work else None
            if batch:
                self._write(batch)
                self._answer(batch)
            if work is not None:
                if self._goes_on(work):
                    self._queue.put(work)  # behind whoever came meanwhile
                else:
                    self._answer([work])
        self._give_up()
        self._connection.close()

    def _give_up(self) -> None:
        # Work that was under way when the service stopped: what is left of it is still to be done after the next start.
        while not self._queue.empty():
            work = self._queue.get()
            if work is not None:
                work.error = StoreFull("the service stops")
                self._answer([work])

    def _next(self) -> Write | None:
        """Wait for a write, and index meanwhile."""
        while True:
            wait = self.index.wait(_now())
            if wait == 0.0:
                self._index()
                continue
            try:
                return self._queue.get(timeout=wait)
            except Empty:
                continue

    def _take(self) -> list[Write]:
        """Wait for a write and take what is queued behind it, up to the first one that is work; empty once stopped."""
        batch: list[Write] = []
        write = self._next()
        while write is not None:
            batch.append(write)
            if len(batch) == BATCH_MAX or write.work:
                return batch
            try:
                write = self._queue.get_nowait()
            except Empty:
                return batch
        if batch:
            self._queue.put(None)  # nothing comes behind it: found again next time
        return batch

    @staticmethod
    def _answer(batch: list[Write]) -> None:
        def answer() -> None:
            for write in batch:
                write.answer()

        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            batch[0].done.get_loop().call_soon_threadsafe(answer)

    def _write(self, batch: list[Write]) -> None:
        """Commit all of them; if that finds no room, each by itself, so that only those without room fail."""
        if not self._commit(batch) and len(batch) > 1:
            for write in batch:
                self._commit([write])

    def _commit(self, batch: list[Write]) -> bool:
        """One transaction. Whether it was committed; if not, each write of it carries the error."""
        if (refusal := self.refusal()) is not None:
            return self._fail(batch, refusal)
        with self._using:
            return self._transact(batch)

    def _fail(self, batch: list[Write], error: StoreFull) -> bool:
        self.trouble = error
        for write in batch:
            write.error = error
        if len(batch) == 1:
            self._refused.add(batch[0].session)
        return False

    def _transact(self, batch: list[Write]) -> bool:
        heads: dict[SessionId, _Head] = {}  # what becomes true with the commit
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for write in batch:
                write.error = self._apply(write, heads)
            self._connection.execute("COMMIT")
        except sqlite3.Error as exc:
            self._undo()
            return self._fail(batch, self._told(exc))
        self.trouble = None
        for write in batch:
            if write.events and write.error is None:
                self.index.written(heads[write.session].number, write.events, _now())
        self._heads.update(heads)
        self._refused.difference_update(write.session for write in batch if write.error is None)
        return True

    def _apply(self, write: Write, heads: dict[SessionId, _Head]) -> Exception | None:
        """Write one caller's rows, or say why not before anything was written. Raises: sqlite3.Error."""
        if write.trial:
            self._connection.execute(f"PRAGMA user_version = {VERSION}")  # a page all the same
            return None
        if write.meta:
            self._connection.execute(
                "INSERT INTO session (id, meta) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET meta = excluded.meta",
                (write.session, write.meta),
            )
            return None
        head = heads.get(write.session) or self._heads.get(write.session) or self._head(write.session)
        try:
            check_sequence(write.session, None if head is None else head.last, write.events)
        except ValueError as exc:
            if write.session in self._refused:  # sent before the caller knew that the one before had failed
                return StoreFull("an earlier event of the session could not be written")
            return exc
        assert head is not None
        self._connection.executemany(
            "INSERT INTO event (session, seq, type, at, streamed, payload) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (head.number, event.seq, event.type, event.at, event.type in STREAMED, bytes(event.payload))
                for event in write.events
            ],
        )
        heads[write.session] = _Head(head.number, head.last + len(write.events))
        return None

    def _head(self, session: SessionId) -> _Head | None:
        row = self._connection.execute(
            "SELECT number, (SELECT coalesce(max(seq), 0) FROM event WHERE session = number) FROM session WHERE id = ?",
            (session,),
        ).fetchone()
        return None if row is None else _Head(*row)

    # --- work in steps -----------------------------------------------------------------------------------------------

    def _goes_on(self, work: Write) -> bool:
        """Take the next step of some work; whether there is another one after it."""
        if work.steps is None:
            work.steps = self._steps(work)
        if (refusal := self.refusal()) is not None:
            work.error = refusal
            return False
        try:
            with self._using:
                next(work.steps)
        except StopIteration:
            return False
        except sqlite3.Error as exc:
            self._undo()
            work.error = self._told(exc)
            return False
        return True

    def _steps(self, work: Write) -> Iterator[None]:
        if work.work == "remove":
            return self._remove(work.session)
        return self._purge() if work.work == "purge" else self.index.caught_up(self._connection, _now)

    def _remove(self, session: SessionId) -> Iterator[None]:
        # The newest events first and the row last: a session that is removed by half is a shorter one, never a mixture.
        self.index.prepare(self._connection)
        row = self._connection.execute(_NUMBER, (session,)).fetchone()
        while row is not None:
            (number,) = row
            self._heads.pop(session, None)
            self._connection.execute("BEGIN IMMEDIATE")
            first, count = self._connection.execute(_FIRST_REMOVED, (number, REMOVED)).fetchone()
            if count:
                self.index.remove(self._connection, number, first)
                self._connection.execute("DELETE FROM event WHERE session = ? AND seq >= ?", (number, first))
            if count < REMOVED:
                self.index.removed(self._connection, number)
                self._connection.execute("DELETE FROM session WHERE number = ?", (number,))
                row = None
            self._connection.execute("COMMIT")
            if row is not None:
                yield

    def _purge(self) -> Iterator[None]:
        # What was deleted is overwritten (secure_delete), but its words are still in older parts of the index, copies
        # of it in the gaps of pages that were split, and all of it in the log of commits.
        yield from self.index.merged(self._connection)
        self._connection.execute("VACUUM")
        yield
        for _ in range(CHECKPOINTS):
            busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return
            yield

    def _index(self) -> None:
        if self.refusal() is not None:
            self.index.put_off(_now())
            return
        try:
            with self._using:
                self.index.step(self._connection, _now)
        except sqlite3.Error as exc:
            log.warning("transcripts are not indexed", extra={"error": str(exc)})
            self._undo()

    def _undo(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:  # not even that: what was not committed goes with the connection
            self._connection.close()
            with contextlib.suppress(sqlite3.Error):  # else the next write fails, and tries this again
                self._connection = connect(self._path, self._can)

    def _told(self, exc: sqlite3.Error) -> StoreFull:
        told = StoreFull(f"the transcripts in {self._path} cannot be written: {exc}")
        if (getattr(exc, "sqlite_errorcode", 0) & 0xFF) not in _SHORT_OF_SPACE:
            told.hint = "see to the file and its disk on that device; it goes on by itself once that can be written"
        return told


def _now() -> float:
    return time.monotonic()  # noqa: TID251 - paces this thread; no event and no rule depends on it


def _identity(path: Path) -> tuple[int, int] | str:
    """Which file is there; why that cannot be told."""
    try:
        found = path.stat()
    except OSError as exc:
        return exc.strerror or str(exc)
    return found.st_dev, found.st_ino


def check_sequence(session: SessionId, last: int | None, events: Sequence[Event]) -> None:
    """Refuse events that do not continue a log whose newest number is `last` (None: no such session was put).

    Raises: ValueError. Such events are a bug of ours, never the doing of a user or a peer.
    """
    if last is None:
        raise ValueError(f"append to session {session}, which was never put")
    for expected, event in enumerate(events, last + 1):
        if event.seq != expected:
            raise ValueError(f"event {event.seq} of session {session} where {expected} was due")
