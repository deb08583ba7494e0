"""Observers of a change: a part subscribes at another one, which was made before and does not know it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, ParamSpec

P = ParamSpec("P")


class Observers(Generic[P]):
    """Functions that are called at each change, at once, in the order in which they have subscribed."""

    def __init__(self) -> None:
        self._observers: list[Callable[P, object]] = []

    def subscribe(self, observer: Callable[P, object]) -> None:
        """Call `observer` at each change from now on, after those that have subscribed before."""
        self._observers.append(observer)

    def notify(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call all observers. Raises: what an observer raises; those after it are not called then."""
        for observer in self._observers:
            observer(*args, **kwargs)
