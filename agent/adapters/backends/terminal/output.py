"""What a command has written, as text: told as soon as it cannot change any more, and shown while it may."""

from __future__ import annotations

import re

from agent.protocol.moving_rows import rows_after
from agent.protocol.terminal import Size
from agent.protocol.terminal_lines import TerminalLines, plain

SETTLED = 0.25
"""Seconds without output after which whole lines are told: they will hardly be written over."""
_HOME = re.compile(rb"\x1b\[(?:1?;?1?)H")
"""The cursor goes to the top of the screen."""
PACE = 0.1
"""Seconds between two times that the rows are shown which may still change."""


class CommandOutput:
    """The text of one command after the other, of the whole output of a terminal; times are loop time."""

    def __init__(self, size: Size) -> None:
        self._lines = TerminalLines(*size)
        self._size = size
        self._open = False  # a command runs, and has not written all it had
        self._echo = False  # what comes is not told, unless it turns out to be all that comes
        self._unsettled = False
        self._heard_at = 0.0
        self._shown, self._shown_at, self._changed = "", 0.0, False
        self.homes = 0  # times that the command went to the top of the screen

    def fit(self, size: Size) -> None:
        """Note the size that the terminal has now."""
        if size != self._size:
            self._size = size
            self._lines.resize(*size)

    def feed(self, data: bytes, now: float) -> None:
        """Take output, that of prompts and line editors too: only then are places on the screen right."""
        self._lines.feed(data)
        self.homes += len(_HOME.findall(data))
        self._heard_at, self._unsettled, self._changed = now, True, True
        if not self._open:
            self._lines.take()

    def begin(self, *, echo: bool = False) -> None:
        """A command begins to write; what stands on the screen is not its own.

        With `echo` it is the line editor that writes: nothing of that is told, but by `end`, if no output begins.
        """
        self._lines.begin()
        self._open, self._echo = True, echo
        self._shown, self.homes = "", 0

    def take(self, now: float) -> str:
        """More text of the command, which never changes again; while rows are shown, when other ones may be.

        Lines of a log above a progress bar come together with the bar below them, which does not flicker then.
        """
        return "" if self._shown and now - self._shown_at < PACE else self._taken()

    def settled(self) -> str:
        """Whole lines, at once: something else is to stand behind them."""
        self._lines.settle()
        return self._taken()

    def _taken(self) -> str:
        if not self._tells:
            return ""
        text = self._lines.take()
        if text:
            self._shown = rows_after(self._shown, text)  # what is left of them wherever they are shown
        return text

    def end(self, prompt: int = 0) -> str:
        """The rest of the text of the command, which has written all it had; `prompt` as in `TerminalLines.end`."""
        if not self._open:
            return ""
        self._open = False
        return self._lines.end(prompt)

    @property
    def at_cursor(self) -> tuple[str, str]:
        """What stands before the cursor, in its row, and behind it."""
        return self._lines.at_cursor

    def drop(self) -> None:
        """Tell nothing of what comes until `begin`: it is what is typed in the service's own name."""
        self._lines.end()
        self._open = False

    def calm(self) -> None:
        """The shell itself has the screen again, whatever a program that was killed has left it in."""
        self._lines.calm()

    def settle(self, now: float) -> None:
        """Give whole lines to `take`, if nothing was written for a while."""
        if self._tells and self._unsettled and now - self._heard_at >= SETTLED:
            self._lines.settle()
            self._unsettled, self._changed = False, True

    def moving(self, now: float) -> str | None:
        """The rows that may still change, after what `take` gives; None if they are as they were, or shown just now."""
        if not self._tells or not self._changed or now - self._shown_at < PACE:
            return None
        self._changed = False
        tail = self._lines.tail()
        if tail == self._shown:
            return None
        self._shown, self._shown_at = tail, now
        return tail

    def due(self, now: float) -> float | None:
        """Seconds until `settle` or `moving` have something to do; None if they have not."""
        if not self._tells:
            return None
        settled = [self._heard_at + SETTLED - now] if self._unsettled else []
        moved = [self._shown_at + PACE - now] if self._changed else []
        return max(0.0, min(settled + moved)) if settled or moved else None

    @property
    def _tells(self) -> bool:
        return self._open and not self._echo

    @property
    def half_line(self) -> bool:
        """Whether a line was begun that has not ended."""
        return self._lines.half_line

    @property
    def question(self) -> str:
        """What stands before the cursor: what a program asks, if it asks anything."""
        return plain(self._lines.tail().rpartition("\n")[2]) if self._lines.half_line else ""

    @property
    def screen(self) -> str:
        """What stands on the screen and is nobody's output yet: between two commands, the prompt and what was typed."""
        return plain(self._lines.tail())
