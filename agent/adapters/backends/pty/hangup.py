"""The processes of a terminal: which belong to it, and how all of them are ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from agent.processes import of_session

GRACE = 0.5
"""Seconds that programs get to tidy up after SIGHUP."""
KILLED_SECONDS = 5.0
"""Seconds to wait for processes that were killed; one that is stuck in the kernel is left to it."""


async def members(session: int) -> list[int]:
    """Process ids of a terminal session; jobs in groups of their own belong to it, too."""
    return [row.pid for row in await asyncio.to_thread(of_session, session) if not row.zombie]


async def end_session(leader: int, *, leader_reaped: bool) -> None:
    """End every process of the session that `leader` led; returns when they are gone.

    With `leader_reaped` its id may belong to somebody else by now: then nothing is touched.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    warned: set[int] = set()
    while (left := await members(leader)) and loop.time() - begun < KILLED_SECONDS:
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
