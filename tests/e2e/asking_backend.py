"""A backend of another package, for end-to-end tests: thinks, plans, uses a tool, asks for permission, can be set."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from agent.ports import (
    Asked,
    Backend,
    Described,
    Emit,
    Finished,
    Planned,
    Said,
    Start,
    Thought,
    ToolFinished,
    ToolStarted,
)
from agent.protocol.events import Answer, Choice, Diff, Option, PlanEntry

CHOICES = (
    Choice(id="once", name="Allow once", kind="allow_once"),
    Choice(id="no", name="Reject", kind="reject_once"),
)
MODES = (Choice(id="ask", name="Ask"), Choice(id="auto", name="Do not ask"))


class AskingBackend:
    name: ClassVar[str] = "asking"
    description: ClassVar[str] = "asks before it writes"
    takes_command: ClassVar[bool] = False

    def missing(self) -> str:
        return ""

    async def start(self, start: Start, emit: Emit) -> Backend:
        session = AskingSession(emit)
        await session.describe("ask")
        return session


class AskingSession:
    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._turn: asyncio.Task[None] | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._asked = 0
        self._mode = "ask"

    async def describe(self, mode: str) -> None:
        self._mode = mode
        option = Option(id="mode", name="Mode", value=mode, choices=MODES, category="mode")
        await self._emit(Described(options=(option,)))

    async def choose(self, option: str, value: str) -> None:
        assert option == "mode"
        await self.describe(value)

    async def prompt(self, text: str) -> None:
        self._turn = asyncio.get_running_loop().create_task(self._run(text), name="asking.turn")

    async def answer(self, request_id: str, answer: Answer) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    async def interrupt(self) -> None:
        if self._turn is not None:
            self._turn.cancel()

    async def close(self) -> None:
        await self.interrupt()

    async def _run(self, text: str) -> None:
        self._asked += 1
        tool = f"write-{self._asked}"
        try:
            await self._emit(Thought("It wants a file."))
            await self._emit(Planned((PlanEntry(text="write it", status="in_progress"),)))
            await self._emit(ToolStarted(tool_id=tool, title="Write notes.txt", tool="edit"))
            answer: Answer = "once"
            if self._mode == "ask":
                self._answer = asyncio.get_running_loop().create_future()
                await self._emit(
                    Asked(request_id=f"q{id(self)}-{self._asked}", kind="choices", prompt="Write?", choices=CHOICES)
                )
                answer = await self._answer
            diffs = (Diff(path="/src/notes.txt", patch=f"@@ -0,0 +1 @@\n+{text}\n"),)
            await self._emit(ToolFinished(tool_id=tool, status="complete", diffs=diffs))
            await self._emit(Said(f"{text}: {answer}"))
            await self._emit(Finished(status="complete"))
        except asyncio.CancelledError:
            await self._emit(Finished(status="interrupted"))
