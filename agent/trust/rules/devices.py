"""What a paired device was called before (T5). The owner knows it by a name, so a change of it is not silent.

A device says what it is called over a link that its key has authenticated; packets change nothing. The name that it had
first is shown beside the new one for a while, however often it changes meanwhile.
"""

from __future__ import annotations

from msgspec import structs

from agent.protocol.model import PairedDevice

SHOWN = 30 * 86_400.0
"""Seconds for which the former name is shown."""
TOLD_AGAIN = 86_400.0
"""Seconds after a change in which another one is no notice: some device may change its name all the time."""


def renamed(device: PairedDevice, name: str, now: float) -> PairedDevice:
    """Its entry after it has told that it is called `name`; `now` in Unix seconds."""
    if name == device.name:
        return device
    former = former_name(device, now) or device.name
    return structs.replace(device, name=name, former_name="" if former == name else former, renamed_at=now)


def former_name(device: PairedDevice, now: float) -> str:
    """What it was called before; empty, if it was not, or that is long ago."""
    return device.former_name if now - device.renamed_at < SHOWN else ""


def is_notice(device: PairedDevice, name: str, now: float) -> bool:
    """Whether the owner should hear that it is called `name` from now on."""
    return bool(device.name) and name != device.name and now - device.renamed_at >= TOLD_AGAIN


def known_as(device: PairedDevice, now: float) -> str:
    """Its name as a person who knew it before finds it: `den (was pi)`."""
    former = former_name(device, now)
    return f"{device.name} (was {former})" if former else device.name
