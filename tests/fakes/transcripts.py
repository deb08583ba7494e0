"""Transcripts that live as long as the process: for tests, and for a service that is to leave no trace."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence

from agent.adapters.storage.writer import check_sequence
from agent.errors import StoreFull
from agent.ports import SIZE_MAX, SessionMeta
from agent.protocol.events import STREAMED, Event
from agent.protocol.model import SessionId
from agent.protocol.searching import Match, Matches, Term, excerpt, searchable
from agent.protocol.times import unix_seconds


class MemoryTranscripts:
    """`ports.TranscriptStore` in dictionaries; durable only in name."""

    def __init__(self, *, room: int = sys.maxsize) -> None:
        """`room`: bytes of payload that it still takes. It may be changed at any time."""
        self.room = room
        self._metas: dict[SessionId, SessionMeta] = {}
        self._events: dict[SessionId, list[Event]] = {}

    async def put(self, meta: SessionMeta) -> None:
        """Create or replace a session's row. Raises: StoreFull, if there is no room at all."""
        if self.room <= 0:
            raise StoreFull("no room left for transcripts in memory")
        self._metas[meta.id] = meta
        self._events.setdefault(meta.id, [])

    async def append(self, session: SessionId, events: Sequence[Event]) -> None:
        """Add events, all or none. Raises: StoreFull; ValueError, if they do not continue the log."""
        log = self._events.get(session)
        check_sequence(session, None if log is None else len(log), events)
        size = sum(len(bytes(event.payload)) for event in events)
        if size > self.room:
            raise StoreFull("no room left for transcripts in memory")
        if log is not None:
            self.room -= size
            log.extend(events)

    async def remove(self, session: SessionId) -> None:
        """Forget a session and its events."""
        self.room += sum(len(bytes(event.payload)) for event in self._events.pop(session, ()))
        self._metas.pop(session, None)

    async def purge(self) -> None:
        """Nothing is left of what was removed."""

    async def search(self, terms: Sequence[Term], limit: int, among: Collection[SessionId] | None = None) -> Matches:
        """Events that hold all terms somewhere, newest first."""
        found = [
            (event.at, Match(session, event))
            for session, log in self._events.items()
            if among is None or session in among
            for event in log
            if terms and all(excerpt(searchable(event), [term]).marks for term in terms)
        ]
        found.sort(key=lambda each: (each[0], each[1].event.seq), reverse=True)
        return Matches([match for _, match in found[:limit]], more=len(found) > limit)

    async def size(self) -> int:
        """Bytes of all payloads."""
        return sum(len(bytes(event.payload)) for log in self._events.values() for event in log)

    async def read(self, session: SessionId, after: int, limit: int, size: int = SIZE_MAX) -> list[Event]:
        """Up to `limit` events numbered above `after`, oldest first."""
        start = max(after, 0)
        return _fitting(self._events.get(session, [])[start : start + max(limit, 0)], size)

    async def read_before(
        self, session: SessionId, before: int | None, limit: int, size: int = SIZE_MAX
    ) -> list[Event]:
        """The newest `limit` events numbered below `before` (None: the very newest), oldest first."""
        log = self._events.get(session, [])
        end = len(log) if before is None else min(max(before - 1, 0), len(log))
        return _fitting(log[max(end - max(limit, 0), 0) : end][::-1], size)[::-1]

    async def outline(self, session: SessionId) -> list[Event]:
        """Every event whose type is not streamed, oldest first."""
        return [event for event in self._events.get(session, []) if event.type not in STREAMED]

    async def sessions(self) -> list[SessionMeta]:
        """All sessions, oldest first."""
        return sorted(self._metas.values(), key=lambda meta: meta.created_at)

    async def last_active(self) -> dict[SessionId, float]:
        """When each session's newest event was written, in Unix seconds."""
        return {session: unix_seconds(log[-1].at) for session, log in self._events.items() if log}

    async def last_seq(self, session: SessionId) -> int:
        """Number of the newest event; 0 if there is none."""
        return len(self._events.get(session, []))

    async def check(self) -> None:
        """Whether there is room at all. Raises: StoreFull."""
        if self.room <= 0:
            raise StoreFull("no room left for transcripts in memory")

    async def close(self) -> None:
        """Nothing is pending."""


def _fitting(events: Sequence[Event], size: int) -> list[Event]:
    fitting: list[Event] = []
    for event in events:
        size -= len(bytes(event.payload))
        if fitting and size < 0:
            break
        fitting.append(event)
    return fitting
