"""One shell session: turns are commands in a bash that lives as long as the session."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import secrets
from collections import deque
from typing import Any

from agent.adapters.backends.commands.driver import (
    RESUME,
    CommandEnded,
    CommandStarted,
    Report,
    ReportReader,
    RunningShell,
    ShellNamed,
    ShellReady,
    ShellStranded,
    StartupRefused,
)
from agent.adapters.backends.commands.subshells import outlast_busy_copies
from agent.adapters.backends.commands.turn import LOOK_MAX, QUIET, CommandTurn
from agent.adapters.backends.pty.awaited_input import awaited_input
from agent.adapters.backends.pty.hangup import end_session
from agent.adapters.backends.pty.typing import typed_answer
from agent.adapters.backends.pty.writer import NonBlockingWriter
from agent.adapters.backends.tasks import BackendTasks
from agent.errors import BackendFailed
from agent.ports import TURN_OVER, Asked, Described, Emit, Finished, Said, Withdrew
from agent.processes import children
from agent.protocol.control_sequences import without_sequences
from agent.protocol.events import Answer, RequestKind, TurnStatus
from agent.protocol.excerpts import left_out
from agent.tasks import owned

CHUNK = 16_384
"""Bytes read, and so characters emitted, at a time."""
DRAIN_MAX = 1_048_576
"""Bytes still read when a command is over: all of its own output, without waiting for jobs that print for ever."""

ASKING = 1.0
"""Seconds without output after which a start-up file that waits for input is believed to ask a person."""
WENT_ON = "the command went on without an answer"
BACKGROUND_MAX = 65_536
"""Characters of what jobs have printed that are kept: the newest."""


class CommandsSession:
    """A session with a bash on a terminal (`ports.Backend`, docs/design/backends.md).

    One task does everything in order; `interrupt` and `answer` act at once. What the terminal gives is read only as
    fast as `emit` takes it, so that a program that prints too much waits at its next write.
    """

    def __init__(self, running: RunningShell, emit: Emit) -> None:
        self._shell = running
        self._terminal = running.terminal
        self._process = running.process
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._commands, self._keyboard = NonBlockingWriter(running.commands), NonBlockingWriter(running.terminal.master)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._reader, self._reports = ReportReader(), deque[Report]()
        self._turn: CommandTurn | None = None
        self._refused = ""  # why the turn was not begun at all
        self._count = 0
        self._echo: bool | None = None  # while bash is stranded: whether its terminal showed what is typed
        self._asked_count, self._prefix = 0, secrets.token_hex(4)
        self._background, self._directory, self._version = Background(), "", ""
        self._heard_at = self._loop.time()  # when anything was printed outside of turns
        self._ready: asyncio.Future[str] = self._loop.create_future()
        self._loop.add_reader(self._terminal.master, self._on_output)
        self._loop.add_reader(running.reports, self._on_report)
        self._exit = owned(self._process.wait(), "backends.commands.exit")
        self._exit.add_done_callback(lambda _: self._wake.set())
        self._tasks = BackendTasks(emit, "commands", release=self._release)
        self._tell = self._tasks.emit
        self._tasks.spawn(self._run(), "session")

    async def ready(self, seconds: float) -> str:
        """Wait for the driver in bash; why it does not answer within that time, empty if it does."""
        either: list[asyncio.Future[Any]] = [self._ready, self._exit]
        until = self._loop.time() + seconds
        while not self._ready.done():
            await asyncio.wait(either, timeout=LOOK_MAX, return_when=asyncio.FIRST_COMPLETED)
            if self._exit.done():
                return "it ends the shell"
            if program := self._shell.given_way():
                return f"it starts another program ({program})"
            if question := self._asks():
                return question
            if self._loop.time() >= until:
                return f"it did not come to its end within {seconds:g} s"
        return self._ready.result()

    def _asks(self) -> str:
        """What a start-up file waits for; empty if it does not wait for anybody to type."""
        now = self._loop.time()
        if now - self._heard_at < ASKING:
            return ""
        line = without_sequences(self._background.last_line())
        kind = awaited_input(self._terminal, self._process.pid, quiet=now - self._heard_at, half_line=bool(line))
        if kind is None:
            return ""
        return f"it asks “{line.strip()}”" if line.strip() else "it waits for somebody to type"

    async def begin(self, note: str, more: str) -> None:
        """Tell where bash starts and what it is, with `more` about it; after `ready`.

        The first turn says `note` first, not what start-up files printed.
        """
        self._background.take()
        self._background.add(note)
        await self._tell(Described(cwd=self._directory, program=f"bash {self._version}{more}"))

    async def prompt(self, text: str) -> None:
        """Run a command in the shell. Raises: BackendFailed, if that has ended."""
        if self._tasks.over or self._exit.done():
            raise BackendFailed("the shell has ended", hint="start another session: `agent new`")
        assert self._turn is None, "one turn at a time"
        self._count += 1
        frame = f"{self._shell.token} {self._count} {text} {self._shell.token}\0".encode(errors="replace")
        self._turn = CommandTurn(self._count, frame, children(self._process.pid), self._loop.time())
        if "\0" in text:
            self._refused = "a command cannot hold NUL characters"
            self._wake.set()
            return
        self._terminal.forget_input()
        self._commands.feed(self._turn.frame)
        self._wake.set()

    async def answer(self, request_id: str, answer: Answer) -> None:
        """Type an answer (`typed_answer`). A secret is typed only while the terminal does not show it.

        Raises: BadParams, TooLarge.
        """
        turn = self._turn
        if turn is None or turn.asked is None or turn.asked.request_id != request_id:
            return
        kind = turn.asked.kind
        data = typed_answer(kind, answer)
        turn.asked = None
        turn.stirred(self._loop.time())
        if kind != "secret" or self._terminal.mode() == "no-echo":
            self._keyboard.feed(data)
        self._wake.set()

    async def interrupt(self) -> None:
        """Stop the command: Ctrl-C first; asked again, SIGTERM, then SIGKILL for a program that does not listen."""
        if self._turn is not None and not self._tasks.over:
            self._turn.interrupts += 1
            self._turn.signalled = 0
            self._press()
            self._wake.set()

    def processes(self) -> tuple[int, ...]:
        """The process id of bash, which leads the session of the terminal (`ports.RunsPrograms`)."""
        return () if self._exit.done() else (self._process.pid,)

    async def close(self) -> None:
        """End every process of the terminal and wait for them. Idempotent.

        Called from within `emit`, it returns at once and they end when that has returned.
        """
        await self._tasks.close()

    # --- the one task ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._serve()
        finally:
            await self._tasks.release()
        if self._ready.done():
            await self._tell(self._shell.last_word())

    async def _serve(self) -> None:
        while not self._exit.done():
            await self._sleep()
            await self._take_output(CHUNK)
            await self._take_reports()
            await self._look()
        await self._take_output(DRAIN_MAX)
        await self._take_reports()
        await self._withdraw()

    async def _sleep(self) -> None:
        turn = self._turn
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(turn.look_after if turn is not None and turn.started else None):
                await self._wake.wait()
        self._wake.clear()

    async def _take_output(self, size: int) -> None:
        """Read and pass on what is there, up to `size` bytes."""
        if self._turn is not None and self._turn.started and self._background:
            await self._say(self._background.take())
        while size > 0:
            data, drained = self._terminal.read(min(size, CHUNK))
            size -= len(data)
            text = self._decoder.decode(data)
            if text:
                await self._say(text)
            if drained:
                self._await_output()
                return
        self._wake.set()  # the rest in the next round, so that reports and interrupts come in between
        await asyncio.sleep(0)  # nothing else need have waited

    async def _say(self, text: str) -> None:
        turn = self._turn
        if turn is None or not turn.started:
            self._background.add(text)
            self._heard_at = self._loop.time()
            return
        for start in range(0, len(text), CHUNK):
            await self._tell(Said(text[start : start + CHUNK]))
        turn.said(text, self._loop.time())

    async def _take_reports(self) -> None:
        if self._refused:
            self._turn = None
            error = self._refused
            self._refused = ""
            await self._tell(Finished(status="error", error=error, cwd=self._directory))
        while self._reports:
            report, turn = self._reports.popleft(), self._turn
            if isinstance(report, ShellNamed):
                self._version = report.version
            elif isinstance(report, ShellStranded):
                self._resume()
            elif turn is None or isinstance(report, ShellReady | StartupRefused) or report.number != turn.number:
                self._resumed()
                await self._at_the_top(report)
            elif isinstance(report, CommandStarted):
                turn.started = True
                self._press()
            else:
                self._resumed()
                await self._finish(turn, report)

    async def _at_the_top(self, report: Report) -> None:
        """Bash reports outside of a turn: it is ready, or an interrupt that came late threw it there once more."""
        await self._take_output(DRAIN_MAX)
        self._background.forget_blank_line()  # bash began a new line before it reported
        if isinstance(report, StartupRefused):
            if not self._ready.done():
                self._ready.set_result(report.reason)
        elif isinstance(report, ShellReady) and not self._ready.done():
            self._directory = report.directory
            self._ready.set_result("")
        elif self._turn is not None and not self._turn.started:  # it may have torn the command
            self._commands.feed(self._turn.frame)

    async def _finish(self, turn: CommandTurn, report: CommandEnded) -> None:
        if turn.interrupts:
            await outlast_busy_copies(self._process.pid, turn.jobs)
        await self._take_output(DRAIN_MAX)
        rest = self._decoder.decode(b"", final=True)
        if rest:
            await self._say(rest)
        await self._withdraw()
        self._keyboard.forget()
        self._terminal.forget_input()
        self._turn = None
        if report.directory != self._directory:
            self._directory = report.directory
            await self._tell(Described(cwd=report.directory))
        status: TurnStatus = "interrupted" if turn.interrupts else "complete"
        await self._tell(Finished(status=status, exit_status=report.status, cwd=report.directory))

    async def _look(self) -> None:
        """See whether the program waits for a person, and tell when that changes."""
        turn = self._turn
        if turn is None or not turn.started:
            return
        if turn.interrupts:
            if turn.is_stranded(self._terminal, self._process.pid):
                self._resume()
            else:
                self._press()
            turn.look_after = QUIET / 10
            return
        quiet = self._loop.time() - turn.said_at
        if turn.asked is None and quiet < turn.look_after:
            return
        kind = awaited_input(self._terminal, self._process.pid, quiet=quiet, half_line=bool(turn.line))
        turn.look_after = min(turn.look_after * 1.5, LOOK_MAX)
        if turn.asked is not None and turn.asked.kind != kind:
            await self._withdraw()
        if kind is not None and turn.asked is None:
            await self._ask(turn, kind)

    async def _ask(self, turn: CommandTurn, kind: RequestKind) -> None:
        self._asked_count += 1
        asked = Asked(request_id=f"{self._prefix}-{self._asked_count}", kind=kind, prompt=turn.prompt)
        turn.asked = asked
        await self._tell(asked)

    async def _withdraw(self) -> None:
        turn = self._turn
        if turn is not None and turn.asked is not None:
            asked, turn.asked = turn.asked, None
            reason = TURN_OVER["interrupted"] if turn.interrupts else WENT_ON
            await self._tell(Withdrew(asked.request_id, reason))

    # --- beside it ---------------------------------------------------------------------------------------------------

    def _press(self) -> None:
        if self._turn is not None:
            self._turn.press(self._terminal, self._keyboard, self._process.pid)

    def _resume(self) -> None:
        """Have a bash that is at a prompt of its own go on as the driver."""
        self._keyboard.forget()
        self._terminal.forget_input()
        if self._echo is None:
            self._echo = self._terminal.echo(False)
        self._keyboard.feed(RESUME)

    def _resumed(self) -> None:
        """Note that the driver reports: what is typed from now on is for programs."""
        if self._echo is not None:
            self._terminal.echo(self._echo)
            self._echo = None

    def _await_output(self) -> None:
        self._loop.add_reader(self._terminal.master, self._on_output)

    def _on_output(self) -> None:
        self._loop.remove_reader(self._terminal.master)
        self._wake.set()

    def _on_report(self) -> None:
        try:
            data = os.read(self._shell.reports, CHUNK)
        except BlockingIOError:
            return
        if data:
            self._reports.extend(self._reader.feed(data))
        else:  # the shell gave way to another program (`exec`), or ended: its end is noticed by its process
            self._loop.remove_reader(self._shell.reports)
        self._wake.set()

    async def _release(self) -> None:
        await end_session(self._process.pid, leader_reaped=self._process.returncode is not None)
        await asyncio.wait([self._exit])
        self._loop.remove_reader(self._terminal.master)
        self._loop.remove_reader(self._shell.reports)
        self._commands.forget()
        self._keyboard.forget()
        self._shell.release()


class Background:
    """What jobs print while no command runs: nobody's reply, so it waits for the next one.

    A bounded piece of text; the oldest of it leaves first and is counted.
    """

    def __init__(self) -> None:
        self._text, self._left_out = "", 0

    def __bool__(self) -> bool:
        return bool(self._text)

    def add(self, text: str) -> None:
        """Add text, in place of the oldest if there is too much."""
        everything = self._text + text
        self._text = everything[-BACKGROUND_MAX:]
        self._left_out += len(everything) - len(self._text)

    def forget_blank_line(self) -> None:
        """Drop an empty line at the start of the text."""
        self._text = self._text.removeprefix("\n")

    def last_line(self) -> str:
        """What stands after the last line feed."""
        return self._text.rpartition("\n")[2]

    def take(self) -> str:
        """Return all of the text; then there is none."""
        text = f"{left_out(self._left_out)}\n{self._text}" if self._left_out else self._text
        self._text, self._left_out = "", 0
        return text
