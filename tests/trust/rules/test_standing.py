"""trust.rules.standing: what a device that may only watch says of others counts nowhere where it is limited (T12)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Forbidden
from agent.protocol.household import Signed
from agent.trust.rules.roster import Roster
from agent.trust.rules.statement import read, sign
from tests.trust.rules.test_roster import ACTS, HOME, PEOPLE, World, forged, history, inside, mark, roster, who

WATCHER = 1
LEAVES = st.none() | st.tuples(st.sampled_from([1, 99]), st.integers(0, 4))


def limited(said: list[Signed], *, seen: list[Signed], watcher: int = WATCHER) -> Roster:
    """What is known on a device where the watcher may only watch since it had said what is in `seen`."""
    then = frozenset(signed.digest for signed in seen if read(signed).by == mark(watcher))
    return Roster(HOME, who(0).certificate, said, {mark(watcher): then})


def test_whom_a_watcher_lets_in_is_in_elsewhere_and_not_here() -> None:
    world = World()
    world.admit(0, 1)
    world.meet(0, 1)
    before = list(world.said)
    world.admit(1, 2)
    world.meet(1, 2)
    world.admit(2, 3)
    assert inside(world.meet_all()) == {0, 1, 2, 3}
    assert inside(limited(world.said, seen=before)) == {0, 1}
    assert inside(limited(world.said, seen=world.said)) == {0, 1, 2, 3}


def test_a_watcher_puts_nobody_out_but_itself() -> None:
    world = World()
    for device in (1, 2):
        world.admit(0, device)
    world.meet_all()
    before = list(world.said)
    world.revoke(1, 2)
    here = limited(world.said, seen=before)
    assert inside(here) == {0, 1, 2}
    assert inside(world.meet_all()) == {0, 1}
    assert here.removed == world.views[0].removed  # so that all agree which key is due
    world.revoke(1, 1)
    assert inside(limited(world.said, seen=before)) == {0, 2}


def test_what_one_that_is_limited_had_put_out_stays_out() -> None:
    world = World()
    for device in (1, 2):
        world.admit(0, device)
    world.meet_all()
    world.revoke(1, 2)
    assert inside(limited(world.said, seen=world.said)) == {0, 1}


def test_a_founder_can_be_limited_and_this_device_stays_in() -> None:
    world = World()
    for device in (1, 2):
        world.admit(0, device)
    world.meet_all()
    before = list(world.said)
    world.revoke(0, 1)
    world.admit(0, 3)
    assert inside(limited(world.said, seen=before, watcher=0)) == {0, 1, 2}


def test_who_is_in_by_a_device_alone() -> None:
    world = World()
    world.admit(0, 1)
    world.meet(0, 1)
    world.admit(1, 2)
    world.admit(1, 3)
    world.meet(0, 1, 2, 3)
    world.admit(2, 4)
    world.admit(0, 3)  # somebody else has let it in, too
    ours = world.meet_all()
    assert ours.let_in_by(mark(1), mark(0)) == [mark(2), mark(4)]
    assert ours.let_in_by(mark(2), mark(0)) == [mark(4)]
    assert ours.let_in_by(mark(4), mark(0)) == []
    assert ours.let_in_by(mark(0), mark(2)) == [mark(1), mark(3)]  # of the founder: not 2, which asks, nor 4
    assert ours.let_in_by(mark(5), mark(0)) == []


def test_a_watcher_that_leaves_voids_nothing_that_it_had_said_by_then() -> None:  # T12
    world = World()
    world.admit(0, 1)
    world.meet(0, 1)
    world.admit(1, 2)
    world.revoke(1, 2)
    before = list(world.said)
    for seq in (1, 99):
        here = limited([*before, leave(world, seq, before[1:2])], seen=before)
        assert inside(here) == {0}


def leave(world: World, seq: int, seen: list[Signed]) -> Signed:
    """The watcher leaves, and says to have known of itself no more than what is in `seen`."""
    member = world.views[0].members[mark(WATCHER)]
    return sign(
        forged(
            kind="leave",
            by=mark(WATCHER),
            under=member.admission,
            seq=seq,
            who=mark(WATCHER),
            seen=tuple(signed.digest for signed in seen),
        ),
        who(WATCHER),
    )


def test_whom_a_device_ever_brought_is_known_though_they_are_out_and_not_who_is_in_by_others() -> None:  # T12
    world = World()
    world.admit(0, 1)
    world.meet(0, 1)
    for device in (2, 3):
        world.admit(1, device)
    world.meet(1, 2, 3)
    world.admit(2, 4)
    world.meet(1, 2)
    world.revoke(1, 2)
    world.admit(0, 3)  # somebody else lets it in as well
    ours = world.meet_all()
    assert ours.let_in_by(mark(1), mark(0)) == [mark(4)]
    assert ours.brought_by(mark(1), mark(0)) == {mark(2), mark(4)}
    ours.limit({mark(0): ours.statements_by(mark(0))})  # for whom it was brought by does not count here either
    assert ours.brought_by(mark(1), mark(5)) == {mark(2), mark(3), mark(4)}


# --- whatever the order ----------------------------------------------------------------------------------------------


@given(ACTS, ACTS, st.randoms(use_true_random=False))
def test_any_order_of_arrival_gives_the_same_with_limits(
    before: list[tuple[str, int, int]], after: list[tuple[str, int, int]], random: object
) -> None:
    seen = history(before).said
    said = history(before + after).said
    wanted = limited(said, seen=seen)
    for _ in range(3):
        random.shuffle(said)  # type: ignore[attr-defined] # hypothesis gives a random.Random
        late = roster()  # limited only when everything is there
        one_by_one = limited([], seen=seen)
        for _ in said:
            for signed in said:
                one_by_one.add([signed])
        late.add(one_by_one.statements)
        late.limit({mark(WATCHER): frozenset(each.digest for each in seen if read(each).by == mark(WATCHER))})
        for other in (one_by_one, late):
            assert (other.members, other.out, other.removed) == (wanted.members, wanted.out, wanted.removed)
            assert list(other.members) == list(wanted.members)


@given(
    ACTS, st.lists(st.tuples(st.sampled_from(["admit", "revoke"]), st.integers(0, PEOPLE + 2)), max_size=12), st.data()
)
def test_nothing_that_a_watcher_signs_changes_who_is_in_but_for_itself(
    acts: list[tuple[str, int, int]], evil: list[tuple[str, int]], data: st.DataObject
) -> None:
    world = history(acts)
    world.meet(*range(PEOPLE))
    before = world.views[0].statements
    wanted = set(inside(limited(before, seen=before)))
    told: list[Signed] = []
    for act, device in evil:
        try:
            view = world.views[WATCHER]
            if act == "admit":
                signed = view.admit(who(WATCHER), who(device).certificate, "x", 1.0)
            elif device != WATCHER:
                signed = view.revoke(who(WATCHER), mark(device), 1.0)
            else:
                continue
        except Forbidden:
            continue
        view.add([signed])
        told.append(signed)
    if (leaving := data.draw(LEAVES)) is not None and mark(WATCHER) in world.views[0].members:
        seq, number = leaving
        told.append(leave(world, seq, [each for each in before if read(each).by == mark(WATCHER)][:number]))
        wanted.discard(WATCHER)
    for device in range(PEOPLE, PEOPLE + 3):  # and what its other keys sign
        try:
            told.append(world.views[WATCHER].revoke(who(device), mark(0), 1.0))
        except Forbidden:
            continue
    assert inside(limited([*before, *told], seen=before)) == wanted
