"""A program's terminal as viewers see it (`ports.Terminal`): what was written, who may type, how fast it is read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from agent.adapters.backends.pty.terminal import PseudoTerminal
from agent.adapters.backends.pty.writer import NonBlockingWriter
from agent.errors import Busy
from agent.protocol.names import clean
from agent.protocol.terminal import CHUNK, COLS, RING, ROWS, Size
from agent.protocol.terminal_modes import Modes

PACE = 0.002
"""Seconds between two times that viewers are told of output, unless there is a whole chunk: fewer, larger frames."""
UNWATCHED_PACE = 0.01
"""Seconds in which one chunk is read while nobody watches: a flood that nobody sees must not keep a core busy."""
WIGGLE = 0.15
"""Seconds for which a program is told of one row less; shorter, and some do not notice (measured)."""
REPAINT_EVERY = 1.0
"""Seconds between two such moments: whoever attaches again and again must not keep the others' screen busy."""
TYPED_MAX = 65_536
"""Bytes that may wait for a program that does not read what is typed."""
TYPING_SECONDS = 10.0
"""Seconds in which the program must take some of them."""
STALL = 10.0
"""Seconds for which a program waits for viewers who take nothing; then it goes on as if nobody watched."""
DRAIN_MAX = 1_048_576
"""Bytes still read when the program has ended."""

LINE_MAX = 4096
"""Characters of one line of ours on a screen."""

_QUERY = re.compile(rb"\x1b\[(?:(?P<place>\??6n)|(?P<well>5n)|(?P<primary>0?c)|(?P<secondary>>0?c)|(?P<tertiary>=0?c))")
_TAIL_MAX = 16


