"""Services that stop and start again: told once each time, by both sides, and without a traceback."""

from __future__ import annotations

import re

import pytest

from tests.e2e.conftest import MakeNetwork
from tests.e2e.device import Device, pair

pytestmark = pytest.mark.device

STOPS = 10


def told(device: Device, about: Device) -> list[str]:
    """What a service has said of another one's coming and going: `offline: it has stopped`, `online`."""
    who = re.escape(f"{about.name} ({about.id[:4]}-{about.id[4:8]})")
    lines = re.findall(rf"^{who} is (.*)$", device.said(), re.MULTILINE)
    return [re.sub(r" at .*", "", line) for line in lines]


def test_a_service_that_stops_is_lost_once_and_back_once(network: MakeNetwork) -> None:  # R10, L2
    desk, laptop = network("desk", "laptop")
    for device in (desk, laptop):
        device.up()
    pair(desk, laptop)
    session = desk.create("watched")
    laptop.wait_for_session(session)
    viewer = laptop.begin("log", session, "--json", "--follow")
    laptop.run("prompt", session, "echo begun")
    viewer.wait_for("begun")
    for number in range(STOPS):
        stopping, staying = (desk, laptop) if number % 2 == 0 else (laptop, desk)
        before = len(told(staying, stopping))
        stopping.leave()
        staying.wait_to_see(stopping, "offline", seconds=3.0)
        stopping.up()
        for device, other in ((staying, stopping), (stopping, staying)):
            device.wait_to_see(other, linked=True)
        assert told(staying, stopping)[before:] == ["offline: it has stopped", "online"]
    for device, other in ((desk, laptop), (laptop, desk)):
        device.assert_healthy()
        assert "link broke" not in device.said()
        own = [line for line in told(device, other) if line not in {"offline: it has stopped", "online"}]
        assert own == ["online, not paired"][: len(own)], "a service that stops says nothing of others"
    laptop.run("prompt", session, "echo still here")
    viewer.wait_for("still here")
