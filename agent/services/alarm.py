"""A wait that ends after a time or when somebody rings, whichever is first."""

from __future__ import annotations

import asyncio

from agent.ports import Clock
from agent.tasks import child


class Alarm:
    """One waiter. What rang before the wait ends it at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake the waiter."""
        self._rung.set()

    async def wait(self, seconds: float | None) -> None:
        """Return when it rings or after that many seconds; None: only when it rings."""
        if seconds is None:
            await self._rung.wait()
        elif not self._rung.is_set() and seconds > 0:
            async with asyncio.TaskGroup() as group:
                waits = [
                    child(group, self._rung.wait(), "alarm.ring"),
                    child(group, self._timer(seconds), "alarm.timer"),
                ]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for each in waits:
                    each.cancel()
        self._rung.clear()

    async def _timer(self, seconds: float) -> bool:
        await self._clock.sleep(seconds)
        return True
