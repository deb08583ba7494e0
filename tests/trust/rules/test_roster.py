"""trust.rules.roster: who is in follows from the set of statements, in whatever order and portions they came."""

from __future__ import annotations

from functools import cache

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import BadParams, Forbidden
from agent.protocol.household import BODY_MAX, Signed
from agent.protocol.identity import Identity, fingerprint
from agent.trust.rules.roster import BRANCH_MAX, ROSTER_MAX, SIGNER_MAX, Roster
from agent.trust.rules.statement import FOUNDING, SEEN_MAX, Statement, read, sign
from agent.trust.rules.statement_checks import DEPTH_MAX
from tests.fakes.trust import identity

HOME = bytes(range(16))
PEOPLE = 6


@cache
def who(number: int) -> Identity:
    return identity(number + 1)


@cache
def mark(number: int) -> bytes:
    return fingerprint(who(number).certificate)


def roster(statements: list[Signed] | None = None, founder: int = 0) -> Roster:
    return Roster(HOME, who(founder).certificate, statements or [])


def inside(of: Roster) -> set[int]:
    return {number for number in range(200) if mark(number) in of.members}


class World:
    """Devices that each know some of what was said."""

    def __init__(self, people: int = PEOPLE) -> None:
        self.views = [roster() for _ in range(people)]
        self.said: list[Signed] = []

    def admit(self, by: int, device: int) -> Signed:
        return self._say(by, self.views[by].admit(who(by), who(device).certificate, f"d{device}", 7.0))

    def revoke(self, by: int, device: int) -> Signed:
        return self._say(by, self.views[by].revoke(who(by), mark(device), 7.0))

    def _say(self, by: int, signed: Signed) -> Signed:
        assert self.views[by].add([signed]) == [signed]
        self.said.append(signed)
        return signed

    def meet(self, *devices: int) -> None:
        everything = [signed for device in devices for signed in self.views[device].statements]
        for device in devices:
            self.views[device].add(everything)

    def meet_all(self) -> Roster:
        self.meet(*range(len(self.views)))
        for view in self.views:
            assert (view.members, view.digests, view.out) == (
                self.views[0].members,
                self.views[0].digests,
                self.views[0].out,
            )
        return self.views[0]


# --- what it means ---------------------------------------------------------------------------------------------------


def test_a_household_begins_with_its_founder() -> None:
    (founder,) = roster().members.values()
    assert (founder.certificate, founder.admission) == (who(0).certificate, FOUNDING)


def test_the_founder_tells_its_name_by_admitting_itself() -> None:
    ours = roster()
    ours.add([ours.admit(who(0), who(0).certificate, "den", 9.0)])
    (founder,) = ours.members.values()
    assert (founder.name, founder.admitted_at, founder.admitted_by) == ("den", 9, mark(0))


def test_any_member_lets_in_and_all_learn_who_did() -> None:  # T4: N - 1 pairings
    world = World()
    world.admit(0, 1)
    world.meet(0, 1)
    world.admit(1, 2)
    everyone = world.meet_all()
    assert inside(everyone) == {0, 1, 2}
    member = everyone.members[mark(2)]
    assert (member.name, member.admitted_by, member.admitted_at) == ("d2", mark(1), 7)


def test_who_is_not_in_lets_nobody_in() -> None:
    world = World()
    with pytest.raises(Forbidden):
        world.admit(1, 2)


def test_a_tombstone_puts_out_and_what_the_device_did_before_stands() -> None:
    world = World()
    world.admit(0, 1)
    world.meet(0, 1)
    world.admit(1, 2)
    world.meet(0, 1, 2)
    world.revoke(0, 1)
    assert inside(world.meet_all()) == {0, 2}
    assert world.views[0].tombstone(mark(1)) is not None
    assert mark(1) in world.views[0].out


