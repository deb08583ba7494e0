"""Backend events as entries of the session's log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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
from agent.protocol.colours import plain, whole_before
from agent.protocol.events import (
    DIFFS_MAX,
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
)
from agent.protocol.excerpts import left_out
from agent.protocol.model import PROGRAM_MAX
from agent.protocol.names import clean, clean_title
from agent.sessions.rules.bounds import CHOICES_MAX, DETAIL, ID, SHORT, CharacterBudget, bounded_text
from agent.sessions.rules.effects import Decision
from agent.sessions.rules.reply import ReplyBuffer
from agent.sessions.rules.state import DESCRIBED, SessionMachine
from agent.sessions.rules.tools import SessionTools

CHUNK = 16_384
"""Characters of one logged delta: small enough to flow, large enough that a flood costs little."""
REASON = 1000
"""Characters of why a program ended: they stand within sentences of ours."""


def payloads_of(session: SessionMachine, event: BackendEvent) -> Decision:  # noqa: PLR0911 - one return a kind of event
    """The entries to log for one backend event in the session's present state. Text is bounded here."""
    turn = session.running or session.turns
    budget = CharacterBudget()
    if not session.status.live:
        return Decision()  # nothing is logged of a backend that has ended
    match event:
        case Said():
            return _reply(session, bounded_text(event.text))
        case Finished():
            cwd, error = budget.text(event.cwd, SHORT), budget.shown(event.error, SHORT)
            return session.finished(
                event.status,
                exit_status=event.exit_status,
                cwd=cwd,
                error=error,
                usage=budget.usage(event.usage),
                cause=event.cause,
            )
        case Exited():
            reason = budget.shown(event.reason, REASON)
            return session.ended(event.status, reason, "error", exit_status=event.exit_status)
        case Asked() if (request_id := budget.text(event.request_id, ID)) not in session.requests:
            more = {"choices": len(event.choices) - CHOICES_MAX, "fields": len(event.fields) - CHOICES_MAX}
            detail = budget.shown(_counted(event.detail, more), DETAIL)  # first: what a person allows stands there
            request = RequestOpen(
                turn=turn,
                request_id=request_id,
                kind=event.kind,
                prompt=budget.shown(plain(event.prompt), SHORT),
                choices=budget.choices(event.choices, CHOICES_MAX),
                detail=detail,
                fields=budget.fields(event.fields),
                local=event.local,
                own_words=event.own_words,
                tool=budget.text(event.tool, SHORT),
                tool_name=budget.text(event.tool_name, SHORT),
                cwd=budget.text(event.cwd, SHORT),
                locations=budget.locations(event.locations),
            )
            return Decision((*session.end_part(), request))
        case Withdrew() if (request_id := budget.text(event.request_id, ID)) in session.requests:
            reason = budget.text(event.reason, SHORT)
            closed = RequestClosed(turn=turn, request_id=request_id, status="expired", reason=reason)
            return Decision((*session.end_part(), closed))
        case Described():
            info = SessionInfo(
                title=None if event.title is None or session.named else clean_title(bounded_text(event.title)),
                cwd=None if event.cwd is None else budget.text(event.cwd, SHORT),
                model=None if event.model is None else clean(bounded_text(event.model), SHORT),
                program=None if event.program is None else clean(bounded_text(event.program), PROGRAM_MAX),
                screen=None if event.screen is None else clean(bounded_text(event.screen), PROGRAM_MAX),
                note=budget.shown(event.note, SHORT),
                options=None if event.options is None else budget.options(event.options),
                commands=None if event.commands is None else budget.commands(event.commands),
            )
            return Decision() if _known(session, info) else Decision((info,))
        case Thought() | ToolStarted() | ToolProgressed() | ToolFinished() | Planned():
            return Decision((*session.end_part(), *_asides(session, event, budget)))
        case Unknown():
            return Decision(
                (Other(turn=turn, kind=budget.text(event.kind, SHORT), data=budget.text(event.data, TEXT_MAX)),)
            )
        case _:
            return Decision()


def _known(session: SessionMachine, info: SessionInfo) -> bool:
    # Agents repeat themselves: a description that changes nothing is not logged.
    described = {name: value for name in ("title", *DESCRIBED) if (value := getattr(info, name)) is not None}
    return not info.note and all(getattr(session, name) == value for name, value in described.items())


def _reply(session: SessionMachine, text: str) -> Decision:
    begin = session.new_part()
    reply = session.current_reply
    text = (ReplyBuffer() if begin and session.running is None else reply).take(text)
    if not text:
        return Decision(begin)
    part = reply.part + bool(begin)
    turn = session.running or 0
    return Decision((*begin, *(MessageDelta(turn=turn, part=part, text=piece) for piece in _pieces(text))))


def _pieces(text: str) -> Iterator[str]:
    # No colour is parted: of one event alone it must be seen what is one.
    while text:
        end = whole_before(text, CHUNK)
        yield text[:end]
        text = text[end:]


def _asides(
    session: SessionMachine,
    event: Thought | ToolStarted | ToolProgressed | ToolFinished | Planned,
    budget: CharacterBudget,
) -> tuple[Payload, ...]:
    turn, tools = session.running or 0, session.tools
    match event:
        case Thought():
            return (ThoughtDelta(turn=turn, text=budget.shown(event.text, TEXT_MAX)),)
        case ToolStarted():
            start = ToolStart(
                turn=turn,
                tool_id=budget.text(event.tool_id, ID),
                title=budget.shown(event.title, SHORT),
                tool=budget.text(event.tool, SHORT),
                input=budget.shown(event.input, TEXT_MAX),
                tool_name=budget.text(event.tool_name, SHORT),
                locations=budget.locations(event.locations),
            )
            return (*tools.room(), start)
        case ToolProgressed():
            tool_id = budget.text(event.tool_id, ID)
            update = ToolUpdate(
                turn=turn,
                tool_id=tool_id,
                text=budget.shown(tools.take(tool_id, event.text), TEXT_MAX),
                title=budget.shown(event.title, SHORT),
                diffs=budget.diffs(event.diffs),
                locations=budget.locations(event.locations),
            )
            return (update,) if update.text or update.title or update.diffs else ()
        case ToolFinished():
            end = ToolComplete(
                turn=turn,
                tool_id=budget.text(event.tool_id, ID),
                status=event.status,
                output=budget.shown(_output(tools, event), TEXT_MAX),
                diffs=budget.diffs(event.diffs),
                locations=budget.locations(event.locations),
            )
            return tools.ending(end)
        case Planned():
            return (PlanUpdate(turn=turn, entries=budget.plan(event.entries)),)


def _output(tools: SessionTools, event: ToolFinished) -> str:
    return _counted(tools.whole(event.tool_id, event.output), {"changed files": len(event.diffs) - DIFFS_MAX})


def _counted(text: str, more: Mapping[str, int]) -> str:
    """A text, and below it how many of what stands beside it are left out."""
    lines = [left_out(count, what) for what, count in more.items() if count > 0]
    return "\n".join([*([text] if text or not lines else []), *lines])
