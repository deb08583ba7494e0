"""One session hosted here: a backend behind a log.

Requests decide on the state (`sessions.rules.state`), are stored and published by the log, then their effects are
carried out in order. Events of the backend go through a bounded queue and are stored in batches: while the store is
behind, the backend waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from agent.errors import IN_THE_LOG, AgentError, LogDamaged, SessionEnded
from agent.ports import (
    TURN_OVER,
    Asked,
    BackendEvent,
    BackendType,
    Described,
    Finished,
    Prompted,
    Said,
    Start,
    Tail,
    Withdrew,
)
from agent.protocol.answers import checked_option
from agent.protocol.events import TEXT_MAX, Answer, Event, RequestClosed, SessionInfo
from agent.protocol.messages import Interrupted
from agent.protocol.model import DeviceId, Sender, Status
from agent.protocol.moving_rows import rows_after
from agent.protocol.prompts import QueuedPrompt, Withdrawn
from agent.sessions.log import SessionLog, copy_of
from agent.sessions.rules.answers import decide_answer
from agent.sessions.rules.bounds import bounded_text
from agent.sessions.rules.effects import Decision, Effect, HandAnswer, InterruptTurn, StartTurn, StopBackend, Verdict
from agent.sessions.rules.mapping import payloads_of
from agent.sessions.runner import BackendRunner, EventQueue
from agent.tasks import child, failures, to_the_end

log = logging.getLogger(__name__)

UNPAIRED = "the device that sent this was unpaired before it ran"
T = TypeVar("T")


class TerminalKeyboard:
    """Who types at a session's terminal: a line or an answer that is typed there is theirs (S7)."""

    def __init__(self, own: Sender) -> None:
        """`own` stands for whoever typed before anybody watched."""
        self._own = own
        self._enter_by: Sender | None = None  # who pressed Enter last
        self._answered_by: Sender | None = None  # who typed last since the program asked something
        self._typists: deque[Sender] = deque()  # of the typed lines that wait to be logged, oldest first

    def typed(self, by: Sender, *, enter: bool) -> None:
        """Note who sends keys to the terminal, just before they are written: the program may be quick."""
        self._answered_by = by
        if enter:
            self._enter_by = by

    def heard(self, event: BackendEvent) -> BackendEvent:
        """Take an event as the program tells it: what it means for who types now, as others go on typing meanwhile."""
        match event:
            case Prompted(typed=True):
                self._typists.append(self._enter_by or self._own)
            case Asked():
                self._answered_by = None
            case Withdrew() if self._answered_by is not None and event.reason not in TURN_OVER.values():
                return Withdrew(event.request_id, f"{self._answered_by.name} answered at the terminal")
            case _:
                pass
        return event

    def typist(self) -> Sender:
        """Whose the next typed line is that is to be logged."""
        return self._typists.popleft()


