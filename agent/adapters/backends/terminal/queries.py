"""Answers to what programs ask a terminal while nobody is there whose terminal could: many wait for them.

Source: ECMA-48 (DSR, DA), "XTerm Control Sequences". We answer as a VT220 with the cursor at home.
"""

from __future__ import annotations

import re

_QUERY = re.compile(rb"\x1b\[(?:(?P<place>\??6n)|(?P<well>5n)|(?P<primary>0?c)|(?P<secondary>>0?c)|(?P<tertiary>=0?c))")
_TAIL_MAX = 16


class Queries:
    """Follows a stream of output."""

    def __init__(self) -> None:
        self._tail = b""

    def answers(self, data: bytes) -> bytes:
        """What a terminal would type in answer to these bytes of output."""
        data = self._tail + data
        done, answers = 0, []
        for found in _QUERY.finditer(data):
            done = found.end()
            answers.append(_answer(found))
        last = data.rfind(b"\x1b", max(done, len(data) - _TAIL_MAX))
        self._tail = data[last:] if last >= 0 else b""
        return b"".join(answers)


def _answer(found: re.Match[bytes]) -> bytes:
    if found["place"]:
        return b"\x1b[?1;1R" if found["place"].startswith(b"?") else b"\x1b[1;1R"
    if found["well"]:
        return b"\x1b[0n"
    if found["primary"] is not None:
        return b"\x1b[?62;22c"
    return b"\x1b[>1;10;0c" if found["secondary"] else b"\x1bP!|00000000\x1b\\"
