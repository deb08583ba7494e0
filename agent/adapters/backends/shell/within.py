"""Shells within the shell of a session: which one waits at its prompt, and how the marks are brought into it.

A shell that a command starts (`bash`, `su`, `ssh`, a container's) tells nothing by marks: it looks like any program
that waits for keys. Bringing the marks in means typing a line into somebody's shell, so it is offered and never forced.
Source: docs/design/shell.md, "Shells within".
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from agent.adapters.backends.pty.terminal import PseudoTerminal
from agent.adapters.backends.shell.box import Box
from agent.adapters.backends.shell.launch import INTEGRATION
from agent.adapters.backends.terminal.launch import words_of
from agent.processes import command_line, process_name
from agent.protocol.events import Choice

MARKS, LEAVE = "marks", "leave"
"""Ids of what may be done with a shell within."""
_FILES = {"bash": "bash.rc", "zsh": "zsh/marks.zsh", "fish": "config.fish"}


class ShellWithin:
    """Recognises a shell within one session's shell."""

    def __init__(self, terminal: PseudoTerminal, own: int, box: Box) -> None:
        """`own`: process id of the session's shell."""
        self._terminal, self._own, self._box = terminal, own, box
        self._words: list[str] = []  # as the shell was started; another one has taken its place (`exec`) with others
        self.know_own()

    def know_own(self) -> None:
        """Note the words by which the session's shell was started: there are none in the midst of its start."""
        self._words = self._words or words_of(self._own)

    def kind(self) -> str:
        """The kind of the shell that has the keyboard and tells nothing; empty if it is none that could."""
        group = self._terminal.foreground()
        if self._terminal.mode() != "raw" or (group == self._own and command_line(group) == self._words):
            return ""
        name = process_name(group)
        return name if name in _FILES and self._reaches(group, name) else ""

    def _reaches(self, pid: int, kind: str) -> bool:
        """Whether that process finds the box and our file: not in a container, not as another user."""
        root = Path("/proc", str(pid), "root")
        try:
            may = root.parent.stat().st_uid in {os.geteuid(), 0}
            return may and all((root / str(path).lstrip("/")).exists() for path in (self._box.path, _file(kind)))
        except OSError:
            return False

    @staticmethod
    def choices(kind: str) -> tuple[Choice, ...]:
        """What may be done with it, beside typing a line."""
        return (
            Choice(
                id=MARKS,
                name="bring the marks in",
                description=f"its commands are turns, too: a line is typed into {kind}",
            ),
            Choice(id=LEAVE, name="end it", description="Ctrl-D"),
        )

    def keys(self, kind: str, answer: str) -> bytes:
        """What to type there for an answer."""
        if answer == LEAVE:
            return b"\x04"
        line = self._line(kind) if answer == MARKS else answer.replace("\n", "\r")
        return f"{line}\r".encode(errors="replace")

    def _line(self, kind: str) -> str:
        # With a blank in front: no shell that is set so has it in its history.
        box, file = shlex.quote(str(self._box.path)), shlex.quote(str(_file(kind)))
        return f" set -gx LAN_AGENT_BOX {box}; source {file}" if kind == "fish" else f" LAN_AGENT_BOX={box} . {file}"


def _file(kind: str) -> Path:
    return INTEGRATION / _FILES[kind]
