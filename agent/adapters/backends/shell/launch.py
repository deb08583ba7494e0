"""Which shell a session runs, and how it is started so that it tells where commands begin and end.

Bash, zsh and fish read a start-up file of ours (integration/) beside the user's own. Any other shell, and one that is
too old, is started as it is: it has no marks, and what it runs ends when it waits for input again.

Source: bash(1) INVOCATION, zsh(1) STARTUP/SHUTDOWN FILES, fish(1).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from agent.adapters.backends.pty.environment import terminal_environment
from agent.adapters.backends.shell.box import Box
from agent.adapters.backends.terminal.launch import RunningProgram, login_shell, start_on_terminal
from agent.protocol.model import SessionId

Kind = Literal["bash", "zsh", "fish", ""]

INTEGRATION = Path(__file__).with_name("integration")
OLDEST: dict[Kind, tuple[int, int]] = {"bash": (4, 4), "zsh": (5, 8), "fish": (3, 4)}
"""The versions from which on a shell can tell where commands begin and end."""
VERSION_SECONDS = 3.0
PATH_SECONDS = 3.0
"""Seconds that the user's login files get to say what PATH is."""
_NAME = re.compile(r"(bash|zsh|fish)(?:[-.]?\d[\d.]*)?", re.ASCII)
_VERSION = re.compile(r"(?:GNU bash, version|zsh|fish, version) (\d+)\.(\d+)", re.ASCII)
_LOGINS = {"bash", "csh", "dash", "fish", "ksh", "mksh", "nu", "sh", "tcsh", "xonsh", "zsh"}
"""Shells that take `-l`."""
_LOGIN = sys.platform == "darwin"
"""Whether terminals of this system start login shells."""


@dataclass(frozen=True, slots=True)
class Shell:
    """A shell of this machine."""

    kind: Kind  # of the integration; empty: it has no marks
    path: str  # empty if it is missing
    version: str = ""  # "5.2", where it is known
    missing: str = ""  # why it cannot be started, as a sentence
    unmarked: str = ""  # why it has no marks, as the end of a sentence

    @property
    def name(self) -> str:
        """The name by which people know the shell."""
        name = Path(self.path).name
        return Path(self.path).resolve().name if name == "sh" else name

    @property
    def program(self) -> str:
        """What runs, and how, in words for people: "zsh 5.9", or why ends of commands are guessed."""
        return self.told(f"ends of commands are guessed, {self.unmarked}" if self.unmarked else "")

    def told(self, how: str) -> str:
        """What runs, and how: "bash 5.2: prompts are typed, its line editor is off"."""
        name = f"{self.name} {self.version}".rstrip()
        return f"{name}: {how}" if how else name


def find_shell(wanted: str = "") -> Shell:
    """The shell of that name or path; of an empty one the user's own.

    A shell that is seen for the first time is asked for its version, for milliseconds.
    """
    path = shutil.which(os.path.expanduser(wanted)) if wanted else login_shell(os.environ)  # noqa: PTH111 - "~nobody" is no error
    if not path:
        there = f"{wanted} is not installed"
        if "/" in wanted:
            there = f"{wanted} is no program" if Path(wanted).expanduser().exists() else f"there is no program {wanted}"
        return Shell("", "", missing=there)
    kind = _kind(path)
    if not kind:
        return Shell("", path, unmarked=f"{Shell('', path).name} has no marks")
    version = _version(path)
    if version is None:
        return Shell("", path, unmarked=f"it does not tell the version of {kind}")
    told = ".".join(map(str, version))
    if version < OLDEST[kind]:
        return Shell("", path, told, unmarked=f"marks need {kind} {'.'.join(map(str, OLDEST[kind]))} or later")
    return Shell(kind, path, told)


def _kind(path: str) -> Kind:
    """By its name, or that of what it leads to; as `sh` or `rbash` a shell is another one."""
    name = Path(path).name
    if name in {"sh", "rbash", "rzsh"}:
        return ""
    found = _NAME.fullmatch(name) or _NAME.fullmatch(Path(path).resolve().name)
    return found[1] if found else ""  # type: ignore[return-value] # the names in the pattern


