"""One hosted session as a state machine over its log (S1, S3, S9, S10): the machine decides, the service carries out.

State follows from the events alone: `apply` takes one event, live or read back from the store, and nothing else
changes the state. A method that decides returns what is to be logged and done; the service stores the events, applies
and publishes them (S2), then carries out the effects in order. If storing fails nothing has happened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from agent.errors import Ambiguous, Busy, Forbidden, PromptNotFound, RequestNotFound, SessionEnded
from agent.ports import TURN_OVER
from agent.protocol.answers import checked
from agent.protocol.events import (
    Answer,
    Command,
    Event,
    MessageComplete,
    MessageDelta,
    MessageStart,
    Option,
    Payload,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    ToolComplete,
    ToolStart,
    ToolUpdate,
    TurnComplete,
    TurnStatus,
    Usage,
    UserMessage,
    make_event,
    payload_of,
)
from agent.protocol.model import DeviceId, Sender, SessionId, Status
from agent.protocol.names import first_words
from agent.protocol.prompts import PromptQueue, QueuedPrompt, Withdrawn
from agent.protocol.times import unix_seconds
from agent.protocol.turn_causes import REASONS, TurnCause
from agent.sessions.rules.effects import Decision, HandAnswer, InterruptTurn, StartTurn, StopBackend, Verdict
from agent.sessions.rules.epochs import Epochs
from agent.sessions.rules.reply import ReplyBuffer
from agent.sessions.rules.tools import SessionTools

QUEUE_MAX = 64
"""Prompts that may wait in one session."""
DERIVED_MAX = 60
"""Characters of a prompt that stand for a title."""
QUESTION_MAX = 160
"""Characters of a question that are listed."""
DESCRIBED = ("cwd", "model", "program", "screen", "options", "commands")
"""What a program tells of its session, and what of it is true until it tells otherwise."""
CLOSED_MAX = 256
"""Closed requests that are remembered, so that a later answer gets the first one."""


class SessionMachine:
    """The state of one session, as its log gives it, and what follows from requests and backend events."""

    def __init__(
        self, session_id: SessionId, *, epoch: str = "", title: str = "", derived_title: str = "", cwd: str = ""
    ) -> None:
        """`epoch` is the first one of the log, `derived_title` what the session is called without a title."""
        self.epochs = Epochs(epoch)
        self.id = session_id
        self.title = title
        self.derived_title = DerivedTitle(derived_title)
        self.cwd = cwd
        self.model = ""
        self.program = self.screen = ""  # what runs, and has the whole screen (`SessionRow`)
        self.seq = 0  # number of the last event
        self.turns = 0  # accepted so far
        self.named = False  # whether a person gave the title
        self.updated_at = 0.0  # Unix seconds of the last event that a list would show
        self.running: int | None = None
        self.options: tuple[Option, ...] = ()
        self.commands: tuple[Command, ...] = ()
        self.reply = ReplyBuffer()
        self.unprompted = ReplyBuffer()  # text of the backend between two turns: turn 0
        self._lifecycle = Status.IDLE  # starting, idle, ended or failed
        self.queue = PromptQueue()
        self._prompts: dict[str, int] = {}  # prompt_id -> turn
        self._withdrawn: dict[int, Sender] = {}  # turns that never run, and who took their prompts back
        self.tools = SessionTools()
        self._requests = SessionRequests()
        self.requests = self._requests.open  # by id, oldest first

    @property
    def status(self) -> Status:
        """The session's status; an open request means needs-input, whatever the backend says (S10)."""
        if self._lifecycle is not Status.IDLE:
            return self._lifecycle
        if self.requests:
            return Status.NEEDS_INPUT
        return Status.IDLE if self.running is None else Status.WORKING

    @property
    def called(self) -> str:
        """The title, else what stands for it; empty until there is something."""
        return self.title or self.derived_title.text

    @property
    def question(self) -> str:
        """First words of the oldest open request; empty without one."""
        return self._requests.question

    @property
    def queued(self) -> int:
        """How many prompts of the session wait for their turn."""
        return len(self.queue)

    # --- decisions ---------------------------------------------------------------------------------------------------

    def prompt(self, prompt_id: str, text: str, sender: Sender, *, steer: bool = False) -> tuple[Decision, Verdict]:
        """Accept a prompt: start it, or queue it behind the others (S1); the same id again changes nothing (S3).

        With `steer` it goes before the others, and the running turn is stopped for it.
        Raises: SessionEnded, Busy (the queue is full).
        """
        known = self._prompts.get(prompt_id)
        if known is not None:
            return Decision(), Verdict(known, "duplicate", self._position(prompt_id, known))
        if not self.status.live:
            raise SessionEnded
        if len(self.queue) >= QUEUE_MAX:
            hint = "wait for some of them to run; `agent withdraw SESSION` takes back your newest"
            raise Busy(f"{QUEUE_MAX} prompts are waiting already", hint=hint)
        turn = self.turns + 1
        waits = self.running is not None or bool(self.queue) or self._lifecycle is Status.STARTING
        steers = waits and steer
        message = UserMessage(turn=turn, prompt_id=prompt_id, text=text, sender=sender, queued=waits, steer=steers)
        if waits:
            before = (self.running is not None) + (0 if steers else len(self.queue))
            return Decision((message,), self.interrupt().effects if steers else ()), Verdict(turn, "queued", before)
        payloads = (*self._end_between(), message, MessageStart(turn=turn))
        return Decision(payloads, (StartTurn(turn, text),)), Verdict(turn, "started")

    def withdraw(self, prompt_id: str, by: Sender, *, owner: bool) -> tuple[Decision, Withdrawn]:
        """Take back a prompt that waits (S12). Once it has begun, or is over, nothing changes.

        `owner`: whether `by` is the session's own device, which may take back anybody's. The text of one that was taken
        back before is in the log alone. Raises: PromptNotFound, Forbidden (it is another device's).
        """
        turn = self._prompts.get(prompt_id)
        if turn is None:
            raise PromptNotFound(f"the session got no prompt {prompt_id}")
        waiting = self.queue.find(prompt_id)
        if waiting is None:
            earlier = self._withdrawn.get(turn)
            if earlier is not None:
                return Decision(), Withdrawn(status="withdrawn", turn=turn, by=earlier)
            return Decision(), Withdrawn(status="started", turn=turn, running=turn == self.running)
        if not (owner or by.device == waiting.sender.device):
            hint = "only that device and the session's own may take it back"
            raise Forbidden(f"{waiting.sender.name} sent that prompt", hint=hint)
        told = Withdrawn(status="withdrawn", text=waiting.text, turn=turn, by=by)
        return Decision((_taken_back(waiting, by),)), told

    def interrupt_all(self, by: Sender, *, owner: bool, turn: int = 0) -> tuple[Decision, tuple[QueuedPrompt, ...]]:
        """Take back what waits, as far as `by` may, and stop the running turn as `interrupt` does."""
        dropped = tuple(each for each in self.queue if owner or each.sender.device == by.device)
        taken = tuple(_taken_back(each, by) for each in dropped)
        return Decision(taken, self.interrupt(turn).effects), dropped

    def prompted_elsewhere(self, text: str, sender: Sender) -> Decision:
        """Log a prompt that the program got by other means: its turn runs already. During a turn it is only noted."""
        if not self.status.live:
            return Decision()
        if self.running is not None or self._lifecycle is Status.STARTING:
            return Decision((SessionInfo(note=f"[{sender.name} {sender.client}] {text}"[:4096]),))
        turn = self.turns + 1
        message = UserMessage(turn=turn, prompt_id=f"{self.id}-{turn}", text=text, sender=sender)
        return Decision((*self._end_between(), message, MessageStart(turn=turn)))

    def answer(self, request_id: str, answer: Answer, by: Sender) -> tuple[Decision, RequestClosed]:
        """Answer a request once (S9). The second value is how the request was closed, now or before.

        Raises: RequestNotFound, Ambiguous (no id given and several open), BadParams (not one of the choices).
        """
        request = self._requests.find(request_id)
        if isinstance(request, RequestClosed):
            return Decision(), request
        answer = checked(request, answer)
        shown = "" if request.kind == "secret" else answer
        closed = RequestClosed(turn=request.turn, request_id=request.request_id, status="answered", answer=shown, by=by)
        return Decision((*self.end_part(), closed), (HandAnswer(request.request_id, answer),)), closed

    def interrupt(self, turn: int = 0) -> Decision:
        """Stop the running turn; nothing without one, or if `turn` names another one, which is over or still waits."""
        if self.running is None or turn not in {0, self.running}:
            return Decision()
        return Decision((), (InterruptTurn(self.running),))

    def ready(self) -> Decision:
        """Take that the backend accepts prompts: the first one that waits starts."""
        if self._lifecycle is not Status.STARTING:
            return Decision()
        return self._then_next((SessionInfo(status="idle"),))

    def finished(
        self,
        status: TurnStatus,
        *,
        exit_status: int | None = None,
        cwd: str = "",
        error: str = "",
        usage: Usage | None = None,
        cause: TurnCause = "",
    ) -> Decision:
        """Take the end of the backend's turn: the next prompt starts. An end with a reason is never complete (S14)."""
        turn = self.running
        if turn is None:
            return Decision()
        if status != "interrupted":
            error = error or REASONS.get(cause, "")
        if status == "complete" and error:
            status = "error"
        done = TurnComplete(
            turn=turn, status=status, exit_status=exit_status, cwd=cwd, error=error, usage=usage, cause=cause
        )
        closed = (*self._requests.expired(TURN_OVER[status]), *self.tools.closed(turn, status))
        return self._then_next((*self._end_part(status), *closed, done))

    def ended(
        self,
        status: Literal["ended", "failed"],
        reason: str,
        turn_status: Literal["interrupted", "error"],
        *,
        exit_status: int | None = None,
    ) -> Decision:
        """End the session: the running turn is closed as `turn_status`, waiting prompts are closed as never run.

        A turn whose program ended with exit status 0 is complete, and says that the session is over (S14).
        """
        if not self.status.live:
            return Decision()
        told: TurnStatus = "complete" if exit_status == 0 else turn_status
        payloads: list[Payload] = [*self._end_part(told), *self._end_unprompted()]
        payloads += (*self._requests.expired(f"the session has {status}"), *self.tools.closed(None, told))
        if self.running is not None:
            why = f"the session has ended: {reason}" if status == "ended" and told == "error" else reason
            payloads.append(_last_turn(self.running, told, why, exit_status))
        unrun = f"the session ended before it ran ({reason})" if reason else "the session ended before it ran"
        payloads += (TurnComplete(turn=p.turn, status=turn_status, error=unrun) for p in self.queue)
        payloads.append(SessionInfo(status=status, note=reason))
        return Decision(tuple(payloads), (StopBackend(),))

    def recovered(self, reason: str, gone: str = "") -> Decision:
        """Go on after a restart of the service: the running turn is closed as interrupted, waiting prompts run (S3).

        `gone`: what the session has lost by it, for the reader.
        """
        if not self.status.live:
            return Decision()
        payloads: list[Payload] = list(self._end_part("interrupted"))
        payloads += (*self._requests.expired(reason), *self.tools.closed(None, "interrupted"))
        if self.running is not None:
            payloads.append(TurnComplete(turn=self.running, status="interrupted", error=reason))
        note = f"{reason}; {gone}" if reason and gone else reason
        payloads.append(SessionInfo(status="idle", note=note, program=_anew(self.program) if gone else None))
        return self._then_next(tuple(payloads))

    def reopened(self, note: str) -> Decision:
        """Let a session that had ended go on."""
        return Decision() if self.status.live else Decision((SessionInfo(status="idle", note=note),))

    def drop_untrusted(self, trusts: Callable[[DeviceId], bool], reason: str) -> Decision:
        """Drop waiting prompts of devices that are trusted no longer, and log why (T4). A running turn goes on."""
        out = (each for each in self.queue if not trusts(each.sender.device))
        return Decision(tuple(TurnComplete(turn=p.turn, status="error", error=reason) for p in out))

    @property
    def current_reply(self) -> ReplyBuffer:
        """The reply that text of the backend belongs to now: that of the running turn, or the unprompted one."""
        return self.unprompted if self.running is None else self.reply

    def new_part(self) -> tuple[Payload, ...]:
        """Begin another part of the current reply if none is open, as after a tool."""
        reply = self.current_reply
        return () if reply.open else (MessageStart(turn=self.running or 0, part=reply.part + 1),)

    def end_part(self) -> tuple[Payload, ...]:
        """End the open part of the reply, as before a tool, a question or an answer. An empty part stays open."""
        if self.running is None:
            return self._end_unprompted()
        return self._end_part("complete") if self.reply.text else ()

    # --- the log -----------------------------------------------------------------------------------------------------

    def number(self, payloads: Sequence[Payload], now: float) -> list[Event]:
        """Make the next events of the log from entries; nothing changes yet. `now` in Unix seconds."""
        return [make_event(self.seq + i, payload, now) for i, payload in enumerate(payloads, 1)]

    def apply(self, event: Event) -> None:
        """Take the next event of the log, just stored or read back."""
        self.seq = event.seq
        payload = payload_of(event)
        self.derived_title.apply(payload, self.queue)
        self.queue.apply(payload)
        match payload:
            case MessageDelta():
                (self.reply if payload.turn else self.unprompted).add(payload.text)
                return
            case UserMessage():
                self.turns = payload.turn
                self._prompts[payload.prompt_id] = payload.turn
            case MessageStart():
                self._began(payload)
            case MessageComplete():
                (self.reply if payload.turn else self.unprompted).end()
            case ToolStart() | ToolUpdate() | ToolComplete():
                self.tools.apply(payload)
                return
            case RequestOpen() | RequestClosed():
                self._requests.apply(payload)
            case TurnComplete():
                self._turn_over(payload)
            case SessionInfo():
                before = self._listed()
                self._informed(payload)
                if before == self._listed():
                    return  # after a restart of the service a list is as it was (R4)
            case _:
                return
        self.updated_at = unix_seconds(event.at)

    def _listed(self) -> tuple[object, ...]:
        return self._lifecycle, self.title, self.cwd, self.model, self.program, self.screen, self.options

    def _began(self, start: MessageStart) -> None:
        if not start.turn:
            self.unprompted = ReplyBuffer()
            self.unprompted.begin(start.part)
            return
        self.running = start.turn
        self.reply.begin(start.part)

    def _turn_over(self, done: TurnComplete) -> None:
        self.cwd = done.cwd or self.cwd
        if done.withdrawn_by is not None:
            self._withdrawn[done.turn] = done.withdrawn_by
        if self.running == done.turn:
            self.running = None
            self.screen = ""
            self.reply = ReplyBuffer()

    def _informed(self, info: SessionInfo) -> None:
        if info.status:
            self._lifecycle = Status(info.status)
            self.screen = ""
        if info.title is not None:
            self.title = info.title
            self.named = info.named
        for name in DESCRIBED:
            value = getattr(info, name)
            if value is not None:
                setattr(self, name, value)
        if info.epoch:
            self.epochs.begin(info.epoch, self.seq)

    def _then_next(self, payloads: tuple[Payload, ...]) -> Decision:
        waiting = next(iter(self.queue), None)
        if waiting is None:
            return Decision(payloads)
        started = (*payloads, *self._end_between(), MessageStart(turn=waiting.turn))
        return Decision(started, (StartTurn(waiting.turn, waiting.text),))

    def _end_between(self) -> tuple[Payload, ...]:
        # What was said and done between two turns ends with the next one.
        return (*self.tools.closed(0, "complete"), *self._end_unprompted())

    def _end_unprompted(self) -> tuple[Payload, ...]:
        return self.unprompted.closed(0, "complete")

    def _end_part(self, status: TurnStatus) -> tuple[Payload, ...]:
        return () if self.running is None else self.reply.closed(self.running, status)

    def _position(self, prompt_id: str, turn: int) -> int:
        if self.queue.find(prompt_id) is None:
            return 0
        return self.queue.before(turn) + (self.running is not None)


