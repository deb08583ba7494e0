"""What a record is worth: signed, sealed, forged, replayed, foreign (T5, DESIGN §8), on a network in memory."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec
import pytest

from agent.ports import Goodbye, Heard, Renamed
from agent.presence.rules.txt import decode
from agent.protocol.model import DeviceId, Status
from tests.fakes.clock import FakeClock, settle
from tests.fakes.keys import MemoryKeys
from tests.fakes.lan import MemoryLan
from tests.fakes.trust import identity, paired
from tests.presence.rules.registry_facts import claim, record, row
from tests.presence.test_service import DEN, THERE, Machine, running

BOX = identity(3)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def lan(clock: FakeClock) -> MemoryLan:
    return MemoryLan(clock)


class Pair:
    """Two machines of one household, `one` watching `two`, and a third on the same network that is in none."""

    def __init__(self, clock: FakeClock, lan: MemoryLan, *, seals: bool = True) -> None:
        self.clock, self.lan = clock, lan
        self.keys = MemoryKeys(*([1] if seals else []))
        self.member, self.their_member = lan.join(), lan.join()
        self.one = Machine(clock, self.member, mode="sealed", keys=self.keys)
        self.two = Machine(clock, self.their_member, THERE, mode="sealed", keys=self.keys)
        self.outsider = lan.join()
        self.stranger = Machine(clock, self.outsider, BOX, mode="sealed")
        self.one.presence.paired([paired(2)])
        self.two.presence.paired([paired(1)])
        self.two.host(Status.WORKING, "Fix the build")

    @property
    def all(self) -> tuple[Machine, Machine, Machine]:
        return self.one, self.two, self.stranger

    def titles(self) -> list[str]:
        return [each.title for each in self.one.registry.sessions("remote")]

    def view(self) -> object:
        """All that is shown of `two`, but for when it was heard."""
        device = self.one.registry.device(DEN)
        assert device is not None
        return msgspec.structs.replace(device, heard_at=None), self.one.registry.sessions("remote")

    def send(self, strings: Sequence[bytes], instance: str | None = None, port: int = 7777) -> None:
        """Somebody sends these strings, to `one`."""
        name = self.their_member.instance() if instance is None else instance
        said = decode(strings, port=port, hosts=("10.0.0.66",))
        assert said is not None
        self.member.receive(Heard(said, tuple(strings), name))


# --- through a reflector ----------------------------------------------------------------------------------------------


async def test_a_signed_record_from_beyond_the_router_counts_of_a_paired_device(
    clock: FakeClock, lan: MemoryLan
) -> None:
    # L10: a reflector passes it on; its addresses are on no network of this machine.
    devices = Pair(clock, lan)
    async with running(*devices.all):
        await settle()
        strings = devices.their_member.published[-1]
        said = decode(strings, port=7777)
        assert said is not None
        heard = Heard(said, tuple(strings), devices.their_member.instance(), elsewhere=("10.9.0.1", "8.8.8.8"))
        await clock.advance(1.0)
        devices.member.receive(heard)
        await clock.advance(1.0)
        hosts = [endpoint.host for endpoint in devices.one.registry.endpoints(DEN)]
        assert hosts == ["10.9.0.1"]  # a packet sends us nowhere on the internet
        assert devices.titles() == ["Fix the build"]


async def test_of_strangers_and_of_the_unsigned_nothing_beyond_the_own_networks_counts(
    clock: FakeClock, lan: MemoryLan
) -> None:
    # L10, T5: whoever sends packets must not make this device list or dial third parties.
    devices = Pair(clock, lan)
    async with running(*devices.all):
        await settle()
        before = devices.view()
        strings = devices.their_member.published[-1]
        unsigned = [string for string in strings if not string.startswith(b"sig=")]
        said = decode(unsigned, port=7777)
        assert said is not None
        devices.member.receive(Heard(said, tuple(unsigned), "x", elsewhere=("10.9.0.1",)))
        phantom = record(DeviceId("phantomphantomaa"), 1, hosts=())
        devices.member.receive(Heard(phantom, (), "y", elsewhere=("10.9.0.1",)))
        await clock.advance(1.0)
        assert devices.view() == before
        assert not devices.one.registry.knows(phantom.device)


# --- who reads what ---------------------------------------------------------------------------------------------------


async def test_a_member_reads_titles_and_a_stranger_a_name_and_counts(clock: FakeClock, lan: MemoryLan) -> None:
    pair = Pair(clock, lan)
    async with running(*pair.all):
        assert pair.titles() == ["Fix the build"]
        (seen,) = pair.one.registry.sessions("remote")
        assert (seen.attachable, seen.status) == (True, Status.WORKING)
        assert pair.stranger.registry.sessions("remote") == []
        for machine in (pair.one, pair.stranger):
            device = machine.registry.device(DEN)
            assert device is not None
            assert (device.sessions, device.working) == (1, 1)
        assert b"Fix the build" not in b"".join(pair.their_member.published[-1])


async def test_before_there_is_a_household_only_name_id_and_counts_are_announced(
    clock: FakeClock, lan: MemoryLan
) -> None:
    pair = Pair(clock, lan, seals=False)
    async with running(*pair.all):
        strings = pair.their_member.published[-1]
        assert [each.split(b"=")[0] for each in strings] == [b"txtvers", b"r", b"id", b"n", b"pv", b"c", b"sig"]
        assert pair.titles() == []
        device = pair.one.registry.device(DEN)
        assert device is not None
        assert device.sessions == 1


async def test_a_new_key_is_sealed_with_at_once_and_read_when_it_comes(clock: FakeClock, lan: MemoryLan) -> None:
    pair = Pair(clock, lan)
    late = MemoryKeys(1)
    pair.one = Machine(clock, pair.member, mode="sealed", keys=late)
    pair.one.presence.paired([paired(2)])
    async with running(*pair.all):
        await clock.advance(5.0)
        published = len(pair.their_member.published)
        pair.two.presence.keys_changed()
        await clock.advance(5.0)
        assert len(pair.their_member.published) == published  # the same key: nothing to tell
        pair.keys.turn(2)
        pair.two.presence.keys_changed()
        await clock.advance(1.0)
        assert len(pair.their_member.published) == published + 1
        assert pair.titles() == []
        late.turn(2)
        pair.one.presence.keys_changed()
        assert pair.titles() == ["Fix the build"]


async def test_open_titles_of_a_paired_device_are_read_and_of_a_stranger_are_not(
    clock: FakeClock, lan: MemoryLan
) -> None:
    # R1: rows of strangers are worth nothing, whoever can read them.
    one, two = Machine(clock, lan.join(), keys=MemoryKeys(1)), Machine(clock, lan.join(), THERE, mode="open")
    two.host(title="for everybody")
    async with running(one, two):
        assert one.registry.sessions("remote") == []
        one.presence.paired([paired(2)])
        assert [each.title for each in one.registry.sessions("remote")] == ["for everybody"]
        one.presence.paired([])
        assert one.registry.sessions("remote") == []


# --- what is not believed ---------------------------------------------------------------------------------------------


async def test_forged_records_never_change_a_paired_row(
    clock: FakeClock, lan: MemoryLan, caplog: pytest.LogCaptureFixture
) -> None:
    pair = Pair(clock, lan)
    async with running(*pair.all):
        await clock.advance(1.0)
        before = pair.view()
        real = list(pair.their_member.published[-1])
        other = list(pair.outsider.published[-1])
        with caplog.at_level(logging.INFO, logger="agent.presence.verifier"):
            for forged in (
                [each for each in real if not each.startswith(b"c=")],
                [b"c=9,9,9" if each.startswith(b"c=") else each for each in real],
                [b"n=bank" if each.startswith(b"n=") else each for each in real],
                [b"r=zzzzzzzzzz" if each.startswith(b"r=") else each for each in real],
                [*real, b"s0=aaaaaa,n,1,forged"],
                [*real, b"x=" + bytes(250), b"y=" + bytes(250), b"z=" + bytes(250), b"w=" + bytes(250)],
                [*(each for each in real if not each.startswith(b"sig=")), other[-1]],
                [*(each for each in other if not each.startswith(b"id=")), b"id=" + DEN.encode()],
                [*(each for each in real if not each.startswith(b"sig=")), b"sig=", b"sig=" + bytes(64)],
            ):
                for _ in range(3):
                    pair.send(forged)
                    await clock.advance(0.2)
                assert pair.view() == before
                pair.send(forged, instance="bank._lan-agent._tcp.local.")
                await clock.advance(0.2)
                assert pair.view() == before
        assert [each.message for each in caplog.records] == ["a record was not believed"]  # once for each device
        assert pair.one.presence._verifier.rejected[DEN] == 36


async def test_an_unsigned_record_of_a_paired_device_is_an_address_to_try_and_no_more(
    clock: FakeClock, lan: MemoryLan
) -> None:
    # As version 0.1 announces, and as anybody can.
    pair = Pair(clock, lan)
    dialled: list[DeviceId] = []
    pair.one.presence.heard.subscribe(dialled.append)
    async with running(*pair.all):
        await clock.advance(1.0)
        before, dialled[:] = pair.view(), []
        for number in range(100):
            said = record(DEN, 36**10 + number, claim(title="forged"), hosts=("10.0.0.99",), name="bank")
            pair.member.receive(Heard(said))
            await clock.advance(0.1)
        assert pair.view() == before
        assert pair.one.presence.endpoints(DEN)[-1].host == "10.0.0.99"
        assert len(dialled) in {2, 3}  # in ten seconds: nobody sets the rate of our dials


async def test_a_replay_under_another_name_port_or_revision_is_not_believed(clock: FakeClock, lan: MemoryLan) -> None:
    pair = Pair(clock, lan)
    async with running(*pair.all):
        old = list(pair.their_member.published[-1])
        await clock.advance(2.0)
        pair.two.host(Status.IDLE, "Done")
        await clock.advance(2.0)
        assert pair.titles() == ["Done"]
        before, real = pair.view(), list(pair.their_member.published[-1])
        for second in range(120):  # the real record is repeated every minute only
            pair.send(old)
            pair.send(real, instance="den._lan-agent._tcp.local.")
            pair.send(real, port=7778)
            await clock.advance(1.0)
            assert pair.view() == before, second


async def test_a_device_whose_clock_was_set_back_is_believed_again(clock: FakeClock, lan: MemoryLan) -> None:
    # R9: its former records are no longer repeated, and only it can sign the new ones.
    pair = Pair(clock, lan)
    async with running(pair.one):
        async with running(pair.two):
            await clock.advance(1.0)
        again = Machine(FakeClock(clock.time() - 10**6), pair.their_member, THERE, mode="sealed", keys=pair.keys)
        again.clock = clock
        again.host(title="after the battery died")
        async with running(again):
            await settle()
            assert pair.titles() != ["after the battery died"]
            for _ in range(4):
                await clock.advance(40.0)
                pair.their_member.announce_again()
            await clock.advance(1.0)
            pair.one.presence.answered(DEN)
            assert pair.titles() == ["after the battery died"]


async def test_a_device_that_has_left_is_not_brought_back_by_its_old_record(clock: FakeClock, lan: MemoryLan) -> None:
    pair = Pair(clock, lan)
    async with running(pair.one):
        async with running(pair.two):
            await clock.advance(1.0)
            real = list(pair.their_member.published[-1])
        pair.one.presence.dial_failed(DEN, "refused")
        assert pair.one.state() == "offline"
        for _ in range(20):
            pair.send(real)
            await clock.advance(1.0)
            assert pair.one.state() == "offline"
        assert pair.one.presence.to_probe() == [DEN]  # asking it tells


async def test_a_forged_goodbye_is_checked_before_it_counts(clock: FakeClock, lan: MemoryLan) -> None:
    pair = Pair(clock, lan)
    doubted: list[DeviceId] = []
    pair.one.presence.doubted.subscribe(doubted.append)
    async with running(*pair.all):
        await clock.advance(1.0)
        before = pair.view()
        pair.member.receive(Goodbye(DEN))
        await settle()
        assert (doubted, pair.member.poked, pair.view()) == ([DEN], 2, before)
        pair.one.presence.answered(DEN)
        for _ in range(8):
            pair.member.receive(Goodbye(DEN))
            await clock.advance(0.1)
        assert (doubted, pair.view()) == ([DEN], before)
        await clock.advance(2.0)
        pair.member.receive(Goodbye(DEN))
        pair.one.presence.dial_failed(DEN, "refused")
        assert pair.one.state() == "offline"


async def test_only_the_goodbye_of_the_instance_that_is_believed_counts(clock: FakeClock, lan: MemoryLan) -> None:
    # A phantom that names a paired device neither takes it down with it nor keeps it up.
    pair = Pair(clock, lan)
    doubted: list[DeviceId] = []
    pair.one.presence.doubted.subscribe(doubted.append)
    async with running(*pair.all):
        await clock.advance(2.0)
        pair.outsider.plugged = False
        pair.member.receive(Goodbye(DEN, "phantom._lan-agent._tcp.local."))
        pair.member.receive(Goodbye(BOX.id, "stranger", last=False))
        await clock.advance(0.2)
        assert (doubted, pair.one.state(BOX.id)) == ([], "online")
        pair.member.receive(Goodbye(DEN, pair.their_member.instance().upper(), last=False))
        pair.member.receive(Goodbye(BOX.id, "stranger"))
        await clock.advance(0.2)
        assert (doubted, pair.one.state(BOX.id)) == ([DEN], "offline")


async def test_what_was_said_before_pairing_is_worth_nothing_after_it(clock: FakeClock, lan: MemoryLan) -> None:
    one = Machine(clock, lan.join(), keys=MemoryKeys(1))
    async with running(one):
        lan.announce(record(DEN, 36**12, claim(title="forged")))
        one.presence.paired([paired(2)])
        device = one.registry.device(DEN)
        assert device is not None
        assert (device.sessions, one.registry.sessions("remote")) == (0, [])
        two = Machine(clock, lan.join(), THERE, mode="open")
        two.host(title="real")
        async with running(two):
            await clock.advance(0.5)
            assert [each.title for each in one.registry.sessions("remote")] == ["real"]


async def test_thousands_of_phantoms_leave_paired_devices_listed(clock: FakeClock, lan: MemoryLan) -> None:
    pair = Pair(clock, lan)
    async with running(pair.one, pair.two):
        await clock.advance(1.0)
        before = pair.view()
        for number in range(5000):
            pair.member.receive(Heard(record(DeviceId(f"phantom{number:09}"), 1, claim(title="phantom"))))
            if number % 20 == 0:
                await clock.advance(0.5)
        assert pair.view() == before
        assert len(pair.one.registry.devices()) == 2 + 64
        assert pair.titles() == ["Fix the build"]
        assert max(each.id for each in pair.one.registry.devices()) >= "phantom000004950"  # the newest stay


# --- how it is signed -------------------------------------------------------------------------------------------------


async def test_a_device_that_must_take_another_name_signs_for_that_at_once(clock: FakeClock, lan: MemoryLan) -> None:
    pair = Pair(clock, lan)
    async with running(*pair.all):
        await clock.advance(10.0)
        pair.their_member.name = "machine 2-2"
        pair.their_member.announce_again()
        await clock.advance(1.0)
        assert pair.one.presence._verifier.rejected[DEN] == 1
        published = len(pair.their_member.published)
        pair.their_member.receive(Renamed())
        assert len(pair.their_member.published) == published + 1  # before anything is awaited
        pair.two.host(Status.NEEDS_INPUT, "still believed")
        await clock.advance(2.0)
        assert pair.titles() == ["still believed"]
        assert pair.one.presence._verifier.rejected[DEN] == 1


async def test_sessions_that_did_not_fit_or_cannot_be_read_are_known_to_be_missing(
    clock: FakeClock, lan: MemoryLan
) -> None:
    pair = Pair(clock, lan)
    now = clock.time()
    sessions = [row(f"session{letter}{'a' * 8}", at=now, title="t" * 40) for letter in "abcdefghijklmnopqrstuvwxyz"]
    pair.two.presence.local_sessions(sessions, [])
    async with running(*pair.all):
        listed = pair.one.registry.sessions("remote")
        device = pair.one.registry.device(DEN)
        assert device is not None
        assert (device.sessions, device.working) == (27, 1)
        assert 15 <= len(listed) < 27
        assert any(each.status is Status.WORKING for each in listed)
        where = pair.one.registry.find_session(f"{DEN}/{sessions[-1].id}")  # asked there
        assert (where.device, where.session) == (DEN, None)
