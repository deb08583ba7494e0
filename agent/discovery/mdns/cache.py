"""What stays in zeroconf's cache: what this program asks it for, in a form that it can send again.

zeroconf keeps whatever arrives for as long as it claims to be valid, and repeats pointers and servers to the network
as known answers. One name that is no UTF-8 is longer when it is sent than when it came, and every question that would
repeat it fails from then on (zeroconf 0.154, measured); thousands of texts of 8 KiB stay for years.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from zeroconf import (  # type: ignore[attr-defined]  # public, but its `__all__` forgets the records
    DNSAddress,
    DNSPointer,
    DNSRecord,
    DNSService,
    DNSText,
    Zeroconf,
)

from agent.discovery.mdns.names import PAIR_TYPE, TYPE, is_instance, is_sendable

TEXT_MAX = 1300
"""Bytes of a TXT record of a pairing window that are kept; ours have 120."""


def discard(
    zeroconf: Zeroconf,
    arrived: Iterable[DNSRecord],
    *,
    known: Callable[[str], bool],
    servers: frozenset[str],
    windows: bool,
) -> None:
    """Take out of the cache what a packet brought and nobody will ask for.

    `known`: whether the instance of that name has a place in the table; `servers`: the hosts of those that have one.
    `windows`: whether pairing windows are looked for at this moment.
    """
    cached = zeroconf.cache.cache
    useless = (record for record in arrived if not _is_kept(record, known, servers, windows=windows))
    zeroconf.cache.async_remove_records([record for record in set(useless) if record in cached.get(record.key, ())])


def _is_kept(record: DNSRecord, known: Callable[[str], bool], servers: frozenset[str], *, windows: bool) -> bool:
    match record:
        case DNSAddress():
            return (windows or record.key in servers) and is_sendable(record.name)
        case DNSPointer() if record.key == TYPE:
            return known(record.alias) and is_sendable(record.alias)
        case DNSPointer() if record.key == PAIR_TYPE:
            return windows and is_sendable(record.alias)
        case DNSService() if is_instance(record.key, PAIR_TYPE):
            return windows and is_sendable(record.name) and is_sendable(record.server)
        case DNSText() if is_instance(record.key, PAIR_TYPE):
            return windows and is_sendable(record.name) and len(record.text) <= TEXT_MAX
        case _:
            return False  # texts and servers of devices are remembered by the table; nobody asks for anything else
