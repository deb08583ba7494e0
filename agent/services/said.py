"""What a backend says, as entries of the session's log."""

from __future__ import annotations

from collections import deque

from agent.core.session import Decision, Session
from agent.core.transcript import (
    TEXT_MAX,
    MessageDelta,
    Payload,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    ThoughtDelta,
    ToolComplete,
    ToolStart,
    ToolUpdate,
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
    match event:
        case Said():
            return _reply(session, event.text)
        case Finished():
            return session.finished(
                event.status, exit_status=event.exit_status, cwd=event.cwd[:SHORT], error=event.error[:SHORT]
            )
        case Exited():
            return session.ended(event.status, event.reason[:SHORT], "complete" if event.status == "ended" else "error")
        case Asked() if event.request_id not in session.requests:
            asked = RequestOpen(
                turn=turn,
                request_id=event.request_id,
                kind=event.kind,
                prompt=event.prompt[:SHORT],
                choices=event.choices[:64],
            )
            return Decision((asked,))
        case Withdrew() if event.request_id in session.requests:
            return Decision((RequestClosed(turn=turn, request_id=event.request_id, status="expired"),))
        case Described() if (event.title, event.cwd, event.model) != (None, None, None):
            return Decision((SessionInfo(title=event.title, cwd=event.cwd, model=event.model),))
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
            return ThoughtDelta(turn=turn, text=event.text[:TEXT_MAX])
        case ToolStarted():
            return ToolStart(
                turn=turn,
                tool_id=event.tool_id,
                title=event.title[:SHORT],
                tool=event.tool[:SHORT],
                input=event.input[:TEXT_MAX],
            )
        case ToolProgressed():
            return ToolUpdate(turn=turn, tool_id=event.tool_id, text=event.text[:TEXT_MAX], title=event.title[:SHORT])
        case ToolFinished():
            return ToolComplete(turn=turn, tool_id=event.tool_id, status=event.status, output=event.output[:TEXT_MAX])
