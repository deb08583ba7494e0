from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from agent.errors import (
    Ambiguous,
    BadParams,
    Busy,
    ConfigError,
    NotRunning,
    PairingFailed,
    PeerUnreachable,
    StateError,
)
from agent.protocol.messages import PairNews
from agent.protocol.model import Endpoint, PairedDevice
from agent.trust.devices import TrustedDevices
from agent.trust.pairing import TOLD_SECONDS, Pairing, Window
from agent.trust.rules.code import parse_code
from agent.trust.rules.handshake import Bundle, Joiner, WrongCode
from tests.fakes.clock import FakeClock, settle
from tests.fakes.pairing import MemoryPairing, PairingNet, WindowDiscovery
from tests.fakes.trust import MemoryTrust, identity

FOREIGN = b"another household"[:16]


class Device:
    """One device of a test, its pairing service running."""

    def __init__(self, net: PairingNet, clock: FakeClock, number: int, name: str, hosts: tuple[str, ...] = ()) -> None:
        self.identity, self.name, self.host = identity(number), name, f"10.0.0.{number}"
        self.trust = MemoryTrust()
        self.discovery = WindowDiscovery(net, self.host)
        self.transport = MemoryPairing(net, self.identity.certificate, self.host)
        self.news: list[PairNews] = []
        self.changes = 0
        self.met: list[tuple[str, bytes, bool]] = []  # what the household was told
        self.full = False
        self.bundle = Bundle(name=name, port=7000 + number, hosts=(self.host, *hosts))
        trusted = TrustedDevices(self.trust, clock)
        trusted.changes.subscribe(self._changed)
        self.service = Pairing(
            identity=self.identity,
            trusted=trusted,
            discovery=self.discovery,
            transport=self.transport,
            clock=clock,
            about=lambda: self.bundle,
            membership=self,
            below=lambda limit: 42 if limit == 100 else 913_577,
        )

    def _changed(self, devices: Sequence[PairedDevice]) -> None:
        self.changes += 1

    def check(self, theirs: bytes) -> None:
        if theirs == FOREIGN:
            raise PairingFailed("in another household", hint="leave it")

    def paired(self, device: PairedDevice, theirs: bytes, *, hosting: bool) -> None:
        if self.full:
            raise StateError("no space left")
        assert device in self.trust.devices()
        self.met.append((device.name, theirs, hosting))

    async def show(self, ttl: float = 300.0, *, long: bool = False) -> Window:
        window = await self.service.open_window(ttl, self.news.append, long=long)
        await settle()
        return window

    @property
    def told(self) -> list[str]:
        return [each.what for each in self.news]

    @property
    def trusted(self) -> list[str]:
        return [device.name for device in self.trust.devices()]


class House:
    def __init__(self) -> None:
        self.net, self.clock = PairingNet(), FakeClock()
        self.den, self.lab, self.pad = (
            Device(self.net, self.clock, number, name) for number, name in ((1, "den"), (2, "lab"), (3, "pad"))
        )

    @property
    def over(self) -> dict[str, str]:
        """Windows that are announced to be over: by device, how they ended."""
        return {window.name: window.over for window in self.net.announced.values() if window.over}


@asynccontextmanager
async def house() -> AsyncIterator[House]:
    home = House()
    async with asyncio.TaskGroup() as group:
        running = [
            group.create_task(each.service.run(), name="test.pairing") for each in (home.den, home.lab, home.pad)
        ]
        await settle()
        try:
            yield home
        finally:
            for task in running:
                task.cancel()
    assert home.net.listening == {}
    assert home.net.announced == {}


async def test_a_code_pairs_two_devices() -> None:  # T3
    async with house() as home:
        window = await home.den.show()
        assert window.code == "42-913-577"
        assert window.port in home.net.listening
        device = await home.lab.service.join("42 913577")
        await settle()
        assert (device.id, device.name) == (home.den.identity.id, "den")
        assert home.lab.service.devices() == [device]
        assert home.den.trusted == ["lab"]
        assert home.den.news == [PairNews(what="paired", device=home.lab.identity.id, name="lab")]
        assert (home.den.changes, home.lab.changes) == (1, 1)


