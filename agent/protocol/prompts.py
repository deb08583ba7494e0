"""Prompts that wait for their turn: the queue of a session as its log gives it, and taking one back (S1, S12)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from agent.protocol.bounds import Count
from agent.protocol.events import Id, MessageStart, Payload, Text, TurnComplete, UserMessage
from agent.protocol.model import Sender
from agent.protocol.waiting import Patient

QUEUED_TEXT_MAX = 256
"""Characters of a waiting prompt's text where the whole queue is told: all of it fits beside a snapshot."""


class QueuedPrompt(Struct, frozen=True, kw_only=True):
    """A prompt that waits for its turn. Where the whole queue is told, its text is cut, which `…` at the end says."""

    turn: Count
    prompt_id: Id
    text: Text
    sender: Sender

    def shortened(self) -> QueuedPrompt:
        """Cut the text of the prompt to no more than `QUEUED_TEXT_MAX` characters."""
        if len(self.text) <= QUEUED_TEXT_MAX:
            return self
        return msgspec.structs.replace(self, text=self.text[: QUEUED_TEXT_MAX - 1] + "\u2026")


class PromptQueue:
    """The prompts of one session that wait, the one that runs next first. It follows from the log, here and there."""

    def __init__(self, waiting: Iterable[QueuedPrompt] = ()) -> None:
        self._waiting = list(waiting)

    def __iter__(self) -> Iterator[QueuedPrompt]:
        return iter(self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    def apply(self, payload: Payload | None) -> None:
        """Take the next entry of the log; one that is read once more changes nothing."""
        match payload:
            case UserMessage(queued=True):
                self._drop(payload.turn)
                prompt = QueuedPrompt(
                    turn=payload.turn, prompt_id=payload.prompt_id, text=payload.text, sender=payload.sender
                )
                self._waiting.insert(0 if payload.steer else len(self._waiting), prompt)
            case MessageStart(turn=turn) | TurnComplete(turn=turn):
                self._drop(turn)
            case _:
                pass

    def _drop(self, turn: int) -> None:
        self._waiting = [waiting for waiting in self._waiting if waiting.turn != turn]

    def find(self, prompt_id: str) -> QueuedPrompt | None:
        """The prompt of that id, if it waits."""
        return next((waiting for waiting in self._waiting if waiting.prompt_id == prompt_id), None)

    def newest_of(self, device: str) -> QueuedPrompt | None:
        """The prompt that the device sent last, of those that wait."""
        return max((each for each in self._waiting if each.sender.device == device), key=_turn, default=None)

    def before(self, turn: int) -> int:
        """How many prompts wait before that of a turn; all of them, if that one does not wait."""
        return next((place for place, each in enumerate(self._waiting) if each.turn == turn), len(self._waiting))


def _turn(prompt: QueuedPrompt) -> int:
    return prompt.turn


class Withdraw(Patient, frozen=True, kw_only=True, omit_defaults=True):
    """Parameters of `prompt.withdraw`: the prompt that is taken back. Once more is as good as once."""

    prompt_id: Annotated[str, Meta(min_length=1, max_length=128)]
    client: Annotated[str, Meta(max_length=64)] = ""  # which client of the calling device


class Withdrawn(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of `prompt.withdraw`: the prompt never runs, and here is its text; or it began before."""

    status: Literal["withdrawn", "started"]
    text: Text = ""  # of one that was withdrawn
    turn: Count = 0
    running: bool = False  # of one that began: whether its turn runs still
    by: Sender | None = None  # who took it back, now or before
