"""Chooses the network interfaces to use, and tells which addresses can be reached through them."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

import ifaddr
from msgspec import Struct

from agent.ports import Clock
from agent.protocol.addresses import usable_host

log = logging.getLogger(__name__)

UP = 0x1
LOOPBACK = 0x8
POINT_TO_POINT = 0x10
RUNNING = 0x40
MULTICAST = 0x8000 if sys.platform == "darwin" else 0x1000
"""Flags of an interface as `SIOCGIFFLAGS` gives them (netdevice(7); net/if.h on macOS)."""

_SIOCGIFFLAGS = 0xC0206911 if sys.platform == "darwin" else 0x8913
_LINK_LOCAL = IPv6Network("fe80::/10")
_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_VIRTUAL = (
    "docker*", "br-*", "veth*", "virbr*", "vnet*", "lxc*", "lxdbr*", "podman*", "cni*", "flannel*", "cali*",
    "vmnet*", "vboxnet*", "tun*", "tap*", "utun*", "wg*", "tailscale*", "zt*", "ipsec*", "dummy*", "ifb*",
    "awdl*", "llw*", "anpi*", "ap[0-9]*",
)  # fmt: skip
"""Names of containers' and virtual machines' networks, tunnels and Apple's peer-to-peer links: no home LAN."""

_MAX_ADDRESSES = 4  # of one interface and family: announced ones cost room in every packet
_MAX_HOSTS = 8  # of one peer that are worth dialling
_MAX_ELSEWHERE = 4  # of one peer, on no network of this machine

POLL = 2.0
"""Seconds between two looks."""
POLL_FIRST = 0.25
"""Seconds between two looks while there is no interface at all."""
DAMPING = 0.5
"""Seconds after a change until it is believed."""
MAX_DAMPING = 6
"""Looks after which an interface that keeps flapping is taken as it is."""


class Interface(Struct, frozen=True, order=True):
    """A network interface of this machine with its addresses."""

    name: str
    index: int
    running: bool  # the link is up: cable in, or associated
    addresses: tuple[str, ...]  # with prefix length: "192.168.1.5/24", "fe80::1/64"

    @property
    def hosts(self) -> tuple[str, ...]:
        """The addresses to announce: IPv4 and link-local IPv6 ones, the latter with the zone."""
        plain = (address.partition("/")[0] for address in self.addresses)
        return tuple(f"{host}%{self.name}" if is_link_local(host) else host for host in plain if _is_announced(host))


Interfaces = tuple[Interface, ...]


class Adapter(Struct, frozen=True, kw_only=True):
    """One network interface of this machine, as the system describes it."""

    name: str
    index: int
    flags: int
    addresses: tuple[str, ...]  # with prefix length
    bridged: bool = False  # a port of a bridge: the bridge is the interface


def scan(patterns: Sequence[str] = ()) -> tuple[Interface, ...]:
    """The interfaces to use now. Takes well under a millisecond. Raises: OSError."""
    return choose(all_adapters(), patterns)


def choose(adapters: Iterable[Adapter], patterns: Sequence[str] = ()) -> tuple[Interface, ...]:
    """The adapters whose name matches a pattern; with no pattern, those that are a LAN.

    A LAN interface is up, multicasts, is neither loopback nor a tunnel nor a container's. Loopback must be named
    literally (`lo` names it on macOS, too): then 127.0.0.1 is used, and nothing else of it.
    """
    chosen = []
    for adapter in adapters:
        if not adapter.flags & UP or not _is_wanted(adapter, patterns):
            continue
        usable = _usable(adapter)
        if usable:
            chosen.append(Interface(adapter.name, adapter.index, bool(adapter.flags & RUNNING), usable))
    return tuple(sorted(chosen))


def reachable(addresses: Iterable[str], interfaces: Sequence[Interface]) -> tuple[str, ...]:
    """The addresses that are on the link of an interface, link-local IPv6 ones with its name as zone.

    A packet must not make this device dial anywhere else, and a socket hears what other programs of this machine joined
    on interfaces that are not ours. The addresses of a network itself and of all its hosts are nobody's. `addresses`
    may have a zone, as index or name; without one a link-local address is usable only if there is one interface that it
    can be on. Anything that is no address is left out.
    """
    hosts: dict[str, None] = {}
    for text in addresses:
        host, _, zone = text.partition("%")
        try:
            address = ip_address(host)
        except ValueError:
            continue
        if is_link_local(host):
            zones = [each for each in interfaces if _LINK_LOCAL in networks_of(each.addresses)]
            zones = [each for each in zones if not zone or zone in {each.name, str(each.index)}]
            if len(zones) == 1:
                hosts[f"{address}%{zones[0].name}"] = None
        else:
            on = [network for each in interfaces for network in networks_of(each.addresses) if address in network]
            if on and all(_is_of_a_host(address, network) for network in on):
                hosts[str(address)] = None
    return tuple(hosts)[:_MAX_HOSTS]


