"""Address records: where a device can be dialled, signed by itself, so that every member may pass it on (L10).

An address record is no presence: it never makes a device online, and it is no trust: the pin decides who answers at an
address. Its signature keeps a member from saying anything of another one. It travels as `Signed`, whose body is the
record as MessagePack; a body is passed on as it came, so a later version can add fields.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated

from msgspec import Meta, Struct

from agent.protocol.household import Signed
from agent.protocol.model import REVISION_MAX, Port

HOSTS_MAX = 16
"""Addresses in the record of one device."""
HOST_MAX = 45
"""Characters of an IP address, at most."""
BODY_MAX = 1536
"""Bytes of a record: sixteen long addresses take 850, the rest is room for later fields."""
TELL_MAX = 64
"""Records in one `address.tell`: with `BODY_MAX` they fit a request (`wire.REQUEST_MAX`)."""
RECORDS_MAX = 600
"""Records in one answer to `address.sync`: with `BODY_MAX` they fit a frame (`wire.FRAME_OUT_MAX`)."""

_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_TEREDO = ipaddress.IPv6Network("2001::/32")
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")

Revision = Annotated[int, Meta(ge=0, le=REVISION_MAX)]


class AddressRecord(Struct, frozen=True, kw_only=True, gc=False):
    """The endpoints of one device, as it says and signs itself."""

    device: Annotated[str, Meta(max_length=16)]  # its id
    revision: Revision  # Unix milliseconds of the change, and greater than the one before
    port: Port
    hosts: Annotated[tuple[Annotated[str, Meta(max_length=HOST_MAX)], ...], Meta(max_length=HOSTS_MAX)]


class SyncAddresses(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`address.sync`: requests the records that the caller lacks, whenever a link comes up."""

    known: Annotated[dict[Annotated[str, Meta(max_length=16)], Revision], Meta(max_length=2048)] = {}  # by device


class ToldAddresses(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of `address.sync`: the records that the caller lacks."""

    records: Annotated[tuple[Signed, ...], Meta(max_length=RECORDS_MAX)] = ()


class TellAddresses(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`address.tell`: the newest records, of the caller or of others."""

    records: Annotated[tuple[Signed, ...], Meta(max_length=TELL_MAX)] = ()


def usable_host(host: str, *, local_only: bool) -> bool:
    """Whether an address in a record means anything to other devices.

    It must be the plain address of one machine: no zone, no loopback, link-local, multicast, broadcast or unspecified
    address, and none that hides an IPv4 address. With `local_only` (a service that keeps to this machine) loopback
    addresses are usable, and no others.
    """
    try:
        ip = ipaddress.IPv6Address(host) if ":" in host else ipaddress.IPv4Address(host)
    except ValueError:
        return False
    if local_only or ip.is_loopback:
        return local_only and ip.is_loopback
    if isinstance(ip, ipaddress.IPv6Address):
        if "%" in host or ip.ipv4_mapped is not None or ip in _SIX_TO_FOUR or ip in _TEREDO:
            return False
    elif ip in _THIS_NETWORK:
        return False
    return not (ip.is_multicast or ip.is_unspecified or ip.is_link_local or ip.is_reserved)
