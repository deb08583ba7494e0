"""Who did what here: entries for the audit log, written beside the work that they tell of (docs/state.md)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from agent.core.audit import Action, AuditEntry
from agent.core.names import clean
from agent.core.records import NAME_MAX, DeviceId
from agent.core.transcript import rfc3339
from agent.errors import StateError
from agent.ports import AuditLog, Clock
from agent.services.alarm import Alarm

WAITING_MAX = 10_000
"""Entries that wait for the disk; more of them are counted and not kept. Nobody waits for the log."""
RETRY = 5.0
"""Seconds between attempts to write on a disk that does not take it."""


class Audit:
    """Takes entries at once, writes them in the background; `problem` is told while that fails, empty afterwards."""

    def __init__(
        self, log: AuditLog, clock: Clock, name_of: Callable[[DeviceId], str], problem: Callable[[str], None]
    ) -> None:
        self._log, self._clock, self._name_of, self._problem = log, clock, name_of, problem
        self._waiting: deque[AuditEntry] = deque()
        self._left_out = 0
        self._alarm = Alarm(clock)

    def note(
        self,
        action: Action,
        device: DeviceId,
        session: str = "",
        length: int = 0,
        *,
        detail: str = "",
        name: str = "",
    ) -> None:
        """Keep one entry; `name` is what the device is called, if not as usual. Never waits, never raises."""
        if len(self._waiting) >= WAITING_MAX:
            self._left_out += 1
            return
        self._waiting.append(
            AuditEntry(
                at=rfc3339(self._clock.time()),
                device=device,
                name=clean(name or self._name_of(device), NAME_MAX),
                action=action,
                session=session,
                length=length,
                detail=detail,
            )
        )
        self._alarm.ring()

    async def run(self) -> None:
        """Write until cancelled; then what is left."""
        try:
            while True:
                await self._alarm.wait(RETRY if self._waiting else None)
                await self._write()
        finally:
            await self._write()

    async def read(self, since: str, limit: int) -> list[AuditEntry]:
        """The newest entries at or after `since` (RFC 3339; empty: any), oldest first. Raises: StateError."""
        written = await self._log.read(since, limit)
        return [*written, *(entry for entry in self._waiting if entry.at >= since)][-limit:]

    async def _write(self) -> None:
        while batch := list(self._waiting):
            try:
                await self._log.append(batch)
            except StateError as exc:
                count = "1 entry is" if self._left_out == 1 else f"{self._left_out} entries are"
                lost = f"; {count} lost" if self._left_out else ""
                self._problem(f"the audit log is not written: {exc}{lost}")
                return
            for _ in batch:
                self._waiting.popleft()
            self._left_out = 0
            self._problem("")
