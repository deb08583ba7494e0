"""What has happened in a session and was not looked at yet: bounded, so the gateway waits when there is too much."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from agent.adapters.backends.hermes.wire import GatewayEvent, GatewayQuestion

ROOM = 1_048_576
"""Bytes that may wait."""


class EventInbox:
    """A bounded queue of one session's events, with one task that puts and one that takes."""

    def __init__(self) -> None:
        self._items: deque[GatewayEvent | GatewayQuestion] = deque()
        self._size = 0
        self._room = asyncio.Event()
        self._asking = 0
        self._closed = False

    def __bool__(self) -> bool:
        return bool(self._items)

    def __iter__(self) -> Iterator[GatewayEvent | GatewayQuestion]:
        return iter(tuple(self._items))

    async def put(self, item: GatewayEvent | GatewayQuestion) -> None:
        """Add an event; wait while too much waits already."""
        while self._size > ROOM and not self._asking and not self._closed:
            self._room.clear()
            await self._room.wait()
        if not self._closed:
            self._items.append(item)
            self._size += _weight(item)

    def take(self) -> GatewayEvent | GatewayQuestion:
        """Take the oldest event. Raises: IndexError, if there is none."""
        item = self._items.popleft()
        self._size -= _weight(item)
        if self._size <= ROOM:
            self._room.set()
        return item

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Hold nothing up while the one who takes waits for an answer, which comes the same way."""
        self._asking += 1
        self._room.set()
        try:
            yield
        finally:
            self._asking -= 1

    def close(self) -> None:
        """Keep nothing any more, and let go whoever waits for room."""
        self._closed = True
        self._items.clear()
        self._room.set()


def _weight(item: GatewayEvent | GatewayQuestion) -> int:
    body = item.payload if isinstance(item, GatewayEvent) else item.params
    return len(bytes(body)) + 200
