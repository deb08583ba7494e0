"""What is asked of sessions, checked before anything is started; and what is told of an answer."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Literal

from agent.errors import BackendFailed, BadParams, Forbidden, TooLarge
from agent.ports import BackendType, SessionMeta, kind_of
from agent.protocol.events import Answer, RequestClosed
from agent.protocol.messages import Answered, AnswerRequest, CreateSession
from agent.protocol.model import TITLE_MAX, DeviceId, Sender, SessionId
from agent.protocol.names import clean
from agent.sessions.rules.effects import Decision
from agent.sessions.rules.state import Session

PROMPT_MAX = 100_000
"""Characters of one prompt, or of a command."""


def choose_backend(name: str, backends: Mapping[str, BackendType], device: str) -> BackendType:
    """The backend of that name, if it can be used on `device` (its name). Raises: BackendFailed."""
    backend = backends.get(name)
    if backend is None:
        known = ", ".join(sorted(each for each in backends if not backends[each].missing())) or "none"
        raise BackendFailed(f"no backend {name!r} on {device}", hint=f"there are: {known}; see {_listing(device)}")
    if missing := backend.missing():
        raise BackendFailed(missing, hint=f"{_listing(device)} says what is there and what is missing")
    return backend


def _listing(device: str) -> str:
    # Right on that device and on any other one, wherever this is read.
    return f"`agent backends --on {shlex.quote(device)}`"


def check_command(asked: CreateSession) -> str:
    """The command as a line of a shell. Raises: BadParams, TooLarge, if no system could run it, or run it there."""
    if "\0" in asked.cwd or any("\0" in word for word in asked.command):
        raise BadParams("no path or command contains NUL", hint="leave out the NUL character")
    command = shlex.join(asked.command)
    if len(command) > PROMPT_MAX:
        raise TooLarge(f"a command of {len(command):,} characters; {PROMPT_MAX:,} are allowed")
    return command


def _program(command: Sequence[str]) -> str:
    # Its name and no argument: a title is announced, and an argument may be a secret.
    return PurePath(command[0]).name if command else ""


def new_meta(
    asked: CreateSession, backend: BackendType, session: SessionId, epoch: str, creator: DeviceId, *, now: float
) -> SessionMeta:
    """The row of a new session; `now` in Unix seconds."""
    return SessionMeta(
        id=session,
        epoch=epoch,
        backend=asked.backend,
        created_at=now,
        title=clean(asked.title or _program(asked.command), TITLE_MAX),
        cwd=asked.cwd,
        command=asked.command,
        share=asked.share,
        creator=creator,
        kind=kind_of(backend),
    )


def answered(
    session: Session, own: DeviceId, request_id: str, answer: Answer, by: Sender
) -> tuple[Decision, RequestClosed]:
    """As `Session.answer`, but some questions only the device itself (`own`) may answer. Raises: Forbidden, too."""
    local = {asked.request_id for asked in session.requests.values() if asked.local}
    decision, closed = session.answer(request_id, answer, by)
    if decision.payloads and closed.request_id in local and by.device != own:
        hint = "run `agent answer` on that device; or its owner lets others answer: remote_secrets in docs/settings.md"
        raise Forbidden("this question is answered on the device of the session only", hint=hint)
    return decision, closed


def told_of(asked: AnswerRequest, by: Sender, closed: RequestClosed, *, first: bool) -> Answered:
    """What is told to whoever answered (S9)."""
    if closed.status == "expired":
        return Answered(status="expired", request_id=closed.request_id)
    # The same device saying the same again is a retry over a new link, not a second opinion (L5).
    retried = closed.by == by and closed.answer in (asked.answer, "")
    status: Literal["accepted", "already-answered"] = "accepted" if first or retried else "already-answered"
    return Answered(status=status, by=closed.by, request_id=closed.request_id)
