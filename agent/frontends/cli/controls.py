"""Answers and interrupts of a person, on their way beside what is typed; and prompts that are taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from agent.client.answers import Answering, submit_answer, too_late
from agent.client.follow import Mark
from agent.client.pending import WaitingCall
from agent.client.prompts import excerpt
from agent.client.stream import Stream
from agent.client.terminal_text import clean
from agent.client.view import LogEntry, SessionView
from agent.errors import AgentError, PeerLost
from agent.frontends.cli.line_editor import LineEditor, Typed
from agent.frontends.cli.outbox import Outbox
from agent.frontends.cli.screen import SplitScreen
from agent.protocol.events import TEXT_MAX, Answer, RequestClosed, RequestOpen
from agent.protocol.methods import PROMPT_WITHDRAW
from agent.protocol.prompts import QueuedPrompt, Withdraw
from agent.protocol.waiting import Waiting


def tell_trouble(screen: SplitScreen, exc: AgentError, about: str = "") -> None:
    """Say in one line what went wrong, and what to do; `about`: the prompt that it was about."""
    which = f"{clean(excerpt(about))}: " if about and isinstance(exc, PeerLost) else ""
    screen.notice(f"-- {which}{clean(str(exc), 4096)}" + (f" ({clean(exc.hint)})" if exc.hint else ""), "red")


class Controls:
    """Answers and interrupts on their way: carried out beside the input, since nobody who types waits for them."""

    def __init__(self, waiting: Callable[[Waiting], None], done: Callable[[], None]) -> None:
        """`waiting` is told why one has no answer yet; `done` is called when one is over."""
        self._waiting, self._done = waiting, done
        self._tasks: dict[WaitingCall, asyncio.Task[None]] = {}

    def begin(self, group: asyncio.TaskGroup, work: Callable[[WaitingCall], Coroutine[None, None, None]]) -> None:
        """Carry out an answer, an interrupt or the like, as a task of the group."""
        call = WaitingCall(self._waiting)

        async def carried_out() -> None:
            try:
                await work(call)
            finally:
                del self._tasks[call]
                self._done()

        self._tasks[call] = group.create_task(carried_out(), name="cli.control")

    def newest_waiting(self) -> WaitingCall | None:
        """The last answer or interrupt of which the person was told that it waits."""
        return next((call for call in reversed(self._tasks) if call.note is not None), None)

    def cancel(self) -> None:
        """Give up all answers and interrupts that are on their way."""
        for task in self._tasks.values():
            task.cancel()


class AnswerLine:
    """What the session asks, and the answer to it that is typed on the line."""

    def __init__(
        self,
        stream: Stream,
        mark: Mark,
        view: SessionView,
        *,
        screen: SplitScreen,
        editor: LineEditor,
        controls: Controls,
    ) -> None:
        self._stream = stream
        self._mark = mark
        self._view = view
        self._screen = screen
        self._editor = editor
        self._controls = controls
        self._answering: Answering | None = None
        self._answered: str | None = None  # id of the request whose answer is on its way

    @property
    def request(self) -> RequestOpen | None:
        """The oldest request that waits for an answer."""
        requests = self._view.requests.values()
        return next((request for request in requests if request.request_id != self._answered), None)

    @property
    def asked(self) -> Answering | None:
        """The request as it is answered: a form that is half filled in goes on until its request is over."""
        request = self.request
        if request is None:
            self._answering = None
        elif self._answering is None or self._answering.request != request:
            self._answering = Answering(request, self._editor.text)
        return self._answering

    def take(self, asked: Answering, given: Typed, tasks: asyncio.TaskGroup) -> None:
        """Take a line as the answer, or as a part of it; a whole one is sent."""
        label = asked.label
        try:
            answer = asked.take(given.text)
        except AgentError as exc:
            tell_trouble(self._screen, exc)
            return
        if answer is None:
            self._screen.notice(f"   {label}{clean(given.text)}")
            return
        request, complete = asked.request, answer
        self._answered = request.request_id
        self._controls.begin(tasks, lambda call: self._answer(request, complete, given, call))

    def drop_draft(self, entry: LogEntry) -> None:
        """Take half an answer off the line once its request is over: it would be a prompt, perhaps half a password."""
        asked, closed = self._answering, entry.payload
        if not isinstance(closed, RequestClosed) or asked is None or asked.request.request_id != closed.request_id:
            return
        if lost := asked.unsent(self._editor.text, closed):
            self._screen.notice(f"-- {lost}", "yellow")
            self._editor.clear()
            self._editor.put_back(asked.drafted)

    async def _answer(self, request: RequestOpen, answer: Answer, given: Typed, call: WaitingCall) -> None:
        try:
            told = await submit_answer(self._stream, self._mark.session, request, answer, call=call)
        except AgentError as exc:
            tell_trouble(self._screen, exc)
            if request.kind in {"line", "keys", "choices"}:
                self._editor.put_back(given.text)
        else:
            self._view.answered(request.request_id)
            if why := too_late(told, request):
                self._screen.notice(f"-- {why}", "yellow")
        finally:
            self._answered = None


class TakeBack:
    """The prompts that a person may take back into the line: those that were not sent, then those that wait (S12)."""

    def __init__(
        self,
        stream: Stream,
        mark: Mark,
        view: SessionView,
        *,
        screen: SplitScreen,
        editor: LineEditor,
        controls: Controls,
        outbox: Outbox,
    ) -> None:
        self._stream = stream
        self._mark = mark
        self._view = view
        self._screen = screen
        self._editor = editor
        self._controls = controls
        self._outbox = outbox
        self._withdrawing: set[str] = set()  # ids of prompts that are being taken back from the session

    @property
    def newest(self) -> str:
        """The text of the prompt that is taken back next; "" if there is none."""
        unsent, waiting = self._outbox.unsent, self._waiting()
        return unsent[-1] if unsent else waiting.text if waiting is not None else ""

    def take(self, tasks: asyncio.TaskGroup) -> None:
        """Take the newest prompt back into the line, from the session too."""
        prompt = self._waiting()
        if self._outbox.unsent:
            self._from_outbox()
        elif prompt is not None:
            self._withdrawing.add(prompt.prompt_id)
            self._controls.begin(tasks, lambda call: self._withdraw(prompt, call))

    @property
    def unsent(self) -> bool:
        """Whether the person was told that something was not sent yet, be it a prompt, an answer or an interrupt."""
        return self._outbox.waits or self._controls.newest_waiting() is not None

    def take_unsent(self) -> None:
        """Take back the newest of what was not sent yet, an answer or an interrupt first."""
        control = self._controls.newest_waiting()
        if control is not None:
            self._stream.take_back(control)
        else:
            self._from_outbox()

    def _from_outbox(self) -> None:
        given = self._outbox.take_back()
        if given is not None:
            self._editor.put_back(given.text)

    def _waiting(self) -> QueuedPrompt | None:
        # The newest prompt of this device that waits in the session, and is not being taken back.
        mine = (each for each in self._view.queue if each.sender.device == self._view.own)
        left = (each for each in mine if each.prompt_id not in self._withdrawing)
        return max(left, key=lambda each: each.turn, default=None)

    async def _withdraw(self, prompt: QueuedPrompt, call: WaitingCall) -> None:
        asked = Withdraw(session_id=self._mark.session, prompt_id=prompt.prompt_id)
        try:
            told = await self._stream.insist(PROMPT_WITHDRAW, asked, call=call)
        except AgentError as exc:
            tell_trouble(self._screen, exc)
        else:
            text = told.text or prompt.text
            if told.status == "started":
                state = "runs already; Ctrl-C interrupts it" if told.running else "ran already"
                self._screen.notice(f"-- {clean(excerpt(text))} {state}", "yellow")
            elif not self._editor.put_back(text):
                self._screen.notice(f"-- taken back: {clean(text, TEXT_MAX)}", "yellow")
        finally:
            self._withdrawing.discard(prompt.prompt_id)
