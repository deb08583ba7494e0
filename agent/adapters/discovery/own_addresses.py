"""Addresses of this machine itself: what is told to the household over links, beyond what is announced (L10)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, ip_address, ip_interface, ip_network
from pathlib import Path

from agent.adapters.discovery.interfaces import LOOPBACK, UP, Adapter, all_adapters, choose, is_link_local, networks_of
from agent.protocol.addresses import HOSTS_MAX

log = logging.getLogger(__name__)

VPN = ("tailscale*", "wg*", "zt*", "utun*", "tun*", "nebula*", "wt*", "ipsec*")
"""Names of interfaces that lead to one's other machines from elsewhere. They are never announced, only told."""
PASSING = 0x01 | 0x08 | 0x20 | 0x40
"""Flags of an IPv6 address that is temporary, a duplicate, deprecated or not yet usable (linux/if_addr.h)."""

_FLAGS = Path("/proc/net/if_inet6")


class MachineAddresses:
    """The addresses of this machine (`ports.OwnAddresses`). `patterns` are the setting `interfaces`."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns = tuple(patterns)
        self.local_only = self._patterns == ("lo",)
        self._seen: tuple[Adapter, ...] = ()
        self._hosts: tuple[str, ...] = ()
        self._read()

    async def look(self) -> None:
        """Look at the interfaces again, in a thread: the system may take its time over it."""
        await asyncio.get_running_loop().run_in_executor(None, self._read)

    def _read(self) -> None:
        try:
            seen = tuple(all_adapters())
        except OSError as exc:
            log.debug("cannot read the interfaces: %s", exc)
            return
        self._seen, self._hosts = seen, told_addresses(seen, self._patterns, _passing())

    def hosts(self) -> tuple[str, ...]:
        """IP addresses at which other devices may reach this one."""
        return self._hosts

    def on_link(self, host: str) -> bool:
        """Whether that address is on a network of this machine."""
        plain = host.partition("%")[0]
        try:
            address = ip_address(plain)
        except ValueError:
            return False
        return is_link_local(plain) or any(
            address in network for each in self._seen for network in networks_of(each.addresses)
        )

    def is_foreign(self, host: str) -> bool:
        """Whether another machine can have that address."""
        if self.local_only:
            return True  # all services of this machine share its address; their ports differ
        address = ip_address(host)
        for each in self._seen:
            if any(ip_interface(own).ip == address for own in each.addresses):
                return False
            for network in networks_of(each.addresses):
                whole = isinstance(network, IPv4Network) and network.prefixlen < 31
                if whole and address in {network.network_address, network.broadcast_address}:
                    return False
        return True


def told_addresses(
    seen: Iterable[Adapter], patterns: Sequence[str], passing: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """The addresses of these interfaces that are told: LAN ones, then those of VPNs, then private and global IPv6 ones.

    Link-local addresses mean nothing elsewhere, and `passing` IPv6 addresses are soon gone. `patterns` choose LAN
    interfaces as for announcements; a VPN is told whatever they are, unless they keep everything on this machine.
    """
    machine = tuple(seen)
    lan = choose(machine, patterns)
    if tuple(patterns) == ("lo",):
        return tuple(host for each in lan for host in each.hosts)
    names = {each.name for each in lan}
    four = [host for each in lan for host in each.hosts if ":" not in host]
    vpn = [host for each in machine if each.name not in names and _is_vpn(each) for host in _plain(each)]
    six = [host for each in machine if each.name in names for host in _plain(each) if ":" in host]
    private = [host for host in six if ip_address(host).is_private]
    ordered = dict.fromkeys([*four, *vpn, *private, *six])
    return tuple(host for host in ordered if host not in passing and not is_link_local(host))[:HOSTS_MAX]


def _plain(adapter: Adapter) -> list[str]:
    return [address.partition("/")[0] for address in adapter.addresses]


def _is_vpn(adapter: Adapter) -> bool:
    usable = adapter.flags & UP and not adapter.flags & LOOPBACK
    return bool(usable) and any(fnmatchcase(adapter.name, pattern) for pattern in VPN)


def _passing() -> frozenset[str]:
    # Only Linux tells without further ado; elsewhere a temporary address is told while it lasts.
    try:
        lines = _FLAGS.read_text().splitlines()
    except OSError:
        return frozenset()
    fields = (line.split() for line in lines)
    return frozenset(
        str(ip_network(int(each[0], 16).to_bytes(16)).network_address) for each in fields if int(each[4], 16) & PASSING
    )
