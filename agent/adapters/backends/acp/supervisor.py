"""The agent of one session: started when it is needed, with what it knew, and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from agent.adapters.backends.acp.agent_process import Life, Program, begin
from agent.adapters.backends.acp.handshake import Session
from agent.adapters.backends.acp.orphans import Orphans
from agent.adapters.backends.acp.recent import Recent
from agent.adapters.backends.acp.timeouts import Patience
from agent.protocol.model import SessionId


class Upkeep:
    """At most one agent at a time: the next one is started when nothing is left of the last."""

    def __init__(
        self,
        program: Program,
        folder: Path,
        owner: SessionId,
        *,
        known: str,
        orphans: Orphans,
        recent: Recent,
        patience: Patience,
    ) -> None:
        """`known`: the agent's id of the session, if it is to go on with one."""
        self._program, self._folder, self._owner, self._patience = program, folder, owner, patience
        self._orphans, self._recent = orphans, recent
        self._known = known
        self._beginning = asyncio.Lock()
        self._lives: set[Life] = set()  # also those that are being ended
        self.life: Life | None = None

    @property
    def returns(self) -> bool:
        """Whether an agent that is ended comes back with all it knows."""
        return self.life is not None and self.life.agent.returns

    def processes(self) -> tuple[int, ...]:
        """The agent's process id, if it runs."""
        return tuple(life.process.pid for life in self._lives if life.process.status is None)

    def tell(
        self,
        *,
        started: Callable[[Life], None],
        opened: Callable[[Life, Session], Awaitable[None]],
        waits: Callable[[], Awaitable[None]],
    ) -> None:
        """Who is told of a new agent, to read from it; of an open session; and of a wait for one that may be long."""
        self._started, self._opened, self._waits = started, opened, waits

    async def ready(self, *, now: bool = False) -> Life:
        """The agent with its session open; starts it and opens that first if need be.

        With `now` a session that may only be opened later is not waited for: it is not open on return.
        Raises: BackendFailed.
        """
        async with self._beginning:
            if self.life is None or not self.life.there:
                await self.end()
                self.life = await begin(self._program, self._folder, self._owner, self._orphans, self._patience)
                self._lives.add(self.life)
                self._started(self.life)
            life = self.life
            try:
                if not life.agent.greeted:
                    await life.agent.greet()
                if not life.session:
                    early = self._early(life)
                    if early and now:
                        return life
                    if early:
                        await self._waits()
                        await asyncio.sleep(early)
                    session = await life.agent.open(self._folder, self._known)
                    self._known = life.session = session.state.session
                    self._recent.opened(self._known, asyncio.get_running_loop().time())
                    await self._opened(life, session)
            except BaseException:
                await self.end()
                raise
            return life

    def retire(self) -> None:
        """The next `ready` starts another agent, once `end` has ended this one."""
        if self.life is not None:
            self.life.leaving = True

    async def end(self) -> None:
        """End the agent and whatever is left of earlier ones, and wait for that."""
        for life in list(self._lives):
            await life.end()
            self._lives.discard(life)

    def _early(self, life: Life) -> float:
        """Seconds until the session may be opened."""
        if not self._known or not life.agent.quirks.files_by_minute:
            return 0.0
        age = self._recent.age(self._known, asyncio.get_running_loop().time())
        return max(0.0, self._patience.minute - age)
