"""adapters.backends.tasks: what the tasks of one session tell, and how they end."""

from __future__ import annotations

import asyncio

import pytest

from agent.adapters.backends.tasks import BackendTasks, SessionClosed
from agent.ports import BackendEvent, Said
from agent.tasks import Failures, record
from tests.fakes.clock import settle


class Session:
    """Takes events; `block` holds the first of them up. Counts how often it was released."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.released = self.broken = 0
        self.go = asyncio.Event()
        self.go.set()
        self.closes = False  # whether it is closed from within `emit`
        self.tasks = BackendTasks(self.emit, "test", release=self.release, failed=self.failed)

    async def emit(self, event: BackendEvent) -> None:
        await self.go.wait()
        assert isinstance(event, Said)
        self.taken.append(event.text)
        if self.closes:
            await self.tasks.close()
            self.taken.append("closed")

    async def release(self) -> None:
        await asyncio.sleep(0)
        self.released += 1

    async def failed(self) -> None:
        self.broken += 1

    async def say(self, *texts: str) -> None:
        await self.tasks.emit(*(Said(text) for text in texts))
        await asyncio.Event().wait()


async def test_what_one_task_tells_at_once_is_told_in_one_row() -> None:
    session = Session()
    session.go.clear()
    session.tasks.spawn(session.say("1", "2", "3"), "one")
    session.tasks.spawn(session.say("a", "b"), "other")
    await settle()
    session.go.set()
    await settle()
    assert session.taken == ["1", "2", "3", "a", "b"]
    await session.tasks.close()


async def test_closing_ends_all_tasks_and_releases_once() -> None:
    session = Session()
    session.go.clear()
    working = [session.tasks.spawn(session.say("never"), "one"), session.tasks.spawn(asyncio.sleep(60), "other")]
    await settle()
    await asyncio.gather(session.tasks.close(), session.tasks.close())
    await session.tasks.close()
    assert all(task.cancelled() for task in working)
    assert session.tasks.over
    assert session.released == 1
    assert session.taken == []


async def test_closed_from_within_emit_a_task_ends_when_that_has_returned() -> None:
    session = Session()
    session.closes = True
    other = session.tasks.spawn(asyncio.sleep(60), "other")
    telling = session.tasks.spawn(session.say("1", "2"), "one")
    await asyncio.wait([telling])
    await session.tasks.close()
    assert session.taken == ["1", "closed"]
    assert other.cancelled()
    assert session.released == 1


async def test_nothing_is_told_or_begun_once_it_is_closed() -> None:
    session = Session()
    await session.tasks.close()
    await session.tasks.emit(Said("late"))
    assert session.taken == []
    with pytest.raises(SessionClosed):
        session.tasks.spawn(session.say("late"), "late")


async def test_a_program_that_has_ended_is_released_first_and_its_last_word_is_told() -> None:
    session = Session()

    async def run() -> None:
        await session.tasks.release()
        assert session.tasks.over
        await session.tasks.emit(Said(f"released {session.released}"))

    await asyncio.wait([session.tasks.spawn(run(), "one")])
    assert session.taken == ["released 1"]
    await session.tasks.close()
    assert session.released == 1


async def test_closing_does_not_break_off_a_release_that_is_under_way() -> None:
    session = Session()
    task = session.tasks.spawn(session.tasks.release(), "one")
    await asyncio.sleep(0)
    task.cancel()
    await session.tasks.close()
    assert session.released == 1


async def test_a_task_that_fails_is_told_and_the_others_go_on() -> None:  # T11
    session = Session()
    noted: list[str] = []
    record(Failures(problem=lambda about, _: noted.append(about)))

    async def fail() -> None:
        raise ValueError("a bug")

    other = session.tasks.spawn(session.say("1"), "other")
    for _ in range(2):  # a condition when it comes again
        await asyncio.wait([session.tasks.spawn(fail(), "broken")])
    assert session.broken == 2
    assert len(noted) == 1
    assert not other.done()
    assert session.taken == ["1"]
    await session.tasks.close()
