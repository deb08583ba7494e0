"""Output of a program on a terminal as plain text: for the reply to a prompt."""

from __future__ import annotations

import codecs
import re

# A string ends at any escape, as in a terminal. No pattern looks beyond the next one: a program must not be able to
# make this slow, for everybody waits meanwhile.
_SEQUENCE = re.compile(
    r"\x1b\[(?P<arguments>[0-?]*)[ -/]*(?P<final>[@-~])"  # CSI
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|(?=\x1b))"  # OSC, DCS and other strings
    r"|\x1b[ -/]*[0-Z\\^-~]"
)
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)?$")
_STRING_MAX = 8192
_LINE_MAX = 8192
_COLUMNS_MAX = 500
"""Columns that the cursor is moved at once."""


class PlainText:
    """Turns output into text, line by line: a line is known once it has ended, as it may be written over until then."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""  # a control sequence that has not ended yet
        self._line: list[str] = []
        self._at = 0  # where in the line the next character goes

    @property
    def half_line(self) -> bool:
        """Whether a line was begun that has not ended."""
        return bool(self._line)

    def feed(self, data: bytes) -> str:
        """Take output, and return the lines that are complete with it."""
        text = self._begun + self._decoder.decode(data)
        begun = _BEGUN.search(text, max(0, len(text) - _STRING_MAX))
        text, self._begun = (text[: begun.start()], begun[0]) if begun else (text, "")
        done: list[str] = []
        at = 0
        for found in _SEQUENCE.finditer(text):
            self._write(text[at : found.start()], done)
            self._move(found, done)
            at = found.end()
        self._write(text[at:], done)
        return "".join(done)

    def rest(self) -> str:
        """Return the line that has not ended; it is over now."""
        text = "".join(self._line)
        self._line = []
        self._at = 0
        return text

    def _move(self, found: re.Match[str], done: list[str]) -> None:
        final, arguments = found["final"], found["arguments"]
        if final in {"H", "f", "d", "E"}:  # it goes on elsewhere on the screen: another line, for a reader
            if self._line:
                self._end(done)
        elif final == "K" and arguments in {"", "0"}:
            del self._line[self._at :]
        elif final == "K":
            self._line, self._at = [], 0
        elif final == "C":
            self._pad(self._at + _columns(arguments))
        elif final == "G":
            self._pad(_columns(arguments) - 1)
        elif final == "D":
            self._at = max(0, self._at - _columns(arguments))

    def _pad(self, to: int) -> None:
        self._at = min(max(0, to), _LINE_MAX)
        self._line += [" "] * (self._at - len(self._line))

    def _write(self, text: str, done: list[str]) -> None:
        for piece in re.findall(r"[^\x00-\x1f\x7f]+|[\x00-\x1f\x7f]", text):
            if piece == "\n":
                self._end(done)
            elif piece == "\r":
                self._at = 0
            elif piece == "\b":
                self._at = max(0, self._at - 1)
            elif piece >= " " or piece == "\t":
                self._line[self._at : self._at + len(piece)] = piece
                self._at += len(piece)
                if len(self._line) > _LINE_MAX:
                    done.append(self.rest())

    def _end(self, done: list[str]) -> None:
        done.append(self.rest().rstrip(" ") + "\n")


def _columns(arguments: str) -> int:
    # What `int` takes is longer than any terminal is wide, and shorter than a hostile number.
    return min(int(arguments[:9]), _COLUMNS_MAX) if arguments[:9].isdigit() else 1
