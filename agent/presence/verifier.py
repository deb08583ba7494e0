"""Whether a presence record is to be believed: of a stranger its name, of a paired device what it has signed (T5).

Anybody can send any record. So one of a paired device counts only if the pinned key has signed exactly these strings
for the instance and port at which they were heard; sessions are read only from such a record. Any other record of a
paired device changes nothing. Source: FACTS-SECURITY §6.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from agent.ports import Goodbye, Heard, SealKeys
from agent.presence.rules.liveness import STALE_AFTER
from agent.presence.rules.seal import SIGNED_MAX, PublicKey, is_signed, unseal, verify
from agent.presence.rules.txt import TXTVERS
from agent.protocol.identity import BadCertificate, public_key
from agent.protocol.model import DeviceId, PairedDevice, PresenceRecord

STRANGERS_MAX = 64
"""Strangers whose last signed record is kept: that record counts from the moment they are paired."""

log = logging.getLogger(__name__)


class Accepted(Struct, frozen=True):
    """The verdict that a record may be shown. That of a stranger has no sessions."""

    record: PresenceRecord


class Unsigned(Struct, frozen=True):
    """The verdict on an unsigned record of a paired device (version 0.1): only its addresses may be tried."""

    record: PresenceRecord


class Rejected(Struct, frozen=True):
    """The verdict that a record does not count: the registry stays as it was."""

    reason: str


Verdict = Accepted | Unsigned | Rejected


class _Pinned:
    # What is remembered of one paired device, to the end of this process: revisions follow the clock (R9).
    __slots__ = ("heard", "heard_at", "key", "revision")

    def __init__(self, key: PublicKey | None) -> None:
        self.key = key
        self.revision = -1  # accepted last
        self.heard_at = 0.0  # Unix seconds
        self.heard: Heard | None = None  # accepted last


class RecordVerifier:
    """Verifies records one by one, against the pinned keys and what was accepted before."""

    def __init__(self, keys: SealKeys) -> None:
        self._keys = keys
        self._pinned: dict[DeviceId, _Pinned] = {}
        self._strangers: dict[DeviceId, Heard] = {}  # least recent first
        self.rejected: Counter[DeviceId] = Counter()
        """Records of each paired device that were rejected since the start."""

    def trust(self, devices: Iterable[PairedDevice]) -> dict[DeviceId, Heard | None]:
        """Take all the devices that are trusted now. Returns the new ones, each with its last signed record, if any."""
        trusted = {device.id: device for device in devices}
        for device in self._pinned.keys() - trusted.keys():
            del self._pinned[device]
            self.rejected.pop(device, None)
        new = {device: self._strangers.pop(device, None) for device in trusted if device not in self._pinned}
        for device in new:
            self._pinned[device] = _Pinned(_key_of(trusted[device]))
        return new

    def judge(self, heard: Heard, now: float) -> Verdict:
        """The verdict on a record that was heard at `now` (Unix seconds)."""
        pinned = self._pinned.get(heard.record.device)
        if pinned is None:
            self._remember(heard)
            return self._unless_local(heard) or Accepted(replace(heard.record, sessions=()))
        if not is_signed(heard.strings):
            return self._unless_local(heard) or Unsigned(heard.record)
        reason = self._fault(heard, pinned, now)
        if reason:
            return self._reject(heard.record.device, reason)
        pinned.revision = heard.record.revision
        pinned.heard_at = now
        pinned.heard = heard
        return Accepted(self._read(heard))

    def has_left(self, goodbye: Goodbye) -> bool:
        """Whether a goodbye is that of the verified instance: others that name the device do not matter."""
        pinned = self._pinned.get(goodbye.device)
        if pinned is None or pinned.heard is None or not goodbye.instance:
            return goodbye.last
        return goodbye.instance.lower() == pinned.heard.instance.lower()

    def reread(self) -> list[PresenceRecord]:
        """The last accepted record of each paired device, unsealed anew: another key has become known."""
        return [self._read(pinned.heard) for pinned in self._pinned.values() if pinned.heard is not None]

    def _unless_local(self, heard: Heard) -> Rejected | None:
        # A stranger's packet must not make this device dial, or list, anything but its own networks.
        return None if heard.record.hosts else Rejected("not on a network of this machine")

    def _remember(self, heard: Heard) -> None:
        if is_signed(heard.strings) and sum(map(len, heard.strings)) <= SIGNED_MAX:
            self._strangers.pop(heard.record.device, None)
            self._strangers[heard.record.device] = heard
            if len(self._strangers) > STRANGERS_MAX:
                del self._strangers[next(iter(self._strangers))]

    def _fault(self, heard: Heard, pinned: _Pinned, now: float) -> str:
        record = heard.record
        # A device whose clock was set back is accepted again once its former records are surely no longer repeated.
        if record.revision < pinned.revision and now - pinned.heard_at < STALE_AFTER:
            return "older than what is known"
        before = pinned.heard
        if before is not None and (before.strings, before.instance, before.record.port) == (
            heard.strings,
            heard.instance,
            record.port,
        ):
            return ""  # the same once more, as every minute
        if pinned.key is None or not verify(heard.strings, instance=heard.instance, port=record.port, key=pinned.key):
            return "not signed by the device"
        return ""

    def _read(self, heard: Heard) -> PresenceRecord:
        # What reached this network through a reflector is signed: the pin decides who answers at its addresses.
        record = replace(heard.record, hosts=heard.record.hosts + heard.elsewhere)
        if record.txtvers != TXTVERS:
            return record
        sealed = unseal(heard.strings, keys=self._keys.known(), device=record.device, revision=record.revision)
        sessions = record.sessions if sealed is None else sealed
        unnamed = record.working + record.needs_input + record.idle - len(sessions)
        return replace(record, sessions=sessions, more=max(record.more, unnamed, 0))

    def _reject(self, device: DeviceId, reason: str) -> Rejected:
        self.rejected[device] += 1
        if self.rejected[device] == 1:
            log.info("a record was not believed", extra={"device": device, "reason": reason})
        return Rejected(reason)


def _key_of(device: PairedDevice) -> PublicKey | None:
    try:
        return public_key(device.certificate)
    except BadCertificate:
        return None