async def test_paired_devices_know_where_to_dial_each_other_at_once() -> None:
    async with house() as home:
        await home.den.show()
        device = await home.lab.service.join("42-913-577")
        await settle()
        assert device.endpoints == (Endpoint("10.0.0.1", 7001),)
        assert home.den.trust.devices()[0].endpoints == (Endpoint("10.0.0.2", 7002),)


async def test_an_address_that_means_nothing_here_is_not_kept() -> None:
    async with house() as home:
        strange = ("127.0.0.1", "fe80::9%wlan7", "::1", "224.0.0.1", "0.0.0.0", "den.local", "192.168.7.7")
        home.den.bundle = Bundle(name="den", port=7001, hosts=strange)
        await home.den.show()
        device = await home.lab.service.join("42-913-577")
        assert [each.host for each in device.endpoints] == ["10.0.0.1", "192.168.7.7"]


async def test_a_name_is_cleaned_before_it_is_kept() -> None:  # T10
    async with house() as home:
        home.lab.bundle = Bundle(name="la\x1b[31mb\u202e" + "x" * 200, port=7002)
        await home.den.show()
        await home.lab.service.join("42-913-577")
        await settle()
        (kept,) = home.den.trusted
        assert kept.startswith("la[31mbx")
        assert len(kept) == 63


async def test_a_code_works_once() -> None:  # T3
    async with house() as home:
        window = await home.den.show()
        await home.lab.service.join("42-913-577")
        await settle()
        with pytest.raises(PeerUnreachable):
            await home.pad.service.join("42-913-577", f"10.0.0.1:{window.port}")
        with pytest.raises(PairingFailed, match="the code that begins with 42, of den, was used already") as used:
            await home.pad.service.join("42-913-577")
        assert used.value.hint == "run `agent pair` there again for a new code"
        assert home.den.trusted == ["lab"]


async def test_a_code_that_serves_no_more_says_why_to_who_types_it_late() -> None:
    async with house() as home:
        await home.den.show()
        await home.clock.advance(300.0)
        with pytest.raises(PairingFailed, match="of den, has expired"):
            await home.lab.service.join("42-913-577")
        window = await home.den.show()
        for _ in range(3):
            with pytest.raises(WrongCode):
                await home.lab.service.join("42-913-578")
        await settle()
        with pytest.raises(PairingFailed, match="of den, was tried wrongly too often"):
            await home.lab.service.join(window.code)
        await home.clock.advance(TOLD_SECONDS)
        with pytest.raises(PairingFailed, match="no device on this network"):
            await home.lab.service.join("42-913-577")


async def test_a_window_that_is_over_hides_none_that_is_open() -> None:
    async with house() as home:
        (await home.den.show()).close()
        await settle()
        await home.pad.show()
        assert [window.name for window in await home.lab.service.windows("42-913-577")] == ["pad"]
        assert (await home.lab.service.join("42-913-577")).name == "pad"
        await home.den.show()
        assert home.over == {"pad": "paired"}  # a new window takes the place of the old one
        await home.clock.advance(TOLD_SECONDS - 1.0)
        assert home.net.announced


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("open", "that code is shown by this device itself"),
        ("expired", "that code was shown by this device itself, and has expired"),
        ("paired", "that code was shown by this device itself, and was used already"),
    ],
)
async def test_a_code_that_is_typed_where_it_is_shown_is_recognized(how: str, told: str) -> None:
    async with house() as home:
        window = await home.den.show()
        if how == "expired":
            await home.clock.advance(300.0)
        elif how == "paired":
            await home.lab.service.join(window.code)
            await settle()
        connects = home.net.connects
        with pytest.raises(PairingFailed, match=told):
            await home.den.service.join("42 913 577")
        assert home.net.connects == connects


async def test_who_types_a_code_twice_is_told_whom_it_paired() -> None:
    async with house() as home:
        window = await home.den.show()
        address = f"10.0.0.1:{window.port}"
        await home.lab.service.join(window.code, address)
        await settle()
        with pytest.raises(PairingFailed, match="was used by this device already, to pair with den"):
            await home.lab.service.join(window.code, address)
        with pytest.raises(PeerUnreachable):
            await home.pad.service.join(window.code, address)


