"""Where a shell is, by its marks: a state machine that answers with what follows.

It knows no terminal and no clock. The head of `integration/bash.rc` has the marks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

from agent.adapters.backends.shell.marks import ShellMark, directory
from agent.adapters.backends.shell.turn import ShellTurn

State = Literal["starting", "between", "prompt", "cancelled", "running"]
"""Start-up files are read; a command is over, the prompt not there yet; the line editor waits, or holds a line that was
refused; a command runs."""
NOT_RUN = {
    "unfinished": "not run: the text is unfinished (a quote, a bracket, `do`, `then`, or what ends a here-document)",
    "syntax": "not run: the shell finds an error in the syntax",
}
"""Why a shell has refused a prompt, by the reason that it gives."""


LATER = ("again", "more")
"""Reasons for which a prompt is offered once more at the next prompt of the shell: it had to mend its hooks first, or a
person is in the middle of a command of several lines."""


class PressKey(NamedTuple):
    """Press the key at which the shell takes its next line out of the box."""


class TypeText(NamedTuple):
    """Type a prompt and Enter, as a person would: the shell does not know our key."""

    turn: ShellTurn


class Guessing(NamedTuple):
    """Tell how commands are run from now on, and why; empty: as usual."""

    how: str


class GiveBack(NamedTuple):
    """Press the key at which the shell gives back the half line that a person had typed."""


class RanBefore(NamedTuple):
    """The shell has heard the key for a prompt that it had run already."""

    turn: ShellTurn


class Cancel(NamedTuple):
    """Press what interrupts: the shell wants more of a line that was refused."""


class EchoBegan(NamedTuple):
    """The shell has taken a prompt: what comes is its line editor, until the output begins."""


class OutputBegan(NamedTuple):
    """A command runs, and what comes is its output."""

    turn: ShellTurn


class OutputEnded(NamedTuple):
    """The command has written all it had; its status comes later."""


class TurnOver(NamedTuple):
    """A command has ended."""

    turn: ShellTurn
    status: int | None  # None: nobody knows


class NotRun(NamedTuple):
    """The shell has refused a prompt, or found nothing to run in it."""

    turn: ShellTurn
    status: int | None  # of what it says instead; None: it says nothing
    reason: str = ""


Effect = (
    PressKey
    | RanBefore
    | TypeText
    | Guessing
    | GiveBack
    | Cancel
    | EchoBegan
    | OutputBegan
    | OutputEnded
    | TurnOver
    | NotRun
)


@dataclass(slots=True)
class ShellStates:
    """The state of one shell, and what it was asked to run."""

    pid: int  # of the shell that tells: the session's own, or one within
    early: bool = False  # its D comes before `exit` is heeded (fish): a turn is over at the next prompt only
    state: State = "starting"
    waiting: ShellTurn | None = None  # the prompt that has not begun to run
    running: ShellTurn | None = None  # what runs, of a prompt or typed by a person
    ended: tuple[ShellTurn, int | None] | None = None  # what is over if a prompt follows, and its status
    around: list[int] = field(default_factory=list)  # process ids of the shells around that one, outermost first
    directory: str = ""
    touched: bool = False  # a person has typed something and not entered it
    entered: bool = False  # a person's Enter is on its way: what we type now would go to what that starts
    ahead: bool = False  # the same while a command ran: the shell may read it as its next line
    held: bool = False  # keys of a person wait, which come first
    half: bool = False  # a person had typed something when the key was pressed
    settling: bool = False  # something was interrupted just now: the shell may hear of it while it takes a prompt
    typing: bool = False  # prompts are typed: the shell does not hear the key
    marked: bool = False  # it tells where it is
    kept: bool = False  # a half line of a person waits to be given back

    def prompt(self, turn: ShellTurn) -> list[Effect]:
        """Ask the shell to run what is in the box."""
        self.waiting = turn
        return self.offer()

    def offer(self) -> list[Effect]:
        """Press the key, if the shell is at its prompt and was not asked yet."""
        turn = self.waiting
        if turn is None or turn.sent or self.state != "prompt" or self.entered or self.settling or self.held:
            return []
        turn.sent = True
        if self.typing:
            self.waiting, self.running, self.state = None, turn, "running"
            return [TypeText(turn)]
        self.half = self.touched
        return [PressKey()]

    def offer_again(self) -> list[Effect]:
        """Press the key once more, which the shell has not heard; the number keeps it from running twice."""
        turn = self.waiting
        if turn is None or not turn.sent or turn.taken or turn.interrupts:
            return []
        turn.sent = turn.lost = False
        return self.offer()

    def typed(self, data: bytes) -> None:
        """Note what a person types."""
        self.touched = True
        if b"\r" in data or b"\n" in data:
            self.entered = self.entered or self.state == "prompt"
            self.ahead = self.ahead or self.state != "prompt"

    @property
    def away(self) -> bool:
        """Whether a half line of a person may be put away: what they type on belongs behind it."""
        taking = self.waiting is not None and self.waiting.sent
        return not self.typing and (taking or self.kept or (self.half and self.state != "prompt"))

    def mark(self, mark: ShellMark) -> list[Effect]:
        """Take a mark of the shell."""
        heed = self._HEEDS.get(mark.kind)
        moved = self._moved(mark) if mark.pid != self.pid else []
        if heed is None or mark.pid != self.pid:
            return moved
        self.marked = self.marked or mark.kind in "ABCD"
        return [*moved, *heed(self, mark)]

    def _moved(self, mark: ShellMark) -> list[Effect]:
        """Another shell tells: one within, which begins to, or the one around it, as that has ended."""
        if mark.pid in self.around:
            del self.around[self.around.index(mark.pid) :]
            self.pid = mark.pid
            return []
        if mark.kind not in "ABD" or self.running is None:
            return []
        self.around.append(self.pid)
        self.pid = mark.pid
        return self._over(None)  # what started it is over for us: prompts are for the shell within now

    def at_prompt(self) -> list[Effect]:
        """The line editor waits: as it says, or as it looks."""
        self.touched = self.touched and not self.entered and not self.ahead
        self.settling = self.settling or self.ahead
        self.state, self.entered, self.ahead = "prompt", False, False
        self.half = self.half and self.waiting is not None and self.waiting.sent
        back: list[Effect] = [GiveBack()] if self.kept and (self.waiting is None or not self.waiting.sent) else []
        self.kept = self.kept and not back
        return [*back, *self.offer()]

    def seen_idle(self) -> list[Effect]:
        """The shell waits for a line, and the mark that would have told so is lost: what was interrupted is over."""
        over = self._over(130)
        turn = self.waiting
        if turn is None or not turn.interrupts:
            return [*over, *self.at_prompt()]
        self.waiting = None
        over.append(TurnOver(turn, 130))
        if not turn.taken:
            return [*over, *self.at_prompt()]
        self.state = "cancelled"  # the text may still stand in the line editor
        return [*over, Cancel()]

    def seen_waiting(self) -> list[Effect]:
        """The shell waits for a line, and tells nothing by marks."""
        return [*self._over(None), *self.at_prompt()]

    def seen_over(self, turn: ShellTurn, status: int | None) -> list[Effect]:
        """A prompt has ended, and its marks are lost."""
        self.running = self.waiting = self.ended = None
        return [TurnOver(turn, status), *self.at_prompt()]

    def not_typed(self, reason: str) -> list[Effect]:
        """A prompt cannot be typed."""
        turn, self.running, self.state = self.running, None, "prompt"
        assert turn is not None
        return [NotRun(turn, None, f"not run: {reason}")]

    def give_up(self) -> list[Effect]:
        """Forget a prompt that was not sent: it was interrupted before."""
        turn, self.waiting = self.waiting, None
        return [TurnOver(turn, None)] if turn is not None else []

    # --- inside ------------------------------------------------------------------------------------------------------

    def _prompt_begins(self, mark: ShellMark) -> list[Effect]:
        return self._over(mark.number(0))

    def _prompt_ends(self, _: ShellMark) -> list[Effect]:
        return [*self._over(None), *self.at_prompt()]

    def _wants_more(self, _: ShellMark) -> list[Effect]:
        if self.waiting is None or not self.waiting.taken:
            return []  # a person goes on on another line
        self.state = "cancelled"
        return [Cancel(), *self._refused("unfinished")]

    def _taken(self, mark: ShellMark) -> list[Effect]:
        if self.waiting is None or mark.number(0) != self.waiting.number:
            return []
        self.waiting.taken = True
        self.kept = bool(mark.number(1))
        return [EchoBegan()]

    def _not_taken(self, mark: ShellMark) -> list[Effect]:
        turn, reason = self.waiting, mark.rest(1)
        if turn is None or mark.number(0) != turn.number:
            return []
        if reason in LATER:
            turn.sent, self.state = False, "between"
            return []
        if reason == "old":
            self.waiting = None
            return [RanBefore(turn)]
        return self._refused(reason)

    def _output_begins(self, mark: ShellMark) -> list[Effect]:
        if self.typing and self.running is not None and self.running.number and not self.running.taken:
            self.running.taken = True
            return [OutputBegan(self.running)]
        name = mark.fields[1] if len(mark.fields) > 1 else ""
        if self.running is not None and self.running.unseen and name == f"n{self.running.number}":
            self.running.unseen, self.state = False, "running"
            return [OutputBegan(self.running)]
        over = self._over(None)
        own = self.waiting
        if own is not None and (name == f"n{own.number}" or (name == "d" and own.taken)):
            self.waiting = None
            turn = own
        else:
            turn = ShellTurn(0, _typed_line(name), doubtful=name.startswith("d"))
        self.running, self.state, self.entered = turn, "running", False
        return [*over, OutputBegan(turn)]

    def _output_ends(self, _: ShellMark) -> list[Effect]:
        return [OutputEnded()] if self.running is not None else []

    def _command_ends(self, mark: ShellMark) -> list[Effect]:
        self.directory = directory(mark.rest(2)) or self.directory
        return self._ended(mark.number(1))

    def _over(self, status: int | None) -> list[Effect]:
        """A prompt or the next command begins: what ran before is over, whether it said so or not."""
        running, ended = self.running, self.ended
        if running is not None and running.unseen:
            return []  # the prompt may be that before it, drawn again
        self.running = self.ended = None
        if running is not None:
            self.state = "between"
            return [TurnOver(running, status)]
        return [TurnOver(*ended)] if ended is not None else []

    def _ended(self, status: int | None) -> list[Effect]:
        self.state, self.entered = "between", False
        running, self.running = self.running, None
        if running is not None and self.early:
            self.ended = running, status
            return [OutputEnded()]
        if running is not None:
            return [TurnOver(running, status)]
        turn = self.waiting
        if turn is None or not turn.sent:
            return []
        if turn.taken or turn.interrupts:
            self.waiting = None
            return [TurnOver(turn, 130)] if turn.interrupts else [NotRun(turn, status)]
        turn.lost = True
        return []

    def _refused(self, reason: str) -> list[Effect]:
        turn, self.waiting = self.waiting, None
        assert turn is not None
        return [NotRun(turn, None, NOT_RUN.get(reason, f"not run: {reason}"))]

    _HEEDS: ClassVar[Mapping[str, Callable[[ShellStates, ShellMark], list[Effect]]]] = {
        "A": _prompt_begins,
        "B": _prompt_ends,
        "K": _wants_more,
        "T": _taken,
        "R": _not_taken,
        "C": _output_begins,
        "E": _output_ends,
        "D": _command_ends,
    }
    """What follows from each kind of mark. `S`, the start of start-up files, says nothing by itself."""


def _typed_line(name: str) -> str:
    try:
        return bytes.fromhex(name[1:]).decode(errors="replace") if name[:1] in {"t", "d"} else ""
    except ValueError:
        return ""
