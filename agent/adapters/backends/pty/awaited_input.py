"""Detects whether the program in a terminal waits for a person to type.

There is no call that says so. Found by measurement to be right for `read`, `input()`, getpass, ssh-keygen, vim, less
and top, and silent for pipes, `sleep` and busy programs: a terminal whose echo was turned off waits for a secret, one
in raw mode for keys; for a line, a process of the foreground group must be inside read(2) on the terminal (Linux), or
have printed half a line and then nothing for a while (elsewhere).
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.adapters.backends.pty.terminal import PseudoTerminal
from agent.processes import children, find_process, reads_from, tells_reads
from agent.protocol.events import RequestKind

LONG_QUIET = 1.5
"""Seconds without output after half a line, where the process table says nothing."""


def awaited_input(terminal: PseudoTerminal, shell: int, *, quiet: float, half_line: bool) -> RequestKind | None:
    """The kind of input that the foreground program waits for; None if it does not wait for any.

    `quiet`: seconds since the last output. `half_line`: whether that did not end in a line feed.
    """
    mode = terminal.mode()
    if mode == "no-echo":
        return "secret"
    if mode == "raw":
        return "keys"
    reading = reads_terminal(terminal, shell)
    if reading is not None:
        return "line" if reading else None
    return "line" if half_line and quiet >= LONG_QUIET else None


def reads_terminal(terminal: PseudoTerminal, leader: int) -> bool | None:
    """Whether a foreground process, `leader` or a descendant, is inside read(2) on the terminal.

    Not before what it has written was read: its question is part of that. None: this system does not tell.
    """
    if not tells_reads(leader):
        return None
    if terminal.has_output():
        return False
    group = terminal.foreground()
    return any(_reads(pid, terminal.name) for pid in _family(leader, group))


def _family(shell: int, group: int) -> Iterator[int]:
    """The shell and its descendants, as far as they are in the process group."""
    left = [shell]
    while left:
        pid = left.pop()
        row = find_process(pid)
        if row is not None and row.group == group:
            yield pid
        left += children(pid)


def _reads(pid: int, terminal: str) -> bool:
    return any(file in {terminal, "/dev/tty"} for file in reads_from(pid))
