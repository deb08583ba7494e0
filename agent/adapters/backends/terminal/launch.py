"""Starts a program on a terminal of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.adapters.backends.launching import heed_keyboard, not_started
from agent.adapters.backends.limits import give_back
from agent.adapters.backends.pty.environment import dead_ssh_agent, terminal_environment
from agent.adapters.backends.pty.terminal import PseudoTerminal
from agent.errors import BackendFailed
from agent.processes import command_line
from agent.protocol.model import SessionId
from agent.protocol.terminal import COLS, ROWS

# Opening it as the leader of a new session makes it the controlling terminal.
WRAPPER = "agent-terminal"
"""A word in the command line of the process until it is the program."""
_ON_TERMINAL = 'tty=$1; shift; exec "$@" 0<>"$tty" 1>&0 2>&0'
_NO_LOGIN = {"false", "git-shell", "nologin", "sync", "true"}
"""What accounts have that nobody is to log in to: it ends at once."""


class ProgramProcess(Protocol):
    """What a session needs of a process: `asyncio.subprocess.Process`, or one that was kept."""

    pid: int

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs, and where nobody can know it."""

    async def wait(self) -> int | None:
        """Return when the process has ended."""


@dataclass(slots=True)
class RunningProgram:
    """A program that was started, and its terminal."""

    process: ProgramProcess
    terminal: PseudoTerminal
    notes: str = ""  # lines that whoever uses it should read: what is amiss in its environment


def command_of(command: Sequence[str], folder: Path) -> tuple[str, ...]:
    """The program and its arguments; without one the user's login shell. Raises: BackendFailed, if it is not there."""
    if not command:
        return (login_shell(os.environ), "-l")
    program = command[0]
    found = shutil.which(str(folder / program) if "/" in program else program)
    if found is None:
        raise BackendFailed(f"no program {program!r} on that device", hint="install it there, or give its whole path")
    return (found, *command[1:])


def login_shell(environ: Mapping[str, str]) -> str:
    """Path of the user's own shell: `SHELL`, or that of the table of users; /bin/sh if there is none that runs.

    Cron and some supervisors set `SHELL=/bin/sh` whatever the user has, so that one counts least.
    """
    told = [environ.get("SHELL", "")]
    with contextlib.suppress(KeyError):
        told.append(pwd.getpwuid(os.getuid()).pw_shell)
    usable = [path for path in told if path and Path(path).name not in _NO_LOGIN and shutil.which(path)]
    return next((path for path in usable if path != "/bin/sh"), "/bin/sh" if usable else _any_shell())


def _any_shell() -> str:
    return shutil.which("bash") or "/bin/sh"


async def launch(session: SessionId, folder: Path, command: Sequence[str]) -> RunningProgram:
    """Start a program in that folder for a session. Raises: BackendFailed."""
    return await start_on_terminal(command, folder, terminal_environment(os.environ, session))


def words_of(pid: int) -> list[str]:
    """The words of a program that `start_on_terminal` has started, also before it is that. Linux only."""
    words = command_line(pid)
    return words[words.index(_ON_TERMINAL) + 3 :] if _ON_TERMINAL in words else words


async def start_on_terminal(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> RunningProgram:
    """Start a program in that folder, in that environment, as the leader of a terminal. Raises: BackendFailed.

    It ignores none of the signals that the service ignores: neither those of the keyboard nor SIGPIPE, nor SIGHUP.
    """
    heed_keyboard()
    try:
        with contextlib.ExitStack() as undo:
            terminal = PseudoTerminal(ROWS, COLS, plain=False)
            undo.callback(terminal.close)
            process = await asyncio.create_subprocess_exec(
                "/bin/sh", "-c", _ON_TERMINAL, WRAPPER, terminal.name, *command,
                cwd=folder, env=environment, start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            undo.pop_all()
    except OSError as exc:
        raise not_started(command[0], exc) from exc
    give_back(process.pid)
    return RunningProgram(process, terminal, notes=dead_ssh_agent(environment))
