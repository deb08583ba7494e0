"""A pseudo-terminal: the screen and keyboard that a session's programs see."""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import pty
import select
import termios
from typing import Literal

from agent.adapters.backends.launching import not_started
from agent.errors import BackendFailed

Mode = Literal["lines", "no-echo", "raw"]


class PseudoTerminal:
    """Both ends of a pseudo-terminal.

    The programs' end stays open here too: reading never fails between two programs, and its settings can be seen.
    """

    def __init__(self, rows: int, columns: int, *, plain: bool) -> None:
        r"""Open a terminal of that size; `plain`: lines end in "\n", as text does. Raises: BackendFailed."""
        try:
            ends = pty.openpty()
        except OSError as exc:
            if exc.errno in {errno.EMFILE, errno.ENFILE}:
                raise not_started("a terminal", exc) from exc
            hint = "end programs there that hold some, or raise the limit (Linux: `sysctl kernel.pty.max`)"
            raise BackendFailed("all terminals of that device are in use", hint=hint) from exc
        self._use(*ends)
        if plain:
            settings = termios.tcgetattr(self._slave)
            settings[1] &= ~termios.OPOST
            termios.tcsetattr(self._slave, termios.TCSANOW, settings)
        self.resize(rows, columns)

    @classmethod
    def kept(cls, master: int, slave: int) -> PseudoTerminal:
        """A terminal that somebody kept while the service was away, by both its ends; programs use it."""
        terminal = cls.__new__(cls)
        terminal._use(master, slave)  # noqa: SLF001 - its own
        return terminal

    def _use(self, master: int, slave: int) -> None:
        self.master, self._slave = master, slave
        self.name = os.ttyname(slave)
        os.set_blocking(master, False)
        for descriptor in (master, slave):
            fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)

    @property
    def ends(self) -> tuple[int, int]:
        """Both descriptors, for whoever keeps them: the service's and the programs' one."""
        return self.master, self._slave

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns that programs are told."""
        return termios.tcgetwinsize(self._slave)

    def read(self, size: int) -> tuple[bytes, bool]:
        """Read up to `size` bytes of output, and tell whether that was all there is now."""
        parts: list[bytes] = []
        while size > 0:
            try:
                parts.append(os.read(self.master, size))
            except OSError:  # none left (EAGAIN)
                return b"".join(parts), True
            if not parts[-1]:
                return b"".join(parts), True
            size -= len(parts[-1])
        return b"".join(parts), False

    def has_output(self) -> bool:
        """Whether programs have written what was not read yet."""
        poll = select.poll()
        poll.register(self.master, select.POLLIN)
        return bool(poll.poll(0))

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal another size; programs in the foreground hear of it (SIGWINCH)."""
        termios.tcsetwinsize(self._slave, (rows, columns))

    def interrupt_key(self) -> bytes:
        """The key that a person types to interrupt: Ctrl-C unless the user chose otherwise."""
        key = termios.tcgetattr(self._slave)[6][termios.VINTR]
        return key if isinstance(key, bytes) and key != b"\0" else b"\x03"

    def interrupts(self, typed: bytes) -> bool:
        """Whether a key among these interrupts the program by itself, whatever that is doing."""
        return bool(termios.tcgetattr(self._slave)[3] & termios.ISIG) and self.interrupt_key() in typed

    def mode(self) -> Mode:
        """How the program in the foreground wants its input."""
        flags = termios.tcgetattr(self._slave)[3]
        if not flags & termios.ICANON:
            return "raw"
        return "lines" if flags & termios.ECHO else "no-echo"

    def edits_lines(self) -> bool:
        """Whether a line editor has the terminal (readline, zle, fish): it wants each key, and Enter is CR for it.

        It tells Enter from a line feed, and leaves what interrupts to the terminal; what waits for a single key does
        not do the one, what draws a screen not the other.
        """
        settings = termios.tcgetattr(self._slave)
        own_enter = not settings[0] & termios.ICRNL or settings[0] & termios.INLCR
        return bool(own_enter and settings[3] & termios.ISIG and not settings[3] & termios.ICANON)

    def echo(self, on: bool) -> bool:
        """Show what is typed from now on, or not; how it was before."""
        settings = termios.tcgetattr(self._slave)
        before = bool(settings[3] & termios.ECHO)
        settings[3] = settings[3] | termios.ECHO if on else settings[3] & ~termios.ECHO
        termios.tcsetattr(self._slave, termios.TCSANOW, settings)
        return before

    def foreground(self) -> int:
        """The process group that owns the keyboard; 0 if there is none."""
        try:
            return os.tcgetpgrp(self.master)
        except OSError:
            return 0

    def unread(self) -> int:
        """Number of bytes that were typed and not read yet; while lines are read, those of whole lines."""
        count = array.array("i", [0])
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._slave, termios.FIONREAD, count)
        return count[0]

    def forget_input(self) -> None:
        """Drop what was typed and not read: it was not meant for the next program."""
        with contextlib.suppress(termios.error):
            termios.tcflush(self._slave, termios.TCIFLUSH)

    def close(self) -> None:
        """Close both ends of the terminal. Once."""
        os.close(self.master)
        os.close(self._slave)
