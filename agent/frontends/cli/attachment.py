"""A session on the terminal, followed and spoken to; and the same in a pipe."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import AsyncIterator, Sequence

from agent.client.answers import how_to_answer
from agent.client.follow import Mark
from agent.client.pending import WaitingCall, WaitingLines
from agent.client.prompts import not_sent
from agent.client.stream import Stream
from agent.client.terminal_text import clean, fit, one_line, session_title
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
from agent.errors import AgentError, PeerLost, TakenBack
from agent.frontends.cli.controls import AnswerLine, Controls, TakeBack, tell_trouble
from agent.frontends.cli.keyboard import Input, InterruptPressed, Keyboard, Stopped
from agent.frontends.cli.line_editor import InputEnded, LineChanged, ScreenPressed, TakeBackPressed, Typed
from agent.frontends.cli.main import STATUS_OF, App, Exit
from agent.frontends.cli.outbox import Outbox
from agent.frontends.cli.output import Printer, local_time
from agent.frontends.cli.progress import TurnProgress
from agent.frontends.cli.screen import SplitScreen
from agent.frontends.cli.tail import TranscriptTail
from agent.frontends.cli.terminal_switch import TerminalSwitch
from agent.frontends.cli.transcript import TranscriptPrinter, style_of
from agent.protocol.events import TEXT_MAX, Command, RequestOpen
from agent.protocol.messages import Interrupt, Submitted
from agent.protocol.methods import SESSION_INTERRUPT
from agent.protocol.model import SessionRow, Status
from agent.protocol.waiting import Waiting

STDIN = 0
SHELL, TERMINAL = "shell", "terminal"
"""Backends whose sessions have a terminal to show; those of the second are best seen as they are."""
HINT_MAX = 30
"""Columns of what may follow a command."""
COMMANDS_MAX = 12
"""Commands of an agent that are named."""
LEAVE = "Ctrl-C again, or Ctrl-D, leaves; the session goes on"


def is_lively(printer: Printer) -> bool:
    """Whether there is a terminal to draw on and to type at."""
    return sys.stdin.isatty() and printer.tty and not printer.dumb


def has_screen(row: SessionRow) -> bool:
    """Whether a session is best seen as it is: on the screen that its program draws."""
    return (row.backend == TERMINAL or bool(row.screen)) and row.status.live


def restart_hint(session: str) -> str:
    """How an ended session is started anew."""
    return f"`agent new --again {clean(session)}` starts it anew"


def banner(row: SessionRow) -> list[str]:
    """What a person needs to know of the session first."""
    title, device = session_title(row.title), clean(row.device.name) or row.device.id
    program, _, remark = clean(row.program).partition(": ")
    parts = [f"-- {title}", f"on {device}", clean(row.backend) or "?"]
    parts += [part for part in (program, clean(row.model)) if part]
    if row.created_at:
        parts.append(f"since {local_time(row.created_at)}")
    return [" · ".join(parts), *([f"-- {program}: {remark}"] if remark else [])]


def commands_line(commands: Sequence[Command]) -> str:
    """The commands that the agent knows, in one line, with what may follow each."""
    named = [f"/{clean(command.name)}{_hint(command)}" for command in commands[:COMMANDS_MAX]]
    rest = len(commands) - len(named)
    return f"-- commands: {' '.join(named)}" + (f" and {rest} more" if rest else "")


def _hint(command: Command) -> str:
    hint = fit(one_line(command.hint), HINT_MAX)
    return "" if not hint else f" {hint}" if hint[0] in "<[" else f" <{hint}>"


def follows(waiting: int, *, keys: bool) -> str:
    """What comes after a turn that is interrupted; `keys`: there are some that take prompts back."""
    told = "1 prompt waits and runs next" if waiting == 1 else f"{waiting} prompts wait and run next"
    return told + ("; Up takes the newest back" if keys else "")


class TextAttachment:
    """A session that is followed and spoken to, from the first hydration until the person leaves or it ends."""

    def __init__(
        self, app: App, stream: Stream, mark: Mark, view: SessionView, lines: int | None, *, asked: str, wait: float
    ) -> None:
        """`asked`: the session as the person named it. `wait`: seconds to wait for a device out of reach."""
        self._printer = app.printer
        self._asked = clean(asked)  # as the session was named by who wants to return
        self._stream, self._mark, self._view = stream, mark, view
        self._lively = is_lively(app.printer)
        self._screen = screen = SplitScreen(app.printer, lively=self._lively)
        self._tail = TranscriptTail(screen, lines)
        self._transcript = TranscriptPrinter(screen)
        self._progress = TurnProgress()
        self._backend = ""
        self._inputs: asyncio.Queue[Input] = asyncio.Queue()  # as fast as a person types, or as long as the pipe is
        self._keyboard = Keyboard(STDIN, self._inputs.put_nowait, lively=self._lively)
        self._waiting_lines = WaitingLines()
        self._controls = controls = Controls(self._waiting, self._redraw)
        self._outbox = outbox = Outbox(
            stream,
            mark,
            shown=lambda text: screen.notice(f"> {clean(text, TEXT_MAX)}"),
            waiting=self._waiting,
            accepted=self._accepted,
            failed=self._not_sent,
        )
        editor = self._keyboard.editor
        self._answers = AnswerLine(stream, mark, view, screen=screen, editor=editor, controls=controls)
        self._take_back = TakeBack(stream, mark, view, screen=screen, editor=editor, controls=controls, outbox=outbox)
        self._terminal = TerminalSwitch(app, screen, self._keyboard, waiting=self._waiting, wait=wait)
        self._left: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.was_over = False  # whether it had ended before, and the person can be asked what now
        self._told_over = False
        self._ended_input = False
        self._warned = False
        self._interrupted = -1  # the turn that Ctrl-C was meant for last: once more, and it leads out
        self._failed_with: int = Exit.OK  # status of the first prompt of a pipe that was not accepted

    async def run(self, first: Hydration, changes: AsyncIterator[Change]) -> int:
        """Show the session and what follows until the end; the exit status."""
        self._stream.waiting = self._waiting
        await self._banner(first)
        if first.session is not None and not first.session.status.live:
            self._tell_over()
            self.was_over = self._lively
            if self.was_over:
                return Exit.OK if first.session.status is Status.ENDED else Exit.FAILED
        screen = self._screen
        with self._terminal.held():
            try:
                async with asyncio.TaskGroup() as tasks:
                    jobs = [
                        tasks.create_task(self._follow(changes), name="cli.follow"),
                        tasks.create_task(self._listen(tasks), name="cli.input"),
                        tasks.create_task(self._outbox.run(), name="cli.submit"),
                        tasks.create_task(self._tick(), name="cli.progress"),
                    ]
                    self._redraw()
                    status: int = await self._left
                    self._controls.cancel()
                    self._terminal.cancel()
                    for job in jobs:
                        job.cancel()
            finally:
                screen.bottom("", "", "")
                given_back = [*self._outbox.given_back(), *self._draft()]
                for line in given_back:
                    screen.notice(f"-- {line}", "yellow")
                screen.close()
        if self._lively and not self._view.ended:
            screen.notice(f"-- left {self._asked}; `agent attach {shlex.quote(self._asked)}` returns")
        return status or self._failed_with or (Exit.FAILED if given_back and not self._lively else Exit.OK)

    def _draft(self) -> list[str]:
        # What is on the line while one leaves, as a line to be printed: it is lost else.
        editor = self._keyboard.editor
        return [not_sent(editor.text)] if editor.text.strip() and not editor.secret else []

    def _leave(self, status: int) -> None:
        if not self._left.done():
            self._left.set_result(status)

    # --- what the session does ---------------------------------------------------------------------------------------

    async def _banner(self, first: Hydration) -> None:
        session = self._view.session
        if first.session is not None:
            self._backend = first.session.backend
            self._terminal.there = self._backend in {SHELL, TERMINAL}
            for line in banner(first.session):
                self._screen.notice(line)
            if first.session.screen:
                self._terminal.tell_program(first.session.screen, session)
            elif has_screen(first.session) and not self._lively:  # else it was offered
                told = f"`agent attach --raw {session}` shows it; what is sent here is typed into its program"
                self._screen.notice(f"-- it has a screen of its own: {told}")
        here = also_here(self._view.others.values())
        if here:
            self._screen.notice(f"-- {here}")
        await self._hydrate(first)
        if self._lively and first.commands:
            self._screen.notice(commands_line(first.commands))
        if self._lively and first.session is not None and first.session.status.live:
            shows = "Ctrl-V shows its terminal, " if self._terminal.there else ""
            self._screen.notice(f"-- Ctrl-C interrupts the turn, Alt-Enter steers it, {shows}Ctrl-D leaves")

    async def _hydrate(self, hydration: Hydration) -> None:
        if hydration.anew:
            self._screen.notice(f"-- {sentence(LogReplaced())}. It says:", "yellow")
            self._progress = TurnProgress()
        for entry in hydration.entries:
            self._progress.take(entry, self._printer.now(), live=False)
        if hydration.session is not None:  # else the log was resumed
            self._transcript = await self._tail.show(self._stream, self._view.session, self._mark.seq, hydration)
        if hydration.again and not hydration.anew:
            self._screen.notice(f"-- {sentence(Resumed())}")

    async def _follow(self, changes: AsyncIterator[Change]) -> None:
        async for change in changes:
            match change:
                case LogEntry():
                    self._answers.drop_draft(change)
                    self._progress.take(change, self._printer.now(), live=True)
                    self._screen.moving(self._view.rows)  # what moved and is now said must not stand twice
                    self._transcript.show(change)
                    self._terminal.tell(change, self._view.session)
                case Hydration():
                    await self._hydrate(change)
                case RowsMoved():
                    pass
                case _:
                    self._screen.notice(f"-- {sentence(change)}", style_of(change))
            self._redraw()
            self._maybe_leave()

    async def _tick(self) -> None:
        # Time goes on while nothing happens.
        while True:
            await asyncio.sleep(1.0)
            if self._lively:
                self._redraw()
            elif self._printer.tty and self._progress.due(self._printer.now()):
                self._screen.notice(self._running())

    def _tell_over(self) -> None:
        if not self._told_over:
            self._told_over = True
            self._screen.notice(f"-- {restart_hint(self._mark.session)}")

    def _maybe_leave(self) -> None:
        if self._view.ended:
            self._tell_over()
            self._leave(Exit.OK if self._view.ended == "ended" else Exit.FAILED)
        if self._ended_input and self._outbox.empty and not self._view.running:
            self._leave(Exit.OK)

    # --- what the person does ----------------------------------------------------------------------------------------

    def _running(self) -> str:
        # One line that tells what runs and what waits; "" if that needs no word.
        return self._progress.line(
            self._printer.now(),
            (self._printer.columns or 80) - 1,
            backend=self._backend,
            asked=self._answers.request is not None,
            waiting=len(self._view.queue),
            unsent=len(self._outbox.unsent),
            newest=self._take_back.newest if self._lively else "",
        )

    def _redraw(self) -> None:
        asked, editor = self._answers.asked, self._keyboard.editor
        editor.secret = asked is not None and asked.request.kind == "secret"
        editor.takes_back = not editor.secret and bool(self._take_back.newest)
        running = self._running()
        prompt = "> " if asked is None else asked.label
        if self._view.running and asked is None and not editor.text and not running:
            prompt = ""
        self._screen.moving(self._view.rows)
        self._screen.bottom(running, prompt, *(("", 0) if editor.secret else (editor.text, editor.cursor)))

    async def _listen(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            given = await self._inputs.get()
            match given:
                case Typed(text=text) if text.strip() or self._answers.request is not None:
                    self._warned = False
                    self._typed(tasks, given)
                case InterruptPressed():
                    self._interrupt(tasks)
                case TakeBackPressed():
                    self._take_back.take(tasks)
                case ScreenPressed():
                    self._terminal.show(tasks, self._view, self._leave)
                case Stopped(signal=number):
                    self._leave(128 + number)
                case InputEnded() if self._lively:
                    self._leave(Exit.OK)
                case InputEnded():
                    self._ended_input = True
                    if self._answers.request is not None:
                        self._hint_answer(self._answers.request)
                    self._maybe_leave()
                case LineChanged() | Typed():
                    pass
            self._redraw()

    def _typed(self, tasks: asyncio.TaskGroup, given: Typed) -> None:
        asked = self._answers.asked
        if asked is None or (given.steer and given.text.strip() and asked.request.kind != "secret"):
            self._outbox.put(given)
        else:
            self._answers.take(asked, given, tasks)

    def _interrupt(self, tasks: asyncio.TaskGroup) -> None:
        turn = self._view.turn
        if self._terminal.cancel():  # it waits for the session's device
            self._screen.notice("-- its terminal is not shown")
        elif self._keyboard.editor.clear():
            if self._view.running:
                self._screen.notice("-- line cleared; Ctrl-C again interrupts the turn")
        elif self._take_back.unsent:
            if self._lively:
                self._take_back.take_unsent()
            else:
                self._leave(Exit.INTERRUPTED)
        elif self._view.running and self._interrupted != turn:
            self._interrupted, self._warned = turn, not self._lively
            if self._view.queue:
                self._screen.notice(f"-- interrupting; {follows(len(self._view.queue), keys=self._lively)}")
            self._controls.begin(tasks, lambda call: self._stop(turn, call))
        elif self._lively and not self._warned:
            self._warned = True
            self._screen.notice(f"-- {LEAVE}")
        else:
            self._leave(Exit.OK if self._lively else Exit.INTERRUPTED)

    async def _stop(self, turn: int, call: WaitingCall) -> None:
        try:
            await self._stream.insist(SESSION_INTERRUPT, Interrupt(session_id=self._mark.session, turn=turn), call=call)
        except AgentError as exc:
            if isinstance(exc, TakenBack):
                self._interrupted = -1
            tell_trouble(self._screen, exc)

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
            tell_trouble(self._screen, exc, given.text)
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

    def _hint_answer(self, request: RequestOpen) -> None:
        self._screen.notice(f"-- answer with {how_to_answer(self._mark.session, request)}")
