"""trust.devices: who is trusted now, and who is told when others are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from msgspec import structs

from agent.protocol.model import PairedDevice
from agent.tasks import child
from agent.trust.devices import LOOK_EVERY, TrustedDevices
from tests.fakes.clock import FakeClock
from tests.fakes.trust import MemoryTrust, paired

LAB, PAD = paired(1, "lab"), paired(2, "pad")


class WallClock(FakeClock):
    """A clock whose time of day can be set."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


class Trusting:
    """Trusted devices that run, and what their observers were told: the names each time."""

    def __init__(self, *devices: PairedDevice) -> None:
        self.clock, self.store = WallClock(), MemoryTrust({device.id: device for device in devices})
        self.trusted = TrustedDevices(self.store, self.clock)
        self.told: list[list[str]] = []
        self.trusted.changes.subscribe(self._changed)

    def _changed(self, devices: Sequence[PairedDevice]) -> None:
        self.told.append([device.name for device in devices])

    def until(self, device: PairedDevice, seconds: float) -> PairedDevice:
        """A guest that may stay so long."""
        return structs.replace(device, role="guest", expires_at=self.clock.time() + seconds)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            task = child(group, self.trusted.run(), "test.trusted")
            await self.clock.advance(0.0)
            yield
            task.cancel()


async def test_whoever_subscribes_is_told_everybody_who_is_trusted_at_each_change() -> None:
    home = Trusting(LAB)
    home.store.put(PAD)
    assert home.told == []
    home.trusted.changed()
    home.store.remove(LAB.id)
    home.trusted.changed()
    assert [sorted(names) for names in home.told] == [["lab", "pad"], ["pad"]]
    assert home.trusted.get(PAD.id) == PAD
    assert home.trusted.get(LAB.id) is None
    assert (home.trusted.trusts(PAD.id), home.trusted.trusts(LAB.id)) == (True, False)


async def test_a_guest_whose_time_is_over_is_out_at_that_moment_and_forgotten() -> None:
    home = Trusting(LAB)
    async with home.running():
        home.store.put(home.until(PAD, 100.0))
        home.trusted.changed()
        await home.clock.advance(99.9)
        assert home.trusted.trusts(PAD.id)
        await home.clock.advance(0.1)
        assert not home.trusted.trusts(PAD.id)
        assert home.told[1:] == [["lab"]]
        assert home.store.devices() == [LAB]
        await home.clock.advance(10 * LOOK_EVERY)
        assert len(home.told) == 2


async def test_a_guest_whose_end_came_as_the_clock_on_the_wall_was_set_is_out_at_the_next_look() -> None:
    home = Trusting(LAB)
    home.store.put(home.until(PAD, 86_400.0))
    async with home.running():
        home.clock.ahead = 86_400.0
        await home.clock.advance(LOOK_EVERY)
        assert home.told == [["lab"]]


async def test_a_guest_that_cannot_be_forgotten_is_out_and_forgotten_once_the_disk_has_room() -> None:
    home = Trusting(LAB)
    home.store.put(home.until(PAD, 10.0))
    home.store.full = True
    async with home.running():
        await home.clock.advance(10.0)
        assert home.trusted.devices() == [LAB]
        assert len(home.store.devices()) == 2
        home.store.full = False
        await home.clock.advance(LOOK_EVERY)
        assert home.store.devices() == [LAB]
