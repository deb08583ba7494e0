"""Copies of the shell: what bash forks is bash until it becomes a program, and takes signals as bash does."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from agent.backends.pty.processes import linux_process

COPIES_MAX = 0.5
"""Seconds to wait for copies of the shell to become a program, to end, or to have nothing to do."""


def forked(pid: int, shell: int) -> bool:
    """Whether a process still is a copy of the shell: a subshell, or a program before its exec. Linux only."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() == Path(f"/proc/{shell}/cmdline").read_bytes()
    except OSError:
        return False


def children(pid: int) -> set[int]:
    """Process ids of the children of a process with one thread. Linux only: elsewhere none are known."""
    try:
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except OSError:
        return set()


async def outlast_copies(shell: int, jobs: set[int]) -> None:
    """Wait for children that are busy copies of the shell, other than its `jobs`. Linux only.

    An interrupt may hit one right after its fork. It then answers as the shell itself does, with an empty line, later
    than the shell has reported (seen on a loaded machine).
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while any(_busy_copy(pid, shell) for pid in children(shell) - jobs):
        if loop.time() - begun >= COPIES_MAX:
            return
        await asyncio.sleep(0.002)


def forming(shell: int, group: int) -> bool:
    """Whether the shell still starts the job that has this group. Linux only: elsewhere it is never known.

    A copy of the shell that still handles SIGINT as the shell does ends with status 130 instead of by the signal, and
    a program that is started after the signal never gets it: then the shell goes on with the next command (seen).
    """
    row = linux_process(shell)
    if row is None:
        return False
    return row.running or any(_deaf_copy(pid, shell, group) for pid in children(shell))


def _deaf_copy(pid: int, shell: int, group: int) -> bool:
    row = linux_process(pid)
    if row is None or row.group != group or not forked(pid, shell):
        return False
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return False
    caught = status.partition("SigCgt:")[2].split()[0]
    return bool(int(caught, 16) >> (signal.SIGINT - 1) & 1)


def _busy_copy(pid: int, shell: int) -> bool:
    row = linux_process(pid)
    return row is not None and row.running and forked(pid, shell)
