"""Starts a program on a terminal of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.adapters.backends.launching import heed_keyboard, not_started
from agent.adapters.backends.limits import give_back
from agent.adapters.backends.process_owner import SESSION_MARK
from agent.adapters.backends.pty.terminal import PseudoTerminal
from agent.errors import BackendFailed
from agent.protocol.model import SessionId
from agent.protocol.terminal import COLS, ROWS

# As in the backend shell: opening it as the leader of a new session makes it the controlling terminal.
_ON_TERMINAL = 'tty=$1; shift; exec "$@" 0<>"$tty" 1>&0 2>&0'
_TOLD_WRONG = ("COLUMNS", "LINES", "TMUX", "TMUX_PANE", "STY", "WINDOWID", "TERMCAP", "TERM_PROGRAM", "NO_COLOR")
"""What the environment of the service says about another terminal than this one."""


@dataclass(slots=True)
class RunningProgram:
    """A program that was started, and its terminal."""

    process: asyncio.subprocess.Process
    terminal: PseudoTerminal


def command_of(command: Sequence[str], folder: Path) -> tuple[str, ...]:
    """The program and its arguments; without one the user's login shell. Raises: BackendFailed, if it is not there."""
    if not command:
        return (_login_shell(), "-l")
    program = command[0]
    found = shutil.which(str(folder / program) if "/" in program else program)
    if found is None:
        raise BackendFailed(f"no program {program!r} on that device", hint="install it there, or give its whole path")
    return (found, *command[1:])


def _login_shell() -> str:
    shell = os.environ.get("SHELL", "")
    if not shell:
        with contextlib.suppress(KeyError):
            shell = pwd.getpwuid(os.getuid()).pw_shell
    return shell if shell and shutil.which(shell) else "/bin/sh"


async def launch(session: SessionId, folder: Path, command: Sequence[str]) -> RunningProgram:
    """Start a program in that folder for a session. Raises: BackendFailed."""
    kept = {name: value for name, value in os.environ.items() if name not in _TOLD_WRONG}
    environment = kept | {"TERM": "xterm-256color", "COLORTERM": "truecolor", SESSION_MARK: session}
    heed_keyboard()
    try:
        with contextlib.ExitStack() as undo:
            terminal = PseudoTerminal(ROWS, COLS, plain=False)
            undo.callback(terminal.close)
            process = await asyncio.create_subprocess_exec(
                "/bin/sh", "-c", _ON_TERMINAL, "agent-terminal", terminal.name, *command,
                cwd=folder, env=environment, start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            undo.pop_all()
    except OSError as exc:
        raise not_started(command[0], exc) from exc
    give_back(process.pid)
    return RunningProgram(process, terminal)
