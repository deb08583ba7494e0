"""One turn of an agent, and what its end means."""

from __future__ import annotations

import asyncio

import msgspec
from msgspec import Raw, Struct

from agent.adapters.backends.acp.handshake import fault_text
from agent.adapters.backends.acp.quirks import Quirks
from agent.adapters.backends.acp.schema import ABSENT, AgentResponse
from agent.protocol.bounds import Words
from agent.protocol.events import TurnStatus
from agent.protocol.lenient import read
from agent.protocol.turn_causes import TurnCause

LOST_STEP = "the agent lost step after the interrupt and is started anew: send the prompt again"
_STOPS: dict[str, TurnCause] = {
    "max_tokens": "max_tokens",
    "max_turn_requests": "max_turn_requests",
    "refusal": "refusal",
}

_FAILED = {"error", "failed"}
"""Stop reasons that no protocol has, and that some agents tell."""


class AgentTurn:
    """A prompt that was accepted; `number` is that of the request, once it was sent."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.number: int | str = 0
        self.interrupts = 0
        self.cancelled, self.over = asyncio.Event(), asyncio.Event()
        self.ending = False
        self.refused = False  # whether a person said no to something
        self.in_tools = False  # whether a tool ran, or a question was open, when it was cancelled
        self.content_before = 0  # `Updates.content` when it was sent
        self.beginning = ""  # of the reply: the first piece
        self.problem = ""  # why it could not be sent

    async def stopped(self) -> None:
        """Wait until the turn is cancelled."""
        await self.cancelled.wait()


class Outcome(Struct, frozen=True):
    """How a turn ended. `recycle`: the agent is to be started anew before the next one."""

    status: TurnStatus
    error: str = ""
    recycle: bool = False
    cause: TurnCause = ""


class PromptAnswer(Struct):
    """What an agent answers to a prompt."""

    reason: Words = msgspec.field(default="end_turn", name="stopReason")
    usage: Raw = ABSENT
    meta: Raw = msgspec.field(default=ABSENT, name="_meta")


def prompt_answer(reply: AgentResponse) -> PromptAnswer:
    """Decode the answer to a prompt; one that does not fit counts as an ordinary end."""
    return read(reply.result, PromptAnswer) or PromptAnswer()


def outcome_of(  # noqa: PLR0911 - one return a kind of end
    turn: AgentTurn, reply: AgentResponse, quirks: Quirks, *, silent: bool, after_cancel: bool, complaint: str = ""
) -> Outcome:
    """How a turn ended, by the answer to its prompt.

    `silent`: the turn had no content. `after_cancel`: the turn before was cancelled. `complaint`: what the agent said
    beside of a failure. Once a cancel of ours is under way the turn was interrupted, whatever the answer says.
    """
    if turn.cancelled.is_set():
        recycle = quirks.recycle == "always" or (quirks.recycle == "in-tools" and turn.in_tools)
        return Outcome("interrupted", recycle=recycle or reply.error is not None)
    if reply.error is not None:
        return Outcome("error", fault_text(reply.error))
    if quirks.postpones and turn.beginning.startswith(quirks.postpones):
        return Outcome("error", LOST_STEP, recycle=True)
    reason = prompt_answer(reply).reason
    if reason == "cancelled":
        return Outcome("interrupted", "" if turn.refused else "the agent stopped by itself")
    if silent and after_cancel:
        return Outcome("error", LOST_STEP, recycle=True)
    if complaint or reason in _FAILED:
        return Outcome("error", complaint or "the agent says that it failed")
    # A command of the agent itself (`/compact`) may have nothing to say.
    cause = _STOPS.get(reason, "empty" if silent and not turn.text.startswith("/") else "")
    return Outcome("error" if cause else "complete", cause=cause)
