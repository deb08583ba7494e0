"""Keys of a household, without one."""

from __future__ import annotations

from collections.abc import Mapping


class MemoryKeys:
    """`ports.SealKeys`: the epochs that it was made with, the newest in force; `turn` begins another."""

    def __init__(self, *epochs: int) -> None:
        self._known = {epoch: key(epoch) for epoch in epochs}

    def turn(self, epoch: int) -> None:
        self._known[epoch] = key(epoch)

    def current(self) -> tuple[int, bytes] | None:
        return max(self._known.items()) if self._known else None

    def known(self) -> Mapping[int, bytes]:
        return self._known


def key(epoch: int) -> bytes:
    return epoch.to_bytes(1) * 32
