"""trust.household and services.gossip: gateways in memory that become a household, and lose members (T4)."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs

from agent.errors import AgentError, DeviceNotFound, Forbidden, NotPaired, PairingFailed, StateError
from agent.protocol.codec import typed
from agent.protocol.events import TurnComplete
from agent.protocol.identity import fingerprint
from agent.protocol.messages import Attach, CreateSession, HouseholdNews, HouseholdSync, Submit
from agent.protocol.messages import Created as CreatedSession
from agent.trust.gossip import INTRODUCTION
from agent.trust.household import Household
from agent.trust.rules.keyring import EPOCH_DAYS, EPOCHS_KEPT
from tests.fakes.clock import FakeClock, settle
from tests.fakes.gateways import Net, started
from tests.fakes.households import Member, pair, street
from tests.fakes.trust import MemoryHousehold, MemoryTrust, identity, paired


def all_linked(*members: Member) -> bool:
    ids = {member.id for member in members}
    return all(set(member.peers.linked()) == ids - {member.id} for member in members)


def in_one_household(*members: Member) -> bool:
    marks = {member.mark for member in members}
    return all(
        member.household.admission(None) is not None
        and {fingerprint(known.certificate) for known in member.paired.values()} | {member.mark} == marks
        and all(member.household.is_member(known) for known in member.paired.values())
        for member in members
    )


def share_a_key(*members: Member) -> bool:
    keys = [member.household.current() for member in members]
    return keys[0] is not None and keys.count(keys[0]) == len(keys)


# --- letting in ------------------------------------------------------------------------------------------------------


async def test_a_device_that_is_alone_has_no_household() -> None:
    async with street("den") as (_, (den,)):
        assert den.household.id == b""
        assert den.household.current() is None
        assert den.household.known() == {}
        assert den.kept.state is None


async def test_two_pairings_link_three_devices() -> None:  # T4: N - 1
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        pair(den, lab)
        await net.clock.advance(1.0)
        assert in_one_household(den, lab)
        pair(lab, pad)
        await net.clock.advance(1.0)
        assert in_one_household(den, lab, pad)
        assert all_linked(den, lab, pad)
        assert share_a_key(den, lab, pad)
        admission = den.household.admission(pad.as_paired())
        assert admission is not None
        assert den.household.name_of(admission.admitted_by) == "lab"
        assert den.paired[pad.id].name == "pad"
        assert den.paired[pad.id].paired_at == net.clock.time() // 1 - 1


async def test_the_one_with_a_household_takes_the_other_in_whoever_shows_the_code() -> None:
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        pair(den, lab)
        await net.clock.advance(1.0)
        pair(pad, lab)  # pad, alone, shows the code
        await net.clock.advance(1.0)
        assert in_one_household(den, lab, pad)
        assert all_linked(den, lab, pad)


async def test_who_let_a_device_in_may_be_away_afterwards() -> None:
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        pair(den, lab)
        await net.clock.advance(1.0)
        net.cut(den, pad)
        pair(lab, pad)
        await net.clock.advance(1.0)
        assert pad.peers.linked() == [lab.id]
        net.cut(den, lab)
        net.cut(lab, pad)
        net.heal(den, pad)
        await net.clock.advance(90.0)
        assert in_one_household(den, lab, pad)
        assert pad.peers.linked() == [den.id]


async def test_members_of_two_households_are_not_paired() -> None:
    async with street("den", "lab", "pad", "pot") as (net, (den, lab, pad, pot)):
        pair(den, lab)
        pair(pad, pot)
        await net.clock.advance(1.0)
        with pytest.raises(PairingFailed, match="not in the same") as refused:
            pair(den, pad)
        assert "unpair --self" in refused.value.hint
        assert not den.trusts(pad)
        await pad.gossip.leave()
        await net.clock.advance(1.0)
        pair(den, pad)
        await net.clock.advance(1.0)
        assert in_one_household(den, lab, pad)
        assert not pot.trusts(pad)


async def test_a_joiner_waits_for_the_household_a_moment_and_no_longer() -> None:
    # So that its screen can name an old entry of its own name, which only the others know.
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        pair(den, lab)
        await net.clock.advance(1.0)
        pair(den, pad)
        waiting = asyncio.create_task(pad.gossip.introduced(den.as_paired()), name="test.introduced")  # noqa: TID251 - ends below
        await net.clock.advance(0.5)
        assert waiting.done()
        assert pad.trusts(lab)
        net.cut(lab, pad)
        stranger = paired(99, "nobody")
        waiting = asyncio.create_task(pad.gossip.introduced(stranger), name="test.introduced")  # noqa: TID251 - ends below
        await net.clock.advance(INTRODUCTION - 0.1)
        assert not waiting.done()
        await net.clock.advance(0.2)
        assert waiting.done()


async def test_pairing_twice_changes_nothing() -> None:
    async with street("den", "lab") as (net, (den, lab)):
        pair(den, lab)
        await net.clock.advance(1.0)
        before = den.household.digests()
        pair(lab, den)
        await net.clock.advance(1.0)
        assert in_one_household(den, lab)
        assert (den.household.digests(), lab.household.digests()) == (before, before)


async def test_devices_paired_by_an_earlier_version_become_a_household_when_they_meet() -> None:
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        for one, other in ((den, lab), (lab, pad), (pad, den)):
            one.pair(other)
            for here, there in ((one, other), (other, one)):
                here.paired[there.id] = there.as_paired()
        await net.clock.advance(5.0)
        assert in_one_household(den, lab, pad)
        assert share_a_key(den, lab, pad)


async def test_news_that_comes_while_a_device_joins_by_other_news_is_heard_as_well() -> None:
    # A guest that becomes a member is linked already: it is told that it was let in while it requests everything.
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        pair(den, lab)
        await net.clock.advance(1.0)
        den.paired[pad.id], pad.paired[den.id] = pad.as_paired(), den.as_paired()
        admitted = den.household.news(den.household.admit(pad.as_paired()))
        everything = den.household.news()
        async with asyncio.TaskGroup() as group:
            for news in (admitted, everything):
                group.create_task(pad.household.hear(den.as_paired(), news), name="test.hear")
        assert pad.trusts(lab)


async def test_a_guest_is_told_nothing_and_is_no_member() -> None:
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        pair(den, lab)
        await net.clock.advance(1.0)
        den.paired[pad.id] = structs.replace(pad.as_paired(), role="guest")
        pad.paired[den.id] = structs.replace(den.as_paired(), role="host")
        den.trust_changed()
        pad.trust_changed()
        await net.clock.advance(5.0)
        assert pad.id in den.peers.linked()
        assert pad.household.id == b""
        assert not lab.trusts(pad)
        link = await pad.peers.link(den.id)
        for method, params in (("household.sync", HouseholdSync()), ("household.tell", HouseholdNews())):
            with pytest.raises(Forbidden):
                await link.channel.request(method, params, seconds=5.0)


async def test_a_client_cannot_speak_for_a_gateway() -> None:
    async with street("den") as (_, (den,)), den.client() as viewer:
        with pytest.raises(NotPaired):
            await viewer.channel.request("household.sync", HouseholdSync(), seconds=5.0)


async def test_links_on_demand_open_once_to_let_a_device_in() -> None:  # L4
    async with street("den", "lab", "pad", on_demand=("den", "lab", "pad")) as (net, (den, lab, pad)):
        pair(den, lab)
        await net.clock.advance(1.0)
        pair(lab, pad)
        await net.clock.advance(1.0)
        assert in_one_household(lab, pad, den)


# --- putting out -----------------------------------------------------------------------------------------------------


async def house_of_three(net: Net, den: Member, lab: Member, pad: Member) -> None:
    pair(den, lab)
    await net.clock.advance(1.0)
    pair(den, pad)
    await net.clock.advance(1.0)
    assert in_one_household(den, lab, pad)
    assert all_linked(den, lab, pad)


async def test_who_is_put_out_is_cut_everywhere_at_once() -> None:  # T4
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        await house_of_three(net, den, lab, pad)
        before = den.household.current()
        den.gossip.unpair(lab.id)
        await settle()
        assert not den.trusts(lab)
        assert not pad.trusts(lab)
        assert lab.peers.linked() == []
        assert in_one_household(den, pad)
        assert share_a_key(den, pad)
        assert den.household.current() != before
        assert lab.household.current() == before
        await net.clock.advance(300.0)
        assert lab.peers.linked() == []
        assert share_a_key(den, pad)
        with pytest.raises(DeviceNotFound):
            den.gossip.unpair(lab.id)


async def test_whoever_was_away_hears_of_it_when_it_is_back() -> None:
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        await house_of_three(net, den, lab, pad)
        net.cut(den, pad)
        den.gossip.unpair(lab.id)
        await net.clock.advance(30.0)
        assert pad.trusts(lab)
        net.heal(den, pad)
        await net.clock.advance(60.0)
        assert not pad.trusts(lab)
        assert lab.peers.linked() == []
        assert share_a_key(den, pad)


async def test_what_a_revoked_device_lets_in_is_not_in() -> None:  # T7
    async with street("den", "lab", "pad", "spy") as (net, (den, lab, pad, spy)):
        await house_of_three(net, den, lab, pad)
        net.cut(lab, den)
        net.cut(lab, pad)
        pair(lab, spy)  # the thief, out of reach
        net.cut(lab, den)
        await net.clock.advance(1.0)
        den.gossip.unpair(lab.id)
        net.heal(lab, den)
        net.heal(lab, pad)
        await net.clock.advance(120.0)
        assert in_one_household(den, pad)
        for inside in (den, pad):
            assert not inside.trusts(spy)
        assert set(den.peers.linked()) == {pad.id}


async def test_a_revoked_device_stays_out_after_a_restart_of_all() -> None:
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        await house_of_three(net, den, lab, pad)
        den.gossip.unpair(lab.id)
        await net.clock.advance(1.0)
    async with started(net, [den, lab, pad]):
        for each in (den, lab, pad):
            each.trust_changed()
        await net.clock.advance(120.0)
        assert in_one_household(den, pad)
        assert lab.peers.linked() == []


async def test_a_device_that_was_put_out_comes_back_by_pairing_with_any_member() -> None:
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        await house_of_three(net, den, lab, pad)
        den.gossip.unpair(lab.id)
        await net.clock.advance(1.0)
        pair(lab, pad)
        await net.clock.advance(120.0)
        assert in_one_household(den, lab, pad)
        assert all_linked(den, lab, pad)
        assert share_a_key(den, lab, pad)
        assert lab.household.trouble() == ""


async def test_a_device_is_out_here_though_the_senior_stays_in_the_household() -> None:
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        await house_of_three(net, den, lab, pad)
        net.cut(den, lab)
        net.cut(den, pad)
        net.cut(lab, pad)
        lab.gossip.unpair(den.id)
        den.gossip.unpair(lab.id)
        net.heal(den, pad)  # what pad hears first: see docs/security.md, "Known limits"
        await net.clock.advance(60.0)
        net.heal(den, lab)
        net.heal(lab, pad)
        await net.clock.advance(120.0)
        assert in_one_household(den, pad)  # den founded it
        assert not lab.trusts(den)
        assert not den.trusts(lab)


async def test_a_member_that_heard_only_the_junior_takes_the_senior_back_when_another_tells_it() -> None:
    async with street("den", "lab", "pad", "pot") as (net, (den, lab, pad, pot)):
        await house_of_three(net, den, lab, pad)
        pair(den, pot)
        await net.clock.advance(60.0)
        assert in_one_household(den, lab, pad, pot)
        for one, other in ((den, lab), (den, pad), (lab, pot), (pad, pot)):
            net.cut(one, other)
        lab.gossip.unpair(den.id)
        den.gossip.unpair(lab.id)
        await net.clock.advance(5.0)
        assert not pad.trusts(den)  # lab is all that it hears
        assert not pot.trusts(lab)
        net.heal(pad, pot)
        await net.clock.advance(120.0)
        net.heal(den, pad)
        await net.clock.advance(120.0)
        assert in_one_household(den, pad, pot)
        assert not pad.trusts(lab)


async def test_a_device_that_hears_that_it_is_out_says_so() -> None:
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        await house_of_three(net, den, lab, pad)
        news = den.household.news(den.household.unpair(lab.id))
        await lab.household.hear(pad.as_paired(), news)
        assert "put out of its household by den" in lab.household.trouble()
        assert lab.household.current() is None


async def test_a_tombstone_that_cannot_be_stored_changes_nothing() -> None:
    async with street("den", "lab") as (net, (den, lab)):
        pair(den, lab)
        await net.clock.advance(1.0)
        den.kept.full = True
        with pytest.raises(StateError):
            den.gossip.unpair(lab.id)
        await net.clock.advance(5.0)
        assert in_one_household(den, lab)
        assert all_linked(den, lab)
        den.kept.full = False
        den.gossip.unpair(lab.id)
        await net.clock.advance(5.0)
        assert not den.trusts(lab)


async def test_waiting_prompts_of_a_device_that_is_put_out_never_run() -> None:
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        await house_of_three(net, den, lab, pad)
        async with den.client() as here, lab.client() as there:
            created = await here.ask("session.create", CreateSession(title="work"), CreatedSession)
            assert isinstance(created, CreatedSession)
            session = created.session_id
            await net.clock.advance(1.0)
            await here.channel.request("session.attach", Attach(session_id=session), seconds=5.0)
            for viewer, text in ((here, "@slow 20"), (there, "theirs"), (here, "mine")):
                asked = Submit(session_id=session, prompt_id=text, text=text)
                await viewer.channel.request("prompt.submit", asked, seconds=5.0)
            den.gossip.unpair(lab.id)
            await settle()
            dropped = [each for each in here.payloads() if isinstance(each, TurnComplete)]
            assert [(each.turn, each.status) for each in dropped] == [(2, "error")]
            assert "unpaired" in dropped[0].error
            await net.clock.advance(60.0)
            assert den.echo.sessions[0].prompts == ["@slow 20", "mine"]


# --- leaving ---------------------------------------------------------------------------------------------------------


async def test_leaving_is_heard_and_ends_trust_on_both_sides() -> None:
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        await house_of_three(net, den, lab, pad)
        key = den.household.current()
        async with lab.client() as viewer:
            await viewer.ask("session.create", CreateSession(title="kept"), CreatedSession)
            assert await lab.gossip.leave() == 2
        await net.clock.advance(5.0)
        assert lab.household.id == b""
        assert lab.kept.state is None
        assert lab.paired == {}
        assert [row.title for row in lab.sessions.index.rows()] == ["kept"]
        assert in_one_household(den, pad)
        assert den.household.current() != key
        assert share_a_key(den, pad)
        pair(pad, lab)
        await net.clock.advance(5.0)
        assert in_one_household(den, lab, pad)


async def test_leaving_with_nobody_there_says_that_nobody_has_heard() -> None:
    async with street("den", "lab") as (net, (den, lab)):
        pair(den, lab)
        await net.clock.advance(1.0)
        net.cut(den, lab)
        await settle()
        assert await lab.gossip.leave() == 0
        assert lab.paired == {}
        assert den.trusts(lab)


async def test_the_last_one_of_a_household_is_alone_and_joins_another() -> None:
    async with street("den", "lab", "pad", "pot") as (net, (den, lab, pad, pot)):
        pair(den, lab)
        pair(pad, pot)
        await net.clock.advance(1.0)
        await lab.gossip.leave()
        await net.clock.advance(1.0)
        pair(den, pad)
        await net.clock.advance(1.0)
        assert in_one_household(den, pad, pot)


# --- keys ------------------------------------------------------------------------------------------------------------


def alone(clock: FakeClock, number: int, name: str) -> tuple[Household, MemoryTrust]:
    trust = MemoryTrust()
    household = Household(
        identity=identity(number),
        name=name,
        trust=trust,
        store=MemoryHousehold(),
        clock=clock,
        changed=lambda: None,
    )
    return household, trust


async def test_the_key_turns_every_month_and_old_ones_still_unseal() -> None:
    clock = FakeClock()
    (den, in_den), (lab, in_lab) = alone(clock, 1, "den"), alone(clock, 2, "lab")
    in_den.put(paired(2, "lab"))
    in_lab.put(paired(1, "den"))
    den.admit(paired(2, "lab"))
    await lab.hear(paired(1, "den"), den.news())
    first = den.current()
    assert first is not None
    assert not den.turn_if_stale()
    await clock.advance(EPOCH_DAYS * 86_400)
    assert den.is_first_of([paired(2)])
    assert not lab.is_first_of([paired(1)])
    assert den.turn_if_stale()
    assert not den.turn_if_stale()
    await lab.hear(paired(1, "den"), den.news(()))
    assert lab.current() == den.current() != first
    assert lab.known()[first[0]] == first[1]
    assert not lab.turn_if_stale()
    for _ in range(5):
        await clock.advance(EPOCH_DAYS * 86_400)
        den.turn_if_stale()
    assert len(den.known()) == EPOCHS_KEPT


async def test_another_member_makes_the_key_if_the_one_who_put_out_is_gone() -> None:
    async with street("den", "lab", "pad", "pot") as (net, (den, lab, pad, pot)):
        await house_of_three(net, den, lab, pad)
        pair(den, pot)
        await net.clock.advance(1.0)
        before = den.household.current()
        tombstone = den.household.news(pot.household.unpair(lab.id))
        told = HouseholdNews(household=tombstone.household, founder=tombstone.founder, keys=tombstone.keys)
        told = structs.replace(told, statements=tuple(pot.household.news().statements))
        for other in (den, pad):
            net.cut(pot, other)
        await pad.household.hear(pot.as_paired(), told)  # the last word of pot, without its key
        net.cut(den, pad)
        net.heal(den, pad)
        await net.clock.advance(60.0)
        assert not den.trusts(lab)
        assert share_a_key(den, pad)
        assert den.household.current() != before
        assert den.household.current() not in (None, lab.household.current())


async def test_a_member_cannot_use_up_the_numbers_of_keys() -> None:  # T4
    async with street("den", "lab") as (net, (den, lab)):
        pair(den, lab)
        await net.clock.advance(1.0)
        before = den.household.current()
        news = lab.household.news(())
        far = structs.replace(news.keys[0], number=2**40)
        await den.household.hear(lab.as_paired(), structs.replace(news, keys=(far,)))
        assert den.household.current() == before


# --- what a peer may send --------------------------------------------------------------------------------------------


async def test_a_household_that_does_not_have_both_in_is_not_joined() -> None:
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        pair(den, lab)
        await net.clock.advance(1.0)
        news = den.household.news()
        await pad.household.hear(den.as_paired(), news)
        assert pad.household.id == b""


async def test_the_whole_household_fits_one_frame_and_one_answer() -> None:
    async with street("den", "lab") as (net, (den, lab)):
        pair(den, lab)
        await net.clock.advance(1.0)
        link = await lab.peers.link(den.id)
        raw = await link.channel.request("household.sync", HouseholdSync(household=lab.household.id), seconds=5.0)
        news = typed(raw, HouseholdNews)
        assert len(news.statements) == 2  # the founder's name, and lab
        known = HouseholdSync(household=lab.household.id, digests=lab.household.digests())
        raw = await link.channel.request("household.sync", known, seconds=5.0)
        assert typed(raw, HouseholdNews).statements == ()
        with pytest.raises(AgentError):
            await link.channel.request("household.tell", {"household": "x" * 99}, seconds=5.0)
