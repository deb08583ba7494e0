r"""The private marks with which an integrated shell tells where prompts, commands and their output begin and end.

A mark is `ESC ] 7717 ; NONCE ; KIND ; PID ; fields BEL`. The nonce keeps output (a file that is shown, another machine)
from forging one. Marks are cut out before anybody sees the bytes, so that a recording holds none to be played again.
"""

from __future__ import annotations

import re
import shlex
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

OPEN = b"\x1b]7717;"
HELD_MAX = 16_384
"""Bytes of a mark at most; what has no end by then is none."""

_BODY = re.compile(rb"[^\x00-\x1f\x7f]*")
_ENDS = (b"\x07", b"\x1b\\")
_ANSI_C = re.compile(
    r"\\(?:x(?P<hex>[0-9A-Fa-f]{1,2})|(?P<octal>[0-7]{1,3})|u(?P<code>[0-9A-Fa-f]{1,4})|(?P<char>.))", re.DOTALL
)
_LETTERS = {"a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class ShellMark(NamedTuple):
    """One mark of a shell. Which fields it has depends on its kind."""

    kind: str  # one letter
    pid: int  # the process id of the shell; 0: it says none
    fields: tuple[str, ...] = ()

    def number(self, at: int) -> int | None:
        """The field at that place as a number; None if there is none."""
        text = self.fields[at] if at < len(self.fields) else ""
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None

    def rest(self, at: int) -> str:
        """All fields from that place on as one text."""
        return ";".join(self.fields[at:])


class MarkReader:
    """Cuts a stream of output into bytes for whoever watches, and marks. Marks with another nonce are dropped."""

    def __init__(self, nonce: str) -> None:
        self._nonce = nonce
        self._held = b""  # the beginning of what may become a mark
        self.forged = 0  # marks that had another nonce

    def feed(self, data: bytes) -> list[bytes | ShellMark]:
        """Take the next bytes; what is known with them, in order."""
        data, self._held = self._held + data, b""
        parts: list[bytes | ShellMark] = []
        shown = at = 0
        while (found := data.find(OPEN, at)) >= 0:
            body = _BODY.match(data, found + len(OPEN), found + HELD_MAX)
            assert body is not None
            end = next((each for each in _ENDS if data.startswith(each, body.end())), b"")
            if not end and len(data) - found < HELD_MAX and data[body.end() :] in {b"", b"\x1b"}:
                self._held = data[found:]
                break
            at = body.end()
            if not end:
                continue  # broken by another control character: it is none
            if shown < found:
                parts.append(data[shown:found])
            shown = at = at + len(end)
            mark = self._parse(body[0])
            if mark is not None:
                parts.append(mark)
        else:
            held = _begun(data, shown)
            self._held = data[len(data) - held :]
        rest = data[shown : len(data) - len(self._held)]
        if rest:
            parts.append(rest)
        return parts

    def _parse(self, body: bytes) -> ShellMark | None:
        nonce, *fields = body.decode(errors="replace").split(";")
        if nonce != self._nonce or not fields or len(fields[0]) != 1:
            self.forged += 1
            return None
        pid = fields[1] if len(fields) > 1 else ""
        return ShellMark(fields[0], int(pid) if pid.isascii() and pid.isdigit() else 0, tuple(fields[2:]))


def _begun(data: bytes, shown: int) -> int:
    """How many bytes at the end may be the beginning of a mark."""
    for size in range(min(len(OPEN) - 1, len(data) - shown), 0, -1):
        if data.endswith(OPEN[:size]):
            return size
    return 0


def directory(quoted: str) -> str:
    """The directory that a shell gives in a mark: quoted (bash, zsh), or as in a URL with `%` in front (fish)."""
    if quoted.startswith("%"):
        return unquote_to_bytes(quoted).decode(errors="replace")
    if quoted.startswith("$'") and quoted.endswith("'"):
        return _ANSI_C.sub(_escaped, quoted[2:-1]).encode("utf-8", "surrogateescape").decode(errors="replace")
    try:
        return "".join(shlex.split(quoted))
    except ValueError:
        return quoted


def _escaped(found: re.Match[str]) -> str:
    if found["char"]:
        return _LETTERS.get(found["char"], found["char"])
    if found["code"]:
        return chr(int(found["code"], 16))
    value = int(found["hex"], 16) if found["hex"] else int(found["octal"], 8) & 0xFF
    return chr(value) if value < 0x80 else chr(0xDC00 + value)
