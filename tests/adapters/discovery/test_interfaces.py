"""Which interfaces are a LAN, and which addresses of a packet may be dialled."""

from __future__ import annotations

import pytest

from agent.adapters.discovery.interfaces import (
    LOOPBACK,
    MULTICAST,
    POINT_TO_POINT,
    RUNNING,
    UP,
    Adapter,
    Interface,
    choose,
    elsewhere,
    reachable,
    scan,
)

LAN = UP | MULTICAST | RUNNING
LO = Adapter(name="lo", index=1, flags=UP | LOOPBACK | RUNNING, addresses=("127.0.0.1/8", "::1/128", "10.9.9.9/32"))


def adapter(name: str, *addresses: str, flags: int = LAN, index: int = 2, bridged: bool = False) -> Adapter:
    return Adapter(name=name, index=index, flags=flags, addresses=addresses, bridged=bridged)


ETH0 = adapter("eth0", "192.168.1.5/24", "fe80::5/64", "2001:db8::5/64")


def names(*adapters: Adapter, patterns: tuple[str, ...] = ()) -> list[str]:
    return [interface.name for interface in choose(adapters, patterns)]


def test_a_lan_interface_is_chosen_whatever_its_driver() -> None:
    assert names(LO, ETH0, adapter("wlan0", "10.0.0.7/8"), adapter("br0", "192.168.7.1/24")) == ["br0", "eth0", "wlan0"]


@pytest.mark.parametrize("name", ["docker0", "br-4f1c", "veth12ab", "virbr0", "tun0", "wg0", "tailscale0", "utun3"])
def test_networks_of_containers_and_tunnels_are_not_a_lan(name: str) -> None:
    assert names(adapter(name, "172.17.0.1/16")) == []


@pytest.mark.parametrize("flags", [MULTICAST, UP, LAN | POINT_TO_POINT], ids=["down", "no multicast", "tunnel"])
def test_flags_rule_an_interface_out(flags: int) -> None:
    assert names(adapter("eth0", "192.168.1.5/24", flags=flags)) == []


def test_a_port_of_a_bridge_is_not_an_interface_of_its_own() -> None:
    assert names(adapter("eth1", "fe80::1/64", bridged=True)) == []


def test_an_interface_without_an_address_is_of_no_use() -> None:
    assert names(adapter("eth0")) == []


def test_patterns_choose_by_name_even_a_tunnel() -> None:
    wg0 = adapter("wg0", "10.8.0.2/24", flags=UP | POINT_TO_POINT | RUNNING)
    assert names(LO, ETH0, wg0, patterns=("wg*",)) == ["wg0"]
    assert names(LO, ETH0, wg0, patterns=("*",)) == ["eth0", "wg0"]  # loopback only when named


@pytest.mark.parametrize("name", ["lo", "lo0"])
def test_lo_alone_stays_on_this_machine_by_ipv4(name: str) -> None:
    loopback = adapter(name, "127.0.0.1/8", "::1/128", "fe80::1/64", flags=UP | LOOPBACK | MULTICAST | RUNNING, index=1)
    (only,) = choose([loopback, ETH0], ("lo",))
    assert only.hosts == ("127.0.0.1",)


def test_announced_are_ipv4_and_link_local_ipv6_with_its_zone() -> None:
    (eth0,) = choose([ETH0])
    assert eth0.hosts == ("192.168.1.5", "fe80::5%eth0")


def test_carrier_is_part_of_what_is_seen() -> None:
    up, down = choose([ETH0]), choose([adapter("eth0", *ETH0.addresses, flags=UP | MULTICAST)])
    assert up != down
    assert down[0].hosts == up[0].hosts  # a pulled cable takes no address


def test_only_on_link_addresses_are_dialled() -> None:
    lan = choose([ETH0])
    heard = ["192.168.1.9", "8.8.8.8", "127.0.0.1", "10.0.0.1", "2001:db8::9", "2001:db9::9", "nonsense", ""]
    assert reachable(heard, lan) == ("192.168.1.9", "2001:db8::9")


def test_on_loopback_nothing_of_the_lan_is_dialled() -> None:
    assert reachable(["192.168.1.9", "fe80::9%2", "127.0.0.1"], choose([LO, ETH0], ("lo",))) == ("127.0.0.1",)


def test_a_link_local_address_gets_the_name_of_its_interface_as_zone() -> None:
    lan = choose([ETH0])
    assert reachable(["fe80::9%2"], lan) == ("fe80::9%eth0",)
    assert reachable(["fe80::9"], lan) == ("fe80::9%eth0",)  # only one it can be on
    assert reachable(["fe80::9%7"], lan) == ()  # heard on an interface that is not ours


def test_a_link_local_address_without_zone_is_ambiguous_on_two_links() -> None:
    two = choose([ETH0, adapter("wlan0", "fe80::6/64", index=3)])
    assert reachable(["fe80::9"], two) == ()
    assert reachable(["fe80::9%3"], two) == ("fe80::9%wlan0",)


def test_a_packet_full_of_addresses_yields_a_few() -> None:
    assert len(reachable([f"192.168.1.{n}" for n in range(1, 200)], choose([ETH0]))) == 8


def test_the_real_loopback_is_found() -> None:
    (loopback,) = scan(("lo",))
    assert loopback == Interface(loopback.name, loopback.index, True, ("127.0.0.1/8",))


def test_addresses_on_no_link_are_told_apart_if_they_can_be_another_machines() -> None:  # L10
    heard = ["192.168.1.9", "10.9.0.1", "fe80::9", "127.0.0.1", "224.0.0.1", "0.0.0.0", "den.local", "10.9.0.1"]
    assert elsewhere(heard, choose([ETH0])) == ("10.9.0.1",)
    assert len(elsewhere([f"10.9.0.{n}" for n in range(1, 200)], choose([ETH0]))) == 4


def test_who_keeps_to_this_machine_hears_of_no_other_address() -> None:
    assert elsewhere(["10.9.0.1"], choose([LO, ETH0], ("lo",))) == ()


def test_the_addresses_of_a_network_and_of_all_its_hosts_are_no_ones() -> None:
    lan = (
        Interface("eth0", 2, True, ("10.0.0.5/24", "2001:db8::5/64")),
        Interface("eth1", 3, True, ("10.1.0.5/16",)),
        Interface("ppp", 4, True, ("192.0.2.0/31",)),
    )
    nobody = ["10.0.0.255", "10.0.0.0", "10.1.255.255", "2001:db8::", "255.255.255.255", "0.0.0.0", "224.0.0.251"]
    assert reachable(nobody, lan) == ()
    hosts = ("10.0.0.254", "10.1.0.255", "192.0.2.1", "2001:db8::ffff:ffff:ffff:ffff")
    assert reachable(hosts, lan) == hosts
    assert reachable(["0.0.0.7", "10.255.255.255"], (Interface("all", 5, True, ("10.0.0.5/0",)),)) == (
        "10.255.255.255",
    )
