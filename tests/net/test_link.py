"""What a channel does when the other side reads nothing."""

from __future__ import annotations

from agent.core.messages import PeersChanged
from agent.net.link import WRITE_STALL
from tests.fakes.clock import FakeClock, settle
from tests.fakes.viewer import Viewer, connected


async def test_a_reader_that_takes_nothing_is_cut_off_in_time() -> None:  # S5
    clock = FakeClock()
    async with connected(Viewer(), clock) as viewer:
        viewer.channel.notify("peer.changed", PeersChanged())
        await clock.advance(WRITE_STALL)  # the first write began and ended long before the one that hangs
        viewer.socket.stalled.clear()
        viewer.channel.notify("peer.changed", PeersChanged())
        await clock.advance(WRITE_STALL - 0.1)
        assert not viewer.gone.is_set()
        await clock.advance(0.1)
        assert viewer.gone.is_set()


async def test_a_slow_reader_that_goes_on_reading_stays() -> None:  # S5
    clock = FakeClock()
    async with connected(Viewer(), clock) as viewer:
        for _ in range(3):
            viewer.socket.stalled.clear()
            viewer.channel.notify("peer.changed", PeersChanged())
            await clock.advance(WRITE_STALL - 1)
            viewer.socket.stalled.set()
            await settle()
        await clock.advance(4 * WRITE_STALL)
        assert not viewer.gone.is_set()
