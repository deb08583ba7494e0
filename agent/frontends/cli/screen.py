"""Output that goes on above what is typed, and above a line that tells what runs, without garbling any of them."""

from __future__ import annotations

import asyncio
import re
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from agent.client.terminal_text import Style, fit, fit_painted, leaves_open, width
from agent.frontends.cli.duration import counted
from agent.frontends.cli.output import Printer
from agent.protocol.colours import SGR

ERASE, UP = "\r\x1b[K", "\x1b[A"
BELOW = "\x1bD"
"""IND: one row down in the same column, scrolling where it must."""
SAVE, BACK = "\x1b7", "\x1b8"
"""DECSC, DECRC: the terminal remembers the place of the cursor, and the colours."""
PLAIN, ERASE_BELOW = "\x1b[m", "\x1b[J"
EVERYTHING = 2**62
HELD_MAX, LINE_MAX = 200, 4096
"""Lines that are held back while the terminal is another's, and the characters of one: the log has all of them."""
TAB = 8
OTHERS = 3
"""Rows of a terminal that what moves leaves to what is said, what runs, and what is typed."""
_PLAIN = frozenset({"\x1b[m", "\x1b[0m"})
_END = re.compile(r"\A((?:\x1b\[[0-9;:]*m)*)\t*\n?")


class _Bottom(NamedTuple):
    # What stands in the rows at the bottom: what the program may still change, what runs, the input line, its cursor.
    live: str = ""
    prompt: str = ""
    shown: str = ""
    cursor: int = 0
    moving: tuple[str, ...] = ()

    @property
    def stays(self) -> bool:
        return bool(self.live or self.shown or self.moving)  # a prompt alone comes back once all is said


class _Held:
    """What is said while the terminal is another's: the last lines of it, and how many are left out."""

    def __init__(self, *, begun: bool) -> None:
        self.begun = begun  # whether output stood in the middle of a line before
        self._lines: deque[str] = deque(maxlen=HELD_MAX)
        self._last = ""
        self._whole = 0

    def add(self, text: str) -> None:
        *lines, self._last = (self._last + text).split("\n")
        self._last = self._last[-LINE_MAX:]
        self._lines.extend(line[-LINE_MAX:] for line in lines[-HELD_MAX:])
        self._whole += len(lines)

    def said(self) -> str:
        left_out = self._whole - len(self._lines)
        first = [*([""] if self.begun else []), f"-- {counted(left_out, 'line')} meanwhile, then:"] if left_out else []
        return "\n".join([*first, *self._lines, self._last])


