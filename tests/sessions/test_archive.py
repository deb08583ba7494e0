"""sessions.archive: what was said is found again, and can be forgotten."""

from __future__ import annotations

from itertools import count

import pytest

from agent.errors import Ambiguous, BadParams, Busy, SessionNotFound, StoreFull
from agent.protocol.events import UserMessage, make_event
from agent.protocol.messages import CreateSession, History
from agent.protocol.model import SessionId, Share, Status
from agent.sessions.archive import DAY, EVERY, FIRST_AFTER, MIB, Retention
from agent.sessions.index import sees_all
from tests.fakes.clock import settle
from tests.fakes.desk import ME, Desk, running, submit
from tests.fakes.transcripts import MemoryTranscripts


async def closed(desk: Desk, title: str, text: str = "mend the pump") -> SessionId:
    session = await desk.sessions.create(CreateSession(title=title), ME)
    await submit(desk, session, text, f"{session}-1")
    await settle()
    await desk.sessions.close(session, ME)
    return session


def past(desk: Desk, limit: int = 100) -> list[SessionId]:
    return [row.id for row in desk.sessions.archive.past(limit, sees_all).sessions]


async def found(desk: Desk, text: str) -> list[SessionId]:
    return list(dict.fromkeys(hit.session_id for hit in (await desk.sessions.archive.search(text, 50, sees_all)).hits))


async def test_closed_sessions_are_listed_newest_first_also_after_a_restart() -> None:
    store, ids = MemoryTranscripts(), count(1)
    async with running(store, ids) as desk:
        one = await closed(desk, "one")
        await desk.clock.advance(60)
        two = await closed(desk, "two")
        assert past(desk) == [two, one]
        listed = desk.sessions.archive.past(1, sees_all)
        assert (listed.sessions[0].title, listed.more) == ("two", True)
        assert (listed.sessions[0].status, listed.sessions[0].closed, listed.sessions[0].attachable) == (
            Status.ENDED,
            True,
            False,
        )
        before = desk.sessions.archive.past(9, sees_all).sessions
    async with running(store, ids) as desk:
        assert desk.sessions.archive.past(9, sees_all).sessions == before
        assert desk.rows == {}  # a list of live ones knows nothing of them


async def test_a_closed_session_is_found_by_its_title_and_one_that_is_live_goes_before_it() -> None:
    async with running() as desk:
        old = await closed(desk, "Plan")
        find = desk.sessions.index.find
        assert find("plan").id == old
        live = await desk.sessions.create(CreateSession(title="plan"), ME)
        assert find("plan").id == live
        await desk.sessions.close(live, ME)
        with pytest.raises(Ambiguous, match=old):
            find("plan")
        assert (await desk.sessions.archive.history(History(session_id=old[:16]))).events


async def test_a_search_reads_live_and_closed_sessions_alike() -> None:
    async with running() as desk:
        old = await closed(desk, "old")
        live = await desk.sessions.create(CreateSession(title="new"), ME)
        await submit(desk, live, "the pump again")
        await settle()
        told = await desk.sessions.archive.search("pump", 50, sees_all)
        assert {hit.session_id for hit in told.hits} == {old, live}
        hit = next(hit for hit in told.hits if hit.session_id == old and hit.seq < 4)
        assert (hit.title, hit.closed, hit.type, hit.excerpt) == ("old", True, "message.user", "mend the pump")
        assert [hit.excerpt[start:end] for start, end in hit.marks] == ["pump"]
        with pytest.raises(BadParams, match="no word"):
            await desk.sessions.archive.search('"*"', 50, sees_all)


async def test_a_session_that_is_over_is_forgotten_and_the_audit_log_says_by_whom() -> None:
    store, ids = MemoryTranscripts(), count(1)
    async with running(store, ids) as desk:
        gone, stays = await closed(desk, "gone"), await closed(desk, "stays")
        told = await desk.sessions.archive.forget("GONE", ME)
        assert (told.session_id, told.title) == (gone, "gone")
        assert desk.notes[-1][:3] == ("forgotten", ME.device, gone)
        assert past(desk) == await found(desk, "pump") == [stays]
        with pytest.raises(SessionNotFound):
            await desk.sessions.archive.forget(gone, ME)
    async with running(store, ids) as desk:
        assert past(desk) == [stays]
        assert await store.last_seq(gone) == 0


