"""One session hosted here: a program behind a log.

Requests decide on the state (`core.session`), are stored and published by the journal, then their effects are carried
out in order. What the program says goes through a bounded inbox and is stored in batches: while the store is behind,
the program waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from agent.core.effects import Decision, Effect, HandAnswer, InterruptTurn, StartTurn, StopBackend, Verdict
from agent.core.records import DeviceId, Sender
from agent.core.transcript import Answer, Event, RequestClosed, SessionInfo
from agent.errors import AgentError, BackendFailed, SessionEnded, StoreFull
from agent.ports import Backend, BackendEvent, BackendType, Finished, RunsPrograms, Start
from agent.services.journal import Journal
from agent.services.lasting import to_the_end
from agent.services.said import payloads_of, take_batch, weight

log = logging.getLogger(__name__)

INBOX_MAX = 131_072
"""Characters that the program may be ahead of the store."""
CLOSE_MAX = 5.0
"""Seconds that a program may take to end; after that nobody waits for it any longer."""
UNPAIRED = "the device that sent this was unpaired before it ran"
T = TypeVar("T")


class Hosted:
    """A session's journal and the backend that fills it. `group` owns what must be finished once it was begun."""

    def __init__(
        self,
        journal: Journal,
        backend_type: BackendType | None,
        group: asyncio.TaskGroup,
        trusts: Callable[[DeviceId], bool],
    ) -> None:
        """`trusts`: whether a device may still have prompts run here."""
        self.journal = journal
        self._session = journal.session
        self._backend_type = backend_type
        self._group, self._trusts = group, trusts
        self._backend: Backend | None = None
        self._stopping = asyncio.Lock()  # held while the program is being ended
        self._handed: int | None = None  # the turn that the program was given last
        self._lock = asyncio.Lock()  # held while the log is written
        self._inbox: deque[BackendEvent] = deque()
        self._inbox_size = 0
        self._filled, self._drained = asyncio.Event(), asyncio.Event()
        self._effects: asyncio.Queue[Effect] = asyncio.Queue()  # bounded by what a session accepts: its prompt queue
        self._interrupting = False  # whether an interrupt waits among the effects: one is enough
        self._settled = asyncio.Event()  # whether the log says how the session stands now
        self._restored = self._over = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the program of a new session. Raises: BackendFailed, StoreFull."""
        self._settled.set()
        await self._write(lambda: (Decision((SessionInfo(status="starting"),)), None))
        await self._start_backend()
        await self._write(lambda: (self._session.ready(), None))

    async def restore(self) -> None:
        """Read the log after a restart of the service; `run` goes on from there (S3)."""
        await self.journal.restore()
        self._restored = True

    async def run(self) -> None:
        """Store and publish what the program says and carry out effects, until cancelled; then end the program."""
        self._task = asyncio.current_task()
        try:
            async with asyncio.TaskGroup() as group:
                if self._restored:
                    await self._recover()
                group.create_task(self._pump(), name=f"sessions.pump-{self._session.id}")
                group.create_task(self._perform(), name=f"sessions.effects-{self._session.id}")
        finally:
            self._over = True
            self._settled.set()
            await self._stop()

    def end(self) -> None:
        """Let `run` return; after `close`."""
        if self._task is not None:
            self._task.cancel()

    def processes(self) -> tuple[int, ...]:
        """Ids of the processes that the backend runs; none, if it does not tell."""
        backend: object = self._backend
        return tuple(backend.processes()) if isinstance(backend, RunsPrograms) else ()

    # --- requests ----------------------------------------------------------------------------------------------------

    async def submit(self, prompt_id: str, text: str, sender: Sender) -> Verdict:
        """Accept a prompt. Raises: SessionEnded, Busy, StoreFull (then nothing was accepted)."""
        return await self._write(lambda: self._session.prompt(prompt_id, text, sender))

    async def answer(self, request_id: str, answer: Answer, by: Sender) -> tuple[RequestClosed, bool]:
        """Answer a request (S9). True if this answer was the first. Raises: RequestNotFound, BadParams, StoreFull."""

        def decide() -> tuple[Decision, tuple[RequestClosed, bool]]:
            decision, closed = self._session.answer(request_id, answer, by)
            return decision, (closed, bool(decision.payloads))

        return await self._write(decide)

    def interrupt(self) -> None:
        """Stop the running turn, also while the store is full."""
        for effect in self._session.interrupt().effects:
            if not self._interrupting:
                self._interrupting = True
                self._effects.put_nowait(effect)

    async def trust_changed(self) -> None:
        """Drop prompts of devices that are trusted no longer; waits for room on the disk."""
        await self._settled.wait()
        async with self._lock:
            await self._carry_applied(self._session.put_out(self._trusts, UNPAIRED))

    async def rename(self, title: str) -> None:
        """Give the session another title. Raises: StoreFull."""
        await self._write(lambda: (Decision((SessionInfo(title=title),)), None))

    async def close(self, reason: str) -> None:
        """End the session and its program; the log stays. Raises: StoreFull."""
        await self._write(lambda: (self._session.ended("ended", reason, "interrupted"), None))
        await self._stop()

    async def fail(self, reason: str) -> None:
        """End a session of which `run` broke, so that nobody waits for it. Raises: StoreFull."""
        await self._write(lambda: (self._session.ended("failed", reason, "error"), None))

    async def _write(self, decide: Callable[[], tuple[Decision, T]]) -> T:
        # One at a time, and to the end: a client that leaves meanwhile must not part the state from the log (S2, S3).
        async def work() -> T:
            await self._settled.wait()
            async with self._lock:
                decision, told = decide()
                await self._carry(decision)
            return told

        # The pump holds the lock while it waits for room on the disk: say no at once instead of waiting with it.
        if self.journal.store_full:
            raise StoreFull
        return await to_the_end(self._group, work(), f"sessions.write-{self._session.id}")

    async def _carry(self, decision: Decision) -> None:
        await self.journal.write(decision.payloads)
        for effect in decision.effects:
            self._effects.put_nowait(effect)

    async def _carry_applied(self, decision: Decision) -> None:
        # As `_carry`, for what nobody can be refused: waits for room on the disk.
        await self.journal.write_applied(self.journal.apply(decision.payloads))
        for effect in decision.effects:
            self._effects.put_nowait(effect)

    async def _recover(self) -> None:
        async with self._lock:
            await self._carry_applied(self._session.put_out(self._trusts, UNPAIRED))  # before the next one starts
            await self._carry_applied(self._session.recovered("the service was restarted"))
        self._settled.set()

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
            if isinstance(event, Finished) and self._session.running != self._handed:
                continue  # said twice: it must not end the next turn, which the program has not even been given
            decision = payloads_of(self._session, event)
            events += self.journal.apply(decision.payloads)
            effects += decision.effects
        await self.journal.write_applied(events)
        self._inbox_size = sum(map(weight, self._inbox))
        self._drained.set()
        for effect in effects:
            self._effects.put_nowait(effect)

    async def _start_backend(self) -> Backend:
        name = self.journal.meta.backend
        if self._backend_type is None:
            raise BackendFailed(
                f"the backend {name!r} is not installed on this device",
                hint="install the package that has it, then start the service again",
            )
        meta = self.journal.meta
        start = Start(session=meta.id, cwd=self._session.cwd, command=meta.command, restored=self._restored)
        try:
            backend = self._backend = await self._backend_type.start(start, self.emit)
        except AgentError:
            raise
        except Exception as exc:
            log.exception("a backend raised", extra={"session": meta.id})
            raise BackendFailed(f"the backend {name!r} raised {exc!r}") from exc
        if self._over:
            await self._stop()
            raise SessionEnded
        return backend

    async def _stop(self) -> None:
        # Whoever comes second waits for the first: a program half ended must not be left behind.
        async with self._stopping:
            if self._backend is not None:
                try:
                    async with asyncio.timeout(CLOSE_MAX):
                        await self._backend.close()
                except Exception:
                    log.exception("a program could not be ended", extra={"session": self._session.id})
                self._backend = None

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
        async with self._lock:
            # Whatever became of an answer or an interrupt, the turn goes on.
            if isinstance(effect, StartTurn) and self._session.running == effect.turn:
                await self._carry_applied(self._session.finished("error", error=reason[:1000]))

    async def _do(self, effect: Effect) -> None:
        match effect:
            case StartTurn() if self._session.running == effect.turn:
                backend = self._backend or await self._start_backend()
                if self._session.running == effect.turn:
                    self._handed = effect.turn
                    await backend.prompt(effect.text)
            case HandAnswer() if self._backend is not None:
                await self._backend.answer(effect.request_id, effect.answer)
            case InterruptTurn():
                self._interrupting = False
                if self._backend is not None:
                    await self._backend.interrupt()
            case StopBackend():
                await self._stop()
            case _:
                pass
