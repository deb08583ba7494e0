"""The screen of a terminal as characters in rows, and what control sequences do to it. Pure.

`Grid` obeys what moves the cursor, writes and erases; a row that leaves it at the top is handed over. It knows no turns
and no bytes: `terminal_lines` reads those. Source: ECMA-48 §8.3, "XTerm Control Sequences", DEC's VT100 manual.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from agent.protocol.terminal_cells import Row, columns, restyled

NUMBER_MAX = 9999
"""The largest number that a control sequence may say: no screen has more rows or columns."""
WORK_MAX = 16_384
"""Rows that the sequences in one piece of output may move or erase; those after them do nothing (T11).

Four bytes wipe a whole screen: 64 kB of nothing else would keep the loop busy for seconds. No program comes near.
"""
TAB = 8
"""Columns between two stops of tabs."""

_NARROW = re.compile("[ -\u02ff\u2010-\u2027\u2500-\u25fc\u2800-\u28ff]+|.", re.DOTALL)
"""A stretch of characters that take one column each (Latin, dashes, what boxes and bars are made of), or any other."""
_BOXES = str.maketrans("`abcdefghijklmnopqrstuvwxyz{|}~", "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·")
"""The character set that DEC draws boxes with."""
_HOMES = {"H", "f"}
"""Final characters of what goes to a place: home, and then erase all, is how a screen is wiped, too."""


class Screen:
    """Rows of which some scroll. `leaves` is handed each one that nothing changes any more."""

    def __init__(self, rows: int, leaves: Callable[[Row], None]) -> None:
        self.shown = [Row()]  # those that anything was done with
        self.top, self.bottom = 0, rows - 1  # of the rows that scroll
        self.work = WORK_MAX  # rows that may still be moved or erased
        self._rows = rows
        self._leaves = leaves

    def row(self, y: int) -> Row:
        """The row at that place, which is made if nothing was done with it yet."""
        while len(self.shown) <= y:
            self.shown.append(Row())
        return self.shown[y]

    @property
    def all_scroll(self) -> bool:
        """Whether no row stands still."""
        return (self.top, self.bottom) == (0, self._rows - 1)

    def scrolls(self, y: int) -> bool:
        """Whether that row is among those that scroll."""
        return self.top <= y <= self.bottom

    def scroll_only(self, top: int, bottom: int) -> bool:
        """Let only these rows scroll, if there are two of them; whether there are."""
        if top < bottom:
            self.top, self.bottom = top, bottom
        return top < bottom

    def resize(self, rows: int, y: int) -> int:
        """Have so many rows, the cursor's (`y`) among them. How many have left at the top."""
        self.cut(max(rows, y + 1))
        gone = max(0, len(self.shown) - rows)
        for row in self.shown[:gone]:
            self._leaves(row)
        del self.shown[:gone]
        self._rows, self.top, self.bottom = rows, 0, rows - 1
        return gone

    def restart(self) -> None:
        """Let all rows leave and begin with an empty one."""
        if self.shown[-1].empty:
            self.shown.pop()
        for row in self.shown:
            self._leaves(row)
        self.shown = [Row()]

    def wipe(self, y: int) -> None:
        """Let all rows leave. The empty ones above `y`, where the cursor stays, are no lines of anybody."""
        if self._afford(len(self.shown)):
            while self.shown and self.shown[-1].empty:
                self.shown.pop()
            for row in self.shown:
                self._leaves(row)
            self.shown = [*(Row("\n") for _ in range(y)), Row()]

    def cut(self, y: int) -> None:
        """Erase the rows from this one on."""
        del self.shown[y:]

    def blank(self, y: int) -> None:
        """Erase the rows above this one."""
        for row in self.shown[: self._afford(y)]:
            row.cut(0)

    def feed_line(self) -> None:
        """Move the rows that scroll up by one; the first one leaves."""
        self._leaves(self._pull_up(self.top, Row()))

    def up(self, count: int) -> None:
        """Move the rows that scroll up; those at the top leave."""
        for _ in range(self._afford(count)):
            if self.top < len(self.shown):
                self._leaves(self._pull_up(self.top, Row("\n")))

    def down(self, count: int, begin: int | None = None) -> None:
        """Move rows down, from one on or all that scroll; those at the bottom are lost."""
        begin = self.top if begin is None else begin
        self.row(begin)
        for _ in range(self._afford(count)):
            del self.shown[self.bottom : self.bottom + 1]
            self.shown.insert(begin, Row())

    def delete(self, count: int, y: int) -> None:
        """Erase rows from one on; those below move up."""
        for _ in range(self._afford(count)):
            self._pull_up(y, Row())

    def _pull_up(self, y: int, new: Row) -> Row:
        self.row(y)
        gone = self.shown.pop(y)
        if len(self.shown) >= self.bottom:
            self.shown.insert(self.bottom, new)
        return gone

    def _afford(self, rows: int) -> int:
        """How many of so many rows may be moved or erased."""
        rows = min(rows, self._rows, self.work)
        self.work -= rows
        return rows


