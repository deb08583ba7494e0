"""What a packet may not do (T5, T10, R11), and how many strangers get in."""

from __future__ import annotations

import msgspec

from agent.presence.rules.registry import Changes
from agent.protocol.model import DeviceId, SessionId, Status
from agent.protocol.times import rfc3339
from tests.presence.rules.registry_facts import (
    BOX,
    DEN,
    NOW,
    OWN,
    claim,
    ids,
    link_up,
    paired,
    record,
    registry,
    row,
    state,
)

WHOLE = SessionId("abcdefghijklmnop")


def test_r11_the_same_again_changes_nothing_and_a_change_is_told_once() -> None:
    view = registry()
    view.paired([paired()], NOW)
    said = record(DEN, 1, claim(), claim("zzzzzz"))
    assert view.heard(said, "mdns", NOW)
    assert not view.heard(said, "mdns", NOW + 60)
    assert view.device(DEN).heard_at == rfc3339(NOW + 60)  # type: ignore[union-attr]  # it is listed
    changes = view.heard(record(DEN, 2, claim(status=Status.WORKING), claim("zzzzzz")), "mdns", NOW + 61)
    assert [each.id for each in changes.sessions] == ["abcdef"]
    assert changes.sessions_gone == ()
    assert not view.local_sessions([], [SessionId("unknown")], NOW)
    assert not view.goodbye(BOX, NOW)
    assert not Changes()


def test_t5_a_record_never_renames_a_paired_device() -> None:
    view = registry()
    view.heard(record(name="den"), "mdns", NOW)
    view.paired([paired(name="Den")], NOW)
    assert not view.heard(record(DEN, 2, name="bank"), "mdns", NOW)
    assert view.devices()[1].name == "Den"
    link_up(view, name="Den upstairs")
    assert view.devices()[1].name == "Den upstairs"
    view.paired([], NOW)
    view.link_lost(DEN, "revoked", NOW)
    assert view.devices()[1].name == "bank"  # a stranger again


def test_our_own_record_heard_back_is_no_device() -> None:
    view = registry()
    assert not view.heard(record(OWN, 1, claim()), "mdns", NOW)
    assert len(view.devices()) == 1


def test_t10_what_a_peer_tells_over_a_link_is_cleaned_and_bounded() -> None:
    view = registry()
    view.paired([paired()], NOW)
    link_up(view)
    rows = [
        row(WHOLE, title="\x1b[2Jx" * 100, model="m\u202e", local=True, attachable=False, stale=True),
        row("bad id/../..", title="bad id"),
        msgspec.structs.replace(row("badtimebadtimeba"), updated_at="yesterday"),
        row("goodgoodgoodgood", at=NOW + 10**9),
        row("x"),
    ]
    view.link_sessions(DEN, rows, [], NOW, whole=True)
    assert sorted(ids(view)) == [WHOLE, "goodgoodgoodgood"]
    first = view.session(WHOLE)
    assert first is not None
    assert "\x1b" not in first.title
    assert len(first.title) <= 120
    assert (first.model, first.local, first.attachable, first.stale, first.device.id) == ("m", False, True, False, DEN)
    assert view.session(SessionId("goodgoodgoodgood")).updated_at == rfc3339(NOW)  # type: ignore[union-attr]  # listed


def test_strangers_are_capped_and_trusted_devices_are_not() -> None:
    view = registry(unpaired_max=4, devices_max=16, new_per_second=2)
    view.paired([paired(DeviceId(f"trusted{n:09}")) for n in range(20)], NOW)
    view.heard(record(DEN, 1), "mdns", NOW)
    for n in range(100):  # 1 s: two get in
        view.heard(record(DeviceId(f"phantom{n:09}"), 1), "mdns", NOW + 1 + n / 100)
    assert len([each for each in view.devices() if each.name == "den"]) <= 4
    assert len([each for each in view.devices() if each.paired]) == 20


def test_no_more_than_twenty_strangers_a_second_get_in() -> None:
    view = registry()
    for n in range(50):
        view.heard(record(DeviceId(f"phantom{n:09}"), 1), "mdns", NOW)
    assert len(view.devices()) == 21
    view.heard(record(DEN, 1), "mdns", NOW + 0.1)
    assert state(view) == "online"


def test_the_least_recently_heard_stranger_leaves_first() -> None:
    view = registry(unpaired_max=2)
    view.heard(record(DEN, 1, claim()), "mdns", NOW)
    view.heard(record(BOX, 1), "mdns", NOW + 1)
    view.heard(record(DEN, 1, claim()), "mdns", NOW + 2)
    changes = view.heard(record(DeviceId("third"), 1), "mdns", NOW + 3)
    assert changes.devices_gone == (BOX,)
    assert view.heard(record(DeviceId("fourth"), 1), "mdns", NOW + 4).devices_gone == (DEN,)


def test_a_stranger_that_two_hosts_announce_is_told_as_such() -> None:
    view = registry()
    reasons = []
    for second, host in enumerate(["10.0.0.2", "10.0.0.9"] * 2):
        view.heard(record(DEN, 1 + second, hosts=(host,)), "mdns", NOW + second)
        reasons.append(view.device(DEN).reason)  # type: ignore[union-attr]  # it is listed
    assert reasons == ["", "", "several hosts announce it", "several hosts announce it"]
    for second in (60, 120, 215):
        view.heard(record(DEN, 10 + second, hosts=("10.0.0.2",)), "mdns", NOW + second)
    assert view.device(DEN).reason == ""  # type: ignore[union-attr]  # the other one has gone


def test_a_stranger_that_moves_or_has_several_addresses_is_one_host() -> None:
    view = registry()
    moves = [("10.0.0.2",), ("10.0.0.2", "fe80::2%eth0"), ("fe80::2%eth0",), ("10.0.0.3",), ("10.0.0.3", "10.1.0.3")]
    for second, hosts in enumerate(moves):
        view.heard(record(DEN, 1 + second, hosts=hosts), "mdns", NOW + second)
        assert view.device(DEN).reason == ""  # type: ignore[union-attr]  # it is listed


def test_of_a_paired_device_other_hosts_are_no_matter() -> None:
    view = registry()
    view.paired([paired()], NOW)
    for second, host in enumerate(["10.0.0.2", "10.0.0.9"] * 3):
        view.heard(record(DEN, 1 + second, hosts=(host,)), "mdns", NOW + second)
    assert "announce" not in view.device(DEN).reason  # type: ignore[union-attr]  # it is listed
