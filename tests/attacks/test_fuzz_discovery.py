"""Somebody on the network sends malformed multicast DNS (T11).

Expected: every service stays up and answers, paired devices stay online and attachable, nothing fails, no memory grows.
`python -m tests.attacks.dns_fuzz --minutes 10` is the same for longer.
"""

from __future__ import annotations

import os

import pytest

from tests.attacks.dns_fuzz import DnsFuzz
from tests.attacks.soak import soak

SECONDS = 60.0 if os.environ.get("CI") else 20.0
MEMORY_MAX = 8.0
"""MiB that a service may grow in that time: measured 2.5 in a minute, and 17 when each packet left a hole behind."""


def test_the_same_seed_gives_the_same_packets() -> None:
    one, same, other = DnsFuzz(1), DnsFuzz(1), DnsFuzz(2)
    packets = [one.packet() for _ in range(1000)]
    assert packets == [same.packet() for _ in range(1000)]
    assert packets != [other.packet() for _ in range(1000)]
    assert max(map(len, packets)) <= 8900


@pytest.mark.device
@pytest.mark.timeout(240)
def test_t11_malformed_multicast_harms_nobody() -> None:
    """Attack: 300 packets a second of every kind that is wrong. Expected: nobody notices."""
    report = soak(seed=7, seconds=SECONDS)
    assert report.wrong == [], report.in_words()
    assert report.well, report.in_words()
    assert max(report.grown.values()) <= MEMORY_MAX, report.in_words()
    assert report.sent >= SECONDS * 200
    assert report.prompts >= 3
