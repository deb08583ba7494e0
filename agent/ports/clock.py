"""The time."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """The time. Only `agent.clock` asks the system for it."""

    def time(self) -> float:
        """Unix seconds."""

    def monotonic(self) -> float:
        """Seconds that never jump."""

    async def sleep(self, seconds: float) -> None:
        """Return after that many monotonic seconds."""
