"""The program behind one session: started when needed, called one call at a time, ended for good or for a rest."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from agent.errors import AgentError, BackendFailed, SessionEnded
from agent.ports import (
    Backend,
    BackendType,
    ClearsUp,
    Emit,
    EndsWithService,
    HasOptions,
    LetsGo,
    Rests,
    RunsPrograms,
    Start,
    kind_of,
)
from agent.protocol.events import Answer

log = logging.getLogger(__name__)

CLOSE_MAX = 5.0
"""Seconds that a program may take to end; after that nobody waits for it any longer."""


class Program:
    """Calls of a session's backend. `over` says that it must not be started any more."""

    def __init__(
        self, backend_type: BackendType | None, name: str, kind: str, how: Callable[[], Start], emit: Emit
    ) -> None:
        """`name`, `kind`: of the backend that has made it, installed or not; one of that name may be of another kind.

        `how`: asked whenever it is to be started.
        """
        self._type = backend_type if kind in {"", kind_of(backend_type)} else None
        self._other = backend_type is not self._type
        self._name = name
        self._kind = kind
        self._how = how
        self._emit = emit
        self._backend: Backend | None = None
        self._calling = asyncio.Lock()  # held while it is called, other than to interrupt or end it
        self._stopping = asyncio.Lock()  # held while it is being ended
        self.over = False

    @property
    def shown(self) -> object:
        """The backend as it is, for what it may offer beside its port; None while it does not run."""
        return self._backend

    def processes(self) -> tuple[int, ...]:
        """Ids of the processes that it runs; none, if it does not tell."""
        backend = self.shown
        return tuple(backend.processes()) if isinstance(backend, RunsPrograms) else ()

    @property
    def cannot_return(self) -> str:
        """Why it is not started again after a restart of the service; empty if it is."""
        kind: object = self._type
        return kind.ends_with_service if isinstance(kind, EndsWithService) else ""

    async def clear_up(self) -> None:
        """End what it has left running, after the service was killed."""
        kind: object = self._type
        if isinstance(kind, ClearsUp):
            try:
                await kind.clear_up(self._how().session)
            except Exception:
                log.exception("what a program has left could not be ended", extra={"backend": self._name})

    async def start(self) -> Backend:
        """Start it unless it runs. Raises: BackendFailed, SessionEnded."""
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
            raise BackendFailed(f"the backend {self._name!r} raised {exc!r}") from exc
        if self.over:
            await self.stop()
            raise SessionEnded
        return backend

    async def prompt(self, text: str, wanted: Callable[[], bool]) -> None:
        """Hand over a prompt if it is still `wanted` once the program runs. Raises: as `start`."""
        async with self._calling:
            if wanted():
                backend = await self.start()
                if wanted():
                    await backend.prompt(text)

    async def join(self) -> None:
        """Start it, without anything to do. Raises: as `start`."""
        async with self._calling:
            await self.start()

    async def answer(self, request_id: str, answer: Answer) -> None:
        """Hand over an answer, if the program runs. Raises: BackendFailed."""
        async with self._calling:
            if self._backend is not None:
                await self._backend.answer(request_id, answer)

    async def interrupt(self) -> None:
        """Stop the turn, if the program runs."""
        if self._backend is not None:
            await self._backend.interrupt()

    async def choose(self, option: str, value: str) -> None:
        """Set an option, starting the program for it. Raises: as `start`; BadParams."""
        async with self._calling:
            await self.start()
            backend = self.shown
            if not isinstance(backend, HasOptions):
                raise BackendFailed("nothing can be set in this session")
            await backend.choose(option, value)

    async def rest(self, idle: Callable[[], bool]) -> bool:
        """End it if it comes back by itself and the session is `idle`. Whether it was ended."""
        async with self._calling:
            backend = self.shown
            if not isinstance(backend, Rests) or not idle() or not backend.may_rest():
                return False
            await self.stop()
            return True

    async def stop(self, *, letting_go: bool = False) -> None:
        """End it; or let go of it, if others use it. Whoever comes second waits: nothing half ended is left behind."""
        async with self._stopping:
            if self._backend is not None:
                try:
                    async with asyncio.timeout(CLOSE_MAX):
                        shared = self.shown if letting_go else None
                        await (shared.let_go() if isinstance(shared, LetsGo) else self._backend.close())
                except Exception:
                    log.exception("a program could not be ended", extra={"backend": self._name})
                self._backend = None
