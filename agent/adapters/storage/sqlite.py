"""Transcripts in one SQLite file: one thread writes (`writer`), a few read, and nobody waits on the event loop.

Source: DESIGN §4 (S2, S3, S4). WAL lets readers run while the writer commits.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import sqlite3
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import local
from typing import TypeVar

import msgspec
from msgspec import Raw

from agent.adapters.storage.files import read_private, write_private
from agent.adapters.storage.filesystem import abilities
from agent.adapters.storage.schema import WHOLE, connect
from agent.adapters.storage.search_index import find, unsearchable
from agent.adapters.storage.writer import Write, Writer
from agent.errors import StateError, StoreFull
from agent.ports import SIZE_MAX, LogCut, SessionMeta
from agent.protocol.events import Event
from agent.protocol.model import SessionId
from agent.protocol.searching import Matches, Term
from agent.protocol.times import unix_seconds

READERS = 2
"""Threads that read: a long history does not hold up an attaching client."""

_MINE = "session = (SELECT number FROM session WHERE id = ?)"
_SELECT = "SELECT seq, type, payload, at FROM event"
_AFTER = f"{_SELECT} WHERE {_MINE} AND seq > ? ORDER BY seq LIMIT ?"
_BEFORE = f"{_SELECT} WHERE {_MINE} AND seq < ? ORDER BY seq DESC LIMIT ?"
_OUTLINE = (
    f"{_SELECT} INDEXED BY event_outline WHERE {_MINE} AND streamed = 0 ORDER BY seq"  # else it reads every delta
)
_LAST_ACTIVE = "SELECT id, (SELECT at FROM event WHERE session = number ORDER BY seq DESC LIMIT 1) FROM session"
_SIZES = ("page_count", "freelist_count", "page_size")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SessionMeta).decode
T = TypeVar("T")


class SqliteTranscripts:
    """The transcripts in one file (`ports.TranscriptStore`). Used from one event loop.

    A write that was called takes effect even if its caller is cancelled. Reads of a session see every write that was
    called before them.
    """

    def __init__(
        self,
        path: Path,
        *,
        machine: str = "",
        refuses: Callable[[], str] = lambda: "",
        notice: Callable[[str], None] = lambda text: None,  # noqa: ARG005 - tells nobody
        search: str = "fts5",
    ) -> None:
        """Open the file, or make it, readable by its owner alone (blocks for some milliseconds).

        `machine` names this one, for a file system without locks. `refuses` tells why nothing may be written any
        more. `notice` takes what the owner should know of where the file is. `search` is the module of SQLite that
        indexes. Raises: StateError, naming the file:
        damaged, of a later version, not ours, in use elsewhere, or not to be opened.
        """
        self._path = path
        can = abilities(path.parent)
        self._alone = can != WHOLE  # then one connection does everything
        if not can.locks:
            take_place(path, machine)
        self._writer = Writer(path, can, refuses, search)
        if self._alone:
            lacks = " and ".join(
                [*([] if can.locks else ["no locks"]), *([] if can.maps else ["no shared memory maps"])]
            )
            notice(
                f"the file system of {path.parent} has {lacks}: transcripts are kept more slowly than on a local disk"
            )
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="storage.reader")
        self._connections: list[sqlite3.Connection] = []
        self._mine = local()  # the connection of a reading thread
        self._pending: dict[SessionId, asyncio.Future[None]] = {}  # the last write of a session that is under way
        self._closed = False

    async def put(self, meta: SessionMeta) -> None:
        """Create or replace a session's row; durable when it returns. Raises: StoreFull."""
        await self._submit(Write(meta.id, asyncio.get_running_loop().create_future(), meta=_encode(meta)))

    async def append(self, session: SessionId, events: Sequence[Event]) -> None:
        """Return once the events would survive a power cut. All of them or none.

        Raises: StoreFull; ValueError, if they do not continue the log or the session was never put.
        """
        await self._submit(Write(session, asyncio.get_running_loop().create_future(), events=tuple(events)))

    async def remove(self, session: SessionId) -> None:
        """Forget a session and its events, durably when it returns. Raises: StoreFull."""
        await self._submit(Write(session, asyncio.get_running_loop().create_future(), work="remove"))

    async def purge(self) -> None:
        """Return once nothing of what was removed is left in the file or its log of commits. Raises: StoreFull."""
        await self._submit(Write(SessionId(""), asyncio.get_running_loop().create_future(), work="purge"))

    async def search(self, terms: Sequence[Term], limit: int, among: Collection[SessionId] | None = None) -> Matches:
        """The newest events that have all terms, of the sessions `among` these (None: of all).

        Raises: StateError, if this Python has no full-text index, or the file is damaged.
        """
        with suppress(StoreFull):  # what is indexed can be searched all the same
            await self._submit(Write(SessionId(""), asyncio.get_running_loop().create_future(), work="index"))
        if self._writer.index.missing:
            raise unsearchable()
        unread = self._writer.index.behind  # before it is read: what is indexed meanwhile may be missing
        found = await self._read(lambda connection: find(connection, terms, limit, among))
        return msgspec.structs.replace(found, unread=unread)

    async def size(self) -> int:
        """Bytes of the file that are in use. Raises: StateError, if the file is damaged."""

        def fetch(connection: sqlite3.Connection) -> int:
            (pages, free, size) = (connection.execute(f"PRAGMA {each}").fetchone()[0] for each in _SIZES)
            return int((pages - free) * size)

        return await self._read(fetch)

    async def read(self, session: SessionId, after: int, limit: int, size: int = SIZE_MAX) -> list[Event]:
        """Up to `limit` events numbered above `after`, oldest first, and `size` bytes of payload.

        Raises: StateError, if not even the first of them can be read.
        """
        return await self._page(session, _AFTER, after, limit, size)

    async def read_before(
        self, session: SessionId, before: int | None, limit: int, size: int = SIZE_MAX
    ) -> list[Event]:
        """The newest `limit` events numbered below `before` (None: the very newest), oldest first.

        Raises: StateError, if not even the newest of them can be read.
        """
        below = SIZE_MAX if before is None else before
        newest = await self._page(session, _BEFORE, below, limit, size)
        return newest[::-1]

    async def outline(self, session: SessionId) -> list[Event]:
        """Every event whose type is not streamed, oldest first. Raises: LogCut, if the file is damaged there."""
        return await self._events(session, lambda connection: self._whole(connection, session))

    async def sessions(self) -> list[SessionMeta]:
        """All sessions, oldest first. Raises: StateError, if the file is damaged."""

        def fetch(connection: sqlite3.Connection) -> list[SessionMeta]:
            return [_meta(*row) for row in connection.execute("SELECT id, meta FROM session ORDER BY number")]

        metas = await self._read(fetch, *self._pending.values())
        return sorted(metas, key=lambda meta: meta.created_at)

    async def last_active(self) -> dict[SessionId, float]:
        """When each session's newest event was written. Raises: StateError, if the file is damaged."""

        def fetch(connection: sqlite3.Connection) -> dict[SessionId, float]:
            return {session: unix_seconds(at) for session, at in connection.execute(_LAST_ACTIVE) if at is not None}

        return await self._read(fetch, *self._pending.values())

    async def last_seq(self, session: SessionId) -> int:
        """The number of the newest event; 0 if there is none. Raises: StateError, if the file is damaged."""
        newest = await self.read_before(session, None, 1)
        return newest[0].seq if newest else 0

    async def check(self) -> None:
        """Whether something could be written; after a failure it is tried. Raises: StoreFull."""
        if (refusal := await asyncio.to_thread(self._writer.refusal)) is not None:
            raise refusal
        if self._writer.trouble is not None:
            trial = Write(SessionId(""), asyncio.get_running_loop().create_future(), trial=True)
            self._writer.submit(trial)
            await trial.done

    async def close(self) -> None:
        """Write what is pending and let go of the file. Idempotent."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        self._readers.shutdown()
        for connection in self._connections:
            connection.close()
        self._writer.stop()
        if self._alone:
            leave_place(self._path)

    async def _submit(self, write: Write) -> None:
        if self._closed:
            raise RuntimeError("the transcript store is closed")
        self._pending[write.session] = write.done
        write.done.add_done_callback(lambda done: self._forget(write.session, done))
        self._writer.submit(write)
        await asyncio.shield(write.done)  # a caller that leaves does not take back what is on its way to the disk

    def _forget(self, session: SessionId, done: asyncio.Future[None]) -> None:
        if self._pending.get(session) is done:
            del self._pending[session]

    async def _page(self, session: SessionId, select: str, bound: int, limit: int, size: int) -> list[Event]:
        def fetch(connection: sqlite3.Connection) -> list[Event]:
            events: list[Event] = []
            room = size
            try:
                for seq, kind, payload, at in connection.execute(select, (session, bound, max(limit, 0))):
                    room -= len(payload) if isinstance(payload, bytes) else 0
                    if events and room < 0:
                        break
                    events.append(_event(seq, kind, payload, at))
            except sqlite3.DatabaseError:
                if not events:  # else the next page says it
                    raise
            return events

        return await self._events(session, fetch)

    def _whole(self, connection: sqlite3.Connection, session: SessionId) -> list[Event]:
        events: list[Event] = []
        try:
            for seq, kind, payload, at in connection.execute(_OUTLINE, (session,)):
                events.append(_event(seq, kind, payload, at))
        except sqlite3.DatabaseError as exc:
            raise LogCut(self._unreadable(exc), events) from exc
        return events

    async def _events(self, session: SessionId, fetch: Callable[[sqlite3.Connection], list[Event]]) -> list[Event]:
        pending = self._pending.get(session)
        return await self._read(fetch, *(() if pending is None else (pending,)))

    async def _read(self, fetch: Callable[[sqlite3.Connection], T], *earlier: asyncio.Future[None]) -> T:
        if self._closed:
            raise RuntimeError("the transcript store is closed")
        if earlier:
            await asyncio.wait(earlier)
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._fetch, fetch)

    def _fetch(self, fetch: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._alone:
                return self._writer.read(fetch)
            connection: sqlite3.Connection | None = getattr(self._mine, "connection", None)
            if connection is None:
                connection = self._mine.connection = connect(self._path)
                connection.execute("PRAGMA query_only = ON")
                self._connections.append(connection)
            return fetch(connection)
        except (sqlite3.Error, ValueError) as exc:
            raise StateError(self._unreadable(exc)) from exc

    def _unreadable(self, exc: Exception) -> str:
        return f"the transcripts in {self._path} cannot be read: {exc}"


def _event(seq: int, kind: object, payload: object, at: object) -> Event:
    # A damaged row may hold anything; what is no event is told as one without content (`protocol.events.mended`).
    return Event(seq, str(kind), Raw(payload if isinstance(payload, bytes) else b""), str(at))


def _meta(session: SessionId, row: bytes) -> SessionMeta:
    try:
        return _decode(row)
    except (ValueError, RecursionError, TypeError):
        return SessionMeta(id=session, epoch="", backend="", created_at=0.0, unreadable=True)


def take_place(path: Path, machine: str) -> None:
    """Note that this machine uses the file, and remove the lock that it has left behind: for systems without locks.

    `transcripts.db.lock` is SQLite's folder for a lock (its VFS `unix-dotfile`); it stays behind when a service is
    killed. `transcripts.db.owner` says which machine that was. The home's own lock sees to it that there is one service
    on this machine, so what this machine has left behind may go.

    Call while holding the home's lock. `machine` names it and no other one; empty: not known. Raises: StateError, if
    another one may be using the file.
    """
    lock, owner = _lock(path), _owner(path)
    mark = hashlib.sha256(b"lan-agent place\0" + (machine or socket.gethostname()).encode()).hexdigest()
    if os.path.lexists(lock):
        host, _, noted = (read_private(owner) or b"").decode("utf-8", "replace").strip().partition(" ")
        if noted != mark:
            raise StateError(
                f"{path} is in use by another machine ({host or 'not known which'}), as {lock} says",
                hint=f"end the service there; if none runs there any more: `rmdir {lock}`",
            )
        with suppress(OSError):
            lock.rmdir()
    write_private(owner, f"{socket.gethostname().replace(' ', '-')} {mark}\n".encode())


def leave_place(path: Path) -> None:
    """Take back what `take_place` has noted, after the file was closed."""
    with suppress(OSError):
        _owner(path).unlink()


def _lock(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _owner(path: Path) -> Path:
    return path.with_name(f"{path.name}.owner")
