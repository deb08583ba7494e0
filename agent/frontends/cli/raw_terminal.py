"""The person's own terminal in raw mode: keys as they come, output as it is, and left as it was found."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import select
import signal
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from agent.protocol.terminal import Size
from agent.protocol.terminal_modes import Modes

STDIN, STDOUT = 0, 1
CHUNK, PIECE = 65_536, 8192
"""Bytes read, and written, at a time: a terminal takes some 4,096 at once."""
DRAIN = 2.0
"""Seconds in which the terminal must take what is left when the command ends."""
ASKED = 1.0
"""Seconds for which an answer of the terminal may be on its way."""
ANSWERED = 0.25
"""Seconds of silence after the last answer of the terminal."""
ANSWERED_MAX = 1.0
"""Seconds for all answers of the terminal."""
# Whatever may make a terminal type something, with controls in between, too: rather too much than too little.
_ASKS = re.compile(rb"\x05|\x1b(?:\[(?!2[23][0-9;]*t)[^@-~]{0,64}[cnpqtux]|[\]P][^\x07\x1b]{0,256}[?q])|\x1bZ")
# What may make it type later on, off, however it was switched on: `Modes` follows only what it can read. Before that
# the end of a string or sequence that was begun.
_QUIET = (
    b"\x1b\\\x18\x1b[?9;1000;1001;1002;1003;1004;1005;1006;1015;1016;2004;2031;2048;9001l"
    b"\x1b[?1l\x1b>\x1b[>4m\x1b[=0u\x1b[2l\x1b[4l\x1b[20l\x1b]8;;\x1b\\"
)
_TITLE_KEPT, _TITLE_BACK = b"\x1b[22;0t", b"\x1b[23;0t"


class DetachKey:
    """The key that leaves: Ctrl and a character, however the terminal was told to send it."""

    def __init__(self, name: str) -> None:
        """`name`: `ctrl-]`, `^]` or `C-]`. Raises: UsageError."""
        found = re.fullmatch(r"(?:ctrl-|\^|c-)([a-z@\[\]\\^_])", name.strip().lower())
        if found is None:
            raise click.UsageError(
                f"no such key: {name!r}; --detach-key takes ctrl- and a letter or one of @ [ ] \\ ^ _"
            )
        key = found[1]
        self.name = f"Ctrl-{key.upper()}"
        code = b"%d" % ord(key)
        # As a control character; in kitty's keyboard protocol; with xterm's modifyOtherKeys.
        self._pattern = re.compile(
            re.escape(bytes([ord(key.upper()) & 0x1F]))
            + rb"|\x1b\[" + code + rb"(?::\d*)*;(?:5|69|133|197)(?::[12])?(?:;[\d:]*)?u"
            + rb"|\x1b\[27;5;" + code + rb"~"
        )  # fmt: skip

    def before(self, typed: bytes) -> bytes | None:
        """What was typed before the key; None if it was not."""
        found = self._pattern.search(typed)
        return typed[: found.start()] if found else None


class RawTerminal:
    """The terminal that stdin and stdout are. Writing never blocks the loop: `pending` bytes wait."""

    def __init__(
        self,
        *,
        typed: Callable[[bytes], None],
        drained: Callable[[], None],
        stdin: int = STDIN,
        stdout: int = STDOUT,
    ) -> None:
        """`typed` takes keys, empty when the terminal is gone; `drained` is called as the terminal takes output."""
        self._stdin, self._stdout = stdin, stdout
        self.modes = Modes()
        self._typed, self._drained = typed, drained
        self._waiting = bytearray()
        self._fd = _opened(stdout)
        self._loop = asyncio.get_running_loop()
        self._empty = asyncio.Event()
        self._asked_at = -ASKED  # by the loop's clock

    @property
    def pending(self) -> int:
        """Bytes that the terminal has not taken yet."""
        return len(self._waiting)

    def size(self) -> Size:
        """The size of the terminal as it is now."""
        columns, rows = os.get_terminal_size(self._stdout)
        return Size(rows or 24, columns or 80)

    @contextmanager
    def raw(self, resized: Callable[[], None], stopped: Callable[[int], None]) -> Iterator[None]:
        """Put the terminal in raw mode for the block; it is as before afterwards, whatever was written to it."""
        loop, before = self._loop, termios.tcgetattr(self._stdin)
        stop = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
        for number in stop:
            loop.add_signal_handler(number, stopped, int(number))
        loop.add_signal_handler(signal.SIGWINCH, resized)
        loop.add_signal_handler(signal.SIGCONT, self._resumed, resized)
        try:
            tty.setraw(self._stdin, termios.TCSADRAIN)
            self.write(_TITLE_KEPT)
            loop.add_reader(self._stdin, self._readable)
            yield
        finally:
            loop.remove_reader(self._stdin)
            loop.remove_writer(self._fd)
            for number in (*stop, signal.SIGWINCH, signal.SIGCONT):
                loop.remove_signal_handler(number)
            self._restore()
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._stdin, termios.TCSADRAIN, before)
            os.close(self._fd)

    def write(self, data: bytes) -> None:
        """Show the bytes that a program wrote."""
        self.modes.feed(data)
        if _ASKS.search(data):
            self._asked_at = self._loop.time()
        self._waiting += data
        self._empty.clear()
        self._flush()

    async def settle(self) -> None:
        """Return once everything was shown, or the terminal takes no more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                await self._empty.wait()

    def _flush(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: os.write(self._fd, self._waiting[:PIECE])]
        except BlockingIOError:
            self._loop.add_writer(self._fd, self._flush)
        except OSError:  # the terminal is gone: reading tells
            self._waiting.clear()
            self._loop.remove_writer(self._fd)
        else:
            self._loop.remove_writer(self._fd)
        if not self._waiting:
            self._empty.set()
        self._drained()

    def _restore(self) -> None:
        alternate = self.modes.alternate
        last = _QUIET + self.modes.undo() + _TITLE_BACK + (b"" if alternate else b"\r\n")
        with contextlib.suppress(OSError, termios.error):
            if self._waiting:
                termios.tcflush(self._fd, termios.TCOFLUSH)  # it takes nothing: what waits there goes
            os.set_blocking(self._fd, True)
            os.write(self._fd, last)
            if self._loop.time() - self._asked_at < ASKED:
                self._swallow()

    def _swallow(self) -> None:
        # The answers to what was asked last must not be typed into the shell that comes next.
        until = self._loop.time() + ANSWERED_MAX
        while (left := until - self._loop.time()) > 0:
            if not select.select([self._stdin], [], [], min(left, ANSWERED))[0] or not os.read(self._stdin, CHUNK):
                return

    def _readable(self) -> None:
        try:
            data = os.read(self._stdin, CHUNK)
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._stdin)
        self._typed(data)

    def _resumed(self, resized: Callable[[], None]) -> None:
        # After SIGSTOP and `fg` the shell has put the terminal back to its own ways.
        tty.setraw(self._stdin, termios.TCSADRAIN)
        resized()


def _opened(stdout: int) -> int:
    # A description of our own: what is set on it (non-blocking) does not reach the shell that shares stdout.
    try:
        return os.open(os.ttyname(stdout), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:  # another user's terminal (su): blocking, then
        return os.dup(stdout)
