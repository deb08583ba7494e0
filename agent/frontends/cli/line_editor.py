"""A line editor for the bottom of a terminal that something else prints to: bytes in, what they mean out."""

from __future__ import annotations

import codecs
import re

from msgspec import Struct

from agent.client.terminal_text import width

HISTORY_MAX = 200
"""Lines that arrow-up brings back."""

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|[^\[O])", re.DOTALL)
_PASTE_BEGIN, _PASTE_END = "\x1b[200~", "\x1b[201~"
_PLAIN, _PASTED = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]+"), re.compile(r"[^\x1b]+")
_WORD_BEFORE, _WORD_AFTER = re.compile(r"\w*\W*\Z"), re.compile(r"\W*\w*")
_BLANK_BEFORE = re.compile(r"\S*\s*\Z")
_KEYS = {
    "\x02": "left", "\x1b[D": "left", "\x1bOD": "left",
    "\x06": "right", "\x1b[C": "right", "\x1bOC": "right",
    "\x01": "home", "\x1b[H": "home", "\x1bOH": "home", "\x1b[1~": "home", "\x1b[7~": "home",
    "\x05": "end", "\x1b[F": "end", "\x1bOF": "end", "\x1b[4~": "end", "\x1b[8~": "end",
    "\x1bb": "word left", "\x1b[1;5D": "word left", "\x1b[1;3D": "word left",
    "\x1bf": "word right", "\x1b[1;5C": "word right", "\x1b[1;3C": "word right",
    "\x7f": "cut left", "\x08": "cut left", "\x1b[3~": "cut right",
    "\x15": "cut home", "\x0b": "cut end", "\x17": "cut blank left", "\x1b\x7f": "cut word left",
    "\x1b\x08": "cut word left", "\x1bd": "cut word right",
    "\x10": "older", "\x1b[A": "older", "\x1bOA": "older", "\x0e": "newer", "\x1b[B": "newer", "\x1bOB": "newer",
}  # fmt: skip
"""What keys do, as readline and common terminals have them."""


class Typed(Struct, frozen=True):
    """A whole line that was typed; `steer`: by Alt-Enter, to go before everything else."""

    text: str
    steer: bool = False


class LineChanged(Struct, frozen=True):
    """The line is another one now: draw it."""


class InputEnded(Struct, frozen=True):
    """Ctrl-D on an empty line, or the end of the input."""


class TakeBackPressed(Struct, frozen=True):
    """Arrow-up or Esc on an empty line, while a prompt waits that can be taken back."""


class ScreenPressed(Struct, frozen=True):
    """Ctrl-V: the session's terminal is to be shown as it is. What is on the line stays there."""


Action = Typed | LineChanged | InputEnded | TakeBackPressed | ScreenPressed


