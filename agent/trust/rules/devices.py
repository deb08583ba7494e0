"""The stored entry of a paired device: how it is made, and how a change of its name is shown (T5).

A device gives its name over a link that its key has authenticated; packets change nothing. The owner knows a device by
its name, so a change is not silent: the first name is shown beside the new one for a while, however often it changes.
"""

from __future__ import annotations

import ipaddress

from msgspec import structs

from agent.protocol.identity import device_id
from agent.protocol.model import NAME_MAX, Endpoint, PairedDevice
from agent.protocol.names import clean
from agent.trust.rules.handshake import Partner

SHOWN = 30 * 86_400.0
"""Seconds after a change of name for which the former one is shown."""
NOTICE_APART = 86_400.0
"""Seconds after a change in which another one is no notice: some device may change its name all the time."""


def renamed(device: PairedDevice, name: str, now: float) -> PairedDevice:
    """The entry of a device that gave its name as `name`; `now` in Unix seconds."""
    if name == device.name:
        return device
    former = former_name(device, now) or device.name
    return structs.replace(device, name=name, former_name="" if former == name else former, renamed_at=now)


def former_name(device: PairedDevice, now: float) -> str:
    """The former name of a device; empty, if it has none, or the change is long ago."""
    return device.former_name if now - device.renamed_at < SHOWN else ""


def is_notice(device: PairedDevice, name: str, now: float) -> bool:
    """Whether the owner should hear that a device is called `name` from now on."""
    return bool(device.name) and name != device.name and now - device.renamed_at >= NOTICE_APART


def known_as(device: PairedDevice, now: float) -> str:
    """The name of a device with its former one, as people find it: `den (was pi)`."""
    former = former_name(device, now)
    return f"{device.name} (was {former})" if former else device.name


def new_entry(partner: Partner, heard_from: str, now: float) -> PairedDevice:
    """The entry of a newly paired device, as a member.

    `heard_from` is the IP address that it paired from, `now` in Unix seconds.
    """
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
    # Whether an address that a partner names means anything here: a link-local or loopback one does not.
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return not (address.is_link_local or address.is_loopback or address.is_multicast or address.is_unspecified)
