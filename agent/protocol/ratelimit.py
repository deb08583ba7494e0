"""Rate limits: token buckets, with the time as an argument."""

from __future__ import annotations

from msgspec import Struct


class Rate(Struct, frozen=True):
    """A rate limit: `burst` at once, then `per_minute`."""

    per_minute: float
    burst: int


class Bucket:
    """The token bucket of one device for one thing; full at the start."""

    def __init__(self, rate: Rate, now: float) -> None:
        """`now` is in monotonic seconds, here and in `take`."""
        self._rate = rate
        self._tokens = float(rate.burst)
        self._at = now

    def take(self, now: float, amount: float = 1.0) -> float:
        """Take tokens; returns 0.0, or if there are too few the seconds until there are enough, and takes none.

        An amount above the burst counts as the whole burst.
        """
        amount = min(amount, float(self._rate.burst))
        per_second = self._rate.per_minute / 60.0
        gained = max(0.0, now - self._at) * per_second
        self._tokens = min(float(self._rate.burst), self._tokens + gained)
        self._at = max(now, self._at)
        if self._tokens >= amount:
            self._tokens -= amount
            return 0.0
        return (amount - self._tokens) / per_second
