"""Subshells: what bash forks is bash until it becomes a program, and takes signals as bash does."""

from __future__ import annotations

import asyncio
import signal

from agent.processes import catches, children, find_process, is_copy

COPIES_MAX = 0.5
"""Seconds to wait for copies of the shell to become a program, to end, or to have nothing to do."""


async def outlast_busy_copies(shell: int, jobs: set[int]) -> None:
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


def is_forming(shell: int, group: int) -> bool:
    """Whether the shell still starts the job that has this group. Linux only: elsewhere it is never known.

    A copy of the shell that still handles SIGINT as the shell does ends with status 130 instead of by the signal, and a
    program that is started after the signal never gets it: then the shell goes on with the next command (seen).
    """
    row = find_process(shell)
    if row is None:
        return False
    return row.running or any(_deaf_copy(pid, shell, group) for pid in children(shell))


def _deaf_copy(pid: int, shell: int, group: int) -> bool:
    row = find_process(pid)
    return row is not None and row.group == group and is_copy(pid, shell) and catches(pid, signal.SIGINT)


def _busy_copy(pid: int, shell: int) -> bool:
    row = find_process(pid)
    return row is not None and row.running and is_copy(pid, shell)
