"""A clock that tests move by hand."""

from __future__ import annotations

import asyncio
import heapq
import math
from itertools import count

SETTLE = 50
"""Turns of the loop that tasks get to react to each step: more than any chain of awaits in the tests is long."""


async def settle(turns: int = SETTLE) -> None:
    """Let every task that can run do so."""
    for _ in range(turns):
        await asyncio.sleep(0)


class FakeClock:
    """`ports.Clock`; nothing moves until `advance`."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._start, self._now = start, 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def time(self) -> float:
        return self._start + self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        until = max(self._now + seconds, math.nextafter(self._now, math.inf))  # however short: time moves on
        heapq.heappush(self._sleepers, (until, next(self._order), waiter))
        await waiter

    async def advance(self, seconds: float) -> None:
        """Move on, waking each sleeper at its own time."""
        until = self._now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            at, _, waiter = heapq.heappop(self._sleepers)
            self._now = max(self._now, at)
            if not waiter.done():
                waiter.set_result(None)
            await settle()
        self._now = until
        await settle()
