"""How much of something a device may do in a while: token buckets, with the time as an argument."""

from __future__ import annotations

from msgspec import Struct


class Rate(Struct, frozen=True):
    """`burst` at once, then `per_minute`."""

    per_minute: float
    burst: int


class Bucket:
    """Tokens of one device for one thing. Full at the start."""

    def __init__(self, rate: Rate, now: float) -> None:
        """`now`: monotonic seconds, here and below."""
        self._rate, self._tokens, self._at = rate, float(rate.burst), now

    def take(self, now: float) -> float:
        """Take one token. 0.0: it was there; else the seconds until one is, and nothing was taken."""
        per_second = self._rate.per_minute / 60.0
        gained = max(0.0, now - self._at) * per_second
        self._tokens, self._at = min(float(self._rate.burst), self._tokens + gained), max(now, self._at)
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / per_second