class HostedSession:
    """A session's log and the backend that fills it. `group` owns work that must be finished once it was begun."""

    def __init__(
        self,
        session_log: SessionLog,
        backend_type: BackendType | None,
        group: asyncio.TaskGroup,
        trusts: Callable[[DeviceId], bool],
        described: Callable[[SessionLog, Described], Awaitable[None]],
    ) -> None:
        """`trusts`: whether a device may still have prompts run here. `described` takes what changes the stored row."""
        self.log = session_log
        self._state = session_log.state
        self._group = group
        self._trusts = trusts
        self._described = described
        self.runner = BackendRunner(backend_type, session_log.meta.backend, session_log.meta.kind, self._how, self.emit)
        self._begun: dict[bool, int] = {}  # the turn that the backend has begun: by a typed line (True), by any means
        self._lock = asyncio.Lock()  # held while the log is written
        self._events = EventQueue()
        self._effects: asyncio.Queue[Effect] = asyncio.Queue()  # bounded by what a session accepts: its prompt queue
        self._interrupting = False  # whether an interrupt waits among the effects: one is enough
        self.read = asyncio.Event()  # set once the log is read: at once for a new session
        self._settled = asyncio.Event()  # set once the log says how the session stands now
        self._restored = False
        self._has_history = False
        self.keyboard = TerminalKeyboard(self._own())
        self._left_out = False  # whether events up to the end of a past turn are left out
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the backend of a new session. Raises: BackendFailed, StoreFull."""
        self.read.set()
        self._settled.set()
        # The log has the title it was given, as it has each later one: a search reads nothing else.
        title = self._state.title or None
        begun = SessionInfo(status="starting", title=title, named=self._state.named and title is not None)
        await self._write(lambda: (Decision((begun,)), None))
        await self.runner.start()
        await self._write(lambda: (self._state.ready(), None))

    async def join(self) -> None:
        """Start the backend of an adopted session, unless it runs: what happens there is to be seen.

        Raises: BackendFailed, SessionEnded.
        """
        await self._settled.wait()
        await to_the_end(self._group, self.runner.join(), f"sessions.join-{self._state.id}")

    async def restore(self) -> None:
        """Read the log after a restart of the service; `run` goes on from there (S3).

        A session whose log is damaged is listed as failed, and its backend starts no more.
        """
        await self.runner.clear_up()
        await self.log.restore()
        self._restored = True
        self._has_history = self._state.seq > 0
        self.runner.over = bool(self.log.damage)
        self.read.set()

    def give_up(self, reason: str) -> None:
        """List the session as failed, since its log could not be read."""
        self.log.damage = reason
        self.log.unread = False
        self._restored = True
        self.runner.over = True
        self.read.set()

    async def run(self) -> None:
        """Store and publish the backend's events and carry out effects, until cancelled; then end the backend."""
        self._task = asyncio.current_task()
        try:
            async with asyncio.TaskGroup() as group:
                if self._restored:
                    await self._recover()
                child(group, self._pump(), f"sessions.pump-{self._state.id}")
                child(group, self._perform(), f"sessions.effects-{self._state.id}")
        finally:
            self.runner.over = True
            self._settled.set()
            await self.runner.stop(letting_go=True)

    def end(self) -> None:
        """Let `run` return, once the session is closed."""
        if self._task is not None:
            self._task.cancel()

    # --- requests ----------------------------------------------------------------------------------------------------

    async def submit(self, prompt_id: str, text: str, sender: Sender, *, steer: bool = False) -> Verdict:
        """Accept a prompt and say its turn. Raises: SessionEnded, Busy, StoreFull (then nothing was accepted)."""
        return await self._write(lambda: self._state.prompt(prompt_id, text, sender, steer=steer))

    async def configure(self, option: str, value: str) -> None:
        """Set an option of the backend, which is started for it if it rests.

        Raises: BadParams, BackendFailed, SessionEnded.
        """
        if self.log.damage:
            raise LogDamaged(self.log.damage)
        if not self._state.status.live:
            raise SessionEnded
        chosen = checked_option(self._state.options, option, value)
        await to_the_end(self._group, self.runner.choose(option, chosen), f"sessions.configure-{self._state.id}")

    async def rest(self, since: float) -> None:
        """Stop a backend that was not used since `since` (Unix seconds), if the next prompt can bring it back."""

        def idle() -> bool:
            state = self._state
            return state.status is Status.IDLE and not state.queued and state.updated_at <= since

        self._has_history = await self.runner.rest(idle) or self._has_history

    async def answer(self, request_id: str, answer: Answer, by: Sender) -> tuple[RequestClosed, bool]:
        """Answer a request (S9); the flag says whether this answer was the first.

        Raises: RequestNotFound, Ambiguous, BadParams, Forbidden, StoreFull.
        """

        def decide() -> tuple[Decision, tuple[RequestClosed, bool]]:
            decision, closed = decide_answer(self._state, self.log.own.id, request_id, answer, by)
            return decision, (closed, bool(decision.payloads))

        return await self._write(decide)

    async def withdraw(self, prompt_id: str, by: Sender) -> tuple[Withdrawn, bool]:
        """Take back a prompt that waits (S12); the flag says whether this very call did.

        Raises: PromptNotFound, Forbidden, StoreFull (then it still waits), StateError.
        """
        owner = by.device == self.log.own.id

        def decide() -> tuple[Decision, tuple[Withdrawn, bool]]:
            decision, told = self._state.withdraw(prompt_id, by, owner=owner)
            return decision, (told, bool(decision.payloads))

        told, taken = await self._write(decide)
        if told.status == "withdrawn" and not taken:  # asked once more, as after a lost answer
            told = msgspec.structs.replace(told, text=await self.log.text_of(prompt_id))
        return told, taken

    def interrupt(self, turn: int = 0) -> Interrupted:
        """Stop the running turn (only `turn`, if it is given), even while the store is full."""
        decision = self._state.interrupt(turn)
        for effect in decision.effects:
            if not self._interrupting:
                self._interrupting = True
                self._effects.put_nowait(effect)
        return Interrupted(turn=_stopped(decision), queue=self.log.queue())

    async def interrupt_all(self, by: Sender, turn: int = 0) -> tuple[Interrupted, tuple[QueuedPrompt, ...]]:
        """Take back what waits, as far as `by` may, and stop the running turn as `interrupt` does: in one step.

        The second value is what was taken back, with whole texts. Raises: StoreFull (then nothing has happened).
        """
        owner = by.device == self.log.own.id

        def decide() -> tuple[Decision, tuple[int, tuple[QueuedPrompt, ...]]]:
            decision, dropped = self._state.interrupt_all(by, owner=owner, turn=turn)
            return decision, (_stopped(decision), dropped)

        stopped, dropped = await self._write(decide)
        shown = tuple(each.shortened() for each in dropped)
        return Interrupted(turn=stopped, queue=self.log.queue(), dropped=shown), dropped

    async def trust_changed(self) -> None:
        """Drop waiting prompts of devices that are trusted no longer; waits for room on the disk."""
        await self._settled.wait()
        async with self._lock:
            await self._carry_applied(self._state.drop_untrusted(self._trusts, UNPAIRED))

    async def rename(self, title: str) -> None:
        """Give the session another title, by a person. Raises: StoreFull."""
        await self._write(lambda: (Decision((SessionInfo(title=title, named=bool(title)),)), None))

    async def close(self, reason: str) -> None:
        """End the session and its backend; the log stays. Raises: StoreFull."""
        if not self.log.damage:
            await self._write(lambda: (self._state.ended("ended", reason, "interrupted"), None))
        await self.runner.stop()

    async def fail(self, reason: str) -> None:
        """End a session whose `run` raised, so that nobody waits for it. Raises: StoreFull."""
        await self._write(lambda: (self._state.ended("failed", reason, "error"), None))

    async def _write(self, decide: Callable[[], tuple[Decision, T]]) -> T:
        # One at a time, and to the end: a client that leaves meanwhile must not part the state from the log (S2, S3).
        async def work() -> T:
            await self._settled.wait()
            async with self._lock:
                decision, result = decide()
                await self._carry(decision)
            return result

        # The pump holds the lock while it waits for room on the disk: say no at once instead of waiting with it.
        if self.log.refusal is not None:
            raise copy_of(self.log.refusal)
        return await to_the_end(self._group, work(), f"sessions.write-{self._state.id}")

    async def _carry(self, decision: Decision) -> None:
        await self.log.write(decision.payloads)
        for effect in decision.effects:
            self._effects.put_nowait(effect)

    async def _carry_applied(self, decision: Decision) -> None:
        # As `_carry`, for changes that no requester can be refused: waits for room on the disk.
        await self.log.write_applied(self.log.apply(decision.payloads))
        for effect in decision.effects:
            self._effects.put_nowait(effect)

    async def _recover(self) -> None:
        async with self._lock:
            await self._carry_applied(self._state.drop_untrusted(self._trusts, UNPAIRED))  # before the next one starts
            over = self.runner.cannot_return
            if over:
                await self._carry_applied(self._state.ended("ended", over, "interrupted"))
            else:
                reason = "the service was restarted" if self._has_history else ""
                await self._carry_applied(self._state.recovered(reason, self.runner.starts_anew))
            if self.log.meta.found:
                await self._carry_applied(self._state.reopened("it runs again"))
        self._settled.set()

    # --- the backend -------------------------------------------------------------------------------------------------

    async def emit(self, event: BackendEvent) -> None:
        """Take an event of the backend; waits while the store is behind (`ports.Emit`)."""
        event = self.keyboard.heard(event)
        await self._events.put(event)

    def _own(self, client: str = "") -> Sender:
        return Sender(device=self.log.own.id, name=self.log.own.name, client=client)

    async def _pump(self) -> None:
        while True:
            await self._events.filled()
            while self._events:
                async with self._lock:
                    await self._take(self._events.take())

    async def _take(self, batch: Sequence[BackendEvent]) -> None:
        # The state moves first here, and nobody is shown anything until it is stored.
        events: list[Event] = []
        effects: list[Effect] = []
        tail: Tail | None = None
        for event in batch:
            if self._leaves_out(event):
                continue
            if isinstance(event, Tail):
                tail = event
                continue
            if tail is not None and isinstance(event, Said):
                tail = Tail(rows_after(tail.text, event.text))
            if isinstance(event, Finished) and self._state.running != self._begun.get(event.typed):
                # Reported twice, or of a typed line that came while a prompt was on its way: it must not end the turn
                # that runs, which the backend has not begun.
                continue
            if isinstance(event, Described):
                await self._described(self.log, event)
            decision = self._decide(event)
            events += self.log.apply(decision.payloads)
            effects += decision.effects
        await self.log.write_applied(events)
        if tail is not None:
            self.log.show_rows(tail)
        self._events.stored()
        for effect in effects:
            self._effects.put_nowait(effect)

    def _leaves_out(self, event: BackendEvent) -> bool:
        if isinstance(event, Prompted):
            self._left_out = event.past and self._state.running is not None
        left_out = self._left_out  # a past turn, up to its end, while another one runs
        if isinstance(event, Finished):
            self._left_out = False
        return left_out

    def _decide(self, event: BackendEvent) -> Decision:
        if not isinstance(event, Prompted):
            return payloads_of(self._state, event)
        sender = self.keyboard.typist() if event.typed else self._own(bounded_text(event.by, 64))
        decision = self._state.prompted_elsewhere(bounded_text(event.text, TEXT_MAX), sender)
        if self._state.running is None:
            self._begun = {event.typed: self._state.turns + 1, False: self._state.turns + 1}
        return decision

    def _how(self) -> Start:
        meta = self.log.meta
        return Start(
            session=meta.id,
            cwd=self._state.cwd,
            command=meta.command,
            shell=meta.shell,
            restored=self._has_history,
            lineage=meta.lineage,
            history=self.log.exchanges,
            model=self._state.model,
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
                await self._failed(effect, f"the backend {self.log.meta.backend!r} raised {exc!r}; {IN_THE_LOG}")

    async def _failed(self, effect: Effect, reason: str) -> None:
        log.info("a backend failed", extra={"session": self._state.id, "error": reason})
        async with self._lock:
            # Whatever became of an answer or an interrupt, the turn goes on.
            if isinstance(effect, StartTurn) and self._state.running == effect.turn:
                await self._carry_applied(self._state.finished("error", error=reason[:1000]))

    async def _do(self, effect: Effect) -> None:
        match effect:
            case StartTurn():
                await self.runner.prompt(effect.text, lambda: self._hands(effect.turn))
            case HandAnswer():
                await self.runner.answer(effect.request_id, effect.answer)
            case InterruptTurn():
                self._interrupting = False
                if self._state.running == effect.turn:
                    await self.runner.interrupt()
            case StopBackend():
                await self.runner.stop()

    def _hands(self, turn: int) -> bool:
        # Whether the backend gets that turn now: the turn may be over by the time that the backend runs.
        if self._state.running == turn:
            self._begun = {False: turn}
        return self._state.running == turn


def _stopped(decision: Decision) -> int:
    # The turn that a decision stops; 0 if it stops none.
    return next((effect.turn for effect in decision.effects if isinstance(effect, InterruptTurn)), 0)
