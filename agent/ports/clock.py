"""The port to the time."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Gives the time. Only `agent.clock` asks the system for it."""

    def time(self) -> float:
        """The present time in Unix seconds."""

    def monotonic(self) -> float:
        """The present time in monotonic seconds, which never jump."""

    async def sleep(self, seconds: float) -> None:
        """Return after so many monotonic seconds."""
