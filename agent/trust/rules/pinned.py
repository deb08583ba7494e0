"""What is stored of a device that was just paired."""

from __future__ import annotations

import ipaddress

from agent.protocol.identity import device_id
from agent.protocol.model import NAME_MAX, Endpoint, PairedDevice
from agent.protocol.names import clean
from agent.trust.rules.handshake import Partner


def pinned(partner: Partner, heard_from: str, now: float) -> PairedDevice:
    """Its entry as a member; `heard_from` is the IP address it paired from, `now` in Unix seconds."""
    bundle = partner.bundle
    hosts = dict.fromkeys((heard_from, *filter(_dialable, bundle.hosts)))
    return PairedDevice(
        id=device_id(partner.certificate),
        name=clean(bundle.name, NAME_MAX),
        certificate=partner.certificate,
        paired_at=now,
        endpoints=tuple(Endpoint(host, bundle.port) for host in hosts if host),
    )


def _dialable(host: str) -> bool:
    # Whether an address that a partner names means anything here: a zone, or loopback, is its own affair.
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return not (address.is_link_local or address.is_loopback or address.is_multicast or address.is_unspecified)
