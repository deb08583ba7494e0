"""What a person reads of a session's log: whose words, how much of a reply is new, what was answered.

Shared by every front end, so that a fact is said in one way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from agent.client.terminal_text import clean
from agent.errors import BadFrame
from agent.protocol.codec import json
from agent.protocol.events import (
    TEXT_MAX,
    Event,
    Field,
    Location,
    MessageComplete,
    MessageDelta,
    RequestClosed,
    RequestOpen,
    Scalar,
    SessionInfo,
    ThoughtDelta,
    Usage,
)
from agent.protocol.messages import Answered
from agent.protocol.model import Sender, SessionId

VERBATIM = frozenset({"commands", "shell", "terminal"})
"""Backends whose replies are output of programs: shown as such where a reply is read as Markdown."""
PLACES_MAX = 8
"""Places in files that one line names."""
FENCE = "`````"
"""What stands around such output: longer than what output is likely to have."""


class ReplyText:
    """The text of a reply, or of a train of thought: how much of it is new, whether it comes in pieces or whole."""

    def __init__(self) -> None:
        self._part: tuple[int, int] | None = None
        self._text = ""

    def take(self, payload: MessageDelta | MessageComplete | ThoughtDelta, *, merged: bool = False) -> str:
        """The text of an entry that was not shown before; `merged`: the entry has all that was said so far."""
        if merged or isinstance(payload, MessageComplete):
            return self.whole(payload.turn, payload.part, payload.text)
        return self.more(payload.turn, payload.part, payload.text)

    def more(self, turn: int, part: int, text: str) -> str:
        """What a piece adds to the part of a turn: all of it."""
        self._begin(turn, part)
        self._text += text
        return text

    def whole(self, turn: int, part: int, text: str) -> str:
        """What the whole text so far adds to what is known of a part; after another text, it begins on a line."""
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
            self._part = turn, part
            self._text = ""


def name_of(sender: Sender) -> str:
    """The name of the device that sent a prompt or an answer, cleaned; its id, if it has no name."""
    return clean(sender.name).strip() or clean(sender.device)


def session_over(info: SessionInfo) -> str:
    """Whether a session is over, and why, in one clean line; "" for any other news of it."""
    if info.status not in {"ended", "failed"}:
        return ""
    note = clean(info.note, 4096)
    return f"the session has {info.status}" + (f": {note}" if note else "")


def session_news(info: SessionInfo, *, past: bool) -> str:
    """What news of a session says to a reader who has no terminal, in one clean line; "" if nothing.

    `past`: it was so, and perhaps is not any more.
    """
    told = session_over(info) or clean(info.note, 4096)
    if not told and info.screen and not past:
        told = f"{clean(info.screen)} is on the screen: in a terminal, `agent attach --raw` shows it"
    return told


def used(usage: Usage) -> list[str]:
    """What a model has used, in words: tokens of its context, and money."""
    words: list[str] = []
    if usage.used:
        size = f" of {_amount(usage.size)}" if usage.size else ""
        words.append(f"{_amount(usage.used)}{size} tokens")
    if usage.cost:
        cost = f"{usage.cost:.4f}".rstrip("0").rstrip(".")
        words.append(f"{cost} {clean(usage.currency)}".strip())
    return words


def _amount(count: int) -> str:
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)


def answered(request: RequestOpen | None, closed: RequestClosed | Answered) -> str:
    """What a request was answered with, in one clean line; `request`, where it is known, names the choices."""
    answer = closed.answer
    if isinstance(answer, dict):
        asked = {field.name: field for field in request.fields} if request else {}
        fields = [_filled(asked.get(name), name, value) for name, value in answer.items() if value is not None]
        return " · ".join(fields) or "an empty form"
    named = {choice.id: choice.name for choice in request.choices} if request else {}
    # An empty answer is kept of a secret, and of a line that was left empty.
    empty = "(empty)" if request is not None and request.kind != "secret" else "(hidden)"
    return clean(named.get(answer, answer), TEXT_MAX) or empty


def places(locations: Sequence[Location]) -> str:
    """Places in files, in one clean line: `src/a.py:12, b.py`."""
    shown = [clean(at.path) + (f":{at.line}" if at.line else "") for at in locations[:PLACES_MAX]]
    rest = len(locations) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def request_over(request: RequestOpen | None, closed: RequestClosed | Answered, *, own: str = "") -> str:
    """Who answered a request first, and how, or why it is no longer asked: for whoever comes too late (S9).

    One clean line; `request`, where it is known, names the choices; `own` is the id of the own device.
    """
    if closed.status == "expired":
        return "no longer asked" + (f": {clean(closed.reason, 4096)}" if closed.reason else "")
    if closed.by is not None and closed.by.device == own:
        told = "this device has answered already"
    else:
        told = f"{name_of(closed.by) if closed.by is not None else 'somebody'} answered first"
    return told + (f": {answered(request, closed)}" if closed.answer else "")


def _filled(field: Field | None, name: str, value: Scalar | list[str]) -> str:
    named = {choice.id: choice.name for choice in field.choices} if field else {}
    title = field.title if field and field.title else name
    return f"{clean(title)}: {clean(_value(value, named), TEXT_MAX)}"


def _value(value: Scalar | list[str], named: dict[str, str]) -> str:
    if isinstance(value, list):
        return ", ".join(named.get(each) or each for each in value) or "none"
    if isinstance(value, str):
        return named.get(value) or value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def event_json(session: SessionId | str, event: Event) -> dict[str, Any]:
    """An entry of a log as JSON; its `payload` is null if another device put something there that has no JSON."""
    try:
        payload = msgspec.json.decode(json.translated(event.payload))
    except BadFrame:
        payload = None
    return {"session_id": session, "seq": event.seq, "type": event.type, "payload": payload, "at": event.at}
