"""This machine's own addresses, and what is remembered of those of others (L10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agent.protocol.household import Signed


class OwnAddresses(Protocol):
    """The addresses of this machine as they were at the last look. All methods but `look` return at once."""

    local_only: bool
    """Whether this service keeps to this machine: only loopback addresses mean anything then."""

    async def look(self) -> None:
        """Look again; what cannot be read stays as it was."""

    def hosts(self) -> tuple[str, ...]:
        """IP addresses at which other devices may reach this one, those of its networks first; no zones."""

    def on_link(self, host: str) -> bool:
        """Whether that address is on a network of this machine."""

    def is_foreign(self, host: str) -> bool:
        """Whether another machine can have it: it is none of this one's, nor names a whole network of it."""


class AddressStore(Protocol):
    """Addresses that members told, as they outlive a restart. They may be lost: they are told again."""

    def load(self) -> list[Signed]:
        """What was saved last; empty if that cannot be read any more."""

    def save(self, records: Sequence[Signed]) -> None:
        """Keep these and no others. Raises: StateError, and then nothing has changed."""
