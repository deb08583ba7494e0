"""Needs of every program that is started for a session: a directory, and signals that it hears."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from pathlib import Path
from types import FrameType

from agent.errors import BackendFailed

NEW_SHELL = "a new shell: variables, jobs and programs of the one before are gone"
"""What a person must know of a session with a shell that goes on in another one."""


def working_folder(cwd: str) -> Path:
    """The directory to start a program in; relative to the user's home, which is also the default.

    Raises: BackendFailed, naming it, if it cannot be entered.
    """
    folder = Path.home() / Path(cwd).expanduser() if cwd else Path.home()
    if not folder.is_dir():
        raise BackendFailed(f"no such directory: {folder}", hint="give one that exists on that device")
    if not os.access(folder, os.X_OK):
        raise BackendFailed(f"not allowed to enter {folder}", hint="give another directory")
    return folder


def not_started(what: str, exc: OSError) -> BackendFailed:
    """The error for a program, or a terminal for one, that the system refused, with what its owner can do about it."""
    reason, hint = _REFUSALS.get(exc.errno or 0, (exc.strerror or str(exc), "see `agent backends` on that device"))
    return BackendFailed(f"{what} could not be started: {reason}", hint=hint)


_CLOSE = "end sessions that nobody needs on that device (`agent close ID`), or"
_REFUSALS = {
    errno.EMFILE: ("too many files are open", f"{_CLOSE} start its service with a higher `ulimit -n`"),
    errno.ENFILE: ("that machine has too many files open", "end some programs on that device"),
    errno.EAGAIN: ("no more processes may run", f"{_CLOSE} raise `ulimit -u` for its user"),
    errno.ENOMEM: ("no memory is left", f"{_CLOSE} end other programs there"),
    errno.EINVAL: ("too few files may be open", "start its service with a higher `ulimit -n`"),
}
"""What refuses to start a program, and what to do, by errno(3): fork(2), execve(2), pipe(2), F_DUPFD of fcntl(2)."""


def heed_keyboard() -> None:
    """Ignore none of the terminal's signals in programs that are started from now on.

    A shell starts what a script puts in the background (`agent up &`) with SIGINT and SIGQUIT ignored (POSIX, 2.12),
    `nohup` does it with SIGHUP, exec hands that on, and no shell can undo it: no session could be interrupted, and
    none would hear that its terminal is gone. The service itself lives on after SIGHUP as before.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            with contextlib.suppress(ValueError):  # not in the main thread
                # What is caught, unlike what is ignored, is back at its default in a program that is started.
                signal.signal(number, _live_on if number == signal.SIGHUP else signal.SIG_DFL)


def _live_on(number: int, frame: FrameType | None) -> None:
    """Do nothing at a signal."""
