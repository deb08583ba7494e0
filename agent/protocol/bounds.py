"""Bounded types for all that arrives, from peers, agents and editors (T11); `tests/test_bounds.py` checks every type.

Those of the wire are as large as what an honest gateway of any version sends. Those of programs are as large as one
line of theirs, which is cut on its way into the log (`sessions.rules.bounds`).
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from msgspec import Meta

T = TypeVar("T")

NUMBER_MAX = 2**63 - 1
"""The largest number that fits a MessagePack integer with its sign, and a column of SQLite."""
AMOUNT_MAX = 1e15
"""The largest amount of money, and of other fractions."""
LINE_MAX = 4_194_304
"""Characters of one line of a program, and so of any text in it."""
MANY_MAX = 65_536
"""Entries of a list of a program."""

Count = Annotated[int, Meta(ge=0, le=NUMBER_MAX)]
Whole = Annotated[int, Meta(ge=-NUMBER_MAX - 1, le=NUMBER_MAX)]
Amount = Annotated[float, Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]
PortOrZero = Annotated[int, Meta(ge=0, le=65_535)]
"""A port; 0: none is known."""

Stamp = Annotated[str, Meta(max_length=64)]
"""RFC 3339."""
Word = Annotated[str, Meta(max_length=256)]
"""A name, an id, a version."""
Line = Annotated[str, Meta(max_length=4096)]
"""A title, a path, a reason."""

Words = Annotated[str, Meta(max_length=LINE_MAX)]
"""Any text of a program."""
Many = Annotated[list[T], Meta(max_length=MANY_MAX)]
"""Any list of a program."""
Table = Annotated[dict[Words, T], Meta(max_length=MANY_MAX)]
"""Any object of a program."""
Rows = Annotated[tuple[T, ...], Meta(max_length=MANY_MAX)]
"""Rows of a list that our own wire carries."""


def number(value: float, most: int = NUMBER_MAX) -> int:
    """Bound a number to be stored and sent: whole, not negative, at most `most`; 0 for a value that is no number."""
    if value != value:  # noqa: PLR0124 - NaN, the only one that is not itself
        return 0
    return int(min(max(value, 0), most))


def amount(value: float) -> float:
    """Bound an amount to be stored and sent; 0.0 for a value that is no number."""
    if value != value:  # noqa: PLR0124 - as above
        return 0.0
    return min(max(value, 0.0), AMOUNT_MAX)
