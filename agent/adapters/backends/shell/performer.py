"""Carries out what the states of a shell decide: keys are pressed on its terminal, and events are told, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from agent.adapters.backends.pty.typing import LINE_MAX
from agent.adapters.backends.shell.box import Box
from agent.adapters.backends.shell.guessed import GuessedShell
from agent.adapters.backends.shell.launch import Shell
from agent.adapters.backends.shell.questions import Questions
from agent.adapters.backends.shell.states import (
    Cancel,
    EchoBegan,
    Effect,
    GiveBack,
    Guessing,
    NotRun,
    OutputBegan,
    OutputEnded,
    PressKey,
    RanBefore,
    ShellStates,
    TurnOver,
    TypeText,
)
from agent.adapters.backends.shell.turn import ShellTurn
from agent.adapters.backends.shell.within import ShellWithin
from agent.adapters.backends.terminal.launch import RunningProgram
from agent.adapters.backends.terminal.output import CommandOutput
from agent.adapters.backends.terminal.screen import TYPED_MAX, ProgramScreen
from agent.ports import Asked, BackendEvent, Described, Finished, Prompted, Said
from agent.processes import process_name
from agent.protocol.events import TurnStatus
from agent.protocol.model import NAME_MAX
from agent.protocol.names import clean
from agent.protocol.terminal import Size

KEY, GIVE_BACK_KEY = b"\x1b[983041u", b"\x1b[983042u"
"""Keys that no keyboard has, as fish 4 reads them, too: the shell takes what is in the box; a half line comes back."""
UNWATCHED = Size(24, 120)
"""Size of the terminal until somebody attaches."""
INTERRUPTED_STATUS = 130
"""Exit status of what was interrupted."""
MISSING = "some of the output is missing: the service was away\n"
LATE = "the prompt waits for them, the session's screen shows what they do, an interrupt stops them"
PIECE = 16_384
"""Characters emitted at a time."""
QUEUE_MAX = 65_536
"""Characters that wait to be emitted; then the terminal is not read."""


class Performer:
    """Carries out effects for one shell session; `events` are for the session to emit."""

    def __init__(
        self, shell: Shell, running: RunningProgram, box: Box, states: ShellStates, screen: ProgramScreen
    ) -> None:
        self._shell, self._terminal, self._box = shell, running.terminal, box
        self._states, self._screen = states, screen
        self._loop = asyncio.get_running_loop()
        self.at_prompt = asyncio.Event()  # the shell has had a prompt
        self.output = CommandOutput(UNWATCHED)
        self.guessed = GuessedShell(
            shell, running.terminal, running.process.pid, self._loop.time(),
            stands=lambda: self.output.screen.rstrip("\n").rpartition("\n")[2],
        )  # fmt: skip
        self._within = ShellWithin(running.terminal, running.process.pid, box)
        self.questions = Questions(
            running.terminal, running.process.pid, self.output, self._within,
            tell=self._ask, press=self.press, pastes=lambda: screen.pastes,
        )  # fmt: skip
        self.events, self._said = deque[BackendEvent](), 0
        self._held = bytearray()  # keys of a person, for the prompt that follows
        self.stirred_at = self._loop.time()  # when something was last written, or typed from here
        self.program = shell.program  # what runs, and how
        self._own = self._telling = running.process.pid  # of the session's shell, and of that which tells
        self.first_words, self.directory = "", ""

    def carry(self, effects: Iterable[Effect]) -> None:
        """Carry out what the states have decided."""
        if self._states.pid != self._telling:
            self._name_shell(self._states.pid)
        for effect in effects:
            match effect:
                case PressKey():
                    self._press_key()
                case TypeText(turn):
                    self._type(turn)
                case GiveBack():
                    self.press(GIVE_BACK_KEY)
                case Cancel():
                    self.press(self._terminal.interrupt_key())
                case Guessing(how):
                    self._guess(how)
                case _:
                    self._follow(effect)
        if self._states.state == "prompt":
            self._within.know_own()  # before a command puts another shell in its place
            self.at_prompt.set()
        self._release()

    def _follow(self, effect: Effect) -> None:
        """Tell what a command does."""
        match effect:
            case EchoBegan():
                self.output.begin(echo=True)
            case OutputBegan(turn):
                self._begin(turn)
            case OutputEnded():
                self.say(self.output.end())
            case TurnOver(turn, status):
                self.say(self.guessed.rest(self.output, marked=self._states.marked))
                if self._states.marked:
                    self.output.calm()
                self._finish(turn, status)
            case RanBefore(turn):
                self.say(MISSING + self.output.end())
                self._finish(turn, None)
            case NotRun():
                self._refuse(effect)

    def press(self, keys: bytes) -> None:
        """Type on the terminal, in the service's own name."""
        self.stirred_at = self._loop.time()
        self._screen.keyboard.feed(keys)

    def _type(self, turn: ShellTurn) -> None:
        keys = self.guessed.keys(
            turn.text, self.output.at_cursor, marked=self._states.marked, pastes=self._screen.pastes
        )
        if keys:
            self._begin(turn)
            self.press(keys)
        else:
            self.carry(self._states.not_typed(f"a terminal takes lines of up to {LINE_MAX:,} bytes"))

    def _guess(self, how: str) -> None:
        self.program = self._shell.told(how)
        self.tell(Described(program=self.program))
        self.tell_late()
        self.first_words += f"{how}\n" if how else ""
        if self._states.typing:
            self._box.put(0, "")  # a key that is heard late finds nothing to run

    def tell_late(self) -> None:
        """Say that a prompt waits for start-up files that take long, if one does."""
        if self.guessed.late and self._states.waiting is not None and self._states.state == "starting":
            self.tell(Described(note=f"{self.program}; {LATE}"))

    def _name_shell(self, pid: int) -> None:
        """Say which shell it is that tells now: one within, or that around it again."""
        self._telling = pid
        name = "" if pid == self._own else clean(process_name(pid), NAME_MAX) or "a shell"
        self.program = f"{name}, within {self._shell.program}" if name else self._shell.program
        note = f"{name} goes on, and its commands are turns from now on; `exit` leads back" if name else ""
        self.tell(Described(program=self.program, note=note))

    def _press_key(self) -> None:
        turn = self._states.waiting
        assert turn is not None
        if self._terminal.mode() == "raw":
            turn.tries += 1
            self.press(KEY)
        else:
            turn.sent = False  # its line editor is not there, or not yet

    def _begin(self, turn: ShellTurn) -> None:
        if not turn.number:
            known = not turn.doubtful or turn.text in self.output.screen
            self.tell(Prompted(text=turn.text if known else "", typed=True))
        self.output.end()
        self.output.begin()
        words, self.first_words = self.first_words, ""
        self.say(words)

    def _refuse(self, refused: NotRun) -> None:
        if refused.reason:
            self.output.end()
            self.tell(Finished(status="error", error=refused.reason, cwd=self.directory))
            return
        # Nothing ran: what stands below the line that was typed is what the shell says about it.
        lines = self.output.end().split("\n")
        said = "\n".join(lines[refused.turn.text.count("\n") + 1 :])
        self.say(said)
        self._finish(refused.turn, refused.status if said.strip() else 0)

    def _finish(self, turn: ShellTurn, status: int | None) -> None:
        if turn.number and (status is None or turn.interrupts):
            done = self._box.done()  # written before its mark, which an interrupt may have dropped
            status = done.status if done is not None and done.number == turn.number else status
        self.questions.withdraw(turn)
        if self._states.directory != self.directory:
            self.directory = self._states.directory
            self.tell(Described(cwd=self.directory))
        # What ignored every interrupt has ended by itself; what was not run, or not seen to end, has none of its own.
        by_itself = turn.ignored and status not in {None, INTERRUPTED_STATUS}
        over: TurnStatus = "interrupted" if turn.interrupts and not by_itself else "complete"
        self.tell(Finished(status=over, exit_status=status, cwd=self.directory, typed=not turn.number))

    def typed(self, data: bytes) -> bytes:
        """What of a person's keys is typed now: the rest of a line whose beginning is put away comes behind that."""
        turn = self._states.running or self._states.waiting
        asks = self._screen.full or (turn is not None and turn.asked is not None)
        if not self._states.away or asks or self._terminal.interrupts(data) or len(self._held) > TYPED_MAX:
            self._states.typed(data)
            return data
        self._held += data
        self._states.held = True
        return b""

    def _release(self) -> None:
        if self._held and not self._states.away:
            data, self._held, self._states.held = bytes(self._held), bytearray(), False
            self._states.typed(data)
            self.press(data)
            self.carry(self._states.offer())

    def say(self, text: str) -> None:
        """Tell more text of the reply."""
        for start in range(0, len(text), PIECE):
            self.tell(Said(text[start : start + PIECE]))

    def tell(self, event: BackendEvent) -> None:
        """Have an event emitted, behind those before it; if too much text waits, the terminal is not read."""
        self.events.append(event)
        if isinstance(event, Said):
            self._said += len(event.text)
            if self._said > QUEUE_MAX:
                self._screen.hold(held=True)

    def _ask(self, event: BackendEvent) -> None:
        if isinstance(event, Asked):
            self.say(self.guessed.output(self.output.settled()))  # what stands before the question comes before it
        self.tell(event)

    def emitted(self) -> None:
        """Note that all events were taken: the terminal may be read again."""
        self._said = 0
        self._screen.hold(held=False)
