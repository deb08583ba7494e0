"""Each event of a Hermes session as what this project calls it. Pure; what has no name here is not passed on.

Events that begin or end something (a turn, a question) are the session's; it asks here what they say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec
from msgspec import Raw, Struct

from agent.adapters.backends.hermes.redact import Redactor
from agent.ports import BackendEvent, Described, Planned, Said, Thought, ToolFinished, ToolStarted
from agent.protocol import lenient
from agent.protocol.bounds import Many, Table, Whole, Words
from agent.protocol.events import Location, PlanEntry, TurnStatus, Usage
from agent.protocol.excerpts import shortened

CHUNK = 16_384
"""Characters of one piece of text (docs/design/backends.md)."""
OUTPUT_MAX = 32_768
"""Characters of what a tool gave."""

FILE_TOOLS = frozenset({"read_file", "write_file", "patch"})
"""Tools of Hermes that are given the path of one file."""

T = TypeVar("T", bound=Struct)
V = TypeVar("V")
_NOTHING = Raw(b"null")


class TextPayload(Struct, frozen=True):
    """Payload of deltas and interim texts."""

    text: Words | None = ""
    already_streamed: bool = False


class BegunPayload(Struct, frozen=True):
    """Payload of the event `message.start`; `input` is told by newer gateways only."""

    input: Raw = _NOTHING

    @property
    def prompt(self) -> str:
        """What was asked, if the gateway told it."""
        return _word(_fields(self.input).get("text", self.input))


class _Used(Struct, frozen=True):
    context_used: Whole | None = 0
    context_max: Whole | None = 0


class DonePayload(Struct, frozen=True):
    """Payload of the event `message.complete`."""

    text: Words | None = ""
    status: Words = "complete"
    usage: _Used | None = None

    @property
    def turn_status(self) -> TurnStatus:
        """The status of the turn in this project's words."""
        statuses: dict[str, TurnStatus] = {"complete": "complete", "interrupted": "interrupted"}
        return statuses.get(self.status, "error")

    @property
    def used(self) -> Usage | None:
        """Tokens of the turn, if they were told."""
        if self.usage is None or not self.usage.context_max:
            return None
        return Usage(used=self.usage.context_used or 0, size=self.usage.context_max)


class InfoPayload(Struct, frozen=True):
    """Payload of the event `session.info`, as far as it is anybody's business."""

    running: bool | None = None
    model: Words | None = None


class FailedPayload(Struct, frozen=True):
    """Payload of the event `error`."""

    message: Words | None = ""


class _Titled(Struct, frozen=True):
    title: Words | None = ""


class _Tool(Struct, frozen=True):
    tool_id: Words = ""
    name: Words | None = ""
    context: Words | None = ""
    args: Raw = _NOTHING
    result: Raw = _NOTHING
    todos: Raw = _NOTHING


class _Todo(Struct, frozen=True):
    content: Words = ""
    status: Words = ""


def payload(raw: Raw, kind: type[T]) -> T:
    """Decode what an event carries; all defaults, if it is something else."""
    return lenient.read(raw, kind) or kind()


def pieces(text: str | None, kind: type[Said | Thought] = Said) -> list[BackendEvent]:
    """A text, in pieces as small as events must be."""
    text = text or ""
    return [kind(text[start : start + CHUNK]) for start in range(0, len(text), CHUNK)]


def shown(event_type: str, raw: Raw, redactor: Redactor) -> list[BackendEvent]:
    """The events by which an event of the gateway is shown."""
    reader = _READERS.get(event_type)
    return reader(raw, redactor) if reader else []


def command_of(raw: Raw) -> str:
    """The command that a tool ran, to be compared with the one that was asked about."""
    return _word(_fields(payload(raw, _Tool).args).get("command"))


def tool_id(raw: Raw) -> str:
    """The id of the tool that an event is about."""
    return payload(raw, _Tool).tool_id


