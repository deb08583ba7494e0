"""protocol.ratelimit: token buckets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.ratelimit import Bucket, Rate


def test_a_burst_passes_and_then_one_a_second() -> None:  # FACTS-SECURITY §3: prompts 60/min burst 20
    bucket = Bucket(Rate(60.0, 20), now=0.0)
    assert [bucket.take(0.0) for _ in range(20)] == [0.0] * 20
    assert bucket.take(0.0) == pytest.approx(1.0)
    assert bucket.take(0.5) == pytest.approx(0.5)
    assert bucket.take(1.0) == 0.0
    assert bucket.take(1.0) > 0.0


def test_a_long_pause_fills_it_to_the_burst_and_no_further() -> None:
    bucket = Bucket(Rate(60.0, 3), now=0.0)
    assert [bucket.take(1e6) for _ in range(4)] == [0.0, 0.0, 0.0, pytest.approx(1.0)]


@given(st.lists(st.floats(min_value=0.0, max_value=10.0), max_size=200))
def test_never_more_than_burst_plus_rate(pauses: list[float]) -> None:
    bucket, now, passed = Bucket(Rate(60.0, 5), now=0.0), 0.0, 0
    for pause in pauses:
        now += pause
        passed += bucket.take(now) == 0.0
    assert passed <= 5 + now + 1e-6


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = Bucket(Rate(60.0, 1), now=100.0)
    assert bucket.take(100.0) == 0.0
    assert bucket.take(0.0) > 0.0
    assert bucket.take(100.5) > 0.0
