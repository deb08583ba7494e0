"""Checks of a request for a new session, before anything is started, and the row that it gets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath

import msgspec
from msgspec import Struct

from agent.errors import BackendFailed, BadParams, TooLarge
from agent.ports import BackendType, RunsShell, SessionMeta, kind_of
from agent.protocol.messages import CreateSession
from agent.protocol.model import DeviceId, SessionId
from agent.protocol.names import clean_title, meant

PROMPT_MAX = 100_000
"""Characters of one prompt, or of a command."""
_SHELL = re.compile(r"[/~][^\0]*|[A-Za-z0-9][A-Za-z0-9._+-]*")
"""A path from the root or a home directory, or the name of a program."""


class Default(Struct, frozen=True):
    """What a session is made of when nobody says."""

    backend: str
    shell: str = ""  # of a backend that runs one; empty: the user's own


def choose_backend(name: str, backends: Mapping[str, BackendType], device: str) -> BackendType:
    """The backend called `name`, if it can be used on that device. Raises: BadParams (there is none), BackendFailed."""
    backend = backends.get(name)
    if backend is None:
        known = ", ".join(sorted(each for each in backends if not backends[each].missing())) or "none"
        near = meant(name, backends)
        raise BadParams(f"no backend {name!r} on {device}", hint=f"{near}there are: {known}; see {_listing(device)}")
    missing = backend.missing()
    if missing:
        raise BackendFailed(missing, hint=f"{_listing(device)} says what is there and what is missing")
    return backend


def _listing(device: str) -> str:
    # Right on that device and on any other one, wherever this is read.
    return f"`agent backends --on {shlex.quote(device)}`"


def check_command(request: CreateSession) -> str:
    """The requested command as a line of a shell. Raises: BadParams (no system can run it), TooLarge."""
    if "\0" in request.cwd or any("\0" in word for word in request.command):
        raise BadParams("no path or command contains NUL", hint="leave out the NUL character")
    command = shlex.join(request.command)
    if len(command) > PROMPT_MAX:
        raise TooLarge(f"a command of {len(command):,} characters; {PROMPT_MAX:,} are allowed")
    return command


def _program(command: Sequence[str]) -> str:
    # Without arguments: what a session is called is announced, and an argument may be a secret.
    return PurePath(command[0]).name if command else ""


def as_before(before: SessionMeta) -> CreateSession:
    """The request for a session like one that has ended, shared as that was."""
    return CreateSession(
        backend=before.backend,
        title=before.title,
        cwd=before.cwd,
        command=before.command,
        shell=before.shell,
        share=before.share,
    )


def prepared(
    request: CreateSession, backends: Mapping[str, BackendType], default: Default, device: str
) -> tuple[BackendType, CreateSession, str]:
    """The backend of a request, the request with all that is left out, and its command as a line of a shell.

    Raises: BackendFailed, BadParams, TooLarge.
    """
    name = request.backend or default.backend
    backend = choose_backend(name, backends, device)
    command = check_command(request)
    kept = request.command if backend.takes_command else ()
    shell = _shell_of(request.shell, backend, default.shell)
    return backend, msgspec.structs.replace(request, backend=name, command=kept, shell=shell), command


def _shell_of(asked: str, backend: object, default: str) -> str:
    # Whether there is such a shell the backend says: a name may be one that was installed just now.
    if not isinstance(backend, RunsShell):
        if asked:
            raise BadParams("sessions of that backend run no shell", hint="name none, or take the backend shell")
        return ""
    if asked and not _SHELL.fullmatch(asked):
        raise BadParams(
            f"{asked!r} names no shell", hint=f"give a path, or one of these: {', '.join(backend.shells()) or 'none'}"
        )
    return asked or default


def new_meta(
    request: CreateSession,
    backend: BackendType,
    creator: DeviceId,
    new_id: Callable[[], str],
    *,
    now: float,
    before: SessionMeta | None = None,
) -> SessionMeta:
    """The row to store for a new session; `now` in Unix seconds. It goes on with the conversation of `before`."""
    kind = kind_of(backend)
    return SessionMeta(
        id=SessionId(new_id()),
        epoch=new_id(),
        backend=request.backend,
        created_at=now,
        title=clean_title(request.title),
        derived_title=clean_title(_program(request.command)),
        cwd=request.cwd,
        command=request.command,
        shell=request.shell,
        share=request.share,
        creator=creator,
        kind=kind,
        lineage=before.lineage if before is not None and before.kind == kind else (),
    )
