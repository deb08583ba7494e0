"""What a program has said and the log has not taken yet: bounded, so that a program waits while the store is behind."""

from __future__ import annotations

import asyncio
from collections import deque

from agent.ports import Asked, BackendEvent, Said, Thought, ToolFinished, ToolProgressed, ToolStarted, Unknown
from agent.sessions.rules.mapping import CHUNK

INBOX_MAX = 131_072
"""Characters that the program may be ahead of the store."""
BATCH = 64
"""Backend events stored in one go."""


class Inbox:
    """Events in order; one side puts, the other takes."""

    def __init__(self) -> None:
        self._events: deque[BackendEvent] = deque()
        self._size = 0  # characters, of what was taken and is not stored too
        self._filled, self._drained = asyncio.Event(), asyncio.Event()

    def __bool__(self) -> bool:
        """Whether something waits."""
        return bool(self._events)

    async def put(self, event: BackendEvent) -> None:
        """Add an event; waits while it is full."""
        while self._size >= INBOX_MAX:
            self._drained.clear()
            await self._drained.wait()
        self._events.append(event)
        self._size += weight(event)
        self._filled.set()

    async def filled(self) -> None:
        """Wait until something was put since the last time."""
        await self._filled.wait()
        self._filled.clear()

    def take(self) -> list[BackendEvent]:
        """What waits, as `take_batch` does; its room is given back by `stored`."""
        return take_batch(self._events)

    def stored(self) -> None:
        """What was taken is in the log."""
        self._size = sum(map(weight, self._events))
        self._drained.set()


def weight(event: BackendEvent) -> int:
    """Characters that an event keeps in memory, roughly."""
    match event:
        case Said() | Thought():
            size = len(event.text)
        case ToolProgressed():
            size = len(event.text) + sum(len(diff.patch) for diff in event.diffs)
        case ToolFinished():
            size = len(event.output) + sum(len(diff.patch) for diff in event.diffs)
        case ToolStarted():
            size = len(event.input)
        case Unknown():
            size = len(event.data)
        case Asked():
            size = len(event.detail)
        case _:
            size = 0
    return size + 64


def take_batch(inbox: deque[BackendEvent]) -> list[BackendEvent]:
    """Take what waits, up to `BATCH` events, neighbouring pieces of text joined up to `CHUNK` characters."""
    batch: list[BackendEvent] = []
    while inbox and len(batch) < BATCH:
        event = inbox.popleft()
        if isinstance(event, Said | Thought) and isinstance(inbox[0] if inbox else None, type(event)):
            pieces, size = [event.text], len(event.text)
            while inbox and isinstance(more := inbox[0], Said | Thought) and type(more) is type(event):
                if size + len(more.text) > CHUNK:
                    break
                pieces.append(more.text)
                size += len(more.text)
                inbox.popleft()
            event = type(event)("".join(pieces))
        batch.append(event)
    return batch