@pytest.mark.parametrize("later", [True, False])
def test_what_a_revoked_device_signed_unseen_is_void(later: bool) -> None:  # T7: a thief's hidden statements die
    world = World()
    world.admit(0, 1)
    world.meet(0, 1)
    if later:
        world.revoke(0, 1)
    world.admit(1, 2)  # the thief has not heard, or does not care
    world.meet(1, 2)
    world.admit(2, 3)
    if not later:
        world.revoke(0, 1)
    world.revoke(2, 0)
    assert inside(world.meet_all()) == {0}


def test_a_second_statement_of_one_number_is_void_too() -> None:  # T7: hidden earlier ones
    world = World()
    world.admit(0, 1)
    world.meet(0, 1)
    hidden = world.views[1].admit(who(1), who(3).certificate, "hidden", 7.0)
    world.admit(1, 2)
    assert read(hidden).seq == read(world.said[-1]).seq
    world.meet(0, 1, 2)
    world.revoke(0, 1)
    world.views[2].add([hidden])
    assert inside(world.meet_all()) == {0, 2}


def test_of_two_that_revoke_each_other_the_senior_stays() -> None:
    world = World()
    world.admit(0, 1)
    world.meet(0, 1)
    world.admit(1, 2)
    world.meet_all()
    world.revoke(1, 2)
    world.revoke(2, 1)
    assert inside(world.meet_all()) == {0, 1}


def test_a_device_comes_back_by_a_new_admission_that_knows_why_it_was_put_out() -> None:
    world = World()
    world.admit(0, 1)
    world.meet_all()
    world.revoke(0, 1)
    stale = world.views[2]
    world.meet(0, 3)
    world.admit(0, 1)
    assert inside(world.meet_all()) == {0, 1}
    assert stale.members[mark(1)].knows


def test_an_admission_that_does_not_know_the_tombstone_brings_nobody_back() -> None:
    world = World()
    for device in (1, 2):
        world.admit(0, device)
    world.meet_all()
    world.revoke(0, 1)
    world.admit(2, 1)  # has not heard of it
    assert inside(world.meet_all()) == {0, 2}


def test_what_was_hidden_before_stays_void_after_coming_back() -> None:
    world = World()
    world.admit(0, 1)
    world.meet(0, 1)
    hidden = world.views[1].admit(who(1), who(3).certificate, "", 7.0)
    world.revoke(0, 1)
    world.admit(0, 1)
    world.meet_all()
    world.views[0].add([hidden])
    world.admit(1, 4)  # while what it says now counts
    assert inside(world.meet_all()) == {0, 1, 4}


def test_leaving_is_a_tombstone_of_ones_own() -> None:
    world = World()
    world.admit(0, 1)
    world.meet(0, 1)
    world.admit(1, 2)
    world.meet(0, 1, 2)
    left = world.revoke(1, 1)
    assert read(left).kind == "leave"
    assert inside(world.meet_all()) == {0, 2}
    world.admit(2, 1)
    assert inside(world.meet_all()) == {0, 1, 2}


def test_the_founder_can_be_put_out_and_come_back() -> None:
    world = World()
    world.admit(0, 1)
    world.meet_all()
    world.revoke(1, 0)
    assert inside(world.meet_all()) == {1}
    world.admit(1, 0)
    assert inside(world.meet_all()) == {0, 1}
    world.admit(0, 2)
    assert inside(world.meet_all()) == {0, 1, 2}


def test_another_digest_of_who_was_removed_for_each_removal() -> None:
    world = World()
    world.admit(0, 1)
    before = world.views[0].removed
    world.revoke(0, 1)
    assert world.views[0].removed != before
    after = world.views[0].removed
    world.admit(0, 2)
    assert world.views[0].removed == after


# --- whatever the order ----------------------------------------------------------------------------------------------

ACTS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "admit", "revoke", "hide", "meet"]),
        st.integers(0, PEOPLE - 1),
        st.integers(0, PEOPLE - 1),
    ),
    min_size=4,
    max_size=40,
)


def history(acts: list[tuple[str, int, int]]) -> World:
    """Random devices act on what they know; some tell nobody."""
    world = World()
    for act, one, other in acts:
        try:
            if act == "meet":
                world.meet(one, other)
            elif act == "admit" and one != other:
                world.admit(one, other)
            elif act == "revoke":
                world.revoke(one, other)
            elif act == "hide" and one != other:
                world.said.append(world.views[one].admit(who(one), who(other).certificate, "x", 1.0))
        except Forbidden:
            continue
    return world


