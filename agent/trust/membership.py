"""Trust follows the roster: a member gets its place in the trust store, who is out of the household loses it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from agent.ports import TrustStore
from agent.protocol.identity import device_of, fingerprint
from agent.protocol.model import DeviceId, PairedDevice, SessionId
from agent.protocol.names import short_id
from agent.trust.rules.roster import Roster
from agent.trust.rules.standing import Member


def follow(roster: Roster, trust: TrustStore, own: bytes, blocked: Mapping[str, str]) -> None:
    """Change the store where it differs; what else is stored of a device stays.

    `own` is this device's fingerprint. `blocked` gives, in hexadecimal, fingerprints of devices that were put out on
    this one, each with the tombstone: they stay out here until somebody who knows of it has let them in again. Devices
    of which the roster knows nothing, and guests, are left alone. Everything is one write. Raises: StateError.
    """
    stored = {fingerprint(device.certificate): device for device in trust.devices()}
    put: list[PairedDevice] = []
    remove: list[DeviceId] = []
    for mark, member in roster.members.items():
        known = stored.get(mark)
        if mark == own:
            continue
        if _is_blocked(mark, member, blocked):
            if known is not None and known.role == "member":
                remove.append(known.id)
        elif known is None or known.role != "member":
            put.append(_place(member, known))
    out = roster.out
    remove += [device.id for mark, device in stored.items() if device.role == "member" and mark in out]
    if put or remove:
        trust.change(put, remove)


def _is_blocked(mark: bytes, member: Member, blocked: Mapping[str, str]) -> bool:
    tombstone = blocked.get(mark.hex())
    return tombstone is not None and bytes.fromhex(tombstone) not in member.knows


def _place(member: Member, known: PairedDevice | None) -> PairedDevice:
    admitted_at = float(member.admitted_at)
    if (
        known is not None
    ):  # a guest that has become a member elsewhere: what it may do here is more, but not if it watched
        return structs.replace(known, role="member", paired_at=admitted_at, session=SessionId(""), expires_at=0.0)
    device = device_of(fingerprint(member.certificate))
    name = member.name or short_id(device)
    return PairedDevice(id=device, name=name, certificate=member.certificate, paired_at=admitted_at)
