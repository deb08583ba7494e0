"""Output of a program on a terminal as plain text: for the reply to a prompt."""

from __future__ import annotations

import codecs
import re

from agent.protocol.control_sequences import ControlSequences

_LINE_MAX = 8192
_COLUMNS_MAX = 500
"""Columns that the cursor is moved at once."""


class PlainText:
    """Turns output into text, line by line: a line is known once it has ended, as it may be written over until then."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._sequences = ControlSequences()
        self._line: list[str] = []
        self._at = 0  # where in the line the next character goes

    @property
    def half_line(self) -> bool:
        """Whether a line was begun that has not ended."""
        return bool(self._line)

    def feed(self, data: bytes) -> str:
        """Take output, and return the lines that are complete with it."""
        done: list[str] = []
        for part in self._sequences.feed(self._decoder.decode(data)):
            if isinstance(part, str):
                self._write(part, done)
            else:
                self._move(part, done)
        return "".join(done)

    def rest(self) -> str:
        """Return the line that has not ended, with what was held back of it; it is over now."""
        done: list[str] = []
        self._write(self._sequences.end(), done)
        return "".join(done) + self._whole_line()

    def _whole_line(self) -> str:
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
                    done.append(self._whole_line())

    def _end(self, done: list[str]) -> None:
        done.append(self._whole_line().rstrip(" ") + "\n")


def _columns(arguments: str) -> int:
    # What `int` takes is longer than any terminal is wide, and shorter than a hostile number.
    return min(int(arguments[:9]), _COLUMNS_MAX) if arguments[:9].isdigit() else 1
