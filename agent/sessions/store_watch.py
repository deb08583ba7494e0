"""Whether this device can still store what its sessions say, and whether its home is still its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agent.errors import StoreFull
from agent.ports import Clock, TranscriptStore

LOOK_EVERY = 5.0
"""Seconds between looks. Each write is checked by itself; this is for a service in which nothing is written."""


class StoreWatch:
    """Tells when nothing can be stored, and when that is over: as a condition, and to those who watch sessions."""

    def __init__(
        self,
        store: TranscriptStore,
        *,
        clock: Clock,
        hold: Callable[[], Awaitable[None]],
        tell: Callable[[str], None],
    ) -> None:
        """`hold` keeps the home this service's own, or raises ServiceOver.

        `tell` takes what is wrong; empty: nothing.
        """
        self._store = store
        self._clock = clock
        self._hold = hold
        self._tell = tell
        self._told = ""

    async def run(self) -> None:
        """Look until cancelled. Raises: ServiceOver."""
        while True:
            await self._hold()
            trouble = await self._look()
            if trouble != self._told:
                self._told = trouble
                self._tell(trouble)
            await self._clock.sleep(LOOK_EVERY)

    async def _look(self) -> str:
        try:
            await self._store.check()
        except StoreFull as exc:
            return exc.of_a_turn
        return ""
