"""What a record of the network is worth: of a stranger its name, of a paired device what it has signed (T5).

Anybody can send any record. So one of a paired device counts only if the key that was pinned has signed it, as it is
and where it was heard; sessions are read only from such a record. Everything else about a paired device leaves the
view as it was. Source: FACTS-SECURITY §6.
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
"""Strangers whose last signed record is kept: it counts from the moment they are paired."""

log = logging.getLogger(__name__)


class Believed(Struct, frozen=True):
    """A record that may be shown. Of a stranger it has no sessions."""

    record: PresenceRecord


class Hinted(Struct, frozen=True):
    """An unsigned record of a paired device (version 0.1): where it may be dialled, and nothing else."""

    record: PresenceRecord


class Refused(Struct, frozen=True):
    """Nothing that counts: the view stays as it was."""

    reason: str


Verdict = Believed | Hinted | Refused


class _Pinned:
    # What is remembered of one paired device, to the end of this process: revisions follow the clock (R9).
    __slots__ = ("heard", "heard_at", "key", "revision")

    def __init__(self, key: PublicKey | None) -> None:
        self.key = key
        self.revision = -1  # believed last
        self.heard_at = 0.0  # Unix seconds
        self.heard: Heard | None = None  # believed last


class Believer:
    """Judges records one by one."""

    def __init__(self, keys: SealKeys) -> None:
        self._keys = keys
        self._pinned: dict[DeviceId, _Pinned] = {}
        self._strangers: dict[DeviceId, Heard] = {}  # least recent first
        self.refused: Counter[DeviceId] = Counter()
        """Records of each paired device that were not believed since the start."""

    def trust(self, devices: Iterable[PairedDevice]) -> dict[DeviceId, Heard | None]:
        """All the devices that are trusted now. Returns those that were not before, and what they last announced."""
        trusted = {device.id: device for device in devices}
        for device in self._pinned.keys() - trusted.keys():
            del self._pinned[device]
            self.refused.pop(device, None)
        new = {device: self._strangers.pop(device, None) for device in trusted if device not in self._pinned}
        for device in new:
            self._pinned[device] = _Pinned(_key_of(trusted[device]))
        return new

    def judge(self, heard: Heard, now: float) -> Verdict:
        """What a record is worth that was heard just now (Unix seconds)."""
        pinned = self._pinned.get(heard.record.device)
        if pinned is None:
            self._remember(heard)
            return self._here(heard) or Believed(replace(heard.record, sessions=()))
        if not is_signed(heard.strings):
            return self._here(heard) or Hinted(heard.record)
        if reason := self._doubt(heard, pinned, now):
            return self._refuse(heard.record.device, reason)
        pinned.revision = heard.record.revision
        pinned.heard_at = now
        pinned.heard = heard
        return Believed(self._read(heard))

    def has_left(self, goodbye: Goodbye) -> bool:
        """Whether a goodbye is of the instance that is believed: others that name the device do not matter."""
        pinned = self._pinned.get(goodbye.device)
        if pinned is None or pinned.heard is None or not goodbye.instance:
            return goodbye.last
        return goodbye.instance.lower() == pinned.heard.instance.lower()

    def again(self) -> list[PresenceRecord]:
        """What was believed last of each device, read once more: after another key has become known."""
        return [self._read(pinned.heard) for pinned in self._pinned.values() if pinned.heard is not None]

    def _here(self, heard: Heard) -> Refused | None:
        # A stranger's packet must not make this device dial, or list, anything but its own networks.
        return None if heard.record.hosts else Refused("not on a network of this machine")

    def _remember(self, heard: Heard) -> None:
        if is_signed(heard.strings) and sum(map(len, heard.strings)) <= SIGNED_MAX:
            self._strangers.pop(heard.record.device, None)
            self._strangers[heard.record.device] = heard
            if len(self._strangers) > STRANGERS_MAX:
                del self._strangers[next(iter(self._strangers))]

    def _doubt(self, heard: Heard, pinned: _Pinned, now: float) -> str:
        record = heard.record
        # A device whose clock was set back comes in again, once its former records are surely no longer repeated.
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
        untold = record.working + record.needs_input + record.idle - len(sessions)
        return replace(record, sessions=sessions, more=max(record.more, untold, 0))

    def _refuse(self, device: DeviceId, reason: str) -> Refused:
        self.refused[device] += 1
        if self.refused[device] == 1:
            log.info("a record was not believed", extra={"device": device, "reason": reason})
        return Refused(reason)


def _key_of(device: PairedDevice) -> PublicKey | None:
    try:
        return public_key(device.certificate)
    except BadCertificate:
        return None
