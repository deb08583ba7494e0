"""R10: presence is truthful. What each fact does to a device's state, and what its silence does."""

from __future__ import annotations

import pytest

from agent.presence.rules.registry import Registry
from agent.protocol.model import Endpoint
from agent.protocol.times import rfc3339
from tests.presence.rules.registry_facts import DEN, NOW, claim, ids, link_up, paired, record, registry, row, state


def heard_den(*, trusted: bool = True) -> Registry:
    view = registry()
    if trusted:
        view.paired([paired()], NOW)
    view.heard(record(DEN, 1, claim()), "mdns", NOW)
    return view


def why(view: Registry) -> str:
    found = view.device(DEN)
    assert found is not None
    return found.reason


def test_r10_a_paired_device_is_listed_though_it_was_never_heard() -> None:
    view = registry()
    (listed,) = view.paired([paired(seen_at=NOW - 3600, endpoints=(Endpoint("10.0.0.9", 7777),))], NOW).devices
    assert (listed.state, listed.name, listed.reason) == ("offline", "Den", "not heard yet")
    assert (listed.heard_at, listed.addresses, listed.port) == (rfc3339(NOW - 3600), ("10.0.0.9",), 7777)
    view.dial_failed(DEN, "no route", NOW)
    assert (state(view), why(view)) == ("offline", "no route")


def test_a_row_says_what_the_device_is_to_this_one() -> None:
    view = heard_den(trusted=False)
    assert [row.role for row in view.devices() if not row.self] == [""]
    for role in ("member", "guest", "host"):
        assert [row.role for row in view.paired([paired(role=role)], NOW).devices] == [role]
    assert [row.role for row in view.paired([], NOW).devices] == [""]


def test_r10_silence_makes_stale_dims_its_sessions_and_asks_for_a_probe() -> None:
    view = heard_den()
    assert view.next_deadline() == NOW + 150
    assert not view.expire(NOW + 149.9)
    assert view.to_probe(NOW + 149.9) == []
    changes = view.expire(NOW + 150)
    assert [(each.state, each.reason) for each in changes.devices] == [("stale", "not heard for 150 s")]
    assert [each.stale for each in changes.sessions] == [True]
    assert view.to_probe(NOW + 150) == [DEN]
    answered = view.answered(DEN, NOW + 151)
    assert [each.state for each in answered.devices] == ["online"]
    assert [each.stale for each in answered.sessions] == [False]
    assert view.to_probe(NOW + 151) == []
    assert view.next_deadline() == NOW + 301


def test_a_device_that_refuses_says_so_until_a_link_is_up() -> None:  # T2: its own words, not a network error
    view = heard_den()
    refused = view.answered(DEN, NOW + 1, refused=True)
    assert [(each.state, each.reason) for each in refused.devices] == [
        ("online", "does not accept this device (unpaired or revoked)")
    ]
    up = view.link_up(DEN, name="den", version="", endpoint=None, now=NOW + 2)
    assert [each.reason for each in up.devices] == [""]


def test_r10_one_time_out_is_never_dead_and_two_are() -> None:
    view = heard_den()
    view.dial_failed(DEN, "timed out", NOW + 1)
    assert (state(view), why(view)) == ("stale", "timed out")
    assert view.to_probe(NOW + 2) == []  # not again at once
    assert view.to_probe(NOW + 6) == [DEN]
    changes = view.dial_failed(DEN, "no answer at 2 addresses", NOW + 7)
    (listed,) = changes.devices
    assert (listed.state, listed.since, listed.reason) == ("offline", rfc3339(NOW + 7), "no answer at 2 addresses")
    assert (listed.sessions, [each.away for each in changes.sessions], ids(view)) == (0, [True], [])
    view.dial_failed(DEN, "timed out", NOW + 20)
    assert view.device(DEN) == listed  # since when it is so does not move


def test_r10_an_answer_between_two_time_outs_counts() -> None:
    view = heard_den()
    view.dial_failed(DEN, "timed out", NOW + 1)
    view.answered(DEN, NOW + 2)
    view.dial_failed(DEN, "timed out", NOW + 3)
    assert state(view) == "stale"


