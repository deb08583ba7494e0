"""The rows of a running turn that may still change, as `turn.tail` tells them, beside the text that no longer does.

Kept alike by the session's device, for whoever attaches later, and by each client.
"""

from __future__ import annotations

from agent.protocol.colours import whole_after
from agent.protocol.events import MessageDelta, Payload, SessionInfo, TurnComplete
from agent.protocol.messages import TAIL_MAX


class MovingRows:
    """What stands below the text of a turn and may still change."""

    def __init__(self) -> None:
        self.turn = 0  # of which the rows are; 0: of none
        self.text = ""

    def take(self, turn: int, text: str) -> None:
        """Take the newest rows in place of those before."""
        self.turn, self.text = turn, text

    def apply(self, payload: Payload | None) -> None:
        """Take the next entry of the log: text that is given moves no more, and nothing does after its turn."""
        match payload:
            case MessageDelta(turn=self.turn, text=text):
                self.text = rows_after(self.text, text)
            case TurnComplete(turn=self.turn) | SessionInfo(status="ended" | "failed"):
                self.clear()
            case _:
                pass

    def clear(self) -> None:
        """Forget the rows: nothing moves."""
        self.turn, self.text = 0, ""


def rows_after(rows: str, given: str) -> str:
    """What is left of rows once text was given: those below it, if they began with it; else they are no more."""
    return rows[len(given) :] if rows.startswith(given) else ""


def bounded_rows(text: str) -> str:
    """The last rows of a text, as many as may be sent."""
    if len(text) <= TAIL_MAX:
        return text
    start = len(text) - TAIL_MAX
    return text[start:].partition("\n")[2] or text[whole_after(text, start) :]