@given(ACTS, st.randoms(use_true_random=False))
def test_any_order_of_arrival_gives_the_same_members(acts: list[tuple[str, int, int]], random: object) -> None:
    said = history(acts).said
    wanted = roster(said)
    assert set(wanted.digests) == {signed.digest for signed in said}
    for _ in range(3):
        random.shuffle(said)  # type: ignore[attr-defined] # hypothesis gives a random.Random
        one_by_one = roster()
        for _ in said:  # what stands on something else waits until that is there, as with gossip
            for signed in said:
                one_by_one.add([signed])
        assert (one_by_one.members, one_by_one.out) == (wanted.members, wanted.out)
        assert list(one_by_one.members) == list(wanted.members)


@given(ACTS, st.data())
def test_any_two_parts_give_the_same_when_they_meet(acts: list[tuple[str, int, int]], data: st.DataObject) -> None:
    said = history(acts).said
    parts = data.draw(st.lists(st.sampled_from([1, 2, 3]), min_size=len(said), max_size=len(said)))
    left = roster([signed for signed, part in zip(said, parts, strict=True) if part & 1])
    right = roster([signed for signed, part in zip(said, parts, strict=True) if part & 2])
    union = roster([*left.statements, *right.statements])
    left.add(right.statements)
    right.add(left.statements)
    assert left.members == right.members == union.members
    assert left.digests == right.digests == union.digests
    assert left.removed == right.removed == union.removed


@given(ACTS, st.integers(1, PEOPLE - 1))
def test_a_junior_that_was_put_out_gains_nobody(acts: list[tuple[str, int, int]], thief: int) -> None:
    world = World(PEOPLE + 3)
    world.admit(0, thief)
    world.meet(0, thief)
    for act, one, other in acts:
        stolen = one % 2 == 0
        if stolen and act in {"admit", "hide"}:
            world.admit(thief, PEOPLE + other % 3)
        elif stolen and act == "revoke":
            world.revoke(thief, other) if other not in {0, thief} else None
        elif act == "meet":
            world.meet(thief, PEOPLE + other % 3)
    world.revoke(0, thief)  # the founder has heard nothing of all that
    assert inside(world.meet_all()) == {0}


# --- bytes -----------------------------------------------------------------------------------------------------------


def forged(**changes: object) -> Statement:
    fields: dict[str, object] = {
        "household": HOME,
        "kind": "admit",
        "by": mark(0),
        "under": FOUNDING,
        "seq": 1,
        "who": who(1).certificate,
        "name": "",
        "at": 0,
        "seen": (),
        **changes,
    }
    return Statement(**fields)  # type: ignore[arg-type] # that is the point


@pytest.mark.parametrize(
    "changes",
    [
        {"household": bytes(16)},
        {"by": mark(1)},
        {"under": bytes(32)},
        {"under": b"x"},
        {"who": who(1).certificate[:-1] + b"x"},
        {"who": mark(1)},
        {"kind": "revoke"},
        {"kind": "leave", "who": mark(1)},
        {"kind": "found"},
        {"seq": 0},
        {"seq": 2**40},
        {"at": -1},
        {"name": "x" * 64},
        {"seen": (b"short",)},
        {"seen": (bytes(32),) * (SEEN_MAX + 1)},
    ],
)
def test_a_statement_that_is_not_as_it_must_be_changes_nothing(changes: dict[str, object]) -> None:
    ours = roster()
    assert ours.add([sign(forged(**changes), who(0))]) == []
    assert inside(ours) == {0}


def test_the_same_statement_signed_by_another_changes_nothing() -> None:
    ours = roster()
    assert ours.add([sign(forged(), who(2))]) == []
    assert ours.add([sign(forged(), who(0))])


