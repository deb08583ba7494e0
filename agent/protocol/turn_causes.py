"""Why a turn is no plain success although its program or model ended it in order: one table (S14).

A backend names the cause (`ports.Finished.cause`), the log keeps it (`turn.complete`), and every front end tells the
same sentence.
"""

from __future__ import annotations

from typing import Literal

TurnCause = Literal[
    "", "max_tokens", "max_turn_requests", "refusal", "filtered", "tool_calls", "empty", "cut", "program_ended"
]
"""Cause of an end; empty for a plain one. The first three are stop reasons of ACP."""

REASONS: dict[str, str] = {
    "max_tokens": "the reply was cut at the model's limit of tokens",
    "max_turn_requests": "the agent stopped at its limit of requests to the model",
    "refusal": "the agent refused to go on",
    "filtered": "a content filter held back the reply, or the rest of it",
    "tool_calls": "the model called a tool, and this session has none",
    "empty": "nothing was said",
    "cut": "the reply broke off before its end",
    "program_ended": "the session has ended with it",
}
"""What a person is told of each cause. All of them are failures but the last one, which is told of exit status 0."""
