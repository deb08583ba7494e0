"""A Hermes session as the services see it."""

from __future__ import annotations

import asyncio
import contextlib

from agent.adapters.backends.hermes import wire
from agent.adapters.backends.hermes.follower import Following
from agent.adapters.backends.hermes.hub import Hub
from agent.adapters.backends.hermes.redact import Veil
from agent.adapters.backends.hermes.wire import Refusal
from agent.adapters.backends.tasks import BackendTasks
from agent.errors import BackendFailed
from agent.ports import Described, Emit, Start
from agent.protocol.events import Answer

CLOSE_MAX = 2.0
"""Seconds that the gateway may take to close a session."""


class HermesSession:
    """`ports.Backend`, `ports.LetsGo` and `ports.RunsPrograms` (docs/design/hermes.md)."""

    def __init__(self, hub: Hub, start: Start, emit: Emit, veil: Veil) -> None:
        """The hub runs for it until it is closed."""
        self._hub = hub
        self._tasks = BackendTasks(emit, "hermes", release=self._release)
        self._following = Following(hub, start, self._tasks.emit, veil)
        self._ends = False  # whether it ends with us
        self._kept = False  # whether it is kept for whoever has it at a window

    async def begin(self, cwd: str) -> None:
        """Create, resume or join it. Raises: BackendFailed."""
        await self._following.join(cwd)
        self._tasks.spawn(self._following.run(), "session")

    async def prompt(self, text: str) -> None:
        """Start a turn, as soon as the gateway is free for it. Raises: BackendFailed, if it has ended."""
        following = self._following
        if self._over:
            raise BackendFailed("the session has ended", hint="start another one: `agent new`")
        if following.course.turn is not None:
            following.course.turn.muted = True  # somebody else's, and the log has this one running now
        following.prompt = text
        following.wake.set()

    async def answer(self, request_id: str, answer: Answer) -> None:
        """Hand over an answer, once; one that came too late is told so. Raises: BackendFailed."""
        following = self._following
        questions = following.course.questions
        if following.taking.answered(request_id, answer):
            following.wake.set()
            return
        if (pending := questions.take(request_id)) is None:
            return
        method, told = pending.reply(answer, following.at.live)
        late = False
        try:
            if not method:
                await self._hub.respond(wire.response(pending.number, told))
            else:
                result = await self._hub.call(method, told)
                late = wire.read(result, wire.Resolved).resolved == 0
        except Refusal:
            late = True
        finally:
            following.later.extend(questions.more())
            if late:
                following.later.append(Described(note="the answer came too late: Hermes waits for it no longer"))
            following.wake.set()

    async def interrupt(self) -> None:
        """Stop the turn; a prompt that was not handed over yet never will be."""
        following = self._following
        turn = following.course.turn
        if self._over:
            return
        if following.prompt is not None:
            following.taking.stop()
            following.wake.set()
        elif turn is not None:
            turn.interrupting = True
            with contextlib.suppress(BackendFailed):
                await self._hub.call("session.interrupt", {"session_id": following.at.live})

    def processes(self) -> tuple[int, ...]:
        """`ports.RunsPrograms`: a gateway of our own."""
        pid = self._hub.own.running if self._hub.own is not None else None
        return (pid,) if pid else ()

    async def close(self) -> None:
        """End what was started or taken over from here; what somebody else uses is only listed no more. Idempotent."""
        await self._leave(kept=False)

    async def let_go(self) -> None:
        """`ports.LetsGo`: as `close`, but the gateway keeps it."""
        await self._leave(kept=True)

    @property
    def _over(self) -> bool:
        return self._tasks.over or self._following.over

    async def _leave(self, *, kept: bool) -> None:
        if not self._tasks.over:
            at = self._following.at
            self._ends = at.mine and not at.driven and not self._following.over
            self._kept = kept
            self._following.inbox.close()
        await self._tasks.close()

    async def _release(self) -> None:
        at = self._following.at
        if self._kept:
            if self._ends and at.taken:
                self._hub.keep(at.live)
        elif self._ends and self._hub.connected:
            with contextlib.suppress(BackendFailed, TimeoutError):
                async with asyncio.timeout(CLOSE_MAX):
                    if self._following.course.turn is not None:  # a command of it that runs would go on
                        await self._hub.call("session.interrupt", {"session_id": at.live})
                    await self._hub.call("session.close", {"session_id": at.live})
        elif at.live in self._hub.rows:
            self._hub.hidden.add(at.live)
        self._hub.drop(at.live, self._following)
        await self._hub.leave()
