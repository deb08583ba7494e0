"""One session hosted here: a program behind a log.

Requests decide on the state (`core.session`), are stored and published by the journal, then their effects are carried
out in order. What the program says goes through a bounded inbox and is stored in batches: while the store is behind,
the program waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from agent.core.records import Sender
from agent.core.session import Decision, Effect, HandAnswer, InterruptTurn, StartTurn, StopBackend, Verdict
from agent.core.transcript import Answer, Event, RequestClosed, SessionInfo
from agent.errors import AgentError, BackendFailed, StoreFull
from agent.ports import Backend, BackendEvent, BackendType, Start
from agent.services.journal import Journal
from agent.services.said import payloads_of, take_batch, weight

log = logging.getLogger(__name__)

INBOX_MAX = 131_072
"""Characters that the program may be ahead of the store."""


class Hosted:
    """A session's journal and the backend that fills it."""

    def __init__(self, journal: Journal, backend_type: BackendType | None) -> None:
        self.journal = journal
        self._session = journal.session
        self._backend_type = backend_type
        self._backend: Backend | None = None
        self._lock = asyncio.Lock()  # held while the log is written
        self._inbox: deque[BackendEvent] = deque()
        self._inbox_size = 0
        self._filled, self._drained = asyncio.Event(), asyncio.Event()
        self._effects: asyncio.Queue[Effect] = asyncio.Queue()  # bounded by what a session accepts: its prompt queue
        self._restored = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the program of a new session. Raises: BackendFailed, StoreFull."""
        async with self._lock:
            await self.journal.write((SessionInfo(status="starting"),))
        await self._start_backend()
        async with self._lock:
            await self._carry(self._session.ready())

    async def restore(self) -> None:
        """Go on after a restart of the service (S3). The program starts with the next prompt. Raises: StoreFull."""
        async with self._lock:
            await self.journal.restore()
            self._restored = True
            await self._carry(self._session.recovered("the service was restarted"))

    async def run(self) -> None:
        """Store and publish what the program says and carry out effects, until cancelled; then end the program."""
        self._task = asyncio.current_task()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(), name=f"sessions.pump-{self._session.id}")
                group.create_task(self._perform(), name=f"sessions.effects-{self._session.id}")
        finally:
            if self._backend is not None:
                await self._backend.close()

    def end(self) -> None:
        """Let `run` return; after `close`."""
        if self._task is not None:
            self._task.cancel()

    # --- requests ----------------------------------------------------------------------------------------------------

    async def submit(self, prompt_id: str, text: str, sender: Sender) -> Verdict:
        """Accept a prompt. Raises: SessionEnded, Busy, StoreFull (then nothing was accepted)."""
        self._refuse_when_full()
        async with self._lock:
            decision, verdict = self._session.prompt(prompt_id, text, sender)
            await self._carry(decision)
        return verdict

    async def answer(self, request_id: str, answer: Answer, by: Sender) -> tuple[RequestClosed, bool]:
        """Answer a request (S9). True if this answer was the first. Raises: RequestNotFound, BadParams, StoreFull."""
        self._refuse_when_full()
        async with self._lock:
            decision, closed = self._session.answer(request_id, answer, by)
            await self._carry(decision)
        return closed, bool(decision.payloads)

    def interrupt(self) -> None:
        """Stop the running turn, also while the store is full."""
        for effect in self._session.interrupt().effects:
            self._effects.put_nowait(effect)

    async def rename(self, title: str) -> None:
        """Give the session another title. Raises: StoreFull."""
        self._refuse_when_full()
        async with self._lock:
            await self.journal.write((SessionInfo(title=title),))

    async def close(self, reason: str) -> None:
        """End the session and its program; the log stays. Raises: StoreFull."""
        self._refuse_when_full()
        async with self._lock:
            await self._carry(self._session.ended("ended", reason, "interrupted"))
        if self._backend is not None:
            await self._backend.close()

    async def _carry(self, decision: Decision) -> None:
        await self.journal.write(decision.payloads)
        for effect in decision.effects:
            self._effects.put_nowait(effect)

    def _refuse_when_full(self) -> None:
        # The pump holds the lock while it waits for room: say no at once instead of waiting with it.
        if self.journal.store_full:
            raise StoreFull

    # --- the program -------------------------------------------------------------------------------------------------

    async def emit(self, event: BackendEvent) -> None:
        """Take an event of the program; waits while the store is behind (`ports.Emit`)."""
        while self._inbox_size >= INBOX_MAX:
            self._drained.clear()
            await self._drained.wait()
        self._inbox.append(event)
        self._inbox_size += weight(event)
        self._filled.set()

    async def _pump(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._inbox:
                async with self._lock:
                    await self._take(take_batch(self._inbox))

    async def _take(self, batch: Sequence[BackendEvent]) -> None:
        # The state moves first here, and nobody is shown anything until it is stored.
        events: list[Event] = []
        effects: list[Effect] = []
        for event in batch:
            decision = payloads_of(self._session, event)
            events += self.journal.apply(decision.payloads)
            effects += decision.effects
        await self.journal.write_applied(events)
        self._inbox_size = sum(map(weight, self._inbox))
        self._drained.set()
        for effect in effects:
            self._effects.put_nowait(effect)

    async def _start_backend(self) -> Backend:
        if self._backend_type is None:
            raise BackendFailed(
                f"the backend {self.journal.meta.backend!r} is not installed on this device",
                hint="install the package that has it, then start the service again",
            )
        meta = self.journal.meta
        start = Start(session=meta.id, cwd=self._session.cwd, command=meta.command, restored=self._restored)
        self._backend = await self._backend_type.start(start, self.emit)
        return self._backend

    async def _perform(self) -> None:
        while True:
            effect = await self._effects.get()
            try:
                await self._do(effect)
            except AgentError as exc:
                await self._failed(effect, str(exc))
            except Exception as exc:
                log.exception("a backend raised", extra={"session": self._session.id})
                await self._failed(effect, f"the backend {self.journal.meta.backend!r} raised {exc!r}")

    async def _failed(self, effect: Effect, reason: str) -> None:
        log.info("a backend failed", extra={"session": self._session.id, "error": reason})
        if not isinstance(effect, StartTurn) or self._session.running != effect.turn:
            return  # the turn goes on, whatever became of an answer or an interrupt
        async with self._lock:
            decision = self._session.finished("error", error=reason[:1000])
            await self.journal.write_applied(self.journal.apply(decision.payloads))
        for next_one in decision.effects:
            self._effects.put_nowait(next_one)

    async def _do(self, effect: Effect) -> None:
        backend = self._backend
        match effect:
            case StartTurn():
                backend = backend or await self._start_backend()
                if self._session.running == effect.turn:
                    await backend.prompt(effect.text)
            case HandAnswer() if backend is not None:
                await backend.answer(effect.request_id, effect.answer)
            case InterruptTurn() if backend is not None:
                await backend.interrupt()
            case StopBackend() if backend is not None:
                self._backend = None
                await backend.close()
            case _:
                pass
