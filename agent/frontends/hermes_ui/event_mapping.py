"""A session's events as those of Hermes's protocol: the one place that maps ours to theirs.

Where a reply has several parts, Hermes ends all but the last with `message.interim`; the last one's text comes with
`message.complete`, which also ends the turn. So a part's text is held until it is known which of the two it is.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from agent.client.prompts import excerpt
from agent.client.reading import FENCE, ReplyText, name_of, session_news
from agent.client.terminal_text import TerminalText, plain
from agent.client.turn_ends import turn_end
from agent.client.view import LogEntry
from agent.frontends.hermes_ui.activity import ActivityEvents
from agent.frontends.hermes_ui.outgoing import Json, UiEvent, line
from agent.frontends.hermes_ui.session_info import UiSessionInfo
from agent.protocol.events import (
    MessageComplete,
    MessageDelta,
    MessageStart,
    PlanUpdate,
    SessionInfo,
    ThoughtDelta,
    ToolComplete,
    ToolStart,
    ToolUpdate,
    TurnComplete,
    UserMessage,
)
from agent.protocol.times import unix_seconds

SILENT = "*[no output]*"
INTERRUPTED = "*[interrupted]*"
"""What the UI itself writes below a reply that it interrupts."""


class EventMapping:
    """Turns the entries of a session's log into events of the UI; keeps what a turn that runs has said so far."""

    def __init__(self, info: UiSessionInfo, *, local: bool, verbatim: bool) -> None:
        """`verbatim`: replies are output of programs. `info` is kept up to date."""
        self.info = info
        self._local, self._verbatim = local, verbatim
        self._reply, self._thought = ReplyText(), ReplyText()
        self._filter = TerminalText(color=False)
        self._work = ActivityEvents()
        self._turn: int | None = None  # the one that the UI shows as running
        self._text = ""  # of the part that streams: what the UI has of it
        self._committed = ""  # the beginning of that part, when it was made a message before its end
        self._part: str | None = None  # a whole part that waits for what comes after it
        self._ended: set[int] = set()  # turns; a steered one is over before one of a lower number
        self._waiting: dict[int, UserMessage] = {}  # queued prompts, by turn; those of others are shown when it begins
        self._own: set[int] = set()  # turns of prompts that the UI shows itself

    @property
    def running(self) -> bool:
        """Whether the UI shows a turn as running."""
        return self._turn is not None

    @property
    def streaming(self) -> str:
        """What the UI shows of the reply that runs."""
        return self._shown(self._text, whole=False) if self._part is None else self._part

    @property
    def queued(self) -> list[UserMessage]:
        """The prompts of others whose turn has not begun."""
        return [message for turn, message in self._waiting.items() if turn not in self._own]

    def take(  # noqa: PLR0911 - one case an event type
        self, entry: LogEntry, *, mine: Container[str] = ()
    ) -> list[UiEvent]:
        """What one entry of the log means to the UI; `mine`: ids of prompts that the UI shows itself.

        Questions are not told here: the UI has room for one at a time (`questions`).
        """
        payload = entry.payload
        match payload:
            case UserMessage():
                return self._said(payload, mine)
            case MessageStart(turn=turn):
                return self._begun(turn)
            case MessageDelta():
                new = self._filter.feed(self._reply.take(payload, merged=entry.merged))
                return [*self._begun(payload.turn), *self._more(new)]
            case MessageComplete():
                return self._complete(payload)
            case ThoughtDelta():
                shown = plain(self._thought.take(payload, merged=entry.merged))
                return [*self._begun(payload.turn), *([UiEvent("reasoning.delta", {"text": shown})] if shown else [])]
            case ToolStart() | ToolUpdate() | ToolComplete() | PlanUpdate():
                return [*self._begun(payload.turn), *self._work.take(payload, unix_seconds(entry.event.at))]
            case TurnComplete():
                return self._over(payload)
            case SessionInfo():
                return self._news(payload, past=entry.merged)
            case _:
                return []  # a question, or of no meaning to the UI

    def cut(self) -> list[UiEvent]:
        """End the UI's message here and go on with another: nothing else makes the UI put away a question."""
        if self._turn is None:
            return [UiEvent("message.complete", {"text": "", "status": "complete", "usage": self.info.usage})]
        text, self._part = self.streaming, None
        self._committed += self._text
        self._text = ""
        done = UiEvent("message.complete", {"text": text, "status": "complete", "usage": self.info.usage})
        return [done, UiEvent("message.start"), UiEvent("status.update", {"text": "running…"})]

    # --- prompts -----------------------------------------------------------------------------------------------------

    def _said(self, message: UserMessage, mine: Container[str]) -> list[UiEvent]:
        own = message.prompt_id in mine
        if own:
            self._own.add(message.turn)
        if message.queued:
            self._waiting[message.turn] = message
        return [] if own else [said(message, "queued" if message.queued else "")]

    def _begun(self, turn: int) -> list[UiEvent]:
        # A turn begins, or a part of one after another part.
        if turn in self._ended:
            return []  # a tool that ends late: the UI would wait for another end of the turn
        frames = self._interim()
        if turn == self._turn:
            return frames
        self._turn = turn
        self._text = ""
        self._committed = ""
        self.info.running = True
        asked = self._waiting.pop(turn, None)
        if asked is not None and turn not in self._own:
            frames.append(said(asked))
        return [*frames, UiEvent("message.start")]

    # --- the reply ---------------------------------------------------------------------------------------------------

    def _more(self, shown: str) -> list[UiEvent]:
        if not shown:
            return []
        opened = f"{FENCE}\n" if self._verbatim and not self._text else ""
        self._text += shown
        return [UiEvent("message.delta", {"text": opened + shown})]

    def _complete(self, done: MessageComplete) -> list[UiEvent]:
        frames = self._begun(done.turn)
        frames += self._more(self._filter.feed(self._reply.take(done)) + self._filter.end())
        text = plain(done.text)
        if self._committed and text.startswith(self._committed):
            text = text[len(self._committed) :]
        self._part = self._shown(text, whole=True)
        self._text, self._committed = "", ""
        if done.turn == 0:  # said unasked, between two turns: no turn ends it
            frames.append(self._end(done.status))
        return frames

    def _shown(self, text: str, *, whole: bool) -> str:
        if not self._verbatim or not text.strip():
            return text
        return f"{FENCE}\n{text.rstrip()}\n{FENCE}" if whole else f"{FENCE}\n{text}"

    def _interim(self) -> list[UiEvent]:
        text, self._part = self._part, None
        return [UiEvent("message.interim", {"text": text, "already_streamed": True})] if text else []

    def _end(self, status: str) -> UiEvent:
        text = self._part if self._part is not None else self._shown(self._text, whole=True)
        if self._verbatim and not text.strip() and status == "complete":
            text = SILENT  # the UI shows an empty reply as a stray mark
        if status == "interrupted":
            text = "\n\n".join(filter(None, (text, INTERRUPTED)))
        self._turn, self._part = None, None
        self._text, self._committed = "", ""
        return UiEvent("message.complete", {"text": text, "status": status, "usage": self.info.usage})

    def _never_ran(self, turn: TurnComplete, message: UserMessage) -> list[UiEvent]:
        # Another turn may run, of which nothing is over. Without one the UI waits for an end.
        self._ended.add(turn.turn)
        own = turn.turn in self._own
        ends = own and self._turn is None
        waits = [self._end("interrupted"), self.info.over(turn, local=self._local)] if ends else []
        about = plain(message.text) if own else f"[{name_of(message.sender)}] {excerpt(message.text)}"
        return [*waits, line(f"-- {turn_end(turn).line}: {about}")]

    def _over(self, turn: TurnComplete) -> list[UiEvent]:
        waiting = self._waiting.pop(turn.turn, None)
        if waiting is not None:
            return self._never_ran(turn, waiting)
        frames = self._begun(turn.turn) if turn.turn != self._turn else []
        self._work.over()
        self._ended.add(turn.turn)
        info = self.info.over(turn, local=self._local)
        frames.append(self._end(turn.status))
        end = turn_end(turn)
        if end.word == "failed":
            frames.append(UiEvent("error", {"message": end.reason or "the turn failed"}))
        elif end.shortfall and end.outcome != "interrupted":  # the UI says by itself that somebody interrupted
            frames.append(line(end.shortfall))
        return [*frames, info]

    # --- the session -------------------------------------------------------------------------------------------------

    def _news(self, news: SessionInfo, *, past: bool) -> list[UiEvent]:
        frames = self.info.told(news)
        about = session_news(news, past=past)
        if about:
            frames.append(line(f"-- {about}"))
        return frames


