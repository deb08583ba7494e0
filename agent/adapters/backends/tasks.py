"""The tasks behind one session: they tell events one after the other, and all of them end with the session.

The port has no `run`: a session owns its tasks, and `close` waits for them. Why: docs/decisions/0028-backend-tasks.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from agent.ports import BackendEvent, Emit
from agent.tasks import failures, owned


class SessionClosed(Exception):
    """No error: the session was closed while a task of it told an event, and that task ends."""


class BackendTasks:
    """The tasks of one session, from the first `spawn` to the end of `close`."""

    def __init__(
        self,
        emit: Emit,
        name: str,
        *,
        release: Callable[[], Coroutine[Any, Any, None]] | None = None,
        failed: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        """Begin without any task.

        `name`: of the backend. `release`: ends the program and lets go of what it used; called once. `failed`: called
        when a task has failed, which is a bug; the other tasks go on.
        """
        self._emit = emit
        self._name = f"backends.{name}"
        self._release = release
        self._failed = failed
        self._telling = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._ending: asyncio.Task[None] | None = None
        self._releasing: asyncio.Task[None] | None = None

    @property
    def over(self) -> bool:
        """Whether the session was closed or has let go of its program."""
        return self._closed or self._releasing is not None

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task of this session. Raises: SessionClosed."""
        if self._closed:
            work.close()
            raise SessionClosed
        task = owned(self._contained(work, f"{self._name}.{name}"), f"{self._name}.{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # one that was cancelled before it began has not awaited it
        return task

    async def emit(self, *events: BackendEvent) -> None:
        """Tell events, with none of another task between them; none once the session is closed.

        Raises: SessionClosed, in a task of this session.
        """
        async with self._telling:
            for event in events:
                if not self._closed:
                    await self._emit(event)
        if self._closed and asyncio.current_task() in self._tasks:
            raise SessionClosed

    async def release(self) -> None:
        """End the program and let go of what it used, and wait for that. Idempotent; `close` does it, too."""
        if self._release is not None:
            if self._releasing is None:
                self._releasing = owned(self._release(), f"{self._name}.release")
            await asyncio.wait([self._releasing])

    async def close(self) -> None:
        """End all tasks, release, and wait for that. Idempotent.

        Called from within `emit`, it returns at once, and they end when that has returned.
        """
        self._closed = True
        if asyncio.current_task() not in self._tasks:
            await asyncio.wait([self._end()])

    def _end(self) -> asyncio.Task[None]:
        if self._ending is None:
            self._ending = owned(self._end_all(), f"{self._name}.end")
        return self._ending

    async def _end_all(self) -> None:
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self.release()

    async def _contained(self, work: Coroutine[Any, Any, None], name: str) -> None:
        try:
            try:
                await work
            except SessionClosed:
                raise
            except Exception as exc:  # noqa: BLE001 - recorded
                failures().note(name, exc)
                if self._failed is not None:
                    await self._failed()
        except SessionClosed:
            self._end()
