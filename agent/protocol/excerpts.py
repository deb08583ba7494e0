"""Text that there is no room for: its beginning and its end stay, and at its place stands how much was left out.

The end has the error, the beginning says of what. Source: docs/design/sessions.md, "What is left out".
"""

from __future__ import annotations

import re

from agent.protocol.events import Diff

MARK_MAX = 64
"""Characters of a line that says how much was left out."""
GAP = "\n… what follows is left out, until its end\n"
"""Streams where the first character of a reply is left out: how many there are is known at the end."""
_GAP = re.compile(re.escape(GAP) + r"… (\d{1,3}(?:,\d{3})*) characters left out\n")


def left_out(count: int, what: str = "characters") -> str:
    """The line that stands for what was left out."""
    return f"… {count:,} {what} left out"


def gap(text: str) -> int:
    """How many characters were left out of the middle of a whole reply."""
    found = _GAP.search(text)
    return int(found[1].replace(",", "")) if found else 0


def shortened(text: str, limit: int) -> str:
    """A text in at most `limit` characters: two thirds of them from its beginning, the others from its end."""
    if len(text) <= limit:
        return text
    room = limit - MARK_MAX
    if room <= MARK_MAX:
        return text[:limit]
    tail = room // 3
    mark = left_out(len(text) - room)
    return f"{text[: room - tail]}\n{mark}\n{text[len(text) - tail :]}"


class Excerpt:
    """The beginning and the end of a text that comes in pieces, in at most `limit` characters."""

    def __init__(self, limit: int) -> None:
        self._tail_max = (limit - MARK_MAX) // 3
        self._head_max = limit - MARK_MAX - self._tail_max
        self.head = ""  # its beginning
        self._tail = ""
        self._left_out = 0

    def add(self, text: str) -> None:
        """Take more of the text."""
        room = self._head_max - len(self.head)
        self.head += text[:room]
        tail = self._tail + text[room:]
        kept = tail[-self._tail_max :]
        self._left_out += len(tail) - len(kept)
        self._tail = kept

    @property
    def text(self) -> str:
        """The text, with how much of it was left out."""
        mark = f"\n{left_out(self._left_out)}\n" if self._left_out else ""
        return self.head + mark + self._tail


def shortened_diff(diff: Diff, limit: int) -> Diff:
    """A diff with as many whole lines as fit so many characters; it keeps the counts of all its lines."""
    if len(diff.patch) <= limit:
        return diff
    lines = lines_of_patch(diff)
    added, removed = changed_lines(diff)
    kept: list[str] = []
    size = MARK_MAX
    for line in lines:
        size += len(line) + 1
        if size > limit:
            break
        kept.append(line + "\n")
    cut = len(lines) - len(kept) + diff.cut
    patch = "".join(kept) + f"\\ {left_out(cut, 'lines')}\n" if limit > MARK_MAX else ""
    return Diff(path=diff.path, patch=patch, added=added, removed=removed, cut=cut)


def changed_lines(diff: Diff) -> tuple[int, int]:
    """How many lines a diff adds and removes, those that were left out included."""
    if diff.cut:
        return diff.added, diff.removed
    lines = lines_of_patch(diff)
    return sum(line.startswith("+") for line in lines), sum(line.startswith("-") for line in lines)


def lines_of_patch(diff: Diff) -> list[str]:
    """The lines of a diff, without the last one if that only says how many were left out."""
    lines = diff.patch.removesuffix("\n").split("\n") if diff.patch else []
    return lines[:-1] if diff.cut and lines and lines[-1].startswith("\\ ") else lines
