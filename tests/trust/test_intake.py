"""trust.gossip and services.household: what a member's frames may cost this device (T11)."""

from __future__ import annotations

import pytest
from msgspec import structs

from agent.errors import BadParams, Busy
from agent.protocol.household import Signed
from agent.protocol.identity import fingerprint
from agent.protocol.messages import HouseholdNews, HouseholdSync
from agent.trust.gossip import PARSED
from agent.trust.rules.roster import Roster
from agent.trust.rules.statement import FOUNDING, Statement, sign
from tests.fakes.clock import FakeClock
from tests.fakes.gateways import Net
from tests.fakes.households import Member, pair, street
from tests.fakes.trust import identity, paired
from tests.trust.test_household import alone


def admissions(roster: Roster, numbers: range, *, under: bytes = FOUNDING, by: int = 1) -> list[Signed]:
    """Devices that `by` lets in."""
    said = Statement(
        household=roster.household,
        kind="admit",
        by=fingerprint(identity(by).certificate),
        under=under,
        seq=1,
        who=identity(2).certificate,
        name="x" * 63,
        at=1,
        seen=(),
    )
    return [sign(structs.replace(said, seq=n, who=identity(n + 100).certificate), identity(by)) for n in numbers]


async def test_a_whole_household_is_one_write_of_the_trust_file() -> None:
    clock = FakeClock()
    lab, in_lab = alone(clock, 2, "lab")
    in_lab.put(paired(1, "den"))
    roster = Roster(bytes(16), identity(1).certificate)
    roster.add([roster.admit(identity(1), identity(2).certificate, "lab", 1.0)])
    branches = roster.add(admissions(roster, range(10, 20)))
    for number, branch in enumerate(branches):
        below = range(200 + 60 * number, 260 + 60 * number)
        roster.add(admissions(roster, below, under=branch.digest, by=110 + number))
    news = HouseholdNews(household=roster.household, founder=roster.founder, statements=tuple(roster.statements))
    before = in_lab.writes
    await lab.hear(in_lab.devices()[0], news)
    assert len(in_lab.devices()) > 500
    assert in_lab.writes == before + 1


async def test_a_forgery_is_refused_to_whoever_tells_it() -> None:
    async with street("den", "pad") as (net, (den, pad)):
        pair(den, pad)
        await net.clock.advance(1.0)
        news = pad.household.news()
        roster = Roster(news.household, news.founder, news.statements)
        said = roster.admit(pad.identity, identity(9).certificate, "", 1.0)
        bad = structs.replace(news, statements=(structs.replace(said, signature=bytes(64)),))
        link = await pad.peers.link(den.id)
        before = den.household.digests()
        with pytest.raises(BadParams, match="not signed"):
            await link.channel.request("household.tell", bad, seconds=5.0)
        assert den.household.digests() == before
        assert den.peers.linked() == [pad.id]


async def full(net: Net, den: Member, pad: Member) -> HouseholdNews:
    """`pad` uses up what it may tell `den`, with statements of nobody; what it told last was refused."""
    news = structs.replace(pad.household.news(()), keys=())
    size = PARSED.burst // 130
    junk = tuple(Signed(body=bytes([n % 256, n // 256]) + bytes(size - 66), signature=bytes(64)) for n in range(65))
    flood = structs.replace(news, statements=junk)
    link = await pad.peers.link(den.id)
    await link.channel.request("household.tell", flood, seconds=5.0)
    return flood


async def test_more_than_a_device_may_tell_is_refused_and_asked_for_later() -> None:
    async with street("den", "pad", "pot") as (net, (den, pad, pot)):
        pair(den, pad)
        await net.clock.advance(1.0)
        flood = await full(net, den, pad)
        link = await pad.peers.link(den.id)
        await link.channel.request("household.tell", flood, seconds=5.0)
        with pytest.raises(Busy) as refused:
            await link.channel.request("household.tell", flood, seconds=5.0)
        assert "asked for in" in refused.value.hint
        with pytest.raises(Busy):
            await link.channel.request("household.sync", HouseholdSync(), seconds=5.0)
        net.cut(den, pot)
        pair(pad, pot)  # what pad tells of it is refused with the rest
        await net.clock.advance(1.0)
        assert not den.trusts(pot)
        await net.clock.advance(120.0)
        assert den.trusts(pot)


async def test_what_one_device_has_used_up_is_there_for_another() -> None:
    async with street("den", "pad", "pot") as (net, (den, pad, pot)):
        pair(den, pad)
        await net.clock.advance(1.0)
        pair(den, pot)
        await net.clock.advance(1.0)
        await full(net, den, pad)
        link = await pot.peers.link(den.id)
        await link.channel.request("household.sync", HouseholdSync(household=pot.household.id), seconds=5.0)
