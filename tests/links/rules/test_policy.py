"""links.rules.policy: which link stays, how long to wait, what is closed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.net.dial import dial_schedule
from agent.links.rules.policy import LinkUse, new_link_stays, to_close
from agent.protocol.model import DeviceId, Endpoint
from agent.tasks import reconnect_delay

A, B = DeviceId("a" * 16), DeviceId("b" * 16)


@given(st.booleans(), st.booleans(), st.floats(0, 20))
def test_both_ends_keep_the_same_link(old_by_a: bool, new_by_a: bool, apart: float) -> None:  # L2
    at_a = new_link_stays(own=A, peer=B, old_is_ours=old_by_a, new_is_ours=new_by_a, apart=apart)
    at_b = new_link_stays(own=B, peer=A, old_is_ours=not old_by_a, new_is_ours=not new_by_a, apart=apart)
    assert at_a is at_b


def test_of_two_at_once_the_one_dialled_by_the_smaller_id_stays() -> None:  # L2
    assert new_link_stays(own=A, peer=B, old_is_ours=False, new_is_ours=True, apart=0.1)
    assert not new_link_stays(own=A, peer=B, old_is_ours=True, new_is_ours=False, apart=0.1)


def test_whoever_dials_again_has_lost_the_older_link() -> None:  # L2, L5
    assert new_link_stays(own=A, peer=B, old_is_ours=True, new_is_ours=False, apart=60.0)
    assert new_link_stays(own=A, peer=B, old_is_ours=True, new_is_ours=True, apart=0.1)


def test_delays_double_up_to_a_limit() -> None:  # L5
    assert [reconnect_delay(n, 1.0) for n in (0, 1, 2, 7, 100)] == [0.25, 0.5, 1.0, 30.0, 30.0]
    assert reconnect_delay(3, 0.5) == 1.0
    with pytest.raises(ValueError, match="from 0"):
        reconnect_delay(-1, 1.0)


def test_what_worked_last_is_tried_first_then_what_is_near_and_what_is_far_waits_longer() -> None:  # L3, L10
    far, far_too, near, near_too = (Endpoint(host, 7471) for host in ("100.64.0.1", "10.9.0.1", "10.0.0.1", "10.0.0.2"))
    schedule = dial_schedule([far, far_too, near, near_too], lambda host: host.startswith("10.0."))
    assert [endpoint for _, endpoint in schedule] == [far, near, near_too, far_too]
    assert [round(delay, 2) for delay, _ in schedule] == [0.0, 0.05, 0.1, 0.35]
    assert dial_schedule([], lambda host: True) == []


def test_beyond_the_limit_the_least_used_unprotected_link_goes() -> None:  # L4
    links = [
        LinkUse(DeviceId("old-but-watched"), 1.0, protected=True),
        LinkUse(DeviceId("older"), 2.0, protected=False),
        LinkUse(DeviceId("newer"), 3.0, protected=False),
    ]
    assert to_close(links, limit=2, on_demand=False, idle=60.0, now=4.0) == ["older"]
    assert to_close(links, limit=1, on_demand=False, idle=60.0, now=4.0) == ["older", "newer"]
    assert to_close(links, limit=3, on_demand=False, idle=60.0, now=400.0) == []


def test_on_demand_an_idle_link_goes_and_a_watched_one_stays() -> None:  # L4
    links = [LinkUse(A, 10.0, protected=False), LinkUse(B, 10.0, protected=True)]
    assert to_close(links, limit=32, on_demand=True, idle=60.0, now=69.0) == []
    assert to_close(links, limit=32, on_demand=True, idle=60.0, now=70.0) == [A]
