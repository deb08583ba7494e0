"""What a program writes on a terminal, as the text that a person saw there: progress bars, colours and all. Pure.

The whole stream goes through a small screen (`terminal_grid`). A row becomes text when nothing can change it any more:
when it scrolls out, when the turn ends, or when it has been quiet for a while. Of control sequences only colours and
the like remain (SGR), and each line ends without any (T10). Text that is only text is never looked at character by
character: it goes past the screen, but for the last rows. Page: docs/design/terminal.md, "Text".
"""

from __future__ import annotations

import codecs
import re

from agent.protocol.colours import RESET, SGR, plain, whole_before
from agent.protocol.control_sequences import SEQUENCE, begun_at
from agent.protocol.messages import TAIL_MAX
from agent.protocol.terminal_cells import Row, restyled
from agent.protocol.terminal_grid import WORK_MAX, Grid

PENDING_MAX = 262_144
"""Characters that are kept of a line without end before its beginning is given."""
_SCREENS = 4
"""Screens of plain text that wait until all but the last one is given."""

_TOKEN = re.compile(
    rf"(?P<text>[^\x00-\x1f\x7f-\x9f]+)|{SEQUENCE}|(?P<control>[\x00-\x1f\x7f-\x9f])",
)
_ODD = re.compile(
    r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]"
    r"|\x1b(?!\[(?:K|(?!(?:[0-9:]*;)*0*8[;m])[0-9;:]*m))",
)
"""The first character that is not plain: all but text, ends of lines, tabs, colours, and what erases to the right.

A style with the number 8 is not plain either: it may be the one that hides text.
"""
_SHOWS_AGAIN = re.compile(r"\x1b\[\?[0-9;]{0,99}l|\x1bc")
"""What may give the screen back that a program has taken."""
_STYLED_END = re.compile(r"\x1b\[(?!0?m)[0-9:;]*m[^\x1b\n]*(?:\n|\Z)")
"""The end of a line in which the last change of colours was not back to none."""
_BARE_FEED = re.compile(r"(?<!\r)\n")
_ENDS_OF_LINES = re.compile(r"\r+\n")


def is_drawn(text: str) -> bool:
    """Whether a text holds more than lines, tabs and colours: it has to be drawn before it can be read."""
    return _ODD.search(text) is not None or "\x1b[K" in text