def said(message: UserMessage, note: str = "") -> UiEvent:
    """The event that shows somebody's prompt, with the device it came from."""
    who = f"[{name_of(message.sender)}]" + (f" ({note})" if note else "")
    return UiEvent("review.summary", {"text": f"{who} {plain(message.text)}"}, message)


class MessageHistory:
    """The messages of a log, as its entries mean them to the UI; `events` then knows what a running turn has said."""

    def __init__(self, events: EventMapping, own: str) -> None:
        """`own`: this device, whose prompts carry no name."""
        self.events, self._own = events, own
        self.messages: list[Json] = []

    def read(self, log: Iterable[LogEntry]) -> None:
        """Take the newest part of a log."""
        for entry in log:
            for frame in self.events.take(entry):
                self._add(frame)

    def inflight(self) -> Json | None:
        """The turn that runs: its prompt, if nothing was said but the reply that streams; None if no turn runs."""
        if not self.events.running:
            return None
        last = self.messages[-1] if self.messages else {}
        user = str(self.messages.pop()["text"]) if last.get("role") == "user" else ""
        return {"user": user, "assistant": self.events.streaming, "streaming": True}

    def _add(self, frame: UiEvent) -> None:
        payload = frame.payload or {}
        if frame.prompt is not None:
            if not frame.prompt.queued or frame.prompt not in self.events.queued:
                self.messages.append({"role": "user", "text": self._prompt(frame.prompt)})
            return
        match frame.type:
            case "message.interim" | "message.complete" if str(payload["text"]).strip():
                self.messages.append({"role": "assistant", "text": payload["text"]})
            case "review.summary":
                self.messages.append({"role": "system", "text": payload["text"]})
            case "error":
                self.messages.append({"role": "system", "text": f"error: {payload['message']}"})
            case "tool.start" if payload["name"] != "todo":
                self.messages.append({"role": "tool", "name": payload["name"], "context": payload["context"]})
            case _:
                pass

    def _prompt(self, message: UserMessage) -> str:
        name = "" if message.sender.device == self._own else f"[{name_of(message.sender)}] "
        return name + plain(message.text)
