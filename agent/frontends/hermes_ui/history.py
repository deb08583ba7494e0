"""A transcript as Hermes has it in a snapshot: messages, and the turn that runs."""

from __future__ import annotations

from collections.abc import Iterable

from agent.client.reading import name_of
from agent.client.text import plain
from agent.client.view import LogEntry
from agent.frontends.hermes_ui.events import Events
from agent.frontends.hermes_ui.frames import Frame, Json
from agent.protocol.events import UserMessage


class Past:
    """The messages of a log, as its entries mean them to the UI; `events` then knows what a running turn has said."""

    def __init__(self, events: Events, own: str) -> None:
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

    def _add(self, frame: Frame) -> None:
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
