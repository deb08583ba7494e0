"""A terminal as far as `agent attach` uses one: what stands on its screen, and what has scrolled off."""

from __future__ import annotations

import re

from agent.client.terminal_text import width

_PART = re.compile(r"\x1b\[([0-9;?<>]*)([A-Za-z])|\x1b([D78])|[\r\n\t]|[^\x1b\r\n\t]")


class Emulator:
    """Takes what is written (line feeds return, as terminals are set) and keeps its rows. Wraps as xterm does."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.columns, self.rows = columns, rows
        self.scrolled: list[str] = []
        self._grid: list[list[str]] = [[] for _ in range(rows)]
        self._at = self._column = 0
        self._full = False  # the next character goes to the next row
        self._saved = (0, 0, False)
        self._wrapped: set[int] = set()  # ids of rows that go on in the next one

    def feed(self, text: str) -> None:
        """Take what is written."""
        for found in _PART.finditer(text):
            numbers, final, escape = found.groups()
            if final:
                self._control(final, int(numbers) if numbers.isdecimal() else 1)
            elif escape:
                self._escape(escape)
            else:
                self._take(found.group())

    def lines(self) -> list[str]:
        """All rows, those that have scrolled off first, without what is empty at the end."""
        shown = self.scrolled + ["".join(row).rstrip() for row in self._grid]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    @property
    def cursor(self) -> tuple[int, int]:
        """The row of `lines`, and the column, in which the cursor is."""
        return len(self.scrolled) + self._at, self._column

    def resize(self, columns: int) -> None:
        """Become narrower, with every row that is too long wrapped, as tmux and most terminals do."""
        rows: list[list[str]] = []
        cursor = 0, 0
        for number, row in enumerate(self._grid[: self._at + 1]):
            pieces = [row[i : i + columns] for i in range(0, len(row), columns)] or [[]]
            if number == self._at:
                cursor = len(rows) + self._column // columns, self._column % columns
            rows += pieces
        self.columns = columns
        self._at, self._column = cursor
        self._full = False
        while len(rows) > self.rows:
            self.scrolled.append("".join(rows.pop(0)).rstrip())
            self._at -= 1
        self._grid = rows + [[] for _ in range(self.rows - len(rows))]

    def _take(self, character: str) -> None:
        if character == "\r":
            self._column, self._full = 0, False
        elif character == "\n":
            self._down()
            self._column = 0
        elif character == "\t":
            self._column = min(self._column // 8 * 8 + 8, self.columns - 1)
        else:
            self._print(character)

    def _print(self, character: str) -> None:
        if self._full or self._column + width(character) > self.columns:
            self._down()
            self._column = 0
        row = self._grid[self._at]
        row += [" "] * (self._column + width(character) - len(row))
        row[self._column : self._column + width(character)] = [character] + [""] * (width(character) - 1)
        self._column += width(character)
        if self._column == self.columns:
            self._column -= 1
            self._full = True

    def _down(self) -> None:
        self._full = False
        self._at += 1
        if self._at == self.rows:
            self.scrolled.append("".join(self._grid.pop(0)).rstrip())
            self._grid.append([])
            self._at -= 1

    def _escape(self, which: str) -> None:
        if which == "D":
            self._down()
        elif which == "7":
            self._saved = self._at, self._column, self._full
        else:
            self._at, self._column, self._full = self._saved

    def _control(self, final: str, number: int) -> None:
        row = self._grid[self._at]
        if final == "A":
            self._at, self._full = max(0, self._at - number), False
        elif final == "D":
            self._column, self._full = max(0, self._column - number), False
        elif final in "KJ":
            del row[self._column :]
        if final == "J":
            for each in self._grid[self._at + 1 :]:
                each.clear()
