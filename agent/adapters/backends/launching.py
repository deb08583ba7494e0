"""Needs of every program that is started for a session: a directory, and signals that it hears."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from agent.errors import BackendFailed


def working_folder(cwd: str) -> Path:
    """The directory to start a program in; relative to the user's home, which is also the default.

    Raises: BackendFailed, naming it, if it cannot be entered.
    """
    folder = Path.home() / Path(cwd).expanduser() if cwd else Path.home()
    if not folder.is_dir():
        raise BackendFailed(f"no such directory: {folder}", hint="give one that exists on that device: --cwd DIR")
    if not os.access(folder, os.X_OK):
        raise BackendFailed(f"not allowed to enter {folder}", hint="give another directory: --cwd DIR")
    return folder


def heed_keyboard() -> None:
    """Ignore none of the terminal's signals in programs that are started from now on.

    A shell starts what a script puts in the background (`agent up &`) with SIGINT and SIGQUIT ignored (POSIX, 2.12),
    exec hands that on, and bash cannot undo it: no session could be interrupted.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
        if signal.getsignal(number) is signal.SIG_IGN:
            with contextlib.suppress(ValueError):  # not in the main thread
                signal.signal(number, signal.SIG_DFL)
