"""How a turn ended: the one table by which all front ends tell it (S14).

Status, exit status, an editor's stop reason and the line that a person reads are columns of one row, so that no front
end calls a success what another one calls a failure.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from agent.client.reading import name_of
from agent.client.terminal_text import clean
from agent.protocol.events import TurnComplete
from agent.protocol.turn_causes import REASONS

REASON_MAX = 4096
"""Characters of a reason."""
Outcome = Literal["success", "failure", "interrupted"]
StopReason = Literal["end_turn", "cancelled", "max_tokens", "max_turn_requests", "refusal"]
"""How a turn of ACP may end; what has none of these is an error there."""
_STOPS: dict[str, StopReason] = {
    "max_tokens": "max_tokens",
    "max_turn_requests": "max_turn_requests",
    "refusal": "refusal",
}


class TurnEnd(NamedTuple):
    """How a turn ended."""

    outcome: Outcome  # of `agent prompt`: status 0, 1 or 130
    word: str  # "done", "exit status 3", "failed", "interrupted", "never ran"
    reason: str  # one clean line; "" if there is none beside the word
    stop: StopReason | None  # what an editor is answered; None: an error with the reason

    @property
    def line(self) -> str:
        """The end in one clean line."""
        return f"{self.word}: {self.reason}" if self.reason else self.word

    @property
    def shortfall(self) -> str:
        """Why the turn is no plain success, in one clean line; "" for one that is."""
        return "" if self.line == "done" else self.line


def turn_end(turn: TurnComplete) -> TurnEnd:
    """The row of a turn's end.

    A turn that was cut without anybody asking for it (it has a reason) is a failure, though its status is interrupted.
    """
    if turn.withdrawn_by is not None:
        return TurnEnd("interrupted", "never ran", f"taken back by {name_of(turn.withdrawn_by)}", "cancelled")
    reason = clean(turn.error, REASON_MAX) or REASONS.get(turn.cause, "")
    if turn.status == "interrupted":
        return TurnEnd("failure" if reason else "interrupted", "interrupted", reason, "cancelled")
    if turn.status == "error":
        return TurnEnd("failure", "failed", reason, _STOPS.get(turn.cause))
    if turn.exit_status:
        word = f"exit status {turn.exit_status}"
        return TurnEnd("failure", word, "" if reason == word else reason, "end_turn")
    if turn.error and turn.exit_status is None:  # a device of an older version told a cut end so
        return TurnEnd("failure", "failed", reason, None)
    return TurnEnd("success", "done", reason, "end_turn")
