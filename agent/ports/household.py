"""What the parts need of the household (T4): keys that every member has and nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from agent.protocol.household import HouseholdState


class SealKeys(Protocol):
    """Secrets that all members share, one for each epoch. A new epoch begins whenever a member is put out."""

    def current(self) -> tuple[int, bytes] | None:
        """Epoch and 32-byte key to seal with; None while this device is in no household."""

    def known(self) -> Mapping[int, bytes]:
        """Epoch to 32-byte key: everything that can be unsealed, the current epoch among them. Empty without one."""


class HouseholdStore(Protocol):
    """The household as it outlives a restart."""

    def load(self) -> HouseholdState | None:
        """What was saved last; None, if this device is in no household."""

    def save(self, state: HouseholdState | None) -> None:
        """Keep it, or forget it; durable when the call returns. Raises: StateError, and then nothing has changed."""
