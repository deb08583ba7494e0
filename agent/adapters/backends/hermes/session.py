"""A session of a Hermes gateway, as the service drives it."""

from __future__ import annotations

import asyncio
import contextlib

from agent.adapters.backends.hermes import wire
from agent.adapters.backends.hermes.follower import SessionFollower
from agent.adapters.backends.hermes.hub import Hub
from agent.adapters.backends.hermes.redact import Redactor
from agent.adapters.backends.hermes.wire import Refusal
from agent.adapters.backends.tasks import BackendTasks
from agent.errors import BackendFailed
from agent.ports import Described, Emit, Start
from agent.protocol.events import Answer

CLOSE_MAX = 2.0
"""Seconds that the gateway may take to close a session."""


class HermesSession:
    """A session of a gateway (`ports.Backend`, `ports.LetsGo`, `ports.RunsPrograms`; docs/design/hermes.md)."""

    def __init__(self, hub: Hub, start: Start, emit: Emit, redactor: Redactor) -> None:
        """Follow a session of the hub, which runs for it until the session is closed."""
        self._hub = hub
        self._tasks = BackendTasks(emit, "hermes", release=self._release)
        self._follower = SessionFollower(hub, start, self._tasks.emit, redactor)
        self._ends = False  # whether it ends with us
        self._kept = False  # whether it is kept for whoever has it at a window

    async def begin(self, cwd: str) -> None:
        """Create, resume or join the session. Raises: BackendFailed."""
        await self._follower.join(cwd)
        self._tasks.spawn(self._follower.run(), "session")

    async def prompt(self, text: str) -> None:
        """Start a turn, as soon as the gateway is free for it. Raises: BackendFailed, if it has ended."""
        follower = self._follower
        if self._over:
            raise BackendFailed("the session has ended", hint="start another one: `agent new`")
        if follower.tracker.turn is not None:
            follower.tracker.turn.muted = True  # somebody else's, and the log has this one running now
        follower.prompt = text
        follower.wake.set()

    async def answer(self, request_id: str, answer: Answer) -> None:
        """Hand over an answer, once; who comes too late is told so. Raises: BackendFailed."""
        follower = self._follower
        questions = follower.tracker.questions
        if follower.takeover.answered(request_id, answer):
            follower.wake.set()
            return
        if (pending := questions.take(request_id)) is None:
            return
        method, told = pending.reply(answer, follower.at.live)
        late = False
        try:
            if not method:
                await self._hub.respond(wire.response(pending.number, told))
            else:
                result = await self._hub.call(method, told)
                late = wire.read(result, wire.ApprovalResolved).resolved == 0
        except Refusal:
            late = True
        finally:
            follower.later.extend(questions.more())
            if late:
                follower.later.append(Described(note="the answer came too late: Hermes waits for it no longer"))
            follower.wake.set()

    async def interrupt(self) -> None:
        """Stop the turn; a prompt that was not handed over yet never will be."""
        follower = self._follower
        turn = follower.tracker.turn
        if self._over:
            return
        if follower.prompt is not None:
            follower.takeover.stop()
            follower.wake.set()
        elif turn is not None:
            turn.interrupting = True
            with contextlib.suppress(BackendFailed):
                await self._hub.call("session.interrupt", {"session_id": follower.at.live})

    def processes(self) -> tuple[int, ...]:
        """The process id of a gateway of our own, if it runs (`ports.RunsPrograms`)."""
        pid = self._hub.own.running if self._hub.own is not None else None
        return (pid,) if pid else ()

    async def close(self) -> None:
        """End what was started or taken over from here; what others use is only listed no more. Idempotent."""
        await self._leave(kept=False)

    async def let_go(self) -> None:
        """Close the session here while the gateway keeps it (`ports.LetsGo`)."""
        await self._leave(kept=True)

    @property
    def _over(self) -> bool:
        return self._tasks.over or self._follower.over

    async def _leave(self, *, kept: bool) -> None:
        if not self._tasks.over:
            at = self._follower.at
            self._ends = at.mine and not at.driven and not self._follower.over
            self._kept = kept
            self._follower.inbox.close()
        await self._tasks.close()

    async def _release(self) -> None:
        at = self._follower.at
        if self._kept:
            if self._ends and at.taken:
                self._hub.keep(at.live)
        elif self._ends and self._hub.connected:
            with contextlib.suppress(BackendFailed, TimeoutError):
                async with asyncio.timeout(CLOSE_MAX):
                    if self._follower.tracker.turn is not None:  # a command of it that runs would go on
                        await self._hub.call("session.interrupt", {"session_id": at.live})
                    await self._hub.call("session.close", {"session_id": at.live})
        elif at.live in self._hub.rows:
            self._hub.hidden.add(at.live)
        self._hub.drop(at.live, self._follower)
        await self._hub.leave()
