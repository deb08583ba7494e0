"""The modes that programs have switched on in a terminal, so that one can be brought into that state and out again.

Followed: private modes (DECSET, DECRST), keypad, cursor shape, keyboard protocols (xterm's modifyOtherKeys, kitty's).
Source: ECMA-48; "XTerm Control Sequences"; the kitty keyboard protocol. What is written in cells and colours is not
followed: a program repaints that when the terminal's size changes.
"""

from __future__ import annotations

import re

_ALTERNATE = (1049, 1047, 47)
_OFF = frozenset({1, 9, 66, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004, 2026, 2031, 2048, *_ALTERNATE})
"""Modes that are off in a fresh terminal: keys of applications, mouse, focus, alternate screen, bracketed paste, …"""
_ON = frozenset({7, 25})
"""Modes that are on: lines wrap, the cursor is shown."""
_KNOWN = _OFF | _ON
_PUSHED_MAX = 8
_TAIL_MAX = 64
_SEQUENCE = re.compile(
    rb"\x1b(?:"
    rb"\[\?(?P<modes>[0-9;]{1,48})(?P<set>[hl])"
    rb"|\[>4(?:;(?P<keys>[0-9]?))?m"
    rb"|\[(?P<kitty>[<>=])(?P<flags>[0-9;]{0,8})u"
    rb"|\[(?P<shape>[0-9]?) q"
    rb"|(?P<keypad>[=>])"
    rb"|(?P<reset>c|\[!p))"
)
_RESET = b"\x1b[m\x1b(B\x0f\x1b7\x1b[r\x1b8"
"""Colours, character set, scrolling region (setting that moves the cursor, so it is kept meanwhile)."""


class Modes:
    """The modes that a stream of output has switched on in a fresh terminal."""

    def __init__(self) -> None:
        self._tail = b""
        self._forget()

    def _forget(self) -> None:
        self._changed: dict[int, bool] = {}  # those that are not as in a fresh terminal, in order
        self._keypad = False
        self._keys = b""
        self._kitty: list[bytes] = []
        self._shape = b""

    @property
    def alternate(self) -> bool:
        """Whether a program draws on the alternate screen."""
        return any(mode in self._changed for mode in _ALTERNATE)

    @property
    def keys(self) -> bool:
        """Whether a program has asked for the keys of applications, as those do that draw a screen."""
        return self._keypad or 1 in self._changed

    @property
    def pastes(self) -> bool:
        """Whether pasted text is to be bracketed."""
        return 2004 in self._changed

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the program's output."""
        data = self._tail + data
        done = 0
        for found in _SEQUENCE.finditer(data):
            done = found.end()
            self._take(found)
        last = data.rfind(b"\x1b", max(done, len(data) - _TAIL_MAX))
        self._tail = data[last:] if last >= 0 else b""

    def _take(self, found: re.Match[bytes]) -> None:
        if found["modes"]:
            for mode in found["modes"].split(b";"):
                if mode and (number := int(mode)) in _KNOWN:
                    self._switch(number, on=found["set"] == b"h")
        elif found["kitty"]:
            self._stack(found["kitty"], found["flags"])
        elif found["keypad"]:
            self._keypad = found["keypad"] == b"="
        elif found["shape"] is not None:
            self._shape = found["shape"].strip(b"0")
        elif found["reset"]:
            self._forget()
        else:
            self._keys = (found["keys"] or b"").strip(b"0")

    def _switch(self, mode: int, *, on: bool) -> None:
        if mode in _ALTERNATE and not on:
            for each in _ALTERNATE:
                self._changed.pop(each, None)
        elif on is (mode in _ON):
            self._changed.pop(mode, None)
        else:
            self._changed[mode] = on

    def _stack(self, how: bytes, flags: bytes) -> None:
        if how == b">":
            self._kitty = [*self._kitty, flags][-_PUSHED_MAX:]
        elif how == b"<":
            count = int(flags or b"1") if b";" not in flags else 1
            del self._kitty[max(0, len(self._kitty) - count) :]

    def restore(self) -> bytes:
        """Control sequences that bring a fresh terminal into this state."""
        parts = [b"\x1b[?%d%c" % (mode, 104 if on else 108) for mode, on in self._changed.items()]
        parts += [b"\x1b[>%su" % flags for flags in self._kitty]
        if self._keys:
            parts.append(b"\x1b[>4;%sm" % self._keys)
        if self._keypad:
            parts.append(b"\x1b=")
        if self._shape:
            parts.append(b"\x1b[%s q" % self._shape)
        return b"".join(parts)

    def undo(self) -> bytes:
        """Control sequences that bring the terminal out of this state: every mode that was switched on is off again."""
        parts = []
        if self._kitty:
            parts.append(b"\x1b[<%du" % len(self._kitty))
        if self._keys:
            parts.append(b"\x1b[>4m")
        if self._keypad:
            parts.append(b"\x1b>")
        if self._shape:
            parts.append(b"\x1b[0 q")
        # The alternate screen last: leaving it gives the cursor back its place.
        modes = sorted(self._changed, key=lambda mode: mode in _ALTERNATE)
        rest = [b"\x1b[?%d%c" % (mode, 108 if self._changed[mode] else 104) for mode in modes]
        return b"".join([*parts, _RESET, *rest])
