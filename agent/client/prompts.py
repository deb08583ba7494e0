"""A prompt on its way to a session: what is sent, and what a person is told of it until it is accepted (L8)."""

from __future__ import annotations

import uuid

from agent.client.terminal_text import clean
from agent.errors import BadParams, TooLarge
from agent.protocol.events import TEXT_MAX
from agent.protocol.messages import Submit, Submitted

EXCERPT = 40
"""Characters of a prompt that name it."""


def new_prompt(session: str, text: str, *, client: str = "", steer: bool = False) -> Submit:
    """A prompt with an id of its own. Raises: BadParams (it is empty), TooLarge."""
    if not text.strip():
        raise BadParams("the prompt is empty", hint="")
    if len(text) > TEXT_MAX:
        raise TooLarge(f"a prompt has at most {TEXT_MAX:,} characters, not {len(text):,}")
    return Submit(session_id=session, prompt_id=uuid.uuid4().hex, text=text, client=client, steer=steer)


def standing(told: Submitted, *, steer: bool) -> str:
    """Where an accepted prompt stands: started, queued behind others, or sent before."""
    if told.status == "queued":
        return "goes first, once the running turn has stopped" if steer else f"queued, {told.position} before it"
    return "was sent before" if told.status == "duplicate" else told.status


def excerpt(text: str) -> str:
    """The beginning of a prompt in quotes, by which a person knows which one is meant."""
    words = " ".join(text.split())
    return f'"{words[: EXCERPT - 1]}\u2026"' if len(words) > EXCERPT else f'"{words}"'


def not_sent(text: str, *, doubtful: bool = False) -> str:
    """A prompt that is given back, so that it can be copied. `doubtful`: it went out, and perhaps arrived."""
    return ("sent, but not confirmed: " if doubtful else "not sent: ") + "\n".join(
        clean(line, TEXT_MAX) for line in text.split("\n")
    )
