"""One program on a terminal: turns are what is typed for it and what it writes until it waits again."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal

from agent.adapters.backends.pty.awaited_input import reads_terminal
from agent.adapters.backends.pty.hangup import end_session
from agent.adapters.backends.tasks import BackendTasks
from agent.adapters.backends.terminal.launch import RunningProgram
from agent.adapters.backends.terminal.plain_text import PlainText
from agent.adapters.backends.terminal.screen import ProgramScreen
from agent.errors import BackendFailed, TooLarge
from agent.ports import Described, Emit, Exited, Finished, Said
from agent.ports.terminal import Terminal
from agent.processes import process_name
from agent.protocol.events import Answer
from agent.protocol.excerpts import left_out
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
NOTES_APART = 10.0
"""Seconds between two notes on what has taken the whole screen: a program may take it and give it back all the time."""
BEGIN_MAX, BEGIN_LOOK = 1.0, 0.01
"""Seconds that a program gets to be ready for what is typed, and between looks at it meanwhile."""

SAID_MAX = 65_536
"""Characters of one reply that are told as they come. The terminal itself shows everything."""
END_MAX = 16_384
"""Bytes of what comes after those that are told at the end of the reply."""
PIECE = 16_384
"""Characters emitted at a time."""
LINE_MAX = 4000
"""Bytes in a line that a terminal hands to a program (4,095 on Linux)."""
_PASTE_BEGINS, _PASTE_ENDS = b"\x1b[200~", b"\x1b[201~"


class TerminalSession:
    """A session with any program on a terminal (`ports.Backend`, `ports.RunsPrograms`, `ports.ShowsTerminal`)."""

    def __init__(self, running: RunningProgram, emit: Emit) -> None:
        self._process, self._terminal = running.process, running.terminal
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._turn: TerminalTurn | None = None
        self._screen = ProgramScreen(running.terminal, secrets.token_hex(8), self._heard)
        self._full, self._noted_at = (
            False,
            -NOTES_APART,
        )  # whether the screen was taken; loop time of the last note on it
        self._exit = owned(self._process.wait(), "backends.terminal.exit")
        self._exit.add_done_callback(lambda _: self._wake.set())
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
        self._turn = TerminalTurn(text, self._loop.time())
        self._screen.keyboard.feed(data)
        self._wake.set()

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
            async with asyncio.timeout(LOOK if turn is not None else None):
                await self._wake.wait()
        self._wake.clear()
        await self._note_full()
        if turn is None:
            return
        await self._say(turn, whole=False)
        if self._waits(turn):
            await self._say(turn, whole=True)
            self._turn = None
            await self._tell(Finished(status="interrupted" if turn.interrupted else "complete"))

    async def _note_full(self) -> None:
        # A transcript cannot show what a program draws: it says what is there, and how to see it.
        before, self._full = self._full, self._screen.full
        if not self._full or before or self._loop.time() < self._noted_at + NOTES_APART:
            return
        self._noted_at = self._loop.time()
        name = clean(process_name(self._terminal.foreground()), NAME_MAX) or "a program"
        await self._tell(Described(note=f"{name} has the whole screen: `agent attach --raw` shows it"))

    def _heard(self, data: bytes) -> bytes:
        if self._turn is not None:
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


class TerminalTurn:
    """One prompt, and the program's reply to that."""

    def __init__(self, text: str, now: float) -> None:
        """Begin with nothing said; `now` is loop time."""
        self.interrupted = False
        self.stirred_at = now  # loop time of the last output, or of what was typed
        self._plain = PlainText()
        self._echo = text.strip()
        self._text = ""  # to be said
        self._said = 0  # characters
        self._late = bytearray()  # the end of what came after those
        self._left_out = 0  # bytes between the two
        self.half_line = False  # whether the last line that was written has not ended

    def heard(self, data: bytes, now: float) -> None:
        """Take output of the program."""
        self.stirred_at = now
        if self._said >= SAID_MAX:
            self._late += self._plain.rest().encode() + data
            gone = max(0, len(self._late) - END_MAX)
            self._left_out += gone
            del self._late[:gone]
            self.half_line = not data.endswith(b"\n")
        else:
            self._add(self._plain.feed(data))
            self.half_line = self._plain.half_line

    def take(self, *, whole: bool) -> str:
        """The next piece of the reply; `whole`: the last line, too, ended or not. Empty: nothing more now."""
        if whole:
            self._add(self._plain.rest())
        if whole and not self._text:
            self._text = self._end()
        piece, self._text = self._text[:PIECE], self._text[PIECE:]
        return piece

    def _end(self) -> str:
        # What came after the most that is said: how much of it is not there, then its end, from a line's beginning on.
        late, self._late = bytes(self._late), bytearray()
        if not late:
            return ""
        if self._left_out:
            cut = late.find(b"\n") + 1
            self._left_out += cut
            late = late[cut:]
        end = PlainText()
        text = end.feed(late) + end.rest()
        mark = f"\n{left_out(self._left_out, 'bytes')}: `agent attach --raw` shows them\n" if self._left_out else ""
        return mark + text

    def _add(self, text: str) -> None:
        if self._echo and text:
            # What was typed comes back first, from the terminal or from the program itself, after its prompt perhaps.
            echoed = self._echo.split("\n")[0]
            line, _, rest = text.partition("\n")
            if line.rstrip().endswith(echoed):
                text = rest
                self._echo = "\n".join(self._echo.split("\n")[1:])
                self._add(text)
                return
            self._echo = ""
        room = max(0, SAID_MAX - self._said)
        self._said += len(text[:room])
        self._late += text[room:].encode()
        self._text += text[:room]
