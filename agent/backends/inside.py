"""Whether a process runs inside a session, and in which: what an agent starts may not act in the owner's name (T9).

Three signs, each enough: it or an ancestor is a program of a session; it or an ancestor shares the terminal session of
one; it or an ancestor was started with the mark that every program of a session is given. The last one finds what has
cut itself loose (`setsid`, double fork), also when its session was closed since. A program that also clears its
environment is not found: it has the owner's user id and is not held back by this, only by a sandbox
(docs/security.md).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from agent.core.records import SessionId

MARK = "LAN_AGENT_SESSION"
"""Environment variable of programs in a session: its id."""
DEPTH_MAX = 256
"""Ancestors that are looked at."""


class _Process(NamedTuple):
    pid: int
    parent: int
    session: int


async def session_of(
    caller: int | None, programs: Mapping[SessionId, Sequence[int]], closed: Collection[SessionId] = ()
) -> SessionId | None:
    """The session in which process `caller` runs, of these with the processes they run; None: in none of them.

    `closed`: sessions of which only the mark of a program that outlived them tells. A caller that is not known, or has
    ended already, may hide anything: then it is one of them, whichever. Where the system never tells who calls, only
    live sessions count, or the owner could do nothing here once a session was closed.
    """
    if not programs and not closed:
        return None
    lineage = list(_ancestors(caller, await _table())) if caller else []
    if not lineage:
        return next(iter([*programs, *closed] if caller else programs), None)
    own = os.getsid(0)
    running = {pid: session for session, pids in programs.items() for pid in pids}
    terminals = {leader: running[pid] for pid in running if (leader := _terminal(pid)) not in {None, own}}
    for process in lineage:
        if process.pid == os.getpid():
            return None  # whatever this service was itself started from
        found = running.get(process.pid) or terminals.get(process.session) or _marked(process.pid, (programs, closed))
        if found is not None:
            return found
    return None


def _ancestors(pid: int, table: Mapping[int, _Process] | None) -> Iterator[_Process]:
    for _ in range(DEPTH_MAX):
        process = _linux(pid) if table is None else table.get(pid)
        if process is None:
            return
        yield process
        if process.parent <= 0:
            return
        pid = process.parent


def _linux(pid: int) -> _Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    _, parent, _, session = text.rpartition(")")[2].split()[:4]  # the name in front may hold anything
    return _Process(pid, int(parent), int(session))


async def _table() -> dict[int, _Process] | None:
    # None: /proc answers for each process. Elsewhere one listing for all.
    if os.uname().sysname == "Linux":
        return None
    listing = await asyncio.create_subprocess_exec(
        "ps", "-A", "-o", "pid=,ppid=", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await listing.communicate()
    rows = (line.split() for line in out.decode(errors="replace").splitlines())
    return {int(pid): _Process(int(pid), int(parent), _terminal(int(pid)) or 0) for pid, parent in rows}


def _terminal(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _marked(pid: int, sessions: tuple[Collection[SessionId], ...]) -> SessionId | None:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None  # another user's, or no /proc
    for entry in environment.split(b"\0"):
        name, _, value = entry.partition(b"=")
        session = SessionId(value.decode(errors="replace"))
        if name == MARK.encode() and any(session in known for known in sessions):
            return session
    return None