class SplitScreen:
    """Where a followed session is printed.

    On a terminal (`lively`: stdin too) all goes to stdout, and the last rows are ours: those that the program may still
    change, a line that tells what runs, and the line that is typed. Output goes on above them, in the middle of a line
    too. Elsewhere what the session says goes to stdout and the talk to stderr, and there are no such rows.
    """

    def __init__(self, printer: Printer, *, lively: bool) -> None:
        self.printer, self.lively = printer, lively
        self.skipped = 0  # lines that were left out
        self._skips = 0  # lines that are left out from here on
        self._open = False  # output stands in the middle of a line
        self._filled = 0  # columns of that line, as if the terminal had room for all of it
        self._severed = False  # that line was ended on the screen only: what follows of it begins a row
        self._painted = False  # colours of the output are in force
        self._away = False  # the rows are not drawn
        self._held: _Held | None = None  # what is said meanwhile
        self._bottom = _Bottom()
        self._rows: list[int] = []  # columns of each row of ours that is on the screen
        self._column = 0  # of the last one, where the cursor is
        self._hangs = False  # the terminal remembers where output goes on, and in which colours

    # --- what the session says ---------------------------------------------------------------------------------------

    def text(self, text: str) -> None:
        """Print more of the session's own output."""
        if self._held is not None:
            self._held.add(text)
            self._open = leaves_open(text, before=self._open)
        elif text:
            output = self._erased() + self._written(text)  # before the rows are drawn: each knows where the cursor is
            self._put(output + (self._drawn() if self._bottom.stays else ""))

    def line(self, text: str, style: Style = "") -> None:
        """Print a line of the session's own output."""
        start = "\n" if self._open else ""
        self.text(f"{start}{self.printer.paint(text, style)}\n")

    def notice(self, text: str, style: Style = "dim") -> None:
        """Print a line about the session, for the person."""
        if self.lively:
            self.line(text, style)
            return
        self.end_line()
        if not self._skips:
            self.printer.talk(text, style)

    def end_line(self) -> None:
        """Begin a new line unless one has just begun."""
        if self._open:
            self.text("\n")

    def skip(self, lines: int = EVERYTHING) -> None:
        """Leave out so many of the lines that follow; `skipped` counts them. 0: no more."""
        self._skips = lines

    # --- the rows at the bottom --------------------------------------------------------------------------------------

    def bottom(self, live: str, prompt: str, text: str, cursor: int = 0) -> None:
        """Show what runs, in one clean line, and the input line, its cursor on that character; each if not empty."""
        shown = text.replace("\n", "⏎").replace("\t", " ")
        wanted = _Bottom(live, prompt, shown, cursor, self._bottom.moving)
        drawn = bool(self._rows) or not (wanted.stays or prompt)
        if not drawn or wanted != self._bottom:
            self._draw_anew(wanted)

    def moving(self, rows: Sequence[str]) -> None:
        """Show above them rows of the program, as they came, that it may still change."""
        wanted = self._bottom._replace(moving=tuple(rows))
        if wanted != self._bottom:
            self._draw_anew(wanted)

    def _draw_anew(self, wanted: _Bottom) -> None:
        if self.lively:
            erased = self._erased()
            self._bottom = wanted
            self._put(erased + self._drawn())

    def resized(self) -> None:
        """Draw the rows for the present size; a terminal has wrapped those that are too long for it now."""
        if not self._rows:
            return
        columns = self._columns
        above = sum(max(1, -(-row // columns)) for row in self._rows[:-1]) + self._column // columns
        erased = "\r" + UP * above + ERASE_BELOW
        self._severed |= self._open  # where that line ends now, only the terminal knows
        self._rows, self._hangs = [], False
        self._put(erased + self._drawn())

    def hide(self, *, below: bool = False) -> None:
        """Take the rows away and print nothing, since the terminal is another's, until `come_back`.

        `below`: with the cursor at the start of a row, where what the other one saves of it brings it back to.
        """
        self._put(self._erased() + ("\n" if below and self._open and not self._severed else ""))
        self._away = True
        self._held = self._held or _Held(begun=self._open)

    def come_back(self) -> None:
        """Print what was said meanwhile, the last lines of it, and draw the rows anew, below what others have printed.

        The cursor stands at the start of a row.
        """
        held, self._held = self._held, None
        self._open = held.begun if held is not None else self._open
        self._severed |= self._open
        self._rows, self._hangs, self._away = [], False, False
        self._put(self._drawn())
        self.text(held.said() if held is not None else "")

    def close(self) -> None:
        """Leave the terminal at the start of a line."""
        self.moving(())
        self.bottom("", "", "")
        if self._open and self.printer.tty:
            self._put(self._written("\n"))
        self.printer.out.flush()

    # --- sequences ---------------------------------------------------------------------------------------------------

    @property
    def _columns(self) -> int:
        return self.printer.columns or 80

    def _put(self, text: str) -> None:
        # All at once, so that nothing flickers.
        if text:
            self.printer.out.write(text)
            self.printer.out.flush()

    def _written(self, text: str) -> str:
        begun = self._open
        self._open = leaves_open(text, before=begun)
        if self._skips:
            text = self._left(text)
        painted = SGR.findall(text)
        self._painted = painted[-1] not in _PLAIN if painted else self._painted
        if SGR.sub("", text):
            if self._severed and begun:
                text = _END.sub(r"\1", text, count=1)  # on the screen it has ended already
                begun = False
            self._severed = False
            self._fill(text, begun=begun)
        return text

    def _left(self, text: str) -> str:
        # What of the text is not left out.
        ends = min(text.count("\n"), self._skips)
        self._skips -= ends
        self.skipped += ends
        return "" if self._skips else text.split("\n", ends)[-1]

    def _fill(self, text: str, *, begun: bool) -> None:
        *whole, last = SGR.sub("", text).split("\n")
        filled = self._filled if begun and not whole else 0
        *tabbed, rest = last.split("\t")
        for piece in tabbed:
            filled = _tab(_filled(filled, piece, self._columns), self._columns)
        self._filled = _filled(filled, rest, self._columns)

    def _erased(self) -> str:
        rows, hangs = self._rows, self._hangs
        self._rows, self._hangs = [], False
        if hangs:
            return BACK + PLAIN + ERASE_BELOW + BACK
        return ERASE + (UP + ERASE) * (len(rows) - 1) if rows else ""

    def _drawn(self) -> str:
        if self._away or not (self._bottom.stays or self._bottom.prompt):
            return ""
        columns = self._columns
        room = max(1, self.printer.rows - OTHERS)
        drawn = [fit_painted(row, columns - 1, color=self.printer.color) for row in self._bottom.moving[-room:]]
        rows = [SGR.sub("", row) for row in drawn]
        if self._bottom.live:
            rows.append(fit(self._bottom.live, columns - 1))
            drawn.append(self.printer.paint(rows[-1], "dim"))
        self._column = width(rows[-1]) if rows else 0
        if self._bottom.prompt or self._bottom.shown:
            prompt = fit(self._bottom.prompt, columns // 2)
            shown, behind = window(self._bottom.shown, self._bottom.cursor, columns - width(prompt) - 1)
            rows.append(prompt + shown)
            drawn.append(self.printer.paint(prompt, "cyan") + shown + (f"\x1b[{behind}D" if behind else ""))
            self._column = width(rows[-1]) - behind
        self._rows = [width(row) for row in rows]
        return self._placed(len(rows)) + "\n".join(drawn)

    def _placed(self, rows: int) -> str:
        # Where the rows begin: at the start of one, below a line that is not finished.
        start = ""
        below = self._open and not self._severed
        if below and self._filled and not self._filled % self._columns:
            start = "\n"  # it fills its row: what follows of it begins one anyway
            self._severed = True
            below = False
        self._hangs = below or self._painted
        if not self._hangs:
            return start
        room = rows - 1 + below
        return start + BELOW * room + (f"\x1b[{room}A" if room else "") + SAVE + ("\n" if below else "")


@contextmanager
def redrawn(screen: SplitScreen) -> Iterator[None]:
    """Have the rows of a command that reads no keys drawn anew when the terminal's size changes, or after Ctrl-Z."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, screen.resized)
    loop.add_signal_handler(signal.SIGCONT, screen.come_back)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
        loop.remove_signal_handler(signal.SIGCONT)


def _filled(before: int, text: str, columns: int) -> int:
    # Columns of a wrapped line with more text: a wide character that does not fit a row leaves its last column empty.
    if text.isascii():
        return before + len(text)
    for character in text:
        wide = width(character)
        before += wide + (wide == 2 and before % columns == columns - 1)
    return before


def _tab(before: int, columns: int) -> int:
    # Tabs end before the last column of a row, and do not begin another one.
    at = before % columns
    return before if before and not at else before - at + min(at // TAB * TAB + TAB, columns - 1)


def window(text: str, cursor: int, room: int) -> tuple[str, int]:
    """The part of a line around its cursor that fits so many columns; how many of them stand behind the cursor."""
    before, after = text[:cursor], text[cursor:]
    if width(text) <= room:
        return text, width(after)
    after = fit(after, max(room // 3, room - width(before)))
    left = room - width(after)
    if width(before) > left:
        start = len(before)
        while start and width(before[start - 1 :]) < left:
            start -= 1
        before = "…" + before[start:] if left > 0 else ""
    return before + after, width(after)
