"""An audit log without a disk."""

from __future__ import annotations

from collections.abc import Sequence

from agent.errors import StateError
from agent.protocol.audit import AuditEntry


class MemoryAudit:
    """`ports.AuditLog`; `full` makes every write fail."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []
        self.full = False

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        if self.full:
            raise StateError("cannot write audit.jsonl: No space left on device")
        self.entries.extend(entries)

    async def read(self, since: str, limit: int) -> list[AuditEntry]:
        return [entry for entry in self.entries if entry.at >= since][-limit:]

    def done(self) -> list[tuple[str, str, str]]:
        """Who did what, to which session."""
        return [(entry.name, entry.action, entry.session) for entry in self.entries]
