"""R1 to R11 but for presence (test_registry_presence) and finding (test_registry_lookup): what is listed, and how."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.records import DeviceId, DeviceRow, Endpoint, SessionId, Status
from agent.core.registry import Changes, Registry
from agent.core.transcript import rfc3339
from tests.core.registry_facts import (
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

# --- R1 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize(
    ("hosts", "port", "somewhere"),
    [
        (("10.0.0.2",), 7777, True),
        (("fe80::2%eth0",), 7777, True),
        ((), 7777, False),
        (("10.0.0.2",), 0, False),
        (("10.0.0.2",), 80, False),  # a record may not send us to a service of somebody else
        (("224.0.0.1", "0.0.0.0", "::", "8.8.8.8", "den.local", "255.255.255.255"), 7777, False),
    ],
)
def test_r1_attachable_needs_trust_and_somewhere_to_dial(
    trusted: bool, hosts: tuple[str, ...], port: int, somewhere: bool
) -> None:
    view = registry()
    if trusted:
        view.paired([paired()], NOW)
    view.heard(record(DEN, 1, claim(), hosts=hosts, port=port), "mdns", NOW)
    assert [each.attachable for each in view.sessions()] == [trusted and somewhere]


def test_r1_pairing_and_unpairing_change_what_is_attachable() -> None:
    view = registry()
    view.heard(record(DEN, 1, claim()), "mdns", NOW)
    assert [each.attachable for each in view.paired([paired()], NOW).sessions] == [True]
    assert [each.attachable for each in view.paired([], NOW).sessions] == [False]


def test_r1_a_session_over_an_inbound_link_is_attachable_without_any_address() -> None:
    view = registry()
    view.paired([paired()], NOW)
    view.link_up(DEN, name="Den", version="1", endpoint=None, now=NOW)
    view.link_sessions(DEN, [row()], [], NOW, whole=True)
    assert [each.attachable for each in view.sessions()] == [True]


# --- R2 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("local_first", [True, False])
def test_r2_a_record_of_a_local_session_is_never_shown(local_first: bool) -> None:
    view = registry()
    if local_first:
        view.local_sessions([row(WHOLE)], [], NOW)
    view.heard(record(DEN, 1, claim(WHOLE[:6]), claim("zzzzzz")), "mdns", NOW)
    if not local_first:
        view.local_sessions([row(WHOLE)], [], NOW)
    assert ids(view) == ["zzzzzz"]
    assert [each.id for each in view.sessions("local")] == [WHOLE]
    view.local_sessions([], [WHOLE], NOW)
    assert sorted(ids(view)) == [WHOLE[:6], "zzzzzz"]


def test_r2_lineage_counts_on_both_sides() -> None:
    view = registry()
    view.paired([paired()], NOW)
    link_up(view)
    theirs = [
        row("continuedbymine1"),
        row("continuesmine111", lineage=("minemineminemine",)),
        row("sharesabackendid", lineage=("backend-7",)),
        row("nothingtodowith1", lineage=("backend-8",)),
    ]
    view.link_sessions(DEN, theirs, [], NOW, whole=True)
    view.local_sessions([row("minemineminemine", lineage=("continuedbymine1", "backend-7"))], [], NOW)
    assert ids(view) == ["nothingtodowith1"]


def test_r2_a_local_row_says_that_it_is_ours_whatever_it_came_with() -> None:
    view = registry()
    (listed,) = view.local_sessions([row(WHOLE, local=False, stale=True, title="")], [], NOW).sessions
    assert (listed.local, listed.stale, listed.device.id, listed.title) == (True, False, OWN, "Untitled session")
    renamed = view.own_changed(name="study", port=7000, hosts=("10.0.0.1",), now=NOW)
    assert [each.device.name for each in renamed.sessions] == ["study"]
    assert [(each.name, each.port, each.addresses) for each in renamed.devices] == [("study", 7000, ("10.0.0.1",))]


# --- R3 ---------------------------------------------------------------------------------------------------------------


def test_r3_a_link_speaks_for_its_sessions_while_it_is_up() -> None:
    view = registry()
    view.paired([paired()], NOW)
    view.heard(record(DEN, 1, claim(WHOLE[:6]), claim("zzzzzz")), "mdns", NOW)
    link_up(view)
    assert sorted(ids(view)) == [WHOLE[:6], "zzzzzz"]  # until the link has told its list
    changes = view.link_sessions(DEN, [row(WHOLE, status=Status.WORKING)], [], NOW, whole=True)
    assert ids(view) == [WHOLE]
    assert sorted(changes.sessions_gone) == [WHOLE[:6], "zzzzzz"]
    assert not view.heard(record(DEN, 2, claim(WHOLE[:6], Status.IDLE)), "mdns", NOW).sessions
    assert view.sessions()[0].status is Status.WORKING
    found = view.device(DEN)
    assert found is not None
    assert (found.sessions, found.working, found.source, found.linked) == (1, 1, "link", True)


def test_r3_after_the_link_a_newer_record_updates_the_full_rows() -> None:
    view = registry()
    view.paired([paired()], NOW)
    view.heard(record(DEN, 1), "mdns", NOW)
    link_up(view)
    long_title = "the quick brown fox jumps over the lazy dog"
    view.link_sessions(DEN, [row(WHOLE, title=long_title, cwd="/srv"), row("gonegonegonegone")], [], NOW, whole=True)
    view.link_lost(DEN, "", NOW + 1)
    assert sorted(ids(view)) == [WHOLE, "gonegonegonegone"]  # the record is older than what the link told
    newer = claim(WHOLE[:6], Status.NEEDS_INPUT, int(NOW) + 2, "the quick brown fox jumps…")
    view.heard(record(DEN, 2, newer, claim("newone")), "mdns", NOW + 3)
    assert sorted(ids(view)) == [WHOLE, "newone"]
    updated = view.session(WHOLE)
    assert updated is not None
    assert (updated.status, updated.title, updated.cwd) == (Status.NEEDS_INPUT, long_title, "/srv")


def test_r3_what_a_link_told_outlives_older_records_and_a_new_link() -> None:
    view = registry()
    view.paired([paired()], NOW)
    view.heard(record(DEN, 1, claim(WHOLE[:6])), "mdns", NOW)
    link_up(view)
    view.link_sessions(DEN, [row(WHOLE), row("latelatelatelate")], [], NOW, whole=True)
    view.heard(record(DEN, 2, claim(WHOLE[:6], Status.WORKING)), "mdns", NOW + 1)
    view.link_sessions(DEN, [row(WHOLE, status=Status.NEEDS_INPUT, at=NOW + 2)], [], NOW + 2)
    for lost_at in (NOW + 3, NOW + 5):
        assert not view.link_lost(DEN, "", lost_at).sessions_gone
        assert sorted(ids(view)) == [WHOLE, "latelatelatelate"]
        assert view.session(WHOLE).status is Status.NEEDS_INPUT  # type: ignore[union-attr]  # listed
        assert not link_up(view, now=lost_at + 1).sessions_gone
    view.link_lost(DEN, "", NOW + 7)
    view.heard(record(DEN, 3, claim(WHOLE[:6], Status.IDLE, int(NOW))), "mdns", NOW + 8)
    assert view.session(WHOLE).status is Status.NEEDS_INPUT  # type: ignore[union-attr]  # its own time is the later


def test_r3_sessions_that_did_not_fit_the_record_stay_after_the_link() -> None:
    view = registry()
    view.paired([paired()], NOW)
    link_up(view)
    view.link_sessions(DEN, [row(WHOLE), row("restrestrestrest")], [], NOW, whole=True)
    view.link_lost(DEN, "", NOW)
    view.heard(record(DEN, 2, claim(WHOLE[:6]), more=1), "mdns", NOW)
    assert sorted(ids(view)) == [WHOLE, "restrestrestrest"]


def test_r3_link_lists_grow_and_shrink_by_what_changed() -> None:
    view = registry()
    view.paired([paired()], NOW)
    link_up(view)
    view.link_sessions(DEN, [row(WHOLE), row("otherotherothero")], [], NOW, whole=True)
    changes = view.link_sessions(DEN, [row(WHOLE, title="new")], [SessionId("otherotherothero")], NOW)
    assert [each.title for each in changes.sessions] == ["new"]
    assert changes.sessions_gone == ("otherotherothero",)


def test_r3_one_device_on_several_interfaces_is_one_row() -> None:
    view = registry()
    view.heard(record(hosts=("10.0.0.2",)), "mdns", NOW)
    view.heard(record(hosts=("10.0.0.2", "fe80::2%eth0")), "mdns", NOW)
    view.heard(record(hosts=("192.168.9.9",), revision=0), "static", NOW)
    assert [each.id for each in view.devices()] == [OWN, DEN]
    assert [each.host for each in view.endpoints(DEN)] == ["10.0.0.2", "fe80::2%eth0", "192.168.9.9"]
    assert view.devices()[1].addresses == ("10.0.0.2", "fe80::2%eth0", "192.168.9.9")


def test_r3_several_configured_addresses_of_one_device_are_all_kept() -> None:
    view = registry()
    for host in ("10.0.0.5", "10.0.0.6", "10.0.0.5"):
        view.heard(record(DEN, 0, hosts=(host,)), "static", NOW)
    assert sorted(each.host for each in view.endpoints(DEN)) == ["10.0.0.5", "10.0.0.6"]
    assert view.devices()[1].source == "static"


def test_r3_endpoints_are_tried_where_they_last_worked_first() -> None:
    view = registry()
    remembered = Endpoint("10.0.0.8", 7777)
    view.paired([paired(endpoints=(remembered,))], NOW)
    view.heard(record(hosts=("10.0.0.2", "10.0.0.3")), "mdns", NOW)
    static = record(DEN, 0, hosts=("203.0.113.9", "8.8.8.8"), port=443)
    view.heard(static, "static", NOW)
    heard = [Endpoint("10.0.0.2", 7777), Endpoint("10.0.0.3", 7777)]
    configured = list(static.endpoints)  # a person's own word may name any address
    assert view.endpoints(DEN) == [*heard, remembered, *configured]
    view.link_up(DEN, name="Den", version="1", endpoint=heard[1], now=NOW)
    assert view.endpoints(DEN) == [heard[1], heard[0], remembered, *configured]


def test_r3_of_two_devices_that_claim_one_session_the_trusted_one_is_listed() -> None:
    view = registry()
    view.heard(record(BOX, 9, claim(title="forged", at=int(NOW))), "mdns", NOW)
    view.paired([paired()], NOW)
    view.heard(record(DEN, 1, claim(title="real", at=int(NOW) - 50)), "mdns", NOW)
    assert [each.title for each in view.sessions()] == ["real"]
    view.goodbye(DEN, NOW)
    assert [each.title for each in view.sessions()] == ["forged"]
    assert view.goodbye(BOX, NOW).sessions_gone == ("abcdef",)


# --- R4 ---------------------------------------------------------------------------------------------------------------


def test_r4_newest_first_ties_by_id() -> None:
    view = registry()
    at = int(NOW)
    view.heard(record(DEN, 1, claim("cccccc", at=at - 5), claim("bbbbbb", at=at - 5)), "mdns", NOW)
    view.heard(record(BOX, 1, claim("aaaaaa", at=at - 9), claim("dddddd", at=at)), "mdns", NOW)
    view.local_sessions([row("eeeeeeeeeeeeeeee", at=at - 5)], [], NOW)
    assert [each.id[0] for each in view.sessions()] == ["d", "b", "c", "e", "a"]


def test_r4_a_time_in_the_future_does_not_hold_the_top_of_the_list() -> None:
    view = registry()
    view.heard(record(DEN, 1, claim("aaaaaa", at=int(NOW) + 10**9)), "mdns", NOW)
    assert view.sessions()[0].updated_at == rfc3339(NOW)


# --- R6, R7, R8 -------------------------------------------------------------------------------------------------------


def test_r6_alone_there_is_nothing_remote() -> None:
    view = registry()
    view.local_sessions([row()], [], NOW)
    assert view.sessions("remote") == []
    assert [each.self for each in view.devices()] == [True]


def test_r7_nothing_is_without_a_name() -> None:
    view = registry()
    view.heard(record(DEN, 1, claim(title=" \u200b"), name=""), "mdns", NOW)
    assert view.devices()[1].name == "10.0.0.2:7777"
    (session,) = view.sessions()
    assert (session.title, session.device.name) == ("Untitled session", "10.0.0.2:7777")


def test_r8_a_device_is_listed_as_soon_as_it_is_heard_without_any_session() -> None:
    view = registry()
    changes = view.heard(record(), "mdns", NOW)
    assert [(each.name, each.state, each.sessions, each.paired) for each in changes.devices] == [
        ("den", "online", 0, False)
    ]


# --- R9 ---------------------------------------------------------------------------------------------------------------


def test_r9_an_older_record_never_overwrites_a_newer_one() -> None:
    view = registry()
    view.heard(record(DEN, 2, claim(title="new")), "mdns", NOW)
    assert not view.heard(record(DEN, 1, claim(title="old")), "mdns", NOW + 1)
    assert view.sessions()[0].title == "new"


def test_r9_a_smaller_revision_is_believed_after_ten_seconds_of_silence() -> None:
    view = registry()
    view.heard(record(DEN, 9, claim(title="before")), "mdns", NOW)
    view.heard(record(DEN, 1, claim(title="clock set back")), "mdns", NOW + 9.9)
    assert view.sessions()[0].title == "before"
    view.heard(record(DEN, 1, claim(title="clock set back")), "mdns", NOW + 10)
    assert view.sessions()[0].title == "clock set back"


def test_r9_a_forged_huge_revision_cannot_lock_a_device_out() -> None:
    view = registry()
    now_ms = int(NOW * 1000)
    for second in range(60):  # repeated faster than the silence that would mend it
        view.heard(record(DEN, 36**12, claim(title="forged")), "mdns", NOW + second)
        view.heard(record(DEN, now_ms + second * 1000, claim(title="real")), "mdns", NOW + second)
        view.heard(record(DEN, 36**12, claim(title="forged")), "mdns", NOW + second)
        assert view.sessions()[0].title == "real"


def test_r9_what_a_link_tells_overrides_any_revision() -> None:
    view = registry()
    view.paired([paired()], NOW)
    view.heard(record(DEN, int(NOW * 1000) + 1000, claim(title="forged")), "mdns", NOW)
    link_up(view)
    view.link_sessions(DEN, [row(title="real")], [], NOW, whole=True)
    view.heard(record(DEN, int(NOW * 1000) + 2000, claim(title="forged")), "mdns", NOW)
    assert [each.title for each in view.sessions()] == ["real"]


# --- R11 --------------------------------------------------------------------------------------------------------------


def test_r11_the_same_again_changes_nothing_and_a_change_is_told_once() -> None:
    view = registry()
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
    assert view.heard(record(DeviceId("fourth"), 1), "mdns", NOW + 4).sessions_gone == ("abcdef",)


# --- any order gives the same view ------------------------------------------------------------------------------------

devices = st.sampled_from([DEN, BOX, DeviceId("atticatticattic1")])
claims = st.lists(
    st.builds(
        claim,
        st.sampled_from(["aaaaaa", "bbbbbb", "cccccc", WHOLE[:6]]),
        st.sampled_from([Status.IDLE, Status.WORKING, Status.NEEDS_INPUT]),
        st.integers(int(NOW) - 5, int(NOW)),
        st.sampled_from(["", "one", "two"]),
    ),
    max_size=4,
    unique_by=lambda each: each.id,
)
records = st.builds(
    lambda device, revision, sessions, name: record(device, revision, *sessions, name=name),
    devices,
    st.integers(1, 4) | st.just(36**12),
    claims,
    st.sampled_from(["den", "box"]),
)


@given(st.lists(records, max_size=8).flatmap(lambda each: st.tuples(st.just(each), st.permutations(each))))
def test_r3_r9_any_order_of_the_same_records_gives_the_same_view(orders: tuple[list[object], list[object]]) -> None:
    views = []
    for order, local_first in zip(orders, (True, False), strict=True):
        view = registry()
        view.paired([paired()], NOW)
        if local_first:
            view.local_sessions([row(WHOLE)], [], NOW)
        for each in order:
            view.heard(each, "mdns", NOW)  # type: ignore[arg-type]  # records
        if not local_first:
            view.local_sessions([row(WHOLE)], [], NOW)
        views.append((view.devices(), view.sessions()))
    assert views[0] == views[1]


steps = st.lists(
    st.one_of(
        records.map(lambda each: ("heard", each)),
        devices.map(lambda each: ("goodbye", each)),
        devices.map(lambda each: ("up", each)),
        devices.map(lambda each: ("lost", each)),
        devices.map(lambda each: ("failed", each)),
        devices.map(lambda each: ("answered", each)),
        st.lists(devices, unique=True).map(lambda each: ("paired", each)),
        st.tuples(devices, st.sampled_from(["aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", WHOLE])).map(lambda e: ("tell", e)),
        st.booleans().map(lambda each: ("local", each)),
        st.sampled_from([1.0, 11.0, 160.0, 90_000.0]).map(lambda each: ("wait", each)),
    ),
    max_size=25,
)


@given(steps)
def test_r11_applying_every_change_once_gives_the_view(script: list[tuple[str, object]]) -> None:
    """Also: the same fact twice is published once, and no step leaves `next_deadline` in the past."""
    view, now = registry(), NOW
    seen_devices = {each.id: each for each in view.devices()}
    seen_sessions = {each.id: each for each in view.sessions()}

    def follow(changes: Changes) -> None:
        for device in changes.devices:
            seen_devices[device.id] = device
        for gone in changes.devices_gone:
            del seen_devices[gone]
        for session in changes.sessions:
            assert seen_sessions.get(session.id) != session
            seen_sessions[session.id] = session
        for left in changes.sessions_gone:
            del seen_sessions[left]
        assert seen_sessions == {each.id: each for each in view.sessions()}
        assert {each.id: _undated(each) for each in view.devices()} == {k: _undated(v) for k, v in seen_devices.items()}

    for (kind, what), again in itertools.product(script, (False, True)):
        if kind == "wait":
            now += 0.0 if again else float(what)  # type: ignore[arg-type]  # as generated
        changes = ACTIONS[kind](view, what, now)
        if again and kind != "failed":  # a second failure in a row is news
            assert not changes
        follow(changes)
        follow(view.expire(now))
        deadline = view.next_deadline()
        assert deadline is None or deadline > now


def _undated(device: DeviceRow) -> DeviceRow:
    return msgspec.structs.replace(device, heard_at=None)


ACTIONS: dict[str, Callable[[Registry, Any, float], Changes]] = {
    "heard": lambda view, what, now: view.heard(what, "mdns", now),
    "goodbye": lambda view, what, now: view.goodbye(what, now),
    "up": lambda view, what, now: link_up(view, what, "Name", now),
    "lost": lambda view, what, now: view.link_lost(what, "lost", now),
    "failed": lambda view, what, now: view.dial_failed(what, "no answer", now),
    "answered": lambda view, what, now: view.answered(what, now),
    "paired": lambda view, what, now: view.paired([paired(each) for each in what], now),
    "tell": lambda view, what, now: view.link_sessions(what[0], [row(what[1])], [], now),
    "local": lambda view, what, now: view.local_sessions([row(WHOLE)] if what else [], [] if what else [WHOLE], now),
    "wait": lambda view, _, now: view.expire(now),
}
