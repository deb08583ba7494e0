"""A line editor for the bottom of a terminal that something else prints to: bytes in, what they mean out."""

from __future__ import annotations

import codecs
import re

from msgspec import Struct

HISTORY_MAX = 200
"""Lines that arrow-up brings back."""

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|[^\[O])", re.DOTALL)
_PASTE_BEGIN, _PASTE_END = "\x1b[200~", "\x1b[201~"


class Typed(Struct, frozen=True):
    """A whole line."""

    text: str


class Changed(Struct, frozen=True):
    """The line is another one now: draw it."""


class Ended(Struct, frozen=True):
    """Ctrl-D on an empty line, or the end of the input."""


class LineEditor:
    """The line being typed. Pasted text keeps its line ends, so that it is one prompt."""

    def __init__(self) -> None:
        self.text = ""
        self.secret = False  # such a line is neither shown nor remembered
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._unread = ""
        self._pasting = False
        self._history: list[str] = []
        self._at = 0

    def feed(self, data: bytes) -> list[Typed | Changed | Ended]:
        """Take what was typed."""
        text, self._unread = self._unread + self._decoder.decode(data), ""
        actions: list[Typed | Changed | Ended] = []
        at = 0
        while at < len(text):
            if text[at] != "\x1b":
                self._key(text[at], actions)
                at += 1
                continue
            found = _SEQUENCE.match(text, at)
            if found is None:
                self._unread = text[at:] if len(text) - at < 32 else ""
                break
            self._sequence(found.group())
            at = found.end()
        return [*actions, Changed()]

    def clear(self) -> bool:
        """Empty the line; whether anything was on it."""
        had, self.text = bool(self.text), ""
        return had

    def _key(self, key: str, actions: list[Typed | Changed | Ended]) -> None:
        if key in "\r\n" and not self._pasting:
            actions.append(Typed(self._take()))
        elif key == "\x04" and not self._pasting:
            if not self.text:
                actions.append(Ended())
        elif key in "\x7f\x08":
            self.text = self.text[:-1]
        elif key == "\x15":
            self.text = ""
        elif key == "\x17":
            self.text = re.sub(r"\S*\s*\Z", "", self.text)
        elif key in "\r\n":
            self.text += "\n"
        elif key.isprintable() or key == "\t":
            self.text += key

    def _take(self) -> str:
        line, self.text = self.text, ""
        if line and not self.secret and (not self._history or self._history[-1] != line):
            self._history = [*self._history, line][-HISTORY_MAX:]
        self._at = len(self._history)
        return line

    def _sequence(self, sequence: str) -> None:
        if sequence in {_PASTE_BEGIN, _PASTE_END}:
            self._pasting = sequence == _PASTE_BEGIN
        elif sequence[-1] in "AB" and len(sequence) == 3 and not self.secret:
            self._at = min(max(self._at + (-1 if sequence[-1] == "A" else 1), 0), len(self._history))
            self.text = self._history[self._at] if self._at < len(self._history) else ""
