"""When agents' sessions were last opened, for an agent that must not open one again too soon."""

from __future__ import annotations

import os

from agent.processes import find_process

KEPT = 1024
"""Sessions that are remembered: enough for all that were opened within a minute."""


class LastOpened:
    """When sessions of one kind of agent were opened, by the event loop's clock; one for each kind."""

    def __init__(self) -> None:
        self._opened: dict[str, float] = {}

    def opened(self, session: str, now: float) -> None:
        """Note that a session was opened now."""
        self._opened.pop(session, None)
        self._opened[session] = now
        if len(self._opened) > KEPT:
            del self._opened[next(iter(self._opened))]

    def age(self, session: str, now: float) -> float:
        """Seconds since a session was opened, at least: if an earlier service opened it, those that this one runs."""
        if (opened := self._opened.get(session)) is not None:
            return now - opened
        if len(self._opened) >= KEPT:
            return now - next(iter(self._opened.values()))
        return max(0.0, now - started())


def started() -> float:
    """When this process began, by the event loop's clock; where that cannot be known, as if it began only now."""
    row = find_process(os.getpid())
    return float("inf") if row is None else row.started / os.sysconf("SC_CLK_TCK")
