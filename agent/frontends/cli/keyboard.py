"""What the person types: the keys of a terminal, which is left as it was found, or the lines of a pipe."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from msgspec import Struct

from agent.frontends.cli.line_editor import InputEnded, LineChanged, LineEditor, ScreenPressed, TakeBackPressed, Typed

CHUNK = 65_536
ESCAPE = 0.1
"""Seconds after which Esc is no beginning of another key: what a terminal sends for one key comes at once."""
PASTE_ON, PASTE_OFF = "\x1b[?2004h", "\x1b[?2004l"


class InterruptPressed(Struct, frozen=True):
    """The person at the terminal has pressed Ctrl-C."""


class Stopped(Struct, frozen=True):
    """The command is asked to end: by a signal, or because the terminal is gone."""

    signal: int


Input = Typed | LineChanged | InputEnded | TakeBackPressed | ScreenPressed | InterruptPressed | Stopped


class Keyboard:
    """Reads a file descriptor on the loop and tells `take` what was typed, in order."""

    def __init__(self, fd: int, take: Callable[[Input], None], *, lively: bool) -> None:
        self.editor = LineEditor()
        self._fd = fd
        self._take = take
        self._lively = lively
        self._line = b""
        self._escape: asyncio.TimerHandle | None = None

    @contextmanager
    def reading(
        self,
        write: Callable[[str], object],
        *,
        resized: Callable[[], object],
        stops: Callable[[], object],
        goes_on: Callable[[], object],
    ) -> Iterator[None]:
        """Listen for the block, and for later ones; `write` puts a control sequence on the terminal.

        Told at once: `resized`, that the terminal has another size; `stops`, that Ctrl-Z hands it to the shell, and
        `goes_on`, that it is ours again, and that others have printed meanwhile.
        """
        loop = asyncio.get_running_loop()
        stop = {signal.SIGTERM, signal.SIGHUP}
        loop.add_signal_handler(signal.SIGINT, self._take, InterruptPressed())
        for number in stop:
            loop.add_signal_handler(number, self._take, Stopped(number))
        before = termios.tcgetattr(self._fd) if self._lively else None
        if before is not None:
            self._unecho()
            self._mind_stops(before, write, stops, goes_on)
            loop.add_signal_handler(signal.SIGWINCH, resized)
            write(PASTE_ON)
        try:
            self._listen(loop)
            yield
        finally:
            loop.remove_reader(self._fd)
            for number in (signal.SIGINT, *stop):
                loop.remove_signal_handler(number)
            if before is not None:
                loop.remove_signal_handler(signal.SIGCONT)
                loop.remove_signal_handler(signal.SIGWINCH)
                loop.remove_signal_handler(signal.SIGTSTP)
                termios.tcsetattr(self._fd, termios.TCSADRAIN, before)
                write(PASTE_OFF)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.add_reader(self._fd, self._readable)
        except PermissionError:  # a file, or /dev/null: always readable, which epoll does not take
            while self._readable():
                pass

    def _unecho(self) -> None:
        attributes = termios.tcgetattr(self._fd)
        attributes[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)  # on macOS Ctrl-V is kept else
        attributes[6][termios.VMIN], attributes[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._fd, termios.TCSADRAIN, attributes)

    def _mind_stops(
        self,
        before: list[Any],
        write: Callable[[str], object],
        stops: Callable[[], object],
        goes_on: Callable[[], object],
    ) -> None:
        # Ctrl-Z gives the shell its terminal as it was. Where there is none, the system lets nobody stop.
        loop = asyncio.get_running_loop()

        def back() -> None:
            self._unecho()  # the shell has put the terminal back to its own ways
            write(PASTE_ON)
            goes_on()

        def suspend() -> None:
            stops()
            write(PASTE_OFF)
            termios.tcsetattr(self._fd, termios.TCSADRAIN, before)
            loop.remove_signal_handler(signal.SIGCONT)
            loop.remove_signal_handler(signal.SIGTSTP)
            os.kill(os.getpid(), signal.SIGTSTP)
            self._mind_stops(before, write, stops, goes_on)
            back()

        loop.add_signal_handler(signal.SIGTSTP, suspend)
        loop.add_signal_handler(signal.SIGCONT, back)

    def _escaped(self) -> None:
        self._tell(self.editor.escape())

    def _tell(self, actions: Iterable[Input]) -> None:
        for action in actions:
            self._take(action)

    def _readable(self) -> bool:
        try:
            data = os.read(self._fd, CHUNK)
        except OSError:  # the terminal is gone
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._fd)
            if self._line:
                self._take(Typed(self._line.decode(errors="replace")))
            self._take(InputEnded())
            return False
        if self._lively:
            if self._escape is not None:
                self._escape.cancel()
            self._tell(self.editor.feed(data))
            if self.editor.escape_waits:
                self._escape = asyncio.get_running_loop().call_later(ESCAPE, self._escaped)
            return True
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._take(Typed(line.decode(errors="replace").removesuffix("\r")))
        return True


def piped_text() -> str:
    """The whole of standard input, without the last line's end. Raises: UsageError, if it is not UTF-8."""
    return _text(sys.stdin.buffer.read()).removesuffix("\n")


def piped_line(most: int) -> str:
    """The first line of standard input, of `most` bytes at most. Raises: UsageError, if it is not UTF-8."""
    return _text(sys.stdin.buffer.readline(most))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise click.UsageError("standard input is not UTF-8 text") from None


async def read_key(fd: int, keys: str) -> str:
    """One of the keys that is pressed on a terminal; "" if it is Esc, Ctrl-D, or the terminal is gone."""
    loop = asyncio.get_running_loop()
    pressed: asyncio.Future[str] = loop.create_future()

    def readable() -> None:
        key = os.read(fd, CHUNK).decode(errors="replace").lower()
        found = next((each for each in key if each in keys), None)
        if not pressed.done() and (found is not None or key in {"", "\x1b", "\x04"}):
            pressed.set_result(found or "")

    before = termios.tcgetattr(fd)
    attributes = termios.tcgetattr(fd)
    attributes[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(fd, termios.TCSADRAIN, attributes)
    loop.add_reader(fd, readable)
    try:
        return await pressed
    finally:
        loop.remove_reader(fd)
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


async def read_line(fd: int, show: Callable[[], None], *, secret: bool) -> str | None:
    """Call `show`, then one line from a terminal, edited as the terminal does; None at its end.

    A secret is not echoed from before the question on, also if what waits for it is cancelled.
    """
    loop = asyncio.get_running_loop()
    line: asyncio.Future[bytes] = loop.create_future()

    def readable() -> None:
        data = os.read(fd, CHUNK)
        if not line.done():
            line.set_result(data)

    before = termios.tcgetattr(fd)
    if secret:
        hidden = termios.tcgetattr(fd)
        hidden[3] &= ~termios.ECHO
        termios.tcsetattr(fd, termios.TCSADRAIN, hidden)
    loop.add_reader(fd, readable)
    try:
        show()
        data = await line
        return data.decode(errors="replace").rstrip("\r\n") if data else None
    finally:
        loop.remove_reader(fd)
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
