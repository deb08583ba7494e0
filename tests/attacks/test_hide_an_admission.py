"""A thief has a member's device, cut off from the others, and lets a device of his own in with it (threats T4, T7).

Expected: the tombstone voids what its signer had not seen, whether it was signed later or earlier and hidden. Who heard
of the admission before the tombstone drops the device with it; everybody else never lets it in.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.conftest import Scene
from tests.e2e.conftest import networks
from tests.e2e.device import Device, pair, until

pytestmark = pytest.mark.device

RETURN = 60.0
"""Seconds for links to come up after devices were moved: lost ones are noticed after 22 s, and backed off."""


class Heist:
    """`desk` founded the household of `stolen` and `pad`; `thief` is his own device. All are on one network."""

    def __init__(self, desk: Device, stolen: Device, pad: Device, thief: Device) -> None:
        self.desk, self.stolen, self.pad, self.thief = desk, stolen, pad, thief
        desk.host.lab.switch("link add den type bridge mcast_snooping 0 forward_delay 0\nlink set den up")

    def move(self, *devices: Device, to: str) -> None:
        """Plug devices into the bridge `lan`, or into the thief's `den`, which nothing else is connected to."""
        for device in devices:
            device.host.lab.switch(f"link set {device.host.port} master {to}")

    def admit(self) -> None:
        """The stolen device lets the thief's in, as any member may."""
        pair(self.stolen, self.thief)
        assert members(self.stolen) >= {"stolen", "thief"}

    def refused_by(self, device: Device) -> None:
        """Neither of the thief's devices gets a byte from that member, by name, link or bare key."""
        for attacker in (self.stolen, self.thief):
            assert not device.peers()[attacker.id]["paired"]
            assert not device.peers()[attacker.id]["linked"]
            # A link that was cut while the cable was out is noticed at this end later.
            until(lambda: not attacker.peers()[device.id]["linked"], "the old link to end", seconds=RETURN)  # noqa: B023 - at once
            refused = attacker.run("new", "--on", device.name, status=5)
            assert "does not accept this device" in refused.stderr
            scene = Scene(device, self.stolen, attacker)
            for key in (scene.stolen, scene.foreign):
                told = scene.attack("say", key, "0", sent=[b"GET /v1/ws HTTP/1.1\r\nHost: x\r\n\r\n"])
                assert (told["tls"], told["got"], told["closed"]) == (True, "", True)


def members(device: Device) -> set[str]:
    """Names in `agent devices`."""
    return {row["name"] for row in device.json("devices")}


@pytest.fixture
def heist() -> Iterator[Heist]:
    with networks() as network:
        desk, stolen, pad, thief = network("desk", "stolen", "pad", "thief")
        for device in (desk, stolen, pad, thief):
            device.start()
        for device in (desk, stolen, pad, thief):
            device.wait_until_up()
        pair(desk, stolen)
        pair(desk, pad)
        pad.wait_to_see(stolen, paired=True, linked=True)
        yield Heist(desk, stolen, pad, thief)
        for device in (desk, pad):
            device.assert_healthy()


def test_what_a_device_admits_after_it_was_put_out_gains_nothing(heist: Heist) -> None:
    """Attack: keep the stolen device from hearing that it is out, pair with it, return. Expected: refused by all."""
    desk, stolen, pad, thief = heist.desk, heist.stolen, heist.pad, heist.thief
    heist.move(stolen, thief, to="den")
    desk.run("unpair", "stolen")
    until(lambda: members(pad) == {"desk", "pad"}, "pad to hear of it")
    assert "desk" in members(stolen)  # it knows nothing of that
    heist.admit()
    heist.move(stolen, thief, to="lan")
    for device in (desk, pad):
        for attacker in (stolen, thief):
            device.wait_to_see(attacker, paired=False, seconds=RETURN)
        heist.refused_by(device)
    for device in (desk, pad):
        assert members(device) == {"desk", "pad"}
        device.leave()
        device.up()
        assert members(device) == {"desk", "pad"}
    desk.wait_to_see(pad, linked=True)
    assert members(thief) >= {"stolen", "thief"}  # the two have each other, and nobody else


@pytest.mark.parametrize("signed", ["before", "after"])
def test_an_admission_that_was_hidden_dies_with_its_signer(heist: Heist, signed: str) -> None:
    """Attack: show the admission to one member only, who carries it home. Expected: it dies there, whenever signed."""
    desk, stolen, pad, thief = heist.desk, heist.stolen, heist.pad, heist.thief
    heist.move(stolen, thief, pad, to="den")
    if signed == "after":
        desk.run("unpair", "stolen")
    heist.admit()
    # Nobody there can know better: for now a member has let it in.
    until(lambda: "thief" in members(pad), "pad to hear of the admission", seconds=RETURN)
    if signed == "before":
        desk.run("unpair", "stolen")
    assert members(desk) == {"desk", "pad"}
    heist.move(pad, to="lan")  # it has the thief's statements with it, and hears of the tombstone
    until(lambda: members(pad) == {"desk", "pad"}, lambda: f"pad to drop both, not {members(pad)}", seconds=RETURN)
    heist.move(stolen, thief, to="lan")
    for device in (desk, pad):
        for attacker in (stolen, thief):
            device.wait_to_see(attacker, paired=False, seconds=RETURN)
        heist.refused_by(device)
        assert members(device) == {"desk", "pad"}
    let_in = [entry["name"] for entry in desk.json("audit") if entry["action"] == "paired"]
    assert sorted(let_in) == ["pad", "stolen"]  # the thief's device was never in, for no moment
