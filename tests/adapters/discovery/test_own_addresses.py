"""Which addresses of this machine the household is told, and what may be dialled (L10)."""

from __future__ import annotations

import pytest

from agent.adapters.discovery.interfaces import LOOPBACK, MULTICAST, POINT_TO_POINT, RUNNING, UP, Adapter
from agent.adapters.discovery.own_addresses import MachineAddresses, told_addresses

LAN = UP | MULTICAST | RUNNING
LO = Adapter(name="lo", index=1, flags=UP | LOOPBACK | RUNNING, addresses=("127.0.0.1/8", "::1/128"))
ETH0 = Adapter(
    name="eth0",
    index=2,
    flags=LAN,
    addresses=("192.168.1.5/24", "fe80::5/64", "fd00::5/64", "2001:db8:1::5/64", "2a00:1::77/64"),
)
TAILSCALE = Adapter(
    name="tailscale0",
    index=3,
    flags=UP | POINT_TO_POINT | RUNNING | MULTICAST,
    addresses=("100.64.0.7/32", "fe80::7/64", "fd7a::7/128"),
)
DOCKER = Adapter(name="docker0", index=4, flags=LAN, addresses=("172.17.0.1/16",))
DOWN = Adapter(name="wg0", index=5, flags=POINT_TO_POINT, addresses=("10.8.0.2/24",))
ALL = (LO, ETH0, TAILSCALE, DOCKER, DOWN)


def test_lan_vpn_and_global_addresses_are_told_and_nothing_that_means_nothing_elsewhere() -> None:
    assert told_addresses(ALL, ()) == (
        "192.168.1.5",
        "100.64.0.7",
        "fd7a::7",
        "fd00::5",
        "2001:db8:1::5",
        "2a00:1::77",
    )


@pytest.mark.parametrize("name", ["tailscale0", "wg-home", "zt7nnig26", "utun4"])
def test_a_vpn_is_told_though_it_is_never_announced(name: str) -> None:
    vpn = Adapter(name=name, index=9, flags=UP | POINT_TO_POINT | RUNNING, addresses=("10.8.0.2/24",))
    assert told_addresses((LO, ETH0, vpn), ())[:2] == ("192.168.1.5", "10.8.0.2")


def test_addresses_that_are_soon_gone_are_left_out() -> None:
    assert "2a00:1::77" not in told_addresses(ALL, (), frozenset({"2a00:1::77"}))


def test_the_setting_chooses_the_lan_and_a_vpn_is_told_all_the_same() -> None:
    assert told_addresses(ALL, ("docker*",)) == ("172.17.0.1", "100.64.0.7", "fd7a::7")


def test_who_keeps_to_this_machine_tells_loopback_alone() -> None:
    assert told_addresses(ALL, ("lo",)) == ("127.0.0.1",)
    own = MachineAddresses(("lo",))
    assert (own.local_only, own.hosts(), own.is_foreign("127.0.0.1")) == (True, ("127.0.0.1",), True)


def test_only_so_many_are_told() -> None:
    many = Adapter(
        name="eth0", index=2, flags=LAN, addresses=("10.0.0.1/8", *(f"2001:db8::{n:x}/64" for n in range(40)))
    )
    assert len(told_addresses((many,), ())) == 16


def test_what_is_this_machines_own_or_a_whole_network_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.adapters.discovery.own_addresses.all_adapters", lambda: list(ALL))
    own = MachineAddresses()
    no = ["192.168.1.5", "192.168.1.255", "192.168.1.0", "172.17.0.1", "127.0.0.1", "2001:db8:1::5", "10.8.0.2"]
    assert [host for host in no if own.is_foreign(host)] == []
    assert own.is_foreign("192.168.1.6")
    assert own.is_foreign("192.168.2.255")
    assert own.on_link("192.168.1.6")
    assert own.on_link("fe80::9%eth0")
    assert own.on_link("2001:db8:1::9")
    assert not own.on_link("192.168.2.6")
    assert not own.on_link("what is no address")
