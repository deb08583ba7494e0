"""R3: a session heard of in several ways is one row, and the freshest word counts."""

from __future__ import annotations

from agent.protocol.model import Endpoint, SessionId, Status
from tests.presence.rules.registry_facts import (
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
)

WHOLE = SessionId("abcdefghijklmnop")


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


def test_addresses_are_not_signed_so_a_forged_one_is_tried_and_not_listed() -> None:
    # T5: a record that is signed can be sent on with other addresses.
    view = registry()
    view.paired([paired()], NOW)
    view.heard(record(hosts=("10.0.0.2", "fe80::2%eth0")), "mdns", NOW)
    assert view.devices()[1].addresses == ("10.0.0.2", "fe80::2%eth0")  # not reached yet: any is as good
    link_up(view)
    assert view.devices()[1].addresses == ("10.0.0.2",)
    view.link_lost(DEN, "silence", NOW)
    assert not view.heard(record(hosts=("10.0.0.66", "10.0.0.2")), "mdns", NOW + 1).devices[0].addresses[1:]
    assert view.devices()[1].addresses == ("10.0.0.2",)
    assert {each.host for each in view.endpoints(DEN)} == {"10.0.0.2", "10.0.0.66"}
