"""A session's events as a person reads them."""

from __future__ import annotations

from collections.abc import Container, Iterable

from agent.client.prompts import excerpt
from agent.client.reading import ReplyText, answered, name_of, request_over, session_over, used
from agent.client.request_text import request_lines
from agent.client.styled_lines import Line, shown
from agent.client.terminal_text import Style, TerminalText, clean
from agent.client.turn_ends import turn_end
from agent.client.view import WARNINGS, Hydration, LinkBack, LogEntry, News, StorageBack
from agent.frontends.cli.activity import ActivityLines
from agent.frontends.cli.screen import SplitScreen
from agent.frontends.cli.shown_options import ShownOptions
from agent.protocol.events import (
    TEXT_MAX,
    MessageComplete,
    MessageDelta,
    MessageStart,
    PlanUpdate,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    ThoughtDelta,
    ToolComplete,
    ToolStart,
    ToolUpdate,
    TurnComplete,
    UserMessage,
)

NOTE_MAX = 4096
"""Characters of a note."""


class TranscriptPrinter:
    """Prints the entries of a session's log on a screen."""

    def __init__(self, screen: SplitScreen) -> None:
        self._screen = screen
        self._reply = ReplyText()
        self._filter = TerminalText(color=screen.printer.color)
        self._queued: dict[int, UserMessage] = {}
        self._work, self._settled = ActivityLines(), ShownOptions()
        self._unasked = 0  # the part of turn 0 that is being shown
        self._thinking = False
        self._told = ""  # how the last turn ended, until something else is said

    def settle(self, hydration: Hydration, shown: Container[str] = ()) -> None:
        """Print what stands after the entries of a hydration: what is asked and was not `shown`, what is set."""
        for request in hydration.opened:
            if request.request_id not in shown:
                self._lines(request_lines(request))
        self._settle(self._settled.options(hydration.options))

    def show(self, entry: LogEntry) -> None:
        """Print one entry of the log; one of a later version is left out."""
        payload = entry.payload
        if not isinstance(payload, ThoughtDelta):
            self._end_thought()
        match payload:
            case UserMessage():
                self._user(payload)
            case MessageStart():
                self._begin(payload)
            case MessageDelta():
                self._speak(payload.turn, payload.part)
                self._screen.text(self._filter.feed(self._reply.take(payload, merged=entry.merged)))
            case MessageComplete():
                self._speak(payload.turn, payload.part)
                self._screen.text(self._filter.feed(self._reply.take(payload)) + self._filter.end())
            case ThoughtDelta():
                self._think(payload)
            case ToolStart() | ToolUpdate() | ToolComplete() | PlanUpdate():
                self._lines(self._work.lines(payload, merged=entry.merged))
            case RequestOpen():
                self._lines(request_lines(payload))
            case RequestClosed():
                self._asked(payload, entry.closes)
            case TurnComplete():
                self._done(payload)
            case SessionInfo():
                self._info(payload)
            case _:
                pass  # `other`, or of a later version

    def _lines(self, lines: Iterable[Line]) -> None:
        for number, (text, style) in enumerate(lines):
            if not number:
                self._screen.end_line()
            self._screen.line(text, style)

    def _speak(self, turn: int, part: int) -> None:
        # What an agent says between two turns follows no prompt: say so, once a part.
        if turn == 0 and part != self._unasked:
            self._lines([("-- unasked:", "dim")])
        self._unasked = part if turn == 0 else 0

    def _user(self, message: UserMessage) -> None:
        if message.queued:
            self._queued[message.turn] = message
        notes = [*(["queued"] if message.queued else []), *(["goes first"] if message.steer else [])]
        self._say(message, f" ({', '.join(notes)})" if notes else "")

    def _say(self, message: UserMessage, note: str) -> None:
        first, *more = message.text.rstrip("\n").split("\n")
        self._screen.end_line()
        who = self._screen.printer.paint(f"[{name_of(message.sender)}]", "cyan")
        self._screen.text(
            "\n".join([f"{who} {clean(first, TEXT_MAX)}{note}", *(f"  {shown(line)}" for line in more)]) + "\n"
        )

    def _begin(self, start: MessageStart) -> None:
        message = self._queued.pop(start.turn, None)
        if message is not None:
            self._say(message, "")

    def _think(self, thought: ThoughtDelta) -> None:
        text = clean(thought.text, TEXT_MAX)
        if not self._thinking:
            text = text.lstrip()  # some agents begin with empty lines
            if not text:
                return
            self._screen.end_line()
            self._screen.text("  thinking: ")
        self._thinking = True
        self._screen.text(self._screen.printer.paint(text, "dim"))

    def _end_thought(self) -> None:
        if self._thinking:
            self._thinking = False
            self._screen.end_line()

    def _asked(self, closed: RequestClosed, request: RequestOpen | None) -> None:
        if closed.status == "expired":
            self._screen.line(f"  {request_over(request, closed)}", "dim")
            return
        who = f"[{name_of(closed.by)}]" if closed.by else "answered"
        self._screen.line(f"{who} {answered(request, closed)}", "cyan")

    def _done(self, turn: TurnComplete) -> None:
        message = self._queued.pop(turn.turn, None)
        if turn.withdrawn_by is not None:
            what = [clean(excerpt(message.text))] if message else []
            self._lines([(f"-- {' · '.join([turn_end(turn).line, *what])}", "dim")])
            return
        self._screen.text(self._filter.end())
        which = ""
        if message is None:
            self._told = turn_end(turn).line
        else:  # a prompt that never began stands further up
            which = f" · {clean(excerpt(message.text))}"
        self._screen.line(status_line(turn) + which, "dim" if turn_end(turn).outcome == "success" else "red")

    def _info(self, info: SessionInfo) -> None:
        about = session_over(info) or clean(info.note, NOTE_MAX)
        if about and about not in self._told:  # a turn that ended with its session has said why
            self._screen.notice(f"-- {about}")
        self._told = ""
        if info.title and info.status != "starting":  # the one it was begun with stands in every list
            self._screen.notice(f"-- title: {clean(info.title)}")
        self._settle(self._settled.told(info))

    def _settle(self, changed: str) -> None:
        if changed:
            self._screen.notice(f"-- {changed}")


def style_of(news: News) -> Style:
    """How news beside the session's own words are painted: yellow, where something is not as it should be."""
    if isinstance(news, WARNINGS):
        return "yellow"
    return "" if isinstance(news, LinkBack | StorageBack) else "dim"


def status_line(turn: TurnComplete) -> str:
    """How a turn ended, where the shell is, and what the model has used."""
    parts = [turn_end(turn).line]
    if turn.exit_status == 0:
        parts.append("exit 0")
    if turn.cwd:
        parts.append(clean(turn.cwd))
    if turn.usage:
        parts += used(turn.usage)
    return "-- " + " · ".join(parts)