def elsewhere(addresses: Iterable[str], interfaces: Sequence[Interface]) -> tuple[str, ...]:
    """The addresses that are on no link of an interface, and may be another machine's beyond a router.

    Such addresses arrive through a reflector, or from somebody who would have this device dial third parties. None, if
    all interfaces are the loopback one: then nothing leaves this machine.
    """
    if all(host.startswith("127.") for each in interfaces for host in each.hosts):
        return ()
    near = set(reachable(addresses, interfaces))
    far = (host for host in addresses if host not in near and usable_host(host, local_only=False))
    return tuple(dict.fromkeys(far))[:_MAX_ELSEWHERE]


def _is_of_a_host(address: IPv4Address | IPv6Address, network: IPv4Network | IPv6Network) -> bool:
    if address.is_multicast or address.is_unspecified or address in _THIS_NETWORK:
        return False
    if network.max_prefixlen - network.prefixlen < 2:  # a link of two hosts has no others (RFC 3021, RFC 6164)
        return True
    # Of IPv6 the first address is any router's (RFC 4291, 2.6.1), and there is no broadcast.
    return address != network.network_address and (address.version == 6 or address != network.broadcast_address)


def _is_wanted(adapter: Adapter, patterns: Sequence[str]) -> bool:
    if adapter.flags & LOOPBACK:
        return adapter.name in patterns or "lo" in patterns
    if patterns:
        return any(fnmatchcase(adapter.name, pattern) for pattern in patterns)
    is_lan = adapter.flags & MULTICAST and not adapter.flags & POINT_TO_POINT and not adapter.bridged
    return bool(is_lan) and not any(fnmatchcase(adapter.name, pattern) for pattern in _VIRTUAL)


def _usable(adapter: Adapter) -> tuple[str, ...]:
    if adapter.flags & LOOPBACK:  # multicast on loopback works for IPv4 only
        return tuple(address for address in adapter.addresses if address.startswith("127."))[:1]
    four = sorted(address for address in adapter.addresses if ":" not in address)
    six = sorted(address for address in adapter.addresses if ":" in address)
    local = [address for address in six if is_link_local(address.partition("/")[0])][:1]
    # Global IPv6 addresses are not announced (they change); they say which addresses of others are on the link.
    return (*four[:_MAX_ADDRESSES], *local, *[address for address in six if address not in local][:_MAX_ADDRESSES])


def _is_announced(host: str) -> bool:
    return ":" not in host or is_link_local(host)


@lru_cache(maxsize=512)
def is_link_local(host: str) -> bool:
    """Whether that is a link-local IPv6 address, without zone."""
    return ":" in host and ip_address(host) in _LINK_LOCAL


@lru_cache(maxsize=64)
def networks_of(addresses: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    """The networks that these addresses with prefix lengths are on, all link-local IPv6 ones as one."""
    plain = (address for address in addresses if not is_link_local(address.partition("/")[0]))
    networks = tuple(ip_network(address, strict=False) for address in plain)
    return networks if len(networks) == len(addresses) else (*networks, _LINK_LOCAL)


def all_adapters() -> list[Adapter]:
    """All interfaces as the system describes them. Raises: OSError."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for each in ifaddr.get_adapters():
            try:
                answer = fcntl.ioctl(probe, _SIOCGIFFLAGS, struct.pack("16s24x", each.name.encode()[:15]))
            except OSError as exc:
                if exc.errno in {errno.ENODEV, errno.ENXIO}:  # it went away between the two calls
                    continue
                raise
            found.append(
                Adapter(
                    name=each.name,
                    index=each.index or 0,
                    flags=struct.unpack_from("H", answer, 16)[0],
                    addresses=tuple(
                        f"{ip.ip if ip.is_IPv4 else ip.ip[0]}/{ip.network_prefix}" for ip in each.ips if ip.ip
                    ),
                    bridged=Path(f"/sys/class/net/{each.name}/brport").exists(),
                )
            )
    return found


class InterfaceWatch:
    """Looks at the interfaces every few seconds, in a thread: the system may take its time over it."""

    def __init__(self, scan: Callable[[], Interfaces], clock: Clock) -> None:
        self._scan, self._clock = scan, clock

    async def first(self, none: Callable[[], None]) -> Interfaces:
        """Return the interfaces, as soon as there is one; `none` is called at each look that finds none."""
        while not (seen := await self._look(())):
            none()
            await self._clock.sleep(POLL_FIRST)
        return seen

    async def next(self, known: Interfaces) -> Interfaces:
        """Return the interfaces at the next look; if they are not the known ones, once two looks agree."""
        await self._clock.sleep(POLL)
        seen = await self._look(known)
        if seen == known:
            return known
        for _ in range(MAX_DAMPING):
            await self._clock.sleep(DAMPING)
            before, seen = seen, await self._look(seen)
            if seen == before:
                break
        return seen

    async def _look(self, otherwise: Interfaces) -> Interfaces:
        try:
            return await asyncio.get_running_loop().run_in_executor(None, self._scan)
        except OSError as exc:
            log.debug("cannot read the interfaces: %s", exc)
            return otherwise
