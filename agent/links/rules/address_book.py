"""The newest address record of each member of the household: what is taken, kept and passed on (L10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from agent.presence.rules.seal import PublicKey
from agent.protocol.addresses import BODY_MAX, LABEL, RECORDS_MAX, AddressRecord, usable_host
from agent.protocol.household import Signed
from agent.protocol.identity import signed_by
from agent.protocol.model import DeviceId, Endpoint

AHEAD_MAX = 3_600_000
"""Milliseconds that a revision may lie ahead of our clock and still be taken for a time (R9)."""


class AddressBook:
    """The newest record of each member.

    Of what arrives ask `worth_checking` first: it is cheap and throws out what is nobody's, old or malformed. Then
    `accept` verifies the signature.
    """

    def __init__(self) -> None:
        self._keys: Mapping[DeviceId, PublicKey] = {}
        self._records: dict[DeviceId, tuple[AddressRecord, Signed]] = {}

    def trust(self, keys: Mapping[DeviceId, PublicKey]) -> None:
        """All the members that there are now, by their keys; what is known of anybody else is forgotten."""
        self._keys = keys
        self._records = {device: kept for device, kept in self._records.items() if device in keys}

    def worth_checking(self, signed: Signed, *, teller: DeviceId | None, now: float) -> AddressRecord | None:
        """The record in what `teller` told (None: this device remembers it), if it is a member's and news.

        A device's own word counts whatever its revision: its clock may have been set back. `now`: Unix seconds.
        """
        if len(signed.body) > BODY_MAX:
            return None
        try:
            record = msgspec.msgpack.decode(signed.body, type=AddressRecord)
        except (ValueError, RecursionError):
            return None
        device = DeviceId(record.device)
        held = self.record(device)
        if device not in self._keys or record == held:
            return None
        if held is None or teller == device:
            return record
        believable = now * 1000 + AHEAD_MAX
        rank = (record.revision <= believable, record.revision)
        return record if rank > (held.revision <= believable, held.revision) else None

    def accept(self, signed: Signed, record: AddressRecord) -> bool:
        """Keep a record that is `worth_checking`, if its device has signed it."""
        device = DeviceId(record.device)
        if not signed_by(self._keys[device], signed.signature, LABEL + signed.body):
            return False
        self._records[device] = (record, signed)
        return True

    def record(self, device: DeviceId) -> AddressRecord | None:
        """The newest record of a member."""
        kept = self._records.get(device)
        return kept[0] if kept is not None else None

    def all(self) -> dict[DeviceId, Signed]:
        """Everything that is known, as it travels."""
        return {device: signed for device, (_, signed) in self._records.items()}

    def revisions(self) -> dict[str, int]:
        """What is known already, for `address.sync`."""
        return {device: record.revision for device, (record, _) in self._records.items()}

    def newer_than(self, known: Mapping[str, int]) -> tuple[Signed, ...]:
        """What a member lacks that knows this much, the newest first."""
        lacking = [kept for device, kept in self._records.items() if kept[0].revision != known.get(device)]
        lacking.sort(key=lambda kept: kept[0].revision, reverse=True)
        return tuple(signed for _, signed in lacking[:RECORDS_MAX])


def places(record: AddressRecord, *, local_only: bool, foreign: Callable[[str], bool]) -> tuple[Endpoint, ...]:
    """Where a record says that its device can be dialled, as far as that can be another machine's address.

    `foreign` tells whether an address can be another machine's: it is none of this one's.
    """
    hosts: Iterable[str] = dict.fromkeys(record.hosts)
    return tuple(
        Endpoint(host, record.port) for host in hosts if usable_host(host, local_only=local_only) and foreign(host)
    )
