"""Keeps what links told of other devices' sessions over a restart: a device that is away stays known (R12)."""

from __future__ import annotations

import logging
from contextlib import suppress

import msgspec

from agent.core.lookup import newest_first
from agent.core.records import DeviceRef, SessionRow
from agent.core.registry import Registry
from agent.errors import StateError
from agent.ports import Clock, LastKnownStore
from agent.services.presence import Presence

log = logging.getLogger(__name__)

SAVE_EVERY = 10.0
"""Seconds between two looks whether anything must be saved: after a crash the last of it is missing."""
ROWS_MAX = 1000
"""Sessions that are kept, over all devices, the newest."""


class LastKnown:
    """Puts back what was known at the last end, then saves what is known now."""

    def __init__(self, registry: Registry, presence: Presence, store: LastKnownStore, clock: Clock) -> None:
        self._registry, self._presence, self._store, self._clock = registry, presence, store, clock
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
        rows = [
            # Under the device that told it, whatever the row says.
            msgspec.structs.replace(row, device=DeviceRef(device, row.device.name), participants=(), queued=0)
            for device, rows in self._registry.remembered().items()
            for row in rows
        ]
        kept = newest_first(rows)[:ROWS_MAX]
        if kept != self._saved:
            with suppress(StateError):  # a full disk: it is only a memory
                self._store.save(kept)
                self._saved = kept
