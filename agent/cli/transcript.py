"""A session's events as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable

from agent.cli.screen import Screen
from agent.cli.text import TerminalText, clean
from agent.core.records import Sender
from agent.core.transcript import (
    TEXT_MAX,
    Event,
    MessageComplete,
    MessageDelta,
    MessageStart,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    ThoughtDelta,
    ToolComplete,
    ToolStart,
    TurnComplete,
    UserMessage,
    payload_of,
)


class Reply:
    """The text of one reply at a time: what of it is new, whether it comes as deltas or whole."""

    def __init__(self) -> None:
        self._part: tuple[int, int] | None = None
        self._text = ""

    def more(self, turn: int, part: int, text: str) -> str:
        """A delta."""
        self._begin(turn, part)
        self._text += text
        return text

    def whole(self, turn: int, part: int, text: str) -> str:
        """All of it so far: a merged delta, or the authoritative text at its end."""
        self._begin(turn, part)
        shown = self._text
        if shown.startswith(text) or len(shown) >= TEXT_MAX:
            return ""
        self._text = text
        if text.startswith(shown):
            return text[len(shown) :]
        return text if shown.endswith("\n") else "\n" + text

    def _begin(self, turn: int, part: int) -> None:
        if self._part != (turn, part):
            self._part, self._text = (turn, part), ""


class Transcript:
    """Prints events on a screen, and knows what they leave open."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._reply = Reply()
        self._filter = TerminalText(color=screen.printer.color)
        self._queued: dict[int, UserMessage] = {}
        self._tools: dict[str, str] = {}
        self._thinking = False
        self.requests: dict[str, RequestOpen] = {}  # open ones, oldest first
        self.last_turn = 0  # the newest that was asked for
        self.done_turn = 0  # the newest that is over
        self.ended = ""  # "ended" or "failed", once the session is

    def hydrate(self, events: Iterable[Event], requests: Iterable[RequestOpen]) -> None:
        """Print what a snapshot holds: its deltas are merged ones."""
        for event in events:
            self.show(event, merged=True)
        still = {request.request_id: request for request in requests}
        for request in still.values():
            if request.request_id not in self.requests:
                self._ask(request)
        self.requests = still

    def show(self, event: Event, *, merged: bool = False) -> None:  # noqa: C901, PLR0912 - one case an event type
        """Print one event."""
        payload = payload_of(event)
        if not isinstance(payload, ThoughtDelta):
            self._end_thought()
        match payload:
            case UserMessage():
                self._user(payload)
            case MessageStart():
                self._begin(payload)
            case MessageDelta(turn=turn, part=part, text=text):
                new = self._reply.whole(turn, part, text) if merged else self._reply.more(turn, part, text)
                self._screen.text(self._filter.feed(new))
            case MessageComplete():
                new = self._reply.whole(payload.turn, payload.part, payload.text)
                self._screen.text(self._filter.feed(new) + self._filter.end())
            case ThoughtDelta():
                self._think(payload)
            case ToolStart():
                self._tools[payload.tool_id] = clean(payload.title)
                self._screen.end_line()
                self._screen.line(f"  tool: {clean(payload.title)}", "dim")
            case ToolComplete():
                self._tool_done(payload)
            case RequestOpen():
                self._ask(payload)
            case RequestClosed():
                self._asked(payload)
            case TurnComplete():
                self._done(payload)
            case SessionInfo():
                self._info(payload)
            case _:
                pass  # of a later version, or a tool's own output

    def _user(self, message: UserMessage) -> None:
        self.last_turn = max(self.last_turn, message.turn)
        if message.queued:
            self._queued[message.turn] = message
        self._say(message, " (queued)" if message.queued else "")

    def _say(self, message: UserMessage, note: str) -> None:
        first, *more = message.text.rstrip("\n").split("\n")
        self._screen.end_line()
        who = self._screen.printer.paint(f"[{name_of(message.sender)}]", "cyan")
        self._screen.text(
            "\n".join([f"{who} {clean(first, TEXT_MAX)}{note}", *(f"  {clean(line)}" for line in more)]) + "\n"
        )

    def _begin(self, start: MessageStart) -> None:
        message = self._queued.pop(start.turn, None)
        if message is not None:
            self._say(message, "")

    def _think(self, thought: ThoughtDelta) -> None:
        if not self._thinking:
            self._screen.end_line()
            self._screen.text("  thinking: ")
        self._thinking = True
        self._screen.text(self._screen.printer.paint(clean(thought.text, TEXT_MAX), "dim"))

    def _end_thought(self) -> None:
        if self._thinking:
            self._thinking = False
            self._screen.end_line()

    def _tool_done(self, tool: ToolComplete) -> None:
        title = self._tools.pop(tool.tool_id, "")
        if tool.status != "complete":
            self._screen.line(f"  tool {tool.status}: {title}", "red")

    def _ask(self, request: RequestOpen) -> None:
        self.requests[request.request_id] = request
        self._screen.end_line()
        for line in question(request):
            self._screen.line(line, "yellow")

    def _asked(self, closed: RequestClosed) -> None:
        request = self.requests.pop(closed.request_id, None)
        if closed.status == "expired":
            self._screen.line("  no longer asked", "dim")
            return
        told = closed.answer if isinstance(closed.answer, str) else "a form"
        for choice in request.choices if request else ():
            told = choice.name if choice.id == told else told
        who = f"[{name_of(closed.by)}]" if closed.by else "answered"
        self._screen.line(f"{who} {clean(told) if told else '(hidden)'}", "cyan")

    def _done(self, turn: TurnComplete) -> None:
        self.done_turn = max(self.done_turn, turn.turn)
        self.last_turn = max(self.last_turn, turn.turn)
        self._screen.text(self._filter.end())
        self._screen.line(status_line(turn), "dim" if turn.status == "complete" and not turn.exit_status else "red")

    def _info(self, info: SessionInfo) -> None:
        if info.status in {"ended", "failed"}:
            self.ended = info.status
        if info.note:
            self._screen.notice(f"-- {clean(info.note)}")
        if info.title:
            self._screen.notice(f"-- title: {clean(info.title)}")


def name_of(sender: Sender) -> str:
    """The device that sent it, cleaned."""
    return clean(sender.name).strip() or clean(sender.device)


def status_line(turn: TurnComplete) -> str:
    """How a turn ended, and where the shell is."""
    words = {"complete": "done", "interrupted": "interrupted", "error": "failed"}[turn.status]
    parts = [words]
    if turn.exit_status is not None:
        parts.append(f"exit {turn.exit_status}")
    if turn.error:
        parts.append(clean(turn.error))
    if turn.cwd:
        parts.append(clean(turn.cwd))
    return "-- " + " · ".join(parts)


def question(request: RequestOpen) -> list[str]:
    """A request in lines: what is asked, and the choices with their numbers."""
    asked = clean(request.prompt, 4096).strip() or "The session waits for input"
    choices = [f"  {number}) {clean(choice.name)}" for number, choice in enumerate(request.choices, 1)]
    return [f"? {asked}", *choices]
