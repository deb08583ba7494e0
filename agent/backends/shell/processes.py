"""The processes of a terminal: which belong to it, and how all of them are ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import NamedTuple

GRACE = 0.5
"""Seconds that programs get to tidy up after SIGHUP."""
COPIES_MAX = 0.5
"""Seconds to wait for copies of the shell to become a program, to end, or to have nothing to do."""
PATIENCE = 5.0
"""Seconds to wait for processes that were killed; one that is stuck in the kernel is left to it."""


class Process(NamedTuple):
    """A row of the process table."""

    pid: int
    group: int
    session: int
    running: bool  # or about to be; else it waits for something


def linux_process(pid: int) -> Process | None:
    """The row of a process in /proc; None if it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, _, group, session = text.rpartition(")")[2].split()[:4]  # the name in front may hold anything
    return None if state in "ZX" else Process(pid, int(group), int(session), state in "RD")


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


async def members(session: int) -> list[int]:
    """Process ids of a session: jobs in groups of their own too."""
    if os.uname().sysname == "Linux":
        rows = (linux_process(int(name)) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - names only
        return [row.pid for row in rows if row is not None and row.session == session]
    listing = await asyncio.create_subprocess_exec(
        "ps", "-A", "-o", "pid=,stat=", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await listing.communicate()
    found = []
    for line in out.decode(errors="replace").splitlines():
        pid, state = line.split()[:2]
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if not state.startswith("Z") and os.getsid(int(pid)) == session:
                found.append(int(pid))
    return found


async def end_session(leader: int, *, leader_reaped: bool) -> None:
    """End every process of the session that `leader` led; returns when they are gone.

    With `leader_reaped` its id may belong to somebody else by now: then nothing is touched.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    warned: set[int] = set()
    while (left := await members(leader)) and loop.time() - begun < PATIENCE:
        if leader_reaped and leader in left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if loop.time() - begun >= GRACE:
                    os.kill(pid, signal.SIGKILL)
                elif pid not in warned:
                    os.kill(pid, signal.SIGHUP)
                    os.kill(pid, signal.SIGCONT)  # a stopped job hears it too
        warned.update(left)
        await asyncio.sleep(0.01)
