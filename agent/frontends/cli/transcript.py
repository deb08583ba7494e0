"""A session's events as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable

from agent.client.lines import Line
from agent.client.question import question
from agent.client.text import TerminalText, clean
from agent.frontends.cli.screen import Screen
from agent.frontends.cli.settled import Settled
from agent.frontends.cli.tools import Work
from agent.protocol.events import (
    TEXT_MAX,
    Event,
    MessageComplete,
    MessageDelta,
    MessageStart,
    Option,
    PlanUpdate,
    RequestClosed,
    RequestOpen,
    Scalar,
    SessionInfo,
    ThoughtDelta,
    ToolComplete,
    ToolStart,
    ToolUpdate,
    TurnComplete,
    Usage,
    UserMessage,
    payload_of,
)
from agent.protocol.model import Sender


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
        self._work, self._settled = Work(), Settled()
        self._unasked = 0  # the part of turn 0 that is being shown
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

    def show(self, event: Event, *, merged: bool = False) -> None:
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
                self._speak(turn, part)
                new = self._reply.whole(turn, part, text) if merged else self._reply.more(turn, part, text)
                self._screen.text(self._filter.feed(new))
            case MessageComplete():
                self._speak(payload.turn, payload.part)
                new = self._reply.whole(payload.turn, payload.part, payload.text)
                self._screen.text(self._filter.feed(new) + self._filter.end())
            case ThoughtDelta():
                self._think(payload)
            case ToolStart() | ToolUpdate() | ToolComplete() | PlanUpdate():
                self._lines(self._work.lines(payload, merged=merged))
            case RequestOpen():
                self._ask(payload)
            case RequestClosed():
                self._asked(payload)
            case TurnComplete():
                self._done(payload)
            case SessionInfo():
                self._info(payload)
            case _:
                pass  # `other`, or of a later version

    def set_to(self, options: Iterable[Option]) -> None:
        """What the session is set to, as attaching tells; a line of what of it is news."""
        self._settle(self._settled.options(options))

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
        self.last_turn = max(self.last_turn, message.turn)
        if message.queued:
            self._queued[message.turn] = message
        notes = [*(["queued"] if message.queued else []), *(["goes first"] if message.steer else [])]
        self._say(message, f" ({', '.join(notes)})" if notes else "")

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

    def _ask(self, request: RequestOpen) -> None:
        self.requests[request.request_id] = request
        self._lines(question(request))

    def _asked(self, closed: RequestClosed) -> None:
        request = self.requests.pop(closed.request_id, None)
        if closed.status == "expired":
            self._screen.line("  no longer asked", "dim")
            return
        who = f"[{name_of(closed.by)}]" if closed.by else "answered"
        self._screen.line(f"{who} {answered(request, closed)}", "cyan")

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
        self._settle(self._settled.told(info))

    def _settle(self, changed: str) -> None:
        if changed:
            self._screen.notice(f"-- {changed}")


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
    if turn.usage:
        parts += used(turn.usage)
    return "-- " + " · ".join(parts)


def used(usage: Usage) -> list[str]:
    """What a model has used, in words: tokens of its context, and money."""
    tokens = f"{_amount(usage.used)} of {_amount(usage.size)} tokens" if usage.size else f"{_amount(usage.used)} tokens"
    cost = f"{usage.cost:.4f}".rstrip("0").rstrip(".")
    return [*([tokens] if usage.used else []), *([f"{cost} {clean(usage.currency)}".strip()] if usage.cost else [])]


def _amount(count: int) -> str:
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)


def answered(request: RequestOpen | None, closed: RequestClosed) -> str:
    """What was answered, in words."""
    told = closed.answer
    if isinstance(told, dict):
        said = [f"{clean(name)}: {clean(_said(value))}" for name, value in told.items() if value is not None]
        return " · ".join(said) or "an empty form"
    for choice in request.choices if request else ():
        told = choice.name if choice.id == told else told
    return clean(told) if told else "(hidden)"


def _said(value: Scalar | list[str]) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
