"""A pseudo-terminal: the screen and keyboard that a shell session's programs see."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import termios
from typing import Literal

ROWS, COLUMNS = 24, 120
"""Size that programs are told."""

Mode = Literal["lines", "no-echo", "raw"]


class Terminal:
    """Both ends of a pseudo-terminal.

    The programs' end stays open here too: reading never fails between two programs, and its settings can be seen.
    """

    def __init__(self) -> None:
        """Open one. Raises: OSError, if there is none left."""
        self.master, self._slave = pty.openpty()
        os.set_blocking(self.master, False)
        self.name = os.ttyname(self._slave)
        settings = termios.tcgetattr(self._slave)
        settings[1] &= ~termios.OPOST  # lines end in "\n", as text does
        termios.tcsetattr(self._slave, termios.TCSANOW, settings)
        termios.tcsetwinsize(self._slave, (ROWS, COLUMNS))
        for descriptor in (self.master, self._slave):
            fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)

    def read(self, size: int) -> tuple[bytes, bool]:
        """Up to `size` bytes of output, and whether that was all there is now."""
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

    def mode(self) -> Mode:
        """How the foreground program wants its input."""
        flags = termios.tcgetattr(self._slave)[3]
        if not flags & termios.ICANON:
            return "raw"
        return "lines" if flags & termios.ECHO else "no-echo"

    def foreground(self) -> int:
        """Process group that owns the keyboard; 0 if there is none."""
        try:
            return os.tcgetpgrp(self.master)
        except OSError:
            return 0

    def forget_input(self) -> None:
        """Drop what was typed and not read: it was not meant for the next program."""
        with contextlib.suppress(termios.error):
            termios.tcflush(self._slave, termios.TCIFLUSH)

    def close(self) -> None:
        """Let go of both ends. Once."""
        os.close(self.master)
        os.close(self._slave)
