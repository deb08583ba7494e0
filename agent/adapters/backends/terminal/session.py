"""One program on a terminal: turns are what is typed for it and what it writes until it waits again."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal

from agent.adapters.backends.pty.processes import end_session
from agent.adapters.backends.pty.waiting import reads_terminal
from agent.adapters.backends.tasks import BackendTasks
from agent.adapters.backends.terminal.launch import Running
from agent.adapters.backends.terminal.screen import Screen
from agent.adapters.backends.terminal.turn import LINE_MAX, Turn, typed
from agent.errors import BackendFailed, TooLarge
from agent.ports import Emit, Exited, Finished, Said
from agent.ports.terminal import Terminal
from agent.protocol.events import Answer
from agent.tasks import owned

QUIET = 0.1
"""Seconds without output before anybody looks whether the program waits for input."""
LONG_QUIET = 1.0
"""Seconds without output after which a program counts as waiting, if nobody can tell: it takes keys, not lines."""
HALF_LINE_QUIET = 5.0
"""Those for a program that takes lines, has printed half a line (a question?) and is not seen to read."""
LOOK = 0.1
"""Seconds between two looks."""
BEGIN_MAX, BEGIN_LOOK = 1.0, 0.01
"""Seconds that a program gets to be ready for what is typed, and between looks at it meanwhile."""


class TerminalSession:
    """`ports.Backend`, `ports.RunsPrograms`, `ports.ShowsTerminal`."""

    def __init__(self, running: Running, emit: Emit) -> None:
        self._process, self._terminal = running.process, running.terminal
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._turn: Turn | None = None
        self._screen = Screen(running.terminal, secrets.token_hex(8), self._heard)
        self._exit = owned(self._process.wait(), "backends.terminal.exit")
        self._exit.add_done_callback(lambda _: self._wake.set())
        self._tasks = BackendTasks(emit, "terminal", release=self._release)
        self._tell = self._tasks.emit
        self._tasks.spawn(self._run(), "session")

    @property
    def terminal(self) -> Terminal:
        """`ports.ShowsTerminal`."""
        return self._screen

    def processes(self) -> tuple[int, ...]:
        """`ports.RunsPrograms`: the program, which leads the session of the terminal."""
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
        self._turn = Turn(text, self._loop.time())
        self._screen.keyboard.feed(data)
        self._wake.set()

    async def answer(self, request_id: str, answer: Answer) -> None:
        """Nothing is asked: what a program wants is on its screen."""

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
            async with asyncio.timeout(LOOK if turn is not None else None):
                await self._wake.wait()
        self._wake.clear()
        if turn is None:
            return
        await self._say(turn, whole=False)
        if self._waits(turn):
            await self._say(turn, whole=True)
            self._turn = None
            await self._tell(Finished(status="interrupted" if turn.interrupted else "complete"))

    def _heard(self, data: bytes) -> None:
        if self._turn is not None:
            self._turn.heard(data, self._loop.time())
            self._wake.set()

    async def _say(self, turn: Turn, *, whole: bool) -> None:
        while text := turn.take(whole=whole):
            await self._tell(Said(text))

    def _waits(self, turn: Turn) -> bool:
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
