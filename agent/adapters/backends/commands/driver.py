"""Bash and its driver (driver.rc): how they are started on a terminal, and what the driver reports over its pipe."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from agent.adapters.backends.launching import heed_keyboard, not_started
from agent.adapters.backends.limits import give_back
from agent.adapters.backends.pty.environment import terminal_environment
from agent.adapters.backends.pty.terminal import PseudoTerminal
from agent.errors import BackendFailed
from agent.ports import Exited
from agent.processes import command_line
from agent.protocol.model import SessionId

ROWS, COLUMNS = 24, 120
"""Size that programs are told."""
DRIVER = Path(__file__).with_name("driver.rc")
RESUME = b'\\builtin eval "$__agent_loop"\n'
"""What is typed to a bash that is stranded at its own prompt."""

# Opening the terminal as the leader of a new session makes it the controlling one, on Linux and macOS alike, with no
# Python between fork and exec. Bash rather than sh: descriptors above 9.
_ON_TERMINAL = 'exec "${@:4}" 0<>"$1" 1>&0 2>&0 8>&"$2" 9<&"$3" %d>&- %d<&-'
_PLAIN = {
    "TERM": "dumb",
    "NO_COLOR": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "MANPAGER": "cat",
    "SYSTEMD_PAGER": "cat",
}
_HIGH = 64  # the child's copies start here, out of the way of 8 and 9


@dataclass(slots=True)
class RunningShell:
    """A bash that was started; its driver may not be ready yet."""

    process: asyncio.subprocess.Process
    terminal: PseudoTerminal
    commands: int  # descriptor: the driver's fd 9
    reports: int  # descriptor: the driver's fd 8
    token: str

    def given_way(self) -> str:
        """The program that has taken the place of bash (`exec`), by its command line; empty: none, or nobody knows."""
        words = command_line(self.process.pid)
        return "" if not words or str(DRIVER) in words else Path(words[0]).name

    def last_word(self) -> Exited:
        """How bash ended; to be asked once it has."""
        status = self.process.returncode
        assert status is not None
        if status < 0:
            return Exited(status="failed", reason=f"bash was ended by {signal.Signals(-status).name}")
        return Exited(status="ended", reason=f"exit status {status}", exit_status=status)

    def release(self) -> None:
        """Close the terminal and the pipes. Once."""
        self.terminal.close()
        os.close(self.commands)
        os.close(self.reports)


def find_bash() -> str:
    """Path of bash; empty if there is none."""
    return shutil.which("bash") or ""


async def launch(session: SessionId, folder: Path, *, with_rc: bool) -> RunningShell:
    """Start bash in that folder for a session, `with_rc` reading ~/.bashrc. Raises: BackendFailed."""
    bash = find_bash()
    if not bash:
        raise BackendFailed("bash is not installed", hint="install bash on that device")
    token = secrets.token_hex(8)
    environment = terminal_environment(os.environ, session) | _PLAIN
    del environment["COLORTERM"]
    heed_keyboard()
    try:
        with contextlib.ExitStack() as undo:
            terminal = PseudoTerminal(ROWS, COLUMNS, plain=True)
            for name, value in (("TOKEN", token), ("RC", "1" if with_rc else ""), ("TERMINAL", terminal.name)):
                environment[f"LAN_AGENT_SHELL_{name}"] = value
            undo.callback(terminal.close)
            driver_in, commands = _pipe(undo)
            reports, driver_out = _pipe(undo)
            process = await asyncio.create_subprocess_exec(
                bash, "-c", _ON_TERMINAL % (driver_out, driver_in), "agent-commands",
                terminal.name, str(driver_out), str(driver_in),
                bash, "--noprofile", "--noediting", "--rcfile", str(DRIVER), "-i",
                cwd=folder, env=environment, start_new_session=True, pass_fds=(driver_in, driver_out),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            undo.pop_all()
    except OSError as exc:
        raise not_started("bash", exc) from exc
    give_back(process.pid)
    os.close(driver_in)
    os.close(driver_out)
    os.set_blocking(commands, False)
    os.set_blocking(reports, False)
    return RunningShell(process, terminal, commands, reports, token)


def _pipe(undo: contextlib.ExitStack) -> tuple[int, int]:
    """Both ends with high numbers, reading end first; `undo` closes them."""
    low = os.pipe()
    try:
        high = []
        for end in low:
            high.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _HIGH))
            undo.callback(os.close, high[-1])
    finally:
        for end in low:
            os.close(end)
    return high[0], high[1]


class ShellNamed(NamedTuple):
    """Bash has read its start-up files."""

    version: str  # "5.2"


class StartupRefused(NamedTuple):
    """The user's start-up file has set bash up so that it cannot be driven."""

    reason: str  # goes on after "it is left out: "


class ShellStranded(NamedTuple):
    """Bash comes to a prompt of its own, as PROMPT_COMMAND is not the driver's."""


class ShellReady(NamedTuple):
    """Bash runs nothing and has taken nothing: at the start, and after a command got lost on its way."""

    directory: str


class CommandStarted(NamedTuple):
    """Bash has taken the command; an interrupt may be sent from now on."""

    number: int


class CommandEnded(NamedTuple):
    """Bash has run the command to its end."""

    number: int
    status: int
    directory: str


Report = ShellNamed | StartupRefused | ShellStranded | ShellReady | CommandStarted | CommandEnded


class ReportReader:
    """Cuts a stream of bytes into reports (driver.rc has their format)."""

    def __init__(self) -> None:
        self._left = b""

    def feed(self, data: bytes) -> list[Report]:
        """The reports that are complete with these bytes. What is none is skipped: a report cut by an interrupt."""
        *whole, self._left = (self._left + data).split(b"\0\n")
        reports = (_parse(text.decode(errors="replace")) for text in whole)
        return [report for report in reports if report is not None]


def _parse(text: str) -> Report | None:
    text = text.removeprefix("\n").removeprefix("-ne ")  # `echo` after `set -o posix; shopt -s xpg_echo`
    kind, _, rest = text.partition(" ")
    fields = rest.split(" ", 2)
    try:
        if kind == "start":
            return CommandStarted(int(fields[0]))
        if kind == "end":
            return CommandEnded(int(fields[0]), int(fields[1]), fields[2])
    except (ValueError, IndexError):
        return None
    return _WORDS[kind](rest) if kind in _WORDS else None


_WORDS: dict[str, Callable[[str], Report]] = {
    "bash": ShellNamed,
    "left": StartupRefused,
    "stranded": lambda _: ShellStranded(),
    "ready": ShellReady,
}
