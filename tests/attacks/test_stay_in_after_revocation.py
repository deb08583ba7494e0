"""A thief has a paired device, or a copy of its key, and it was put out (threats T7, T8).

Expected: his open connections end within a second, new ones are refused, by every member; nothing that he kept helps.
Resumption of TLS sessions: tests/adapters/net/test_listener.py; what a revoked device has signed:
tests/trust/rules/test_roster.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.attacks.conftest import PORT, Scene
from tests.e2e.conftest import networks
from tests.e2e.device import ROOT, now, pair, until

pytestmark = pytest.mark.device


@pytest.fixture
def household() -> Iterator[Scene]:
    """Desk, laptop (the stolen one) and a third member that was paired with the desk alone."""
    with networks() as network:
        desk, laptop, pad = network("desk", "laptop", "pad")
        for device in (desk, laptop, pad):
            device.start()
        for device in (desk, laptop, pad):
            device.wait_until_up()
        pair(desk, laptop)
        pair(desk, pad)
        yield Scene(desk, laptop, pad)


def test_a_stolen_key_is_worth_nothing_from_the_moment_it_is_put_out(household: Scene) -> None:
    """Attack: hold a connection, then dial again with the copied key. Expected: cut in 1 s, then no byte."""
    held = household.stranger.host.popen(
        [
            sys.executable,
            "-P",
            "-m",
            "tests.attacks.rogue",
            "say",
            household.desk.host.ipv4,
            PORT,
            household.stolen,
            "0",
        ],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        stdin=-3,
        stdout=-1,
    )
    until(lambda: household.desk.peers()[household.laptop.id]["linked"], "the link")
    began = now()
    household.desk.run("unpair", "laptop")
    until(lambda: not household.laptop.peers()[household.desk.id]["linked"], "the link to end")
    assert now() - began < 3.0  # with the start of the command; the promise itself is measured in test_trust
    assert held.wait(10) == 0
    told = household.attack("say", household.stolen, "0", sent=[b"GET /v1/ws HTTP/1.1\r\nHost: x\r\n\r\n"])
    assert (told["tls"], told["got"], told["closed"]) == (True, "", True)


def test_other_members_put_it_out_too(household: Scene) -> None:
    """Attack: go on at a device that did not do the unpairing. Expected: it hears of it over its link."""
    pad, laptop, desk = household.stranger, household.laptop, household.desk
    pad.wait_to_see(laptop, paired=True, linked=True)
    desk.run("unpair", "laptop")
    pad.wait_to_see(laptop, paired=False, linked=False)
    refused = laptop.run("new", "--on", "pad", status=5)
    assert "does not accept this device (unpaired or revoked)" in refused.stderr
    said = until(
        lambda: [line for line in laptop.said().splitlines() if "does not accept this device" in line], "a line"
    )
    assert any("pad" in line or "desk" in line for line in said)
    assert "does not accept this device" in laptop.run("peers").stdout


def test_a_restart_of_anybody_does_not_bring_it_back(household: Scene) -> None:
    """Attack: wait until the services were restarted. Expected: still out."""
    household.desk.run("unpair", "laptop")
    for device in (household.desk, household.laptop):
        device.leave()
        device.up()
    household.desk.wait_to_see(household.laptop, paired=False)
    household.laptop.run("new", "--on", "desk", status=5)
    assert not household.desk.peers()[household.laptop.id]["linked"]
