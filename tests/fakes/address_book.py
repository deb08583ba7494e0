"""This machine's addresses as a test sets them, and the remembered ones of others without a disk."""

from __future__ import annotations

from collections.abc import Sequence

from agent.errors import StateError
from agent.protocol.household import Signed


class MemoryAddresses:
    """`ports.AddressStore`; `full` makes every write fail."""

    def __init__(self) -> None:
        self.records: list[Signed] = []
        self.full = False

    def load(self) -> list[Signed]:
        return list(self.records)

    def save(self, records: Sequence[Signed]) -> None:
        if self.full:
            raise StateError("cannot write addresses: No space left on device")
        self.records = list(records)


class SetAddresses:
    """`ports.OwnAddresses` as a test sets them."""

    local_only = False

    def __init__(self, *hosts: str) -> None:
        self.now = hosts
        self._seen = hosts

    async def look(self) -> None:
        self._seen = self.now

    def hosts(self) -> tuple[str, ...]:
        return self._seen

    def on_link(self, host: str) -> bool:
        return host.split(".")[:3] in [own.split(".")[:3] for own in self._seen]

    def is_foreign(self, host: str) -> bool:
        return host not in self._seen