async def test_a_wrong_code_is_counted_and_told() -> None:  # T3
    async with house() as home:
        await home.den.show()
        with pytest.raises(WrongCode) as wrong:
            await home.lab.service.join("42-000-000")
        assert "agent pair" in wrong.value.hint
        await home.lab.service.join("42-913-577")
        await settle()
        assert home.den.news[0] == PairNews(what="wrong-code", tries_left=2, failed=1)
        assert home.den.told == ["wrong-code", "paired"]


async def test_three_wrong_codes_close_the_window() -> None:  # T3
    async with house() as home:
        window = await home.den.show()
        for _ in range(3):
            with pytest.raises(WrongCode):
                await home.lab.service.join("42-000-000")
        await settle()
        with pytest.raises(PeerUnreachable):
            await home.lab.service.join("42-913-577", f"10.0.0.1:{window.port}")
        assert home.den.told == ["wrong-code"] * 3 + ["exhausted"]
        assert home.den.trusted == home.lab.trusted == []


async def test_breaking_off_after_the_first_message_uses_a_try() -> None:  # T3
    async with house() as home:
        window = await home.den.show()
        endpoint = Endpoint("10.0.0.1", window.port)
        for left in (2, 1, 0):
            async with home.pad.transport.connect([endpoint]) as exchange:
                guess = Joiner(home.pad.identity, "1", exchange.certificate, home.pad.bundle, bytes)
                await exchange.send(guess.hello())
                await exchange.receive()
            await settle()
            assert home.den.news[-1 if left else -2] == PairNews(what="failed", tries_left=left, failed=3 - left)
        assert home.den.told[-1] == "exhausted"


async def test_connecting_without_a_word_uses_no_try() -> None:
    async with house() as home:
        window = await home.den.show()
        for _ in range(5):
            async with home.pad.transport.connect([Endpoint("10.0.0.1", window.port)]):
                await settle()
        await settle()
        assert home.den.news == []
        await home.lab.service.join("42-913-577")


async def test_runs_come_one_at_a_time() -> None:
    async with house() as home:
        window = await home.den.show()
        results = await asyncio.gather(
            *(each.service.join("42-913-577") for each in (home.lab, home.pad)), return_exceptions=True
        )
        await settle()
        assert len([each for each in results if isinstance(each, PairingFailed)]) == 1
        assert len(home.den.trusted) == 1
        assert home.den.told == ["paired"]
        assert window.failed == 1  # the second one's turn never came


async def test_a_window_closes_by_itself() -> None:  # T3
    async with house() as home:
        await home.den.show()
        await home.clock.advance(299.0)
        assert home.den.told == []
        await home.clock.advance(1.0)
        assert home.den.told == ["expired"]
        assert not home.net.listening
        assert home.over == {"den": "expired"}
        await home.clock.advance(TOLD_SECONDS)
        assert not home.net.announced


async def test_its_owner_closes_a_window() -> None:
    async with house() as home:
        window = await home.den.show()
        window.close()
        window.close()
        await settle()
        assert home.den.told == ["closed"]
        assert not home.net.listening
        assert home.over == {"den": "closed"}
        await home.den.show()  # and there may be another


async def test_only_one_window_is_open_at_a_time() -> None:
    async with house() as home:
        first = await home.den.show()
        with pytest.raises(Busy, match="already"):
            await home.den.show()
        assert home.net.announced
        first.close()


async def test_nobody_gets_in_through_a_window_that_closes_at_the_last_message() -> None:
    async with house() as home:
        window = await home.den.show()
        async with home.lab.transport.connect([Endpoint("10.0.0.1", window.port)]) as exchange:
            here = Joiner(home.lab.identity, "913577", exchange.certificate, home.lab.bundle, bytes)
            await exchange.send(here.hello())
            await exchange.send(here.prove(await exchange.receive()))
            await exchange.send(here.thank(await exchange.receive()))
            window.close()
            await settle()
        assert home.den.trusted == []
        assert home.den.told[-1] == "closed"
        assert home.den.changes == 0


async def test_a_window_that_cannot_listen_leaves_nothing_behind() -> None:
    async with house() as home:
        home.den.transport.broken = ConfigError("cannot listen")
        with pytest.raises(ConfigError):
            await home.den.show()
        await settle()
        home.den.transport.broken = None
        window = await home.den.show()
        window.close()


async def test_a_window_that_is_not_announced_is_reached_by_address() -> None:
    async with house() as home:
        home.den.discovery.broken = OSError("network is down")
        window = await home.den.show()
        device = await home.lab.service.join("42-913-577", f"10.0.0.1:{window.port}")
        assert device.name == "den"


