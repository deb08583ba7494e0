"""The system's time: the only place that asks for it."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """`ports.Clock` on the operating system's clocks."""

    def time(self) -> float:
        """The time of day, in Unix seconds."""
        return time.time()  # noqa: TID251 - this is the one place

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()  # noqa: TID251 - this is the one place

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        await asyncio.sleep(seconds)
