"""Which session a process belongs to: what an agent starts may not act in the owner's name (T9).

Three signs, each enough: the process or an ancestor is a program of a session; one of them shares the terminal session
of such a program; one of them was started with the mark that every program of a session is given. The last sign finds
what has cut itself loose (`setsid`, double fork), also when its session was closed since. A program that also clears
its environment is not found: it has the owner's user id and is not held back by this, only by a sandbox
(docs/security.md).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping, Sequence

from agent.processes import ancestors, environment
from agent.protocol.model import SessionId

SESSION_MARK = "LAN_AGENT_SESSION"
"""Environment variable of programs in a session: its id."""


async def owning_session(
    caller: int | None, programs: Mapping[SessionId, Sequence[int]], closed: Collection[SessionId] = ()
) -> SessionId | None:
    """The session in which process `caller` runs, of these with the processes they run; None: in none of them.

    `closed`: sessions of which only the mark of a program that outlived them tells. A caller that is not known, or has
    ended already, may hide anything: then it belongs to one of them, whichever. Where the system never tells who calls,
    only live sessions count, or the owner could do nothing here once a session was closed.
    """
    if not programs and not closed:
        return None
    lineage = await asyncio.to_thread(ancestors, caller) if caller else []
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


def _terminal(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _marked(pid: int, sessions: tuple[Collection[SessionId], ...]) -> SessionId | None:
    marks = (SessionId(value) for value in environment(pid, SESSION_MARK))
    return next((mark for mark in marks if any(mark in known for known in sessions)), None)
