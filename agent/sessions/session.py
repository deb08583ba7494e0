"""One session hosted here: a program behind a log.

Requests decide on the state (`sessions.rules.state`), are stored and published by the journal, then their effects are
carried out in order. What the program says goes through a bounded inbox and is stored in batches: while the store is
behind, the program waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from agent.errors import AgentError, LogDamaged, SessionEnded
from agent.ports import BackendEvent, BackendType, Described, Finished, Prompted, Start
from agent.protocol.answers import checked_option
from agent.protocol.events import TEXT_MAX, Answer, Event, RequestClosed, SessionInfo
from agent.protocol.model import DeviceId, Sender, Status
from agent.sessions.creation import answered
from agent.sessions.inbox import Inbox
from agent.sessions.log import Journal, again
from agent.sessions.rules.bounds import whole
from agent.sessions.rules.effects import Decision, Effect, HandAnswer, InterruptTurn, StartTurn, StopBackend, Verdict
from agent.sessions.rules.mapping import payloads_of
from agent.sessions.runner import Program
from agent.tasks import child, failures, to_the_end

log = logging.getLogger(__name__)

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
        file: Callable[[Hosted, Described], Awaitable[None]],
    ) -> None:
        """`trusts`: whether a device may still have prompts run here. `file` takes what concerns more than the log."""
        self.journal = journal
        self._session = journal.session
        self._group = group
        self._trusts = trusts
        self._file = file
        self.program = Program(backend_type, journal.meta.backend, journal.meta.kind, self._how, self.emit)
        self._handed: int | None = None  # the turn that the program was given last
        self._lock = asyncio.Lock()  # held while the log is written
        self._inbox = Inbox()
        self._effects: asyncio.Queue[Effect] = asyncio.Queue()  # bounded by what a session accepts: its prompt queue
        self._interrupting = False  # whether an interrupt waits among the effects: one is enough
        self.read = asyncio.Event()  # whether its log is read: at once if it is new
        self._settled = asyncio.Event()  # whether the log says how the session stands now
        self._restored = self._has_history = self._left_out = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the program of a new session. Raises: BackendFailed, StoreFull."""
        self.read.set()
        self._settled.set()
        await self._write(lambda: (Decision((SessionInfo(status="starting"),)), None))
        await self.program.start()
        await self._write(lambda: (self._session.ready(), None))

    async def join(self) -> None:
        """Start the program of a session that was found, unless it runs: what it does meanwhile is to be seen.

        Raises: BackendFailed, SessionEnded.
        """
        await self._settled.wait()
        await to_the_end(self._group, self.program.join(), f"sessions.join-{self._session.id}")

    async def restore(self) -> None:
        """Read the log after a restart of the service; `run` goes on from there (S3).

        One whose log is damaged is listed as failed, and its program starts no more.
        """
        await self.program.clear_up()
        await self.journal.restore()
        self._restored, self._has_history = True, self._session.seq > 0
        self.program.over = bool(self.journal.damage)
        self.read.set()

    def give_up(self, reason: str) -> None:
        """List it as failed, since its log could not be read."""
        self.journal.damage, self.journal.unread = reason, False
        self._restored = self.program.over = True
        self.read.set()

    async def run(self) -> None:
        """Store and publish what the program says and carry out effects, until cancelled; then end the program."""
        self._task = asyncio.current_task()
        try:
            async with asyncio.TaskGroup() as group:
                if self._restored:
                    await self._recover()
                child(group, self._pump(), f"sessions.pump-{self._session.id}")
                child(group, self._perform(), f"sessions.effects-{self._session.id}")
        finally:
            self.program.over = True
            self._settled.set()
            await self.program.stop(letting_go=True)

    def end(self) -> None:
        """Let `run` return; after `close`."""
        if self._task is not None:
            self._task.cancel()

    # --- requests ----------------------------------------------------------------------------------------------------

    async def submit(self, prompt_id: str, text: str, sender: Sender, *, steer: bool = False) -> Verdict:
        """Accept a prompt. Raises: SessionEnded, Busy, StoreFull (then nothing was accepted)."""
        return await self._write(lambda: self._session.prompt(prompt_id, text, sender, steer=steer))

    async def configure(self, option: str, value: str) -> None:
        """Set an option of the program, which is started for it if it rests.

        Raises: BadParams, BackendFailed, SessionEnded.
        """
        if self.journal.damage:
            raise LogDamaged(self.journal.damage)
        if not self._session.status.live:
            raise SessionEnded
        chosen = checked_option(self._session.options, option, value)
        await to_the_end(self._group, self.program.choose(option, chosen), f"sessions.configure-{self._session.id}")

    async def rest(self, since: float) -> None:
        """Stop a program that nobody has used since then (Unix seconds) and that the next prompt brings back."""

        def idle() -> bool:
            session = self._session
            return session.status is Status.IDLE and not session.queued and session.updated_at <= since

        self._has_history = await self.program.rest(idle) or self._has_history

    async def answer(self, request_id: str, answer: Answer, by: Sender) -> tuple[RequestClosed, bool]:
        """Answer a request (S9). True if this answer was the first. Raises: RequestNotFound, BadParams, StoreFull."""

        def decide() -> tuple[Decision, tuple[RequestClosed, bool]]:
            decision, closed = answered(self._session, self.journal.own.id, request_id, answer, by)
            return decision, (closed, bool(decision.payloads))

        return await self._write(decide)

    def interrupt(self, turn: int = 0) -> None:
        """Stop the running turn (only `turn`, if it is given), also while the store is full."""
        for effect in self._session.interrupt(turn).effects:
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
        await self._write(lambda: (Decision((SessionInfo(title=title, named=bool(title)),)), None))

    async def close(self, reason: str) -> None:
        """End the session and its program; the log stays. Raises: StoreFull."""
        if not self.journal.damage:
            await self._write(lambda: (self._session.ended("ended", reason, "interrupted"), None))
        await self.program.stop()

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
        if self.journal.refusal is not None:
            raise again(self.journal.refusal)
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
            was, over = "the service was restarted" if self._has_history else "", self.program.cannot_return
            ended = self._session.ended("ended", over, "interrupted")
            await self._carry_applied(ended if over else self._session.recovered(was))
            if self.journal.meta.found:
                await self._carry_applied(self._session.reopened("it runs again"))
        self._settled.set()

    # --- the program -------------------------------------------------------------------------------------------------

    async def emit(self, event: BackendEvent) -> None:
        """Take an event of the program; waits while the store is behind (`ports.Emit`)."""
        await self._inbox.put(event)

    async def _pump(self) -> None:
        while True:
            await self._inbox.filled()
            while self._inbox:
                async with self._lock:
                    await self._take(self._inbox.take())

    async def _take(self, batch: Sequence[BackendEvent]) -> None:
        # The state moves first here, and nobody is shown anything until it is stored.
        events: list[Event] = []
        effects: list[Effect] = []
        for event in batch:
            if self._leaves_out(event):
                continue
            if isinstance(event, Finished) and self._session.running != self._handed:
                continue  # said twice: it must not end the next turn, which the program has not even been given
            if isinstance(event, Described):
                await self._file(self, event)
            decision = self._decide(event)
            events += self.journal.apply(decision.payloads)
            effects += decision.effects
        await self.journal.write_applied(events)
        self._inbox.stored()
        for effect in effects:
            self._effects.put_nowait(effect)

    def _leaves_out(self, event: BackendEvent) -> bool:
        if isinstance(event, Prompted):
            self._left_out = event.past and self._session.running is not None
        left_out, self._left_out = self._left_out, self._left_out and not isinstance(event, Finished)
        return left_out  # a turn of the past, up to its end, while another one runs

    def _decide(self, event: BackendEvent) -> Decision:
        if not isinstance(event, Prompted):
            return payloads_of(self._session, event)
        sender = Sender(device=self.journal.own.id, name=self.journal.own.name, client=whole(event.by, 64))
        decision = self._session.prompted(whole(event.text, TEXT_MAX), sender)
        if self._session.running is None:
            self._handed = self._session.turns + 1
        return decision

    def _how(self) -> Start:
        meta = self.journal.meta
        return Start(
            session=meta.id,
            cwd=self._session.cwd,
            command=meta.command,
            restored=self._has_history,
            lineage=meta.lineage,
            history=self.journal.exchanges,
            model=self._session.model,
            found=meta.found,
        )

    async def _perform(self) -> None:
        while True:
            effect = await self._effects.get()
            try:
                await self._do(effect)
            except AgentError as exc:
                await self._failed(effect, exc.in_full)
            except Exception as exc:  # noqa: BLE001 - recorded
                failures().note("sessions.backend", exc)
                await self._failed(effect, f"the backend {self.journal.meta.backend!r} raised {exc!r}")

    async def _failed(self, effect: Effect, reason: str) -> None:
        log.info("a backend failed", extra={"session": self._session.id, "error": reason})
        async with self._lock:
            # Whatever became of an answer or an interrupt, the turn goes on.
            if isinstance(effect, StartTurn) and self._session.running == effect.turn:
                await self._carry_applied(self._session.finished("error", error=reason[:1000]))

    async def _do(self, effect: Effect) -> None:
        match effect:
            case StartTurn():
                await self.program.prompt(effect.text, lambda: self._hands(effect.turn))
            case HandAnswer():
                await self.program.answer(effect.request_id, effect.answer)
            case InterruptTurn():
                self._interrupting = False
                if self._session.running == effect.turn:
                    await self.program.interrupt()
            case StopBackend():
                await self.program.stop()

    def _hands(self, turn: int) -> bool:
        # Whether the program gets that turn now: it may be over by the time that the program runs.
        if self._session.running == turn:
            self._handed = turn
        return self._session.running == turn
