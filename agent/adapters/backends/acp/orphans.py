"""What an agent has started and left behind: found, ended and reaped (Linux).

Agents run commands in sessions of their own, which outlive a cancel and the end of the agent's process group (seen:
codex). A process belongs to the session if it carries its mark (`process_owner`) or descended from its agent when that
was ended. While agents run, this service takes orphans in (PR_SET_CHILD_SUBREAPER), so that in a container without an
init nothing is left as a zombie. Orphans of other sessions come here, too: they are left alone, and reaped when they
have ended by themselves. Children that asyncio has started are never waited for: not all that ended (`waitpid(-1)`),
only processes that were seen here as orphans.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

from agent.adapters.backends.process_owner import SESSION_MARK
from agent.processes import Process, descendants_among, environment, process_table
from agent.protocol.model import SessionId

GRACE = 0.3
"""Seconds between SIGTERM and SIGKILL."""
KILLED_SECONDS = 10.0
"""Seconds to wait for processes that were killed; one that is stuck in the kernel is left to it."""
UNCLAIMED = 10.0
"""Seconds after which a child that has ended is an orphan: asyncio takes its own within milliseconds."""
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


class Orphans:
    """The orphans of all agents of a service; one object for all, as taking orphans in is a property of the process."""

    def __init__(self) -> None:
        self._agents: set[int] = set()
        self._unclaimed: dict[tuple[int, int], float] = {}
        self._earlier: set[SessionId] | None = None  # sessions of which something ran when this service started

    def adopt(self, agent: int) -> None:
        """Take in whatever that agent will leave behind."""
        if not self._agents:
            _be_subreaper(on=True)
        self._agents.add(agent)

    def descendants(self, agent: int) -> set[tuple[int, int]]:
        """The processes that descend from the agent and still hang on it; asked before it is ended."""
        return {(row.pid, row.started) for row in descendants_among({agent}, _rows().values())}

    async def clear_up(self, session: SessionId) -> None:
        """End what an earlier service has left of that session; before anything of it is started."""
        if self._earlier is None:
            self._earlier = await asyncio.to_thread(_marks)  # once for all sessions
        if session in self._earlier:
            await self.end(0, session, set())

    async def end(self, agent: int, session: SessionId, known: set[tuple[int, int]]) -> None:
        """End what the agent has left behind, and wait for it; after the agent has ended.

        `known`: its `descendants` before. Other sessions' processes are left alone.
        """
        loop = asyncio.get_running_loop()
        begun, warned = loop.time(), set[tuple[int, int]]()
        # What was warned counts as known: the mark of one that has ended cannot be read any more.
        while left := await asyncio.to_thread(_left, agent, session, known | warned):
            late = loop.time() - begun >= GRACE
            for row in left:
                if row.zombie:
                    self._reap(row)
                elif late or (row.pid, row.started) not in warned:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(row.pid, signal.SIGKILL if late else signal.SIGTERM)
                    warned.add((row.pid, row.started))
            if loop.time() - begun >= KILLED_SECONDS:
                break
            await asyncio.sleep(0.01)
        self._agents.discard(agent)
        self._reap_unclaimed(loop.time())
        if not self._agents:
            _be_subreaper(on=False)

    def _reap(self, row: Process) -> None:
        if row.parent == os.getpid() and row.pid not in self._agents:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(row.pid, os.WNOHANG)

    def _reap_unclaimed(self, now: float) -> None:
        own = os.getpid()
        ended = {(r.pid, r.started): r for r in _rows().values() if r.zombie and r.parent == own}
        self._unclaimed = {key: self._unclaimed.get(key, now) for key in ended}
        for key, since in self._unclaimed.items():
            if now - since >= UNCLAIMED:
                self._reap(ended[key])


def _left(agent: int, session: SessionId, known: set[tuple[int, int]]) -> list[Process]:
    rows = _rows()
    own = os.getpid()
    # This service may carry the mark itself, if an agent has started it: what is below it is not that agent's.
    others = [row for row in rows.values() if row.pid != own]
    first = [row for row in others if (row.pid, row.started) in known or _marked(row, session)]
    mine = [*first, *descendants_among({row.pid for row in first}, others)]
    return [row for row in mine if row.pid != agent and (not row.zombie or row.parent == own)]


def _marked(row: Process, session: SessionId) -> bool:
    return not row.zombie and session in environment(row.pid, SESSION_MARK)


def _marks() -> set[SessionId]:
    alive = (row.pid for row in _rows().values() if not row.zombie)
    return {SessionId(mark) for pid in alive for mark in environment(pid, SESSION_MARK)}


def _rows() -> dict[int, Process]:
    return process_table() if sys.platform == "linux" else {}


def _be_subreaper(*, on: bool) -> None:
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - half a MiB that only services with agents need

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)