async def test_a_window_that_its_owner_did_not_wait_for_is_closed() -> None:
    async with house() as home:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(home.den.service.open_window(300.0, home.den.news.append), name="test.open")
            await asyncio.sleep(0)
            waiting.cancel()
        await settle()
        assert not home.net.listening
        assert not home.net.announced
        await home.den.show()


async def test_a_stopped_service_closes_its_window() -> None:
    home = House()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(home.den.service.run(), name="test.pairing")
        await settle()
        await home.den.show()
        running.cancel()
    assert home.den.told == ["closed"]
    assert not home.net.listening
    assert not home.net.announced
    with pytest.raises(NotRunning):
        await home.den.show()


async def test_of_several_windows_with_one_slot_none_is_tried() -> None:  # T3: never sprayed
    async with house() as home:
        await home.den.show()
        await home.pad.show()
        with pytest.raises(Ambiguous, match="den, pad") as several:
            await home.lab.service.join("42-913-577")
        assert "--device" in several.value.hint
        assert home.net.connects == 0
        device = await home.lab.service.join("42-913-577", name="PAD")
        assert device.name == "pad"
        assert home.net.connects == 1


async def test_windows_with_one_slot_are_listed_to_choose_from() -> None:  # T3
    async with house() as home:
        await home.den.show()
        await home.pad.show()
        found = await home.lab.service.windows("42-913-577")
        assert [window.name for window in found] == ["den", "pad"]
        assert home.net.connects == 0
        with pytest.raises(BadParams):
            await home.lab.service.windows("42")


async def test_a_long_code_pairs_and_wrong_ones_do_not_use_it_up() -> None:  # T3
    async with house() as home:
        window = await home.den.show(long=True)
        assert len(window.code.replace("-", "")) == 26
        wrong = parse_code("a" * 26)
        for _ in range(10):
            with pytest.raises(WrongCode):
                await home.lab.service.join(str(wrong), f"10.0.0.1:{window.port}")
        assert window.outcome is None
        assert (await home.lab.service.join(window.code)).name == "den"
        await settle()
        assert home.den.told == ["wrong-code"] * 10 + ["paired"]
        assert [(news.tries_left, news.failed) for news in home.den.news[:2]] == [(0, 1), (0, 2)]


async def test_a_link_leads_to_its_device_and_to_no_other() -> None:  # T3
    async with house() as home:
        window = await home.den.show(long=True)
        link = window.link(home.den.identity.id, ["fe80::1%eth0", "fd00::1", "10.0.0.1", "10.0.0.2"])
        assert link.count("&a=") == 2
        assert "fe80" not in link
        other = window.link(home.pad.identity.id, ["10.0.0.1"])
        with pytest.raises(PairingFailed, match="another device answers"):
            await home.lab.service.join(other)
        assert home.den.news == []  # nothing was said to it
        assert (await home.lab.service.join(link)).name == "den"


async def test_a_code_that_nobody_shows_ends_in_advice() -> None:
    async with house() as home:
        with pytest.raises(PairingFailed, match="begins with 42") as nobody:
            await home.lab.service.join("42-913-577")
        assert "--address" in nobody.value.hint
        with pytest.raises(BadParams, match="eight digits"):
            await home.lab.service.join("42")
        assert home.net.connects == 0


@pytest.mark.parametrize("address", ["den", "den:", ":7000", "den:http", "den:0", "den:65536", "den:\u0667"])
async def test_a_malformed_address_is_refused(address: str) -> None:
    async with house() as home:
        with pytest.raises(BadParams, match="HOST:PORT"):
            await home.lab.service.join("42-913-577", address)


async def test_a_device_does_not_pair_with_itself() -> None:
    async with house() as home:
        await home.den.show()
        with pytest.raises(PairingFailed, match="shown by this device"):
            await home.den.service.join("42-913-577")
        assert home.den.trusted == []


async def test_a_joiner_that_gives_up_leaves_nothing_behind() -> None:
    async with house() as home:
        await home.den.show()
        async with asyncio.TaskGroup() as group:
            joining = group.create_task(home.lab.service.join("42-913-577"), name="test.join")
            for _ in range(4):
                await asyncio.sleep(0)
            joining.cancel()
        await settle()
        assert home.lab.trusted == []
        await home.lab.service.join("42-913-577")  # a second try
        assert home.lab.trusted == ["den"]