class TerminalLines:
    """Makes text of what a program writes on a terminal of that size; lines end in CR LF there."""

    def __init__(self, rows: int, cols: int, *, colours: bool = True) -> None:
        self._colours = colours
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""  # the beginning of a sequence, or of the end of a line
        self._grid = Grid(max(1, rows), max(2, cols), self._leaves)
        self._pending: list[str] = []  # plain text that goes on where the screen ends
        self._pending_lines = self._pending_size = 0
        self._given: list[str] = []

    @property
    def full(self) -> bool:
        """Whether a program has the whole screen (the alternate one), of which nothing becomes text."""
        return self._grid.full

    @property
    def half_line(self) -> bool:
        """Whether the cursor stands in a line with something in it: a question, perhaps."""
        self._settle_pending()
        return bool(self._grid.row.line(colours=False).strip())

    def resize(self, rows: int, cols: int) -> None:
        """Go on with another size of the terminal."""
        self._settle_pending()
        self._grid.resize(max(1, rows), max(2, cols))

    # --- in ----------------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take what the program wrote, in pieces as they come."""
        text = self._held + self._decoder.decode(data)
        end = begun_at(text)
        if text.endswith("\r"):  # the beginning of CR LF?
            end = len(text) - 1
        text, self._held = text[:end], text[end:]
        self._grid.screen.work = WORK_MAX
        if text.count("\n") != text.count("\r\n"):
            text = _BARE_FEED.sub("\x0b", text)
        text = text.replace("\r\n", "\n")
        if "\r\n" in text:
            text = _ENDS_OF_LINES.sub("\n", text)
        self._read(text)

    def _read(self, text: str) -> None:
        at, end = 0, len(text)
        while at < end:
            if self._grid.full:
                found = _SHOWS_AGAIN.search(text, at)
                at = end if found is None else self._draw(text, found.start(), found.end())
                continue
            odd = _ODD.search(text, at)
            plain_end = end if odd is None else text.rfind("\n", at, odd.start()) + 1
            if plain_end > at:
                self._append(text[at:plain_end])
                at = plain_end
            if odd is not None:
                at = self._draw(text, at, text.find("\n", odd.end()) + 1 or end)

    def _append(self, text: str) -> None:
        if not self._pending:
            if not self._grid.straight:
                self._draw(text, 0, len(text))
                return
            if not self._grid.row.empty:  # the line that was begun
                end = self._draw(text, 0, text.find("\n") + 1 or len(text))
                text = text[end:]
                if not text:
                    return
        self._pending.append(text)
        self._pending_lines += text.count("\n")
        self._pending_size += len(text)
        if self._pending_lines >= self._grid.rows * _SCREENS or self._pending_size >= PENDING_MAX:
            self._give_pending()

    def _give_pending(self) -> None:
        """Give what of the pending text has scrolled out by now."""
        text = "".join(self._pending)
        end = len(text)
        for _ in range(self._grid.rows):
            end = text.rfind("\n", 0, end)
            if end < 0:
                break
        end += 1
        if not end and self._pending_size >= PENDING_MAX:  # a line without end
            end = whole_before(text, self._pending_size - PENDING_MAX // 2)
        if not end:
            return
        self._grid.restart()
        self._give_plain(text[:end].replace("\x1b[K", ""))
        self._hold_pending(text[end:])

    def _hold_pending(self, text: str) -> None:
        self._pending = [text] if text else []
        self._pending_lines, self._pending_size = text.count("\n"), len(text)

    def _give_plain(self, text: str) -> None:
        if not self._colours:
            text = plain(text)
        elif self._grid.style or _STYLED_END.search(text):
            text = "".join([self._with_ends(line) for line in text.splitlines(keepends=True)])
        self._given.append(text)

    def _with_ends(self, line: str) -> str:
        """A line that begins with the style that holds, and ends with none."""
        grid = self._grid
        before = f"\x1b[{grid.style}m" if grid.style else ""
        for found in SGR.finditer(line):
            grid.style = restyled(grid.style, found[0][2:-1])
        if not grid.style:
            return before + line
        text = line.removesuffix("\n")
        return f"{before}{text}{RESET}{line[len(text) :]}"

    def _settle_pending(self) -> None:
        """Put the pending text on the screen."""
        if self._pending:
            text = "".join(self._pending)
            self._hold_pending("")
            self._draw(text, 0, len(text))

    def _draw(self, text: str, begin: int, end: int) -> int:
        """Obey what stands there; where that ended, which is earlier if a program takes the whole screen."""
        self._settle_pending()
        grid = self._grid
        for found in _TOKEN.finditer(text, begin, end):
            match found.lastgroup:
                case "text":
                    grid.write(found[0])
                case "control":
                    grid.control(found[0])
                case "final":
                    if found[0][-2] >= "0":  # else it has an intermediate byte: another sequence altogether
                        grid.sequence(found["arguments"], found["final"])
                case _:
                    grid.escape(found[0])
            if grid.full:
                return found.end()
        return end

    # --- out ---------------------------------------------------------------------------------------------------------

    def take(self) -> str:
        """The text that was given since the last time: it never changes again."""
        if self._pending_lines >= self._grid.rows:
            self._give_pending()
        text = "".join(self._given)
        self._given.clear()
        return text

    def settle(self) -> None:
        """Give the lines that are whole, since it has been quiet, unless the program goes up and writes over them."""
        rows = self._rows()[: self._grid.y]
        if self._grid.rose:
            return
        while rows and (rows[-1].soft or rows[-1].empty):  # what the cursor's line begins with, and what may be filled
            rows.pop()
        for row in rows:
            self._leaves(row)

    def tail(self) -> str:
        """The rows that may still change and are not given yet, without the end of the last one."""
        tail: list[str] = []
        room = TAIL_MAX
        for row in reversed(self._rows()):
            news = self._news(row)
            room -= len(news)
            if room < 0:
                break
            tail.append(news)
        return "".join(reversed(tail)).rstrip("\n")

    def begin(self) -> None:
        """Begin a turn: what stands on the screen, and what was given but not taken, is not its own."""
        rows, grid = self._rows(), self._grid
        self._given.clear()
        grid.rose = False
        grid.row.skip = min(grid.x, len(grid.row.characters))
        for row in rows:
            row.given = row.line(colours=self._colours)
        if grid.row.empty:
            grid.row.given = None

    @property
    def at_cursor(self) -> tuple[str, str]:
        """What stands in the row of the cursor, before it and behind it."""
        self._settle_pending()
        row, x = self._grid.row, self._grid.x
        return "".join(row.characters[:x]).ljust(x), "".join(row.characters[x:])

    def end(self, prompt: int = 0) -> str:
        """End a turn: the rest of its text. The last line has no end, if the cursor stands in it.

        So many characters before the cursor, if any, and all behind it are the next prompt, and nothing of the turn.
        """
        rows, grid = self._rows()[:], self._grid
        if prompt:
            rows, whole = rows[: grid.y + 1], grid.row
            rows[-1] = whole.beginning(max(0, len(self.at_cursor[0]) - prompt))
            whole.given = whole.line(colours=self._colours)
        while rows and rows[-1].empty and (len(rows) > grid.y or not rows[-1].ended):
            rows.pop()
        in_last = len(rows) == grid.y + 1 and self._news(rows[-1]) != ""
        for row in rows:
            self._leaves(row)
        text = self.take()
        return text.removesuffix("\n") if in_last else text

    def calm(self) -> None:
        """The program has ended, however it did: nothing that it has switched on or begun holds for those after it.

        What stands behind the cursor goes: left somewhere above by a program, it would be seen in their lines.
        """
        self._held = ""
        self._decoder.reset()
        self._settle_pending()
        self._grid.calm()
        self._grid.row.cut(self._grid.x)
        self._grid.screen.cut(self._grid.y + 1)

    def _rows(self) -> list[Row]:
        """The rows of the screen with all that was written, the cursor's among them."""
        self._settle_pending()
        self._grid.screen.row(self._grid.y)
        return self._grid.screen.shown

    def _leaves(self, row: Row) -> None:
        news = self._news(row)
        if news:
            self._given.append(news)
            row.given = news

    def _news(self, row: Row) -> str:
        """What must be said of a row: nothing, if that was said, or if what was said of it has only been erased."""
        line = row.line(colours=self._colours)
        if row.given is not None and (line == row.given or not plain(line).strip()):
            return ""
        return line


__all__ = ["TAIL_MAX", "TerminalLines", "is_drawn", "plain"]
