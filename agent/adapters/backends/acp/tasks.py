"""The tasks of one session: they tell events in order, and all of them end with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from agent.ports import BackendEvent, Emit
from agent.tasks import child, owned

log = logging.getLogger(__name__)


class _Closed(Exception):
    """No error: the session is being closed."""


class Tasks:
    """Runs until `close`; then ends its tasks and calls `last`."""

    def __init__(
        self, emit: Emit, *, broken: Callable[[], Awaitable[None]], last: Callable[[], Awaitable[None]]
    ) -> None:
        """`broken`: called when a task has failed, which is a bug; the others go on."""
        self._emit, self._broken, self._last = emit, broken, last
        self._telling = asyncio.Lock()
        self._closing, self._running = asyncio.Event(), asyncio.Event()
        self._own: set[asyncio.Task[None]] = set()
        # The port has no `run`: the session owns this task and those in its group, and `close` waits for them.
        self._task = owned(self._run(), "backends.acp.session")

    @property
    def closed(self) -> bool:
        """Whether the session is being closed."""
        return self._closing.is_set()

    async def running(self) -> None:
        """Wait until tasks may be spawned."""
        await self._running.wait()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task, unless the session is closed."""
        task = child(self._group, self._whole(work), f"backends.acp.{name}")
        self._own.add(task)
        task.add_done_callback(self._own.discard)
        return task

    async def tell(self, *events: BackendEvent) -> None:
        """Emit events, in one row; after `close`, from within `emit` too, the task that told them ends."""
        async with self._telling:
            for event in events:
                if not self._closing.is_set():
                    await self._emit(event)
                if self._closing.is_set():
                    raise _Closed

    async def close(self) -> None:
        """End all. Idempotent. Called from within `emit`, it returns at once: they end when that has returned."""
        self._closing.set()
        if asyncio.current_task() not in self._own:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as self._group:
                self._running.set()
                await self._closing.wait()
                raise _Closed  # noqa: TRY301 - ends the group and all in it
        except* _Closed:
            pass
        finally:
            self._closing.set()
            await self._last()

    async def _whole(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            try:
                await work
            except _Closed:
                raise
            except Exception:
                log.exception("an ACP session broke")
                await self._broken()
        except _Closed:
            self._closing.set()
