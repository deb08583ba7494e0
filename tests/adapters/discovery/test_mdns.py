"""What discovery promises before it has a socket; the rest is in tests/e2e/test_discovery.py."""

from __future__ import annotations

import pytest

from agent.adapters.discovery.mdns import MdnsDiscovery
from agent.protocol.model import DeviceId
from tests.fakes.clock import FakeClock


def discovery() -> MdnsDiscovery:
    return MdnsDiscovery(device=DeviceId("a" * 16), instance="Desk aaaa", port=4000, clock=FakeClock())


def test_a_record_that_would_not_fit_one_packet_is_refused() -> None:
    made = discovery()
    made.publish([b"x" * 199] * 6)  # 1,200 bytes with their lengths
    with pytest.raises(ValueError, match="1201 bytes"):
        made.publish([b"x" * 199] * 5 + [b"x" * 200])
    with pytest.raises(ValueError, match="256"):
        made.publish([b"x" * 256])


async def test_without_a_network_there_is_nothing_to_find_and_nothing_to_close() -> None:
    made = discovery()
    assert made.hosts() == made.interfaces() == ()
    assert await made.find_windows("07", 0.01) == []
    await made.open_window("07", "Desk", 4711)
    await made.close_window()
    await made.close_window()
