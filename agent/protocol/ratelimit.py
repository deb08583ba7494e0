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

    def take(self, now: float, amount: float = 1.0) -> float:
        """Take tokens. 0.0: they were there; else the seconds until they are, and nothing was taken.

        More than the burst is never there: then all of it is what must be.
        """
        amount = min(amount, float(self._rate.burst))
        per_second = self._rate.per_minute / 60.0
        gained = max(0.0, now - self._at) * per_second
        self._tokens, self._at = min(float(self._rate.burst), self._tokens + gained), max(now, self._at)
        if self._tokens >= amount:
            self._tokens -= amount
            return 0.0
        return (amount - self._tokens) / per_second
