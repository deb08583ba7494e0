"""One program on a terminal: turns are what is typed for it and what it writes until it waits again."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal

from agent.adapters.backends.pty.awaited_input import reads_terminal
from agent.adapters.backends.pty.hangup import end_session
from agent.adapters.backends.pty.typing import LINE_MAX
from agent.adapters.backends.tasks import BackendTasks
from agent.adapters.backends.terminal.launch import RunningProgram
from agent.adapters.backends.terminal.output import CommandOutput
from agent.adapters.backends.terminal.prompts import SHELLS, TypedLines
from agent.adapters.backends.terminal.screen import ProgramScreen
from agent.adapters.backends.terminal.turn import TerminalTurn
from agent.errors import BackendFailed, TooLarge
from agent.ports import Described, Emit, Exited, Finished, Said, Tail
from agent.ports.terminal import Terminal
from agent.processes import process_name
from agent.protocol.events import Answer
from agent.protocol.model import NAME_MAX
from agent.protocol.names import clean
from agent.tasks import owned

QUIET = 0.1
"""Seconds without output before anybody looks whether the program waits for input."""
LONG_QUIET = 1.0
"""Seconds without output after which a program counts as waiting, if nobody can tell: it takes keys, not lines."""
HALF_LINE_QUIET = 5.0
"""Those for a program that takes lines, has printed half a line (a question?) and is not seen to read."""
LOOK = 0.1
"""Seconds between two looks."""
TOLD_APART = 1.0
"""Seconds between two times that it is told who has the whole screen: a program may take it and give it back all the
time."""
BEGIN_MAX, BEGIN_LOOK = 1.0, 0.01
"""Seconds that a program gets to be ready for what is typed, and between looks at it meanwhile."""

BEFORE = 65_536
"""Bytes of what was written before a prompt that are read for it: what stands on the screen is not its reply."""
WHOLE_SCREEN = b"\x1b[?1049h"
_PASTE_BEGINS, _PASTE_ENDS = b"\x1b[200~", b"\x1b[201~"


class TerminalSession:
    """A session with any program on a terminal (`ports.Backend`, `ports.RunsPrograms`, `ports.ShowsTerminal`)."""

    def __init__(self, running: RunningProgram, emit: Emit) -> None:
        self._process, self._terminal = running.process, running.terminal
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._turn: TerminalTurn | None = None
        self._screen = ProgramScreen(running.terminal, secrets.token_hex(8), self._heard)
        self._full, self._told_at = False, -TOLD_APART  # whether the whole screen was taken, as told; loop time
        self._exit = owned(self._process.wait(), "backends.terminal.exit")
        self._exit.add_done_callback(lambda _: self._wake.set())
        self._typed = TypedLines()
        self._tasks = BackendTasks(emit, "terminal", release=self._release)
        self._tell = self._tasks.emit
        self._tasks.spawn(self._run(), "session")

    @property
    def terminal(self) -> Terminal:
        """The program's terminal as viewers see it (`ports.ShowsTerminal`)."""
        return self._screen

    def processes(self) -> tuple[int, ...]:
        """The process id of the program, which leads the session of the terminal (`ports.RunsPrograms`)."""
        return () if self._exit.done() else (self._process.pid,)

    async def ready(self) -> None:
        """Return once the program listens, has ended, or had its time: an interrupt any earlier would end it."""
        until = self._loop.time() + BEGIN_MAX
        while not self._exit.done() and self._loop.time() < until:
            if self._terminal.mode() == "raw" or reads_terminal(self._terminal, self._process.pid):
                return
            await asyncio.wait([self._exit], timeout=BEGIN_LOOK)

    async def prompt(self, text: str) -> None:
        """Type a text and Enter. Raises: BackendFailed, if the program has ended; TooLarge, for a line that is."""
        if self._tasks.over or self._exit.done():
            raise BackendFailed("the program has ended", hint="start another session: `agent new`")
        assert self._turn is None, "one turn at a time"
        data = typed(text, pastes=self._screen.pastes)
        if self._terminal.mode() != "raw" and max(map(len, data.split(b"\r"))) > LINE_MAX:
            raise TooLarge(f"a terminal takes lines of up to {LINE_MAX:,} bytes")
        output = self._output()
        self._typed.type(text, *output.at_cursor, edits=self._terminal.mode() == "raw")
        self._turn = TerminalTurn(self._typed, output, self._loop.time())
        self._screen.keyboard.feed(data)
        self._wake.set()

    def _output(self) -> CommandOutput:
        # Only for a turn: what people see and type on the terminal needs no text.
        screen, now = self._screen, self._loop.time()
        output = CommandOutput(screen.size)
        output.feed(screen.read(max(screen.begin, screen.end - BEFORE), BEFORE), now)
        if screen.full:
            output.feed(WHOLE_SCREEN, now)
        return output

    async def answer(self, request_id: str, answer: Answer) -> None:
        """Do nothing: what a program asks is on its screen."""

    async def interrupt(self) -> None:
        """Type what interrupts (Ctrl-C, as a rule), if a turn runs; the program may take it as it likes."""
        if self._turn is not None and not self._tasks.over:
            self._turn.interrupted = True
            self._turn.stirred_at = self._loop.time()
            self._screen.keyboard.feed(self._terminal.interrupt_key())
            self._wake.set()

    async def close(self) -> None:
        """End every process of the terminal and wait for them. Idempotent; from within `emit` it returns at once."""
        await self._tasks.close()

    # --- the one task ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while not self._exit.done():
                await self._serve()
        finally:
            await self._tasks.release()
        if self._turn is not None:
            await self._say(self._turn, whole=True)
        await self._tell(self._last_word())

    async def _serve(self) -> None:
        turn = self._turn
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK if turn is not None or self._screen.full != self._full else None):
                await self._wake.wait()
        self._wake.clear()
        await self._tell_full()
        if turn is None:
            return
        moving = turn.moving(self._loop.time())
        await self._say(turn, whole=False)
        if moving is not None:
            await self._tell(Tail(moving))
        if self._waits(turn):
            if (name := process_name(self._terminal.foreground())) in SHELLS:
                turn.over(name, edits=self._terminal.mode() == "raw")
            await self._say(turn, whole=True)
            self._turn = None
            await self._tell(Finished(status="interrupted" if turn.interrupted else "complete"))

    async def _tell_full(self) -> None:
        # A transcript cannot show what a program draws: it says who does.
        now = self._loop.time()
        if self._screen.full != self._full and now >= self._told_at + TOLD_APART:
            self._full, self._told_at = self._screen.full, now
            name = clean(process_name(self._terminal.foreground()), NAME_MAX) or "a program"
            await self._tell(Described(screen=name if self._full else ""))

    def _heard(self, data: bytes) -> bytes:
        if self._turn is not None:
            self._turn.fit(self._screen.size)
            self._turn.heard(data, self._loop.time())
        self._wake.set()
        return data

    async def _say(self, turn: TerminalTurn, *, whole: bool) -> None:
        while text := turn.take(whole=whole):
            await self._tell(Said(text))

    def _waits(self, turn: TerminalTurn) -> bool:
        quiet = self._loop.time() - turn.stirred_at
        if quiet < QUIET or self._screen.keyboard.left or self._terminal.unread():
            return False
        reading = reads_terminal(self._terminal, self._process.pid)
        if reading:
            return True
        if self._terminal.mode() == "raw" or reading is None:
            return quiet >= LONG_QUIET
        return turn.half_line and quiet >= HALF_LINE_QUIET

    def _last_word(self) -> Exited:
        status = self._process.returncode
        assert status is not None
        if status < 0:
            return Exited(status="failed", reason=f"the program was ended by {signal.Signals(-status).name}")
        return Exited(status="ended", reason=f"exit status {status}", exit_status=status)

    async def _release(self) -> None:
        await end_session(self._process.pid, leader_reaped=self._process.returncode is not None)
        await asyncio.wait([self._exit])
        status = self._process.returncode
        self._screen.finish(status if status is not None and status >= 0 else None)
        self._terminal.close()


def typed(text: str, *, pastes: bool) -> bytes:
    """A text and Enter, as they are typed; several lines are pasted, if the program `pastes`."""
    lines = text.encode(errors="replace").replace(b"\r\n", b"\n").replace(b"\n", b"\r")
    if pastes and b"\r" in lines:
        lines = _PASTE_BEGINS + lines.replace(_PASTE_ENDS, b"") + _PASTE_ENDS
    return lines + b"\r"
