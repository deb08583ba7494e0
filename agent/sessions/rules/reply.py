"""What a turn says, bounded: the head streams, the tail is kept, what lies between them is counted (S2, L7)."""

from __future__ import annotations

from agent.protocol.colours import reset_of, whole_after, whole_before
from agent.protocol.events import MessageComplete, MessageDelta, TurnStatus
from agent.protocol.excerpts import GAP, left_out

HEAD_MAX = 98_304
"""Characters of a turn's reply that stream as they come."""
TAIL_MAX = 16_384
"""Characters that are kept of the end of what comes after the head."""


class OutputBound:
    """How much of an output that streams is logged: `take` its head as it comes, `rest` its tail at the end."""

    def __init__(self, head: int = HEAD_MAX, tail: int = TAIL_MAX) -> None:
        self._head_max, self._tail_max = head, tail
        self.logged = 0  # characters
        self._tail = ""
        self._left_out = 0

    def take(self, text: str) -> str:
        """The beginning of new output that may be logged now; the rest is kept as the tail, or counted."""
        room = 0 if self._tail else max(0, self._head_max - self.logged)
        if len(text) <= room:
            return text
        room = whole_before(text, room)
        kept = self._tail + text[room:]
        self._tail = kept[whole_after(kept, max(0, len(kept) - self._tail_max)) :]
        gone = len(kept) - len(self._tail)
        mark = reset_of(text[:room]) + GAP if gone and not self._left_out else ""
        self._left_out += gone
        return text[:room] + mark

    def rest(self) -> str:
        """What is still to be logged at the end: how much was left out, then the tail."""
        return f"{left_out(self._left_out)}\n{self._tail}" if self._left_out else self._tail

    def end(self) -> None:
        """Forget the tail: it was logged."""
        self._tail = ""
        self._left_out = 0


class ReplyBuffer:
    """The open part of a turn's reply: `take` decides how much of new output is logged, `add` what was logged."""

    def __init__(self) -> None:
        self.part = 0
        self.open = False
        self._pieces: list[str] = []
        self._bound = OutputBound()  # of all parts of this turn

    @property
    def text(self) -> str:
        """The logged text of the open part."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def begin(self, part: int) -> None:
        """Begin a part of the reply."""
        self.part = part
        self.open = True
        self._pieces = []

    def add(self, text: str) -> None:
        """Add text of the open part that was logged."""
        self._pieces.append(text)
        self._bound.logged += len(text)

    def end(self) -> None:
        """End the open part of the reply."""
        self.open = False
        self._pieces = []
        self._bound.end()

    def take(self, text: str) -> str:
        """The beginning of new output that may be logged now; the rest is kept as the tail, or counted."""
        return self._bound.take(text)

    def rest(self) -> str:
        """The text that is still to be logged when the part ends: how much was left out, then the tail."""
        return self._bound.rest()

    def closed(self, turn: int, status: TurnStatus) -> tuple[MessageDelta | MessageComplete, ...]:
        """The entries that end the open part of a turn's reply; none, if no part is open."""
        if not self.open:
            return ()
        rest = self.rest()
        whole = MessageComplete(turn=turn, part=self.part, text=self.text + rest, status=status)
        return (MessageDelta(turn=turn, part=self.part, text=rest), whole) if rest else (whole,)
