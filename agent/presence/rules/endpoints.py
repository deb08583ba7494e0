"""The endpoints of one device, in the order in which they are dialled (L3, L10), and whether several hosts claim them.

An endpoint is known because it was reached, announced, remembered, configured, advertised by the device itself, or
named by an unsigned record. Addresses are never signed: the pin decides who answers there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from functools import lru_cache

from agent.protocol.model import Endpoint, PresenceRecord

ENDPOINTS_MAX = 16
HINTS_MAX = 4
"""Endpoints of unsigned records that are tried."""
LAST_RESORT = 8
"""Endpoints kept free, of those that are tried, for advertised and unsigned ones, if there are as many."""
CONTESTED_FOR = 150.0
"""Seconds in which two hosts must both be heard, and for which a conflict lasts: two announcements and a half."""
HOSTS_MAX, ADDRESSES_MAX = 4, 32
"""Hosts that are remembered as announcing one device, and addresses of each."""


@lru_cache(maxsize=4096)
def dialable(host: str, *, heard: bool) -> bool:
    """Whether a connection to `host` may be tried. One that was only `heard` of must be on a local network."""
    try:
        ip = ipaddress.IPv6Address(host) if ":" in host else ipaddress.IPv4Address(host)
    except ValueError:
        return False
    if ip.is_multicast or ip.is_unspecified or host == "255.255.255.255":
        return False
    return not (heard and ip.is_global)


def endpoints_of(record: PresenceRecord) -> Iterator[Endpoint]:
    """The endpoints of a heard record that may be dialled: a packet must not send this device anywhere else."""
    hosts = record.hosts[:ENDPOINTS_MAX] if 1024 <= record.port <= 65535 else ()
    return (Endpoint(host, record.port) for host in hosts if dialable(host, heard=True))


class Endpoints:
    """All known endpoints of one device, by how they became known."""

    def __init__(self) -> None:
        self.heard: tuple[Endpoint, ...] = ()
        self.remembered: Sequence[Endpoint] = ()  # from earlier links
        self.advertised: Sequence[Endpoint] = ()  # signed by the device, perhaps passed on by members (L10)
        self._reached: dict[Endpoint, float] = {}  # when a link was last opened there
        self._configured: tuple[Endpoint, ...] = ()
        self._hints: tuple[Endpoint, ...] = ()

    def reach(self, endpoint: Endpoint, now: float) -> None:
        """Record that a link was opened at `endpoint` (Unix seconds)."""
        self._reached.pop(endpoint, None)
        self._reached = dict([(endpoint, now), *self._reached.items()][:ENDPOINTS_MAX])

    def distrust(self) -> None:
        """Forget what counts only of a trusted device: where it was reached and what it advertised."""
        self._reached.clear()
        self.advertised = ()

    def configure(self, record: PresenceRecord) -> None:
        """Add the address from the settings at which the device answered: a person may name any address."""
        endpoints = record.endpoints if record.port else ()
        self._configured = tuple(dict.fromkeys([*endpoints, *self._configured]))[:ENDPOINTS_MAX]

    def hint(self, record: PresenceRecord) -> None:
        """Add the endpoints of an unsigned record, which anybody can have sent."""
        self._hints = tuple(dict.fromkeys([*endpoints_of(record), *self._hints]))[:HINTS_MAX]

    def to_dial(self) -> list[Endpoint]:
        """Endpoints to dial, best first: reached, heard, remembered, configured, advertised, unsigned."""
        sure = list(dict.fromkeys([*self._reached, *self.heard, *self.remembered, *self._configured]))
        unsure = [endpoint for endpoint in dict.fromkeys([*self.advertised, *self._hints]) if endpoint not in sure]
        room = ENDPOINTS_MAX - min(len(unsure), LAST_RESORT)
        return [*sure[:room], *unsure][:ENDPOINTS_MAX]

    def to_show(self, linked: Endpoint | None, *, trusted: bool) -> list[Endpoint]:
        """Endpoints to list for the device; `linked` is where the present link leads.

        For a trusted device only those at which it was reached, once there are any: a forged address is not listed.
        """
        first = [linked] if linked is not None else []
        proven = [endpoint for endpoint in self.heard if endpoint in self._reached or endpoint in self.remembered]
        if trusted and (first or proven):
            return list(dict.fromkeys([*first, *proven]))
        known = [*self.heard, *self.remembered, *self._configured, *self._reached, *self.advertised]
        return list(dict.fromkeys([*first, *known]))


class AnnouncingHosts:
    """The hosts that announce one device. One that has moved is announced from its new address alone.

    A stranger that two hosts announce at the same time cannot be told from its impostor, so a person is informed.
    """

    def __init__(self) -> None:
        self._hosts: dict[frozenset[str], float] = {}  # addresses, and when heard last; the most recent at the end
        self._conflict_at = float("-inf")
        self.contested = False
        """Whether several hosts announce the device."""

    def heard(self, addresses: Sequence[str], now: float) -> None:
        """Take the addresses that a record named; `now` in Unix seconds."""
        self._hosts = {host: at for host, at in self._hosts.items() if now - at < CONTESTED_FOR}
        known = next((host for host in self._hosts if not host.isdisjoint(addresses)), None)
        latest = next(reversed(self._hosts), None)
        if known is not None and known != latest:  # back at a host that was left: both are there
            self._conflict_at = now
        self.contested = now - self._conflict_at < CONTESTED_FOR
        if known is not None:
            del self._hosts[known]
        self._hosts[frozenset([*addresses, *(known or ())][:ADDRESSES_MAX])] = now
        if len(self._hosts) > HOSTS_MAX:
            del self._hosts[next(iter(self._hosts))]
