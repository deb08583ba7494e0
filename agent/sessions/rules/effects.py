"""What a session's state machine wants logged and done. The service carries it out, in order."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from agent.protocol.events import Answer, Payload


class StartTurn(Struct, frozen=True):
    """Hand the prompt to the backend, starting that first if it does not run."""

    turn: int
    text: str


class HandAnswer(Struct, frozen=True):
    """Hand a person's answer to the backend."""

    request_id: str
    answer: Answer


class InterruptTurn(Struct, frozen=True):
    """Ask the backend to stop that turn, if it still runs."""

    turn: int


class StopBackend(Struct, frozen=True):
    """End the backend for good."""


Effect = StartTurn | HandAnswer | InterruptTurn | StopBackend


class Decision(Struct, frozen=True):
    """What is to be logged, then done."""

    payloads: tuple[Payload, ...] = ()
    effects: tuple[Effect, ...] = ()


class Verdict(Struct, frozen=True):
    """What became of a prompt."""

    turn: int
    status: Literal["started", "queued", "duplicate"]
    position: int = 0
