"""The decisions of a session's state machine: entries to log, then effects that the service carries out in order."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from agent.protocol.events import Answer, Payload


class StartTurn(Struct, frozen=True):
    """Hand a prompt to the backend, which is started first if it does not run."""

    turn: int
    text: str


class HandAnswer(Struct, frozen=True):
    """Hand a person's answer to the backend."""

    request_id: str
    answer: Answer


class InterruptTurn(Struct, frozen=True):
    """Ask the backend to stop a turn, if it still runs that one."""

    turn: int


class StopBackend(Struct, frozen=True):
    """Close the backend of the session for good."""


Effect = StartTurn | HandAnswer | InterruptTurn | StopBackend


class Decision(Struct, frozen=True):
    """Entries that are to be logged, then effects that are to be carried out."""

    payloads: tuple[Payload, ...] = ()
    effects: tuple[Effect, ...] = ()


class Verdict(Struct, frozen=True):
    """What became of a prompt: its turn, whether it runs or waits, and how many are before it."""

    turn: int
    status: Literal["started", "queued", "duplicate"]
    position: int = 0