def _anew(program: str) -> str | None:
    """What runs when it begins anew: what there was to know of it has gone; None if that was nothing."""
    name, known, _ = program.partition(": ")
    return name if known else None


def _taken_back(waiting: QueuedPrompt, by: Sender) -> TurnComplete:
    # Readers of earlier versions take it for a turn that was interrupted, and show the reason.
    why = f"taken back by {by.name} before it ran"
    return TurnComplete(turn=waiting.turn, status="interrupted", error=why, withdrawn_by=by)


def _last_turn(turn: int, status: TurnStatus, why: str, exit_status: int | None) -> TurnComplete:
    if status == "complete":
        return TurnComplete(turn=turn, status=status, exit_status=exit_status, cause="program_ended")
    return TurnComplete(turn=turn, status=status, exit_status=exit_status, error=why)


class DerivedTitle:
    """What a session is called without a title: its program, else the first words of the first prompt that ran.

    Not of one that waits: if it is taken back it is not to be read in every list.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def apply(self, payload: Payload | None, queue: PromptQueue) -> None:
        """Take the next entry of the log, before `queue` takes it."""
        if self.text:
            return
        match payload:
            case UserMessage(queued=False):
                self.text = first_words(payload.text, DERIVED_MAX)
            case MessageStart():
                begins = next((each.text for each in queue if each.turn == payload.turn), "")
                self.text = first_words(begins, DERIVED_MAX)


class SessionRequests:
    """The requests of one session: which are open, and how those before were closed (S9)."""

    def __init__(self) -> None:
        self.open: dict[str, RequestOpen] = {}
        self._closed: dict[str, RequestClosed] = {}

    def find(self, request_id: str) -> RequestOpen | RequestClosed:
        """The request with that id, open or closed; for an empty id, the only open one.

        Raises: RequestNotFound, Ambiguous.
        """
        if not request_id:
            if len(self.open) > 1:
                raise Ambiguous(f"several questions are open: {', '.join(self.open)}", hint="name the REQUEST")
            if not self.open:
                raise RequestNotFound("the session asks nothing at the moment")
            return next(iter(self.open.values()))
        found = self._closed.get(request_id) or self.open.get(request_id)
        if found is None:
            raise RequestNotFound(f"the session has no question {request_id}")
        return found

    @property
    def question(self) -> str:
        """First words of the oldest open request; empty without one. No answer is told."""
        oldest = next(iter(self.open.values()), None)
        return first_words(oldest.prompt, QUESTION_MAX) if oldest is not None else ""

    def apply(self, entry: RequestOpen | RequestClosed) -> None:
        """Take an entry of the log that opens or closes a request."""
        if isinstance(entry, RequestOpen):
            self.open[entry.request_id] = entry
            self._closed.pop(entry.request_id, None)  # a program that was restarted counts from 1 again
            return
        self.open.pop(entry.request_id, None)
        self._closed[entry.request_id] = entry
        if len(self._closed) > CLOSED_MAX:
            del self._closed[next(iter(self._closed))]

    def expired(self, reason: str) -> tuple[RequestClosed, ...]:
        """Entries that close all open requests, whose answers nobody needs any more, and why."""
        return tuple(
            RequestClosed(turn=request.turn, request_id=request.request_id, status="expired", reason=reason)
            for request in self.open.values()
        )
