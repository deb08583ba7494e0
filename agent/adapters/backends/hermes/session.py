"""A Hermes session as the services see it."""

from __future__ import annotations

import asyncio
import contextlib

from agent.adapters.backends.hermes import wire
from agent.adapters.backends.hermes.follower import Following
from agent.adapters.backends.hermes.hub import Hub
from agent.adapters.backends.hermes.redact import Veil
from agent.adapters.backends.hermes.wire import Refusal
from agent.errors import BackendFailed
from agent.ports import Described, Emit, Start
from agent.protocol.events import Answer
from agent.tasks import owned

CLOSE_MAX = 2.0
"""Seconds that the gateway may take to close a session."""


class HermesSession:
    """`ports.Backend`, `ports.LetsGo` and `ports.RunsPrograms` (docs/design/hermes.md)."""

    def __init__(self, hub: Hub, start: Start, emit: Emit, veil: Veil) -> None:
        """The hub runs for it until it is closed."""
        self._hub = hub
        self._following = Following(hub, start, emit, veil)
        self._task: asyncio.Task[None] | None = None
        self._left = False

    async def begin(self, cwd: str) -> None:
        """Create, resume or join it. Raises: BackendFailed."""
        await self._following.join(cwd)
        # The port has no `run`: the session owns its task, and `close` waits for it.
        self._task = owned(self._following.run(), "backends.hermes.session")

    async def prompt(self, text: str) -> None:
        """Start a turn, as soon as the gateway is free for it. Raises: BackendFailed, if it has ended."""
        following = self._following
        if following.closed:
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
        if following.closed:
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
        following = self._following
        ends = following.at.mine and not following.at.driven and not following.closed
        await self._leave()
        if self._left:
            return
        if ends and self._hub.connected:
            with contextlib.suppress(BackendFailed, TimeoutError):
                async with asyncio.timeout(CLOSE_MAX):
                    if following.course.turn is not None:  # a command of it that runs would go on
                        await self._hub.call("session.interrupt", {"session_id": following.at.live})
                    await self._hub.call("session.close", {"session_id": following.at.live})
        elif following.at.live in self._hub.rows:
            self._hub.hidden.add(following.at.live)
        await self._go()

    async def let_go(self) -> None:
        """`ports.LetsGo`: as `close`, but the gateway keeps it."""
        following = self._following
        if following.at.taken and following.at.mine and not following.at.driven and not following.closed:
            self._hub.keep(following.at.live)
        await self._leave()
        await self._go()

    async def _leave(self) -> None:
        self._following.closed = True
        self._following.wake.set()
        self._following.inbox.close()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _go(self) -> None:
        if not self._left:
            self._left = True
            self._hub.drop(self._following.at.live, self._following)
            await self._hub.leave()
