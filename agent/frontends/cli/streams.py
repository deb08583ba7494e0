"""The three standard streams of a command, wherever they lead: open or closed, to a full disk, to a reader who left.

A closed descriptor is filled before anything else is opened, which would get its number: what is printed would go to
the service's socket. Data that cannot be written is an error (`OutputFailed`), talk that cannot be written is lost.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any, TextIO

STDIN, STDOUT, STDERR = 0, 1, 2
_AS_CLOSED = {STDIN: os.O_RDONLY, STDOUT: os.O_RDONLY, STDERR: os.O_WRONLY}
"""How /dev/null takes the place of a closed stream: nothing is read, data cannot be written, talk is lost."""


_FILES = "more may be open at once after `ulimit -n 1024`"
_SPACE = "make room on that disk"
_ADVICE = {
    errno.EMFILE: _FILES,
    errno.ENFILE: "this machine has too many files open: end some programs",
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: "a larger file may be written after `ulimit -f unlimited`",
    errno.EACCES: "check its permissions",
    errno.EPERM: "check its permissions",
    errno.EROFS: "choose a place that can be written to",
    errno.EAGAIN: "more may run at once after `ulimit -u unlimited`",
}
"""What to do when the system refuses something, by errno(3)."""


class OutputFailed(OSError):
    """What a command prints cannot be written to standard output."""

    done = ""
    """What the command has done all the same, so that nobody has it done twice: set by `acted`."""


class _Output(io.FileIO):
    # Waits where the descriptor does not (a program that shares the terminal may have made it non-blocking).
    def write(self, data: Any, /) -> int:
        while True:
            try:
                written = super().write(data)
            except BrokenPipeError:
                raise
            except OSError as exc:
                raise OutputFailed(exc.errno, exc.strerror) from exc
            if written is not None:
                return written
            select.select([], [self], [])


class _Talk(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            written = super().write(data)
        except OSError:
            return len(data)
        return len(data) if written is None else written


def prepare() -> None:
    """Make all three streams usable: to be called once, before anything is opened."""
    acted("")
    for number, flags in _AS_CLOSED.items():
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # the lowest number that is free: this one
    if sys.stdin is None:
        sys.stdin = open(STDIN, encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open
    if _is(sys.stdout, STDOUT):
        sys.stdout = _text(_Output(STDOUT, "w", closefd=False), sys.stdout)
    if _is(sys.stderr, STDERR):
        sys.stderr = _text(_Talk(STDERR, "w", closefd=False), sys.stderr)


def check_output() -> None:
    """Raise OutputFailed where nothing at all can be written to standard output, for a command that is to act first."""
    try:
        os.write(STDOUT, b"")
    except (BrokenPipeError, BlockingIOError):
        return
    except OSError as exc:
        raise OutputFailed(exc.errno, exc.strerror) from exc


def acted(done: str) -> None:
    """From here on, whoever is told that the output cannot be written is told what was `done`, too."""
    OutputFailed.done = done


def abandon() -> None:
    """Let the data that is still to be written go nowhere, so that Python says nothing of it when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except ValueError:  # already closed
        return


def refused(exc: OSError) -> tuple[str, str]:
    """What the system has refused to a command, and what the person can do about it."""
    why = exc.strerror or str(exc)
    if isinstance(exc, OutputFailed):
        done = f"; {exc.done}" if exc.done else ""
        if exc.errno == errno.EBADF:
            return f"standard output is closed{done}", "send it somewhere: `> FILE`, or `> /dev/null` to see nothing"
        return f"cannot write to standard output: {why}{done}", _ADVICE.get(exc.errno or 0, "")
    if exc.errno == errno.ENOENT and not exc.filename:
        return "the current directory is gone", "change to one that exists"
    return f"{exc.filename}: {why}" if exc.filename else why, _ADVICE.get(exc.errno or 0, "")


def _is(stream: TextIO | None, number: int) -> bool:
    # Not what a test has put there to catch what is said.
    return stream is None or (type(stream) is io.TextIOWrapper and stream.fileno() == number)


def _text(raw: io.FileIO, before: TextIO | None) -> io.TextIOWrapper:
    encoding = before.encoding if before is not None else "utf-8"
    lines = raw.isatty() or raw.fileno() == STDERR
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors="replace", line_buffering=lines)
