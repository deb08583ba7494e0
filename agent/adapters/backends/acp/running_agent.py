"""A running agent: its process and the session in it. One session of ours may outlive several agents."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from agent.adapters.backends.acp.connection import Connection
from agent.adapters.backends.acp.handshake import AgentClient
from agent.adapters.backends.acp.orphans import Orphans
from agent.adapters.backends.acp.process import AgentProcess, launch
from agent.adapters.backends.acp.timeouts import Timeouts
from agent.protocol.model import SessionId


class AgentProgram(Struct, frozen=True, kw_only=True):
    """How an agent is started: its command line, environment and way to log in."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = {}  # beside the service's own
    login: str = ""  # how a person logs in, outside of a session


class RunningAgent:
    """A running agent. `session` is its own id of the session, once that is open."""

    def __init__(self, process: AgentProcess, client: AgentClient, owner: SessionId, orphans: Orphans) -> None:
        self.process, self.client = process, client
        self.connection = client.connection
        self.session = ""
        self.leaving = False  # whether it is being ended by us
        self.noted = False  # whether somebody was told that it writes what is no message
        self.over = False  # whether nothing is left of it
        self._owner, self._orphans = owner, orphans
        self._ending = asyncio.Lock()

    @property
    def reachable(self) -> bool:
        """Whether the agent can be talked to."""
        return self.connection.open and not self.leaving

    async def end(self) -> None:
        """End the agent and all that it has started, and wait for that. Idempotent."""
        self.leaving = True
        async with self._ending:
            if not self.over:
                known = await asyncio.to_thread(self._orphans.descendants, self.process.pid)
                await self.process.stop(heeds_eof=self.client.quirks.heeds_eof)
                await self._orphans.end(self.process.pid, self._owner, known)
                self.over = True


async def start_agent(
    program: AgentProgram, folder: Path, owner: SessionId, orphans: Orphans, timeouts: Timeouts
) -> RunningAgent:
    """Start an agent for the session `owner`; it was not greeted yet. Raises: BackendFailed."""
    process = await launch(program.argv, {**os.environ, **program.env}, folder, owner, timeouts)
    orphans.adopt(process.pid)
    client = AgentClient(program.name, Connection(process), program.login, timeouts)
    return RunningAgent(process, client, owner, orphans)
