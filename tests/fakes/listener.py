"""Takes what a backend emits, for tests that look at it."""

from __future__ import annotations

import asyncio

from agent.ports import Asked, Backend, BackendEvent, Exited, Finished, Said
from tests.fakes.waiting import SECONDS


class Listener:
    """`emit` for one session; at most `room` events wait to be looked at, then `emit` waits."""

    def __init__(self, room: int = 0) -> None:
        self._events: asyncio.Queue[BackendEvent] = asyncio.Queue(room)
        self.taken = 0  # events that were emitted

    async def emit(self, event: BackendEvent) -> None:
        self.taken += 1
        await self._events.put(event)

    async def next(self) -> BackendEvent:
        async with asyncio.timeout(SECONDS):
            return await self._events.get()

    async def turn(self) -> list[BackendEvent]:
        """Everything up to the end of the turn."""
        events = [await self.next()]
        while not isinstance(events[-1], Finished | Exited):
            events.append(await self.next())
        return events

    async def until_asked(self) -> Asked:
        while True:
            event = await self.next()
            assert not isinstance(event, Finished | Exited), event
            if isinstance(event, Asked):
                return event

    async def until_said(self, text: str) -> str:
        """What was said up to and with `text`."""
        said = ""
        while text not in said:
            event = await self.next()
            assert not isinstance(event, Finished | Exited), event
            said += event.text if isinstance(event, Said) else ""
        return said

    def silent(self) -> bool:
        return self._events.empty()


def said(events: list[BackendEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Said))


def finished(events: list[BackendEvent]) -> Finished:
    assert isinstance(events[-1], Finished), events[-1]
    return events[-1]


async def run(backend: Backend, listener: Listener, text: str) -> list[BackendEvent]:
    """One whole turn."""
    await backend.prompt(text)
    return await listener.turn()
