"""Whether the program in a terminal waits for a person to type.

There is no call that says so. Found by measurement to be right for `read`, `input()`, getpass, ssh-keygen, vim, less
and top, and silent for pipes, `sleep` and busy programs: a terminal whose echo was turned off waits for a secret, one
in raw mode for keys; for a line, a process of the foreground group must be inside read(2) on the terminal (Linux), or
have printed half a line and then nothing for a while (elsewhere).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from agent.backends.pty.processes import linux_process
from agent.backends.pty.terminal import PseudoTerminal
from agent.core.transcript import RequestKind

LONG_QUIET = 1.5
"""Seconds without output after half a line, where the process table says nothing."""

_READ = {"x86_64": "0", "aarch64": "63", "riscv64": "63", "loongarch64": "63"} | dict.fromkeys(
    ("i386", "i686", "armv6l", "armv7l", "ppc64le", "s390x"), "3"
)
_MACHINE = os.uname().machine
_THREADS = 64  # of one process that are looked at


def awaited(terminal: PseudoTerminal, shell: int, *, quiet: float, half_line: bool) -> RequestKind | None:
    """What the foreground program waits for; None if it does not.

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

    None: this system does not tell.
    """
    if _MACHINE not in _READ or not Path(f"/proc/{leader}/syscall").exists():
        return None
    group = terminal.foreground()
    return any(_reads(pid, terminal.name) for pid in _family(leader, group))


def _family(shell: int, group: int) -> Iterator[int]:
    """The shell and its descendants, as far as they are in the process group."""
    left = [shell]
    while left:
        pid = left.pop()
        row = linux_process(pid)
        if row is not None and row.group == group:
            yield pid
        for task in _tasks(pid):
            try:
                left += [int(child) for child in (task / "children").read_text().split()]
            except OSError:
                continue


def _tasks(pid: int) -> list[Path]:
    try:
        return sorted(Path(f"/proc/{pid}/task").iterdir())[:_THREADS]
    except OSError:
        return []


def _reads(pid: int, terminal: str) -> bool:
    for task in _tasks(pid):
        try:
            call = (task / "syscall").read_text().split()
            if call[0] == _READ[_MACHINE]:
                target = (task / "fd" / str(int(call[1], 16))).readlink()
                if str(target) in {terminal, "/dev/tty"}:
                    return True
        except OSError:  # gone, or another user's
            continue
    return False
