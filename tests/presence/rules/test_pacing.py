"""DESIGN §8, "Publishing": at once, then a second apart, ten a minute; a person who is waited for goes first."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.presence.rules.pacing import Pacer, Urgency, next_revision


def times(changes: list[tuple[float, Urgency]], until: float = 1000.0) -> list[float]:
    """When publications happen, with a timer armed for `due`."""
    pacer, published, now = Pacer(), list[float](), 0.0
    for at, urgency in [*changes, (until, None)]:
        while (due := pacer.due()) is not None and (now := max(now, due)) < at:
            assert pacer.take(now)
            published.append(round(now, 6))
        now = at
        if urgency is not None:
            pacer.changed(urgency, now)
    return published


def test_the_first_change_goes_out_at_once() -> None:
    assert times([(0.0, "state")]) == [0.0]


def test_nothing_is_published_without_a_change() -> None:
    pacer = Pacer()
    assert pacer.due() is None
    assert not pacer.take(10.0)
    pacer.changed("state", 10.0)
    assert pacer.take(10.0)
    assert not pacer.take(20.0)


def test_changes_within_a_second_go_out_together() -> None:
    assert times([(n / 10, "state") for n in range(10)], 5.0) == [0.0, 1.0]


def test_a_burst_of_five_and_then_one_in_six_seconds() -> None:
    assert times([(n / 2, "state") for n in range(200)], 100.0)[:8] == [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 12.0, 18.0]


def test_needs_input_borrows_and_later_changes_pay() -> None:
    changes: list[tuple[float, Urgency]] = [(n / 2, "state") for n in range(10)]
    assert times([*changes, (5.0, "needs-input"), (6.2, "state")], 60.0) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 12.0]


@pytest.mark.parametrize(("then", "expected"), [(None, [0.0, 32.0]), ("state", [0.0, 10.0])])
def test_a_title_waits_for_thirty_seconds_or_the_next_real_change(then: Urgency | None, expected: list[float]) -> None:
    changes: list[tuple[float, Urgency]] = [(0.0, "state"), (2.0, "title"), (9.0, "title")]
    assert times([*changes, (10.0, then)] if then else changes, 60.0) == expected


@given(st.lists(st.tuples(st.floats(0, 120), st.sampled_from(["needs-input", "state", "title"])), max_size=60))
def test_the_average_holds_and_every_change_is_published(changes: list[tuple[float, Urgency]]) -> None:
    changes.sort()
    published = times(changes, 1000.0)
    assert all(later - earlier >= 0.999 for earlier, later in pairwise(published))
    for at, urgency in changes:
        after = [each for each in published if each >= at - 1e-6]
        assert after
        if urgency == "needs-input":
            assert after[0] <= at + 1.0
    if not any(urgency == "needs-input" for _, urgency in changes):
        for start in published:
            assert len([each for each in published if start <= each < start + 60]) <= 15


def test_r9_revisions_grow_with_every_publication_and_across_restarts() -> None:
    assert next_revision(0, 1_800_000_000_000) == 1_800_000_000_000
    assert next_revision(1_800_000_000_000, 1_800_000_000_000) == 1_800_000_000_001
    assert next_revision(1_800_000_000_000, 5) == 1_800_000_000_001  # the clock was set back


def test_a_revision_that_no_reader_takes_is_not_gone_on_from() -> None:
    for damaged in (2**62, 2**64, 10**30, -1):
        assert next_revision(damaged, 1_800_000_000_000) == 1_800_000_000_000
    assert next_revision(2**62 - 1, 1_800_000_000_000) == 2**62
