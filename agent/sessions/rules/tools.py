"""The tools that run in a session: what of their output is logged, and that none is open after its turn (S14)."""

from __future__ import annotations

from agent.protocol.events import Payload, ToolComplete, ToolStart, ToolUpdate, TurnStatus
from agent.sessions.rules.printed import PrintedText, as_seen
from agent.sessions.rules.reply import OutputBound

HEAD_MAX, TAIL_MAX = 65_536, 16_384
"""Characters of a tool's output that are logged as they come, and of its end."""
KNOWN_MAX = 256
"""Tools that are known as open, and as ended: beyond that the oldest of each are forgotten."""


_GIVES_FILES = {"read", "edit", "delete", "move", "search", "fetch"}
"""Kinds of tools whose output is what stands in files: it is theirs to the last character, and was drawn by nobody."""


class OpenTool:
    """A tool that has begun and not ended."""

    def __init__(self, turn: int, title: str, kind: str = "") -> None:
        self.turn = turn
        self.title = title
        self.output = OutputBound(HEAD_MAX, TAIL_MAX)
        self.printed = None if kind in _GIVES_FILES else PrintedText()

    def take(self, text: str) -> str:
        """How much of new output is logged now."""
        return self.output.take(text if self.printed is None else self.printed.take(text))

    def rest(self) -> str:
        """What is still to be logged at the end."""
        drawn = "" if self.printed is None else self.printed.rest()
        return self.output.take(drawn) + self.output.rest()


class SessionTools:
    """The tools of one session by id, as its log tells of them."""

    def __init__(self) -> None:
        self._open: dict[str, OpenTool] = {}
        self._over: dict[str, str] = {}  # titles of those that have ended

    def take(self, tool_id: str, text: str) -> str:
        """How much of a tool's new output is logged now."""
        tool = self._open.get(tool_id)
        return text if tool is None else tool.take(text)

    def whole(self, tool_id: str, text: str) -> str:
        """The whole output of a tool, as it is logged at the end."""
        tool = self._open.get(tool_id)
        return text if tool is not None and tool.printed is None else as_seen(text)

    def room(self) -> tuple[Payload, ...]:
        """The entries that close the oldest tool, if another one could not be known beside it."""
        if len(self._open) < KNOWN_MAX:
            return ()
        tool_id, tool = next(iter(self._open.items()))
        return _closing(tool_id, tool, "interrupted")

    def ending(self, entry: ToolComplete) -> tuple[Payload, ...]:
        """The entries of a tool's end: before it the end of what it streamed, unless it comes with the whole output.

        One that was closed with its turn and ends after all begins anew, so that readers know what it is.
        """
        tool = self._open.get(entry.tool_id)
        if tool is not None:
            return (*(() if entry.output else _rest(entry.tool_id, tool)), entry)
        title = self._over.get(entry.tool_id)
        begins = () if title is None else (ToolStart(turn=entry.turn, tool_id=entry.tool_id, title=title),)
        return (*begins, entry)

    def closed(self, turn: int | None, status: TurnStatus) -> tuple[Payload, ...]:
        """The entries that close what a turn has left open (None: whatever is open).

        How a tool ended that nobody told of is not known: a complete turn leaves it interrupted.
        """
        told: TurnStatus = "interrupted" if status == "complete" else status
        left = [(tool_id, tool) for tool_id, tool in self._open.items() if turn is None or tool.turn == turn]
        return tuple(entry for tool_id, tool in left for entry in _closing(tool_id, tool, told))

    def apply(self, entry: ToolStart | ToolUpdate | ToolComplete) -> None:
        """Take an entry of the log about a tool."""
        match entry:
            case ToolStart():
                self._over.pop(entry.tool_id, None)
                self._begin(entry.tool_id, OpenTool(entry.turn, entry.title, entry.tool))
            case ToolUpdate():
                if entry.tool_id not in self._open and entry.tool_id not in self._over:
                    self._begin(entry.tool_id, OpenTool(entry.turn, entry.title))
                if entry.tool_id in self._open:
                    self._open[entry.tool_id].output.logged += len(entry.text)
            case ToolComplete():
                tool = self._open.pop(entry.tool_id, None)
                self._over[entry.tool_id] = tool.title if tool else self._over.get(entry.tool_id, entry.tool_id)
                _forget_oldest(self._over)

    def _begin(self, tool_id: str, tool: OpenTool) -> None:
        self._open.pop(tool_id, None)
        self._open[tool_id] = tool
        _forget_oldest(self._open)


def _closing(tool_id: str, tool: OpenTool, status: TurnStatus) -> tuple[Payload, ...]:
    return (*_rest(tool_id, tool), ToolComplete(turn=tool.turn, tool_id=tool_id, status=status))


def _rest(tool_id: str, tool: OpenTool) -> tuple[Payload, ...]:
    text = tool.rest()
    return (ToolUpdate(turn=tool.turn, tool_id=tool_id, text=text),) if text else ()


def _forget_oldest(tools: dict[str, OpenTool] | dict[str, str]) -> None:
    if len(tools) > KNOWN_MAX:
        del tools[next(iter(tools))]
