"""`agent attach`: a session on the terminal, followed and spoken to."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence

import click

from agent.client.answers import Answering, how_to_answer, submit_answer, too_late
from agent.client.follow import Mark, follow
from agent.client.pending import WaitingCall, WaitingLines
from agent.client.prompts import excerpt, not_sent
from agent.client.stream import Stream, streaming
from agent.client.terminal_text import clean, session_title
from agent.client.view import Change, Hydration, LogEntry, LogReplaced, Resumed, SessionView, also_here, sentence
from agent.errors import AgentError, PeerLost, SessionNotFound, TakenBack
from agent.frontends.cli.complete import complete_session
from agent.frontends.cli.keyboard import Input, InterruptPressed, Keyboard, Stopped
from agent.frontends.cli.line_editor import InputEnded, LineChanged, Typed
from agent.frontends.cli.main import STATUS_OF, App, Exit
from agent.frontends.cli.outbox import Controls, Outbox
from agent.frontends.cli.output import local_time
from agent.frontends.cli.patience import wait_option
from agent.frontends.cli.screen import SplitScreen
from agent.frontends.cli.sessions import device_of, title_of
from agent.frontends.cli.transcript import TranscriptPrinter, style_of
from agent.protocol.events import TEXT_MAX, Answer, Command, RequestClosed, RequestOpen
from agent.protocol.messages import Interrupt, Submitted
from agent.protocol.methods import SESSION_INTERRUPT
from agent.protocol.model import SessionRow
from agent.protocol.waiting import PATIENCE, Waiting

STDIN = 0
TERMINAL = "terminal"
"""The backend whose sessions are best seen as they are."""
COMMANDS_MAX = 12
"""Commands of an agent that are named."""
LEAVE = "Ctrl-C again, or Ctrl-D, leaves; the session goes on"


@click.command()
@click.argument("session", required=False, shell_complete=complete_session)
@click.option("--raw", is_flag=True, help="Show its terminal as it is: for sessions of the backend terminal.")
@click.option("--detach-key", metavar="KEY", default="ctrl-]", show_default=True, help="Key that leaves, with --raw.")
@wait_option
@click.pass_obj
def attach(app: App, session: str | None, *, raw: bool, detach_key: str, wait: float) -> int:
    """Follow a session, type prompts, answer its questions.

    Ctrl-C interrupts the running turn, Alt-Enter sends a prompt that does, Ctrl-D leaves. In a pipe every line is a
    prompt; at the end of the input it waits for what is running and queued. With --raw the program's own screen and
    keyboard.

    While the session's device is out of reach, what is typed waits; Ctrl-C takes it back.
    """
    if raw:
        from agent.frontends.cli.raw import raw_attached_to

        return raw_attached_to(app, session or choose(app), detach_key, wait=wait)
    return attached_to(app, session or choose(app), wait=wait)


def attached_to(app: App, session: str, *, wait: float = PATIENCE) -> int:
    """Stay with a session; the exit status. `wait`: seconds that anything may wait for a device out of reach."""
    return asyncio.run(_Attachment(app, session, wait).run())


def choose(app: App) -> str:
    """Ask which session, of all devices. Raises: UsageError, without a terminal to ask on."""
    if not (sys.stdin.isatty() and app.printer.err_tty):
        raise click.UsageError("a session is needed: see `agent sessions`")
    known = app.client.call("session.list", {"all": True})
    rows = [row for row in known if row["attachable"] or row.get("away")]
    if not rows:
        raise SessionNotFound("there is no session to attach to", hint="start one with `agent new --attach`")
    rows.sort(key=lambda row: (not row["local"], bool(row.get("away"))))
    for number, row in enumerate(rows, 1):
        away = row.get("away")
        state = "offline" if away else row["status"]
        app.printer.talk(f"{number:3}) {title_of(row)} · {device_of(row)} · {state}", "dim" if away else "")
    chosen = click.prompt("session", type=click.IntRange(1, len(rows)), default=1, err=True)
    return str(rows[int(chosen) - 1]["id"])


def banner(row: SessionRow) -> list[str]:
    """What a person needs to know of the session first."""
    title, device = session_title(row.title), clean(row.device.name) or row.device.id
    parts = [f"-- {title}", f"on {device}", clean(row.backend) or "?"]
    if row.model:
        parts.append(clean(row.model))
    if row.created_at:
        parts.append(f"since {local_time(row.created_at)}")
    return [" · ".join(parts)]


def commands_line(commands: Sequence[Command]) -> str:
    """The commands that the agent knows, in one line."""
    named = [f"/{clean(command.name)}" for command in commands[:COMMANDS_MAX]]
    rest = len(commands) - len(named)
    return f"-- commands: {' '.join(named)}" + (f" and {rest} more" if rest else "")


class _Attachment:
    def __init__(self, app: App, session: str, wait: float) -> None:
        printer = app.printer
        self._path, self._wait = app.client.path, wait
        self._lively = sys.stdin.isatty() and printer.tty and not printer.dumb
        self._screen = SplitScreen(printer, lively=self._lively)
        self._transcript = TranscriptPrinter(self._screen)
        self._mark = Mark(session)
        self._view: SessionView
        self._inputs: asyncio.Queue[Input] = asyncio.Queue()  # as fast as a person types, or as long as the pipe is
        self._outbox: Outbox
        self._controls = Controls(self._waiting, self._redraw)
        self._answered: str | None = None  # id of the request whose answer is on its way
        self._waiting_lines = WaitingLines()
        self._keyboard = Keyboard(STDIN, self._inputs.put_nowait, lively=self._lively)
        self._answering: Answering | None = None
        self._left: asyncio.Future[int] | None = None
        self._ended_input = False
        self._warned = False
        self._interrupted = -1  # the turn that Ctrl-C was meant for last: once more, and it leads out
        self._failed_with: int = Exit.OK  # status of the first prompt of a pipe that was not accepted

    async def run(self) -> int:
        self._left = left = asyncio.get_running_loop().create_future()
        async with streaming(self._path, wait=self._wait) as stream:
            stream.waiting = self._waiting
            self._view = SessionView(stream.device)
            changes = self._view.changes(follow(stream, self._mark))
            first = await anext(changes)  # the terminal is touched only once there is a session
            assert isinstance(first, Hydration)
            self._outbox = Outbox(
                stream,
                self._mark,
                shown=lambda text: self._screen.notice(f"> {clean(text, TEXT_MAX)}"),
                waiting=self._waiting,
                accepted=self._accepted,
                failed=self._not_sent,
            )
            self._banner(first)
            with self._keyboard.reading(self._control):
                try:
                    async with asyncio.TaskGroup() as tasks:
                        jobs = [
                            tasks.create_task(self._follow(changes), name="cli.follow"),
                            tasks.create_task(self._listen(stream, tasks), name="cli.input"),
                            tasks.create_task(self._outbox.run(), name="cli.submit"),
                        ]
                        self._redraw()
                        status: int = await left
                        self._controls.cancel()
                        for job in jobs:
                            job.cancel()
                finally:
                    for line in self._outbox.given_back():
                        self._screen.notice(f"-- {line}", "yellow")
                    self._screen.close()
        if self._lively:
            self._screen.notice(
                f"-- left {clean(self._mark.session)}; `agent attach {clean(self._mark.session)}` returns"
            )
        return status or self._failed_with

    def _control(self, sequence: str) -> None:
        self._screen.printer.out.write(sequence)
        self._screen.printer.out.flush()

    def _leave(self, status: int) -> None:
        if self._left is not None and not self._left.done():
            self._left.set_result(status)

    # --- what the session does ---------------------------------------------------------------------------------------

    def _banner(self, first: Hydration) -> None:
        session = self._view.session
        if first.session is not None:
            for line in banner(first.session):
                self._screen.notice(line)
            if first.session.backend == TERMINAL:
                self._screen.notice(f"-- it has a terminal: `agent attach --raw {session}` shows it")
            if first.truncated:
                self._screen.notice(f"-- earlier: `agent log {session}`")
        here = also_here(self._view.others.values())
        if here:
            self._screen.notice(f"-- {here}")
        self._hydrate(first)
        if self._lively and first.commands:
            self._screen.notice(commands_line(first.commands))
        if self._lively:
            self._screen.notice("-- Ctrl-C interrupts the turn, Alt-Enter steers it, Ctrl-D leaves")

    def _hydrate(self, hydration: Hydration) -> None:
        if hydration.anew:
            self._screen.notice(f"-- {sentence(LogReplaced())}. It says:", "yellow")
            self._transcript = TranscriptPrinter(self._screen)
        self._transcript.hydrate(hydration)
        if hydration.again and not hydration.anew:
            self._screen.notice(f"-- {sentence(Resumed())}")

    async def _follow(self, changes: AsyncIterator[Change]) -> None:
        async for change in changes:
            match change:
                case LogEntry():
                    self._drop_draft(change)
                    self._transcript.show(change)
                case Hydration():
                    self._hydrate(change)
                case _:
                    self._screen.notice(f"-- {sentence(change)}", style_of(change))
            self._redraw()
            self._maybe_leave()

    def _maybe_leave(self) -> None:
        if self._view.ended:
            self._screen.notice(f"-- the session has {self._view.ended}")
            self._leave(Exit.OK if self._view.ended == "ended" else Exit.FAILED)
        if self._ended_input and self._outbox.empty and not self._view.running:
            self._leave(Exit.OK)

    # --- what the person does ----------------------------------------------------------------------------------------

    @property
    def _request(self) -> RequestOpen | None:
        requests = self._view.requests.values()
        return next((request for request in requests if request.request_id != self._answered), None)

    @property
    def _asked(self) -> Answering | None:
        # A form that is half filled in goes on until its request is answered, here or elsewhere.
        request = self._request
        if request is None:
            self._answering = None
        elif self._answering is None or self._answering.request != request:
            self._answering = Answering(request, self._keyboard.editor.text)
        return self._answering

    def _redraw(self) -> None:
        asked, editor = self._asked, self._keyboard.editor
        editor.secret = asked is not None and asked.request.kind == "secret"
        prompt = "> " if asked is None else asked.label
        if self._view.running and asked is None and not editor.text:
            prompt = ""
        self._screen.edit(prompt, *(("", 0) if editor.secret else (editor.text, editor.cursor)))

    async def _listen(self, stream: Stream, tasks: asyncio.TaskGroup) -> None:
        while True:
            given = await self._inputs.get()
            match given:
                case Typed(text=text) if text.strip() or self._request is not None:
                    self._warned = False
                    self._typed(stream, tasks, given)
                case InterruptPressed():
                    self._interrupt(stream, tasks)
                case Stopped(signal=number):
                    self._leave(128 + number)
                case InputEnded() if self._lively:
                    self._leave(Exit.OK)
                case InputEnded():
                    self._ended_input = True
                    if self._request is not None:
                        self._hint_answer(self._request)
                    self._maybe_leave()
                case LineChanged() | Typed():
                    pass
            self._redraw()

    def _typed(self, stream: Stream, tasks: asyncio.TaskGroup, given: Typed) -> None:
        asked = self._asked
        if asked is None or (given.steer and given.text.strip() and asked.request.kind != "secret"):
            self._outbox.put(given)
            return
        label = asked.label
        try:
            answer = asked.take(given.text)
        except AgentError as exc:
            self._trouble(exc)
            return
        if answer is None:
            self._screen.notice(f"   {label}{clean(given.text)}")
            return
        request, complete = asked.request, answer
        self._answered = request.request_id
        self._controls.begin(tasks, lambda call: self._answer(stream, request, complete, given, call))

    def _drop_draft(self, entry: LogEntry) -> None:
        # Half an answer to what is no longer asked would be sent as a prompt; it may be half a password.
        asked, closed = self._answering, entry.payload
        if not isinstance(closed, RequestClosed) or asked is None or asked.request.request_id != closed.request_id:
            return
        editor = self._keyboard.editor
        if lost := asked.unsent(editor.text, closed):
            self._screen.notice(f"-- {lost}", "yellow")
            editor.clear()
            editor.put_back(asked.drafted)

    async def _answer(
        self, stream: Stream, request: RequestOpen, answer: Answer, given: Typed, call: WaitingCall
    ) -> None:
        try:
            told = await submit_answer(stream, self._mark.session, request, answer, call=call)
        except AgentError as exc:
            self._trouble(exc)
            if request.kind in {"line", "keys", "choices"}:
                self._keyboard.editor.put_back(given.text)
        else:
            self._view.answered(request.request_id)
            if why := too_late(told, request):
                self._screen.notice(f"-- {why}", "yellow")
        finally:
            self._answered = None

    def _interrupt(self, stream: Stream, tasks: asyncio.TaskGroup) -> None:
        if self._keyboard.editor.clear() or self._take_back(stream):
            return
        turn = self._view.turn
        if self._view.running and self._interrupted != turn:
            self._interrupted, self._warned = turn, not self._lively
            self._controls.begin(tasks, lambda call: self._stop(stream, turn, call))
        elif self._lively and not self._warned:
            self._warned = True
            self._screen.notice(f"-- {LEAVE}")
        else:
            self._leave(Exit.OK if self._lively else Exit.INTERRUPTED)

    async def _stop(self, stream: Stream, turn: int, call: WaitingCall) -> None:
        try:
            await stream.insist(SESSION_INTERRUPT, Interrupt(session_id=self._mark.session, turn=turn), call=call)
        except AgentError as exc:
            if isinstance(exc, TakenBack):
                self._interrupted = -1
            self._trouble(exc)

    # --- what was not sent yet ---------------------------------------------------------------------------------------

    def _waiting(self, note: Waiting, about: str = "") -> None:
        line = self._waiting_lines.line(note, about=about)
        if line:
            self._screen.notice(f"-- {line}", "yellow")

    def _accepted(self, told: Submitted) -> None:
        self._view.submitted(told)
        self._redraw()
        self._maybe_leave()

    def _not_sent(self, given: Typed, exc: AgentError) -> None:
        if isinstance(exc, TakenBack):
            self._screen.notice("-- taken back: it was not sent")
        else:
            self._trouble(exc, given.text)
        line = not_sent(given.text, doubtful=isinstance(exc, PeerLost))
        if self._lively:
            if not self._keyboard.editor.put_back(given.text):
                self._screen.notice(f"-- {line}", "yellow")
        else:
            self._failed_with = self._failed_with or STATUS_OF.get(exc.kind, Exit.FAILED)
            self._screen.notice(f"-- {line}", "yellow")
            if self._failed_with == Exit.UNREACHABLE:
                self._outbox.stop()  # nor would the next line be
                self._leave(Exit.UNREACHABLE)
        self._redraw()
        self._maybe_leave()

    def _take_back(self, stream: Stream) -> bool:
        # The newest of what waits, and whether there was any.
        control = self._controls.newest_waiting()
        if not self._outbox.waits and control is None:
            return False
        if not self._lively:
            self._leave(Exit.INTERRUPTED)
        elif control is not None:
            stream.take_back(control)
        elif (given := self._outbox.take_back()) is not None:
            self._keyboard.editor.put_back(given.text)
        return True

    def _trouble(self, exc: AgentError, about: str = "") -> None:
        which = f"{clean(excerpt(about))}: " if about and isinstance(exc, PeerLost) else ""
        self._screen.notice(f"-- {which}{clean(str(exc), 4096)}" + (f" ({clean(exc.hint)})" if exc.hint else ""), "red")

    def _hint_answer(self, request: RequestOpen) -> None:
        self._screen.notice(f"-- answer with {how_to_answer(self._mark.session, request)}")
