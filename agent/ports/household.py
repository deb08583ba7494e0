"""Ports to the household (T4): its keys, and where it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from agent.protocol.household import HouseholdState


class SealKeys(Protocol):
    """Secrets that all members share, one for each epoch. A new epoch begins whenever a member is put out."""

    def current(self) -> tuple[int, bytes] | None:
        """Epoch and 32-byte key to seal with; None while this device is in no household."""

    def known(self) -> Mapping[int, bytes]:
        """The 32-byte keys by epoch, the current one among them; empty while this device is in no household."""


class HouseholdStore(Protocol):
    """Stores the household over a restart."""

    def load(self) -> HouseholdState | None:
        """The household that was saved last; None, if this device is in none."""

    def save(self, state: HouseholdState | None) -> None:
        """Store the household, or (None) forget it; durable on return. Raises: StateError, then nothing has changed."""
