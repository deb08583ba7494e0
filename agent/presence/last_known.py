"""Keeps the sessions of other devices over a restart, as links sent them: a device that is away stays known (R12)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec

from agent.errors import StateError
from agent.ports import Clock, LastKnownStore
from agent.presence.rules.registry import Registry
from agent.presence.rules.sanitised_rows import row_size
from agent.presence.rules.selectors import newest_first
from agent.protocol.model import DeviceId, DeviceRef, SessionRow

log = logging.getLogger(__name__)

SAVE_EVERY = 10.0
"""Seconds between two looks whether anything must be saved: a crash loses what changed since."""
ROWS_MAX, ROWS_MIN = 1000, 32
"""Most sessions that are kept in all, and least of one device: each has an equal share, its newest sessions."""
SIZE_MAX = 3 << 20
"""Bytes of all kept sessions, shared alike: with every character escaped they still fit a file."""


class Recall(Protocol):
    """Takes back the sessions that were known before a restart (`presence.service`)."""

    def recall(self, device: DeviceId, rows: Sequence[SessionRow]) -> None:
        """Take the session rows that a paired device's link had sent before this service was started."""


class LastKnown:
    """Restores the sessions of other devices at the start, then saves them as they change."""

    def __init__(self, registry: Registry, presence: Recall, store: LastKnownStore, clock: Clock) -> None:
        self._registry = registry
        self._presence = presence
        self._store = store
        self._clock = clock
        self._saved: list[SessionRow] = []

    def recall(self) -> None:
        """Restore the saved sessions of paired devices. Call it once the registry knows the devices."""
        try:
            self._saved = self._store.load()
        except StateError as exc:
            log.warning("what was known of other devices cannot be read", extra={"error": str(exc)})
            return
        devices = {row.device.id for row in self._saved}
        for device in devices:
            self._presence.recall(device, [row for row in self._saved if row.device.id == device])

    async def run(self) -> None:
        """Save changed sessions until cancelled, and then a last time."""
        try:
            while True:
                await self._clock.sleep(SAVE_EVERY)
                self._save()
        finally:
            self._save()

    def _save(self) -> None:
        remembered = {device: rows for device, rows in self._registry.remembered().items() if rows}
        kept = newest_first(row for device, rows in remembered.items() for row in _share(device, rows, len(remembered)))
        if kept != self._saved:
            with suppress(StateError):  # a full disk: it is only a memory
                self._store.save(kept)
                self._saved = kept


def _share(device: DeviceId, rows: Iterable[SessionRow], devices: int) -> Iterator[SessionRow]:
    # However many rows one device sends, those of the others are kept: they own their ids after a restart, too (R13).
    room = SIZE_MAX // devices
    for row in newest_first(rows)[: max(ROWS_MIN, ROWS_MAX // devices)]:
        # Under the device that sent the row, whatever the row says.
        kept = msgspec.structs.replace(row, device=DeviceRef(device, row.device.name), participants=(), queued=0)
        room -= row_size(kept)
        if room < 0:
            return
        yield kept
