"""A trust store without a disk, and devices to put into it."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.adapters.storage.state import Trusted
from agent.errors import StateError
from agent.protocol.household import HouseholdState, Limits
from agent.protocol.identity import Identity, device_id, make_certificate
from agent.protocol.model import DeviceId, Endpoint, PairedDevice


def identity(seed: int) -> Identity:
    """An identity without a file: for everything but TLS."""
    key = Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32))
    return Identity(key=key, certificate=make_certificate(key), pem_path="")


def paired(seed: int, name: str = "den", *endpoints: Endpoint) -> PairedDevice:
    certificate = identity(seed).certificate
    return PairedDevice(
        id=device_id(certificate), name=name, certificate=certificate, paired_at=1_800_000_000.0, endpoints=endpoints
    )


class MemoryTrust:
    """`ports.TrustStore` that forgets with the process. `full` makes every write fail; `writes` counts them.

    `devices` may be shared with a test that reaches into it.
    """

    def __init__(self, devices: dict[DeviceId, PairedDevice] | None = None) -> None:
        self._devices = {} if devices is None else devices
        self._limits: Limits = {}
        self.full = False
        self.writes = 0

    def devices(self) -> list[PairedDevice]:
        return sorted(Trusted(self._devices).changed(limits=self._limits).devices.values(), key=lambda each: each.id)

    def limits(self) -> Limits:
        return self._limits

    def put(self, device: PairedDevice) -> None:
        self.change(put=(device,))

    def remove(self, device: DeviceId) -> None:
        if device in self._devices:
            self.change(remove=(device,))

    def change(
        self, put: Iterable[PairedDevice] = (), remove: Iterable[DeviceId] = (), limits: Limits | None = None
    ) -> None:
        if self.full:
            raise StateError("cannot write trust: No space left on device")
        now = Trusted(self._devices, self._limits).changed(put, remove, limits)
        self.writes += 1
        self._limits = now.limits
        self._devices.clear()
        self._devices.update(now.devices)


class MemoryHousehold:
    """`ports.HouseholdStore`; `full` makes every write fail."""

    def __init__(self) -> None:
        self.state: HouseholdState | None = None
        self.full = False

    def load(self) -> HouseholdState | None:
        return self.state

    def save(self, state: HouseholdState | None) -> None:
        if self.full:
            raise StateError("cannot write household: No space left on device")
        self.state = state