class LineEditor:
    """The line being typed. Pasted text keeps its line ends, so that it is one prompt."""

    def __init__(self) -> None:
        self.text = ""
        self.cursor = 0  # the character of `text` that it stands on
        self.secret = False  # such a line is neither shown nor remembered
        self.takes_back = False  # whether there is something that waits, and can be taken back into the line
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._unread = ""
        self._pasting = False
        self._escaped = False  # whether Esc was pressed before, and is meant as it is: Enter steers then
        self._history: list[str] = []
        self._at = 0  # the line of the history that is shown; beyond it: the draft
        self._draft = ""

    def feed(self, data: bytes) -> list[Action]:
        """Take the bytes that were typed, and tell what they mean."""
        text, self._unread = self._unread + self._decoder.decode(data), ""
        if self._escaped and text[:1] in {"\r", "\n"}:
            text = "\x1b" + text
        self._escaped = False
        actions: list[Action] = []
        at = 0
        while at < len(text):
            run = (_PASTED if self._pasting else _PLAIN).match(text, at)
            if run:
                self._insert(run.group())
                at = run.end()
                continue
            if text[at] != "\x1b":
                self._key(text[at], actions)
                at += 1
                continue
            found = _SEQUENCE.match(text, at)
            if found is None:
                self._unread = text[at:] if len(text) - at < 32 else ""
                break
            self._sequence(found.group(), actions)
            at = found.end()
        return [*actions, LineChanged()]

    @property
    def escape_waits(self) -> bool:
        """Whether Esc was pressed, which is the beginning of another key or meant as it is."""
        return self._unread == "\x1b" and not self._pasting

    def escape(self) -> list[Action]:
        """Take Esc as it is, since nothing has followed it: on an empty line it takes back, else Enter may steer."""
        self._unread = ""
        self._escaped = bool(self.text)
        return [TakeBackPressed()] if self.takes_back and not self.text else []

    def clear(self) -> bool:
        """Empty the line, which the history keeps; whether anything was on it."""
        line = self.text
        if line and not self.secret and (not self._history or self._history[-1] != line):
            self._history = [*self._history, line][-HISTORY_MAX:]
        self._show("")
        self._at = len(self._history)
        return bool(line)

    def put_back(self, text: str) -> bool:
        """Show text that was typed before, unless something else is on the line; whether it is shown."""
        if self.text or self.secret:
            return False
        self._show(text)
        self._at = len(self._history)
        return True

    def _key(self, key: str, actions: list[Action]) -> None:
        if key in "\r\n":
            actions.append(Typed(self._take()))
        elif key == "\x04" and not self.text:
            actions.append(InputEnded())
        elif key == "\x04":
            self._edit("cut right", actions)
        elif key == "\x16":
            actions.append(ScreenPressed())
        else:
            self._edit(_KEYS.get(key, ""), actions)

    def _sequence(self, sequence: str, actions: list[Action]) -> None:
        if sequence in {_PASTE_BEGIN, _PASTE_END}:
            self._pasting = sequence == _PASTE_BEGIN
        elif self._pasting:
            return
        elif sequence in {"\x1b\r", "\x1b\n"}:
            actions.append(Typed(self._take(), steer=True))
        else:
            self._edit(_KEYS.get(sequence, ""), actions)

    def _take(self) -> str:
        line = self.text
        self.clear()
        return line

    def _insert(self, text: str) -> None:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        kept = "".join(key for key in text if key.isprintable() or key in "\t\n")
        self.text = self.text[: self.cursor] + kept + self.text[self.cursor :]
        self.cursor += len(kept)

    def _edit(self, what: str, actions: list[Action]) -> None:
        if what == "older" and self.takes_back and not self.text:
            actions.append(TakeBackPressed())
            return
        if what in {"older", "newer"}:
            self._recall(-1 if what == "older" else 1)
            return
        to = self._place(what.removeprefix("cut "))
        if what.startswith("cut "):
            start, end = sorted((self.cursor, to))
            self.text = self.text[:start] + self.text[end:]
            self.cursor = start
        else:
            self.cursor = to

    def _place(self, where: str) -> int:
        text, at = self.text, self.cursor
        match where:
            case "left" if at:
                at -= 1
                while at and not width(text[at]):  # a mark stays with its character
                    at -= 1
            case "right" if at < len(text):
                at += 1
                while at < len(text) and not width(text[at]):
                    at += 1
            case "home":
                return 0
            case "end":
                return len(text)
            case "word left" | "blank left":
                found = (_WORD_BEFORE if where == "word left" else _BLANK_BEFORE).search(text[:at])
                return found.start() if found else at
            case "word right":
                found = _WORD_AFTER.match(text, at)
                return found.end() if found else at
        return at

    def _recall(self, step: int) -> None:
        if self.secret:
            return
        if self._at == len(self._history):
            self._draft = self.text
        self._at = min(max(self._at + step, 0), len(self._history))
        self._show(self._history[self._at] if self._at < len(self._history) else self._draft)

    def _show(self, text: str) -> None:
        self.text, self.cursor = text, len(text)
