"""What a device must remember beside transcripts: whom it trusts, and a few numbers.

Files in the state folder: `trust.json`, `state.json`; `storage.identity` and `storage.household` have more. Each is
read once and replaced whole. A damaged one stops the service with advice; it is never overwritten, since a new key
would end every pairing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from agent.adapters.storage.files import damaged, private_folder, read_private, write_private
from agent.adapters.storage.state_values import decoded, encoded
from agent.errors import StateError
from agent.protocol.household import NO_LIMITS, Digest, Limits
from agent.protocol.identity import BadCertificate, check_profile, device_id, fingerprint
from agent.protocol.model import DeviceId, PairedDevice

IDENTITY = "identity.pem"
TRUST = "trust.json"
STATE = "state.json"
HOUSEHOLD = "household.json"
_log = logging.getLogger(__name__)

DEVICES_MAX = 1024
"""Paired devices. A household at its largest has 726."""
LIMITS_MAX = 4 * DEVICES_MAX
"""Devices that may only watch, with those that are not paired any more: nobody lets in so many that it escapes."""


class Trusted(Struct, frozen=True):
    """Paired devices by id, and who of all that ever were may only watch.

    A limit is a device's own, whatever becomes of its entry: it is there again when the device comes back (T12).
    """

    devices: Mapping[DeviceId, PairedDevice] = {}
    limits: Limits = NO_LIMITS

    def changed(
        self,
        put: Iterable[PairedDevice] = (),
        remove: Iterable[DeviceId] = (),
        limits: Limits | None = None,
    ) -> Trusted:
        """Devices and limits with other entries. Raises: StateError, if there would be too many of them."""
        gone = set(remove)
        devices = {known: device for known, device in self.devices.items() if known not in gone}
        devices.update((device.id, device) for device in put)
        limits = self.limits if limits is None else limits
        if len(devices) > max(DEVICES_MAX, len(self.devices)):
            raise StateError(
                f"{DEVICES_MAX:,} devices are paired already", hint="put some of them out: `agent unpair DEVICE`"
            )
        if len(limits) > max(LIMITS_MAX, len(self.limits)):
            raise StateError(
                f"{LIMITS_MAX:,} devices may only watch already",
                hint="lift some of the limits: `agent devices --full DEVICE`",
            )
        return Trusted({known: _limited(device, limits) for known, device in devices.items()}, dict(limits))


def _limited(device: PairedDevice, limits: Limits) -> PairedDevice:
    if device.read_only or not limits or fingerprint(device.certificate) not in limits:
        return device
    return structs.replace(device, read_only=True)


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    # The file: certificates and digests are in base64. A later version adds fields with defaults.
    version: int
    devices: tuple[PairedDevice, ...]
    limits: tuple[_Limit, ...] = ()


class _Limit(msgspec.Struct, frozen=True, kw_only=True):
    fingerprint: Digest
    said: bytes = b""  # digests, one after another

    def digests(self) -> frozenset[bytes]:
        return frozenset(self.said[at : at + 32] for at in range(0, len(self.said), 32))


class TrustFile:
    """The trusted devices in one file, read when the object is made (`ports.TrustStore`). Raises: StateError."""

    def __init__(self, folder: Path) -> None:
        self._path = private_folder(folder) / TRUST
        data = read_private(self._path)
        self._trusted = self._parse(data) if data is not None else Trusted()

    def devices(self) -> list[PairedDevice]:
        """All trusted devices, by id. `read_only` is true of whoever is limited."""
        return sorted(self._trusted.devices.values(), key=lambda device: device.id)

    def limits(self) -> Limits:
        """The devices that may only watch (T12), paired at this moment or not."""
        return self._trusted.limits

    def put(self, device: PairedDevice) -> None:
        """Add a device or replace it. Raises: StateError, and then nothing has changed."""
        self.change(put=(device,))

    def remove(self, device: DeviceId) -> None:
        """Forget a device; an unknown id is no error. Raises: StateError, and then nothing has changed."""
        if device in self._trusted.devices:
            self.change(remove=(device,))

    def change(
        self, put: Iterable[PairedDevice] = (), remove: Iterable[DeviceId] = (), limits: Limits | None = None
    ) -> None:
        """Make several changes in one write. Raises: StateError, and then nothing has changed."""
        put = tuple(put)
        trusted = self._trusted.changed(put, remove, limits)
        for device in put:
            if wrong := _wrong(device):
                raise StateError(f"cannot keep {wrong}", hint="nothing was changed")
        told = tuple(_Limit(fingerprint=mark, said=b"".join(sorted(said))) for mark, said in trusted.limits.items())
        data = encoded(self._path, _Kept(version=1, devices=tuple(trusted.devices.values()), limits=told))
        write_private(self._path, data)
        self._trusted = trusted

    def _parse(self, data: bytes) -> Trusted:
        kept = decoded(self._path, data, _Kept)
        if kept.version != 1:
            raise StateError(f"{self._path} was written by a later version", hint="use that version, or a new home")
        for device in kept.devices:
            if wrong := _wrong(device):
                raise damaged(self._path, wrong)
        limits = {limit.fingerprint: limit.digests() for limit in kept.limits}
        return Trusted({device.id: device for device in kept.devices}, limits)


def _wrong(device: PairedDevice) -> str:
    # What is wrong with an entry; empty, if nothing is.
    try:
        check_profile(device.certificate)
    except BadCertificate as exc:
        return f"device {device.id}: {exc}"
    if device.id != device_id(device.certificate):
        return f"device {device.id} has the certificate of another one"
    return ""


NUMBER_MAX = 2**63 - 1
"""What is greater is remembered to the end of the process only."""


class StateFile:
    """Numbers that outlive a restart, each under a key: `revision` of the last publication, `port` of the listener.

    Not synced to the disk, so that publishing stays cheap: after a power cut the newest numbers may be gone. Both are
    safe to lose (R9: revisions follow the clock), so a full disk is no error. Read when the object is made. Raises:
    StateError.
    """

    def __init__(self, folder: Path) -> None:
        self._path = private_folder(folder) / STATE
        data = read_private(self._path)
        self._values = decoded(self._path, data, dict[str, int]) if data else {}

    def get(self, key: str) -> int:
        """The number under a key; 0 if none was ever put."""
        return self._values.get(key, 0)

    def put(self, key: str, value: int) -> None:
        """Remember a number, at least until the end of this process."""
        if self._values.get(key) != value:
            self._values[key] = value
            try:
                kept = {key: value for key, value in self._values.items() if -NUMBER_MAX <= value <= NUMBER_MAX}
                write_private(self._path, encoded(self._path, kept), durable=False)
            except StateError as exc:
                _log.info("a number is remembered until the end only", extra={"key": key, "error": str(exc)})
