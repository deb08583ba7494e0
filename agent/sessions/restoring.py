"""Logs that are read back after a restart, while the service answers already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.protocol.model import SessionId
from agent.sessions.session import Hosted
from agent.tasks import child, failures

AT_ONCE = 2
"""Logs that are read side by side: as many as the store reads."""


class Restoring:
    """Reads one log after the other, the most recent session first; whoever asks for one has it read next."""

    def __init__(self, restored: Callable[[Hosted], None]) -> None:
        """`restored` takes each session whose log is read."""
        self._restored = restored
        self._waiting: dict[SessionId, Hosted] = {}
        self._wanted: list[SessionId] = []

    def add(self, hosted: Hosted) -> None:
        """Have its log read, after those that were added before."""
        hosted.journal.unread = True
        self._waiting[hosted.journal.meta.id] = hosted

    def forget(self) -> None:
        """Have none of those read that still wait; whoever waits for one is told."""
        for hosted in self._waiting.values():
            hosted.give_up("the sessions of this device are being restored")
        self._waiting.clear()
        self._wanted.clear()

    async def run(self) -> None:
        """Read all of them."""
        async with asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                child(group, self._work(), f"sessions.restore-{number}")

    async def wait(self, hosted: Hosted) -> None:
        """Return once its log is read."""
        if not hosted.read.is_set():
            self._wanted.append(hosted.journal.meta.id)
            await hosted.read.wait()

    async def _work(self) -> None:
        while self._waiting:
            hosted = self._next()
            try:
                await hosted.restore()
            except Exception as exc:  # noqa: BLE001 - recorded; the others are read all the same, and this one is listed
                failures().note(f"sessions.restore-{hosted.journal.meta.id}", exc)
                hosted.give_up("the service has a bug; its log says more")
            self._restored(hosted)

    def _next(self) -> Hosted:
        while self._wanted:
            hosted = self._waiting.pop(self._wanted.pop(0), None)
            if hosted is not None:
                return hosted
        return self._waiting.pop(next(iter(self._waiting)))
