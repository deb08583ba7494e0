"""One prompt on a terminal, and the program's reply to it: what it writes, without what was typed for it."""

from __future__ import annotations

from agent.adapters.backends.terminal.output import CommandOutput
from agent.adapters.backends.terminal.prompts import TypedLines, without_mark
from agent.protocol.colours import whole_after
from agent.protocol.excerpts import left_out
from agent.protocol.terminal import Size

SAID_MAX = 65_536
"""Characters of one reply that are told as they come. The terminal itself shows everything."""
END_MAX = 16_384
"""Characters of what comes after those that are told at the end of the reply."""
PIECE = 16_384
"""Characters emitted at a time."""


class TerminalTurn:
    """One prompt, and the program's reply to that."""

    def __init__(self, typed: TypedLines, output: CommandOutput, now: float) -> None:
        """Begin with nothing said; `now` is loop time."""
        self.interrupted = False
        self.stirred_at = now  # loop time of the last output, or of what was typed
        self._output = output
        self._typed = typed  # what was typed for it
        self._prompt = 0  # characters before the cursor, once what reads there waits for the next text
        self._shows = False  # rows that may still change
        self._text = ""  # to be said
        self._said = 0  # characters
        self._late = ""  # the end of what came after those
        self._left_out = 0  # characters between the two
        output.begin()

    @property
    def half_line(self) -> bool:
        """Whether the last line that was written has not ended."""
        return self._output.half_line

    def fit(self, size: Size) -> None:
        """Note the size that the terminal has now."""
        self._output.fit(size)

    def heard(self, data: bytes, now: float) -> None:
        """Take output of the program."""
        self.stirred_at = now
        self._output.feed(data, now)
        self._add(self._output.take(now))

    def moving(self, now: float) -> str | None:
        """The rows that may still change, below what `take` gives next; None if there is nothing new about them."""
        self._output.settle(now)
        self._add(self._output.take(now))
        rows = self._output.moving(now)
        if rows is None:
            return None
        rows = self._typed.shown(rows)
        if not rows and not self._shows:
            return None
        self._shows = bool(rows)
        return rows

    def over(self, shell: str, *, edits: bool) -> None:
        """Note that a shell waits for what is typed next (`TypedLines.prompt`): its prompt is no part of the reply."""
        self._prompt = self._typed.prompt(self._output.at_cursor[0], shell, edits=edits)

    def take(self, *, whole: bool) -> str:
        """The next piece of the reply; `whole`: the last line, too, ended or not. Empty: nothing more now."""
        if whole:
            self._add(self._output.end(self._prompt))
        if whole and not self._text:
            self._text = self._end()
        piece, self._text = self._text[:PIECE], self._text[PIECE:]
        return piece

    def _end(self) -> str:
        # What came after the most that is said: how much of it is not there, then its end, from a line's beginning on.
        late, self._late = self._late, ""
        gone, self._left_out = self._left_out, 0
        if not gone:
            return late
        cut = late.find("\n") + 1
        return f"\n{left_out(gone + cut)}: `agent attach --raw` shows them\n{late[cut:]}"

    def _add(self, text: str) -> None:
        text = self._typed.without_echo(text)
        if self._prompt:
            text = without_mark(text)
        room = max(0, SAID_MAX - self._said)
        self._text += text[:room]
        self._said += len(text[:room])
        late = self._late + text[room:]
        cut = whole_after(late, max(0, len(late) - END_MAX))
        self._late = late[cut:]
        self._left_out += cut
