"""Where one device can be dialled, and how we know: reached, heard, remembered, configured, told, hinted (L3, L10)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from functools import lru_cache

from agent.protocol.model import Endpoint, PresenceRecord

ENDPOINTS_MAX = 16
HINTS_MAX = 4
"""Endpoints of unsigned records that are tried."""
LAST_RESORT = 8
"""Of the endpoints that are tried those kept free for what was only told or hinted at, if there is so much."""


@lru_cache(maxsize=4096)
def dialable(host: str, *, heard: bool) -> bool:
    """Whether a connection may be tried there. What was only heard must be an address of a local network."""
    try:
        ip = ipaddress.IPv6Address(host) if ":" in host else ipaddress.IPv4Address(host)
    except ValueError:
        return False
    if ip.is_multicast or ip.is_unspecified or host == "255.255.255.255":
        return False
    return not (heard and ip.is_global)


def places_of(record: PresenceRecord) -> Iterator[Endpoint]:
    """Endpoints of a record that may be dialled: what is heard cannot send us anywhere."""
    hosts = record.hosts[:ENDPOINTS_MAX] if 1024 <= record.port <= 65535 else ()
    return (Endpoint(host, record.port) for host in hosts if dialable(host, heard=True))


class Places:
    """The endpoints of one device. Addresses are never signed: the pin decides who answers there."""

    def __init__(self) -> None:
        self.heard: tuple[Endpoint, ...] = ()
        self.remembered: Sequence[Endpoint] = ()  # from earlier links
        self.told: Sequence[Endpoint] = ()  # by the device itself, and passed on by members (L10)
        self._reached: dict[Endpoint, float] = {}  # when a link was last opened there
        self._fixed: tuple[Endpoint, ...] = ()
        self._hints: tuple[Endpoint, ...] = ()

    def reach(self, endpoint: Endpoint, now: float) -> None:
        """A link was opened there."""
        self._reached.pop(endpoint, None)
        self._reached = dict([(endpoint, now), *self._reached.items()][:ENDPOINTS_MAX])

    def forget_reached(self) -> None:
        """It is trusted no longer."""
        self._reached.clear()
        self.told = ()

    def fix(self, record: PresenceRecord) -> None:
        """It answered at an address from the settings: a person's word may name any."""
        places = record.endpoints if record.port else ()
        self._fixed = tuple(dict.fromkeys([*places, *self._fixed]))[:ENDPOINTS_MAX]

    def hint(self, record: PresenceRecord) -> None:
        """Anybody can have sent that record."""
        self._hints = tuple(dict.fromkeys([*places_of(record), *self._hints]))[:HINTS_MAX]

    def to_dial(self) -> list[Endpoint]:
        """Best first: where it was reached last, then what was heard, remembered, configured, told, hinted at."""
        sure = list(dict.fromkeys([*self._reached, *self.heard, *self.remembered, *self._fixed]))
        unsure = [place for place in dict.fromkeys([*self.told, *self._hints]) if place not in sure]
        room = ENDPOINTS_MAX - min(len(unsure), LAST_RESORT)
        return [*sure[:room], *unsure][:ENDPOINTS_MAX]

    def to_show(self, linked: Endpoint | None, *, trusted: bool) -> list[Endpoint]:
        """What is listed of it; `linked` is where the present link leads.

        Of a trusted device those at which it was reached, once there are any: a forged address must not be listed.
        """
        first = [linked] if linked is not None else []
        proven = [place for place in self.heard if place in self._reached or place in self.remembered]
        if trusted and (first or proven):
            return list(dict.fromkeys([*first, *proven]))
        return list(dict.fromkeys([*first, *self.heard, *self.remembered, *self._fixed, *self._reached, *self.told]))
