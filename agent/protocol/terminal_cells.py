"""Cells of a terminal: a row of characters with their styles, how wide a character is, and what a style becomes. Pure.

Source: ECMA-48 §8.3.117 (SGR), "XTerm Control Sequences", Unicode's East Asian Width.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby

CELL_MAX = 16
"""Code points in one cell: a letter and its accents, or an emoji and what it is joined with."""
STYLE_MAX = 24
"""Characters of one attribute, such as `38;2;255;255;255`."""

_OFF = {1: 22, 2: 22, 3: 23, 4: 24, 21: 24, 5: 25, 6: 25, 7: 27, 9: 29, 38: 39, 48: 49, 53: 55, 58: 59} | {
    tens + digit: 49 if tens in {40, 100} else 39 for tens in (30, 40, 90, 100) for digit in range(8)
}
"""Attribute -> the one that ends it. Left out is 8, which hides text: what is said is seen."""
_ENDS = set(_OFF.values())
_MEDIAL = re.compile("[\u1160-\u11ff\ud7b0-\ud7ff]")
"""Vowels and finals of Hangul that stand in the cell of the consonant before them, as in file names of macOS."""


@lru_cache(4096)
def restyled(style: str, change: str) -> str:
    """The attributes that hold after a change (SGR), each once, as parameters of the sequence that would set them."""
    on: dict[int, str] = {}
    for code, whole in [*_attributes(style), *_attributes(change or "0")]:
        if code == 0:
            on.clear()
        elif code in _ENDS:
            on.pop(code, None)
        elif code in _OFF and len(whole) <= STYLE_MAX:
            on.pop(_OFF[code], None)
            on[_OFF[code]] = whole
    return ";".join(on.values())


def _attributes(parameters: str) -> Iterator[tuple[int, str]]:
    """The number of each attribute, and the whole of it: a colour takes several parameters."""
    rest = parameters.split(";") if parameters else []
    while rest:
        whole = rest.pop(0)
        number = whole.partition(":")[0][:4]
        if whole in {"38", "48", "58"}:
            taken = 4 if rest[:1] == ["2"] else 2
            whole, rest = ";".join([whole, *rest[:taken]]), rest[taken:]
            if whole.count(";") < taken:
                return
        yield 24 if whole == "4:0" else int(number or 0), whole


@lru_cache(4096)
def columns(character: str) -> int:
    """How many columns a character takes: none, one or two."""
    if unicodedata.category(character) in {"Mn", "Me", "Cf"} or _MEDIAL.match(character):
        return 0
    if "\U0001f3fb" <= character <= "\U0001f3ff":  # colours of skin, which belong to the emoji before
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


class Row:
    """One row: a character for each column, and its style. What takes several columns is followed by empty ones."""

    __slots__ = ("characters", "drawn", "ended", "given", "lead", "narrow", "skip", "soft", "styles")

    def __init__(self, given: str | None = None) -> None:
        self.characters: list[str] = []
        self.styles: list[str] = []
        self.lead = ""  # what takes no column, before the first one
        self.soft = False  # the line goes on in the next row
        self.narrow = True  # each character takes one column
        self.drawn = False  # something was written over something else: blanks at the end are what was wiped out
        self.ended = False  # by a line feed: even if nothing stands there, it is a line
        self.given = given  # what was last said of it
        self.skip = 0  # columns at its beginning that are nobody's news

    @property
    def empty(self) -> bool:
        """Whether nothing was written in the row, or all of it was erased."""
        return not (self.characters or self.lead)

    def put(self, at: int, text: str, style: str, width: int = 1) -> None:
        """Write characters that take one column each, or a single one that takes `width`."""
        whole = [*text] if width == 1 else [text, *[""] * (width - 1)]
        end = at + len(whole)
        length = len(self.characters)
        if at < length:
            self.drawn = True
            self.split(at)
            self.split(end)
        elif at > length:
            self.pad(at)
        if width > 1:
            self.narrow = False
        self.skip = min(self.skip, at)
        self.characters[at:end] = whole
        self.styles[at:end] = [style] * len(whole)

    def join(self, at: int, character: str) -> None:
        """Add what takes no column to the character before a column."""
        at = min(at, len(self.characters)) - 1
        while at > 0 and not self.characters[at]:
            at -= 1
        if at < 0:
            self.lead = (self.lead + character)[:CELL_MAX]
        elif len(self.characters[at]) < CELL_MAX:
            self.characters[at] += character

    def split(self, at: int) -> None:
        """Let a character that takes columns on both sides of this one become blanks."""
        if self.narrow or at >= len(self.characters) or self.characters[at]:
            return
        begin = at
        while begin > 0 and not self.characters[begin]:
            begin -= 1
        while begin < len(self.characters) and (begin <= at or not self.characters[begin]):
            self.characters[begin] = " "
            begin += 1

    def pad(self, to: int) -> None:
        """Let the row have that many columns at least."""
        missing = to - len(self.characters)
        if missing > 0:
            self.characters += [" "] * missing
            self.styles += [""] * missing

    def beginning(self, columns: int) -> Row:
        """A row with what stands in the first columns of this one."""
        row = Row(self.given)
        row.characters, row.styles = self.characters[:columns], self.styles[:columns]
        row.lead, row.skip = self.lead, min(self.skip, columns)
        row.narrow, row.drawn = self.narrow, True
        return row

    def cut(self, at: int) -> None:
        """Erase from a column on."""
        self.split(at)
        del self.characters[at:], self.styles[at:]
        self.soft = False

    def blank(self, begin: int, end: int) -> None:
        """Write blanks over what stands there."""
        end = min(end, len(self.characters))
        if begin < end:
            self.put(begin, " " * (end - begin), "")

    def insert(self, at: int, count: int, room: int) -> None:
        """Move what stands from a column on to the right by blanks; what leaves the `room` is lost."""
        if at < len(self.characters):
            self.split(at)
            self.characters[at:at] = [" "] * count
            self.styles[at:at] = [""] * count
            if len(self.characters) > room:
                self.split(room)
                del self.characters[room:], self.styles[room:]

    def delete(self, at: int, count: int) -> None:
        """Move what stands behind some columns to the left, over them."""
        self.split(at)
        self.split(at + count)
        del self.characters[at : at + count], self.styles[at : at + count]

    def line(self, *, colours: bool) -> str:
        """The row as text, with its end if the line ends here."""
        characters, styles = self.characters[self.skip :], self.styles[self.skip :]
        if self.drawn and not self.soft:
            while characters and characters[-1] == " " and not styles[-1]:
                characters.pop()
                styles.pop()
        lead, end = "" if self.skip else self.lead, "" if self.soft else "\n"
        if not colours or not any(styles):
            return lead + "".join(characters) + end
        parts = [lead]
        for style, run in groupby(zip(styles, characters, strict=True), key=lambda cell: cell[0]):
            text = "".join([character for _, character in run])
            parts.append(f"\x1b[{style}m{text}\x1b[0m" if style else text)
        return "".join(parts) + end
