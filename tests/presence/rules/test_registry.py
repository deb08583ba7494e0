"""R1, R2, R4, R6 to R9: what is listed. R3, R5, R10 and R11 have modules of their own."""

from __future__ import annotations

import pytest

from agent.protocol.model import SessionId
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
def test_r1_attachable_needs_somewhere_to_dial_and_strangers_have_no_sessions(
    trusted: bool, hosts: tuple[str, ...], port: int, somewhere: bool
) -> None:
    view = registry()
    if trusted:
        view.paired([paired()], NOW)
    view.heard(record(DEN, 1, claim(), hosts=hosts, port=port), "mdns", NOW)
    assert [each.attachable for each in view.sessions()] == ([somewhere] if trusted else [])
    assert view.devices()[1].sessions == 1


def test_r1_pairing_and_unpairing_change_what_is_listed() -> None:
    view = registry()
    view.heard(record(DEN, 36**12, claim()), "mdns", NOW)
    assert not view.paired([paired()], NOW).sessions  # T5: said before anybody could check it
    assert view.devices()[1].sessions == 0
    (listed,) = view.heard(record(DEN, 1, claim()), "mdns", NOW).sessions
    assert listed.attachable
    assert view.paired([], NOW).sessions_gone == ("abcdef",)


def test_a_hint_is_an_address_to_try_and_nothing_else() -> None:
    view = registry()
    assert not view.hinted(record(), NOW)
    view.paired([paired()], NOW)
    assert not view.hinted(record(DEN, 9, claim(), name="bank"), NOW).sessions
    row_of_den = view.devices()[1]
    assert (row_of_den.name, row_of_den.state, row_of_den.sessions, row_of_den.addresses) == ("Den", "offline", 0, ())
    assert [each.host for each in view.endpoints(DEN)] == ["10.0.0.2"]
    for number in range(3, 90):
        view.hinted(record(hosts=(f"10.0.0.{number}", "8.8.8.8")), NOW)
    assert [each.host for each in view.endpoints(DEN)] == ["10.0.0.89", "10.0.0.88", "10.0.0.87", "10.0.0.86"]


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
    view.paired([paired()], NOW)
    if local_first:
        view.local_sessions([row(WHOLE)], [], NOW)
    view.heard(record(DEN, 1, claim(WHOLE[:6]), claim("zzzzzz")), "mdns", NOW)
    if not local_first:
        view.local_sessions([row(WHOLE)], [], NOW)
    assert ids(view) == ["zzzzzz"]
    assert [each.id for each in view.sessions("local")] == [WHOLE]
    view.local_sessions([], [WHOLE], NOW)
    assert ids(view) == ["zzzzzz"]  # R13: an id that was ours is nobody else's afterwards


def test_r2_lineage_counts_on_both_sides() -> None:
    view = registry()
    view.paired([paired()], NOW)
    link_up(view)
    theirs = [
        row("continuedbymine1"),
        row("continuesmine111", lineage=("minemineminemine",)),
        row("sharesabackendid", lineage=("backend-7",)),
        row("nothingtodowitha", lineage=("backend-8",)),
    ]
    view.link_sessions(DEN, theirs, [], NOW, whole=True)
    view.local_sessions([row("minemineminemine", lineage=("continuedbymine1", "backend-7"))], [], NOW)
    assert ids(view) == ["nothingtodowitha"]


def test_r2_a_local_row_says_that_it_is_ours_whatever_it_came_with() -> None:
    view = registry()
    (listed,) = view.local_sessions([row(WHOLE, local=False, stale=True, title="")], [], NOW).sessions
    assert (listed.local, listed.stale, listed.device.id, listed.title) == (True, False, OWN, "Untitled session")
    renamed = view.own_changed(name="study", port=7000, hosts=("10.0.0.1",), now=NOW)
    assert [each.device.name for each in renamed.sessions] == ["study"]
    assert [(each.name, each.port, each.addresses) for each in renamed.devices] == [("study", 7000, ("10.0.0.1",))]


# --- R4 ---------------------------------------------------------------------------------------------------------------


def test_r4_newest_first_ties_by_id() -> None:
    view = registry()
    view.paired([paired(), paired(BOX)], NOW)
    at = int(NOW)
    view.heard(record(DEN, 1, claim("cccccc", at=at - 5), claim("bbbbbb", at=at - 5)), "mdns", NOW)
    view.heard(record(BOX, 1, claim("aaaaaa", at=at - 9), claim("dddddd", at=at)), "mdns", NOW)
    view.local_sessions([row("eeeeeeeeeeeeeeee", at=at - 5)], [], NOW)
    assert [each.id[0] for each in view.sessions()] == ["d", "b", "c", "e", "a"]


def test_r4_a_time_in_the_future_does_not_hold_the_top_of_the_list() -> None:
    view = registry()
    view.paired([paired()], NOW)
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
    view.paired([paired(name="")], NOW)
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
    view.paired([paired()], NOW)
    view.heard(record(DEN, 2, claim(title="new")), "mdns", NOW)
    assert not view.heard(record(DEN, 1, claim(title="old")), "mdns", NOW + 1)
    assert view.sessions()[0].title == "new"


def test_r9_a_smaller_revision_is_believed_after_ten_seconds_of_silence() -> None:
    view = registry()
    view.paired([paired()], NOW)
    view.heard(record(DEN, 9, claim(title="before")), "mdns", NOW)
    view.heard(record(DEN, 1, claim(title="clock set back")), "mdns", NOW + 9.9)
    assert view.sessions()[0].title == "before"
    view.heard(record(DEN, 1, claim(title="clock set back")), "mdns", NOW + 10)
    assert view.sessions()[0].title == "clock set back"


def test_r9_a_forged_huge_revision_cannot_lock_a_device_out() -> None:
    view = registry()
    view.paired([paired()], NOW)
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
