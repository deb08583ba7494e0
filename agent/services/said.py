"""What a backend says, as entries of the session's log."""

from __future__ import annotations

import sys
from collections import deque

from agent.core.effects import Decision
from agent.core.names import clean
from agent.core.records import TITLE_MAX
from agent.core.session import Session
from agent.core.transcript import (
    TEXT_MAX,
    Choice,
    MessageDelta,
    Payload,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    ThoughtDelta,
    ToolComplete,
    ToolStart,
    ToolUpdate,
    TurnStatus,
)
from agent.ports import (
    Asked,
    BackendEvent,
    Described,
    Exited,
    Finished,
    Said,
    Thought,
    ToolFinished,
    ToolProgressed,
    ToolStarted,
    Withdrew,
)

CHUNK = 16_384
"""Characters of one logged delta: small enough to flow, large enough that a flood costs little."""
BATCH = 64
"""Backend events stored in one go."""
SHORT = 4096
"""Characters of a title or a question."""
ID = 128
"""Characters of an id."""


def weight(event: BackendEvent) -> int:
    """Characters that an event keeps in memory, roughly."""
    match event:
        case Said() | Thought() | ToolProgressed():
            return len(event.text) + 64
        case ToolFinished():
            return len(event.output) + 64
        case ToolStarted():
            return len(event.input) + 64
        case _:
            return 64


def take_batch(inbox: deque[BackendEvent]) -> list[BackendEvent]:
    """Take what waits, up to `BATCH` events, neighbouring pieces of text joined up to `CHUNK` characters."""
    batch: list[BackendEvent] = []
    while inbox and len(batch) < BATCH:
        event = inbox.popleft()
        if isinstance(event, Said | Thought) and isinstance(inbox[0] if inbox else None, type(event)):
            pieces, size = [event.text], len(event.text)
            while inbox and isinstance(more := inbox[0], Said | Thought) and type(more) is type(event):
                if size + len(more.text) > CHUNK:
                    break
                pieces.append(more.text)
                size += len(more.text)
                inbox.popleft()
            event = type(event)("".join(pieces))
        batch.append(event)
    return batch


def payloads_of(session: Session, event: BackendEvent) -> Decision:  # noqa: PLR0911 - one return a kind of event
    """What is logged of one backend event, in the session's present state. Text is bounded here."""
    turn = session.running or session.turns
    if not session.status.live:
        return Decision()  # a program that has ended says nothing more
    match event:
        case Said():
            return _reply(session, _text(event.text))
        case Finished():
            cwd, error = _text(event.cwd, SHORT), _text(event.error, SHORT)
            return session.finished(event.status, exit_status=event.exit_status, cwd=cwd, error=error)
        case Exited():
            reason = _text(event.reason, SHORT)
            turn_status: TurnStatus = "complete" if event.status == "ended" else "error"
            return session.ended(event.status, reason, turn_status, exit_status=event.exit_status)
        case Asked() if _text(event.request_id, ID) not in session.requests:
            asked = RequestOpen(
                turn=turn,
                request_id=_text(event.request_id, ID),
                kind=event.kind,
                prompt=_text(event.prompt, SHORT),
                choices=tuple(map(_choice, event.choices[:64])),
            )
            return Decision((asked,))
        case Withdrew() if _text(event.request_id, ID) in session.requests:
            return Decision((RequestClosed(turn=turn, request_id=_text(event.request_id, ID), status="expired"),))
        case Described() if (event.title, event.cwd, event.model) != (None, None, None):
            info = SessionInfo(
                title=None if event.title is None else clean(_text(event.title), TITLE_MAX),
                cwd=None if event.cwd is None else _text(event.cwd, SHORT),
                model=None if event.model is None else clean(_text(event.model), SHORT),
            )
            return Decision((info,))
        case Thought() | ToolStarted() | ToolProgressed() | ToolFinished() if session.running is not None:
            return Decision((*session.end_part(), _aside(event, session.running)))
        case _:
            return Decision()


def _reply(session: Session, text: str) -> Decision:
    if session.running is None:
        return Decision()  # a backend keeps what comes between turns for the next one
    begin = session.new_part()
    text = session.reply.take(text)
    if not text:
        return Decision(begin)
    part = session.reply.part + bool(begin)
    pieces = (text[i : i + CHUNK] for i in range(0, len(text), CHUNK))
    return Decision((*begin, *(MessageDelta(turn=session.running, part=part, text=piece) for piece in pieces)))


def _aside(event: Thought | ToolStarted | ToolProgressed | ToolFinished, turn: int) -> Payload:
    match event:
        case Thought():
            return ThoughtDelta(turn=turn, text=_text(event.text, TEXT_MAX))
        case ToolStarted():
            return ToolStart(
                turn=turn,
                tool_id=_text(event.tool_id, ID),
                title=_text(event.title, SHORT),
                tool=_text(event.tool, SHORT),
                input=_text(event.input, TEXT_MAX),
            )
        case ToolProgressed():
            text, title = _text(event.text, TEXT_MAX), _text(event.title, SHORT)
            return ToolUpdate(turn=turn, tool_id=_text(event.tool_id, ID), text=text, title=title)
        case ToolFinished():
            output = _text(event.output, TEXT_MAX)
            return ToolComplete(turn=turn, tool_id=_text(event.tool_id, ID), status=event.status, output=output)


def _choice(choice: Choice) -> Choice:
    return Choice(id=_text(choice.id, ID), name=_text(choice.name, SHORT), kind=_text(choice.kind, ID))


def _text(text: str, limit: int = sys.maxsize) -> str:
    # What does not fit the log's types would end the session: too long, or half a surrogate pair.
    text = text[:limit]
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