def test_r10_a_goodbye_of_a_stranger_is_believed_at_once_and_its_record_brings_it_back() -> None:
    view = heard_den(trusted=False)
    changes = view.goodbye(DEN, NOW + 1)
    assert [(each.state, each.since, each.reason) for each in changes.devices] == [
        ("offline", rfc3339(NOW + 1), "it has stopped")
    ]
    back = view.heard(record(DEN, 1, claim()), "mdns", NOW + 2)
    assert [(each.state, each.since, each.reason) for each in back.devices] == [("online", None, "")]


def test_r10_a_goodbye_of_a_paired_device_is_believed_once_it_does_not_answer() -> None:
    view = heard_den()
    assert view.to_probe(NOW + 1) == []
    assert not view.goodbye(DEN, NOW + 1)  # anybody can have sent it
    assert view.to_probe(NOW + 1) == [DEN]
    changes = view.dial_failed(DEN, "refused", NOW + 1.1)
    assert [(each.state, each.since, each.reason) for each in changes.devices] == [
        ("offline", rfc3339(NOW + 1.1), "it has stopped")
    ]
    assert ([each.away for each in changes.sessions], ids(view)) == ([True], [])
    view.heard(record(DEN, 1, claim()), "mdns", NOW + 2)  # an echo, from whomever: it is asked
    assert (state(view), view.to_probe(NOW + 7)) == ("offline", [DEN])
    back = view.heard(record(DEN, 2, claim()), "mdns", NOW + 8)
    assert [each.id for each in back.sessions] == ["abcdef"]


def test_r10_forged_goodbyes_change_nothing_while_the_device_answers() -> None:
    view = heard_den()
    for step in range(40):
        now = NOW + 1 + step / 4
        assert not view.goodbye(DEN, now)
        asked = view.to_probe(now)
        assert asked == ([DEN] if step % 4 == 0 else [])  # once a second, whatever is sent
        if asked:
            assert not view.answered(DEN, now)
    assert state(view) == "online"
    assert view.dial_failed(DEN, "no answer", NOW + 30).devices[0].state == "offline"  # the last one still waits


def test_r10_one_that_answered_after_a_goodbye_and_is_not_heard_again_is_asked_until_it_does_not_answer() -> None:
    # A second goodbye, the true one, is not told: the record is withdrawn already.
    view = heard_den()
    view.goodbye(DEN, NOW + 1)
    view.answered(DEN, NOW + 2)
    assert view.to_probe(NOW + 6) == []
    assert view.to_probe(NOW + 7) == [DEN]
    view.answered(DEN, NOW + 7)
    assert view.to_probe(NOW + 12) == [DEN]
    view.dial_failed(DEN, "", NOW + 12)
    assert (state(view), why(view)) == ("offline", "it has stopped")
    view.heard(record(DEN, 2, claim()), "mdns", NOW + 20)
    assert state(view) == "online"
    view.goodbye(DEN, NOW + 21)
    view.answered(DEN, NOW + 22)
    view.heard(record(DEN, 2, claim()), "mdns", NOW + 23)  # the poke was answered: nothing is withdrawn
    assert view.to_probe(NOW + 60) == []


def test_r10_a_goodbye_of_a_device_that_cannot_be_asked_is_believed_at_once() -> None:
    view = registry()
    view.paired([paired()], NOW)
    view.heard(record(DEN, 1, claim(), hosts=()), "mdns", NOW)
    assert view.goodbye(DEN, NOW + 1).devices[0].state == "offline"


def test_r10_a_live_link_knows_better_than_a_goodbye() -> None:
    view = heard_den()
    link_up(view)
    assert not view.goodbye(DEN, NOW + 1)
    assert not view.dial_failed(DEN, "of another address", NOW + 1)
    assert not view.expire(NOW + 10_000)
    assert (state(view), view.next_deadline()) == ("online", None)


def test_r10_a_goodbye_then_the_end_of_the_link_is_a_departure() -> None:
    view = heard_den()
    link_up(view)
    view.goodbye(DEN, NOW + 1)
    view.link_lost(DEN, "closed", NOW + 1.1)
    assert (state(view), why(view)) == ("offline", "it has stopped")


