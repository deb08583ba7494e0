"""Ports to this machine's own addresses, and to the stored ones of other devices (L10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agent.protocol.household import Signed


class OwnAddresses(Protocol):
    """The addresses of this machine as they were at the last look. All methods but `look` return at once."""

    local_only: bool
    """Whether this service keeps to this machine: only loopback addresses mean anything then."""

    async def look(self) -> None:
        """Read the addresses again; those that cannot be read stay as they were."""

    def hosts(self) -> tuple[str, ...]:
        """IP addresses at which other devices may reach this one, those of its networks first; no zones."""

    def on_link(self, host: str) -> bool:
        """Whether an address is on a network of this machine."""

    def is_foreign(self, host: str) -> bool:
        """Whether another machine can have an address: it is none of this one's, nor names a whole network of it."""


class AddressStore(Protocol):
    """Stores address records of members over a restart. A loss does no harm: members send them again."""

    def load(self) -> list[Signed]:
        """The records that were saved last; empty if they cannot be read any more."""

    def save(self, records: Sequence[Signed]) -> None:
        """Store exactly these records. Raises: StateError, and then nothing has changed."""
