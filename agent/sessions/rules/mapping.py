"""What a backend says, as entries of the session's log."""

from __future__ import annotations

from agent.ports import (
    Asked,
    BackendEvent,
    Described,
    Exited,
    Finished,
    Planned,
    Said,
    Thought,
    ToolFinished,
    ToolProgressed,
    ToolStarted,
    Unknown,
    Withdrew,
)
from agent.protocol.events import (
    TEXT_MAX,
    MessageDelta,
    Other,
    Payload,
    PlanUpdate,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    ThoughtDelta,
    ToolComplete,
    ToolStart,
    ToolUpdate,
    TurnStatus,
)
from agent.protocol.model import TITLE_MAX
from agent.protocol.names import clean
from agent.sessions.rules.bounds import DETAIL, ID, SHORT, Room, whole
from agent.sessions.rules.effects import Decision
from agent.sessions.rules.reply import Reply
from agent.sessions.rules.state import Session

CHUNK = 16_384
"""Characters of one logged delta: small enough to flow, large enough that a flood costs little."""


def payloads_of(session: Session, event: BackendEvent) -> Decision:  # noqa: PLR0911 - one return a kind of event
    """What is logged of one backend event, in the session's present state. Text is bounded here."""
    turn, room = session.running or session.turns, Room()
    if not session.status.live:
        return Decision()  # a program that has ended says nothing more
    match event:
        case Said():
            return _reply(session, whole(event.text))
        case Finished():
            cwd, error = room.text(event.cwd, SHORT), room.text(event.error, SHORT)
            return session.finished(
                event.status, exit_status=event.exit_status, cwd=cwd, error=error, usage=room.usage(event.usage)
            )
        case Exited():
            reason = room.text(event.reason, SHORT)
            turn_status: TurnStatus = "complete" if event.status == "ended" else "error"
            return session.ended(event.status, reason, turn_status, exit_status=event.exit_status)
        case Asked() if (request_id := room.text(event.request_id, ID)) not in session.requests:
            asked = RequestOpen(
                turn=turn,
                request_id=request_id,
                kind=event.kind,
                prompt=room.text(event.prompt, SHORT),
                choices=room.choices(event.choices, 64),
                detail=room.text(event.detail, DETAIL),
                fields=room.fields(event.fields),
                local=event.local,
            )
            return Decision((asked,))
        case Withdrew() if (request_id := room.text(event.request_id, ID)) in session.requests:
            return Decision((RequestClosed(turn=turn, request_id=request_id, status="expired"),))
        case Described():
            info = SessionInfo(
                title=None if event.title is None or session.named else clean(whole(event.title), TITLE_MAX),
                cwd=None if event.cwd is None else room.text(event.cwd, SHORT),
                model=None if event.model is None else clean(whole(event.model), SHORT),
                note=room.text(event.note, SHORT),
                options=None if event.options is None else room.options(event.options),
                commands=None if event.commands is None else room.commands(event.commands),
            )
            return Decision() if _known(session, info) else Decision((info,))
        case Thought() | ToolStarted() | ToolProgressed() | ToolFinished() | Planned():
            return Decision((*session.end_part(), _aside(event, session.running or 0, room)))
        case Unknown():
            return Decision(
                (Other(turn=turn, kind=room.text(event.kind, SHORT), data=room.text(event.data, TEXT_MAX)),)
            )
        case _:
            return Decision()


_DESCRIBED = ("title", "cwd", "model", "options", "commands")


def _known(session: Session, info: SessionInfo) -> bool:
    # Agents repeat themselves: what changes nothing is not logged.
    told = {name: value for name in _DESCRIBED if (value := getattr(info, name)) is not None}
    return not info.note and all(getattr(session, name) == value for name, value in told.items())


def _reply(session: Session, text: str) -> Decision:
    begin, saying = session.new_part(), session.saying
    text = (Reply() if begin and session.running is None else saying).take(text)
    if not text:
        return Decision(begin)
    part = saying.part + bool(begin)
    pieces = (text[i : i + CHUNK] for i in range(0, len(text), CHUNK))
    return Decision((*begin, *(MessageDelta(turn=session.running or 0, part=part, text=piece) for piece in pieces)))


def _aside(event: Thought | ToolStarted | ToolProgressed | ToolFinished | Planned, turn: int, room: Room) -> Payload:
    match event:
        case Thought():
            return ThoughtDelta(turn=turn, text=room.text(event.text, TEXT_MAX))
        case ToolStarted():
            return ToolStart(
                turn=turn,
                tool_id=room.text(event.tool_id, ID),
                title=room.text(event.title, SHORT),
                tool=room.text(event.tool, SHORT),
                input=room.text(event.input, TEXT_MAX),
            )
        case ToolProgressed():
            return ToolUpdate(
                turn=turn,
                tool_id=room.text(event.tool_id, ID),
                text=room.text(event.text, TEXT_MAX),
                title=room.text(event.title, SHORT),
                diffs=room.diffs(event.diffs),
            )
        case ToolFinished():
            return ToolComplete(
                turn=turn,
                tool_id=room.text(event.tool_id, ID),
                status=event.status,
                output=room.text(event.output, TEXT_MAX),
                diffs=room.diffs(event.diffs),
            )
        case Planned():
            return PlanUpdate(turn=turn, entries=room.plan(event.entries))
