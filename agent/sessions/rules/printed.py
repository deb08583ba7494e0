"""What a tool printed, as a person would have seen it: of a progress bar the line that was there in the end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agent.protocol.excerpts import shortened

if TYPE_CHECKING:
    from agent.protocol.terminal_lines import TerminalLines

ROWS, COLS = 100, 500
"""Size of the screen on which the output is drawn: nobody tells how large the tool's own was, if it had any."""
TAKEN_MAX = 262_144
"""Characters of one piece that are drawn; of more its middle is left out (T11)."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class PrintedText:
    """Output of a program in pieces. What is only text passes as it comes; once something is drawn, whole lines do."""

    def __init__(self) -> None:
        self._lines: TerminalLines | None = None  # since something was drawn
        self._return = ""  # perhaps half of a line's end
        self._half_line = False

    def take(self, text: str) -> str:
        """Take more output; what of it will not be written over."""
        text = self._return + shortened(text, TAKEN_MAX)
        self._return = "\r" if text.endswith("\r") else ""
        text = text.removesuffix("\r").replace("\r\n", "\n")
        begun = ""
        if self._lines is None:
            self._lines = _screen(text)
            if self._lines is None:
                self._half_line = not text.endswith("\n") if text else self._half_line
                return text
            begun = "\n" if self._half_line else ""  # what was given of that line cannot be drawn over
        self._lines.feed(text.replace("\n", "\r\n").encode(errors="replace"))
        self._lines.settle()
        given = self._lines.take()
        return begun + given

    def rest(self) -> str:
        """What is left when the program has ended."""
        return "" if self._lines is None else self._lines.end()


def _screen(text: str) -> TerminalLines | None:
    """What a text has to be drawn on before it can be read; None, if it is only text."""
    if not _CONTROL.search(text):
        return None
    # A service whose agents print only text need not have all of this in memory.
    from agent.protocol.terminal_lines import TerminalLines, is_drawn  # noqa: PLC0415 - as said

    return TerminalLines(ROWS, COLS) if is_drawn(text) else None


def as_seen(text: str) -> str:
    """The whole output of a program, as a person would have seen it."""
    printed = PrintedText()
    return printed.take(text) + printed.rest()
