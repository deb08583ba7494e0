"""What the parts need of the household (T4): keys that every member has and nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class SealKeys(Protocol):
    """Secrets that all members share, one for each epoch. A new epoch begins whenever a member is put out."""

    def current(self) -> tuple[int, bytes] | None:
        """Epoch and 32-byte key to seal with; None while this device is in no household."""

    def known(self) -> Mapping[int, bytes]:
        """Epoch to 32-byte key: everything that can be unsealed, the current epoch among them. Empty without one."""
