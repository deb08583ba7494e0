"""What an agent does beside talking: tools and plans, as Hermes's protocol has them."""

from __future__ import annotations

from agent.client.reading import places
from agent.client.terminal_text import clean, one_line, plain
from agent.frontends.hermes_ui.outgoing import Json, UiEvent
from agent.protocol.events import Diff, PlanUpdate, ToolComplete, ToolStart, ToolUpdate
from agent.protocol.excerpts import Excerpt

SUMMARY_MAX = 160
"""Characters of a tool's output that stand behind its name."""
OUTPUT_MAX = 16_384
"""Characters of a tool's output that are kept while it runs, its beginning and its end."""


class _Tool:
    def __init__(self, name: str, began: float) -> None:
        self.name = name
        self.began = began
        self.output = Excerpt(OUTPUT_MAX)
        self.diffs: tuple[Diff, ...] = ()


class ActivityEvents:
    """The tools that run in a session, as events of the UI."""

    def __init__(self) -> None:
        self._tools: dict[str, _Tool] = {}

    def take(self, payload: ToolStart | ToolUpdate | ToolComplete | PlanUpdate, at: float) -> list[UiEvent]:
        """The events that a tool's or a plan's entry means; `at` in Unix seconds."""
        match payload:
            case ToolStart():
                return [self._started(payload, at)]
            case ToolUpdate():
                return self._updated(payload)
            case ToolComplete():
                return [self._completed(payload, at)]
            case PlanUpdate():
                return _plan(payload)

    def over(self) -> None:
        """Forget whatever ran: the turn has ended."""
        self._tools.clear()

    def _started(self, start: ToolStart, began: float) -> UiEvent:
        name = one_line(start.tool_name) or one_line(start.tool) or "tool"
        self._tools[start.tool_id] = _Tool(name, began)
        title = one_line(start.title)
        at = places([each for each in start.locations if each.line or clean(each.path) not in title])
        context = " · ".join(filter(None, ("" if title == name else title, at)))
        return UiEvent("tool.start", {"tool_id": _id(start), "name": name, "context": context})

    def _updated(self, update: ToolUpdate) -> list[UiEvent]:
        tool = self._tools.get(update.tool_id)
        if tool is None:
            return []
        tool.output.add(update.text)
        tool.diffs = update.diffs or tool.diffs
        preview = summary(tool.output.text) or one_line(update.title)
        return [UiEvent("tool.progress", {"name": tool.name, "preview": preview})] if preview else []

    def _completed(self, done: ToolComplete, at: float) -> UiEvent:
        tool = self._tools.pop(done.tool_id, None) or _Tool("tool", at)
        output = plain(done.output or tool.output.text)
        told: Json = {
            "tool_id": _id(done),
            "name": tool.name,
            "args": {},
            "duration_s": max(0.0, round(at - tool.began, 3)),
            "result": {"output": output},
            "summary": summary(output),
        }
        if done.status != "complete":
            told["error"] = "interrupted" if done.status == "interrupted" else summary(output) or "failed"
        diffs = done.diffs or tool.diffs
        if diffs:
            told["inline_diff"] = "\n".join(_patch(diff) for diff in diffs)
        return UiEvent("tool.complete", told)


def summary(text: str) -> str:
    """The last line of a program's output that says something."""
    lines = [each for each in plain(text).splitlines() if each.strip()]
    return clean(lines[-1], SUMMARY_MAX).strip() if lines else ""


def _plan(plan: PlanUpdate) -> list[UiEvent]:
    # Hermes's own plans are made with a tool, whose frames carry the list.
    todos = [{"id": str(number), "content": one_line(entry.text), "status": entry.status}
             for number, entry in enumerate(plan.entries, 1)]  # fmt: skip
    told: Json = {"tool_id": f"plan-{plan.turn}", "name": "todo"}
    ended: Json = {**told, "args": {}, "duration_s": 0.0, "result": {}, "todos": todos}
    return [UiEvent("tool.start", {**told, "context": "", "todos": todos}), UiEvent("tool.complete", ended)]


def _patch(diff: Diff) -> str:
    name = one_line(diff.path)
    return f"--- {name}\n+++ {name}\n{plain(diff.patch).rstrip()}"


def _id(payload: ToolStart | ToolComplete) -> str:
    return f"{payload.turn}-{payload.tool_id}"
