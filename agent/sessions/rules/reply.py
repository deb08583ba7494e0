"""The reply of a running turn, bounded: the head streams, the tail is kept, text between them is counted (S2, L7)."""

from __future__ import annotations

HEAD_MAX = 98_304
"""Characters of a turn's reply that stream as they come."""
TAIL_MAX = 16_384
"""Characters that are kept of the end of what comes after the head."""


class ReplyBuffer:
    """The open part of a turn's reply: `take` decides how much of new output is logged, `add` what was logged."""

    def __init__(self) -> None:
        self.part = 0
        self.open = False
        self._pieces: list[str] = []
        self._logged = 0  # characters of all parts of this turn
        self._tail = ""
        self._left_out = 0

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
        self._logged += len(text)

    def end(self) -> None:
        """End the open part of the reply."""
        self.open = False
        self._pieces = []
        self._tail = ""
        self._left_out = 0

    def take(self, text: str) -> str:
        """The beginning of new output that may be logged now; the rest is kept as the tail, or counted."""
        room = max(0, HEAD_MAX - self._logged)
        if len(text) > room:
            kept = self._tail + text[room:]
            self._tail = kept[-TAIL_MAX:]
            self._left_out += len(kept) - len(self._tail)
            text = text[:room]
        return text

    def rest(self) -> str:
        """The text that is still to be logged when the part ends: how much was left out, then the tail."""
        if not self._left_out:
            return self._tail
        amount = f"{self._left_out / 1e6:.1f} MB" if self._left_out >= 100_000 else f"{self._left_out:,} characters"
        return f"\n… {amount} left out …\n{self._tail}"
