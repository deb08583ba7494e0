"""R13: a session belongs to the device that hosts it, and its id to whoever claimed it first."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.errors import Ambiguous, SessionNotFound
from agent.presence.rules.claims import Claims, Contest
from agent.presence.rules.registry import Registry, SessionLocation
from agent.protocol.model import DeviceId, SessionId, Status
from tests.presence.rules.registry_facts import BOX, DEN, NOW, OWN, claim, ids, link_up, paired, record, registry, row

WHOLE = SessionId("abcdefghijklmnop")
LATER = NOW + 1000


def rivals() -> Registry:
    """Den and box, both paired and linked; den has told its session."""
    view = registry()
    view.paired([paired(DEN, "Den"), paired(BOX, "Box", read_only=True)], NOW)
    link_up(view, DEN, "Den")
    link_up(view, BOX, "Box")
    view.link_sessions(DEN, [row(WHOLE, title="build")], [], NOW, whole=True)
    return view


def owner(view: Registry, session: SessionId = WHOLE) -> DeviceId | None:
    found = view.session(session)
    return found.device.id if found else None


def test_r13_a_rivals_claim_changes_nothing_whatever_time_it_names_and_is_told_once() -> None:
    view = rivals()
    told = view.link_sessions(BOX, [row(WHOLE, at=LATER, title="mine", status=Status.NEEDS_INPUT)], [], LATER)
    assert told.contests == (Contest(WHOLE, DEN, BOX),)
    assert (told.sessions, told.sessions_gone) == ((), ())
    assert (owner(view), view.sessions()[0].title) == (DEN, "build")
    for selector in (WHOLE, WHOLE[:5], "build", "Den/build"):
        assert view.find_session(selector) == SessionLocation(DEN, WHOLE, WHOLE, local=False)
    for selector in ("mine", "Box/mine", f"Box/{WHOLE}"):
        with pytest.raises(SessionNotFound):
            view.find_session(selector)
    assert not view.link_sessions(BOX, [row(WHOLE, at=LATER + 1, title="mine!")], [], LATER + 1).contests


@pytest.mark.parametrize("away", ["lost", "offline", "closed", "refuses"])
def test_r13_the_owner_keeps_it_while_it_is_away_and_when_it_has_closed_it(away: str) -> None:
    view = rivals()
    if away == "closed":
        view.link_sessions(DEN, [], [WHOLE], NOW)
    else:
        view.link_lost(DEN, "lost", NOW)
    if away == "offline":
        view.goodbye(DEN, NOW)
        view.dial_failed(DEN, "gone", NOW)
    if away == "refuses":
        view.answered(DEN, NOW, refused=True)
    view.link_sessions(BOX, [row(WHOLE, at=LATER)], [], LATER)
    assert owner(view) != BOX
    assert BOX not in {each.device.id for each in view.sessions(away=True)}
    link_up(view, DEN, "Den", LATER)
    view.link_sessions(DEN, [row(WHOLE)], [], LATER, whole=True)
    assert owner(view) == DEN


def test_r13_what_belonged_to_a_device_that_was_put_out_is_the_others() -> None:
    view = rivals()
    view.link_sessions(BOX, [row(WHOLE, title="moved")], [], NOW)
    view.paired([paired(BOX, "Box")], NOW)
    assert (owner(view), view.sessions()[0].title) == (BOX, "moved")
    view.paired([paired(DEN, "Den"), paired(BOX, "Box")], NOW)
    link_up(view, DEN, "Den")
    view.link_sessions(DEN, [row(WHOLE)], [], LATER, whole=True)
    assert owner(view) == BOX  # now that one was first


@pytest.mark.parametrize("first", ["record", "link"])
def test_r13_the_beginning_in_an_announcement_claims_as_the_whole_does(first: str) -> None:
    view = registry()
    view.paired([paired(DEN, "Den"), paired(BOX, "Box")], NOW)
    link_up(view, BOX, "Box")
    if first == "record":
        view.heard(record(DEN, 1, claim(WHOLE[:6])), "mdns", NOW)
        view.link_sessions(BOX, [row(WHOLE, at=LATER)], [], LATER, whole=True)
        assert ids(view) == [WHOLE[:6]]
        assert view.find_session(WHOLE) == SessionLocation(DEN, None, WHOLE, local=False)
        link_up(view, DEN, "Den")
        view.link_sessions(DEN, [row(WHOLE)], [], NOW, whole=True)
        assert (ids(view), owner(view)) == ([WHOLE], DEN)
    else:
        view.link_sessions(BOX, [row(WHOLE)], [], NOW, whole=True)
        assert view.heard(record(DEN, 1, claim(WHOLE[:6], at=int(LATER))), "mdns", LATER).contests
        assert view.find_session(WHOLE[:6]) == SessionLocation(BOX, WHOLE, WHOLE, local=False)


def test_r13_a_chance_likeness_of_two_beginnings_ends_when_the_whole_ids_are_told() -> None:
    view = registry()
    view.paired([paired(DEN, "Den"), paired(BOX, "Box")], NOW)
    view.heard(record(DEN, 1, claim(WHOLE[:6])), "mdns", NOW)
    other = SessionId(WHOLE[:6] + "zzzzzzzzzz")
    link_up(view, BOX, "Box")
    view.link_sessions(BOX, [row(other)], [], NOW, whole=True)
    assert owner(view, other) is None
    link_up(view, DEN, "Den")
    view.link_sessions(DEN, [row(WHOLE)], [], NOW, whole=True)
    assert (owner(view), owner(view, other)) == (DEN, BOX)


def test_r13_a_session_here_is_ours_whoever_claimed_it_and_stays_so_when_it_is_closed() -> None:
    view = rivals()
    view.local_sessions([row(WHOLE)], [], NOW)
    assert owner(view) == OWN
    view.local_sessions([], [WHOLE], NOW)
    view.link_sessions(BOX, [row(WHOLE, at=LATER)], [], LATER, whole=True)
    assert owner(view) is None
    view.own_past([SessionId("closedclosedclos")])
    assert view.link_sessions(BOX, [row("closedclosedclos")], [], NOW).contests == ()  # the same rival, the same owner
    assert not ids(view)


def test_r13_what_was_remembered_over_a_restart_is_the_owners() -> None:
    # R12: a new service recalls what links had told, and whoever connects to it first gains nothing by that.
    view = rivals()
    view.link_sessions(BOX, [row(WHOLE, at=LATER), row("boxsboxsboxsboxs")], [], LATER, whole=True)
    kept = view.remembered()
    assert [each.id for each in kept[BOX]] == ["boxsboxsboxsboxs"]
    again = registry()
    again.paired([paired(DEN, "Den"), paired(BOX, "Box")], NOW)
    for device, rows in sorted(kept.items()):
        again.recall(device, rows, NOW)
    link_up(again, BOX, "Box")
    assert again.link_sessions(BOX, [row(WHOLE, at=LATER)], [], LATER).contests
    assert again.find_session(WHOLE) == SessionLocation(DEN, WHOLE, WHOLE, local=False)


@pytest.mark.parametrize("reachable", [True, False])
def test_r13_a_title_that_another_device_has_too_is_ambiguous_whichever_is_reachable(reachable: bool) -> None:
    view = rivals()
    if not reachable:
        view.link_lost(DEN, "lost", NOW)
        for _ in range(2):
            view.dial_failed(DEN, "no answer", NOW)
    view.link_sessions(BOX, [row("boxsboxsboxsboxs", title="build", at=LATER)], [], LATER)
    with pytest.raises(Ambiguous, match="Den/build, Box/build"):
        view.find_session("build")
    assert view.find_session("Den/build").device == DEN


def test_t11_what_a_guest_says_of_sessions_counts_for_nothing() -> None:
    view = registry()
    view.paired([paired(DEN, "Den", role="guest")], NOW)
    link_up(view, DEN, "Den")
    assert not view.link_sessions(DEN, [row(WHOLE)], [], NOW, whole=True)
    view.heard(record(DEN, 1, claim(WHOLE[:6])), "mdns", NOW)
    assert ids(view) == []
    view.paired([paired(DEN, "Den", role="guest"), paired(BOX, "Box")], NOW)
    link_up(view, BOX, "Box")
    view.link_sessions(BOX, [row(WHOLE)], [], NOW, whole=True)
    assert owner(view) == BOX  # a guest was never first


def test_t11_a_host_shows_its_guest_that_session_which_it_may_reach_and_no_other() -> None:
    view = registry()
    view.paired([paired(DEN, "Den", role="host", session=WHOLE)], NOW)
    link_up(view, DEN, "Den")
    view.link_sessions(DEN, [row(WHOLE), row("otherotherothero")], [], NOW, whole=True)
    view.link_lost(DEN, "", NOW)
    view.heard(record(DEN, 2, claim(WHOLE[:6]), claim("zzzzzz")), "mdns", NOW + 1)
    assert ids(view) == [WHOLE]


names = st.sampled_from([WHOLE, WHOLE[:8] + "aaaaaaaa", "zzzzzzzzzzzzzzzz"])
said = st.tuples(st.sampled_from([DEN, BOX]), names, st.sampled_from(["link", "record"]), st.integers(0, 10**6))


@given(st.lists(said, max_size=30))
def test_r13_in_any_order_of_claims_the_first_one_has_it_and_keeps_it(
    claims: list[tuple[DeviceId, str, str, int]],
) -> None:
    view = registry()
    view.paired([paired(DEN, "Den"), paired(BOX, "Box")], NOW)
    link_up(view, DEN, "Den")
    link_up(view, BOX, "Box")
    first: dict[str, DeviceId] = {}
    linked: set[DeviceId] = set()
    for revision, (device, session, how, at) in enumerate(claims, 1):
        if how == "link":
            view.link_sessions(device, [row(session, at=NOW + at)], [], LATER)
            linked.add(device)
        else:
            view.heard(record(device, revision, claim(session[:10], at=int(NOW) + at)), "mdns", LATER)
        if how == "link" or device not in linked:  # a link knows better than a record (R3)
            first.setdefault(session, device)
        for known, whose in first.items():
            assert owner(view, SessionId(known)) in {whose, None}
            assert {each.device.id for each in view.sessions() if known.startswith(each.id)} <= {whose}


@given(
    st.lists(
        st.tuples(st.sampled_from([DEN, BOX, OWN]), st.text("ab", min_size=4, max_size=7), st.booleans()), max_size=40
    )
)
@example([(DEN, "abaab", False), (BOX, "abaa", True), (DEN, "abaa", False), (DEN, "abaaa", False)])
@example([(DEN, "abaaa", False), (BOX, "abaa", True), (DEN, "abaa", False), (BOX, "abaaa", False)])
def test_r13_no_two_devices_ever_hold_what_may_be_one_id(claimed: list[tuple[DeviceId, str, bool]]) -> None:
    claims = Claims()
    held: list[tuple[DeviceId, str, bool]] = []
    for device, session, whole in claimed:
        contest = claims.claim(device, session, whole=whole)
        against = [one for one in held if one[0] != device and may_be_one(one[1:], (session, whole))]
        if contest is not None:
            assert contest.owner in {one[0] for one in against}
        else:
            mine = [one for one in held if one[0] == device and may_be_one(one[1:], (session, whole))]
            assert not against or mine  # it may stand for its own
            held.append((device, session, whole))


def may_be_one(one: tuple[str, bool], other: tuple[str, bool]) -> bool:
    if one[1] and other[1]:
        return one[0] == other[0]
    shorter, longer = (one, other) if not one[1] else (other, one)
    if not longer[1]:
        return one[0].startswith(other[0]) or other[0].startswith(one[0])
    return longer[0].startswith(shorter[0])


def test_t11_what_one_device_claims_is_bounded_and_crowds_out_its_own_only() -> None:
    claims = Claims()
    claims.claim(DEN, WHOLE, whole=True)
    for number in range(1000):
        claims.claim(BOX, f"box{number:013}", whole=True)
        claims.trim(BOX, [SessionId("box0000000000000")], most=10)
    assert len(claims._of[BOX]) <= 21
    assert len(claims._filed) <= 21 + 1
    assert claims.claim(BOX, WHOLE, whole=True) == Contest(WHOLE, DEN, BOX)
    assert claims.claim(DEN, "box0000000000000", whole=True)
    claims.forget(BOX)
    assert claims.claim(DEN, "box0000000000000", whole=True) is None
    assert len(claims._filed) == 2