class Grid:
    """Rows, a cursor, and what sequences do to them. `leaves` is handed each row that nothing changes any more."""

    def __init__(self, rows: int, cols: int, leaves: Callable[[Row], None]) -> None:
        self.rows, self.cols = rows, cols
        self.screen = Screen(rows, leaves)
        self.y = self.x = 0  # x is `cols` after the last column: the next character begins a row
        self.style = ""
        self.full = False  # the alternate screen is shown, of which nothing is kept
        self.rose = False  # the cursor was moved up
        self._saved = (0, 0, "")
        self._wraps, self._inserts, self._boxes = True, False, False
        self._last = ""  # character
        self._before = ""  # final character of the last sequence

    @property
    def row(self) -> Row:
        """The row of the cursor."""
        return self.screen.row(self.y)

    @property
    def straight(self) -> bool:
        """Whether text would just go on at the end, as on paper."""
        return (
            self.y == len(self.screen.shown) - 1
            and self.x == len(self.row.characters)
            and self.screen.all_scroll
            and self._wraps
            and not (self._inserts or self._boxes or self.full)
        )

    def resize(self, rows: int, cols: int) -> None:
        """Have another size; rows for which there is no room leave at the top."""
        self.y -= self.screen.resize(rows, self.y)
        self.rows, self.cols = rows, cols
        self.x = min(self.x, cols)

    def restart(self) -> None:
        """Let all rows leave and begin with an empty one: what was there has scrolled out."""
        self.screen.restart()
        self.y = self.x = 0

    def wipe(self) -> None:
        """Wipe the screen: what stood there leaves it."""
        self.screen.wipe(self.y)
        self.rose = False

    def calm(self) -> None:
        """Switch off what a program has left on: the alternate screen, rows that stand still, odd ways to write."""
        if self.full:
            self.restore()
            self.full = False
        self.screen.scroll_only(0, self.rows - 1)
        self._wraps, self._inserts, self._boxes = True, False, False

    # --- text --------------------------------------------------------------------------------------------------------

    def write(self, text: str) -> None:
        """Write text without control characters at the cursor."""
        if self._boxes:
            text = text.translate(_BOXES)
        self._last = text[-1]
        if text.isascii():
            self._write_narrow(text)
            return
        for found in _NARROW.finditer(text):
            run = found[0]
            width = 1 if len(run) > 1 else columns(run)
            if width == 1:
                self._write_narrow(run)
            elif width == 0:
                self.row.join(self.x, run)
            else:
                self._write_wide(run)

    def _write_narrow(self, text: str) -> None:
        while text:
            room = self.cols - self.x
            if room <= 0:
                self._wrap()
                room = self.cols - self.x
            piece, text = text[:room], text[room:]
            if self._inserts:
                self.row.insert(self.x, len(piece), self.cols)
            self.row.put(self.x, piece, self.style)
            self.x += len(piece)
        if not self._wraps:
            self.x = min(self.x, self.cols - 1)

    def _write_wide(self, character: str) -> None:
        if self.x + 2 > self.cols:
            if self.row.characters[self.x : self.x + 1] != [""]:
                self.row.cut(self.x)  # what stands in the last column is not a part of the line that goes on below
            self._wrap(2)
        if self._inserts:
            self.row.insert(self.x, 2, self.cols)
        self.row.put(self.x, character, self.style, 2)
        self.x += 2

    def _wrap(self, width: int = 1) -> None:
        if not self._wraps:
            self.x = max(0, self.cols - width)
            return
        self.row.soft = True
        self.index()
        self.x = 0

    def _tab(self) -> None:
        to = min(self.cols - 1, (self.x // TAB + 1) * TAB)
        if self.x < len(self.row.characters):
            self.x = max(self.x, to)
        elif to > self.x:
            self.row.put(self.x, "\t", self.style, to - self.x)
            self.x = to
        else:  # at the right margin: it moves nothing, and stays a part of the text
            self.row.join(self.x, "\t")

    # --- control characters and escapes ------------------------------------------------------------------------------

    def control(self, character: str) -> None:
        """Obey one control character."""
        match character:
            case "\n":
                self.x = 0
                self.index()
            case "\r":
                self.x = 0
            case "\b":
                self.x = max(0, min(self.x, self.cols - 1) - 1)
            case "\t":
                self._tab()
            case "\x0b" | "\x0c":
                self.index()
            case _:
                pass

    def escape(self, sequence: str) -> None:
        """Obey one escape sequence, other than a control sequence."""
        match sequence[1:]:
            case "7":
                self.save()
            case "8":
                self.restore()
            case "D":
                self.index()
            case "E":
                self.x = 0
                self.index()
            case "M":
                self._reverse_index()
            case "c":
                self._reset()
            case "(0":
                self._boxes = True
            case "(B" | "(A":
                self._boxes = False
            case _:
                pass

    def save(self) -> None:
        """Note the cursor and its style."""
        self._saved = (self.y, self.x, self.style)

    def restore(self) -> None:
        """Go where the cursor was noted."""
        y, x, self.style = self._saved
        self.go(y, x)

    def _reset(self) -> None:
        if not self.full:
            self.y = self.x = 0
            self.wipe()
        self.style, self.full = "", False
        self.calm()

    # --- moving ------------------------------------------------------------------------------------------------------

    def index(self) -> None:
        """Move down by one row; at the bottom, all rows move up."""
        self.row.ended = True
        self.x = min(self.x, self.cols - 1)
        if self.y == self.screen.bottom:
            self.screen.feed_line()
        elif self.y < self.rows - 1:
            self.y += 1

    def _reverse_index(self) -> None:
        if self.y == self.screen.top:
            self.screen.down(1)
        else:
            self.go(self.y - 1, self.x)

    def go(self, y: int, x: int) -> None:
        """Move the cursor, within the screen."""
        y = max(0, min(y, self.rows - 1))
        if y < self.y:
            self.rose = True
        self.y, self.x = y, max(0, min(x, self.cols - 1))

    def up(self, count: int, x: int) -> None:
        """Move the cursor up, not beyond the rows that scroll if it is among them."""
        self.go(max(self.y - count, self.screen.top if self.y >= self.screen.top else 0), x)

    def down(self, count: int, x: int) -> None:
        """Move the cursor down, not beyond the rows that scroll if it is among them."""
        self.go(min(self.y + count, self.screen.bottom if self.y <= self.screen.bottom else self.rows - 1), x)

    # --- control sequences -------------------------------------------------------------------------------------------

    def sequence(self, arguments: str, final: str) -> None:
        """Obey one control sequence (CSI)."""
        if final == "m":
            if not arguments.strip("0123456789;:"):
                self.style = restyled(self.style, arguments)
        elif arguments[:1] == "?":
            if final in "hl":
                self._private_modes(arguments[1:].split(";"), on=final == "h")
        elif arguments[:1] not in {"<", "=", ">"}:
            numbers = [min(int(each[:9]), NUMBER_MAX) if each.isdigit() else 0 for each in arguments.split(";", 2)[:2]]
            if final in _MOVES or final in "@P":
                self.x = min(self.x, self.cols - 1)
            if final in _MOVES:
                _MOVES[final](self, max(1, numbers[0]))
            elif final in _EDITS:
                _EDITS[final](self, max(1, numbers[0]))
            elif final in _ACTS:
                _ACTS[final](self, numbers[0], numbers[-1] if len(numbers) > 1 else 0)
        self._before = final

    def _private_modes(self, modes: list[str], *, on: bool) -> None:
        if "7" in modes:
            self._wraps = on
        if "1049" in modes and not self.full:
            if on:
                self.save()
            else:
                self.restore()
        if not {"47", "1047", "1049"}.isdisjoint(modes):
            self.full = on

    def erase_line(self, which: int) -> None:
        """Erase from the cursor on (0), up to it (1) or the whole line (2)."""
        if which == 0:
            self.row.cut(self.x)
        elif which == 1:
            self.row.blank(0, self.x + 1)
        elif which == 2:
            self.row.cut(0)

    def erase_screen(self, which: int) -> None:
        """Erase from the cursor on (0), up to it (1) or the whole screen (2)."""
        if which == 2 or (which == 0 and self.y == self.x == 0 and self._before in _HOMES):
            self.wipe()
        elif which == 0:
            self.row.cut(self.x)
            self.screen.cut(self.y + 1)
        elif which == 1:
            self.screen.blank(self.y)
            self.row.blank(0, self.x + 1)

    def insert_lines(self, count: int) -> None:
        """Move the cursor's row and those below it down."""
        if self.screen.scrolls(self.y):
            self.screen.down(count, self.y)
            self.x = 0

    def delete_lines(self, count: int) -> None:
        """Erase rows from the cursor's on; those below move up."""
        if self.screen.scrolls(self.y):
            self.screen.delete(count, self.y)
            self.x = 0

    def scroll_region(self, top: int, bottom: int) -> None:
        """Let only these rows scroll, counted from 1; 0 is the first or the last one."""
        if self.screen.scroll_only(max(1, top) - 1, min(bottom or self.rows, self.rows) - 1):
            self.go(0, 0)

    def insert_mode(self, mode: int, *, on: bool) -> None:
        """Let what is written move what stands behind it, or replace it."""
        if mode == 4:
            self._inserts = on

    def repeat(self, count: int) -> None:
        """Write the last character again, not more often than a row is long."""
        if self._last:
            self.write(self._last * min(count, self.cols))


_MOVES: dict[str, Callable[[Grid, int], None]] = {
    "A": lambda grid, count: grid.up(count, grid.x),
    "B": lambda grid, count: grid.down(count, grid.x),
    "C": lambda grid, count: grid.go(grid.y, grid.x + count),
    "D": lambda grid, count: grid.go(grid.y, grid.x - count),
    "E": lambda grid, count: grid.down(count, 0),
    "F": lambda grid, count: grid.up(count, 0),
    "G": lambda grid, column: grid.go(grid.y, column - 1),
    "I": lambda grid, count: grid.go(grid.y, (grid.x // TAB + count) * TAB),
    "Z": lambda grid, count: grid.go(grid.y, ((grid.x + TAB - 1) // TAB - count) * TAB),
    "`": lambda grid, column: grid.go(grid.y, column - 1),
    "a": lambda grid, count: grid.go(grid.y, grid.x + count),
    "d": lambda grid, row: grid.go(row - 1, grid.x),
    "e": lambda grid, count: grid.go(grid.y + count, grid.x),
}
"""Final character of a sequence -> what moves the cursor by that number, or to it."""

_EDITS: dict[str, Callable[[Grid, int], None]] = {
    "@": lambda grid, count: grid.row.insert(grid.x, count, grid.cols),
    "P": lambda grid, count: grid.row.delete(grid.x, count),
    "X": lambda grid, count: grid.row.blank(grid.x, grid.x + count),
    "L": lambda grid, count: grid.insert_lines(count),
    "M": lambda grid, count: grid.delete_lines(count),
    "S": lambda grid, count: grid.screen.up(count),
    "T": lambda grid, count: grid.screen.down(count),
    "b": lambda grid, count: grid.repeat(count),
}
"""Final character -> what writes or erases that many cells or rows."""

_ACTS: dict[str, Callable[[Grid, int, int], None]] = {
    "H": lambda grid, row, column: grid.go(max(1, row) - 1, max(1, column) - 1),
    "f": lambda grid, row, column: grid.go(max(1, row) - 1, max(1, column) - 1),
    "J": lambda grid, which, _: grid.erase_screen(which),
    "K": lambda grid, which, _: grid.erase_line(which),
    "h": lambda grid, mode, _: grid.insert_mode(mode, on=True),
    "l": lambda grid, mode, _: grid.insert_mode(mode, on=False),
    "r": lambda grid, top, bottom: grid.scroll_region(top, bottom),
    "s": lambda grid, *_: grid.save(),
    "u": lambda grid, *_: grid.restore(),
}
"""Final character -> what takes two numbers, or none."""
