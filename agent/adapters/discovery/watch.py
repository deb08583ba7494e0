"""Following interfaces: zeroconf does not do it by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from agent.adapters.discovery.interfaces import Interface
from agent.ports import Clock

log = logging.getLogger(__name__)

POLL, POLL_FIRST, DAMPING = 2.0, 0.25, 0.5
"""Seconds between two looks; while there is no interface at all; after a change, until it is believed."""
MAX_DAMPING = 6
"""Looks after which an interface that keeps flapping is taken as it is."""

Interfaces = tuple[Interface, ...]


class InterfaceWatch:
    """Looks at the interfaces every few seconds, in a thread: the system may take its time over it."""

    def __init__(self, scan: Callable[[], Interfaces], clock: Clock) -> None:
        self._scan, self._clock = scan, clock

    async def first(self, none: Callable[[], None]) -> Interfaces:
        """The interfaces, as soon as there is one; `none` is called at each look that finds none."""
        while not (seen := await self._look(())):
            none()
            await self._clock.sleep(POLL_FIRST)
        return seen

    async def next(self, known: Interfaces) -> Interfaces:
        """The interfaces at the next look; if they are not the known ones, once two looks agree."""
        await self._clock.sleep(POLL)
        seen = await self._look(known)
        if seen == known:
            return known
        for _ in range(MAX_DAMPING):
            await self._clock.sleep(DAMPING)
            before, seen = seen, await self._look(seen)
            if seen == before:
                break
        return seen

    async def _look(self, otherwise: Interfaces) -> Interfaces:
        try:
            return await asyncio.get_running_loop().run_in_executor(None, self._scan)
        except OSError as exc:
            log.debug("cannot read the interfaces: %s", exc)
            return otherwise