async def test_a_host_that_cannot_store_accepts_nobody() -> None:
    async with house() as home:
        await home.den.show()
        home.den.trust.full = True
        with pytest.raises(PairingFailed):
            await home.lab.service.join("42-913-577")
        assert home.lab.trusted == home.den.trusted == []
        assert home.den.told == ["failed"]


async def test_a_joiner_that_cannot_store_says_so() -> None:
    async with house() as home:
        await home.den.show()
        home.lab.trust.full = True
        with pytest.raises(StateError):
            await home.lab.service.join("42-913-577")
        assert home.lab.changes == 0


async def test_pairing_again_replaces() -> None:
    async with house() as home:
        await home.den.show()
        await home.lab.service.join("42-913-577")
        await settle()
        home.den.bundle = Bundle(name="study", port=9)
        await home.den.show()
        await home.lab.service.join("42-913-577")
        assert home.lab.trusted == ["study"]


async def test_the_household_hears_of_a_device_that_was_paired() -> None:  # T4
    async with house() as home:
        home.lab.bundle = Bundle(name="lab", port=7002, household=bytes(16))
        await home.den.show()
        await home.lab.service.join("42-913-577")
        await settle()
        assert home.den.met == [("lab", bytes(16), True)]
        assert home.lab.met == [("den", b"", False)]


@pytest.mark.parametrize("foreign", ["den", "lab"])
async def test_a_device_of_another_household_is_not_paired(foreign: str) -> None:
    async with house() as home:
        other = home.den if foreign == "den" else home.lab
        other.bundle = Bundle(name="other", port=7000, household=FOREIGN)
        await home.den.show()
        with pytest.raises(PairingFailed, match="household" if foreign == "den" else "refused"):
            await home.lab.service.join("42-913-577")
        await settle()
        assert home.lab.trusted == []
        if foreign == "lab":
            assert home.den.trusted == []
            assert home.den.told == ["failed"]


async def test_the_host_is_told_why_a_device_that_knows_the_code_was_not_paired() -> None:
    # Whoever got that far has not guessed: it costs no try, and the same code serves when the reason is gone.
    async with house() as home:
        window = await home.den.show()
        home.lab.bundle = Bundle(name="l\x1bab", port=7000, household=FOREIGN)
        for _ in range(4):
            with pytest.raises(PairingFailed):
                await home.lab.service.join("42-913-577")
        await settle()
        assert window.outcome is None
        why = PairNews(what="failed", name="lab", reason="in another household", hint="leave it", tries_left=3)
        assert home.den.news == [why] * 4
        with pytest.raises(WrongCode):
            await home.pad.service.join("42-000-000")
        await settle()
        assert home.den.news[-1] == PairNews(what="wrong-code", tries_left=2, failed=1)
        home.lab.bundle = Bundle(name="lab", port=7000)
        await home.lab.service.join("42-913-577")
        await settle()
        assert home.den.trusted == ["lab"]


async def test_who_does_not_know_the_code_makes_no_reason_appear() -> None:  # T3: strangers write nothing on the screen
    async with house() as home:
        await home.den.show()
        home.lab.bundle = Bundle(name="lab", port=7000, household=FOREIGN)
        with pytest.raises(WrongCode):
            await home.lab.service.join("42-000-000")
        await settle()
        assert home.den.news == [PairNews(what="wrong-code", tries_left=2, failed=1)]


async def test_what_the_household_cannot_store_is_not_paired() -> None:
    async with house() as home:
        home.den.full = True
        await home.den.show()
        with pytest.raises(PairingFailed):
            await home.lab.service.join("42-913-577")
        assert home.lab.trusted == home.den.trusted == []
        assert home.den.changes == 2  # in, and out again


async def test_a_window_that_has_just_ended_is_no_reason_to_refuse_the_next_one() -> None:
    async with house() as home:
        first = await home.den.show()
        first.close()
        second = await home.den.service.open_window(300.0, home.den.news.append)
        assert second is not first
        assert home.den.told == ["closed"]
        with pytest.raises(Busy):
            await home.den.service.open_window(300.0, home.den.news.append)
