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
