"""Bounds zeroconf's cache: what this program asks it for, in a form that it can send again, and no more than fits.

zeroconf keeps whatever arrives for as long as it claims to be valid, and repeats pointers and servers to the network as
known answers. One name that is no UTF-8 is longer when it is sent than when it came, and every question that would
repeat it fails from then on (zeroconf 0.154, measured); thousands of texts of 8 KiB stay for years.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from zeroconf import (  # type: ignore[attr-defined]  # public, but its `__all__` forgets the records
    DNSAddress,
    DNSPointer,
    DNSRecord,
    DNSService,
    DNSText,
    Zeroconf,
)

from agent.adapters.discovery.mdns.names import PAIR_TYPE, TYPE, is_instance, is_sendable

IN = 1
"""The class of the internet (RFC 1035, 3.2.4): a record of each other class would be one more of the same name."""
TEXT_MAX = 1300
"""Bytes of a TXT record that are looked at; ours have 1,200 at most (`presence.rules.txt.SIZE_MAX`)."""
PER_NAME = 16
"""Addresses of one host, or records of one pairing window, that are kept: the newest."""
WINDOWS_MAX = 64
"""Pairing windows that are kept while they are looked for: the newest."""
UNSWEPT = 1024
"""Records that are kept until all of the cache is looked through: some that came before are of no use any more."""


class CacheNeeds(Protocol):
    """Tells what the cache is kept for."""

    def knows(self, name: str) -> bool:
        """Whether the instance of that name has a place in the table."""

    def servers(self) -> Collection[str]:
        """The hosts of the instances in the table, lower case."""

    def seeks_windows(self) -> bool:
        """Whether pairing windows are looked for at this moment."""


class CacheKeeper:
    """Takes out of zeroconf's cache what nobody will ask for.

    So the cache holds a pointer and `PER_NAME` addresses for each instance in the table, `WINDOWS_MAX` windows while
    they are looked for, and `UNSWEPT` records more.
    """

    def __init__(self, wanted: CacheNeeds) -> None:
        self._wanted = wanted
        self._unswept = 0

    def crop(self, zeroconf: Zeroconf, arrived: Sequence[DNSRecord]) -> None:
        """Leave `PER_NAME` addresses of each host that a packet names, before anybody asks for them.

        zeroconf compares each with each: a host with 4,000 takes it 0.4 s, for every instance there (measured).
        """
        for name in {record.key for record in arrived if isinstance(record, DNSAddress)}:
            records = zeroconf.cache.cache.get(name, {}).values()
            addresses = [record for record in records if isinstance(record, DNSAddress)]
            if len(addresses) > PER_NAME:
                addresses.sort(key=lambda record: record.created)
                zeroconf.cache.async_remove_records(addresses[:-PER_NAME])

    def packet(self, zeroconf: Zeroconf, arrived: Sequence[DNSRecord]) -> None:
        """Look at what a packet brought into the cache."""
        cached = zeroconf.cache.cache
        heard: dict[str, Collection[DNSRecord]] = {}
        for name in {record.key for record in arrived}:
            heard[name] = cached.get(name, {}).values()
        if TYPE in heard:  # hundreds may be there
            heard[TYPE] = {record for record in arrived if record.key == TYPE and record in cached.get(TYPE, ())}
        self._unswept += self._prune(zeroconf, heard)
        if self._unswept > UNSWEPT:
            self._unswept = 0
            self._prune(zeroconf, {name: records.values() for name, records in cached.items()})

    def _prune(self, zeroconf: Zeroconf, cached: Mapping[str, Collection[DNSRecord]]) -> int:
        """Look at these records, by name; return how many of them stay."""
        cache, windows = zeroconf.cache, self._wanted.seeks_windows()
        servers = set(self._wanted.servers())
        if windows:
            servers.update(cache.service_cache)
        kept = 0
        for name, records in cached.items():
            good = [record for record in records if self._is_kept(zeroconf, record, servers, windows=windows)]
            if name != TYPE:  # of these there is one for each instance in the table
                good.sort(key=lambda record: record.created)
                good = good[-(WINDOWS_MAX if name == PAIR_TYPE else PER_NAME) :]
            kept += len(good)
            if len(good) < len(records):
                cache.async_remove_records(set(records).difference(good))
        return kept

    def _is_kept(self, zeroconf: Zeroconf, record: DNSRecord, servers: Collection[str], *, windows: bool) -> bool:
        if record.class_ != IN:
            return False
        match record:
            case DNSAddress():
                return record.key in servers and record.key != TYPE and is_sendable(record.name)
            case DNSPointer() if record.key == TYPE:
                return self._wanted.knows(record.alias) and is_sendable(record.alias)
            case DNSPointer() if record.key == PAIR_TYPE:
                return windows and is_sendable(record.alias)
            case DNSService() | DNSText() if is_instance(record.key, PAIR_TYPE) and is_sendable(record.name):
                fits = is_sendable(record.server) if isinstance(record, DNSService) else len(record.text) <= TEXT_MAX
                return windows and fits and _is_pointed_to(zeroconf, record.name)
            case _:
                return False  # texts and servers of devices are remembered by the table; nobody asks for anything else


def _is_pointed_to(zeroconf: Zeroconf, window: str) -> bool:
    return zeroconf.cache.current_entry_with_name_and_alias(PAIR_TYPE, window) is not None
