"""Everything that a device trusts, as one value: what a trust store keeps and changes at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct, structs

from agent.core.identity import fingerprint
from agent.core.records import DeviceId, PairedDevice
from agent.core.standing import NO_LIMITS, Limits
from agent.errors import StateError

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
        """The same with other entries. Raises: StateError, if there would be too many of them."""
        gone = set(remove)
        devices = {known: device for known, device in self.devices.items() if known not in gone}
        devices.update((device.id, device) for device in put)
        limits = self.limits if limits is None else limits
        if len(devices) > max(DEVICES_MAX, len(self.devices)):
            raise StateError(f"{DEVICES_MAX:,} devices are paired already", hint="`agent unpair` some")
        if len(limits) > max(LIMITS_MAX, len(self.limits)):
            raise StateError(f"{LIMITS_MAX:,} devices may only watch already", hint="`agent devices --full` for some")
        return Trusted({known: _limited(device, limits) for known, device in devices.items()}, dict(limits))


def _limited(device: PairedDevice, limits: Limits) -> PairedDevice:
    if device.read_only or not limits or fingerprint(device.certificate) not in limits:
        return device
    return structs.replace(device, read_only=True)
