"""One command in a shell: how far it is, and how it is interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass, field

from agent.adapters.backends.pty.terminal import PseudoTerminal
from agent.adapters.backends.pty.writer import NonBlockingWriter
from agent.ports import Asked
from agent.processes import find_process, ignores, is_copy

QUIET = 0.1
"""Seconds without output before anybody looks whether the program waits for input."""
AGAIN = 0.3
"""Seconds after which what interrupts is typed once more, for what did not have the keyboard then."""


@dataclass(slots=True)
class ShellTurn:
    """What is known of one command: a prompt, or a line that a person has typed."""

    number: int  # of the prompt; 0: typed by a person
    text: str
    doubtful: bool = False  # the text is what history has last: it may be of another line
    sent: bool = False  # the key was pressed for it
    lost: bool = False  # the shell has read something else since
    taken: bool = False  # the shell has taken it out of the box
    unseen: bool = False  # it may run: the mark of its beginning may have gone to a service that is no more
    spared: bool = False  # the start-up files that it waits for were interrupted, and not it
    unfinished: bool = False  # the shell that runs it tells nothing, and shows that it wants more
    tries: int = 0  # times that the key was pressed
    interrupts: int = 0
    presses: int = 0  # of what interrupts
    ignored: bool = False  # whatever should have heard an interrupt ignores it: how the command ends is its own affair
    pressed: int = 0  # process group that has heard the last interrupt
    forming: bool = False  # that was a copy of the shell still: before it becomes the program it may lose the key
    pressed_at: float | None = None  # loop time
    lines: list[bytes] = field(default_factory=list)  # of an answer, to be typed when the program reads again
    asked: Asked | None = None
    look_after: float = QUIET

    def press(self, terminal: PseudoTerminal, keyboard: NonBlockingWriter, shell: int, now: float) -> None:
        """Interrupt what has the keyboard: asked once by the terminal's key, then SIGTERM, then SIGKILL.

        The shell itself only ever hears the key.
        """
        group = terminal.foreground()
        self.pressed, self.pressed_at = group, now
        self.presses += 1
        self.forming = group != shell and is_copy(group, shell)
        self.ignored = ignores(group, signal.SIGINT) and (self.ignored or self.presses == 1)
        row = find_process(shell)
        if row is not None and row.state in "Tt":
            os.kill(shell, signal.SIGCONT)
        if self.interrupts > 1 and group not in {0, shell}:
            self.ignored = False
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGTERM if self.interrupts == 2 else signal.SIGKILL)
                os.killpg(group, signal.SIGCONT)
                return
        if keyboard.left:
            keyboard.forget()  # what interrupts is heard by a program that does not read, too
            terminal.forget_input()
        keyboard.feed(terminal.interrupt_key())

    def press_again(self, terminal: PseudoTerminal, keyboard: NonBlockingWriter, shell: int, now: float) -> None:
        """Interrupt the shell once more, and what came to the foreground since; a program may be tidying up.

        Not what ignores it: each key drops what was written to the terminal and not read yet.
        """
        group = terminal.foreground()
        if (group == shell or group != self.pressed or self.forming) and not ignores(group, signal.SIGINT):
            self.press(terminal, keyboard, shell, now)
