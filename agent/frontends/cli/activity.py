"""What an agent does beside talking: its tools, what they give and change, its plan."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

from agent.client.reading import places
from agent.client.styled_lines import INDENT, Line, diff_lines, output_lines, shown
from agent.client.terminal_text import clean
from agent.protocol.events import Diff, Location, PlanEntry, PlanUpdate, ToolComplete, ToolStart, ToolUpdate
from agent.protocol.excerpts import left_out

FIRST, LAST = 8, 8
"""Lines shown of a tool's output: its first ones at once, its last ones when it is done. `agent log --json` has all."""
INPUT_MAX = 3
"""Lines shown of what a tool was given."""


CUT = re.compile(r"… (\d{1,3}(?:,\d{3})*) characters left out")


class ToolOutput:
    """The output of one tool: its first lines at once, its last ones at the end, what lies between counted."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._last: deque[str] = deque(maxlen=LAST)
        self._later = 0  # lines after the first ones
        self._begun = ""  # a line without its end
        self._cut = 0  # characters that are not in the log: a line of it says so

    def more(self, text: str) -> list[Line]:
        """The lines to show of what follows in the output."""
        *whole, self._begun = (self._begun + text).split("\n")
        self._begun = self._begun[-65_536:]
        return self._take(line for each in whole for line in output_lines(each))

    def whole(self, text: str) -> list[Line]:
        """The lines to show of all the output so far; of what is something else than before, from its beginning."""
        lines = output_lines(text)
        begun = lines.pop() if lines and not text.endswith("\n") else ""
        if [shown(line) for line in lines[: len(self._first)]] == self._first:
            lines = lines[len(self._first) :]
        else:
            self._first = []
        self._last.clear()
        self._later, self._begun, self._cut = 0, begun, 0
        return self._take(lines)

    def end(self) -> list[Line]:
        """The lines to show at the end of the output."""
        told = self._take(output_lines(self._begun)) if self._begun else []
        if (gone := self._later - len(self._last)) > 0:
            cut = f" and {self._cut:,} characters" if self._cut else ""
            told.append((INDENT + left_out(gone, f"lines{cut}"), "dim"))
        return [*told, *((INDENT + line, "dim") for line in self._last)]

    def _take(self, lines: Iterable[str]) -> list[Line]:
        told: list[Line] = []
        for line in lines:
            if len(self._first) < FIRST:
                self._first.append(shown(line))
                told.append((INDENT + self._first[-1], "dim"))
            else:
                found = CUT.fullmatch(line)
                self._cut += int(found[1].replace(",", "")) if found else 0
                self._last.append(shown(line))
                self._later += 1
        return told


class _Tool:
    def __init__(self, title: str) -> None:
        self.title = title
        self.output = ToolOutput()
        self.diffs: set[Diff] = set()
        self.locations: set[Location] = set()


class RunningTools:
    """The tools that run; each method gives the lines that a reader is to see next."""

    def __init__(self) -> None:
        self._running: dict[str, _Tool] = {}
        self._speaks = ""  # the tool whose lines came last

    def started(self, event: ToolStart) -> list[Line]:
        """The lines for a tool that begins: its title, and what it was given."""
        title = clean(event.title)
        tool = self._running[event.tool_id] = _Tool(title)
        self._speaks = event.tool_id
        words = dict.fromkeys(clean(word, 40) for word in (event.tool_name, event.tool))
        notes = [word for word in words if word and word.casefold() not in title.casefold()]
        notes += ["unasked"] if event.turn == 0 else []
        told: list[Line] = [(f"  tool: {title}" + (f" ({', '.join(notes)})" if notes else ""), "dim")]
        lines = event.input.splitlines() if event.input.strip() not in event.title else []
        told += [(f"{INDENT}< {shown(line)}", "dim") for line in lines[:INPUT_MAX]]
        more = len(lines) - INPUT_MAX
        told += [(f"{INDENT}< {left_out(more, 'lines')}", "dim")] if more > 0 else []
        return told + _places(tool, event.locations)

    def updated(self, event: ToolUpdate, *, merged: bool = False) -> list[Line]:
        """The lines for what a tool gave; `merged`: the event has all that it gave so far."""
        tool = self._find(event.tool_id)
        told: list[Line] = []
        title = clean(event.title)
        if title and title != tool.title:
            told = [(f"  tool: {title}", "dim")]
            tool.title = title
        if event.text:
            told += tool.output.whole(event.text) if merged else tool.output.more(event.text)
        told += _places(tool, event.locations)
        return self._said(event.tool_id, tool, [*told, *_changes(tool, event.diffs)])

    def finished(self, event: ToolComplete) -> list[Line]:
        """The lines for a tool that is done: the rest of what it gave, and whether it failed."""
        tool = self._find(event.tool_id)
        del self._running[event.tool_id]
        told = tool.output.whole(event.output) if event.output else []
        told += [*tool.output.end(), *_places(tool, event.locations), *_changes(tool, event.diffs)]
        told = self._said(event.tool_id, tool, told)
        return told if event.status == "complete" else [*told, (f"  tool {event.status}: {tool.title}", "red")]

    def _find(self, tool_id: str) -> _Tool:
        # One whose beginning was not shown has no other name yet.
        return self._running.setdefault(tool_id, _Tool(clean(tool_id)))

    def _said(self, tool_id: str, tool: _Tool, told: list[Line]) -> list[Line]:
        # Tools may run side by side: whose lines follow is said when it changes.
        if not told or self._speaks == tool_id:
            return told
        self._speaks = tool_id
        return told if told[0][0].startswith("  tool: ") else [(f"  tool: {tool.title}", "dim"), *told]


def _places(tool: _Tool, locations: tuple[Location, ...]) -> list[Line]:
    # Those that were not shown, nor stand in the title without a line.
    new = [at for at in locations if at not in tool.locations and (at.line or clean(at.path) not in tool.title)]
    tool.locations.update(locations)
    return [(f"{INDENT}at {places(new)}", "dim")] if new else []


def _changes(tool: _Tool, diffs: tuple[Diff, ...]) -> list[Line]:
    told: list[Line] = []
    for diff in diffs:
        if diff not in tool.diffs:
            tool.diffs.add(diff)
            told += diff_lines(diff)
    return told


class ShownPlan:
    """What the agent means to do, as a list that is ticked off."""

    def __init__(self) -> None:
        self._entries: tuple[PlanEntry, ...] = ()

    def updated(self, event: PlanUpdate) -> list[Line]:
        """The lines for a plan: a new one whole, of a known one what has changed."""
        before, self._entries = self._entries, event.entries
        entries = event.entries
        if [entry.text for entry in before] == [entry.text for entry in entries]:
            entries = tuple(entry for was, entry in zip(before, entries, strict=True) if entry.status != was.status)
        if not entries:
            return []
        done = sum(entry.status == "completed" for entry in event.entries)
        told: list[Line] = [(f"  plan: {done} of {len(event.entries)} done", "dim")]
        return told + [_ticked(entry) for entry in entries]


def _ticked(entry: PlanEntry) -> Line:
    box, style = _BOXES[entry.status]
    return f"{INDENT}{box} {shown(' '.join(entry.text.split()))}", style


_BOXES: dict[str, Line] = {"pending": ("[ ]", ""), "in_progress": ("[>]", "yellow"), "completed": ("[x]", "green")}


ActivityPayload = ToolStart | ToolUpdate | ToolComplete | PlanUpdate


class ActivityLines:
    """What an agent does beside talking: the lines that are to be shown of each event."""

    def __init__(self) -> None:
        self._tools, self._plan = RunningTools(), ShownPlan()

    def lines(self, event: ActivityPayload, *, merged: bool = False) -> list[Line]:
        """The lines for one event; `merged` as in `RunningTools.updated`."""
        match event:
            case ToolStart():
                return self._tools.started(event)
            case ToolUpdate():
                return self._tools.updated(event, merged=merged)
            case ToolComplete():
                return self._tools.finished(event)
            case PlanUpdate():
                return self._plan.updated(event)
