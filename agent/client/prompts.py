"""A prompt on its way to a session: what is sent, and what a person is told of it until its turn begins (L8, S12)."""

from __future__ import annotations

import re
import shlex
import uuid
from collections.abc import Sequence

from agent.client.reading import name_of
from agent.client.terminal_text import clean
from agent.errors import BadParams, TooLarge
from agent.protocol.events import TEXT_MAX
from agent.protocol.messages import Submit, Submitted
from agent.protocol.prompts import PromptQueue, QueuedPrompt

EXCERPT = 40
"""Characters of a prompt that name it."""
NAMED_MAX = 3
"""Prompts of several that are named in one line."""
_MADE_HERE = re.compile("[0-9a-f]{32}")


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
    if told.status == "duplicate":
        return f"was sent before; {told.position} before it" if told.position else "was sent before"
    return told.status


def excerpt(text: str) -> str:
    """The beginning of a prompt in quotes, by which a person knows which one is meant."""
    words = " ".join(text.split())
    return f'"{words[: EXCERPT - 1]}\u2026"' if len(words) > EXCERPT else f'"{words}"'


def not_sent(text: str, *, doubtful: bool = False) -> str:
    """A prompt that is given back, so that it can be copied. `doubtful`: it went out, and perhaps arrived."""
    return ("sent, but not confirmed: " if doubtful else "not sent: ") + _lines(text)


def taken_back(text: str) -> str:
    """A prompt that was accepted and never runs, given back so that it can be copied."""
    return f"taken back: {_lines(text)}"


def _lines(text: str) -> str:
    return "\n".join(clean(line, TEXT_MAX) for line in text.split("\n"))


def prompt_word(prompt_id: str) -> str:
    """What names a prompt on a command line: the beginning of an id that was made here; another one whole, quoted."""
    return prompt_id[:8] if _MADE_HERE.fullmatch(prompt_id) else shlex.quote(clean(prompt_id))


def to_withdraw(session: str, prompt_id: str) -> str:
    """The command that takes a prompt back."""
    return f"`agent withdraw {shlex.quote(clean(session))} {prompt_word(prompt_id)}`"


def prompts_before(queue: PromptQueue, running: int, turn: int) -> str:
    """How many prompts run before that of a turn; `running`: the turn that runs, 0: none."""
    count = queue.before(turn) + bool(running)
    return f"{count} before it" if count else "it is next"


def prompts_named(prompts: Sequence[QueuedPrompt]) -> str:
    """Several prompts in one clean line: how many, the first of them, and whose they are."""
    count = "1 prompt" if len(prompts) == 1 else f"{len(prompts)} prompts"
    named = [f"{clean(excerpt(each.text))} ({name_of(each.sender)})" for each in prompts[:NAMED_MAX]]
    more = [f"{len(prompts) - NAMED_MAX} more"] if len(prompts) > NAMED_MAX else []
    return f"{count}: {', '.join(named + more)}"
