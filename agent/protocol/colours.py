"""The colours of what programs print (SGR): kept in the log and on the wire, for whoever asks for them.

Replies of shells and terminals have no other control sequence; what agents say is as it came. Source: ECMA-48
§8.3.117; ISO 8613-6 for the sub-parameters.
"""

from __future__ import annotations

import re

SGR = re.compile(r"\x1b\[[0-9;:]*m")
RESET = "\x1b[0m"
_RESETS = frozenset({RESET, "\x1b[m"})
_BEGUN = re.compile(r"\x1b(?:\[[0-9;:]*)?\Z")
_REST = re.compile(r"\[?[0-9;:]*m")


def plain(text: str) -> str:
    """Take the colours out of a text."""
    return SGR.sub("", text) if "\x1b" in text else text


def reset_of(text: str) -> str:
    """What ends the colour in which a text leaves off; empty, if it leaves off in none."""
    last = SGR.match(text, max(0, text.rfind("\x1b")))
    return RESET if last is not None and last.group() not in _RESETS else ""


def whole_before(text: str, end: int) -> int:
    """The last place up to `end` at which a text can be cut without parting a colour."""
    found = _BEGUN.search(text, max(0, end - 64), end) if end < len(text) else None
    return end if found is None else found.start()


def whole_after(text: str, start: int) -> int:
    """The first place from `start` on at which a text can be cut without parting a colour."""
    begins = whole_before(text, start)
    found = _REST.match(text, start) if begins < start else None
    return start if found is None else found.end()
