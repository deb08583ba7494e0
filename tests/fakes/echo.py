"""A backend that says what it is told, steered by its prompts. Nothing in it waits for real time.

PROMPT            the prompt comes back, a word at a time
@slow N           N pieces, one a second of the clock (without a clock: at once)
@hold             nothing, until it is interrupted or `EchoSession.released` is set
@ask KIND [TEXT]  asks for a line, a secret or keys; then says what it got
@choices A B…     asks to choose; then says what was chosen
@tool             uses a tool between two parts of the reply
@think            thinks before it speaks
@fail [TEXT]      the turn ends in an error
@exit [failed]    the program ends
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Literal

from agent.errors import BackendFailed
from agent.ports import (
    Asked,
    BackendEvent,
    Clock,
    Described,
    Emit,
    Exited,
    Finished,
    Said,
    Start,
    Thought,
    ToolFinished,
    ToolProgressed,
    ToolStarted,
    Withdrew,
)
from agent.protocol.events import Answer, Choice, RequestKind

KINDS: dict[str, RequestKind] = {"line": "line", "secret": "secret", "keys": "keys"}


class _Stopped(Exception):
    """The turn was interrupted, or the session closed."""


class EchoBackend:
    """`ports.BackendType`. `sessions` are those it started, oldest first."""

    name: ClassVar[str] = "echo"
    description: ClassVar[str] = "says what it is told"
    takes_command: ClassVar[bool] = False

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock
        self.starting = asyncio.Event()
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.sessions: list[EchoSession] = []

    def missing(self) -> str:
        return ""

    async def start(self, start: Start, emit: Emit) -> EchoSession:
        self.starting.set()
        await self.may_start.wait()
        if start.cwd == "/no/such/directory":
            raise BackendFailed("no such directory: /no/such/directory")
        self.sessions.append(EchoSession(start, emit, self._clock))
        return self.sessions[-1]


class EchoSession:
    """`ports.Backend`. `prompts` and `answers` are what it was handed."""

    def __init__(self, start: Start, emit: Emit, clock: Clock | None) -> None:
        self.start = start
        self.prompts: list[str] = []
        self.answers: list[tuple[str, Answer]] = []
        self.released = asyncio.Event()
        self.closed = False
        self._take, self._clock = emit, clock
        self._ended = self._stopping = False
        self._asked = 0
        self._request = ""
        self._answer: asyncio.Future[Answer] | None = None
        self._wait: asyncio.Task[Any] | None = None
        self._turn: asyncio.Task[None] | None = None

    async def prompt(self, text: str) -> None:
        if self._ended or self.closed:
            raise BackendFailed("the echo has died away")
        self.prompts.append(text)
        self._stopping = False
        self.released.clear()
        self._turn = asyncio.get_running_loop().create_task(self._run(text), name="fakes.echo")

    async def answer(self, request_id: str, answer: Answer) -> None:
        self.answers.append((request_id, answer))
        if request_id == self._request and self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    async def interrupt(self) -> None:
        if self._turn is not None and not self._turn.done():
            self._stopping = True
            if self._wait is not None:
                self._wait.cancel()

    async def close(self) -> None:
        self.closed = True
        if self._turn is not None and self._turn is not asyncio.current_task():
            self._turn.cancel()
            await asyncio.wait([self._turn])

    async def _run(self, text: str) -> None:
        word, _, rest = text.partition(" ")
        play: Callable[[str], Coroutine[Any, Any, BackendEvent]] = getattr(self, f"_play_{word[1:]}", self._say)
        try:
            end = await (play(rest) if text.startswith("@") else self._say(text))
        except _Stopped:
            if self._request:
                withdrawn, self._request = self._request, ""
                await self.tell(Withdrew(withdrawn))
            end = Finished(status="interrupted")
        self._turn, self._wait = None, None
        self._ended = isinstance(end, Exited)
        await self.tell(end)

    async def tell(self, event: BackendEvent) -> None:
        """Emit an event, as a test has it."""
        if not self.closed:
            await self._take(event)

    async def _emit(self, event: BackendEvent) -> None:
        await self.tell(event)
        if self._stopping:
            raise _Stopped

    async def _until(self, what: Coroutine[Any, Any, Any]) -> None:
        self._wait = asyncio.get_running_loop().create_task(what, name="fakes.echo.wait")
        try:
            await self._wait
        except asyncio.CancelledError:
            if self._stopping:
                raise _Stopped from None
            self._wait.cancel()
            raise

    async def _say(self, text: str) -> BackendEvent:
        for piece in re.findall(r"\S*\s*", text):
            if piece:
                await self._emit(Said(piece))
        return Finished(status="complete", exit_status=0, cwd=self.start.cwd)

    async def _play_slow(self, text: str) -> BackendEvent:
        for number in range(int(text)):
            await self._emit(Said(f"{number + 1} "))
            if self._clock is not None:
                await self._until(self._clock.sleep(1.0))
        return Finished(status="complete")

    async def _play_hold(self, text: str) -> BackendEvent:
        await self._until(self.released.wait())
        return await self._say(text or "let go")

    async def _ask(self, kind: RequestKind, prompt: str, choices: tuple[Choice, ...] = ()) -> Answer:
        self._asked += 1
        self._request = f"echo-{self._asked}"
        self._answer = asyncio.get_running_loop().create_future()
        await self._emit(Asked(request_id=self._request, kind=kind, prompt=prompt, choices=choices))

        async def answered(answer: asyncio.Future[Answer]) -> None:
            await answer

        await self._until(answered(self._answer))
        self._request = ""
        return self._answer.result()

    async def _play_ask(self, text: str) -> BackendEvent:
        kind, _, prompt = text.partition(" ")
        return await self._say(f"got {await self._ask(KINDS[kind], prompt or '? ')}")

    async def _play_choices(self, text: str) -> BackendEvent:
        choices = tuple(Choice(id=name, name=name.title()) for name in text.split())
        return await self._say(f"chose {await self._ask('choices', 'which?', choices)}")

    async def _play_tool(self, text: str) -> BackendEvent:
        await self._emit(Said("before "))
        await self._emit(ToolStarted(tool_id="tool-1", title="Reading the notes", tool="read", input="notes.txt"))
        await self._emit(ToolProgressed(tool_id="tool-1", text="line 1\n"))
        await self._emit(ToolFinished(tool_id="tool-1", status="complete", output="line 1\nline 2\n"))
        return await self._say("after")

    async def _play_think(self, text: str) -> BackendEvent:
        await self._emit(Thought("hm, "))
        await self._emit(Described(model="echo-1"))
        return await self._say(text or "thought")

    async def _play_fail(self, text: str) -> BackendEvent:
        return Finished(status="error", error=text or "asked to fail")

    async def _play_exit(self, text: str) -> BackendEvent:
        status: Literal["ended", "failed"] = "failed" if text == "failed" else "ended"
        return Exited(status=status, reason="asked to end")
