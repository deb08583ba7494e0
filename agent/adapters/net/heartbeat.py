"""Watches whether the other side of a WebSocket is still there: pings, and silence that means lost (L3).

Pings are ours, not aiohttp's: what counts as silence changes while anything is attached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from aiohttp import ClientWebSocketResponse
from aiohttp.web import WebSocketResponse

from agent.ports import Clock
from agent.tasks import child

PING_IDLE, PING_ATTACHED = 15.0, 5.0
"""Seconds between pings (L3); one and a half of them in silence mean that the connection is lost."""
PROBE = 2.0
"""Seconds to answer a ping that is sent because the connection is in doubt."""

WebSocket = WebSocketResponse | ClientWebSocketResponse


class Heartbeat:
    """Watches one connection until cancelled; `lost` is called once it is given up."""

    def __init__(self, ws: WebSocket, clock: Clock, lost: Callable[[], None]) -> None:
        self._ws = ws
        self._clock = clock
        self._lost = lost
        self.attached = False  # whether to ping more often
        self._heard_at = clock.monotonic()
        self._doubted = asyncio.Event()
        self._answered = False  # since it was doubted

    def heard(self) -> None:
        """Note that something arrived from the other side."""
        self._heard_at = self._clock.monotonic()
        self._answered = True

    def doubt(self) -> None:
        """Ping at once: lost, unless something arrives within `PROBE` seconds."""
        self._doubted.set()

    async def run(self) -> None:
        """Ping, and wait for what is in doubt, until cancelled or lost."""
        async with asyncio.TaskGroup() as group:
            child(group, self._ping(), "pulse.ping")
            child(group, self._probe(), "pulse.probe")

    async def _ping(self) -> None:
        while True:
            interval = PING_ATTACHED if self.attached else PING_IDLE
            silent = self._clock.monotonic() - self._heard_at
            if silent >= 1.5 * interval:
                self._lost()
                return
            if silent >= interval:
                with suppress(OSError):
                    await self._ws.ping()
                await self._clock.sleep(0.5 * interval)
            else:
                await self._clock.sleep(min(interval - silent, PING_ATTACHED))

    async def _probe(self) -> None:
        while True:
            await self._doubted.wait()
            self._doubted.clear()  # a doubt that comes meanwhile is another one: what was answered came before it
            self._answered = False
            async with asyncio.TaskGroup() as group:
                # In a task: it waits for ever behind writes that nobody takes.
                asking = child(group, self._ask(), "pulse.ask")
                await self._clock.sleep(PROBE)
                asking.cancel()
            if not self._answered:
                self._lost()
                return

    async def _ask(self) -> None:
        with suppress(OSError):
            await self._ws.ping()
