"""A member prepares for the day on which it may only watch: keys let in and put out, or hundreds of them (T12)."""

from __future__ import annotations

import pytest

from agent.protocol.household import Signed
from agent.protocol.identity import Identity, fingerprint
from agent.protocol.messages import HouseholdNews
from agent.protocol.methods import HOUSEHOLD_TELL
from agent.trust.rules.statement import Statement, sign
from tests.fakes.gateways import Net
from tests.fakes.households import Member, pair, street
from tests.fakes.trust import identity


async def settled(net: Net, den: Member, lab: Member, pad: Member) -> None:
    """One household, founded by `den`."""
    for other in (lab, pad):
        pair(den, other)
        await net.clock.advance(1.0)


def tell(pad: Member, den: Member, *said: Signed) -> None:
    """Pass statements on as they are."""
    roster = pad.household._roster
    assert roster is not None
    news = HouseholdNews(household=roster.household, founder=roster.founder, statements=said)
    pad.peers.post(den.id, HOUSEHOLD_TELL, lambda: news)


def everything(den: Member) -> set[str]:
    """Ids of those that may do everything on `den`."""
    return {device.id for device in den.trusted.devices() if not device.read_only}


@pytest.mark.parametrize("seq", [1, 99])
async def test_a_key_that_was_put_out_before_the_limit_does_not_come_back_when_the_watcher_leaves(seq: int) -> None:
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        await settled(net, den, lab, pad)
        phone, roster = identity(77), pad.household._roster
        assert roster is not None
        admitted = roster.admit(pad.identity, phone.certificate, "phone", 7.0)
        roster.add([admitted])
        revoked = roster.revoke(pad.identity, fingerprint(phone.certificate), 8.0)
        tell(pad, den, admitted, revoked)
        await net.clock.advance(2.0)
        den.gossip.limit(pad.id, read_only=True)
        assert fingerprint(phone.certificate) in den.trust.limits()  # whatever brings it back
        leave = Statement(
            household=roster.household,
            kind="leave",
            by=pad.mark,
            under=roster.members[pad.mark].admission,
            seq=seq,
            who=pad.mark,
            name="",
            at=9,
            seen=(admitted.digest,),
        )
        tell(pad, den, sign(leave, pad.identity))
        await net.clock.advance(2.0)
        assert everything(den) == {lab.id}


async def test_a_member_that_lets_hundreds_of_keys_in_is_limited_with_all_of_them() -> None:  # T12
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        await settled(net, den, lab, pad)
        roster = pad.household._roster
        assert roster is not None

        def admit(by: Identity, under: bytes, seq: int, who: Identity) -> Signed:
            said = Statement(
                household=roster.household,
                kind="admit",
                by=fingerprint(by.certificate),
                under=under,
                seq=seq,
                who=who.certificate,
                name="k",
                at=1,
                seen=(),
            )
            return sign(said, by)

        keys = [identity(100 + n) for n in range(130)]
        first = [admit(pad.identity, roster.members[pad.mark].admission, n, key) for n, key in enumerate(keys, 1)]
        second = [admit(keys[0], first[0].digest, n, identity(300 + n)) for n in range(1, 140)]
        tell(pad, den, *first, *second)
        await net.clock.advance(3.0)
        assert len(everything(den)) > 100
        den.gossip.limit(pad.id, read_only=True)
        assert everything(den) == {lab.id}
