"""Spans of time on the command line: `90`, `30min`, `8h`, `2d`; and how they are told, like other numbers."""

from __future__ import annotations

import re

_UNITS = {"": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_SPAN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?(s|min|h|d|)")
FORMS = "90, 30min, 8h or 2d"
"""Spans as they are typed."""


def seconds(text: str) -> float | None:
    """A span in seconds, which stand without a unit too; None for anything else."""
    found = _SPAN.fullmatch(text.strip())
    return float(found[1]) * _UNITS[found[2]] if found else None


def counted(number: float, noun: str, nouns: str = "") -> str:
    """`1 try`, `2 tries`: `nouns` are more than one, or none, if not just with an `s`."""
    return f"{number:g} {noun if number == 1 else nouns or noun + 's'}"


def spoken(span: float) -> str:
    """So many seconds in words, in the largest unit in which they are a whole number: `1 hour`, `90 seconds`."""
    for unit, name in ((86_400.0, "day"), (3600.0, "hour"), (60.0, "minute")):
        if span >= unit and not span % unit:
            return counted(span / unit, name)
    return counted(span, "second")
