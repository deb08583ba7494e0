"""sessions.host after a restart: what is listed at once, what waits, what is damaged, what an older copy has."""

from __future__ import annotations

import asyncio
import copy
import sqlite3
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import pytest
from msgspec import Raw

from agent.adapters.storage.sqlite import SqliteTranscripts
from agent.errors import AgentError, Busy, LogDamaged
from agent.ports import SIZE_MAX, SessionMeta, TranscriptStore
from agent.protocol.events import DAMAGED, Event, MessageDelta, SessionInfo, make_event, mended, payload_of
from agent.protocol.messages import Attached, CreateSession, History
from agent.protocol.model import DeviceId, Sender, SessionId, Status
from agent.sessions.index import FROM_OTHER_MAX, SESSIONS_MAX
from agent.sessions.viewers import ATTACHED_MAX, Attachments
from tests.fakes.clock import FakeClock, settle
from tests.fakes.desk import ME, OWN, PHONE, Desk, attach, running, submit, whole_log
from tests.fakes.transcripts import MemoryTranscripts
from tests.fakes.waiting import until
from tests.fakes.websocket import channel, pair


class HeldLogs(MemoryTranscripts):
    """Reading a log back takes until `let` is set; `order` tells which were begun."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()
        self.let.set()
        self.order: list[SessionId] = []

    async def outline(self, session: SessionId) -> list[Event]:
        self.order.append(session)
        await self.let.wait()
        return await super().outline(session)


async def made(store: TranscriptStore, ids: count[int], *titles: str) -> list[SessionId]:
    """Sessions with one turn each, a second apart."""
    async with running(store, ids) as desk:
        sessions = []
        for title in titles:
            session = await desk.sessions.create(CreateSession(title=title), ME)
            await submit(desk, session, "hello", f"p-{title}")
            await desk.clock.advance(1.0)
            sessions.append(session)
    return sessions


# --- at once, then in the background ---------------------------------------------------------------------------------


async def test_every_session_is_listed_before_any_log_is_read() -> None:
    store, ids = HeldLogs(), count(1)
    old, new = await made(store, ids, "old", "new")
    store.let.clear()
    async with running(store, ids) as desk:
        assert [(desk.rows[each].title, desk.rows[each].status) for each in (old, new)] == [
            ("old", Status.STARTING),
            ("new", Status.STARTING),
        ]
        store.let.set()
        await settle()
        assert {row.status for row in desk.rows.values()} == {Status.IDLE}


async def test_a_title_that_was_given_later_is_listed_before_the_log_is_read() -> None:
    store, ids = HeldLogs(), count(1)
    async with running(store, ids) as desk:
        session = await desk.sessions.create(CreateSession(title="first"), ME)
        await desk.sessions.rename(session, "second", ME)
        await settle()
    store.let.clear()
    async with running(store, ids) as desk:
        assert desk.rows[session].title == "second"
        store.let.set()


async def test_what_it_is_called_without_a_title_is_listed_before_the_log_is_read_and_after_it_is_closed() -> None:
    store, ids = HeldLogs(), count(1)
    async with running(store, ids) as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        assert (desk.rows[session].title, desk.rows[session].untitled) == ("", True)
        await submit(desk, session, "fix the parser")
        await settle()
    store.let.clear()
    async with running(store, ids) as desk:
        assert (desk.rows[session].title, desk.rows[session].untitled) == ("fix the parser", True)
        store.let.set()
        await settle()
        await desk.sessions.close("Fix the Parser", ME)  # what is shown can be typed
        assert desk.sessions.index.find("fix the parser").id == session


async def test_the_most_recent_log_is_read_first_and_one_that_is_asked_for_before_it() -> None:
    store, ids = HeldLogs(), count(1)
    sessions = await made(store, ids, "a", "b", "c", "d", "e")
    store.order.clear()
    store.let.clear()
    async with running(store, ids) as desk, asyncio.TaskGroup() as group:
        await settle()
        assert store.order == sessions[:2:-1]  # two at a time
        asked = group.create_task(submit(desk, sessions[0], "at once"), name="test.submit")
        await settle()
        assert not asked.done()
        store.let.set()
        await settle()
        assert store.order == [sessions[4], sessions[3], sessions[0], sessions[2], sessions[1]]
        assert asked.result().status in {"started", "queued"}


async def test_who_attaches_while_the_log_is_read_waits_and_gets_all_of_it() -> None:  # S4
    store, ids = HeldLogs(), count(1)
    (session,) = await made(store, ids, "one")
    store.let.clear()
    async with running(store, ids) as desk, desk.viewer() as viewer, asyncio.TaskGroup() as group:
        attaching = group.create_task(attach(viewer, session), name="test.attach")
        reading = group.create_task(desk.sessions.archive.history(History(session_id=session)), name="test.history")
        await settle()
        assert not attaching.done()
        assert not reading.done()
        store.let.set()
        await settle()
        assert attaching.result().snapshot is not None
        assert "turn.complete" in [event.type for event in reading.result().events]


async def test_a_log_that_makes_us_stumble_keeps_no_other_from_being_read() -> None:  # T11
    class Stumbles(MemoryTranscripts):
        async def outline(self, session: SessionId) -> list[Event]:
            if bad:
                raise RuntimeError("a bug")
            return await super().outline(session)

    store, ids, bad = Stumbles(), count(1), False
    sessions = await made(store, ids, "a", "b", "c")
    bad = True
    async with running(store, ids) as desk:
        await settle()
        assert [desk.rows[each].status for each in sessions] == [Status.FAILED] * 3
        with pytest.raises(LogDamaged):
            await submit(desk, sessions[0], "x")
        await desk.sessions.close(sessions[0], ME)


# --- places ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("by", "most"), [("own", SESSIONS_MAX), ("phone", FROM_OTHER_MAX)])
async def test_a_burst_makes_no_more_sessions_than_there_are_places(by: str, most: int) -> None:
    class Slow(MemoryTranscripts):
        async def put(self, meta: SessionMeta) -> None:
            await asyncio.sleep(0)
            await super().put(meta)

    async with running(Slow()) as desk:
        who = Sender(device=DeviceId(by), name=by)
        asked = (desk.sessions.create(CreateSession(), who) for _ in range(most + 2))
        told = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(each) for each in told if isinstance(each, AgentError)] == [Busy, Busy]
        assert len(desk.sessions.index.hosted) == most


# --- pages -----------------------------------------------------------------------------------------------------------


class CountedReads(MemoryTranscripts):
    """Counts the events that were read."""

    read_events = 0

    def _counted(self, events: list[Event]) -> list[Event]:
        self.read_events += len(events)
        return events

    async def read(self, session: SessionId, after: int, limit: int, size: int = SIZE_MAX) -> list[Event]:
        return self._counted(await super().read(session, after, limit, size))

    async def read_before(
        self, session: SessionId, before: int | None, limit: int, size: int = SIZE_MAX
    ) -> list[Event]:
        return self._counted(await super().read_before(session, before, limit, size))

    async def outline(self, session: SessionId) -> list[Event]:
        return self._counted(await super().outline(session))


async def test_a_page_of_a_closed_session_reads_its_page_and_no_more() -> None:  # T11
    store = CountedReads()
    async with running(store) as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        await settle()
        await desk.sessions.close(session, ME)
        end = await store.last_seq(session)
        await store.append(
            session, [make_event(seq, MessageDelta(turn=0, text="x"), 0.0) for seq in range(end + 1, 20_001)]
        )
        store.read_events = 0
        page = await desk.sessions.archive.history(History(session_id=session, after=15_000, limit=100))
        assert [event.seq for event in page.events] == list(range(15_001, 15_101))
        assert (page.seq, page.more) == (20_000, True)
        assert store.read_events <= 100
        await desk.sessions.archive.history(History(session_id=session, limit=100))
        assert store.read_events <= 200


async def test_a_page_reads_no_more_bytes_than_it_gives(tmp_path: Path) -> None:  # T11
    store = SqliteTranscripts(tmp_path / "t.db")
    meta = SessionMeta(id=SessionId("one"), epoch="e", backend="echo", created_at=1.0)
    await store.put(meta)
    await store.append(meta.id, [make_event(seq, MessageDelta(turn=0, text="x" * 1000), 0.0) for seq in range(1, 101)])
    assert len(await store.read(meta.id, 0, 100, 5500)) == 5
    assert [event.seq for event in await store.read_before(meta.id, None, 100, 2500)] == [99, 100]
    assert len(await store.read(meta.id, 0, 100, 10)) == 1  # it goes on in any case
    await store.close()


# --- a damaged log ---------------------------------------------------------------------------------------------------


async def damaged(path: Path, statement: str) -> SessionId:
    """A session in a file, of which that statement has made something else."""
    store, ids = SqliteTranscripts(path), count(1)
    (session, _) = await made(store, ids, "broken", "whole")
    await store.close()
    database = sqlite3.connect(path)
    database.execute(statement, {"id": session})
    database.commit()
    database.close()
    return session


THE_PROMPT = "session = (SELECT number FROM session WHERE id = :id) AND type = 'message.user'"


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE event SET payload = x'ff00ff' WHERE {THE_PROMPT}",
        f"UPDATE event SET payload = 'text' WHERE {THE_PROMPT}",
        f"UPDATE event SET at = 'once' WHERE {THE_PROMPT}",
        f"DELETE FROM event WHERE {THE_PROMPT}",
        "UPDATE session SET meta = x'c1' WHERE id = :id",
    ],
)
async def test_a_damaged_session_is_listed_as_failed_with_what_can_be_read(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "t.db"
    session = await damaged(path, statement)
    store = SqliteTranscripts(path)
    async with running(store, count(9)) as desk:
        await until(lambda: Status.STARTING not in {row.status for row in desk.rows.values()})
        assert sorted(row.status for row in desk.rows.values()) == ["failed", "idle"]
        assert desk.rows[session].status is Status.FAILED
        assert "damaged" in desk.problems.current[0]
        page = await desk.sessions.archive.history(History(session_id=session, after=0, limit=1000))
        numbers = [event.seq for event in page.events]
        assert numbers == list(range(1, len(numbers) + 1))  # no gap, whatever is gone
        assert all(payload_of(event) is not None for event in page.events)
        assert "turn.complete" in [event.type for event in page.events]
        async with desk.viewer() as viewer:
            attached = await attach(viewer, session)
            assert attached.snapshot is not None
            assert attached.snapshot.session.status is Status.FAILED
        with pytest.raises(LogDamaged):
            await submit(desk, session, "more")
        await desk.sessions.close(session, ME)
        assert session not in desk.rows
        assert desk.problems.current == ()
    await store.close()


async def test_a_file_damaged_in_the_middle_gives_what_stands_before_it(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    store, ids = SqliteTranscripts(path), count(1)
    async with running(store, ids) as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        await settle()
        await desk.sessions.rename(session, "long", ME)
        end = await store.last_seq(session)
        notes = [make_event(seq, SessionInfo(note="x" * 400), 0.0) for seq in range(end + 1, end + 2000)]
        await store.append(session, notes)
    await store.close()
    with path.open("r+b") as file:
        file.seek(500_000)  # leaves of the log only, not what leads to them
        file.write(b"\xff" * 40_000)
    store = SqliteTranscripts(path)
    async with running(store, ids) as desk:
        await until(lambda: desk.rows[session].status is Status.FAILED)
        assert desk.rows[session].title == "long"
        page = await desk.sessions.archive.history(History(session_id=session, after=0, limit=1000))
        assert len(page.events) > 100
    await store.close()


# --- a log restored from an older copy -------------------------------------------------------------------------------


class Restorable(MemoryTranscripts):
    """Can be copied, and put back."""

    def snapshot(self) -> Callable[[], None]:
        metas, events = dict(self._metas), copy.deepcopy(self._events)

        def put_back() -> None:
            self._metas, self._events = metas, events

        return put_back


async def test_a_restart_alone_resumes_every_client_wherever_it_was() -> None:  # S4, S15
    store, ids = Restorable(), count(1)
    places: list[tuple[int, str]] = []
    session = SessionId("")
    for life in range(3):
        async with running(store, ids) as desk, desk.viewer() as viewer:
            if not session:
                session = await desk.sessions.create(CreateSession(), ME)
            await settle()
            await submit(desk, session, f"turn {life}")
            await settle()
            attached = await attach(viewer, session)
            places += [(seq, attached.epoch) for seq in range(attached.seq + 1)]
    async with running(store, ids) as desk:
        await settle()
        everything = [event.seq for event in await whole_log(desk, session)]
        for seq, epoch in places:
            async with desk.viewer() as viewer:
                attached = await attach(viewer, session, seq, epoch)
                await settle()
                assert attached.resumed
                assert viewer.seqs() == everything[seq:]


@pytest.mark.parametrize("grows", [0, 1, 40])
async def test_a_client_of_what_was_lost_with_an_older_copy_starts_over(grows: int) -> None:  # S15
    store, ids = Restorable(), count(1)
    async with running(store, ids) as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        await submit(desk, session, "kept")
        await settle()
        put_back = store.snapshot()
        async with desk.viewer() as viewer:
            for number in range(10):
                await submit(desk, session, f"lost {number}")
            await settle()
            seen = await attach(viewer, session)
    put_back()
    async with running(store, ids) as desk:
        await settle()
        for number in range(grows):
            await submit(desk, session, f"other {number}")
        await settle()
        async with desk.viewer() as viewer:
            attached = await attach(viewer, session, seen.seq, seen.epoch)
            assert not attached.resumed
            assert attached.epoch != seen.epoch
            assert said(attached)[:1] == ["kept"] or attached.snapshot is None or attached.snapshot.truncated
            await submit(desk, session, "and on")
            await viewer.until("turn.complete")
            assert viewer.seqs() == list(range(attached.seq + 1, attached.seq + 1 + len(viewer.seqs())))


def said(attached: Attached) -> list[str]:
    assert attached.snapshot is not None
    return [
        payload.text  # type: ignore[union-attr]  # of this type
        for event in attached.snapshot.events
        if event.type == "message.user" and (payload := payload_of(event))
    ]


async def test_a_life_is_begun_by_the_first_event_that_a_service_adds_and_by_no_other() -> None:  # S15
    store, ids = Restorable(), count(1)
    (session,) = await made(store, ids, "one")

    async def begun(desk: Desk) -> list[int]:
        await settle()
        infos = [(each.seq, payload_of(each)) for each in await whole_log(desk, session)]
        return [seq for seq, info in infos if isinstance(info, SessionInfo) and info.epoch]

    end = await store.last_seq(session)
    async with running(store, ids) as desk:
        await submit(desk, session, "again")
        assert await begun(desk) == [end + 1]
    async with running(store, ids) as desk:
        await desk.sessions.close(session, ME)
        assert len(await begun(desk)) == 2
    end = await store.last_seq(session)
    async with running(store, ids) as desk:
        assert await store.last_seq(session) == end  # nothing is added to one that is closed


def test_an_event_that_is_none_is_told_as_a_note() -> None:
    events: Sequence[Event] = [
        make_event(2, SessionInfo(note="fine"), 5.0),
        Event(4, "session.info", Raw(b"\xff"), "x"),
        Event(5, "later", Raw(b"\xc1"), "2027-01-15T08:00:00Z"),
    ]
    told = list(mended(events, 0))
    assert [event.seq for event in told] == [1, 2, 3, 4, 5]
    notes = [payload.note for event in told if isinstance(payload := payload_of(event), SessionInfo)]
    assert notes == [DAMAGED, "fine", DAMAGED, DAMAGED, DAMAGED]


async def test_a_device_watches_as_much_as_it_may_and_no_more_whenever_its_requests_are_carried_out() -> None:
    ours, _ = pair()
    watching = channel(ours, FakeClock(), device=PHONE)
    attachments = Attachments(OWN, lambda *_: None, lambda session: None)
    for number in range(ATTACHED_MAX):
        attachments.join(watching, PHONE, SessionId(str(number)))
    attachments.join(watching, PHONE, SessionId("0"))  # again is no more
    with pytest.raises(Busy):
        attachments.join(watching, PHONE, SessionId("one more"))
    attachments.leave(watching, SessionId("0"))
    attachments.join(watching, PHONE, SessionId("one more"))