def _delta(raw: Raw, redactor: Redactor) -> list[BackendEvent]:  # noqa: ARG001 - one signature for all
    return pieces(payload(raw, TextPayload).text)


def _interim(raw: Raw, redactor: Redactor) -> list[BackendEvent]:  # noqa: ARG001 - one signature for all
    beside = payload(raw, TextPayload)
    return [] if beside.already_streamed else pieces(beside.text)


def _reasoning(raw: Raw, redactor: Redactor) -> list[BackendEvent]:  # noqa: ARG001 - one signature for all
    return pieces(payload(raw, TextPayload).text, Thought)


def _tool_start(raw: Raw, redactor: Redactor) -> list[BackendEvent]:
    tool = payload(raw, _Tool)
    if not tool.tool_id:
        return []
    name = tool.name or "tool"
    title = redactor.redacted(tool.context or name)
    return [ToolStarted(tool_id=tool.tool_id, title=title, tool=name, tool_name=name)]


def _tool_complete(raw: Raw, redactor: Redactor) -> list[BackendEvent]:
    tool = payload(raw, _Tool)
    events: list[BackendEvent] = []
    if tool.tool_id:
        status, output = _outcome(tool.result)
        text = shortened(redactor.redacted(output), OUTPUT_MAX)
        path = _word(_fields(tool.args).get("path")) if tool.name in FILE_TOOLS else ""
        places = (Location(path=redactor.redacted(path)),) if path else ()
        events.append(ToolFinished(tool_id=tool.tool_id, status=status, output=text, locations=places))
    todos = _read(tool.todos, Many[Raw])
    if todos is not None:
        events.append(Planned(tuple(entry for each in todos[:128] if (entry := _entry(each, redactor)))))
    return events


def _outcome(result: Raw) -> tuple[TurnStatus, str]:
    fields = _fields(result)
    if not fields:
        return "complete", _word(result)
    failed, output = _word(fields.get("error")), _word(fields.get("output"))
    if failed:
        return "error", f"{output}\n{failed}" if output else failed
    if "output" in fields and _read(fields["output"], Words) is not None:
        return "complete", output
    answer = _word(fields.get("user_response"))  # of a question to a person
    return "complete", answer or msgspec.json.format(bytes(result), indent=-1).decode(errors="replace")


def _entry(todo: Raw, redactor: Redactor) -> PlanEntry | None:
    told = _read(todo, _Todo)
    if told is None or not told.content:
        return None
    status: Literal["pending", "in_progress", "completed"] = "pending"
    if told.status == "in_progress":
        status = "in_progress"
    elif told.status in {"completed", "cancelled"}:
        status = "completed"
    return PlanEntry(text=redactor.redacted(told.content)[:4096], status=status)


def _read(raw: Raw | None, kind: type[V]) -> V | None:
    # A number is no text here: it would be told as one.
    return lenient.read(raw, kind) if raw is not None and bytes(raw).startswith((b'"', b"{", b"[")) else None


def _fields(raw: Raw) -> dict[str, Raw]:
    # Of an object; of anything else none.
    return _read(raw, Table[Raw]) or {}


def _word(raw: Raw | None) -> str:
    return _read(raw, Words) or ""


def _info(raw: Raw, redactor: Redactor) -> list[BackendEvent]:  # noqa: ARG001 - one signature for all
    model = payload(raw, InfoPayload).model
    return [Described(model=model)] if model else []


def _title(raw: Raw, redactor: Redactor) -> list[BackendEvent]:  # noqa: ARG001 - one signature for all
    title = payload(raw, _Titled).title
    return [Described(title=title)] if title else []


_READERS: dict[str, Callable[[Raw, Redactor], list[BackendEvent]]] = {
    "message.delta": _delta,
    "message.interim": _interim,
    "reasoning.delta": _reasoning,
    "tool.start": _tool_start,
    "tool.complete": _tool_complete,
    "session.info": _info,
    "session.title": _title,
}
"""Events that show something. All others do not leave this module: spinner words, status lines, configuration."""
