"""links.rules.relay: one upstream attachment, many local viewers, each event once and in order."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from agent.links.rules.relay import HELD_MAX, Relay
from agent.protocol.model import DeviceId, SessionId

V = TypeVar("V")
DEVICE, SESSION = DeviceId("d" * 16), SessionId("s" * 16)


def frame(seq: int) -> bytes:
    return b"%d" % seq


def answered(relay: Relay[V], viewer: V, cursor: int) -> tuple[list[bytes], bool]:
    relay.answered(viewer, cursor, "life")
    return relay.attached(viewer)


def test_events_that_overtake_the_answer_are_held_and_follow_it() -> None:  # S4
    relay: Relay[str] = Relay(DEVICE, SESSION)
    relay.expect("page")
    for seq in (4, 5, 6, 7):
        assert relay.event(seq, frame(seq)) == ([], False)
    assert answered(relay, "page", 5) == ([frame(6), frame(7)], False)
    assert relay.event(8, frame(8)) == (["page"], False)


def test_a_replay_for_one_viewer_brings_nothing_twice_to_another() -> None:  # S4, L2
    relay: Relay[str] = Relay(DEVICE, SESSION)
    for viewer, cursor in (("ahead", 9), ("behind", 6)):
        relay.expect(viewer)
        answered(relay, viewer, cursor)
    assert relay.resume_after() == 6
    got = {viewer: [] for viewer in relay.viewers}  # type: dict[str, list[int]]
    for seq in range(7, 12):
        receivers, gap = relay.event(seq, frame(seq))
        assert not gap
        for viewer in receivers:
            got[viewer].append(seq)
    assert got == {"ahead": [10, 11], "behind": [7, 8, 9, 10, 11]}


def test_a_gap_is_seen_and_nothing_out_of_order_is_passed_on() -> None:  # S4
    relay: Relay[str] = Relay(DEVICE, SESSION)
    relay.expect("page")
    answered(relay, "page", 3)
    assert relay.event(5, frame(5)) == ([], True)
    assert relay.event(4, frame(4)) == (["page"], False)


def test_a_viewer_that_left_gets_nothing() -> None:  # S8
    relay: Relay[str] = Relay(DEVICE, SESSION)
    relay.expect("page")
    assert relay.left("page")
    assert not relay.left("page")
    assert answered(relay, "page", 0) == ([], False)
    assert relay.event(1, frame(1)) == ([], False)


@given(
    newest=st.integers(0, 30),
    joins=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=5),
    replays=st.lists(st.integers(0, 30), max_size=4),
)
def test_whoever_attaches_whenever_gets_everything_once_in_order(
    newest: int, joins: list[tuple[int, int]], replays: list[int]
) -> None:  # S4, S5
    """Upstream sends 1..newest, and again from anywhere; viewer i asks at one event and is answered at a later one."""
    relay: Relay[int] = Relay(DEVICE, SESSION)
    got: dict[int, list[int]] = {}
    cursors: dict[int, int] = {}
    stream = [seq for start in [0, *replays] for seq in range(min(start, newest) + 1, newest + 1)]
    highest = 0
    for position in range(len(stream) + 1):
        for viewer, (asks, waits) in enumerate(joins):
            if position == min(asks, len(stream)):
                relay.expect(viewer)
            if position == min(asks + waits, len(stream)):
                cursors[viewer] = highest
                got[viewer] = [int(held) for held in answered(relay, viewer, highest)[0]]
        if position < len(stream):
            seq = stream[position]
            highest = max(highest, seq)
            for viewer in relay.event(seq, frame(seq))[0]:
                got[viewer].append(seq)
    for viewer, seqs in got.items():
        assert seqs == list(range(cursors[viewer] + 1, cursors[viewer] + 1 + len(seqs)))
        assert not seqs or seqs[-1] == newest
        assert seqs or cursors[viewer] == newest


def test_what_is_held_is_bounded_and_what_was_dropped_is_asked_for_again() -> None:  # S5, S4
    relay: Relay[str] = Relay(DEVICE, SESSION)
    relay.expect("page")
    big = bytes(HELD_MAX // 3)
    for seq in range(1, 8):
        relay.event(seq, big)
    frames, misses = answered(relay, "page", 0)
    assert (frames, misses) == ([], True)
    assert relay.resume_after() == 0


def test_rows_reach_who_wants_them_and_has_all_before_them() -> None:
    relay: Relay[str] = Relay(DEVICE, SESSION)
    for viewer, cursor, wants in (("page", 5, True), ("behind", 3, True), ("older", 5, False)):
        relay.expect(viewer, tail=wants)
        answered(relay, viewer, cursor)
    assert relay.rows(5, b"rows") == ["page"]


def test_rows_that_overtake_the_answer_follow_it_in_their_place_the_newest_alone() -> None:
    relay: Relay[str] = Relay(DEVICE, SESSION)
    relay.expect("page", tail=True)
    relay.event(4, frame(4))
    assert relay.rows(4, b"old") == []
    relay.rows(4, b"new")
    relay.event(5, frame(5))  # the end of the turn, say: what moved before it must not come after it
    assert answered(relay, "page", 3) == ([frame(4), b"new", frame(5)], False)


def test_rows_are_held_within_the_same_bound() -> None:  # T11
    relay: Relay[str] = Relay(DEVICE, SESSION)
    relay.expect("page", tail=True)
    for seq in range(1, 9):
        relay.event(seq, bytes(HELD_MAX // 16))
        relay.rows(seq, bytes(HELD_MAX // 8))
    assert answered(relay, "page", 0) == ([], True)
