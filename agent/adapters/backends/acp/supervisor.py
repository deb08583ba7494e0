"""The agent of one session: started when it is needed, with what it knew, and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from agent.adapters.backends.acp.handshake import OpenedSession
from agent.adapters.backends.acp.last_opened import LastOpened
from agent.adapters.backends.acp.orphans import Orphans
from agent.adapters.backends.acp.running_agent import AgentProgram, RunningAgent, start_agent
from agent.adapters.backends.acp.timeouts import Timeouts
from agent.protocol.model import SessionId


class AgentSupervisor:
    """Runs at most one agent at a time: the next one is started when nothing is left of the last."""

    def __init__(
        self,
        program: AgentProgram,
        folder: Path,
        owner: SessionId,
        *,
        known: str,
        orphans: Orphans,
        last_opened: LastOpened,
        timeouts: Timeouts,
    ) -> None:
        """`known` is the agent's id of the session, if it is to go on with one."""
        self._program = program
        self._folder = folder
        self._owner = owner
        self._timeouts = timeouts
        self._orphans, self._last_opened = orphans, last_opened
        self._known = known
        self._beginning = asyncio.Lock()
        self._agents: set[RunningAgent] = set()  # also those that are being ended
        self.agent: RunningAgent | None = None

    @property
    def returns(self) -> bool:
        """Whether an agent that is ended comes back with all it knows."""
        return self.agent is not None and self.agent.client.returns

    def processes(self) -> tuple[int, ...]:
        """The process ids of the agents that run: of one, unless another is just being ended."""
        return tuple(agent.process.pid for agent in self._agents if agent.process.status is None)

    def observe(
        self,
        *,
        started: Callable[[RunningAgent], None],
        opened: Callable[[RunningAgent, OpenedSession], Awaitable[None]],
        waits: Callable[[], Awaitable[None]],
    ) -> None:
        """Say who is told of a new agent, to read from it; of an open session; and of a wait that may be long."""
        self._started = started
        self._opened = opened
        self._waits = waits

    async def ready(self, *, now: bool = False) -> RunningAgent:
        """Return the agent with its session open; start it and open that first if need be.

        With `now` a session that may only be opened later is not waited for: it is not open on return. Raises:
        BackendFailed.
        """
        async with self._beginning:
            if self.agent is None or not self.agent.reachable:
                await self.end()
                self.agent = await start_agent(self._program, self._folder, self._owner, self._orphans, self._timeouts)
                self._agents.add(self.agent)
                self._started(self.agent)
            agent = self.agent
            try:
                if not agent.client.greeted:
                    await agent.client.greet()
                if not agent.session:
                    early = self._early(agent)
                    if early and now:
                        return agent
                    if early:
                        await self._waits()
                        await asyncio.sleep(early)
                    session = await agent.client.open(self._folder, self._known)
                    self._known = agent.session = session.state.session
                    self._last_opened.opened(self._known, asyncio.get_running_loop().time())
                    await self._opened(agent, session)
            except BaseException:
                await self.end()
                raise
            return agent

    def retire(self) -> None:
        """Have the next `ready` start another agent, once `end` has ended this one."""
        if self.agent is not None:
            self.agent.leaving = True

    async def end(self) -> None:
        """End the agent and whatever is left of earlier ones, and wait for that."""
        for agent in list(self._agents):
            await agent.end()
            self._agents.discard(agent)

    def _early(self, agent: RunningAgent) -> float:
        """Seconds until the session may be opened."""
        if not self._known or not agent.client.quirks.files_by_minute:
            return 0.0
        age = self._last_opened.age(self._known, asyncio.get_running_loop().time())
        return max(0.0, self._timeouts.minute - age)
