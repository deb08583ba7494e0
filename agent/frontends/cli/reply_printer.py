"""One turn on stdout and stderr: its reply as it comes, beside it what the agent does, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.client.reading import ReplyText, used
from agent.client.styled_lines import Line
from agent.client.terminal_text import TerminalText, clean
from agent.client.turn_ends import turn_end
from agent.frontends.cli.activity import ActivityLines
from agent.frontends.cli.main import Exit
from agent.frontends.cli.output import Printer
from agent.frontends.cli.screen import SplitScreen
from agent.protocol.events import (
    MessageComplete,
    MessageDelta,
    Payload,
    PlanUpdate,
    SessionInfo,
    ToolComplete,
    ToolStart,
    ToolUpdate,
    TurnComplete,
)
from agent.protocol.excerpts import gap

NOTE_MAX = 4096
"""Characters of what a session says beside its replies."""
_STATUSES = {"success": Exit.OK, "failure": Exit.FAILED, "interrupted": Exit.INTERRUPTED}


class ReplyPrinter:
    """Prints the reply on stdout, and beside it on stderr what the agent does."""

    def __init__(self, printer: Printer, *, as_json: bool) -> None:
        """`as_json`: stdout has the events, so neither is printed."""
        self._printer = printer
        self._as_json = as_json
        self.moves = printer.tty and not printer.dumb and not as_json
        self.screen = SplitScreen(printer, lively=self.moves)
        printer.make_way = self.hide_rows
        self._reply, self._work = ReplyText(), ActivityLines()
        self._filter = TerminalText(color=printer.color)
        self._left_out = 0  # characters of the reply that its device did not keep

    def start_over(self) -> None:
        """Print the reply of another log: nothing of it was printed before."""
        self.end_line()
        self._reply = ReplyText()
        self._left_out = 0

    def show(self, payload: Payload | None, *, merged: bool) -> None:
        """Print what an entry of the turn adds."""
        if isinstance(payload, MessageComplete):
            self._left_out += gap(payload.text)
        match payload:
            case MessageDelta() | MessageComplete():
                text = self._reply.take(payload, merged=merged)
                if text and not self._as_json:
                    self.screen.text(self._filter.feed(text))
            case ToolStart() | ToolUpdate() | ToolComplete() | PlanUpdate():
                self._talk(self._work.lines(payload, merged=merged))
            case _:
                pass

    def tell_info(self, info: SessionInfo, session: str) -> None:
        """Say what the session says beside the reply, and that a full-screen program has its terminal: why it waits."""
        if info.screen:
            self.end_line()
            shows = f"`agent attach --raw {clean(session)}` shows it"
            self._printer.talk(f"{clean(info.screen)} is on the screen, and the turn goes on: {shows}", "yellow")
        if info.note:
            self.end_line()
            self._printer.talk(f"-- {clean(info.note, NOTE_MAX)}", "dim")

    def over(self, turn: TurnComplete) -> Exit:
        """Say how the turn ended; the exit status for that."""
        self.end_line()
        if self._left_out:  # in the middle of a file nobody sees it
            self._printer.talk(f"the reply was too long: {self._left_out:,} characters of it were left out", "yellow")
        end = turn_end(turn)
        if end.word == "failed" or (end.reason and end.outcome == "failure"):
            self._printer.error(end.reason or "the turn failed")
        elif end.reason or (self._printer.err_tty and end.shortfall):
            self._printer.talk(end.reason or end.shortfall, "dim")
        words = used(turn.usage) if turn.usage else []
        if words:
            self._talk([(f"-- {' · '.join(words)}", "dim")])
        return _STATUSES[end.outcome]

    def end_line(self) -> None:
        """End the line that the reply has begun."""
        self.hide_rows()
        self.screen.text(self._filter.end())
        self.screen.end_line()
        self._printer.out.flush()

    def rows(self, moving: Sequence[str]) -> None:
        """Show below the reply what the program may still change, on a terminal: it is drawn over."""
        self.screen.moving(moving)

    def hide_rows(self) -> None:
        """Take the rows that the program may still change off the terminal."""
        self.rows(())

    def _talk(self, lines: Iterable[Line]) -> None:
        # For a person who watches.
        if self._as_json or not self._printer.err_tty:
            return
        for number, (text, style) in enumerate(lines):
            if not number:
                self.end_line()
            self._printer.talk(text, style)
