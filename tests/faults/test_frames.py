"""A few seconds of `python -m tests.faults.frames`: a paired guest says what nobody should say (T11, T12)."""

from __future__ import annotations

import os

import pytest

from tests.e2e.lab import missing
from tests.faults.frames import MORE, fuzz

pytestmark = [pytest.mark.device, pytest.mark.timeout(300)]


def test_fuzzed_frames_of_a_guest_neither_end_nor_swell_the_service() -> None:
    if reason := missing():
        if os.environ.get("CI"):
            pytest.fail(f"frames must be fuzzed in CI: {reason}")
        pytest.skip(reason)
    outcome = fuzz(9, 15.0)
    print(outcome)
    assert not outcome.problems
    assert max(outcome.grown.values()) <= MORE
    assert outcome.said["frames"] > 300
