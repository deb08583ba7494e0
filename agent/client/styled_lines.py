"""Several lines that came from the network, made fit for a terminal: cleaned, bounded, what is left out said (T10)."""

from __future__ import annotations

from collections.abc import Sequence

from agent.client.terminal_text import Style, clean, plain
from agent.protocol.events import Diff
from agent.protocol.excerpts import changed_lines, left_out, lines_of_patch

Line = tuple[str, Style]
"""A line and how it is painted; the style never alone carries meaning."""

LONG = 2000
"""Characters shown of one line."""
DIFF_MAX = 80
"""Lines shown of one diff."""
INDENT = "    "
_STYLES: dict[str, Style] = {"+": "green", "-": "red", "@": "cyan", "\\": "dim"}


def shown(line: str) -> str:
    """A line cleaned, its tabs as spaces. Nothing is cut in silence: a person decides by what is shown."""
    line = line.expandtabs(4)
    rest = len(line) - LONG
    return clean(line, LONG) + (f" {left_out(rest)}" if rest > 0 else "")


def block(lines: Sequence[str], most: int, style: Style = "") -> list[Line]:
    """The first lines of several, indented, and how many follow."""
    told: list[Line] = [(INDENT + shown(line), style) for line in lines[:most]]
    return [*told, *_left_out(len(lines) - most)]


def output_lines(text: str) -> list[str]:
    """The lines of a program's output, without its colours and other sequences."""
    return plain(text if text.endswith("\n") else text + "\n").splitlines()


def diff_lines(diff: Diff) -> list[Line]:
    """A diff as lines: the file, how many of all its lines come and go, and which."""
    added, removed = changed_lines(diff)
    head = f"  {clean(diff.path, LONG)} (+{added} -{removed})"
    return [(head, "bold"), *painted_patch(lines_of_patch(diff), DIFF_MAX, cut=diff.cut)]


def painted_patch(lines: Sequence[str], most: int, *, cut: int = 0) -> list[Line]:
    """Lines of a unified diff: those that come begin with + and are green, those that go with - and are red.

    `cut`: lines that follow and are not here.
    """
    told: list[Line] = [(INDENT + shown(line), _STYLES.get(line[:1], "")) for line in lines[:most]]
    return [*told, *_left_out(max(0, len(lines) - most) + cut)]


def _left_out(count: int) -> list[Line]:
    return [(INDENT + left_out(count, "lines"), "dim")] if count > 0 else []
