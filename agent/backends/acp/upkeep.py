"""The agent of one session: started when it is needed, with what it knew, and ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from agent.backends.acp.life import Life, Program, begin
from agent.backends.acp.opening import LoadsLater, Session
from agent.backends.acp.orphans import Orphans
from agent.backends.acp.patience import Patience
from agent.core.records import SessionId


class Upkeep:
    """At most one agent at a time: the next one is started when nothing is left of the last."""

    def __init__(
        self, program: Program, folder: Path, owner: SessionId, *, known: str, orphans: Orphans, patience: Patience
    ) -> None:
        """`known`: the agent's id of the session, if it is to go on with one."""
        self._program, self._folder, self._owner, self._patience = program, folder, owner, patience
        self._orphans = orphans
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

    async def clear(self) -> None:
        """End what an earlier service has left of this session when it was killed."""
        await self._orphans.end(0, self._owner, set())

    async def ready(
        self,
        started: Callable[[Life], None],
        opened: Callable[[Life, Session], Awaitable[None]],
        *,
        now: bool = False,
    ) -> Life:
        """The agent with its session open; starts it and opens that first if need be.

        `started` is told of a new agent, to read from it; `opened` of a session. With `now` a session that can only
        be loaded later is not waited for: it is not open on return. Raises: BackendFailed.
        """
        async with self._beginning:
            if self.life is None or not self.life.there:
                await self.end()
                self.life = await begin(self._program, self._folder, self._owner, self._orphans, self._patience)
                self._lives.add(self.life)
                started(self.life)
            life = self.life
            try:
                if not life.agent.greeted:
                    await life.agent.greet()
                if not life.session:
                    session = await self._open(life, now=now)
                    if session is not None:
                        self._known = life.session = session.state.session
                        await opened(life, session)
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

    async def _open(self, life: Life, *, now: bool) -> Session | None:
        with contextlib.suppress(LoadsLater):
            return await life.agent.open(self._folder, self._known)
        if now:
            return None
        loop = asyncio.get_running_loop()
        begun, said = loop.time(), ""
        while loop.time() - begun < self._patience.minute:
            await asyncio.sleep(self._patience.again)
            try:
                return await life.agent.open(self._folder, self._known)
            except LoadsLater as exc:
                said = str(exc)
        session = await life.agent.open(self._folder, "")
        return Session(session.state, said)
