"""Beyond one LAN: who is linked to anybody finds everybody, by addresses that are told over links (L10)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.avahi import Avahi
from tests.e2e.device import Device, pair, until
from tests.e2e.lab import missing
from tests.e2e.town import Town

pytestmark = pytest.mark.device

MakeTown = Callable[..., tuple[Town, list[Device]]]
GENEROUS = 40.0
"""Seconds in which devices must have found each other: 10 are promised, and this machine is shared."""


@pytest.fixture
def town() -> Iterator[MakeTown]:
    """Make a town: `town(desk=1, pi=2)` gives it and its devices, which are not started yet."""
    if reason := missing():
        pytest.skip(reason)
    devices: list[Device] = []
    with tempfile.TemporaryDirectory(prefix="e2e-", ignore_cleanup_errors=True) as folder, ExitStack() as made:

        def make(*, routed: bool = True, **lans: int) -> tuple[Town, list[Device]]:
            place = made.enter_context(Town(*lans.values(), routed=routed))
            homes = [Path(folder, f"d{number}") for number in range(1, len(lans) + 1)]
            devices.extend(Device(*each) for each in zip(place.hosts, homes, lans, strict=True))
            return place, devices

        try:
            yield make
        finally:
            for device in devices:
                device.end_commands()
                print(f"--- {device.name} said:\n{device.said()}")


def all_linked(*devices: Device) -> None:
    for device in devices:
        for other in devices:
            if other is not device:
                device.wait_to_see(other, paired=True, linked=True, seconds=GENEROUS)


def linked_at(device: Device, other: Device, address: str) -> None:
    """Wait until the one has a link to the other at that address."""

    def there() -> bool:
        row = device.peers().get(other.id)
        return row is not None and row["linked"] and row["addresses"][:1] == [address]

    until(there, lambda: f"{other.name} at {address}, not {device.peers().get(other.id)}", seconds=GENEROUS)


def test_two_that_only_a_third_one_knows_find_and_attach_to_each_other(town: MakeTown) -> None:  # L10
    _, (desk, pi, laptop) = town(desk=1, pi=2, laptop=2)
    for device in (desk, pi, laptop):
        device.up()
    pair(pi, laptop)
    pair(pi, desk, address=True)  # the one address that anybody types
    all_linked(desk, pi, laptop)
    session = desk.create("far away")
    laptop.wait_for_session(session, status="idle")
    assert laptop.line("prompt", session, "echo across") == "across"
    assert laptop.peers()[desk.id]["addresses"] == ["10.81.1.1"]

    for device in (desk, laptop, pi):
        device.leave()
    for device in (desk, laptop):  # without the one that they know each other from
        device.up()
    all_linked(desk, laptop)
    assert laptop.line("prompt", session, "echo again") == "again"
    for device in (desk, laptop):
        device.assert_healthy()


def test_what_changes_while_one_is_away_is_told_by_whoever_knows(town: MakeTown) -> None:  # L10
    _, (desk, pi, laptop) = town(desk=1, pi=2, laptop=2)
    for device in (desk, pi, laptop):
        device.up()
    pair(pi, laptop)
    pair(pi, desk, address=True)
    all_linked(desk, pi, laptop)
    laptop.leave()
    desk.leave()
    desk.host.set_ipv4("10.81.1.77")
    desk.host.ip("route replace default via 10.81.1.254")
    desk.up()
    all_linked(desk, pi)
    laptop.up()
    all_linked(desk, pi, laptop)
    assert "10.81.1.77" in until(lambda: laptop.peers()[desk.id]["addresses"], "an address")


def test_a_laptop_that_moves_from_one_lan_to_another_is_found_again(town: MakeTown) -> None:  # L10
    place, (desk, pi, laptop) = town(desk=1, pi=2, laptop=2)
    for device in (desk, pi, laptop):
        device.up()
    pair(pi, laptop)
    pair(pi, desk, address=True)
    all_linked(desk, pi, laptop)
    session = laptop.create("on the way")
    pi.wait_for_session(session, status="idle")
    for number in (1, 2):
        place.move(laptop.host, number)
        address = f"10.81.{number}.3"
        for device in (desk, pi):
            linked_at(device, laptop, address)
            assert device.line("prompt", session, f"echo lan {number}") == f"lan {number}"
    laptop.assert_healthy()


def test_who_leaves_home_is_found_at_its_vpn_address_with_nothing_set(town: MakeTown) -> None:  # L10
    place, (desk, laptop) = town(desk=1, laptop=1, routed=False)
    at = place.join_vpn(desk.host)
    place.join_vpn(laptop.host)
    for device in (desk, laptop):
        device.up()
    pair(desk, laptop)
    assert laptop.peers()[desk.id]["addresses"][0] != at  # at home the LAN is taken
    place.move(laptop.host, 2)
    linked_at(laptop, desk, at)
    session = desk.create("at home")
    laptop.wait_for_session(session, status="idle")
    assert laptop.line("prompt", session, "echo from elsewhere") == "from elsewhere"


def test_paired_devices_find_each_other_through_a_reflector_and_strangers_are_not_listed(
    town: MakeTown, avahi: Callable[..., Avahi]
) -> None:  # L10, T5
    place, (desk, laptop, stranger) = town(desk=1, laptop=2, stranger=2)
    for device in (desk, laptop):
        device.up()
    pair(desk, laptop, address=True)
    for device in (desk, laptop):
        device.leave()
        forget_places(device)
    avahi(place.router, "[reflector]\nenable-reflector=yes").wait_until_up()
    for device in (desk, laptop, stranger):
        device.up()
    linked_at(desk, laptop, "10.81.2.2")
    linked_at(laptop, desk, "10.81.1.1")
    laptop.wait_to_see(stranger, paired=False)  # of the same LAN
    assert stranger.id not in desk.peers()


def forget_places(device: Device) -> None:
    """As if its devices had been paired elsewhere and never been linked since: no address is known."""
    (device.home / "state" / "addresses.json").unlink()
    trust = device.home / "state" / "trust.json"
    kept = json.loads(trust.read_text())
    for each in kept["devices"]:
        each["endpoints"] = []
    trust.write_text(json.dumps(kept))
