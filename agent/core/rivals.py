"""Two hosts that announce one device: of a stranger nothing tells which of them is meant, so a person is told."""

from __future__ import annotations

from collections.abc import Sequence

WITHIN = 150.0
"""Seconds in which both must be heard, and for which it is told after the last time: two announcements and a half."""
PLACES_MAX = 4


class Rivals:
    """Where the records of one device come from. A device that has moved comes from its new address alone."""

    def __init__(self) -> None:
        self._places: dict[tuple[frozenset[str], int], float] = {}  # heard last; the most recent one at the end
        self._told_at = float("-inf")
        self.hosts: tuple[str, ...] = ()
        """One address of each host that announces the device, while there are two of them; else empty."""

    def heard(self, hosts: Sequence[str], port: int, now: float) -> None:
        """A record named these addresses; `now` in Unix seconds."""
        self._places = {place: at for place, at in self._places.items() if now - at < WITHIN}
        known = next((place for place in self._places if place[1] == port and not place[0].isdisjoint(hosts)), None)
        latest = next(reversed(self._places), None)
        if known is not None:
            del self._places[known]
        if known is not None and known != latest:  # back at a place that was left: both are there
            self._told_at = now
            self.hosts = tuple(sorted(min(place[0]) for place in [*self._places, known]))
        elif now - self._told_at >= WITHIN:
            self.hosts = ()
        self._places[frozenset(hosts) | (known[0] if known else frozenset()), port] = now
        if len(self._places) > PLACES_MAX:
            del self._places[next(iter(self._places))]
