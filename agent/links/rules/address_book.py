"""The newest address record of each member of the household: what is taken, kept and passed on (L10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from agent.presence.rules.seal import PublicKey
from agent.protocol.addresses import BODY_MAX, RECORDS_MAX, AddressRecord, usable_host
from agent.protocol.household import Signed
from agent.protocol.identity import Identity, signed_by
from agent.protocol.model import DeviceId, Endpoint

_LABEL = b"lan-agent addresses 1\0"
"""What a signature of an address record is over, before the record: it can be taken for nothing else."""

AHEAD_MAX = 3_600_000
"""Milliseconds that a revision may lie ahead of our clock and still be taken for a time (R9)."""


def sign_record(record: AddressRecord, identity: Identity) -> Signed:
    """Sign a record as the device that it is of."""
    body = msgspec.msgpack.encode(record)
    return Signed(body=body, signature=identity.key.sign(_LABEL + body))


class AddressBook:
    """The newest address record of each member.

    Call `worth_checking` first for a record that arrives: it is cheap, and drops malformed, old and strangers' records.
    Then `accept` verifies the signature.
    """

    def __init__(self) -> None:
        self._keys: Mapping[DeviceId, PublicKey] = {}
        self._records: dict[DeviceId, tuple[AddressRecord, Signed]] = {}

    def trust(self, keys: Mapping[DeviceId, PublicKey]) -> None:
        """Take the keys of all present members; records of anybody else are forgotten."""
        self._keys = keys
        self._records = {device: kept for device, kept in self._records.items() if device in keys}

    def worth_checking(self, signed: Signed, *, sender: DeviceId | None, now: float) -> AddressRecord | None:
        """The record in what `sender` sent (None: stored on this device), if it is a member's and news.

        A record that its own device sends counts whatever the revision: a clock may have been set back.
        `now` in Unix seconds.
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
        if held is None or sender == device:
            return record
        believable = now * 1000 + AHEAD_MAX
        rank = (record.revision <= believable, record.revision)
        return record if rank > (held.revision <= believable, held.revision) else None

    def accept(self, signed: Signed, record: AddressRecord) -> bool:
        """Keep a record that is `worth_checking`. Returns whether its device has signed it."""
        device = DeviceId(record.device)
        if not signed_by(self._keys[device], signed.signature, _LABEL + signed.body):
            return False
        self._records[device] = (record, signed)
        return True

    def record(self, device: DeviceId) -> AddressRecord | None:
        """The newest record of a member, if one is known."""
        kept = self._records.get(device)
        return kept[0] if kept is not None else None

    def all(self) -> dict[DeviceId, Signed]:
        """All known records by device, in their signed form."""
        return {device: signed for device, (_, signed) in self._records.items()}

    def revisions(self) -> dict[str, int]:
        """The revision of each known record, for `address.sync`."""
        return {device: record.revision for device, (record, _) in self._records.items()}

    def newer_than(self, known: Mapping[str, int]) -> tuple[Signed, ...]:
        """Records that a member lacks which has the `known` revisions, newest first."""
        lacking = [kept for device, kept in self._records.items() if kept[0].revision != known.get(device)]
        lacking.sort(key=lambda kept: kept[0].revision, reverse=True)
        return tuple(signed for _, signed in lacking[:RECORDS_MAX])


def endpoints_of(record: AddressRecord, *, local_only: bool, foreign: Callable[[str], bool]) -> tuple[Endpoint, ...]:
    """The endpoints of a record that may be dialled.

    `foreign` says whether an address can be another machine's: one of this machine's own is left out.
    """
    hosts: Iterable[str] = dict.fromkeys(record.hosts)
    return tuple(
        Endpoint(host, record.port) for host in hosts if usable_host(host, local_only=local_only) and foreign(host)
    )
