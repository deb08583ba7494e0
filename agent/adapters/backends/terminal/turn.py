"""One prompt on a terminal, and the program's reply to it: what it writes, without what was typed for it."""

from __future__ import annotations

from agent.adapters.backends.terminal.output import CommandOutput
from agent.protocol.colours import plain, whole_after
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

    def __init__(self, text: str, output: CommandOutput, now: float) -> None:
        """Begin with nothing said; `now` is loop time."""
        self.interrupted = False
        self.stirred_at = now  # loop time of the last output, or of what was typed
        self._output = output
        self._echo = text.strip().split("\n")  # lines that will come back
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
        rows, echo = without_echo(rows, self._echo)
        if echo and echo[0].startswith(plain(rows).strip()):
            rows = ""  # it is coming back just now
        if not rows and not self._shows:
            return None
        self._shows = bool(rows)
        return rows

    def take(self, *, whole: bool) -> str:
        """The next piece of the reply; `whole`: the last line, too, ended or not. Empty: nothing more now."""
        if whole:
            self._add(self._output.end())
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
        if self._echo and text:
            text, self._echo = without_echo(text, self._echo)
        room = max(0, SAID_MAX - self._said)
        self._text += text[:room]
        self._said += len(text[:room])
        late = self._late + text[room:]
        cut = whole_after(late, max(0, len(late) - END_MAX))
        self._late = late[cut:]
        self._left_out += cut


def without_echo(text: str, echo: list[str]) -> tuple[str, list[str]]:
    """A text without the lines that were typed, after a prompt each perhaps, and which of those may still come."""
    while echo and text:
        line, _, rest = text.partition("\n")
        if not plain(line).rstrip().endswith(echo[0]):
            return text, []
        text, echo = rest, echo[1:]
    return text, echo