def test_a_statement_has_one_encoding() -> None:
    signed = sign(forged(), who(0))
    padded = signed.body[:-1] + b"\xdc\x00\x00"  # the empty list at its end, written longer
    assert msgspec.msgpack.decode(padded) == msgspec.msgpack.decode(signed.body)
    for body in (padded, signed.body + b"\xc0", signed.body[:-1], b"", b"\x91" * 5000):
        with pytest.raises(BadParams):
            read(Signed(body=body, signature=signed.signature))


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    ours = roster()
    assert ours.add([Signed(body=body, signature=bytes(64))]) == []


# --- bounds ----------------------------------------------------------------------------------------------------------


def flood(by: int, under: bytes, devices: range) -> list[Signed]:
    seen = (bytes(32),) * 90
    return [
        sign(forged(by=mark(by), under=under, seq=n + 1, who=who(n).certificate, seen=seen), who(by)) for n in devices
    ]


def test_one_device_cannot_fill_the_roster() -> None:  # T4
    ours = roster()
    (let_in,) = ours.add([sign(forged(), who(0))])
    junk = flood(1, let_in.digest, range(10, 60))
    ours.add(junk)
    assert len(ours.digests) < 1 + SIGNER_MAX // 3000
    assert ours.add([sign(forged(seq=2, who=who(2).certificate), who(0))])
    other = roster([sign(forged(seq=2, who=who(2).certificate), who(0)), let_in, *reversed(junk)])
    assert other.digests == ours.digests
    assert sum(len(signed.body) + 64 for signed in ours.statements) <= ROSTER_MAX


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_device_and_all_its_keys_have_one_budget_and_keep_nobody_else_out(depth: int) -> None:  # T4, T12
    trunk, under = list[Signed](), FOUNDING
    for n in range(depth - 1):  # the honest ones that let in both the device and others
        trunk.append(sign(forged(by=mark(n), under=under, who=who(n + 1).certificate), who(n)))
        under = trunk[-1].digest
    by = depth - 1

    def let_in(signer: int, admission: bytes, seq: int, device: int) -> Signed:
        return sign(forged(by=mark(signer), under=admission, seq=seq, who=who(device).certificate), who(signer))

    evil, good = let_in(by, under, 2, 50), let_in(by, under, 3, 51)
    late = let_in(51, good.digest, 1, 52)
    honest = [*trunk, evil, good, late]
    keys = [let_in(50, evil.digest, n, 60 + n) for n in range(1, 6)]
    junk = [each for n, key in enumerate(keys, 1) for each in flood(60 + n, key.digest, range(100, 130))]
    ours = roster(honest)
    for at in range(0, len(keys + junk), 20):
        ours.add([*keys, *junk][at : at + 20])
    assert mark(52) in ours.members
    assert {signed.digest for signed in honest} <= ours.digests
    other = roster([*reversed(junk), *keys, *honest])
    assert mark(52) in other.members
    other.add(ours.statements)
    ours.add(other.statements)
    assert other.members == ours.members
    spent = sum(len(each.body) + 64 for each in ours.statements) - sum(len(each.body) + 64 for each in honest)
    assert 0 < spent <= BRANCH_MAX[depth - 1]


def test_a_chain_of_admissions_ends_somewhere() -> None:
    ours, under = roster(), FOUNDING
    for n in range(DEPTH_MAX + 3):
        signed = sign(forged(by=mark(n), under=under, who=who(n + 1).certificate), who(n))
        ours.add([signed])
        under = signed.digest
    assert len(ours.members) == DEPTH_MAX + 1


def test_the_longest_statement_is_taken() -> None:
    longest = sign(forged(name="\u20ac" * 63, at=2**40, seq=2**32, seen=(bytes(32),) * SEEN_MAX), who(0))
    assert len(longest.body) <= BODY_MAX
    assert roster().add([longest])


def test_fifty_devices_fit() -> None:
    ours = roster()
    for n in range(1, 50):
        ours.add([ours.admit(who((n - 1) // 2), who(n).certificate, f"device {n}", 1.8e9)])
    assert len(ours.members) == 50
    assert sum(len(signed.body) + 64 for signed in ours.statements) < ROSTER_MAX / 10
