"""Copied disks: two machines with one key on one network (docs/design/links.md, "Two machines with one key")."""

from __future__ import annotations

import shutil
import time

import pytest

from tests.e2e.conftest import MakeNetwork, network
from tests.e2e.device import Device, pair, until

__all__ = ["network"]
pytestmark = pytest.mark.device


def problems(device: Device) -> list[str]:
    return list(device.json("status")["problems"])


def test_two_machines_with_one_key_are_told_everywhere_and_no_link_flaps(network: MakeNetwork) -> None:
    desk, pi, clone = network("desk", "pi", "clone")
    for device in (desk, pi):
        device.up()
    pair(desk, pi)
    desk.wait_to_see(pi, linked=True)
    shutil.copytree(pi.home / "state", clone.home / "state", dirs_exist_ok=True)
    clone.up()
    for device in (desk, pi, clone):
        until(
            lambda: any("this device's key" in text or "two machines" in text for text in problems(device)),  # noqa: B023 - at once
            lambda: f"{device.name} to say it: {problems(device)}",  # noqa: B023 - at once
            seconds=30.0,
        )
    (told,) = [text for text in problems(desk) if "two machines at once" in text]
    assert pi.host.ipv4 in told or clone.host.ipv4 in told
    before = desk.said().count("is online")
    time.sleep(8.0)
    assert desk.said().count("is online") - before <= 1
    assert desk.sees(pi, linked=True)
    first = desk.peers()[pi.id]
    assert first["linked"]
    assert "identity.pem" in told
