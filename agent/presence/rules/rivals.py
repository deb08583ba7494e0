"""Two hosts that announce one device: of a stranger nothing tells which of them is meant, so a person is told."""

from __future__ import annotations

from collections.abc import Sequence

WITHIN = 150.0
"""Seconds in which both must be heard, and for which it is told after the last time: two announcements and a half."""
PLACES_MAX, ADDRESSES_MAX = 4, 32


class Rivals:
    """Where the records of one device come from. A device that has moved comes from its new address alone."""

    def __init__(self) -> None:
        self._places: dict[frozenset[str], float] = {}  # addresses, and when heard last; the most recent at the end
        self._told_at = float("-inf")
        self.contested = False
        """Whether several hosts announce the device."""

    def heard(self, hosts: Sequence[str], now: float) -> None:
        """A record named these addresses; `now` in Unix seconds."""
        self._places = {place: at for place, at in self._places.items() if now - at < WITHIN}
        known = next((place for place in self._places if not place.isdisjoint(hosts)), None)
        latest = next(reversed(self._places), None)
        if known is not None and known != latest:  # back at a place that was left: both are there
            self._told_at = now
        self.contested = now - self._told_at < WITHIN
        if known is not None:
            del self._places[known]
        self._places[frozenset([*hosts, *(known or ())][:ADDRESSES_MAX])] = now
        if len(self._places) > PLACES_MAX:
            del self._places[next(iter(self._places))]
