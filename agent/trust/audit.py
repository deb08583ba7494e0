"""The audit log: which device did what here, written in the background (docs/state.md)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from agent.errors import Busy, StateError
from agent.ports import AuditLog, Clock
from agent.problems import Problems
from agent.protocol.audit import Action, AuditEntry
from agent.protocol.model import NAME_MAX, DeviceId, PairedDevice
from agent.protocol.names import clean
from agent.protocol.times import rfc3339
from agent.tasks import Alarm

WAITING_MAX = 10_000
"""AuditSubscription that wait for the disk; more of them are counted and dropped. Nobody waits for the log."""
BATCH = 256
"""AuditSubscription that a reader gets at a time: far below what fits into a frame."""
RETRY = 5.0
"""Seconds between attempts to write on a disk that does not take it."""


class AuditSubscription:
    """The new audit entries for one reader. On overflow it ends with `Busy`, and the reader starts anew.

    Use a subscription as a context manager, so that it ends when its reader goes.
    """

    def __init__(self, leave: Callable[[AuditSubscription], None]) -> None:
        self._leave = leave
        self._waiting: deque[AuditEntry] = deque()
        self._some = asyncio.Event()

    def put(self, entry: AuditEntry) -> None:
        """Add an entry for the reader. Never waits."""
        self._waiting.append(entry)
        self._some.set()
        if len(self._waiting) > WAITING_MAX:
            self._leave(self)

    async def take(self) -> tuple[AuditEntry, ...]:
        """Wait for new entries and take up to `BATCH` of them. Raises: Busy, after an overflow."""
        await self._some.wait()
        if len(self._waiting) > WAITING_MAX:
            raise Busy("the reader fell too far behind the audit log")
        taken = tuple(self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting))))
        if not self._waiting:
            self._some.clear()
        return taken

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(self)


class Audit:
    """Takes entries at once, writes them in the background; while that fails it is a problem."""

    def __init__(self, log: AuditLog, clock: Clock, name_of: Callable[[DeviceId], str], problems: Problems) -> None:
        self._log = log
        self._clock = clock
        self._name_of = name_of
        self._problems = problems
        self._trusted: dict[DeviceId, str] | None = None  # names by id; None: not known yet
        self._waiting: deque[AuditEntry] = deque()
        self._left_out = 0
        self._alarm = Alarm(clock)
        self.readers: set[AuditSubscription] = set()

    def subscribe(self) -> AuditSubscription:
        """Follow new entries from now on. Call `read` in the same step, before anything else is awaited."""
        entries = AuditSubscription(self.readers.discard)
        self.readers.add(entries)
        return entries

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
        """Note one action; `name` is what the device is called, if not as usual. Never waits, never raises."""
        if len(self._waiting) >= WAITING_MAX:
            self._left_out += 1
            return
        entry = AuditEntry(
            at=rfc3339(self._clock.time()),
            device=device,
            name=clean(name or self._name_of(device), NAME_MAX),
            action=action,
            session=session,
            length=length,
            detail=detail,
        )
        self._waiting.append(entry)
        self._alarm.ring()
        for reader in list(self.readers):
            reader.put(entry)

    def trust_changed(self, devices: Iterable[PairedDevice]) -> None:
        """Note which devices are newly paired and which no longer are; the first call only says who is paired."""
        before, now = self._trusted, {device.id: device for device in devices}
        self._trusted = {device.id: device.name for device in now.values()}
        if before is None:
            return
        for device in sorted(now.keys() - before.keys()):
            self.note("paired", device, detail=now[device].role, name=now[device].name)
        for device in sorted(before.keys() - now.keys()):
            self.note("unpaired", device, name=before[device])

    async def run(self) -> None:
        """Write entries until cancelled, and then those that are left."""
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
                self._problems.problem("audit", f"the audit log is not written: {exc}{lost}")
                return
            for _ in batch:
                self._waiting.popleft()
            self._left_out = 0
            self._problems.problem("audit", "")