async def test_a_live_session_is_not_forgotten() -> None:
    async with running() as desk:
        live = await desk.sessions.create(CreateSession(), ME)
        with pytest.raises(Busy, match="is live") as caught:
            await desk.sessions.archive.forget(live, ME)
        assert caught.value.hint == f"close it first: `agent close {live}`"
        await submit(desk, live, "still there")


async def test_a_session_whose_program_has_ended_by_itself_is_forgotten_without_being_closed_first() -> None:
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        await submit(desk, session, "@exit ended")
        await settle()
        assert not desk.rows[session].status.live
        await desk.sessions.archive.forget(session, ME)
        assert desk.rows == {}
        assert past(desk) == []


async def test_what_a_crash_left_of_a_forgotten_session_is_removed_at_the_next_start() -> None:
    class Dies(MemoryTranscripts):
        dies = True

        async def remove(self, session: SessionId) -> None:
            if self.dies:
                raise StoreFull
            await super().remove(session)

    store, ids = Dies(), count(1)
    async with running(store, ids) as desk:
        session = await closed(desk, "half")
        with pytest.raises(StoreFull):
            await desk.sessions.archive.forget(session, ME)
        assert past(desk) == []
        store.dies = False
    async with running(store, ids) as desk:
        await settle()
        assert past(desk) == []
        assert await store.last_seq(session) == 0


async def test_transcripts_older_than_keep_days_are_removed_and_live_ones_never() -> None:
    async with running(retention=Retention(keep_days=30)) as desk:
        old = await closed(desk, "old")
        live = await desk.sessions.create(CreateSession(title="live"), ME)
        await submit(desk, live, "an old pump")
        await settle()
        await desk.clock.advance(29 * DAY)
        new = await closed(desk, "new")
        assert set(past(desk)) == {new, old}
        await desk.clock.advance(DAY + EVERY)
        assert past(desk) == [new]
        assert set(await found(desk, "pump")) == {new, live}


async def test_beyond_max_mb_the_oldest_go_first() -> None:
    async with running(retention=Retention(max_mb=1)) as desk:
        one, two, three = [await closed(desk, name, "pump " * 20_000) for name in ("one", "two", "three")]
        store = desk.sessions.archive._store
        assert await store.size() > MIB / 2
        seq = await store.last_seq(three)
        while await store.size() <= MIB:
            seq += 1
            more = UserMessage(turn=seq, prompt_id=f"p{seq}", text="p" * 100_000, sender=ME)
            await store.append(three, [make_event(seq, more, 1.0)])
        await desk.clock.advance(FIRST_AFTER)
        await settle()
        assert set(past(desk)) in ({three, two}, {three})
        assert await store.size() <= MIB
        assert one not in past(desk)


async def test_by_default_everything_is_kept() -> None:
    async with running() as desk:
        old = await closed(desk, "old")
        await desk.clock.advance(400 * DAY)
        assert past(desk) == [old]


async def test_the_title_that_a_session_was_begun_with_is_found() -> None:
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(title="Waterworks"), ME)
        await desk.sessions.create(CreateSession(), ME)
        assert await found(desk, "waterworks") == [session]
        (hit,) = (await desk.sessions.archive.search("waterworks", 50, sees_all)).hits
        assert (hit.type, hit.excerpt, hit.seq) == ("session.info", "Waterworks", 1)


async def test_a_closed_session_is_shared_otherwise_also_after_a_restart() -> None:
    store, ids = MemoryTranscripts(), count(1)

    def shares(desk: Desk) -> list[Share]:
        return [row.share for row in desk.sessions.archive.past(9, sees_all).sessions]

    async with running(store, ids) as desk:
        session = await closed(desk, "Plan")
        await desk.sessions.share("plan", "private", ME)
        assert shares(desk) == ["private"]
        with pytest.raises(SessionNotFound):
            desk.sessions.index.find(session, lambda _, share: share != "private")
    async with running(store, ids) as desk:
        assert shares(desk) == ["private"]
        await desk.sessions.archive.forget(session, ME)
        with pytest.raises(SessionNotFound):
            await desk.sessions.share(session, "all", ME)
        assert shares(desk) == []