class ProgramScreen:
    """A program's terminal as viewers see it (`ports.Terminal`)."""

    def __init__(
        self,
        terminal: PseudoTerminal,
        epoch: str,
        heard: Callable[[bytes], bytes],
        *,
        typed: Callable[[bytes], bytes] | None = None,
        stall: float = STALL,
    ) -> None:
        """Read the terminal from now on.

        `heard` is given all output as it is read, and returns what viewers see of it; `typed` what viewers type, and
        returns what of it is typed now.
        """
        self.epoch, self.size = epoch, Size(ROWS, COLS)
        self.over = False
        self.hurried = False  # somebody waits for the output, though nobody watches: it is read as it comes
        self.exit_status: int | None = None
        self.keyboard = NonBlockingWriter(terminal.master)
        self._terminal = terminal
        self._heard, self._typed = heard, typed
        self._stall = stall
        self._loop = asyncio.get_running_loop()
        self._ring = Ring(RING)
        self._before = Modes()
        self._now = Modes()
        self._queries, self._answers = Queries(), True
        self._changed: Callable[[], None] | None = None
        self._asked: int | None = 0  # how far viewers let it be read
        self._let: int | None = 0  # how far it is; None: nobody is waited for
        self._stalling: asyncio.TimerHandle | None = None  # runs while the program waits for viewers
        self._told, self._told_at = 0, 0.0  # offset; loop time
        self._telling: asyncio.TimerHandle | None = None
        self._wiggling: asyncio.TimerHandle | None = None
        self._repainted = -REPAINT_EVERY  # loop time
        self._reading = self._resting = self._held = self._closed = False
        self._period, self._unwatched = 0.0, 0  # loop time; bytes read since then
        self._read_on()

    # --- the port ----------------------------------------------------------------------------------------------------

    @property
    def begin(self) -> int:
        """Offset of the oldest byte that is kept."""
        return self._ring.begin

    @property
    def end(self) -> int:
        """Offset after the newest byte."""
        return self._ring.end

    @property
    def pastes(self) -> bool:
        """Whether the program wants to know what is pasted."""
        return self._now.pastes

    @property
    def full(self) -> bool:
        """Whether a program has taken the whole screen (the alternate one)."""
        return self._now.alternate

    @property
    def keys(self) -> bool:
        """Whether a program has asked for the keys of applications, as those do that draw a screen."""
        return self._now.keys

    def modes(self) -> bytes:
        """The modes that were switched on before `begin`."""
        return self._before.restore()

    def read(self, offset: int, size: int) -> bytes:
        """Output of the program from `offset` on. Raises: LookupError."""
        return self._ring.read(offset, size)

    def watch(self, changed: Callable[[], None] | None) -> None:
        """Call `changed` after new output; None: nobody watches, and output is read as it comes."""
        self._changed = changed
        self._read_on()

    def let(self, offset: int | None) -> None:
        """Read up to about this byte; None: nobody is waited for."""
        if offset != self._asked:  # else they take nothing: what was given up for them stays so
            self._asked = self._let = offset
            self._unstall()
        self._read_on()

    def hold(self, *, held: bool) -> None:
        """Read nothing while `held`: whoever hears the output is behind, and the program waits at its next write."""
        self._held = held
        self._read_on()

    def answered(self, *, by_viewers: bool) -> None:
        """Note whether somebody else answers the program's questions."""
        self._answers = not by_viewers

    async def write(self, data: bytes) -> None:
        """Type bytes for the program. Raises: Busy, if it has not read those before for a while."""
        if self.keyboard.left and not self._closed and self._terminal.interrupts(data):
            self.keyboard.forget()  # what interrupts is heard by a program that does not read, too
            self._terminal.forget_input()
        until = self._loop.time() + TYPING_SECONDS
        while self.keyboard.left > TYPED_MAX and not self._closed:
            if self._loop.time() > until:
                raise Busy("the program does not read what is typed", hint="Ctrl-C may help")
            await asyncio.sleep(0.01)
        if not self._closed:
            self.keyboard.feed(data if self._typed is None else self._typed(data))

    def resize(self, size: Size) -> None:
        """Give the terminal another size."""
        self.size = size
        if not self._closed:
            self._terminal.resize(*size)

    def begin_with(self, words: str) -> None:
        """Show whole lines of ours before all that the program writes."""
        for line in words.splitlines():
            self._ring.append(f"-- {clean(line, LINE_MAX)}\r\n".encode())

    def repaint(self) -> None:
        """Have a full-screen program draw everything again."""
        if self._wiggling is None:
            wait = self._repainted + REPAINT_EVERY - self._loop.time()
            if wait <= 0:
                self._wiggle()
            else:
                self._wiggling = self._loop.call_later(wait, self._wiggle)

    def _wiggle(self) -> None:
        self._wiggling = None
        if self._closed or self.size.rows < 2:
            return
        self._repainted = self._loop.time()
        self._terminal.resize(self.size.rows - 1, self.size.cols)
        self._wiggling = self._loop.call_later(WIGGLE, self._settle)

    def _settle(self) -> None:
        self._wiggling = None
        self.resize(self.size)

    # --- output ------------------------------------------------------------------------------------------------------

    @property
    def _free(self) -> bool:
        return self._changed is None or self._let is None

    def _read_on(self) -> None:
        if self._resting:
            return
        let = self._free or self.end < (self._let or 0)
        wanted = not self._closed and not self._held and let
        if wanted and not self._reading:
            self._loop.add_reader(self._terminal.master, self._readable)
        elif self._reading and not wanted:
            self._loop.remove_reader(self._terminal.master)
        self._reading = wanted
        if not let and not self._closed and self._stalling is None:
            self._stalling = self._loop.call_later(self._stall, self._give_up)

    def _give_up(self) -> None:
        # Whoever watches sleeps: the program does not wait for them, and they go on with a replay.
        self._stalling, self._let = None, None
        self._read_on()

    def _unstall(self) -> None:
        if self._stalling is not None:
            self._stalling.cancel()
            self._stalling = None

    def _readable(self) -> None:
        data, _ = self._terminal.read(CHUNK)
        if data:
            self._take(data)
        if self._free and not self._closed and not self.hurried:
            self._pace(len(data))
        self._read_on()

    def _pace(self, size: int) -> None:
        now = self._loop.time()
        if now - self._period >= UNWATCHED_PACE:
            self._period, self._unwatched = now, 0
        self._unwatched += size
        if self._unwatched >= CHUNK:
            self._loop.remove_reader(self._terminal.master)
            self._reading, self._resting = False, True
            self._loop.call_later(UNWATCHED_PACE, self._rested)

    def _rested(self) -> None:
        self._resting = False
        self._read_on()

    def _take(self, data: bytes) -> None:
        data = self._heard(data)
        if not data:
            return
        dropped = self._ring.append(data)
        if dropped:
            self._before.feed(dropped)
        self._now.feed(data)
        answers = self._queries.answers(data)
        if answers and self._answers:
            self.keyboard.feed(answers)
        if self._changed is None:
            return
        wait = self._told_at + PACE - self._loop.time()
        if wait <= 0 or self.end - self._told >= CHUNK:
            self._tell()
        elif self._telling is None:
            self._telling = self._loop.call_later(wait, self._tell)

    def _tell(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        self._told, self._told_at = self.end, self._loop.time()
        if self._changed is not None:
            self._changed()

    # --- the end -----------------------------------------------------------------------------------------------------

    def finish(self, exit_status: int | None) -> None:
        """Take what is left of the output of processes that are gone, and nothing more. Idempotent."""
        if self._closed:
            return
        data, _ = self._terminal.read(DRAIN_MAX)
        if data:
            self._take(data)
        self._closed = True
        self._read_on()
        self._unstall()
        for timer in (self._telling, self._wiggling):
            if timer is not None:
                timer.cancel()
        self._telling = self._wiggling = None
        self.keyboard.forget()
        self.over, self.exit_status = True, exit_status
        self._tell()


class Queries:
    """Answers the questions in a stream of output as a terminal would: many programs wait for answers.

    Source: ECMA-48 (DSR, DA), "XTerm Control Sequences". We answer as a VT220 with the cursor at home.
    """

    def __init__(self) -> None:
        self._tail = b""

    def answers(self, data: bytes) -> bytes:
        """The bytes that a terminal would type in answer to this output."""
        data = self._tail + data
        done, answers = 0, []
        for found in _QUERY.finditer(data):
            done = found.end()
            answers.append(_answer(found))
        last = data.rfind(b"\x1b", max(done, len(data) - _TAIL_MAX))
        self._tail = data[last:] if last >= 0 else b""
        return b"".join(answers)


def _answer(found: re.Match[bytes]) -> bytes:
    if found["place"]:
        return b"\x1b[?1;1R" if found["place"].startswith(b"?") else b"\x1b[1;1R"
    if found["well"]:
        return b"\x1b[0n"
    if found["primary"] is not None:
        return b"\x1b[?62;22c"
    return b"\x1b[>1;10;0c" if found["secondary"] else b"\x1bP!|00000000\x1b\\"


class Ring:
    """Keeps up to `room` bytes, numbered from `begin`, the oldest one that is kept, up to but not including `end`."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._kept = bytearray()
        self.begin = self.end = 0

    def append(self, data: bytes) -> bytes:
        """Add bytes; those that made room for them, oldest first."""
        self._kept += data
        self.end += len(data)
        over = len(self._kept) - self._room
        if over <= 0:
            return b""
        dropped = bytes(self._kept[:over])
        del self._kept[:over]
        self.begin += over
        return dropped

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from number `offset` on; empty at the end. Raises: LookupError, if they are not kept."""
        if not self.begin <= offset <= self.end:
            raise LookupError(f"byte {offset} is not kept, only {self.begin} to {self.end}")
        start = offset - self.begin
        return bytes(self._kept[start : start + size])
