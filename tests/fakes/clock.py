"""A clock that tests move by hand."""

from __future__ import annotations

import asyncio
import heapq
import math
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

TURNS_MAX = 20_000
"""Turns of the loop after which a test that waits for it to be idle fails: something in it never rests."""

_settling: WeakKeyDictionary[asyncio.AbstractEventLoop, int] = WeakKeyDictionary()
# How many tasks wait for a loop to be idle; they do not keep each other waiting.


async def settle() -> None:
    """Wait until the loop is idle: no task can run, no timer is due, no socket has something to read.

    Work in other threads and programs is not seen: whoever needs it waits for what it brings (`tests.fakes.waiting`).
    """
    loop: Any = asyncio.get_running_loop()
    _settling[loop] = _settling.get(loop, 0) + 1
    try:
        idle = 0
        for _ in range(TURNS_MAX):
            await asyncio.sleep(0)
            idle = 0 if len(loop._ready) >= _settling[loop] or _timer_is_due(loop) else idle + 1
            if idle == 2:  # between the two the loop has asked its sockets
                return
    finally:
        _settling[loop] -= 1
    raise AssertionError(f"the loop is never idle: {loop._ready}")


def _timer_is_due(loop: Any) -> bool:
    now = loop.time()
    return any(timer._when <= now and not timer._cancelled for timer in loop._scheduled[:1])


async def turns(number: int) -> None:
    """Let the loop go round so many times, for a test of what happens in between."""
    for _ in range(number):
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


class LoopClock:
    """The running loop's own clock, which timers of real parts follow: it can be moved on besides."""

    def __init__(self) -> None:
        self._ahead = 0.0
        loop = asyncio.get_running_loop()
        time = loop.time
        loop.time = lambda: time() + self._ahead  # type: ignore[method-assign] # of this loop alone, which the test ends

    async def advance(self, seconds: float) -> None:
        """Move on; what was due by then is done."""
        self._ahead += seconds
        await settle()
