"""What is typed for a prompt, and what the program writes until it waits again, as text."""

from __future__ import annotations

from agent.adapters.backends.terminal.plain import Plain

SAID_MAX = 65_536
"""Characters of one reply; of the rest only the count is told. The terminal itself shows everything."""
PIECE = 16_384
"""Characters emitted at a time."""
LINE_MAX = 4000
"""Bytes in a line that a terminal hands to a program (4,095 on Linux)."""
_PASTE_BEGINS, _PASTE_ENDS = b"\x1b[200~", b"\x1b[201~"


def typed(text: str, *, pastes: bool) -> bytes:
    """A text and Enter, as it is typed; several lines are pasted, if the program `pastes`."""
    lines = text.encode(errors="replace").replace(b"\r\n", b"\n").replace(b"\n", b"\r")
    if pastes and b"\r" in lines:
        lines = _PASTE_BEGINS + lines.replace(_PASTE_ENDS, b"") + _PASTE_ENDS
    return lines + b"\r"


class Turn:
    """One prompt and the reply to it."""

    def __init__(self, text: str, now: float) -> None:
        """`now`: loop time."""
        self.interrupted = False
        self.stirred_at = now  # loop time of the last output, or of what was typed
        self._plain = Plain()
        self._echo = text.strip()
        self._text = ""  # to be said
        self._said = self._left_out = 0  # characters; of what is not looked at, bytes
        self.half_line = False  # whether the last line that was written has not ended

    def heard(self, data: bytes, now: float) -> None:
        """Take output."""
        self.stirred_at = now
        if self._said >= SAID_MAX:
            self._left_out += len(data)
            self.half_line = not data.endswith(b"\n")
        else:
            self._add(self._plain.feed(data))
            self.half_line = self._plain.half_line

    def take(self, *, whole: bool) -> str:
        """The next piece of the reply; `whole`: the last line, too, ended or not. Empty: nothing more now."""
        if whole:
            self._add(self._plain.rest())
        piece, self._text = self._text[:PIECE], self._text[PIECE:]
        if not piece and whole and self._left_out:
            piece, self._left_out = f"\n[{self._left_out:,} characters more: `agent attach --raw` shows them]\n", 0
        return piece

    def _add(self, text: str) -> None:
        if self._echo and text:
            # What was typed comes back first, from the terminal or from the program itself, after its prompt perhaps.
            echoed = self._echo.split("\n")[0]
            line, _, rest = text.partition("\n")
            if line.rstrip().endswith(echoed):
                text = rest
                self._echo = "\n".join(self._echo.split("\n")[1:])
                self._add(text)
                return
            self._echo = ""
        room = max(0, SAID_MAX - self._said)
        self._said += len(text[:room])
        self._left_out += len(text[room:])
        self._text += text[:room]
