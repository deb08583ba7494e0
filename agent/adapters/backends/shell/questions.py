"""What commands ask at their terminal: seen by how the terminal is set and who reads from it, and answered on it."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from agent.adapters.backends.pty.awaited_input import awaited_input
from agent.adapters.backends.pty.terminal import PseudoTerminal
from agent.adapters.backends.pty.typing import typed_answer
from agent.adapters.backends.shell.turn import QUIET, ShellTurn
from agent.adapters.backends.shell.within import MARKS, ShellWithin
from agent.adapters.backends.terminal.output import CommandOutput
from agent.ports import TURN_OVER, Asked, BackendEvent, Withdrew
from agent.protocol.events import Answer, RequestKind

LOOK_MAX = 0.5
"""Seconds between two looks at most."""
NEXT_LINE = 0.02
"""Seconds until the next line of an answer may be wanted."""
WORDLESS = 1.0
"""Seconds without output after which keys are asked for without words: a program may be about to draw its screen, and
the shell has the terminal, too, while it starts one."""
ENTER = b"\r"
"""The end of a line for a line editor."""

WENT_ON = "the command went on without an answer"


class Questions:
    """The questions of one shell's commands, one at a time."""

    def __init__(
        self,
        terminal: PseudoTerminal,
        shell: int,
        output: CommandOutput,
        within: ShellWithin,
        *,
        tell: Callable[[BackendEvent], None],
        press: Callable[[bytes], None],
        pastes: Callable[[], bool],
    ) -> None:
        """Ask nothing yet. `shell`: its process id; `press` types on the terminal; `pastes`: a program hears pastes."""
        self._terminal, self._shell = terminal, shell
        self._output, self._within = output, within
        self._tell, self._press, self._pastes = tell, press, pastes
        self._dropped = False  # the line that brings the marks in is on its way, which is not told
        self._count, self._prefix = 0, secrets.token_hex(4)

    def awaited(self, quiet: float) -> RequestKind | None:
        """What the program in the foreground waits for, `quiet` seconds after the last output."""
        return awaited_input(self._terminal, self._shell, quiet=quiet, half_line=self._output.half_line)

    def look(self, turn: ShellTurn, quiet: float, *, full: bool, starts: bool = False) -> None:
        """See whether the command waits for a person, and tell when that changes.

        `full`: it has the whole screen, where nobody can tell what it asks. `starts`: start-up files wait for keys.
        """
        if turn.asked is None and quiet < turn.look_after:
            return
        kind = None if full else self.awaited(quiet)
        raw = kind == "keys"
        kind = "line" if raw and self._edits() else kind
        if turn.lines and kind in {"line", "secret"} and not self._terminal.unread():
            self._type_line(turn)
            return
        if raw and not starts and self._is_early(turn, quiet):
            kind = None
        turn.look_after = min(turn.look_after * 1.5, LOOK_MAX)
        within = self._within.kind() if raw and kind is not None and not turn.unfinished else ""
        if within:
            kind = "choices"
        if turn.asked is not None and turn.asked.kind != kind:
            self.withdraw(turn)
        if kind is not None and turn.asked is None:
            self._count += 1
            if self._dropped:  # the marks did not get in
                self._dropped = False
                self._output.begin()
            turn.asked = self._question(f"{self._prefix}-{self._count}", kind, within)
            self._tell(turn.asked)

    def _question(self, request_id: str, kind: RequestKind, within: str) -> Asked:
        if not within:
            return Asked(request_id=request_id, kind=kind, prompt=self._output.question)
        return Asked(
            request_id=request_id, kind=kind, choices=self._within.choices(within), own_words=True,
            prompt=f"{within} runs within, and waits for a line", tool_name=within,
        )  # fmt: skip

    def answer(self, turn: ShellTurn | None, request_id: str, answer: Answer) -> None:
        """Type an answer (`typed`), if that is asked. Raises: BadParams, TooLarge.

        A secret is typed only while the terminal does not show it.
        """
        if turn is None or turn.asked is None or turn.asked.request_id != request_id:
            return
        kind = turn.asked.kind
        within = turn.asked.tool_name
        data = self._within.keys(within, str(answer)) if within else typed_answer(kind, answer)
        turn.asked, turn.look_after = None, QUIET
        if within and answer == MARKS:
            self._dropped = True
            self._output.drop()
        if within or kind == "keys":
            self._press(data)
        elif kind == "line" or self._terminal.mode() == "no-echo":
            lines = data.splitlines(keepends=True)
            turn.lines = [part for line in lines for part in _for_editor(line)] if self._edits() else lines
            self._type_line(turn)

    def _edits(self) -> bool:
        """Whether a line editor waits, be it of another user's program, or behind `ssh`: what does hears pastes."""
        return self._terminal.edits_lines() or (self._terminal.mode() == "raw" and self._pastes())

    def withdraw(self, turn: ShellTurn) -> None:
        """Take back what the command has asked, if it has."""
        if turn.asked is not None:
            asked, turn.asked = turn.asked, None
            self._tell(Withdrew(asked.request_id, TURN_OVER["interrupted"] if turn.interrupts else WENT_ON))

    def _is_early(self, turn: ShellTurn, quiet: float) -> bool:
        """Whether it is too early to say that keys are asked for: by a program without words, by the shell itself."""
        itself = self._terminal.foreground() == self._shell
        if itself and turn.number and not turn.sent:
            return True  # it has a prompt, and no marks
        return quiet < WORDLESS and (itself or not self._output.question)

    def _type_line(self, turn: ShellTurn) -> None:
        # One at a time: what the program does not read would be a command for the shell.
        line = turn.lines.pop(0)
        if line != ENTER or self._edits():  # it was enough without
            self._press(line)
        turn.look_after = NEXT_LINE if turn.lines else QUIET


def _for_editor(line: bytes) -> list[bytes]:
    """A line as it is typed into a line editor: Enter comes when that has read the rest, if it wants more then."""
    text = line.rstrip(b"\n")
    return [part for part in (text, ENTER if text != line else b"") if part]
