"""What the running turn does, for how long, and what waits: the line that `agent attach` keeps at the bottom."""

from __future__ import annotations

from agent.client.prompts import excerpt
from agent.client.reading import VERBATIM
from agent.client.terminal_text import clean, fit, width
from agent.client.view import LogEntry
from agent.protocol.events import (
    MessageDelta,
    MessageStart,
    ThoughtDelta,
    ToolComplete,
    ToolStart,
    ToolUpdate,
    TurnComplete,
    UserMessage,
)
from agent.protocol.times import unix_seconds

SHOWN_AFTER = 1.0
"""Seconds that a turn runs before the line is there: most commands of a shell need less."""
SAID_AFTER = (10.0, 60.0, 600.0, 3600.0)
"""Seconds after which it is said on a terminal that cannot be drawn on."""
WHAT_MIN = 12
"""Columns in which it is worth saying what runs."""
INTERRUPTS = "Ctrl-C interrupts"


class TurnProgress:
    """The running turn of a followed session. Times are Unix seconds of this device."""

    def __init__(self) -> None:
        self.turn = 0  # 0: none runs
        self._since = 0.0
        self._prompts: dict[int, str] = {}  # of turns that are not over
        self._tools: dict[str, str] = {}  # titles of those that run, by id, the newest last
        self._doing = ""
        self._said = 0  # how many of SAID_AFTER are over

    def take(self, entry: LogEntry, now: float, *, live: bool) -> None:
        """Take an entry of the log; `live`: it has just come, so that clocks of other devices do not matter."""
        payload = entry.payload
        match payload:
            case UserMessage():
                self._prompts[payload.turn] = payload.text
            case TurnComplete():
                self._prompts.pop(payload.turn, None)
                if payload.turn == self.turn:
                    self.turn = 0
            case MessageStart() | MessageDelta() | ThoughtDelta() | ToolStart() | ToolUpdate() | ToolComplete():
                if payload.turn and payload.turn != self.turn:
                    self._begin(payload.turn, now if live else min(now, unix_seconds(entry.event.at)))
                if payload.turn:
                    self._does(payload)
            case _:
                pass

    def _begin(self, turn: int, since: float) -> None:
        self.turn = turn
        self._since = since
        self._tools.clear()
        self._doing = ""
        self._said = 0

    def _does(
        self, payload: MessageStart | MessageDelta | ThoughtDelta | ToolStart | ToolUpdate | ToolComplete
    ) -> None:
        match payload:
            case MessageDelta():
                self._doing = "replying"
            case ThoughtDelta():
                self._doing = "thinking"
            case ToolStart():
                self._tools[payload.tool_id] = payload.title
            case ToolUpdate(title=title) if title and payload.tool_id in self._tools:
                self._tools[payload.tool_id] = title
            case ToolComplete():
                self._tools.pop(payload.tool_id, None)
                self._doing = ""
            case _:
                pass

    def what(self, backend: str) -> str:
        """What runs, in one clean line: the newest tool, a shell's command, what kind of words come; "" if unknown."""
        if self._tools:
            more = f" (+{len(self._tools) - 1})" if len(self._tools) > 1 else ""
            return " ".join(clean(list(self._tools.values())[-1]).split()) + more
        if backend in VERBATIM:
            return " ".join(clean(self._prompts.get(self.turn, "")).split())
        return self._doing

    def line(
        self, now: float, columns: int, *, backend: str, asked: bool, waiting: int, unsent: int, newest: str
    ) -> str:
        """The line to show at the bottom, of `columns` at most; "" if there is nothing to tell.

        `asked`: the session waits for an answer. `waiting`: how many prompts wait for their turn, `unsent`: how many
        the session does not have yet; `newest`: the one that can be taken back, "" if none can.
        """
        runs = self.turn and now - self._since >= SHOWN_AFTER
        parts = [f"{waiting} waiting"] if waiting else []
        parts += [f"{unsent} not sent yet"] if unsent else []
        short = ", ".join(parts)
        queue = (f"{short}; Up takes back {excerpt(clean(newest))}" if newest else short), short
        if not runs:
            return f"-- {_fitted('', '', queue, '', columns - 3)}" if unsent else ""
        head = f"{'waits for an answer' if asked else 'working'} {_span(now - self._since)}"
        return f"-- {_fitted(head, '' if asked else self.what(backend), queue, INTERRUPTS, columns - 3)}"

    def due(self, now: float) -> bool:
        """Whether it is time to say once more that the turn runs, where there is no line that stays."""
        over = sum(now - self._since >= after for after in SAID_AFTER) if self.turn else 0
        if over <= self._said:
            return False
        self._said = over
        return True


def _fitted(head: str, what: str, queue: tuple[str, str], key: str, columns: int) -> str:
    # Where there is no room, the longer words about the queue go first, then the key, then the queue.
    for rest in ((queue[0], key), (queue[1], key), (queue[1], ""), ("", "")):
        others = [part for part in (head, *rest) if part]
        room = columns - width(" · ".join(others)) - (3 if what else 0)
        if room >= min(width(what), WHAT_MIN):
            return " · ".join([*others[:1], *([fit(what, room)] if what else []), *others[1:]])
    return fit(head, columns)


def _span(seconds: float) -> str:
    # As a clock counts, so that it grows every second.
    whole = max(0, int(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
