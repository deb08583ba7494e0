"""A device that may only watch cannot gain more: by no method, no statement, no second key (T12)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec import Raw, Struct, structs

from agent.errors import AgentError, BadParams, NotPaired
from agent.protocol.addresses import SyncAddresses, TellAddresses
from agent.protocol.backends import ListBackends
from agent.protocol.household import KeyEpoch, Signed
from agent.protocol.messages import (
    AnswerRequest,
    Attach,
    Configure,
    CreateSession,
    Detach,
    FindWindows,
    History,
    HouseholdNews,
    HouseholdSync,
    Join,
    LimitDevice,
    ListAudit,
    ListSessions,
    Nothing,
    OnSession,
    Pair,
    Rename,
    ShareSession,
    Submit,
    Unpair,
)
from agent.protocol.messages import Created as CreatedSession
from agent.protocol.methods import LOOKS, METHODS, On
from agent.protocol.model import DeviceId, SessionId
from agent.protocol.page import Keep, OpenPage, Render
from agent.protocol.prompts import Withdraw
from agent.protocol.terminal import TerminalAttach, TerminalDetach, TerminalInput, TerminalResize
from agent.protocol.transcripts import Forget, ListPast, Search
from agent.trust.rules.keyring import EPOCH_DAYS
from agent.trust.rules.roster import Roster
from tests.fakes.clock import FakeClock, settle
from tests.fakes.gateways import Net
from tests.fakes.households import Member, pair, street
from tests.fakes.trust import identity, paired
from tests.trust.test_household import alone


@asynccontextmanager
async def watched(*more: str) -> AsyncIterator[tuple[Net, list[Member]]]:
    """`den`, which founded the household, `lab`, and `pad`, which may only watch on `den`."""
    async with street("den", "lab", "pad", *more) as (net, members):
        den, lab, pad = members[:3]
        pair(den, lab)
        await net.clock.advance(1.0)
        pair(den, pad)
        await net.clock.advance(1.0)
        den.gossip.limit(pad.id, read_only=True)
        await net.clock.advance(1.0)
        yield net, members


def may(here: Member, other: Member) -> str:
    """What `other` is on `here`."""
    for device in here.trusted.devices():
        if device.id == other.id:
            return "watch" if device.read_only else "everything"
    return "nothing"


def second_key(pad: Member, number: int = 77) -> Signed:
    """`pad` lets a key of its own in."""
    roster = pad.household._roster
    assert roster is not None
    return roster.admit(pad.identity, identity(number).certificate, "phone", 7.0)


# --- by a method -----------------------------------------------------------------------------------------------------

S = "den-session"
ON = OnSession(session_id=S)
ASKED: dict[str, Struct] = {
    "peer.list": Nothing(),
    "peer.watch": Nothing(),
    "session.list": ListSessions(),
    "session.watch": ListSessions(),
    "session.create": CreateSession(title="mine"),
    "session.attach": Attach(session_id=S),
    "session.detach": Detach(session_id=S),
    "session.close": ON,
    "session.restart": ON,
    "session.rename": Rename(session_id=S, title="mine"),
    "session.configure": Configure(session_id=S, option="mode", value="ask"),
    "session.share": ShareSession(session_id=S, share="all"),
    "session.interrupt": ON,
    "session.past": ListPast(),
    "session.search": Search(text="mine"),
    "session.forget": Forget(session_id=S),
    "session.history": History(session_id=S),
    "session.participants": ON,
    "prompt.submit": Submit(session_id=S, prompt_id="p", text="rm -rf /"),
    "prompt.list": ON,
    "prompt.withdraw": Withdraw(session_id=S, prompt_id="p"),
    "request.answer": AnswerRequest(session_id=S, answer="yes"),
    "device.pair": Pair(),
    "device.close_window": Nothing(),
    "device.join": Join(code="42-913-577"),
    "device.windows": FindWindows(code="42"),
    "device.unpair": Unpair(device="lab"),
    "device.list": Nothing(),
    "page.open": OpenPage(),
    "page.logout": Nothing(),
    "page.render": Render(texts=("*a*",)),
    "page.keep": Keep(),
    "device.limit": LimitDevice(device="pad", read_only=False),
    "audit.list": ListAudit(),
    "audit.watch": ListAudit(),
    "device.leave": Nothing(),
    "household.sync": HouseholdSync(),
    "household.tell": HouseholdNews(),  # see below: what it says depends on the household
    "gateway.status": Nothing(),
    "terminal.attach": TerminalAttach(session_id=S),
    "terminal.detach": TerminalDetach(session_id=S),
    "terminal.input": TerminalInput(session_id=S, data=Raw(b"\xc4\x01x")),
    "terminal.resize": TerminalResize(session_id=S, rows=5, cols=5),
    "backend.list": ListBackends(),
    "address.sync": SyncAddresses(),
    "address.tell": TellAddresses(),
}
"""One request of each method of the wire that would gain something, if it could."""


LOCAL_ONLY = {name for name, row in METHODS.items() if row.on in {On.LOCAL, On.PAGE}}
WATCHES = {name for name, row in METHODS.items() if row.right in LOOKS} - LOCAL_ONLY


def test_there_is_a_request_for_every_method_of_the_wire() -> None:
    assert ASKED.keys() == METHODS.keys()


def test_what_a_watcher_may_call_is_this_and_no_more() -> None:  # T12
    # Written out beside the table: who gives a row another right must say so here as well.
    assert {
        "session.list", "session.watch", "session.attach", "session.detach", "session.history", "session.participants",
        "session.past", "session.search", "prompt.list", "terminal.attach", "terminal.detach", "backend.list",
        "household.sync", "household.tell", "address.sync", "address.tell",
    } == WATCHES  # fmt: skip


@pytest.mark.parametrize("method", sorted(METHODS))
async def test_no_method_gains_anything_for_a_device_that_may_only_watch(method: str) -> None:  # T12
    async with watched() as (net, (den, lab, pad)), den.client() as owner:
        created = await owner.ask("session.create", CreateSession(title="work"), CreatedSession)
        assert isinstance(created, CreatedSession)
        await net.clock.advance(1.0)
        asked = ASKED[method]
        if hasattr(asked, "session_id"):
            asked = structs.replace(asked, session_id=created.session_id)
        if isinstance(asked, HouseholdNews):
            roster = pad.household._roster
            assert roster is not None
            said = (second_key(pad), roster.revoke(pad.identity, lab.mark, 8.0))
            far = KeyEpoch(number=900, key=bytes(32), removed=roster.removed, at=0)
            asked = structs.replace(pad.household.news(said), keys=(far,))
        before = standing(den)
        link = await pad.peers.link(den.id)
        refused = ""
        try:
            await link.channel.request(method, asked, seconds=5.0)
        except AgentError as exc:
            refused = exc.kind
        await net.clock.advance(5.0)
        assert standing(den) == before
        if method in LOCAL_ONLY:
            assert refused == "forbidden"
        elif method.startswith("address."):
            assert refused == "method-not-found"  # these gateways keep no addresses: tests/links/test_addresses.py
        elif method not in WATCHES:
            assert refused == "read-only"


@pytest.mark.parametrize("session", ["", "another"])
@pytest.mark.parametrize("method", sorted(METHODS.keys() - LOCAL_ONLY))
async def test_no_method_gains_anything_for_a_guest_that_may_only_watch(method: str, session: str) -> None:  # T12
    async with street("den", "lab", "pad", "pot") as (net, (den, lab, pad, pot)), den.client() as owner:
        pair(den, lab)
        pair(pad, pot)  # the guest has a household of its own to tell of
        created = await owner.ask("session.create", CreateSession(title="work"), CreatedSession)
        assert isinstance(created, CreatedSession)
        guest = structs.replace(
            pad.as_paired(), role="guest", read_only=True, session=SessionId(session), expires_at=4e9
        )
        den.trust.put(guest)
        pad.trust.put(structs.replace(den.as_paired(), role="host"))
        for one in (den, pad):
            one.trust_changed()
        await net.clock.advance(5.0)
        asked = ASKED[method]
        if hasattr(asked, "session_id"):
            asked = structs.replace(asked, session_id=created.session_id)
        if isinstance(asked, HouseholdNews):
            asked = pad.household.news()
        before = standing(den)
        link = await pad.peers.link(den.id)
        refused = ""
        try:
            await link.channel.request(method, asked, seconds=5.0)
        except AgentError as exc:
            refused = exc.kind
        await net.clock.advance(5.0)
        assert standing(den) == before
        if session and hasattr(asked, "session_id"):
            assert refused == "session-not-found"
        elif method not in WATCHES:
            assert refused == "read-only"
        elif method.startswith("household."):
            assert refused == "forbidden"


def standing(den: Member) -> object:
    """All that a device could gain by changing it."""
    roster = den.household._roster
    assert roster is not None
    sessions = [(row.id, row.title, row.status, row.share) for row in den.sessions.index.rows()]
    entries = [(each.id, each.role, each.read_only) for each in den.trusted.devices()]
    prompts = [session.prompts for session in den.echo.sessions]
    told = bytes(32) in den.household.known().values()
    return sessions, entries, list(roster.members), told, den.trust.limits(), prompts


# --- by a statement --------------------------------------------------------------------------------------------------


async def test_a_second_key_of_a_watcher_is_not_in_where_it_may_only_watch() -> None:  # T12
    async with watched() as (net, (den, lab, pad)):
        phone = paired(77).id
        link = await pad.peers.link(den.id)
        await link.channel.request("household.tell", pad.household.news([second_key(pad)]), seconds=5.0)
        await net.clock.advance(5.0)
        assert phone not in den.paired
        link = await pad.peers.link(lab.id)  # there it is a full member
        await link.channel.request("household.tell", pad.household.news([second_key(pad)]), seconds=5.0)
        await net.clock.advance(5.0)
        assert phone in lab.paired
        assert phone not in den.paired  # lab has passed it on
        assert den.household.digests()
        assert set(den.household.digests()) == set(lab.household.digests())


async def test_a_watcher_puts_nobody_out_where_it_may_only_watch() -> None:  # T12
    async with watched("pot") as (net, (den, lab, pad, pot)):
        pair(den, pot)
        await net.clock.advance(5.0)
        for other in (pot, lab, den):
            pad.gossip.unpair(other.id)
            await net.clock.advance(5.0)
        assert [may(den, each) for each in (lab, pot, pad)] == ["everything", "everything", "watch"]
        assert den.household.trouble() == ""
        assert may(lab, pot) == "nothing"  # there pad is a full member


async def test_keys_settle_though_two_devices_disagree_on_who_is_out() -> None:
    async with watched("pot") as (net, (den, lab, pad, pot)):
        pair(den, pot)
        await net.clock.advance(5.0)
        pad.gossip.unpair(pot.id)  # counts on lab and pad, and not on den
        await net.clock.advance(60.0)
        numbers = [member.household.current() for member in (den, lab)]
        changes = den.key_changes
        await net.clock.advance(4 * 3600.0)
        assert [member.household.current() for member in (den, lab)] == numbers
        assert den.key_changes == changes


async def test_a_watcher_leaves_and_comes_back_and_may_still_only_watch() -> None:  # T12
    async with watched() as (net, (den, lab, pad)):
        await pad.gossip.leave()
        await net.clock.advance(5.0)
        assert may(den, pad) == "nothing"
        pair(lab, pad)  # a full member lets it in again
        await net.clock.advance(30.0)
        assert may(den, pad) == "watch"
        link = await pad.peers.link(den.id)
        await link.channel.request("household.tell", pad.household.news([second_key(pad)]), seconds=5.0)
        assert paired(77).id not in den.paired
        await pad.gossip.leave()
        await net.clock.advance(5.0)
        pair(den, pad)  # its owner shows a code, and says nothing of the limit
        await net.clock.advance(30.0)
        assert may(den, pad) == "watch"
        den.gossip.limit(pad.id, read_only=False)
        assert may(den, pad) == "everything"


async def test_a_watcher_that_is_put_out_and_let_in_by_another_may_still_only_watch() -> None:  # T12
    async with watched() as (net, (den, lab, pad)):
        den.gossip.unpair(pad.id)
        await net.clock.advance(5.0)
        pair(lab, pad)
        await net.clock.advance(60.0)
        assert may(den, pad) == "watch"


async def test_a_second_key_from_before_may_only_watch_as_well() -> None:  # T12
    async with street("den", "lab", "pad", "pot") as (net, (den, lab, pad, pot)):
        for host, joiner in ((den, lab), (den, pad), (pad, pot)):
            pair(host, joiner)
            await net.clock.advance(5.0)
        assert may(den, pot) == "everything"
        others = den.gossip.limit(pad.id, read_only=True)
        assert [each.id for each in others] == [pot.id]
        assert [may(den, each) for each in (lab, pad, pot)] == ["everything", "watch", "watch"]
        den.gossip.limit(pot.id, read_only=False)
        assert [may(den, each) for each in (pad, pot)] == ["watch", "everything"]
        assert den.gossip.limit(pad.id, read_only=True) == []  # it was: pot keeps what the owner said
        assert may(den, pot) == "everything"


async def test_a_key_that_a_watcher_let_in_unseen_before_is_not_in() -> None:  # T12
    async with street("den", "lab", "pad", "pot") as (net, (den, lab, pad, pot)):
        for host, joiner in ((den, lab), (den, pad)):
            pair(host, joiner)
            await net.clock.advance(5.0)
        for other in (den, lab):
            net.cut(pad, other)
            net.cut(pot, other)
        pair(pad, pot)
        await net.clock.advance(5.0)
        den.gossip.limit(pad.id, read_only=True)
        for other in (den, lab):
            net.heal(pad, other)
            net.heal(pot, other)
        await net.clock.advance(120.0)
        assert may(lab, pot) == "everything"
        assert may(den, pot) == "nothing"


async def test_whom_a_watcher_let_in_meanwhile_is_in_when_the_limit_ends() -> None:
    async with watched("pot") as (net, (den, lab, pad, pot)):
        pair(pad, pot)
        await net.clock.advance(30.0)
        assert (may(lab, pot), may(den, pot)) == ("everything", "nothing")
        others = den.gossip.limit(pad.id, read_only=False)
        assert [each.id for each in others] == [pot.id]
        assert may(den, pot) == "everything"


async def test_the_limit_outlives_a_restart_and_leaving_the_household_oneself() -> None:
    async with watched() as (net, (den, lab, pad)):
        await den.gossip.leave()
        await net.clock.advance(5.0)
        pair(lab, den)
        await net.clock.advance(60.0)
        assert [may(den, each) for each in (lab, pad)] == ["everything", "watch"]


async def test_a_watcher_that_is_in_no_household_is_let_into_none_and_brings_none() -> None:  # T12
    # As devices that were paired before there were households: each would let the other in by itself.
    async with street("den", "lab", "pad", "pot") as (net, (den, lab, pad, pot)):
        pair(den, lab)
        pair(pad, pot)
        await net.clock.advance(5.0)
        await pad.gossip.leave()
        for one, other in ((den, pad), (pad, den)):
            one.trust.put(other.as_paired())
        den.gossip.limit(pad.id, read_only=True)
        for one in (den, pad):
            one.trust_changed()
        await net.clock.advance(60.0)
        assert pad.id in den.peers.linked()
        assert may(lab, pad) == "nothing"
        assert not den.household.is_member(pad.as_paired())


async def test_a_device_that_is_alone_joins_no_household_at_a_watchers_word() -> None:  # T12
    async with street("den", "pad", "pot") as (net, (den, pad, pot)):
        den.trust.put(pad.as_paired())
        den.gossip.limit(pad.id, read_only=True)
        pair(pad, pot)
        await net.clock.advance(5.0)
        roster = pad.household._roster
        assert roster is not None
        roster.add([roster.admit(pad.identity, den.identity.certificate, "den", 7.0)])
        heard = await den.household.hear(den.paired[pad.id], pad.household.news())
        assert heard.fresh == ()
        assert den.household.id == b""
        assert may(den, pot) == "nothing"


async def test_a_guest_that_may_only_watch_and_becomes_a_member_elsewhere_still_may_only_watch() -> None:  # T12
    async with street("den", "lab", "pad") as (net, (den, lab, pad)):
        pair(den, lab)
        await net.clock.advance(5.0)
        den.trust.put(structs.replace(pad.as_paired(), role="guest", read_only=True, expires_at=4e9))
        den.trust_changed()
        pair(lab, pad)
        await net.clock.advance(30.0)
        assert den.paired[pad.id].role == "member"
        assert may(den, pad) == "watch"


async def test_the_monthly_key_of_a_senior_that_may_only_watch_is_taken_when_it_is_due_and_not_before() -> None:
    clock = FakeClock()
    (den, in_den), (lab, in_lab) = alone(clock, 1, "den"), alone(clock, 2, "lab")
    in_den.put(paired(2, "lab"))
    in_lab.put(paired(1, "den"))
    den.admit(paired(2, "lab"))
    await lab.hear(paired(1, "den"), den.news())
    lab.limit(paired(1).id, read_only=True)  # den has founded the household: it is the one to make the key
    first = lab.current()
    assert first is not None
    news = den.news(())
    for number in (first[0], first[0] + 1, first[0] + 900):
        key = KeyEpoch(number=number, key=b"\xff" * 32, removed=news.keys[-1].removed, at=0)
        await lab.hear(in_lab.devices()[0], structs.replace(news, keys=(key,)))
    assert lab.current() == first
    await clock.advance(EPOCH_DAYS * 86_400)
    assert den.turn_if_stale()
    await lab.hear(in_lab.devices()[0], den.news(()))
    assert lab.current() == den.current() != first


async def test_only_a_paired_device_is_limited() -> None:
    async with street("den") as (_, (den,)):
        with pytest.raises(NotPaired):
            den.gossip.limit(DeviceId("a" * 16), read_only=True)


async def test_a_watcher_still_tells_what_full_members_say() -> None:
    async with watched("pot") as (net, (den, lab, _pad, pot)):
        for other in (lab, pot):
            net.cut(den, other)
        pair(lab, pot)
        await net.clock.advance(120.0)  # pad is the only way
        assert may(den, pot) == "everything"
        await settle()


def test_limits_change_nothing_for_who_has_none() -> None:
    roster = Roster(bytes(16), identity(1).certificate)
    roster.add([roster.admit(identity(1), identity(2).certificate, "lab", 1.0)])
    members = dict(roster.members)
    roster.limit({bytes(32): frozenset()})
    assert roster.members == members


async def test_this_device_does_not_limit_itself() -> None:
    async with street("den", "lab") as (_, (den, lab)):
        pair(den, lab)
        async with den.client() as viewer:
            with pytest.raises(BadParams, match="this device"):
                await viewer.channel.request("device.limit", LimitDevice(device="den", read_only=True), seconds=5.0)
