"""What the terminal UI is told."""

from __future__ import annotations

from typing import NamedTuple

from agent.protocol.events import UserMessage

Json = dict[str, object]


class UiEvent(NamedTuple):
    """An event of Hermes's protocol, without its session."""

    type: str
    payload: Json | None = None
    prompt: UserMessage | None = None
    """Of a line that shows a prompt: that prompt. A transcript has it as a message instead."""


def line(text: str) -> UiEvent:
    """The event of a line between the messages: of all events, the one that the UI prints as it is."""
    return UiEvent("review.summary", {"text": text})