@pytest.mark.parametrize("later", [12.0, 400.0])
def test_r10_an_old_or_answered_goodbye_is_no_departure(later: float) -> None:
    view = heard_den()
    link_up(view)
    view.goodbye(DEN, NOW + 1)
    view.link_lost(DEN, "reset", NOW + later)
    assert (state(view), why(view)) == ("stale", "reset")
    link_up(view, now=NOW + 500)
    view.goodbye(DEN, NOW + 501)
    view.heard(record(DEN, 1, claim()), "mdns", NOW + 502)  # the poke was answered: the goodbye was forged
    view.link_lost(DEN, "reset", NOW + 503)
    assert state(view) == "stale"


def test_r10_a_lost_link_is_doubt_until_it_is_reached_again_or_not() -> None:
    view = heard_den()
    link_up(view)
    view.link_sessions(DEN, [row()], [], NOW, whole=True)
    changes = view.link_lost(DEN, "silence", NOW + 1)
    assert [(each.state, each.reason, each.linked) for each in changes.devices] == [("stale", "silence", False)]
    assert [(each.id, each.stale) for each in changes.sessions] == [("abcdefghijklmnop", True)]
    assert view.to_probe(NOW + 1) == [DEN]
    view.dial_failed(DEN, "refused", NOW + 1.2)
    assert state(view) == "stale"
    view.dial_failed(DEN, "refused", NOW + 1.7)
    assert (state(view), ids(view)) == ("offline", [])
    link_up(view, now=NOW + 9)
    assert (state(view), ids(view)) == ("online", ["abcdefghijklmnop"])


def test_r10_an_echo_of_what_was_known_does_not_make_a_silent_device_online() -> None:
    view = heard_den()
    view.dial_failed(DEN, "no answer", NOW + 1)
    view.dial_failed(DEN, "no answer", NOW + 2)
    assert not view.heard(record(DEN, 1, claim()), "mdns", NOW + 3)
    assert view.to_probe(NOW + 6) == []
    assert view.to_probe(NOW + 8) == [DEN]  # but it is worth asking
    view.answered(DEN, NOW + 8)
    assert state(view) == "online"


def test_r10_a_new_publication_of_an_offline_device_is_a_sign_of_life() -> None:
    view = heard_den()
    view.dial_failed(DEN, "no answer", NOW + 1)
    view.dial_failed(DEN, "no answer", NOW + 2)
    view.heard(record(DEN, 2, claim()), "mdns", NOW + 3)
    assert (state(view), ids(view)) == ("stale", ["abcdef"])
    view.dial_failed(DEN, "no answer", NOW + 4)
    assert state(view) == "offline"


def test_r10_a_stranger_is_forgotten_after_a_day_and_a_paired_device_never() -> None:
    stranger, friend = heard_den(trusted=False), heard_den()
    for view in (stranger, friend):
        view.expire(NOW + 150)
        view.dial_failed(DEN, "no answer", NOW + 151)
        view.dial_failed(DEN, "no answer", NOW + 156)
    assert (stranger.next_deadline(), friend.next_deadline()) == (NOW + 86_400, None)
    assert not stranger.expire(NOW + 86_399)
    assert stranger.expire(NOW + 86_400).devices_gone == (DEN,)
    assert not friend.expire(NOW + 10 * 86_400)
    assert (state(stranger), state(friend)) == ("gone", "offline")
    assert stranger.next_deadline() is None


def test_r10_a_device_unpaired_that_was_never_heard_is_forgotten() -> None:
    view = registry()
    view.paired([paired()], NOW)
    assert view.paired([], NOW).devices_gone == (DEN,)
    view.paired([paired()], NOW)
    link_up(view)
    view.link_sessions(DEN, [row()], [], NOW, whole=True)
    changes = view.paired([], NOW)
    assert changes.sessions_gone == ("abcdefghijklmnop",)
    assert [each.paired for each in changes.devices] == [False]
    assert view.link_lost(DEN, "revoked", NOW).devices_gone == (DEN,)


def test_r10_a_device_without_any_address_is_not_probed() -> None:
    view = registry()
    view.heard(record(hosts=()), "mdns", NOW)
    view.expire(NOW + 150)
    assert (state(view), view.to_probe(NOW + 150)) == ("stale", [])
