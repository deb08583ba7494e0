"""When a change may be published over multicast (DESIGN §8, "Publishing"). Times are monotonic seconds."""

from __future__ import annotations

from typing import Literal

from agent.protocol.model import REVISION_MAX

Urgency = Literal["needs-input", "state", "title"]

APART = 1.0
"""Seconds between two publications (RFC 6762 §6)."""
BURST = 5
REFILL = 6.0
"""Seconds for one more publication: ten a minute on average (RFC 6762 §8.4)."""
TITLE_WAIT = 30.0
"""Seconds that a change of title or time alone waits for one that matters."""


def next_revision(previous: int, now_ms: int) -> int:
    """The revision of the next publication: grows with each one, and across restarts by the clock (R9).

    A previous revision that no reader accepts, as a damaged file may hold it, does not count.
    """
    return max(previous + 1, now_ms) if 0 <= previous < REVISION_MAX else now_ms


class Pacer:
    """When a change is to be published: the first one at once, later ones by a token bucket."""

    def __init__(self) -> None:
        self._tokens = float(BURST)
        self._filled_at = self._last = float("-inf")
        self._wanted: Urgency | None = None
        self._since = 0.0  # of a wait for a title alone

    def changed(self, urgency: Urgency, now: float) -> None:
        """Record that something that is published has changed."""
        rank = {"title": 0, "state": 1, "needs-input": 2}
        if self._wanted is None:
            self._since = now
        if self._wanted is None or rank[urgency] > rank[self._wanted]:
            self._wanted = urgency

    def due(self) -> float | None:
        """When to publish (monotonic seconds, perhaps in the past); None: nothing has changed."""
        if self._wanted is None:
            return None
        earliest = self._last + APART
        if self._wanted == "needs-input":  # a person is waited for: this borrows a token, and later changes pay
            return max(earliest, self._since)
        refilled = self._filled_at + (1.0 - self._tokens) * REFILL if self._tokens < 1.0 else earliest
        waited = self._since + TITLE_WAIT if self._wanted == "title" else self._since
        return max(earliest, refilled, waited)

    def take(self, now: float) -> bool:
        """Whether to publish now. If so, everything that has changed counts as published."""
        due = self.due()
        if due is None or now < due:
            return False
        if self._filled_at > float("-inf"):
            self._tokens = min(float(BURST), self._tokens + (now - self._filled_at) / REFILL)
        self._tokens = max(-float(BURST), self._tokens - 1.0)
        self._filled_at = self._last = now
        self._wanted = None
        return True
