"""observers: who is told of a change, and in which order."""

from __future__ import annotations

import pytest

from agent.observers import Observers


def test_observers_are_told_in_the_order_in_which_they_have_subscribed() -> None:
    told: list[tuple[str, int]] = []
    changes: Observers[[int]] = Observers()
    changes.notify(0)  # nobody
    changes.subscribe(lambda number: told.append(("first", number)))
    changes.notify(1)
    changes.subscribe(lambda number: told.append(("second", number)))
    changes.notify(2)
    assert told == [("first", 1), ("first", 2), ("second", 2)]


def test_whoever_makes_a_change_hears_that_an_observer_could_not_follow() -> None:
    def cannot(number: int) -> None:
        raise ValueError(number)

    told: list[int] = []
    changes: Observers[[int]] = Observers()
    for each in (told.append, cannot, told.append):
        changes.subscribe(each)
    with pytest.raises(ValueError, match="7"):
        changes.notify(7)
    assert told == [7]
