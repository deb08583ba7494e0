"""What does not work in this service, and what its owner should know: said once, and kept for `agent status`.

Lasting trouble is a condition here, no log line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

NOTICES_MAX = 20
"""Notices that are kept; the oldest leaves first."""


class Notice(NamedTuple):
    """One line for the owner: on what subject (empty: none), and when it was said, in Unix seconds."""

    about: str
    text: str
    at: float


class Problems:
    """What does not work at this moment, and what happened that the owner should know.

    It depends on nothing, so that every part can be given it.
    """

    def __init__(self, say: Callable[[str], None], now: Callable[[], float]) -> None:
        """`say` talks to whoever started the service, `now` tells the time in Unix seconds."""
        self._say = say
        self._now = now
        self._current: dict[str, str] = {}
        self._notices: list[Notice] = []

    @property
    def current(self) -> tuple[str, ...]:
        """What does not work, one line each, in the order in which it began."""
        return tuple(self._current.values())

    def about(self, subjects: Iterable[str]) -> tuple[str, ...]:
        """What does not work of those subjects; one that ends with a space stands for all that begin so."""
        wanted = tuple(subjects)
        return tuple(
            text
            for about, text in self._current.items()
            if any(about == each or (each.endswith(" ") and about.startswith(each)) for each in wanted)
        )

    @property
    def notices(self) -> tuple[str, ...]:
        """What the owner was told last, oldest first."""
        return tuple(notice.text for notice in self._notices)

    @property
    def noticed_at(self) -> tuple[float, ...]:
        """When each of the `notices` was said, in Unix seconds."""
        return tuple(notice.at for notice in self._notices)

    def problem(self, about: str, text: str) -> None:
        """Something does not work, and why; empty when it works again. Said once, shown while it lasts."""
        if not text:
            self._current.pop(about, None)
            return
        before, self._current[about] = self._current.get(about), text
        if text != before:
            self._say(f"agent: {text}")

    def notice(self, text: str, *, about: str = "") -> None:
        """Something happened that the owner should know. Said now, shown until the service ends.

        What was told before `about` the same is shown no more: it is not so any longer.
        """
        kept = [each for each in self._notices if not about or each.about != about]
        self._notices = [*kept, Notice(about, text, self._now())][-NOTICES_MAX:]
        self._say(f"agent: {text}")
