"""The one thread that writes transcripts: everything that waits is committed together, then answered.

Group commit: an fsync takes as long for a hundred events as for one, so what arrived while the last one ran goes into
the next transaction. Nobody is answered before it is on disk (S2).
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TypeVar

from agent.adapters.storage.filesystem import Abilities
from agent.adapters.storage.schema import VERSION, connect, open_database
from agent.errors import StoreFull
from agent.protocol.events import STREAMED, Event
from agent.protocol.model import SessionId

BATCH_MAX = 1024
"""Writes in one transaction: keeps the log of one commit, and so the wait of the first caller, small."""

_REMOVE_EVENTS = "DELETE FROM event WHERE session = (SELECT number FROM session WHERE id = ?)"
_REMOVE_SESSION = "DELETE FROM session WHERE id = ?"
_SHORT_OF_SPACE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Write:
    """One caller's write: a session's row, events of it, or the end of both."""

    session: SessionId
    done: asyncio.Future[None]
    meta: bytes = b""  # the row's SessionMeta, encoded
    events: Sequence[Event] = ()
    remove: bool = False
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

    def __init__(self, path: Path, can: Abilities, refuses: Callable[[], str]) -> None:
        """Open the database. `refuses` tells why nothing may be written any more; empty: it may. Raises: StateError."""
        self._path = path
        self._can = can
        self._refuses = refuses
        self._connection = open_database(path, can)
        self._using = Lock()  # held while the connection is used: where no other one can be, reads share it
        self._file = _identity(path)
        self.trouble: StoreFull | None = None  # why the newest transaction failed
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
            self._write(batch)
            self._answer(batch)
        self._connection.close()

    def _take(self) -> list[Write]:
        """Wait for a write and take everything queued behind it; empty once stopped."""
        batch: list[Write] = []
        write = self._queue.get()
        while write is not None:
            batch.append(write)
            if len(batch) == BATCH_MAX:
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
        if write.remove:
            self._connection.execute(_REMOVE_EVENTS, (write.session,))
            self._connection.execute(_REMOVE_SESSION, (write.session,))
            heads.pop(write.session, None)
            self._heads.pop(write.session, None)  # if this is not committed it is read again
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
