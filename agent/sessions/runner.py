"""The backend behind one session: started when needed, called one call at a time, stopped for good or for a rest.

Its events wait in a bounded queue until the log has taken them, so that a backend waits while the store is behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from agent.errors import IN_THE_LOG, AgentError, BackendFailed, SessionEnded
from agent.ports import (
    Asked,
    Backend,
    BackendEvent,
    BackendType,
    ClearsUp,
    Emit,
    EndsWithService,
    HasOptions,
    LetsGo,
    Rests,
    RunsPrograms,
    Said,
    Start,
    StartsAnew,
    Tail,
    Thought,
    ToolFinished,
    ToolProgressed,
    ToolStarted,
    Unknown,
    kind_of,
)
from agent.protocol.events import Answer
from agent.sessions.rules.mapping import CHUNK

log = logging.getLogger(__name__)

CLOSE_MAX = 5.0
"""Seconds that a backend may take to close; after that nobody waits for it any longer."""
QUEUE_MAX = 131_072
"""Characters that the backend may be ahead of the store."""
BATCH = 64
"""Backend events stored in one go."""


class BackendRunner:
    """Starts, calls and stops the backend of one session. While `over` it is not started any more."""

    def __init__(
        self, backend_type: BackendType | None, name: str, kind: str, how: Callable[[], Start], emit: Emit
    ) -> None:
        """`name` and `kind` are those of the backend that made the session, installed or not.

        An installed backend of that name may be of another kind. `how` gives the parameters of each start.
        """
        self._type = backend_type if kind in {"", kind_of(backend_type)} else None
        self._other = backend_type is not self._type
        self._name = name
        self._kind = kind
        self._how = how
        self._emit = emit
        self._backend: Backend | None = None
        self._calling = asyncio.Lock()  # held during every call except interrupt and stop
        self._stopping = asyncio.Lock()  # held while the backend is being closed
        self.over = False

    @property
    def shown(self) -> object:
        """The running backend, to look for optional ports that it offers; None while it does not run."""
        return self._backend

    def processes(self) -> tuple[int, ...]:
        """Ids of the processes that the backend runs; none, if it does not tell (`ports.RunsPrograms`)."""
        backend = self.shown
        return tuple(backend.processes()) if isinstance(backend, RunsPrograms) else ()

    @property
    def cannot_return(self) -> str:
        """Why the backend is not started again after a restart of the service; empty if it is."""
        kind: object = self._type
        return kind.ends_with_service if isinstance(kind, EndsWithService) else ""

    @property
    def starts_anew(self) -> str:
        """What is gone when the backend is started again after a restart of the service; empty if nothing is."""
        kind: object = self._type
        return kind.starts_anew if isinstance(kind, StartsAnew) else ""

    async def clear_up(self) -> None:
        """End the processes that the session left running when the service was killed (`ports.ClearsUp`)."""
        kind: object = self._type
        if isinstance(kind, ClearsUp):
            try:
                await kind.clear_up(self._how().session)
            except Exception:
                log.exception("what a program has left could not be ended", extra={"backend": self._name})

    async def start(self) -> Backend:
        """Start the backend, unless it runs, and return it. Raises: BackendFailed, SessionEnded."""
        if self._backend is not None:
            return self._backend
        if self._other:
            raise BackendFailed(
                f"this session cannot go on: it was made by a backend of kind {self._kind!r},"
                f" and {self._name!r} is of another kind now",
                hint=f"put [backends.{self._name}] in config.toml back as it was and start the service again",
            )
        if self._type is None:
            raise BackendFailed(
                f"the backend {self._name!r} is not installed on this device",
                hint="install the package that has it, then start the service again",
            )
        how = self._how()
        try:
            backend = self._backend = await self._type.start(how, self._emit)
        except AgentError:
            raise
        except Exception as exc:
            log.exception("a backend raised", extra={"session": how.session})
            raise BackendFailed(f"the backend {self._name!r} raised {exc!r}", hint=IN_THE_LOG) from exc
        if self.over:
            await self.stop()
            raise SessionEnded
        return backend

    async def prompt(self, text: str, wanted: Callable[[], bool]) -> None:
        """Hand over a prompt, if it is still `wanted` once the backend runs. Raises: BackendFailed, SessionEnded."""
        async with self._calling:
            if wanted():
                backend = await self.start()
                if wanted():
                    await backend.prompt(text)

    async def join(self) -> None:
        """Start the backend without giving it a prompt. Raises: BackendFailed, SessionEnded."""
        async with self._calling:
            await self.start()

    async def answer(self, request_id: str, answer: Answer) -> None:
        """Hand over an answer, if the backend runs. Raises: BackendFailed."""
        async with self._calling:
            if self._backend is not None:
                await self._backend.answer(request_id, answer)

    async def interrupt(self) -> None:
        """Stop the turn, if the backend runs."""
        if self._backend is not None:
            await self._backend.interrupt()

    async def choose(self, option: str, value: str) -> None:
        """Set an option, starting the backend for it. Raises: BackendFailed, SessionEnded, BadParams."""
        async with self._calling:
            await self.start()
            backend = self.shown
            if not isinstance(backend, HasOptions):
                raise BackendFailed("nothing can be set in this session")
            await backend.choose(option, value)

    async def rest(self, idle: Callable[[], bool]) -> bool:
        """Stop a backend that can rest, if the session is `idle`. Returns whether it was stopped."""
        async with self._calling:
            backend = self.shown
            if not isinstance(backend, Rests) or not idle() or not backend.may_rest():
                return False
            await self.stop()
            return True

    async def stop(self, *, letting_go: bool = False) -> None:
        """Close the backend; with `letting_go` only leave it, if others use it. A second caller waits for the first."""
        async with self._stopping:
            if self._backend is not None:
                try:
                    async with asyncio.timeout(CLOSE_MAX):
                        shared = self.shown if letting_go else None
                        await (shared.let_go() if isinstance(shared, LetsGo) else self._backend.close())
                except Exception:
                    log.exception("a program could not be ended", extra={"backend": self._name})
                self._backend = None


class EventQueue:
    """Backend events on their way into the log, in order. Overflow: `put` waits until the log has taken some."""

    def __init__(self) -> None:
        self._events: deque[BackendEvent] = deque()
        self._size = 0  # characters, including events that were taken and are not stored yet
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()

    def __bool__(self) -> bool:
        """Whether an event waits to be taken."""
        return bool(self._events)

    async def put(self, event: BackendEvent) -> None:
        """Add an event; waits while the queue is full."""
        while self._size >= QUEUE_MAX:
            self._drained.clear()
            await self._drained.wait()
        if isinstance(event, Tail) and self._events and isinstance(self._events[-1], Tail):
            self._size -= weight(self._events.pop())
        self._events.append(event)
        self._size += weight(event)
        self._filled.set()

    async def filled(self) -> None:
        """Wait until an event was put since the last call."""
        await self._filled.wait()
        self._filled.clear()

    def take(self) -> list[BackendEvent]:
        """Take a batch of waiting events (`take_batch`); `stored` gives their room back."""
        return take_batch(self._events)

    def stored(self) -> None:
        """Give back the room of the taken events: they are in the log."""
        self._size = sum(map(weight, self._events))
        self._drained.set()


def weight(event: BackendEvent) -> int:
    """Roughly how many characters an event keeps in memory."""
    match event:
        case Said() | Thought() | Tail():
            size = len(event.text)
        case ToolProgressed():
            size = len(event.text) + sum(len(diff.patch) for diff in event.diffs)
        case ToolFinished():
            size = len(event.output) + sum(len(diff.patch) for diff in event.diffs)
        case ToolStarted():
            size = len(event.input)
        case Unknown():
            size = len(event.data)
        case Asked():
            size = len(event.detail)
        case _:
            size = 0
    return size + 64


def take_batch(waiting: deque[BackendEvent]) -> list[BackendEvent]:
    """Take up to `BATCH` waiting events; neighbouring pieces of text are joined up to `CHUNK` characters."""
    batch: list[BackendEvent] = []
    while waiting and len(batch) < BATCH:
        event = waiting.popleft()
        if isinstance(event, Said | Thought) and isinstance(waiting[0] if waiting else None, type(event)):
            pieces, size = [event.text], len(event.text)
            while waiting:
                more = waiting[0]
                if not isinstance(more, Said | Thought) or type(more) is not type(event):
                    break
                if size + len(more.text) > CHUNK:
                    break
                pieces.append(more.text)
                size += len(more.text)
                waiting.popleft()
            event = type(event)("".join(pieces))
        batch.append(event)
    return batch
