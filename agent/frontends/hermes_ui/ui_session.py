"""The session that the terminal UI shows: followed, prompted, asked."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Literal

from agent.client.answers import submit_answer, too_late
from agent.client.follow import Mark, follow
from agent.client.pending import WaitingCall, WaitingLines
from agent.client.prompts import new_prompt, not_sent, prompts_named
from agent.client.reading import VERBATIM, answered, name_of, request_over
from agent.client.stream import Stream, first_error, streaming
from agent.client.terminal_text import clean
from agent.client.view import (
    Change,
    Hydration,
    LogEntry,
    LogReplaced,
    Resumed,
    RowsMoved,
    SessionView,
    also_here,
    sentence,
)
from agent.errors import AgentError, NotRunning
from agent.frontends.hermes_ui.event_mapping import EventMapping, MessageHistory, said
from agent.frontends.hermes_ui.outgoing import Json, UiEvent, line
from agent.frontends.hermes_ui.questions import UiQuestions
from agent.frontends.hermes_ui.session_info import UiSessionInfo, info_of, is_running, started_at, status_of
from agent.protocol.events import Answer, RequestClosed, RequestOpen, UserMessage
from agent.protocol.messages import History, Interrupt
from agent.protocol.methods import PROMPT_SUBMIT, PROMPT_WITHDRAW, SESSION_HISTORY, SESSION_INTERRUPT
from agent.protocol.model import SessionRow
from agent.protocol.prompts import Withdraw
from agent.protocol.waiting import PATIENCE, Waiting

CLIENT = "hermes"
"""Which client of this device prompts and answers."""
PAGE = 200
"""Events that `session.history` looks at, the newest."""

Tell = Callable[[UiEvent, str], Awaitable[None]]
"""Sends an event about a session, named as the UI knows it."""


class UiSession:
    """A session that is shown. `run` follows it until it is cancelled or the session is gone."""

    def __init__(self, tell: Tell, session: str, *, shown_as: str = "", wait: float = PATIENCE) -> None:
        """`shown_as`: its id in the UI, if that is not its own; `wait`: seconds for a device that is out of reach."""
        self._tell = tell
        self._shown_as = shown_as
        self._wait = wait
        self._waiting_lines = WaitingLines(give_up="")
        self._sending: dict[WaitingCall, str] = {}  # prompts on their way, with their text
        self._mark = Mark(session)
        self._stream: Stream | None = None
        self._view = SessionView()
        self._events: EventMapping
        self._make: Callable[[], EventMapping]  # as it was before the first event of the log
        self._questions = UiQuestions(session, local=True)
        self._mine: set[str] = set()  # ids of prompts that the UI shows itself
        self._sent: set[str] = set()  # ids of all prompts of the UI
        self._own_turns: set[int] = set()
        self._failure: AgentError | None = None
        self.snapshot: Json = {}  # as it was attached
        self.attached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.told = asyncio.Event()  # the UI shows the session: it may be told of it

    @property
    def id(self) -> str:
        """The session's id; what was asked for, until it is attached."""
        return self._mark.session

    @property
    def shown_as(self) -> str:
        """The id under which the UI knows the session."""
        return self._shown_as or self.id

    @property
    def info(self) -> UiSessionInfo:
        """What the UI knows of the session."""
        return self._events.info

    async def run(self, path: Path) -> None:
        """Follow the session. What goes wrong is told by `attached`, or as a line."""
        try:
            async with streaming(path, patience=math.inf, wait=self._wait) as stream, asyncio.TaskGroup() as tasks:
                self._stream, self._tasks = stream, tasks
                stream.waiting = self._waits
                await self._follow(stream)
        except* AgentError as group:
            await self._fail(first_error(group))
        finally:
            self._stream = None

    # --- following ---------------------------------------------------------------------------------------------------

    async def _follow(self, stream: Stream) -> None:
        self._view = SessionView(stream.device)
        changes = self._view.changes(follow(stream, self._mark))
        first = await anext(changes)
        assert isinstance(first, Hydration)
        assert first.session is not None
        self._hydrate(first, first.session)
        self.attached.set_result(None)
        await self.told.wait()
        await self._emit([self._events.info.frame()])
        await self._emit(said(prompt, "queued") for prompt in self._events.queued)
        here = also_here(self._view.others.values())
        if here:
            await self._line(f"-- {here}")
        await self._ask(self._questions.open_now(self._view.requests.values(), stream.clock.monotonic()))
        await self._stay(stream, changes)

    def _hydrate(self, first: Hydration, row: SessionRow) -> None:
        self._questions = UiQuestions(self.id, local=row.local)
        self._make = lambda: EventMapping(
            info_of(row, first.options), local=row.local, verbatim=row.backend in VERBATIM
        )
        self._events = self._make()
        past = MessageHistory(self._events, self._view.own)
        if first.truncated:
            past.messages.append({"role": "system", "text": f"-- earlier: `agent log {self.id}` in a terminal"})
        past.read(first.entries)
        running = is_running(row) or self._events.running
        self._events.info = info_of(row, first.options, first.commands)  # the log has told what it was
        self._events.info.running = running
        inflight = past.inflight()
        self.snapshot = {
            "session_id": self.shown_as,
            "session_key": self.id,
            "messages": past.messages,
            "message_count": len(past.messages),
            "running": running,
            "status": "waiting" if self._view.requests else "working" if running else status_of(row),
            "started_at": started_at(row),
            "info": self._events.info.payload(),
            **({"inflight": inflight} if inflight is not None else {}),
        }

    async def _stay(self, stream: Stream, changes: AsyncIterator[Change]) -> None:
        async for change in changes:
            match change:
                case LogEntry():
                    await self._entry(stream, change)
                case Hydration():
                    await self._returned(stream, change)
                case RowsMoved():
                    pass  # not asked for: the UI shows what is said
                case _:
                    await self._line(f"-- {sentence(change)}")

    async def _returned(self, stream: Stream, hydration: Hydration) -> None:
        if hydration.anew:
            await self._line(f"-- {sentence(LogReplaced())}. It says:")
            await self._emit(self._events.cut())
            self._events = self._make()
        else:
            await self._line(f"-- {sentence(Resumed())}")
        for entry in hydration.entries:
            await self._entry(stream, entry)
        await self._ask(self._questions.open_now(self._view.requests.values(), stream.clock.monotonic()))

    async def _entry(self, stream: Stream, entry: LogEntry) -> None:
        await self._emit(self._events.take(entry, mine=self._mine))
        match entry.payload:
            case UserMessage(prompt_id=prompt_id, turn=turn) if prompt_id in self._sent:
                self._own_turns.add(turn)
            case RequestOpen() as request if not entry.merged:
                await self._emit(self._questions.opened(request))
            case RequestClosed() as closed:
                await self._closed(closed, entry.closes, stream.clock.monotonic())
            case _:
                pass

    async def _closed(self, closed: RequestClosed, request: RequestOpen | None, now: float) -> None:
        own = self._questions.was_answered(closed.request_id)
        over = request_over(request, closed)
        self._questions.told_over(closed.request_id, over)
        withdrawn, frames = self._questions.closed(closed.request_id, now)
        await self._ask((withdrawn, []))
        if closed.status == "expired":
            await self._line(f"-- {over}")
        elif not own and closed.by is not None:
            await self._line(f"[{name_of(closed.by)}] answered: {answered(request, closed)}")
        await self._emit(frames)

    async def _ask(self, change: tuple[bool, list[UiEvent]]) -> None:
        withdrawn, frames = change
        if withdrawn:
            await self._emit(self._events.cut())
        await self._emit(frames)

    async def _emit(self, frames: Iterable[UiEvent]) -> None:
        for frame in frames:
            await self._tell(frame, self.shown_as)

    def _waits(self, note: Waiting) -> None:
        text = self._waiting_lines.line(note) if self.told.is_set() else ""
        if text:
            self._tasks.create_task(self._line(f"-- {text}"), name="hermes.waits")

    async def _line(self, text: str) -> None:
        await self._tell(line(text), self.shown_as)

    async def _fail(self, reason: AgentError) -> None:
        self._failure = reason
        if not self.attached.done():
            self.attached.set_exception(reason)
            self.attached.exception()  # looked at: whoever asked may have gone
        elif self.told.is_set():
            await self._line(f"-- {reason}; open the session again to go on ({reason.hint})")

    async def begin(self) -> None:
        """Tell what happens from here on: the UI shows the session."""
        self.told.set()

    async def history(self) -> list[Json]:
        """The newest messages of the session. Raises: what the service tells."""
        page = await self._connected().insist(SESSION_HISTORY, History(session_id=self.id, limit=PAGE))
        past, view = MessageHistory(self._make(), self._view.own), SessionView()
        past.read(view.entry(event, merged=True) for event in page.events)
        return past.messages

    # --- what the person wants ---------------------------------------------------------------------------------------

    def _connected(self) -> Stream:
        if self._stream is None:
            raise self._failure or NotRunning("the session is not connected")
        return self._stream

    async def submit(self, text: str) -> Literal["streaming", "queued"]:
        """Send a prompt; whether its turn runs. Raises: BadParams, TooLarge, and what the service tells."""
        params = new_prompt(self.id, text, client=CLIENT)
        self._mine.add(params.prompt_id)
        self._sent.add(params.prompt_id)
        call = WaitingCall(self._waits)
        self._sending[call] = text
        try:
            told = await self._connected().insist(PROMPT_SUBMIT, params, call=call)
        finally:
            del self._sending[call]
        return "queued" if told.status == "queued" else "streaming"

    def gives_back(self, sending: asyncio.Task[str | AgentError], text: str) -> None:
        """Show the text of a prompt that the UI takes for queued, should it never be sent."""

        def over(task: asyncio.Task[str | AgentError]) -> None:
            outcome = None if task.cancelled() else task.result()
            if isinstance(outcome, AgentError) and self._stream is not None:
                self._tasks.create_task(self._not_sent(outcome, text), name="hermes.gives-back")

        sending.add_done_callback(over)

    async def _not_sent(self, reason: AgentError, text: str) -> None:
        await self._line(f"-- {clean(str(reason), 1000)}")
        await self._line(f"-- {not_sent(text)}")

    async def take_back(self) -> bool:
        """Take back the newest prompt that waits for its device, or behind somebody else's turn; False if none does."""
        waiting = [call for call in self._sending if call.note is not None]
        if waiting and self._stream is not None:
            self._stream.take_back(waiting[-1])
        return bool(waiting) or await self._withdraw()

    async def _withdraw(self) -> bool:
        queued = [each for each in self._view.queue if each.prompt_id in self._sent]
        if not queued or self._view.turn in self._own_turns:
            return False
        asked = Withdraw(session_id=self.id, prompt_id=max(queued, key=lambda each: each.turn).prompt_id, client=CLIENT)
        try:
            told = await self._connected().insist(PROMPT_WITHDRAW, asked)
        except AgentError as exc:
            await self._line(f"-- not taken back: {clean(exc.in_full, 1000)}")
            return True
        return told.status == "withdrawn"

    async def steer(self, text: str) -> None:
        """Stop the turn that runs and send a prompt first, as a line: the UI shows such a prompt nowhere."""
        params = new_prompt(self.id, text, client=CLIENT, steer=True)
        self._sent.add(params.prompt_id)
        await self._connected().insist(PROMPT_SUBMIT, params)

    async def interrupt(self) -> None:
        """Stop the turn of the session that runs, and say what waits behind it."""
        told = await self._connected().insist(SESSION_INTERRUPT, Interrupt(session_id=self.id, turn=self._view.turn))
        if told.queue:
            await self._line(f"-- runs next: {prompts_named(told.queue)}")

    async def choose(self, word: str) -> int:
        """Answer an approval; how many were answered. Raises: RequestNotFound, BadParams."""
        stream = self._connected()
        request, answer = self._questions.chosen(word, stream.clock.monotonic())
        return int(await self._answer(stream, request, answer))

    async def respond(self, request_id: str, text: str) -> tuple[Literal["ok", "expired"], list[UiEvent]]:
        """Answer a question with text; the events are for `put_away`. Raises: RequestNotFound, BadParams."""
        request, answer, frames = self._questions.given(request_id, text)
        if answer is None:
            return "ok", frames
        return ("ok" if await self._answer(self._connected(), request, answer) else "expired"), frames

    async def put_away(self, frames: Iterable[UiEvent] = ()) -> None:
        """Tell what comes next, once the UI has the reply to its answer."""
        await self._emit([*frames, *self._questions.put_away()])

    async def _answer(self, stream: Stream, request: RequestOpen, answer: Answer) -> bool:
        self._questions.answers(request.request_id)
        try:
            told = await submit_answer(stream, self.id, request, answer, client=CLIENT)
        except AgentError:
            self._questions.not_answered(request.request_id)
            raise
        why = too_late(told, request)
        if why and told.status != "expired":  # which the log tells
            await self._line(f"-- {why}")
        return told.status == "accepted"
