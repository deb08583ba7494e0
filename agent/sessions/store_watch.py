"""Watches whether events of sessions can be stored, and whether the home folder is still this service's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agent.errors import StoreFull
from agent.ports import Clock, TranscriptStore

LOOK_EVERY = 5.0
"""Seconds between looks. Each write is checked by itself; this is for a service in which nothing is written."""


class StoreWatch:
    """Reports when nothing can be stored, and when that is over. `run` until cancelled."""

    def __init__(
        self,
        store: TranscriptStore,
        *,
        clock: Clock,
        hold: Callable[[], Awaitable[None]],
        report: Callable[[str], None],
    ) -> None:
        """`hold` keeps the home this service's own, or raises ServiceOver.

        `report` takes what is wrong, and an empty text once nothing is.
        """
        self._store = store
        self._clock = clock
        self._hold = hold
        self._report = report
        self._reported = ""

    async def run(self) -> None:
        """Look every few seconds until cancelled. Raises: ServiceOver."""
        while True:
            await self._hold()
            trouble = await self._look()
            if trouble != self._reported:
                self._reported = trouble
                self._report(trouble)
            await self._clock.sleep(LOOK_EVERY)

    async def _look(self) -> str:
        try:
            await self._store.check()
        except StoreFull as exc:
            return exc.of_a_turn
        return ""
