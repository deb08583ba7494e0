"""What is told of announced instances, when, and how much at most (docs/design/discovery.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.discovery.instances import (
    ECHO,
    MAX_INSTANCES,
    MAX_RESOLVING,
    SILENT,
    InstanceRecords,
    Instances,
    join_text,
    split_text,
)
from agent.ports import Echoed, Goodbye, Heard, Sighting
from agent.protocol.model import DeviceId, PresenceRecord
from tests.fakes.clock import FakeClock, settle

OWN = DeviceId("ownownownownowno")


def decode(strings: Sequence[bytes], *, port: int, hosts: tuple[str, ...]) -> PresenceRecord | None:
    fields = dict(string.partition(b"=")[::2] for string in strings)
    if b"id" not in fields:
        return None
    device, revision = DeviceId(fields[b"id"].decode()), int(fields.get(b"r", b"1"))
    return PresenceRecord(device=device, revision=revision, name="", port=port, hosts=hosts)


def txt(device: str, revision: int = 1) -> bytes:
    return join_text([f"id={device}".encode(), f"r={revision}".encode()])


class FakeNetwork:
    """A cache that is filled by hand; every host has one address."""

    def __init__(self) -> None:
        self.cache: dict[str, InstanceRecords] = {}
        self.asked: list[str] = []
        self.answer = asyncio.Event()
        self.off_link: set[str] = set()
        self.full = False  # so full that addresses, which live shortest, leave it at once

    def cached(self, name: str) -> InstanceRecords | None:
        return self.cache.get(name)

    def addresses(self, server: str) -> tuple[str, ...]:
        return () if self.full or server == "nowhere" else ("10.0.0.1",)

    async def ask(self, name: str) -> None:
        self.asked.append(name)
        await self.answer.wait()

    def reachable(self, addresses: Sequence[str]) -> tuple[str, ...]:
        return tuple(address for address in addresses if address not in self.off_link)

    def elsewhere(self, addresses: Sequence[str]) -> tuple[str, ...]:
        return tuple(address for address in addresses if address in self.off_link)


class Table:
    """An `Instances` at work, and what it told."""

    def __init__(self) -> None:
        self.clock, self.network = FakeClock(), FakeNetwork()
        self.told: list[Sighting] = []
        self.instances = Instances(
            own=OWN, clock=self.clock, decode=decode, network=self.network, tell=self.told.append
        )

    def packet(self, name: str, device: str = "", revision: int = 1) -> None:
        """All records of an instance arrive in one packet."""
        self.instances.heard(name)
        self.instances.heard(name, service=("host.local.", 4000))
        self.instances.heard(name, text=txt(device or name, revision))
        self.instances.flush()

    @property
    def heard(self) -> list[tuple[str, int]]:
        return [(each.record.device, each.record.revision) for each in self.told if isinstance(each, Heard)]


@asynccontextmanager
async def table() -> AsyncIterator[Table]:
    made = Table()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(made.instances.run())
        yield made
        running.cancel()


async def test_a_packet_is_told_at_once() -> None:
    async with table() as t:
        t.packet("desk")
        (told,) = t.told
        record = PresenceRecord(device=DeviceId("desk"), revision=1, name="", port=4000, hosts=("10.0.0.1",))
        assert told == Heard(record, strings=(b"id=desk", b"r=1"), instance="desk")


async def test_a_change_is_told_though_a_flood_pushed_the_addresses_out_of_the_cache() -> None:
    async with table() as t:
        t.packet("desk")
        t.network.full = True
        await t.clock.advance(1.0)
        t.packet("desk", revision=2)
        t.packet("newcomer")  # whose address nobody knows
        await settle()
        assert [told.record.revision for told in t.told if isinstance(told, Heard)] == [1, 2]


async def test_other_strings_are_news_even_if_they_read_the_same() -> None:
    # T5: a forgery without its signature must not keep the signed record from being told.
    async with table() as t:
        t.packet("desk")
        await t.clock.advance(0.2)
        t.instances.heard("Desk", text=txt("desk") + b"\x05sig=x")
        t.instances.flush()
        assert [each.strings[2:] for each in t.told if isinstance(each, Heard)] == [(), (b"sig=x",)]


async def test_changes_of_one_instance_are_coalesced_and_the_last_wins() -> None:
    async with table() as t:
        for revision in range(1, 1001):
            t.packet("desk", revision=revision)
        assert t.heard == [("desk", 1)]
        await t.clock.advance(0.1)
        assert t.heard == [("desk", 1), ("desk", 1000)]


async def test_the_same_record_is_heard_again_but_not_over_the_other_address_family() -> None:
    async with table() as t:
        t.packet("desk")
        await t.clock.advance(0.2)
        t.packet("desk")  # over IPv6
        await t.clock.advance(60.0)
        assert len(t.told) == 1
        t.packet("desk")  # announced again
        assert len(t.told) == 2


async def test_a_text_that_comes_back_is_told_whatever_the_cache_says() -> None:
    async with table() as t:
        t.network.cache["desk"] = InstanceRecords(
            text=txt("desk", 2), server="host.local.", port=1, addresses=("10.0.0.1",)
        )
        for revision in (1, 2, 1):
            t.packet("desk", revision=revision)
            await t.clock.advance(1.0)
        assert t.heard == [("desk", 1), ("desk", 2), ("desk", 1)]


async def test_goodbye_is_told_once_and_only_for_what_was_told() -> None:
    async with table() as t:
        t.instances.gone("desk")
        t.packet("Desk", "d1")
        t.instances.gone("dESK")  # names do not know case
        t.instances.gone("desk")
        assert t.told[1:] == [Goodbye(DeviceId("d1"), "Desk")]


async def test_a_device_that_took_a_new_name_does_not_leave_with_the_old_one() -> None:
    async with table() as t:
        t.packet("old", "d1")
        t.packet("new", "d1")
        t.instances.gone("old")
        assert [each for each in t.told if isinstance(each, Goodbye)] == [Goodbye(DeviceId("d1"), "old", last=False)]


async def test_an_incomplete_instance_is_asked_for_and_told_when_it_is_complete() -> None:
    async with table() as t:
        t.instances.heard("desk")
        t.instances.flush()
        await settle()
        assert t.network.asked == ["desk"]
        assert t.told == []
        t.network.cache["desk"] = InstanceRecords(
            text=txt("desk"), server="host.local.", port=9, addresses=("10.0.0.1",)
        )
        t.network.answer.set()
        await settle()
        assert t.heard == [("desk", 1)]


async def test_at_most_eight_are_asked_for_at_a_time() -> None:
    async with table() as t:
        for number in range(20):
            t.instances.heard(f"d{number}")
            t.instances.flush()
        await settle()
        assert len(t.network.asked) == MAX_RESOLVING
        t.network.answer.set()
        await settle()
        assert len(t.network.asked) == 20
        assert len(t.instances) == 0  # nobody answered: forgotten


async def test_twenty_new_instances_a_second_are_looked_at() -> None:
    async with table() as t:
        for number in range(60):
            t.packet(f"d{number}")
        assert len(t.heard) == 20
        await t.clock.advance(1.0)
        assert 38 <= len(t.heard) <= 41
        await t.clock.advance(1.2)
        assert len(set(t.heard)) == 60  # none is lost


async def test_a_flood_of_names_is_bounded() -> None:
    async with table() as t:
        for number in range(10_000):
            t.packet(f"fake{number}")
        assert len(t.instances) <= MAX_INSTANCES


async def test_known_devices_keep_their_place_in_a_flood_of_names_until_they_fall_silent() -> None:
    async with table() as t:
        for number in range(MAX_INSTANCES):
            t.packet(f"d{number}")
            await t.clock.advance(0.05)
        assert len(t.heard) == MAX_INSTANCES
        t.packet("late")
        await t.clock.advance(1.0)
        assert ("late", 1) not in t.heard
        await t.clock.advance(SILENT)
        t.packet("late")
        await t.clock.advance(1.0)
        assert ("late", 1) in t.heard


async def test_what_is_no_device_of_ours_makes_room_first() -> None:
    async with table() as t:
        for number in range(MAX_INSTANCES):
            t.instances.heard(f"g{number}", text=join_text([b"garbage"]), service=("host.local.", 1))
            t.instances.flush()
            await t.clock.advance(0.05)
        t.packet("desk")
        await t.clock.advance(0.1)
        assert t.heard == [("desk", 1)]


async def test_our_own_id_under_another_name_is_an_echo_told_rarely() -> None:
    async with table() as t:
        for revision in range(5):
            t.packet("impostor", OWN, revision)
            await t.clock.advance(0.2)
        (echo,) = t.told
        assert isinstance(echo, Echoed)
        assert echo.heard is not None
        assert echo.heard.record.revision == 0
        await t.clock.advance(ECHO)
        t.packet("impostor", OWN, 9)
        assert [type(each) for each in t.told] == [Echoed, Echoed]


async def test_an_address_off_our_links_is_told_apart_until_it_is_on_one() -> None:  # L10
    async with table() as t:
        t.network.off_link = {"10.0.0.1"}
        t.packet("desk")
        (told,) = t.told
        assert isinstance(told, Heard)
        assert (told.record.hosts, told.elsewhere) == ((), ("10.0.0.1",))
        t.network.off_link.clear()
        await t.clock.advance(1.0)
        t.instances.refresh()
        await settle()
        told = t.told[-1]
        assert isinstance(told, Heard)
        assert (told.record.hosts, told.elsewhere) == (("10.0.0.1",), ())


async def test_our_own_record_that_comes_back_from_beyond_our_links_is_no_echo() -> None:
    async with table() as t:
        t.network.off_link = {"10.0.0.1"}
        t.packet("desk", OWN)
        assert t.told == []


async def test_looking_again_at_what_did_not_change_is_no_sign_of_life() -> None:
    async with table() as t:
        t.packet("desk")
        await t.clock.advance(0.3)
        t.packet("desk")  # a copy
        await t.clock.advance(10.0)
        t.instances.refresh()
        t.instances.moved({"host.local."})
        t.instances.flush()
        await t.clock.advance(1.0)
        assert len(t.told) == 1


@pytest.mark.parametrize("service", [("host.local.", 0), ("nowhere", 4000)], ids=["port 0", "no address"])
async def test_a_service_that_cannot_be_dialled_is_not_told(service: tuple[str, int]) -> None:
    async with table() as t:
        t.instances.heard("desk", text=txt("desk"), service=service)
        t.instances.flush()
        t.network.answer.set()
        await settle()
        assert t.told == []


@given(st.binary(max_size=600))
def test_any_bytes_are_some_strings(text: bytes) -> None:
    assert sum(len(string) for string in split_text(text)) <= len(text)


@given(st.lists(st.binary(max_size=255), min_size=1))
def test_strings_survive_the_record(strings: list[bytes]) -> None:
    assert split_text(join_text(strings)) == strings


def test_no_strings_are_one_empty_string() -> None:
    assert join_text([]) == b"\0"  # RFC 6763 §6.1