@cache
def _version(path: str) -> tuple[int, int] | None:
    try:
        asked = subprocess.run(  # noqa: S603 - a shell of this machine
            [path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=VERSION_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.match(asked.stdout.decode(errors="replace"))
    return (int(found[1]), int(found[2])) if found else None


async def launch(session: SessionId, folder: Path, shell: Shell, box: Box, *, bare: bool = False) -> RunningProgram:
    """Start a shell in that folder for a session, to be prompted through that box. Raises: BackendFailed.

    `bare`: without the user's start-up files.
    """
    try:
        environment = await shell_environment(os.environ, session, shell, box)
        if bare:
            environment["LAN_AGENT_RC"] = "none"
        running = await start_on_terminal(argv_of(shell, bare=bare), folder, environment)
    except BaseException:
        box.remove()
        raise
    box.belongs_to(running.process.pid)
    return running


def argv_of(shell: Shell, *, bare: bool = False) -> Sequence[str]:
    """The path of the shell, and the arguments with which it reads our file beside the user's own."""
    login = ("-l",) if _LOGIN else ()
    match shell.kind:
        case "bash":  # with -l it would not read --rcfile: ours reads the files of a login by itself
            return (shell.path, "--rcfile", str(INTEGRATION / "bash.rc"), "-i")
        case "zsh":
            return (shell.path, *login, "-i")
        case "fish":
            return (
                shell.path,
                *login,
                *(("-N",) if bare else ()),
                "-i",
                "-C",
                f"source {_quoted(str(INTEGRATION / 'config.fish'))}",
            )
    return (shell.path, *login) if shell.name in _LOGINS else (shell.path,)


def _quoted(path: str) -> str:
    """As fish reads it."""
    return "'" + path.replace("\\", "\\\\").replace("'", "\\'") + "'"


async def shell_environment(environ: Mapping[str, str], session: SessionId, shell: Shell, box: Box) -> dict[str, str]:
    """The environment of a session's shell, made of the service's own."""
    environment = terminal_environment(environ, session)
    environment["SHELL"] = login_shell(environ)  # as it was, unless it was none
    if not _LOGIN and "SHLVL" not in environ:  # no shell is above the service: nobody has read the user's files
        environment["PATH"] = merged(await login_path(environment, box), environment.get("PATH", os.defpath))
    if shell.kind:
        environment["LAN_AGENT_BOX"] = str(box.path)
    if shell.kind == "bash":
        environment["LAN_AGENT_RC"] = "login" if _LOGIN else "rc"
        posix = environment.pop("POSIXLY_CORRECT", None)  # with it bash does not read --rcfile
        if posix is not None:
            environment["LAN_AGENT_POSIX"] = posix
    if shell.kind == "zsh":
        if "ZDOTDIR" in environment:
            environment["LAN_AGENT_ZDOTDIR"] = environment["ZDOTDIR"]
        environment["ZDOTDIR"] = str(INTEGRATION / "zsh")
    return environment


def merged(first: str, second: str) -> str:
    """Two values of PATH as one: what is only in the second one comes last."""
    return ":".join(dict.fromkeys(folder for folder in f"{first}:{second}".split(":") if folder))


_login_paths: dict[str, str] = {}
"""What login shells said, by their paths; each is asked once in the life of the service."""


async def login_path(environment: Mapping[str, str], box: Box) -> str:
    """PATH as the user's login shell sets it; empty if that does not tell. Asked once.

    A supervisor starts the service with the PATH of the system, and a shell that is no login shell adds nothing to it:
    what ~/.profile and its like set (~/.local/bin) would be missed.
    """
    shell = environment["SHELL"]
    if shell not in _login_paths:
        _login_paths[shell] = await _ask_path(shell, environment, box.path / "path")
    return _login_paths[shell]


async def _ask_path(shell: str, environment: Mapping[str, str], answer: Path) -> str:
    # Into a file: the user's files may print, and what they leave in the background may hold a pipe open.
    try:
        process = await asyncio.create_subprocess_exec(
            shell, "-l", "-c", 'printf %s "$PATH" >"$LAN_AGENT_PATH"',
            env={**environment, "LAN_AGENT_PATH": str(answer)}, start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return ""
    try:
        async with asyncio.timeout(PATH_SECONDS):
            await process.wait()
    except TimeoutError:
        return ""
    else:
        return _answer(answer)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _answer(path: Path) -> str:
    try:
        return os.fsdecode(path.read_bytes())
    except OSError:
        return ""
