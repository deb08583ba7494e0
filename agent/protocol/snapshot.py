"""Shortens a log for display: events are merged and bounded, and it reads the same (S4)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Raw

from agent.protocol.events import (
    DIFFS_MAX,
    STREAMED,
    TEXT_MAX,
    Event,
    MessageComplete,
    MessageDelta,
    ThoughtDelta,
    ToolUpdate,
    encoded,
    payload_of,
)


class LogTail:
    """The newest part of a log, shortened without changing what a reader sees: what an attaching client gets first.

    Deltas of a running reply are merged into one, numbered as the last of them; once `message.complete` has the text
    they go. Thoughts and tool updates are merged likewise. Bounded: the oldest entries leave first, and `truncated`
    says so (`session.history` has them).
    """

    def __init__(self, *, events: int = 200, size: int = 393_216) -> None:
        self._events: dict[int, Event] = {}  # by seq; insertion order is seq order
        self._streams: dict[tuple[str, int, object], int] = {}  # type, turn, part or tool -> seq of the merged delta
        self._size = 0
        self._max_events, self._max_size = events, size
        self.truncated = False

    def __iter__(self) -> Iterator[Event]:
        """The events of the tail, oldest first."""
        return iter(self._events.values())

    def apply(self, event: Event) -> None:
        """Take the next event of the log."""
        if event.type in STREAMED:
            event = self._merge(event)
        elif event.type == "message.complete":
            done = payload_of(event)
            assert isinstance(done, MessageComplete)
            self._drop(self._streams.pop(("message.delta", done.turn, done.part), 0))
        elif event.type == "turn.complete":
            self._streams.clear()
        self._events[event.seq] = event
        self._size += len(bytes(event.payload))
        while len(self._events) > self._max_events or (self._size > self._max_size and len(self._events) > 1):
            self._drop(next(iter(self._events)))
            self.truncated = True

    def _merge(self, event: Event) -> Event:
        payload = payload_of(event)
        assert isinstance(payload, MessageDelta | ThoughtDelta | ToolUpdate)
        key = (event.type, payload.turn, payload.tool_id if isinstance(payload, ToolUpdate) else payload.part)
        before = self._events.get(self._streams.get(key, 0))
        self._streams[key] = event.seq
        if before is None:
            return event
        earlier = payload_of(before)
        assert isinstance(earlier, MessageDelta | ThoughtDelta | ToolUpdate)
        merged = msgspec.structs.replace(payload, text=earlier.text + payload.text)
        if isinstance(merged, ToolUpdate) and isinstance(earlier, ToolUpdate):
            diffs = (*earlier.diffs, *(diff for diff in merged.diffs if diff not in earlier.diffs))
            title, locations = merged.title or earlier.title, merged.locations or earlier.locations
            merged = msgspec.structs.replace(merged, title=title, diffs=diffs, locations=locations)
        if not _fits(merged):
            return event
        self._drop(before.seq)
        return Event(event.seq, event.type, Raw(encoded(merged)), event.at)

    def _drop(self, seq: int) -> None:
        event = self._events.pop(seq, None)
        if event is not None:
            self._size -= len(bytes(event.payload))


def _fits(merged: MessageDelta | ThoughtDelta | ToolUpdate) -> bool:
    diffs = merged.diffs if isinstance(merged, ToolUpdate) else ()
    return len(diffs) <= DIFFS_MAX and len(merged.text) + sum(len(diff.patch) for diff in diffs) <= TEXT_MAX


def compact(events: Iterable[Event]) -> list[Event]:
    """Shorten a page of a log as `LogTail` does, dropping nothing for size."""
    tail = LogTail(events=sys.maxsize, size=sys.maxsize)
    for event in events:
        tail.apply(event)
    return list(tail)
