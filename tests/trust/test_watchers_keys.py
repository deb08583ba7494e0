"""Keys of the household that a device makes that may only watch here (T12)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agent.protocol.household import KeyEpoch, Signed
from agent.protocol.messages import HouseholdNews
from agent.protocol.methods import HOUSEHOLD_TELL
from agent.trust.gossip import LOOK_EVERY
from agent.trust.household import Household
from tests.fakes.households import Member, pair, street
from tests.trust.test_limited import watched


def removal(pad: Member, number: int) -> Signed:
    """`pad` puts out what was never in: another key is due."""
    roster = pad.household._roster
    assert roster is not None
    said = roster.revoke(pad.identity, bytes([number]) * 32, 9.0)
    roster.add([said])
    return said


def news(pad: Member, said: tuple[Signed, ...], key: KeyEpoch) -> HouseholdNews:
    """What `pad` tells, with a key that it chose."""
    roster = pad.household._roster
    assert roster is not None
    return HouseholdNews(household=roster.household, founder=roster.founder, statements=said, keys=(key,))


def tell(pad: Member, said: Signed, others: Sequence[Member]) -> None:
    """Without a key."""
    roster = pad.household._roster
    assert roster is not None
    told = HouseholdNews(household=roster.household, founder=roster.founder, statements=(said,))
    for other in others:
        pad.peers.post(other.id, HOUSEHOLD_TELL, lambda: told)


def removed(pad: Member) -> bytes:
    """As of all that `pad` has said."""
    roster = pad.household._roster
    assert roster is not None
    return roster.removed


def number(household: Household) -> int:
    """The epoch in use."""
    current = household.current()
    assert current is not None
    return current[0]


async def test_a_watcher_does_not_run_ahead_with_keys_that_name_who_was_never_out() -> None:  # T12
    async with watched() as (net, (den, _lab, pad)):
        before = den.household.current()
        sender = den.paired[pad.id]
        said = (removal(pad, 1),)
        for n in range(1, 21):
            key = KeyEpoch(
                number=number(den.household) + 1, key=bytes([n]) * 32, removed=bytes([n]) * 32, at=int(net.clock.time())
            )
            await den.household.hear(sender, news(pad, said if n == 1 else (), key))
        assert den.household.current() == before


@pytest.mark.parametrize("at", [0, 2**40])
async def test_a_key_of_a_watcher_that_is_never_due_again_or_at_once_is_not_taken(at: int) -> None:  # T12
    async with watched() as (_net, (den, _lab, pad)):
        before = den.household.current()
        said = (removal(pad, 1),)
        key = KeyEpoch(number=number(den.household) + 1, key=b"\xff" * 32, removed=removed(pad), at=at)
        await den.household.hear(den.paired[pad.id], news(pad, said, key))
        assert den.household.current() == before


async def test_of_a_watchers_keys_that_are_due_one_a_day_is_taken() -> None:  # T12
    async with watched() as (net, (den, _lab, pad)):
        sender, first = den.paired[pad.id], number(den.household)
        for n in range(1, 6):
            said = (removal(pad, n),)
            key = KeyEpoch(number=first + n, key=b"\xff" * 32, removed=removed(pad), at=int(net.clock.time()))
            await den.household.hear(sender, news(pad, said, key))
        assert number(den.household) == first + 1
        assert first in den.household.known()


async def test_a_senior_that_may_only_watch_does_not_keep_the_key_as_it_is() -> None:  # T12
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        for joiner in (lab, pad):
            pair(den, joiner)
            await net.clock.advance(1.0)
        lab.gossip.limit(den.id, read_only=True)  # den has founded the household: it is its turn, and it makes none
        den.household.is_key_due = lambda: False  # type: ignore[method-assign]
        before = number(lab.household)
        tell(pad, removal(pad, 1), (den, lab))  # so that another key is due
        await net.clock.advance(600.0)
        assert number(lab.household) == before
        await net.clock.advance(2 * LOOK_EVERY)
        assert number(lab.household) == before + 2
        assert lab.household.current() == den.household.current() == pad.household.current()
