"""A trust store without a disk, and devices to put into it."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.identity import Identity, device_id, make_certificate
from agent.core.records import DeviceId, Endpoint, PairedDevice
from agent.errors import StateError


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
    """`ports.TrustStore` that forgets with the process; `full` makes every write fail."""

    def __init__(self) -> None:
        self._devices: dict[DeviceId, PairedDevice] = {}
        self.full = False

    def devices(self) -> list[PairedDevice]:
        return sorted(self._devices.values(), key=lambda device: device.id)

    def put(self, device: PairedDevice) -> None:
        self._check()
        self._devices[device.id] = device

    def remove(self, device: DeviceId) -> None:
        self._check()
        self._devices.pop(device, None)

    def _check(self) -> None:
        if self.full:
            raise StateError("cannot write trust: No space left on device")
