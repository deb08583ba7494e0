"""One command on its way through the shell: how it is sent, answered and interrupted."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from dataclasses import dataclass

from agent.adapters.backends.commands.subshells import is_forming
from agent.adapters.backends.pty.awaited_input import reads_terminal
from agent.adapters.backends.pty.terminal import PseudoTerminal
from agent.adapters.backends.pty.writer import NonBlockingWriter
from agent.ports import Asked
from agent.processes import children, is_copy
from agent.protocol.control_sequences import without_sequences

QUIET = 0.1
"""Seconds without output before anybody looks whether the program waits for input."""
LOOK_MAX = 0.5
"""Seconds between two such looks at most."""
REPEAT = 10
"""Looks (0.01 s each) until the shell itself is interrupted again: a `$(…)` that it forks may have missed it.

Also those that it gets to start a job before that is interrupted."""
STRANDED = 5
"""Looks in a row that find an interrupted shell reading the terminal until it counts as at a prompt of its own."""
RESCUES = 20
"""How often, in one turn, the shell is brought back from a prompt of its own: it may be interrupted at that, too."""

_MOVE = re.compile(r"\x1b\[[\d;]*[HfdE]")
"""The cursor goes elsewhere on the screen."""
_LADDER = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


@dataclass(slots=True)
class CommandTurn:
    """What is known of the command that runs."""

    number: int
    frame: bytes  # as the driver reads it
    jobs: set[int]  # children that the shell had before it
    said_at: float  # loop time of the last output, or of an answer
    started: bool = False
    interrupts: int = 0
    signalled: int = 0  # process group that has heard the last interrupt
    looks: int = 0  # at a group that has heard it and goes on
    waited: int = 0  # looks at a job that the shell was still starting
    spared: bool = False  # the shell was given a moment to notice the end of its program
    reading: int = 0  # looks in a row at which the shell, interrupted, read the terminal
    rescues: int = 0  # how often it was brought back from a prompt of its own
    asked: Asked | None = None
    look_after: float = QUIET
    line: str = ""  # output since the last line feed, its end

    @property
    def prompt(self) -> str:
        """What stands before the cursor, without control sequences: what a program asks, if it asks anything."""
        return without_sequences(_MOVE.split(self.line)[-1])

    def said(self, text: str, now: float) -> None:
        """Note the last output of the command."""
        self.line = (self.line + text).rpartition("\n")[2][-512:]
        self.stirred(now)

    def stirred(self, now: float) -> None:
        """Note that the program has something to do."""
        self.said_at, self.look_after = now, QUIET

    def press(self, terminal: PseudoTerminal, keyboard: NonBlockingWriter, shell: int) -> None:
        """Signal the foreground group if it has not heard the interrupt: also each one that comes after it.

        Asked once it is Ctrl-C, then SIGTERM, then SIGKILL; the shell itself only ever hears Ctrl-C.
        """
        group = terminal.foreground()
        if not self.started or not self.interrupts or group == 0:
            return
        if group == self.signalled:
            self.looks += 1
            if group != shell or self.looks % REPEAT:
                return  # a program may be tidying up: it is not disturbed
            self._press_stragglers(shell)
        if group == shell and self.signalled not in {0, shell} and not self.spared:
            self.spared = True  # it says 130 by itself; what it hears after that, it answers with an empty line
            return
        if group != shell and self.waited < REPEAT and is_forming(shell, group):
            self.waited += 1
            return
        self.waited = 0
        # A fork of the shell that is about to become the program drops signals: such a group is asked again.
        self.signalled = 0 if group != shell and is_copy(group, shell) else group
        step = 0 if group == shell else min(self.interrupts, len(_LADDER)) - 1
        try:
            os.killpg(group, _LADDER[step])
            if group == shell:
                os.killpg(group, signal.SIGCONT)  # it may have stopped itself
        except ProcessLookupError:
            self.signalled = 0
        except PermissionError:  # another user's program (sudo): the terminal itself may interrupt it
            keyboard.feed(b"\x03")

    def is_stranded(self, terminal: PseudoTerminal, shell: int) -> bool:
        """Whether bash, though it heard the interrupt, waits for a line. Linux only; true a few times at most.

        A command that sets PROMPT_COMMAND and is interrupted before its end leaves bash at a prompt that is not ours.
        """
        if self.rescues == RESCUES or not self.signalled == terminal.foreground() == shell:
            return False
        self.reading = self.reading + 1 if reads_terminal(terminal, shell) else 0
        if self.reading < STRANDED:
            return False
        self.rescues, self.reading, self.looks = self.rescues + 1, 0, 0
        return True

    def _press_stragglers(self, shell: int) -> None:
        """Interrupt what the shell has started in this turn and waits for, though it is not in the foreground.

        A pipeline that was interrupted while it was formed never got there, and bash waits for it, deaf (seen).
        """
        for pid in children(shell) - self.jobs:
            with contextlib.suppress(OSError):
                group = os.getpgid(pid)
                if group != shell:
                    os.killpg(group, signal.SIGINT)
