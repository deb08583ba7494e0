"""Each event of a Hermes session as what this project calls it. Pure; what has no name here is not passed on.

Events that begin or end something (a turn, a question) are the session's; it asks here what they say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Raw, Struct

from agent.backends.hermes.veil import Veil
from agent.core.transcript import PlanEntry, TurnStatus, Usage
from agent.ports import BackendEvent, Described, Planned, Said, Thought, ToolFinished, ToolStarted

CHUNK = 16_384
"""Characters of one piece of text (docs/design/backends.md)."""
OUTPUT_MAX = 32_768
"""Characters of what a tool gave."""

T = TypeVar("T", bound=Struct)


class Text(Struct, frozen=True):
    """Payload of deltas and interim texts."""

    text: str | None = ""
    already_streamed: bool = False


class Begun(Struct, frozen=True):
    """Payload of `message.start`; `input` is told by newer gateways only."""

    input: Any = None

    @property
    def prompt(self) -> str:
        """What was asked, if it was told."""
        if isinstance(self.input, dict):
            found = self.input.get("text")
            return found if isinstance(found, str) else ""
        return self.input if isinstance(self.input, str) else ""


class _Used(Struct, frozen=True):
    context_used: int | None = 0
    context_max: int | None = 0


class Done(Struct, frozen=True):
    """Payload of `message.complete`."""

    text: str | None = ""
    status: str = "complete"
    usage: _Used | None = None

    @property
    def turn_status(self) -> TurnStatus:
        """The status in this project's words."""
        statuses: dict[str, TurnStatus] = {"complete": "complete", "interrupted": "interrupted"}
        return statuses.get(self.status, "error")

    @property
    def used(self) -> Usage | None:
        """Tokens, if they were told."""
        if self.usage is None or not self.usage.context_max:
            return None
        return Usage(used=self.usage.context_used or 0, size=self.usage.context_max)


class Info(Struct, frozen=True):
    """The part of `session.info` that is anybody's business."""

    running: bool | None = None
    model: str | None = None


class Failed(Struct, frozen=True):
    """Payload of `error`."""

    message: str | None = ""


class _Titled(Struct, frozen=True):
    title: str | None = ""


class _Tool(Struct, frozen=True):
    tool_id: str = ""
    name: str | None = ""
    context: str | None = ""
    args: Any = None
    result: Any = None
    todos: Any = None


def payload(raw: Raw, kind: type[T]) -> T:
    """What an event carries; all defaults, if it is something else."""
    try:
        return msgspec.json.decode(raw, type=kind, strict=False)
    except (ValueError, RecursionError):
        return kind()


def pieces(text: str | None, kind: type[Said | Thought] = Said) -> list[BackendEvent]:
    """A text, in pieces as small as they must be."""
    text = text or ""
    return [kind(text[start : start + CHUNK]) for start in range(0, len(text), CHUNK)]


def shown(event_type: str, raw: Raw, veil: Veil) -> list[BackendEvent]:
    """What an event shows."""
    reader = _READERS.get(event_type)
    return reader(raw, veil) if reader else []


def command_of(raw: Raw) -> str:
    """The command that a tool ran, to be compared with the one that was asked about."""
    args = payload(raw, _Tool).args
    found = args.get("command") if isinstance(args, dict) else None
    return found if isinstance(found, str) else ""


def tool_id(raw: Raw) -> str:
    """Which tool it is about."""
    return payload(raw, _Tool).tool_id


def _delta(raw: Raw, veil: Veil) -> list[BackendEvent]:  # noqa: ARG001 - one signature for all
    return pieces(payload(raw, Text).text)


def _interim(raw: Raw, veil: Veil) -> list[BackendEvent]:  # noqa: ARG001 - one signature for all
    beside = payload(raw, Text)
    return [] if beside.already_streamed else pieces(beside.text)


def _reasoning(raw: Raw, veil: Veil) -> list[BackendEvent]:  # noqa: ARG001 - one signature for all
    return pieces(payload(raw, Text).text, Thought)


def _tool_start(raw: Raw, veil: Veil) -> list[BackendEvent]:
    tool = payload(raw, _Tool)
    if not tool.tool_id:
        return []
    name = tool.name or "tool"
    return [ToolStarted(tool_id=tool.tool_id, title=veil.over(tool.context or name), tool=name)]


def _tool_complete(raw: Raw, veil: Veil) -> list[BackendEvent]:
    tool = payload(raw, _Tool)
    events: list[BackendEvent] = []
    if tool.tool_id:
        status, output = _outcome(tool.result)
        text = veil.over(output)[:OUTPUT_MAX]
        events.append(ToolFinished(tool_id=tool.tool_id, status=status, output=text))
    if isinstance(tool.todos, list):
        events.append(Planned(tuple(entry for each in tool.todos[:128] if (entry := _entry(each, veil)))))
    return events


def _outcome(result: Any) -> tuple[TurnStatus, str]:
    if isinstance(result, str):
        return "complete", result
    if not isinstance(result, dict):
        return "complete", ""
    failed = result.get("error")
    output = result.get("output")
    if isinstance(failed, str) and failed:
        return "error", f"{output}\n{failed}" if isinstance(output, str) and output else failed
    if isinstance(output, str):
        return "complete", output
    answer = result.get("user_response")  # of a question to a person
    if isinstance(answer, str):
        return "complete", answer
    return "complete", msgspec.json.encode(result).decode()


def _entry(todo: Any, veil: Veil) -> PlanEntry | None:
    if not isinstance(todo, dict) or not isinstance(todo.get("content"), str):
        return None
    status: Literal["pending", "in_progress", "completed"] = "pending"
    if todo.get("status") == "in_progress":
        status = "in_progress"
    elif todo.get("status") in ("completed", "cancelled"):
        status = "completed"
    return PlanEntry(text=veil.over(todo["content"])[:4096], status=status)


def _info(raw: Raw, veil: Veil) -> list[BackendEvent]:  # noqa: ARG001 - one signature for all
    model = payload(raw, Info).model
    return [Described(model=model)] if model else []


def _title(raw: Raw, veil: Veil) -> list[BackendEvent]:  # noqa: ARG001 - one signature for all
    title = payload(raw, _Titled).title
    return [Described(title=title)] if title else []


_READERS: dict[str, Callable[[Raw, Veil], list[BackendEvent]]] = {
    "message.delta": _delta,
    "message.interim": _interim,
    "reasoning.delta": _reasoning,
    "tool.start": _tool_start,
    "tool.complete": _tool_complete,
    "session.info": _info,
    "session.title": _title,
}
"""Events that show something. All others do not leave this module: spinner words, status lines, configuration."""
