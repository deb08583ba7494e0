"""Following the registry: each subscriber gets every change once, merged while it is busy (R11)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from agent.errors import Busy
from agent.presence.rules.changes import Changes, PendingChanges

PENDING_MAX = 50_000
"""Rows that wait for one subscriber. Of a row only the newest waits, so only ids that come and go can add up."""


class Subscription:
    """A stream of registry changes, merged while its reader is busy. On overflow it ends with `Busy`: read anew.

    Use a subscription as a context manager, so that it ends when its reader goes.
    """

    def __init__(self, leave: Callable[[Subscription], None]) -> None:
        self._leave = leave
        self._pending = PendingChanges()
        self._ready = asyncio.Event()
        self._open = True

    def put(self, changes: Changes) -> None:
        """Add changes for the reader. Never waits."""
        self._pending.add(changes)
        self._ready.set()
        if len(self._pending) > PENDING_MAX:
            self.close()

    def close(self) -> None:
        """End the stream for its reader. A second call does nothing."""
        if self._open:
            self._open = False
            self._leave(self)
            self._ready.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Changes:
        await self._ready.wait()
        if len(self._pending) > PENDING_MAX:
            raise Busy("the reader fell too far behind the changes")
        if not self._open:
            raise StopAsyncIteration
        self._ready.clear()
        return self._pending.take()


class Subscribers:
    """All subscriptions to the changes of the registry."""

    def __init__(self) -> None:
        self._all: set[Subscription] = set()

    def __len__(self) -> int:
        return len(self._all)

    def subscribe(self) -> Subscription:
        """Follow all changes from now on. Read the rows in the same step, before anything is awaited."""
        subscription = Subscription(self._all.discard)
        self._all.add(subscription)
        return subscription

    def publish(self, changes: Changes) -> None:
        """Pass changes on to all subscriptions."""
        if changes:
            for subscription in list(self._all):
                subscription.put(changes)
