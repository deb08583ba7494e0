"""What a new session is asked to be made of, checked before anything is started."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from agent.core.messages import CreateSession
from agent.errors import BackendFailed, BadParams, TooLarge
from agent.ports import BackendType

PROMPT_MAX = 100_000
"""Characters of one prompt, or of a command."""


def choose_backend(name: str, backends: Mapping[str, BackendType], device: str) -> BackendType:
    """The backend of that name, if it can be used on `device` (its name). Raises: BackendFailed."""
    backend = backends.get(name)
    if backend is None:
        known = ", ".join(sorted(backends)) or "none"
        raise BackendFailed(f"no backend {name!r} on {device}", hint=f"there are: {known}")
    if missing := backend.missing():
        raise BackendFailed(missing)
    return backend


def check_command(asked: CreateSession) -> str:
    """The command as a line of a shell. Raises: BadParams, TooLarge, if no system could run it, or run it there."""
    if "\0" in asked.cwd or any("\0" in word for word in asked.command):
        raise BadParams("no path or command contains NUL", hint="leave out the NUL character")
    command = shlex.join(asked.command)
    if len(command) > PROMPT_MAX:
        raise TooLarge(f"a command of {len(command):,} characters; {PROMPT_MAX:,} are allowed")
    return command
