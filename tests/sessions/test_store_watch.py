"""sessions.store_watch: that nothing can be stored is a condition, told to those who watch, until it can be."""

from __future__ import annotations

import asyncio

from agent.errors import ServiceOver, StoreFull
from agent.protocol.messages import CreateSession, SessionStalled
from agent.sessions.store_watch import LOOK_EVERY, StoreWatch
from tests.fakes.clock import FakeClock, settle
from tests.fakes.desk import ME, attach, running
from tests.fakes.transcripts import MemoryTranscripts


class FailingStore(MemoryTranscripts):
    reason = ""

    async def check(self) -> None:
        if self.reason:
            raise StoreFull(self.reason)


async def held() -> None:
    """Nobody has taken the home."""


async def test_trouble_with_the_store_is_told_once_and_its_end_too() -> None:
    store, clock, told = FailingStore(), FakeClock(), list[str]()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(StoreWatch(store, clock=clock, hold=held, report=told.append).run(), name="test.watch")
        await clock.advance(LOOK_EVERY * 3)
        assert told == []
        store.reason = "the disk is full"
        await clock.advance(LOOK_EVERY * 3)
        # Who sends a turn that waits for room again has it run twice.
        assert told == ["the disk is full; free some space on that device: it goes on by itself"]
        store.reason = ""
        await clock.advance(LOOK_EVERY * 3)
        assert told == ["the disk is full; free some space on that device: it goes on by itself", ""]
        task.cancel()


async def test_a_home_that_is_another_services_ends_the_watch() -> None:
    async def taken() -> None:
        raise ServiceOver("another service has taken this home")

    watch = StoreWatch(FailingStore(), clock=FakeClock(), hold=taken, report=print)
    outcome = await asyncio.gather(watch.run(), return_exceptions=True)
    assert isinstance(outcome[0], ServiceOver)


async def test_viewers_hear_that_nothing_more_is_shown_and_why_whoever_comes_later_too() -> None:
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        async with desk.viewer() as early, desk.viewer() as late:
            await attach(early, session)
            desk.sessions.stalled("the disk is full")
            await settle()
            assert early.told[-1] == ("session.stalled", SessionStalled(session_id=session, reason="the disk is full"))
            assert (await attach(late, session)).stalled == "the disk is full"
            desk.sessions.stalled("")
            await settle()
            assert late.told[-1] == ("session.stalled", SessionStalled(session_id=session))
