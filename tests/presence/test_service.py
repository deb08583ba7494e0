"""The presence service on a network in memory: who is seen, what is announced and when (DESIGN §8, R10, R11)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

import pytest
from msgspec import structs

from agent.ports import Echoed
from agent.presence.announcer import Announcer
from agent.presence.rules.registry import Registry
from agent.presence.service import Presence
from agent.presence.subscriptions import Subscription
from agent.protocol.identity import Identity
from agent.protocol.model import DeviceId, Endpoint, PresenceRecord, SessionId, Status
from agent.protocol.times import rfc3339
from tests.fakes.clock import FakeClock, settle
from tests.fakes.keys import MemoryKeys
from tests.fakes.lan import MemoryDiscovery, MemoryLan
from tests.fakes.trust import identity, paired
from tests.presence.rules.registry_facts import claim, record, row

HERE, THERE = identity(1), identity(2)
OWN, DEN = HERE.id, THERE.id


class Machine:
    """A presence service with its registry."""

    def __init__(
        self,
        clock: FakeClock,
        discovery: MemoryDiscovery | None,
        who: Identity = HERE,
        *,
        revision: int = 0,
        mode: Literal["sealed", "open", "hidden"] = "open",
        keys: MemoryKeys | None = None,
        twin: Callable[[tuple[str, ...]], None] = lambda hosts: None,
    ) -> None:
        self.clock, self.saved = clock, list[int]()
        self.id = who.id
        self.registry = Registry(who.id, name="here", version="1")
        keys = keys or MemoryKeys()
        announcer = None
        if discovery is not None and mode != "hidden":
            announcer = Announcer(
                discovery,
                self.registry,
                clock,
                identity=who,
                keys=None if mode == "open" else keys,
                entropy=bytes,
                previous_revision=revision,
                save_revision=self.saved.append,
            )
            announcer.twin_heard.subscribe(twin)
        self.presence = Presence(
            self.registry,
            discovery,
            announcer,
            clock,
            name="here",
            port=7777,
            jitter=lambda: 0.5,
            keys=keys,
        )

    def state(self, device: DeviceId = DEN) -> str:
        found = self.registry.device(device)
        return found.state if found else "gone"

    def host(self, status: Status = Status.IDLE, title: str = "build", session: str = "abcdefghijklmnop") -> None:
        self.presence.local_sessions([row(session, at=self.clock.time(), status=status, title=title)], [])


@asynccontextmanager
async def running(*machines: Machine) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.presence.run(), name="test.presence") for each in machines]
        await settle()
        yield
        for task in tasks:
            task.cancel()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def lan(clock: FakeClock) -> MemoryLan:
    return MemoryLan(clock)


async def latest(changes: Subscription) -> list[str]:
    async with asyncio.timeout(0.5):
        return [each.state for each in (await anext(changes)).devices]


# --- two machines -----------------------------------------------------------------------------------------------------


async def test_two_devices_hear_each_other_and_what_they_host(clock: FakeClock, lan: MemoryLan) -> None:
    one, two = Machine(clock, lan.join()), Machine(clock, lan.join(), THERE)
    one.presence.paired([paired(2)])
    async with running(one, two):
        assert (one.state(DEN), two.state(OWN)) == ("online", "online")
        assert one.registry.endpoints(DEN) == [Endpoint("10.0.0.2", 7777)]
        two.host(Status.WORKING)
        await clock.advance(1.0)
        (seen,) = one.registry.sessions("remote")
        assert (seen.id, seen.title, seen.status, seen.device.id) == ("abcdef", "build", Status.WORKING, DEN)
        assert two.registry.sessions("remote") == []


async def test_a_value_that_comes_back_is_heard_again(clock: FakeClock, lan: MemoryLan) -> None:
    """FACTS-MDNS §3: without a new revision `idle -> working -> idle` stays `working`."""
    one, member = Machine(clock, lan.join()), lan.join()
    two = Machine(clock, member, THERE)
    one.presence.paired([paired(2)])
    two.host()
    async with running(one, two):
        for status in (Status.WORKING, Status.IDLE):
            two.host(status)
            await clock.advance(1.5)
            assert [each.status for each in one.registry.sessions("remote")] == [status]
    assert len(set(member.published)) == len(member.published) == 3


async def test_r10_a_device_that_leaves_says_goodbye(clock: FakeClock, lan: MemoryLan) -> None:
    one, two = Machine(clock, lan.join()), Machine(clock, lan.join(), THERE)
    async with running(one):
        async with running(two):
            changes = one.presence.subscribe()
            assert one.state() == "online"
            await clock.advance(1.0)
        assert await latest(changes) == ["offline"]


async def test_r10_a_device_that_is_cut_off_turns_stale_and_is_probed(clock: FakeClock, lan: MemoryLan) -> None:
    one, member = Machine(clock, lan.join()), lan.join()
    async with running(one, Machine(clock, member, THERE)):
        await clock.advance(130.0)
        assert one.state() == "online"  # heard every 60 s
        member.plugged = False
        changes = one.presence.subscribe()
        await clock.advance(150.0)
        assert await latest(changes) == ["stale"]
        assert one.presence.to_probe() == [DEN]
        one.presence.dial_failed(DEN, "no answer")
        one.presence.dial_failed(DEN, "no answer")
        assert await latest(changes) == ["offline"]
        member.plugged = True
        await clock.advance(70.0)  # heard again, but only an answer is a sign of life
        assert one.presence.to_probe() == [DEN]
        one.presence.answered(DEN)
        assert one.state() == "online"


async def test_r11_the_same_record_again_is_told_to_nobody(clock: FakeClock, lan: MemoryLan) -> None:
    one = Machine(clock, lan.join())
    async with running(one):
        lan.announce(record(DEN, 1, claim()))
        changes = one.presence.subscribe()
        for _ in range(5):
            await clock.advance(1.0)
            lan.announce(record(DEN, 1, claim()))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(changes)


# --- sightings --------------------------------------------------------------------------------------------------------


async def test_a_flood_of_one_device_is_merged_in_steps(clock: FakeClock, lan: MemoryLan) -> None:
    one = Machine(clock, lan.join())
    fed: list[int] = []
    merge = one.registry.heard

    def counting(said: PresenceRecord, source: Literal["mdns", "static", "link"], now: float) -> object:
        fed.append(said.revision)
        return merge(said, source, now)

    one.registry.heard = counting  # type: ignore[method-assign, assignment]  # to count
    async with running(one):
        for number in range(1, 1001):
            lan.announce(record(DEN, number))
        assert fed == [1]
        await clock.advance(0.1)
        assert fed == [1, *range(993, 1001)]


async def test_a_flood_of_phantoms_leaves_a_bounded_view(clock: FakeClock, lan: MemoryLan) -> None:
    one = Machine(clock, lan.join())
    async with running(one):
        for number in range(2000):
            lan.announce(record(DeviceId(f"phantom{number:09}"), 1))
            await clock.advance(0.01)
        assert len(one.registry.devices()) <= 65


async def test_what_is_heard_never_raises(clock: FakeClock, lan: MemoryLan) -> None:
    member = lan.join()
    one = Machine(clock, member)
    async with running(one):
        member.receive("not a sighting")  # type: ignore[arg-type]  # a bug of the adapter
        lan.announce(record(DEN, 1))
        assert one.state() == "online"


async def test_a_paired_device_that_is_heard_can_be_dialled_at_once(clock: FakeClock, lan: MemoryLan) -> None:
    one = Machine(clock, lan.join())
    heard: list[DeviceId] = []
    one.presence.heard.subscribe(heard.append)
    one.presence.paired([paired(2)])
    async with running(one):
        lan.announce(record(DEN, 1))
        lan.announce(record(DeviceId("strangerstranger"), 1))
        assert heard == [DEN]
        one.presence.heard_static(record(DEN, 0, hosts=("10.0.9.9",)))
        assert heard == [DEN, DEN]


async def test_a_device_that_may_do_less_than_before_is_told_of_the_sessions_here_anew(
    clock: FakeClock, lan: MemoryLan
) -> None:
    one, member = Machine(clock, lan.join()), paired(2)
    one.presence.paired([member])
    one.host()
    changes = one.presence.subscribe()
    one.presence.paired([member, paired(3)])
    assert (await anext(changes)).sessions == ()
    one.presence.paired([structs.replace(member, read_only=True), paired(3)])
    async with asyncio.timeout(0.5):
        assert [row.title for row in (await anext(changes)).sessions] == ["build"]


async def test_a_forged_goodbye_is_followed_by_a_question(clock: FakeClock, lan: MemoryLan) -> None:
    member = lan.join()
    one, two = Machine(clock, member), Machine(clock, lan.join(), THERE)
    async with running(one, two):
        await clock.advance(1.0)
        for _ in range(20):
            lan.withdraw(DEN)
        await clock.advance(0.2)
        assert (one.state(), member.poked) == ("online", 1)
        await clock.advance(5.0)
        assert member.poked == 2  # once more for those that came meanwhile
        lan.withdraw(DeviceId("strangerstranger"))
        await clock.advance(5.0)
        assert member.poked == 2


# --- announcing -------------------------------------------------------------------------------------------------------


def readings(member: MemoryDiscovery) -> list[bytes]:
    """The published records but for their revisions."""
    return [b"|".join(each for each in strings if not each.startswith(b"r=")) for strings in member.published]


async def test_the_first_record_is_out_at_once_and_changes_are_paced(clock: FakeClock, lan: MemoryLan) -> None:
    member = lan.join()
    one = Machine(clock, member)
    async with running(one):
        assert len(member.published) == 1
        one.host(Status.IDLE)
        await clock.advance(0.9)
        assert len(member.published) == 1
        await clock.advance(0.1)
        assert len(member.published) == 2
        for number in range(300):  # five changes a second for a minute
            one.host((Status.IDLE, Status.WORKING)[number % 2])
            await clock.advance(0.2)
        assert 10 <= len(member.published) <= 16
        one.host(Status.NEEDS_INPUT, session="needsneedsneedsn")
        await clock.advance(1.0)
        assert b"needsn,n," in readings(member)[-1]


@pytest.mark.parametrize("mode", ["sealed", "open"])
async def test_a_private_session_is_not_announced(
    clock: FakeClock, lan: MemoryLan, mode: Literal["sealed", "open"]
) -> None:
    # Neither its title nor that there is one: not among the counts, and in no entry.
    member = lan.join()
    one = Machine(clock, member, mode=mode, keys=MemoryKeys())
    async with running(one):
        before = readings(member)[-1]
        private = row("abcdefghijklmnop", at=clock.time(), status=Status.NEEDS_INPUT, title="diary")
        one.presence.local_sessions([structs.replace(private, share="private")], [])
        await clock.advance(120.0)
        assert readings(member)[-1] == before
        one.presence.local_sessions([private], [])
        await clock.advance(2.0)
        assert readings(member)[-1] != before


async def test_words_that_nobody_chose_for_a_title_are_not_announced_in_the_open(
    clock: FakeClock, lan: MemoryLan
) -> None:
    member = lan.join()
    one = Machine(clock, member, mode="open")
    async with running(one):
        called = structs.replace(row("abcdefghijklmnop", at=clock.time(), title="my secret plan"), untitled=True)
        one.presence.local_sessions([called], [])
        await clock.advance(40.0)
        assert b"abcdef,i," in readings(member)[-1]
        assert b"secret" not in readings(member)[-1]
        assert [each.title for each in one.registry.sessions("local")] == ["my secret plan"]
        one.presence.local_sessions([structs.replace(called, title="plan", untitled=False)], [])
        await clock.advance(40.0)
        assert b",plan" in readings(member)[-1]


async def test_a_title_waits_and_an_unchanged_record_is_not_published(clock: FakeClock, lan: MemoryLan) -> None:
    member = lan.join()
    one = Machine(clock, member)
    one.host()
    async with running(one):
        await clock.advance(10.0)
        one.host(title="deploy")
        await clock.advance(29.0)
        assert len(member.published) == 1
        await clock.advance(1.0)
        assert len(member.published) == 2
        one.presence.local_sessions([row("abcdefghijklmnop", at=clock.time() - 30, title="deploy", cwd="/srv")], [])
        await clock.advance(60.0)
        assert len(member.published) == 2


async def test_a_session_that_ends_leaves_the_record(clock: FakeClock, lan: MemoryLan) -> None:
    member = lan.join()
    one = Machine(clock, member)
    one.host()
    async with running(one):
        await clock.advance(5.0)
        one.host(Status.ENDED)
        await clock.advance(1.0)
        one.presence.local_sessions([], [SessionId("abcdefghijklmnop")])
        await clock.advance(60.0)
    assert [b"c=0,0,1" in each for each in readings(member)] == [True, False]


async def test_r9_revisions_grow_across_restarts_and_are_kept(clock: FakeClock, lan: MemoryLan) -> None:
    ahead = int(clock.time() * 1000) + 50_000  # the clock was set back meanwhile
    one = Machine(clock, lan.join(), revision=ahead)
    async with running(one):
        one.host()
        await clock.advance(1.0)
    assert one.saved == [ahead + 1, ahead + 2]


async def test_a_forged_record_of_our_own_is_answered_with_a_new_revision(clock: FakeClock, lan: MemoryLan) -> None:
    member = lan.join()
    one = Machine(clock, member)
    async with running(one):
        await clock.advance(10.0)
        for _ in range(100):
            lan.announce(record(OWN, 7, name="forged"))
            await clock.advance(0.1)
        assert len(member.published) in {3, 4}  # the first, and one in five seconds
        revisions = [each.split(b"=")[1] for strings in member.published for each in strings if each.startswith(b"r=")]
        assert len(set(revisions)) == len(revisions)
        assert len(one.registry.devices()) == 1
        member.receive(Echoed())


async def test_another_machine_with_our_key_is_told(clock: FakeClock, lan: MemoryLan) -> None:
    # A cloned disk. Neither what is forged nor what we sent ourselves and somebody repeats is one.
    member, other = lan.join(), lan.join("10.0.0.7")
    told: list[tuple[str, ...]] = []
    one, twin = Machine(clock, member, twin=told.append), Machine(clock, other)
    async with running(one):
        await clock.advance(10.0)
        member.receive(member.heard)
        lan.announce(record(OWN, 2**50, name="forged"))
        await clock.advance(10.0)
        assert told == []
        async with running(twin):
            await clock.advance(10.0)
        assert told
        assert set(told) == {("10.0.0.7",)}


async def test_hidden_announces_nothing_and_still_hears(clock: FakeClock, lan: MemoryLan) -> None:
    member = lan.join()
    one = Machine(clock, member, mode="hidden")
    async with running(one):
        one.host()
        lan.announce(record(DEN, 1))
        member.receive(Echoed())
        await clock.advance(100.0)
        assert (member.published, member.announced, one.state()) == ([], 0, "online")


async def test_it_re_announces_and_asks_every_sixty_seconds(clock: FakeClock, lan: MemoryLan) -> None:
    member = lan.join()
    async with running(Machine(clock, member)):
        await clock.advance(59.0)
        assert (member.announced, member.poked) == (0, 0)
        await clock.advance(1.0)
        assert (member.announced, member.poked) == (1, 1)
        await clock.advance(240.0)
        assert member.announced == 5
        assert 4 <= member.poked <= 5
        assert len(member.published) == 1  # the same revision


async def test_after_sleep_it_asks_at_once(clock: FakeClock, lan: MemoryLan) -> None:
    member = lan.join()
    async with running(Machine(clock, member)):
        await clock.advance(6.0)
        clock._start += 3600.0  # the wall clock went on while the machine slept
        await clock.advance(5.0)
        assert (member.poked, member.announced) == (1, 1)


# --- without discovery, and facts from elsewhere ----------------------------------------------------------------------


async def test_without_discovery_links_and_addresses_still_count(clock: FakeClock) -> None:
    one = Machine(clock, None)
    one.presence.paired([paired(2)])
    async with running(one):
        changes = one.presence.subscribe()
        one.presence.link_up(DEN, name="Den", version="2", endpoint=Endpoint("10.0.0.2", 7777))
        one.presence.link_sessions(DEN, [row()], whole=True)
        told = await anext(changes)
        assert [each.state for each in told.devices] == ["online"]
        assert [each.attachable for each in told.sessions] == [True]
        assert one.presence.endpoints(DEN) == [Endpoint("10.0.0.2", 7777)]
        one.presence.link_lost(DEN, "silence")
        assert await latest(changes) == ["stale"]


async def test_our_own_addresses_and_name_are_followed(clock: FakeClock, lan: MemoryLan) -> None:
    member = lan.join()
    one = Machine(clock, member)
    async with running(one):
        changes = one.presence.subscribe()
        member.addresses = ("192.168.7.7",)
        await clock.advance(5.0)
        (own,) = (await anext(changes)).devices
        assert (own.self, own.addresses) == (True, ("192.168.7.7",))
        one.presence.own_changed(name="study", port=7778)
        await clock.advance(1.0)
        assert b"n=study" in readings(member)[-1]
        assert one.registry.devices()[0].port == 7778


# --- the network in memory --------------------------------------------------------------------------------------------


async def test_pairing_windows_are_found_when_they_open(clock: FakeClock, lan: MemoryLan) -> None:
    host, guest = lan.join(), lan.join()
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(guest.find_windows("42", 5.0), name="test.find")
        in_vain = group.create_task(guest.find_windows("43", 5.0), name="test.find-none")
        await clock.advance(1.0)
        assert not looking.done()
        await host.open_window("42", "den", 9999)
        await settle()
        assert [(each.name, each.endpoints) for each in looking.result()] == [("den", (Endpoint("10.0.0.1", 9999),))]
        assert not in_vain.done()
        await clock.advance(4.0)
        assert in_vain.result() == []
    await host.close_window()
    async with asyncio.TaskGroup() as group:
        closed = group.create_task(guest.find_windows("42", 1.0), name="test.find-closed")
        await clock.advance(1.0)
        assert closed.result() == []


async def test_a_record_in_memory_is_what_the_wire_would_carry(clock: FakeClock, lan: MemoryLan) -> None:
    member = lan.join(port=7000)
    one = Machine(clock, member)
    one.host()
    async with running(one):
        said = member.record
    assert said is not None
    expected = record(OWN, said.revision, claim(at=int(clock.time())), name="here", hosts=("10.0.0.1",), port=7000)
    assert said == expected
    assert rfc3339(clock.time()) == one.registry.sessions()[0].updated_at
