"""Keeps what links told of other devices' sessions over a restart: a device that is away stays known (R12)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec

from agent.errors import StateError
from agent.ports import Clock, LastKnownStore
from agent.presence.rules.lookup import newest_first
from agent.presence.rules.registry import Registry
from agent.presence.rules.session_rows import row_size
from agent.protocol.model import DeviceId, DeviceRef, SessionRow

log = logging.getLogger(__name__)

SAVE_EVERY = 10.0
"""Seconds between two looks whether anything must be saved: after a crash the last of it is missing."""
ROWS_MAX, ROWS_MIN = 1000, 32
"""Sessions that are kept over all devices, and of each: an equal share for each, the newest of it."""
SIZE_MAX = 3 << 20
"""Bytes of all that is kept, shared alike: with every character escaped it still fits a file."""


class Recall(Protocol):
    """Who puts back what was known (`presence.service`)."""

    def recall(self, device: DeviceId, rows: Sequence[SessionRow]) -> None:
        """What a paired device's link had told before this service was started."""


class LastKnown:
    """Puts back what was known at the last end, then saves what is known now."""

    def __init__(self, registry: Registry, presence: Recall, store: LastKnownStore, clock: Clock) -> None:
        self._registry = registry
        self._presence = presence
        self._store = store
        self._clock = clock
        self._saved: list[SessionRow] = []

    def recall(self) -> None:
        """Put back what was saved of devices that are still paired. Call it once they are known to the registry."""
        try:
            self._saved = self._store.load()
        except StateError as exc:
            log.warning("what was known of other devices cannot be read", extra={"error": str(exc)})
            return
        devices = {row.device.id for row in self._saved}
        for device in devices:
            self._presence.recall(device, [row for row in self._saved if row.device.id == device])

    async def run(self) -> None:
        """Save until cancelled, and then a last time."""
        try:
            while True:
                await self._clock.sleep(SAVE_EVERY)
                self._save()
        finally:
            self._save()

    def _save(self) -> None:
        told = {device: rows for device, rows in self._registry.remembered().items() if rows}
        kept = newest_first(row for device, rows in told.items() for row in _share(device, rows, len(told)))
        if kept != self._saved:
            with suppress(StateError):  # a full disk: it is only a memory
                self._store.save(kept)
                self._saved = kept


def _share(device: DeviceId, rows: Iterable[SessionRow], devices: int) -> Iterator[SessionRow]:
    # However much one device tells, what is known of the others is kept: it is theirs after a restart, too (R13).
    room = SIZE_MAX // devices
    for row in newest_first(rows)[: max(ROWS_MIN, ROWS_MAX // devices)]:
        # Under the device that told it, whatever the row says.
        kept = msgspec.structs.replace(row, device=DeviceRef(device, row.device.name), participants=(), queued=0)
        room -= row_size(kept)
        if room < 0:
            return
        yield kept
