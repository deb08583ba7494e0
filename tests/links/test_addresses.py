"""links.addresses: who is linked to anybody finds everybody (L10), and nobody is led astray."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agent.errors import AgentError, Forbidden, NotPaired
from agent.links.addresses import CHECKS
from agent.links.rules.address_book import sign_record
from agent.protocol.addresses import AddressRecord, SyncAddresses, TellAddresses, ToldAddresses
from agent.protocol.codec import typed
from agent.protocol.household import Signed
from agent.protocol.identity import Identity
from agent.protocol.methods import ADDRESS_SYNC, ADDRESS_TELL
from agent.protocol.model import Endpoint, PairedDevice
from tests.fakes.addresses import PORT, Resident, make_residents, meet, residents
from tests.fakes.clock import settle
from tests.fakes.gateways import Net, started
from tests.fakes.households import pair
from tests.fakes.trust import identity

DESK, PI, LAPTOP = "10.1.0.1", "10.2.0.2", "10.2.0.3"


@asynccontextmanager
async def town() -> AsyncIterator[tuple[Net, Resident, Resident, Resident]]:
    """The pi is paired with, and knows an address of, both others; these know nothing of each other."""
    async with residents(desk=DESK, pi=PI, laptop=LAPTOP) as (net, (desk, pi, laptop)):
        for other in (desk, laptop):
            pair(pi, other)
            meet(pi, other)
            await net.clock.advance(3.0)
        yield net, desk, pi, laptop


def says(who: Identity, revision: int, *hosts: str) -> Signed:
    return sign_record(AddressRecord(device=who.id, revision=revision, port=PORT, hosts=hosts), who)


async def tell(teller: Resident, hearer: Resident, *records: Signed) -> None:
    await teller.peers.call(hearer.id, ADDRESS_TELL, TellAddresses(records=records))
    await settle()


def soon(net: Net) -> int:
    """A revision that is newer than any record so far."""
    return int(net.clock.time() * 1000) + 60_000


async def test_two_that_only_a_third_one_knows_find_each_other() -> None:  # L10
    async with town() as (net, desk, _, laptop):
        await net.clock.advance(5.0)
        assert desk.linked_to(laptop)
        assert laptop.linked_to(desk)
        assert laptop.knows(desk) == [DESK]
        row = laptop.registry.device(desk.id)
        assert row is not None
        assert (row.addresses, row.state) == ((DESK,), "online")


async def test_after_a_restart_of_both_they_find_each_other_without_the_third_one() -> None:  # L10
    async with town() as (net, desk, pi, laptop):
        await net.clock.advance(10.0)
        former = {member.name: member for member in (desk, pi, laptop)}
    net = Net()
    again = make_residents(net, former, desk=DESK, pi=PI, laptop=LAPTOP)
    for member in again:
        before = former[member.name]
        member.paired.update({each.id: each_without_places(each) for each in before.paired.values()})
        member.kept.state = before.kept.state
        member.trust_changed()
    desk, _, laptop = again
    async with started(net, [desk, laptop]):
        net.gateways = {member.id: member for member in again}
        await net.clock.advance(10.0)
        assert desk.linked_to(laptop)


def each_without_places(device: PairedDevice) -> PairedDevice:
    return PairedDevice(id=device.id, name=device.name, certificate=device.certificate, paired_at=1.0)


async def test_a_new_address_is_told_over_every_link_and_passed_on() -> None:  # L10
    async with town() as (net, desk, pi, laptop):
        net.cut(desk, laptop)
        desk.here.now = ("10.1.0.77", "100.64.0.1")
        await net.clock.advance(6.0)
        assert pi.knows(desk)[-2:] == ["10.1.0.77", "100.64.0.1"]
        assert laptop.knows(desk)[-2:] == ["10.1.0.77", "100.64.0.1"]  # heard of from the pi alone
        net.heal(desk, laptop)
        await net.clock.advance(40.0)
        assert laptop.linked_to(desk)


async def test_a_device_that_moved_asks_its_links_and_dials_at_once() -> None:  # L10, L3
    async with town() as (net, desk, pi, laptop):
        await net.clock.advance(5.0)
        for other in (pi, laptop):
            for socket in net.sockets(desk, other):
                socket.stalled.clear()  # the cable is in another network: nothing comes through
        desk.here.now = ("10.2.0.9",)
        await net.clock.advance(10.0)
        assert desk.linked_to(laptop)
        assert desk.linked_to(pi)
        assert "10.2.0.9" in laptop.knows(desk)


async def test_a_place_that_becomes_known_need_not_wait_for_the_others_to_fail() -> None:  # L3, L10
    async with residents(desk=DESK, pi=PI) as (net, (desk, pi)):
        desk.waits = 60.0
        pair(pi, desk)
        for host in ("10.9.0.1", PI):  # one of a network that was left, then the true one
            desk.presence.advertised(pi.id, (Endpoint(host, PORT),))
            desk.peers.heard(pi.id)
            await net.clock.advance(1.0)
        assert desk.linked_to(pi)


async def test_who_tells_other_places_again_and_again_keeps_no_dial_from_coming_to_an_end() -> None:  # T11
    async with residents(desk=DESK, pi=PI) as (net, (desk, pi)):
        pair(pi, desk)
        desk.waits = 5.0
        dials, ended = len(desk.tried), 0
        for number in range(100):
            desk.presence.advertised(pi.id, (Endpoint(f"10.9.0.{number}", PORT),))
            desk.peers.heard(pi.id)
            row = desk.registry.device(pi.id)
            ended += row is not None and "no answer" in row.reason
            await net.clock.advance(0.2)
        assert ended
        assert len(desk.tried) - dials <= 12  # in 20 s


async def test_nobody_is_told_the_same_twice() -> None:
    async with town() as (net, desk, pi, laptop):
        await net.clock.advance(30.0)
        for member in (desk, pi, laptop):
            member.heard.clear()
        await net.clock.advance(30.0)
        assert (desk.heard, pi.heard, laptop.heard) == ([], [], [])
        desk.here.now = ("10.1.0.78",)
        await net.clock.advance(30.0)
        assert sorted([*desk.heard, *pi.heard, *laptop.heard]) == sorted([desk.id, desk.id, pi.id, laptop.id])


async def test_a_false_address_for_another_member_is_not_believed_and_the_true_one_stays() -> None:  # L10, T5
    async with town() as (net, desk, pi, laptop):
        net.cut(desk, laptop)
        before = laptop.knows(desk)
        laptop.tried.clear()
        forged = sign_record(
            AddressRecord(device=desk.id, revision=soon(net), port=PORT, hosts=("10.2.0.66",)), pi.identity
        )
        await tell(pi, laptop, forged)
        await net.clock.advance(30.0)
        assert laptop.knows(desk) == before
        assert "10.2.0.66" not in {endpoint.host for endpoint in laptop.tried}


async def test_an_old_record_told_once_more_changes_nothing() -> None:  # R9
    async with town() as (_, desk, pi, laptop):
        old = says(desk.identity, 1, "10.1.0.50")
        await tell(pi, laptop, old)
        assert "10.1.0.50" not in laptop.knows(desk)


async def test_addresses_are_told_of_members_and_to_members_only() -> None:  # L10, T12
    async with town() as (net, _, pi, laptop):
        stranger = identity(99)
        await tell(pi, laptop, says(stranger, soon(net), "10.2.0.66"))
        assert stranger.id not in [device.id for device in laptop.registry.devices()]
        pi.limit(laptop, role="guest")
        await settle()
        with pytest.raises(Forbidden):
            await laptop.peers.call(pi.id, ADDRESS_SYNC, SyncAddresses())
        with pytest.raises(Forbidden):
            await laptop.peers.call(pi.id, ADDRESS_TELL, TellAddresses())
        laptop.heard.clear()
        pi.here.now = ("10.2.0.100",)
        await net.clock.advance(4.0)
        assert pi.id not in laptop.heard
        with pytest.raises(NotPaired):
            await pi.addresses.sync(_Nobody(), SyncAddresses())  # type: ignore[arg-type] # what is looked at


class _Nobody:
    device = None


async def test_who_is_put_out_is_forgotten_with_its_addresses() -> None:  # T4
    async with town() as (net, desk, pi, laptop):
        await net.clock.advance(5.0)
        pi.gossip.unpair(desk.id)
        await net.clock.advance(10.0)
        answer = await laptop.peers.call(pi.id, ADDRESS_SYNC, SyncAddresses())
        told = {signed.body for signed in typed(answer, ToldAddresses).records}
        assert len(told) == 2
        assert not any(desk.id.encode() in body for body in told)
        assert not any(desk.id.encode() in signed.body for signed in laptop.remembers.records)


async def test_a_member_that_leads_to_itself_or_to_others_services_is_dialled_with_patience() -> None:  # L5, L10
    async with town() as (net, desk, pi, laptop):
        net.cut(desk, laptop)
        net.cut(desk, pi)
        laptop.tried.clear()
        bad = ("127.0.0.1", "0.0.0.0", LAPTOP, "224.0.0.1", "255.255.255.255", "fe80::1", "::ffff:127.0.0.1")
        for number in range(200):  # another one ten times a second
            hosts = (*bad, f"10.9.{number}.1")
            await tell(pi, laptop, says(desk.identity, soon(net) + number, *hosts))
            await net.clock.advance(0.1)
        dialled = [endpoint.host for endpoint in laptop.tried]
        assert not set(dialled) & set(bad)
        assert sum(host.startswith("10.9.") for host in dialled) <= 20  # of 200 that were told in 20 s
        assert len(laptop.knows(desk)) <= 3  # the newest record counts, not the sum of all


async def test_a_flood_of_records_costs_so_many_signatures_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:  # T11
    checked = 0

    def count(*_: object) -> bool:
        nonlocal checked
        checked += 1
        return True

    async with town() as (net, desk, pi, laptop):
        monkeypatch.setattr("agent.links.rules.address_book.signed_by", count)
        for number in range(60):
            flood = [says(desk.identity, soon(net) + number * 64 + at, "10.9.0.1") for at in range(64)]
            await tell(pi, laptop, *flood)
        assert checked <= CHECKS.burst + 1
        assert len(laptop.remembers.records) <= 3


async def test_after_one_that_is_forged_nothing_more_of_that_message_is_looked_at() -> None:  # T11
    async with town() as (net, desk, pi, laptop):
        net.cut(desk, laptop)
        forged = Signed(body=says(desk.identity, soon(net), "10.2.0.66").body, signature=bytes(64))
        good = says(desk.identity, soon(net) + 1, "10.1.0.5")
        await tell(pi, laptop, forged, good)
        assert "10.1.0.5" not in laptop.knows(desk)


async def test_a_device_whose_former_self_was_ahead_speaks_up_above_it() -> None:  # R9
    async with town() as (net, desk, pi, laptop):
        await tell(pi, laptop, says(desk.identity, soon(net), "10.1.0.50"))  # of before its clock was set back
        await tell(pi, desk, says(desk.identity, soon(net), "10.1.0.50"))
        await net.clock.advance(6.0)
        assert "10.1.0.50" not in pi.knows(desk)
        assert laptop.knows(desk)[-1] == DESK


async def test_a_full_disk_keeps_nobody_from_being_found() -> None:
    async with residents(desk=DESK, pi=PI) as (net, (desk, pi)):
        desk.remembers.full = True
        pair(pi, desk)
        meet(pi, desk)
        await net.clock.advance(5.0)
        assert desk.linked_to(pi)
        assert len(desk.remembers.records) <= 1  # its own, of before


async def test_a_device_without_the_method_costs_nothing() -> None:
    async with residents(desk=DESK, pi=PI) as (net, (desk, pi)):
        for method in ("address.sync", "address.tell"):
            del pi.router.routes[method]  # version 0.1
        pair(pi, desk)
        meet(pi, desk)
        await net.clock.advance(5.0)
        assert desk.linked_to(pi)
        with pytest.raises(AgentError):
            await desk.peers.call(pi.id, ADDRESS_SYNC, SyncAddresses())


async def test_a_member_heard_of_later_is_asked_about_again() -> None:  # L10
    async with residents(desk=DESK, pi=PI, laptop=LAPTOP) as (net, (desk, pi, laptop)):
        pair(pi, laptop)
        meet(pi, laptop)
        await net.clock.advance(5.0)
        pair(pi, desk)
        meet(pi, desk)
        await net.clock.advance(5.0)
        assert laptop.knows(desk) == [DESK]
        assert laptop.registry.endpoints(desk.id) == [Endpoint(DESK, PORT)]
