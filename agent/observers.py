"""Who is told of a change: a part subscribes at another one, which was made before and knows nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, ParamSpec

P = ParamSpec("P")


class Observers(Generic[P]):
    """Functions that are told each change at once, in the order in which they have subscribed."""

    def __init__(self) -> None:
        self._observers: list[Callable[P, object]] = []

    def subscribe(self, observer: Callable[P, object]) -> None:
        """Tell `observer` each change from now on, after those that have subscribed before."""
        self._observers.append(observer)

    def tell(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Tell everybody. Raises: what an observer raises; those after it are not told then."""
        for observer in self._observers:
            observer(*args, **kwargs)
