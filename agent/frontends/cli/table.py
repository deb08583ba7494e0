"""Tables: they fit their terminal, and what people type is cut last; in a pipe each row is a line of fields and tabs.

On a terminal that is too narrow columns are shortened first (the widest of those that may be), then left out in the
order that the table states; what one types stands to the end. What must never be cut goes on with the next line.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from agent.client.terminal_text import Style, clean, fit, fit_middle, width, wrap

if TYPE_CHECKING:
    from agent.frontends.cli.output import Printer

GAP = 2
NARROWEST = 6
"""Columns that a shortened column keeps when nothing more can be left out."""
INDENT = 2
"""Columns by which what belongs to the row above is set in."""
FIELD_MAX = 65_536
"""Characters of one cell: more than any type of the wire allows."""

Cell = str | tuple[str, Style]
"""Text as it came, which is cleaned here, and perhaps a style; empty: there is nothing to tell."""


class Column(NamedTuple):
    """A column of a table."""

    name: str
    least: int = 0
    """Terminal columns that it keeps as long as others can be left out; 0: it is never shortened."""
    cut: Literal["end", "middle", "wrapped"] = "end"
    typed: bool = False
    """Whether people type what stands in it: shortened after all others, never left out."""
    optional: bool = False
    """Whether it is shown only if some row has something to tell in it; others are blank then, and not "-"."""
    reserved: int = 0
    """Terminal columns that it takes at least, in a table that grows."""


class Heading(NamedTuple):
    """A line above the rows that follow."""

    text: str


class Below(NamedTuple):
    """A line that belongs to the row above it."""

    cell: Cell


Row = Sequence[Cell] | Heading | Below


class Table:
    """Columns in their order, and the names of those that are left out on a narrow terminal, the first one first."""

    def __init__(self, *columns: Column, left_out: Sequence[str] = ()) -> None:
        names = [column.name for column in columns]
        self.columns = columns
        self.left_out = tuple(left_out)
        self._left_out = [names.index(name) for name in left_out]

    def lines(self, printer: Printer, rows: Iterable[Row], *, head: bool = True) -> list[str]:
        """The lines of the table as stdout takes them: a table on a terminal, fields and tabs in a pipe."""
        room = printer.columns
        if room is None:
            return [tabbed(row) for row in rows if not isinstance(row, Heading | Below)]
        return _Drawing(self, printer, room, list(rows)).lines(head=head)

    def widths(self, natural: Sequence[int], room: int, empty: Sequence[bool]) -> dict[int, int]:
        """The columns that are shown in `room` terminal columns, by place, and how wide each is."""
        shown = [at for at, column in enumerate(self.columns) if not (column.optional and empty[at])]
        for gone in (None, *self._left_out):
            if gone in shown:
                shown.remove(gone)
            widths = {at: natural[at] for at in shown}
            for typed in (False, True):
                least = {at: self.columns[at].least for at in shown if self.columns[at].typed is typed}
                _shorten(widths, {at: columns for at, columns in least.items() if columns}, room)
            if _total(widths) <= room:
                return widths
        _shorten(widths, dict.fromkeys(shown, NARROWEST), room)
        return widths


def tabbed(cells: Sequence[Cell]) -> str:
    """A row for a pipe: its fields whole, a tab between two of them, and no tab or line's end within one."""
    return "\t".join(clean(cell if isinstance(cell, str) else cell[0], FIELD_MAX) for cell in cells)


def _total(widths: Mapping[int, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)


def _shorten(widths: dict[int, int], least: Mapping[int, int], room: int) -> None:
    # Caps those columns at the greatest width, the same for all, that makes the table fit; each keeps its least.
    def capped(cap: int) -> dict[int, int]:
        return {at: min(widths[at], max(cap, least[at])) for at in least}

    highest = max((widths[at] for at in least), default=0)
    cap = bisect_right(range(highest + 1), room, key=lambda cap: _total({**widths, **capped(cap)})) - 1
    widths.update(capped(max(cap, 0)))


class _Drawing:
    # One table for one terminal.

    def __init__(self, table: Table, printer: Printer, room: int, rows: Sequence[Row]) -> None:
        self._printer, self._room = printer, room
        self._columns = table.columns
        self._rows = [row if isinstance(row, Heading | Below) else [_cleaned(cell) for cell in row] for row in rows]
        cells = [row for row in self._rows if not isinstance(row, Heading | Below)]
        empty = [not any(row[at][0] for row in cells) for at in range(len(self._columns))]
        natural = [
            max([len(column.name), column.reserved, *(width(row[at][0]) for row in cells)])
            for at, column in enumerate(self._columns)
        ]
        self._widths = table.widths(natural, room, empty)
        last = max(self._widths)
        wrapped = self._columns[last].cut == "wrapped"
        # A wrapped column that became too narrow to be read stands below its row.
        self._beneath = last if wrapped and self._widths[last] < min(natural[last], self._columns[last].least) else None
        if self._beneath is not None:
            without = [0 if at == last else natural[at] for at in range(len(natural))]
            self._widths = table.widths(without, room, empty)
            del self._widths[last]

    def lines(self, *, head: bool) -> list[str]:
        told: list[str] = []
        for row in self._rows:
            if isinstance(row, Heading):
                told += [*([""] if told else []), self._printer.paint(fit(clean(row.text), self._room), "bold")]
            elif isinstance(row, Below):
                text, style = _cleaned(row.cell)
                told.append(self._indented(fit(text, self._room - INDENT), style))
            else:
                if head:
                    told.append(self._printer.paint(self._line([(each.name, "") for each in self._columns]), "bold"))
                    head = False
                told += self._row(row)
        if head:
            told.append(self._printer.paint(self._line([(each.name, "") for each in self._columns]), "bold"))
        return told

    def _row(self, row: Sequence[tuple[str, Style]]) -> list[str]:
        last = max(self._widths) if self._beneath is None else self._beneath
        text, style = row[last]
        if self._beneath is not None:
            return [self._line(row), *(self._indented(line, style) for line in wrap(text, self._room - INDENT))]
        if self._columns[last].cut != "wrapped":
            return [self._line(row)]
        first, *more = wrap(text, self._widths[last]) or [""]
        before = sum(self._widths[at] + GAP for at in self._widths if at != last)
        return [
            self._line([*row[:last], (first, style)]),
            *(" " * before + self._printer.paint(line, style) for line in more),
        ]

    def _indented(self, text: str, style: Style) -> str:
        return " " * INDENT + self._printer.paint(text, style)

    def _line(self, row: Sequence[tuple[str, Style]]) -> str:
        shown: list[str] = []
        left, pad = self._room, 0
        for at, columns in self._widths.items():
            text, style = row[at]
            left -= pad
            if left <= 0:
                break
            cut = fit_middle if self._columns[at].cut == "middle" else fit
            text = cut(text or ("" if self._columns[at].optional else "-"), min(columns, left))
            shown += [" " * pad, self._printer.paint(text, style) if text else ""]
            used = width(text)
            left -= used
            pad = columns - used + GAP
        return "".join(shown).rstrip(" ")


def _cleaned(cell: Cell) -> tuple[str, Style]:
    if isinstance(cell, str):
        return clean(cell, FIELD_MAX).strip(), ""
    return clean(cell[0], FIELD_MAX).strip(), cell[1]
