"""sessions.host when clients leave half-way, backends break their promises and the service dies in between."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest

from agent.adapters.storage.sqlite import SqliteTranscripts
from agent.errors import (
    AgentError,
    Ambiguous,
    BackendFailed,
    BadParams,
    RequestNotFound,
    SessionEnded,
    SessionNotFound,
    StoreFull,
)
from agent.ports import Asked, BackendEvent, Described, Emit, Exited, Finished, Said, SessionMeta, Start, ToolStarted
from agent.protocol.events import Choice, Event, MessageComplete, TurnComplete, payload_of
from agent.protocol.messages import AnswerRequest, Attach, CreateSession, History, Interrupt, Submit
from agent.protocol.model import SessionId, Status
from tests.fakes.clock import settle, turns
from tests.fakes.desk import ME, Desk, FullDisk, attach, running, submit, whole_log
from tests.fakes.echo import EchoBackend, EchoSession
from tests.fakes.transcripts import MemoryTranscripts


class SlowDisk(MemoryTranscripts):
    """Writes take until `go` is set; one that was called takes effect, whoever has left meanwhile, as in SQLite."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.go.set()

    async def put(self, meta: SessionMeta) -> None:
        await super().put(meta)
        await self.go.wait()

    async def append(self, session: SessionId, events: Sequence[Event]) -> None:
        await super().append(session, events)
        await self.go.wait()


def statuses(events: Sequence[Event]) -> list[tuple[int, str]]:
    return [(done.turn, done.status) for done in map(payload_of, events) if isinstance(done, TurnComplete)]


async def last_error(desk: Desk, session: SessionId) -> str:
    done = [each for each in map(payload_of, await whole_log(desk, session)) if isinstance(each, TurnComplete)]
    return done[-1].error


async def test_a_client_that_leaves_while_its_prompt_is_stored_has_sent_it() -> None:  # S2, S3
    store = SlowDisk()
    async with running(store) as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        async with desk.viewer() as viewer:
            await attach(viewer, session)
            store.go.clear()
            viewer.channel.send(
                viewer.channel.codec.request(77, "prompt.submit", Submit(session_id=session, prompt_id="a", text="one"))
            )
            await settle()
        store.go.set()
        await settle()
        assert (await submit(desk, session, "two", "b")).status in {"started", "queued"}
        await settle()
        assert desk.echo.sessions[0].prompts == ["one", "two"]
        assert statuses(await whole_log(desk, session)) == [(1, "complete"), (2, "complete")]


async def test_a_client_that_leaves_while_a_session_is_made_leaves_nothing() -> None:  # L6
    for writes in range(4):  # however far it had come
        store, ids = SlowDisk(), count(1)
        async with running(store, ids) as desk, asyncio.TaskGroup() as group:
            store.go.clear()
            making = group.create_task(desk.sessions.create(CreateSession(), ME))
            await settle()
            for _ in range(writes):
                store.go.set()
                await asyncio.sleep(0)
                store.go.clear()
                await turns(5)
            was_made = making.done()
            making.cancel()
            await settle()
            store.go.set()
            await settle()
            assert len(desk.rows) == int(was_made)
            assert all(backend.closed for backend in desk.echo.sessions) is not was_made or not desk.echo.sessions
        assert len(await store.sessions()) == int(was_made)
        async with running(store, ids) as desk:
            assert len(desk.rows) == int(was_made)


async def test_of_a_start_that_failed_nothing_remains() -> None:  # L6
    store = FullDisk()
    async with running(store) as desk:
        with pytest.raises(BackendFailed):
            await desk.sessions.create(CreateSession(cwd="/no/such/directory"), ME)
        await settle()
        assert (desk.rows, await store.sessions()) == ({}, [])
        store.full = True
        with pytest.raises(StoreFull):
            await desk.sessions.create(CreateSession(), ME)
        await settle()
        assert (desk.rows, await store.sessions()) == ({}, [])
        assert all(backend.closed for backend in desk.echo.sessions)


async def test_a_reply_cut_short_keeps_what_was_shown_before_another_prompt_was_queued() -> None:  # S2, S3
    store, ids = MemoryTranscripts(), count(1)
    async with running(store, ids) as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        await submit(desk, session, "@slow 10")
        await desk.clock.advance(4.0)
        await submit(desk, session, "queued meanwhile")
        await desk.clock.advance(2.0)
    async with running(store, ids) as desk:
        await settle()
        replies = [p for p in map(payload_of, await whole_log(desk, session)) if isinstance(p, MessageComplete)]
        assert (replies[0].text, replies[0].status) == ("1 2 3 4 5 6 7 ", "interrupted")


async def test_a_full_disk_at_the_start_hides_no_session() -> None:  # S2, S3
    store, ids = FullDisk(), count(1)
    async with running(store, ids) as desk:
        session = await desk.sessions.create(CreateSession(title="kept"), ME)
        await submit(desk, session, "@hold")
        await submit(desk, session, "waits")
        await settle()
    store.full = True
    async with running(store, ids) as desk:
        await settle()
        assert desk.rows[session].title == "kept"
        with pytest.raises(StoreFull):
            await submit(desk, session, "more")
        store.full = False
        await desk.clock.advance(5.0)
        assert desk.echo.sessions[0].prompts == ["waits"]
        assert statuses(await whole_log(desk, session)) == [(1, "interrupted"), (2, "complete")]


async def test_one_broken_log_keeps_no_other_session_from_coming_back() -> None:
    class Broken(MemoryTranscripts):
        async def outline(self, session: SessionId) -> list[Event]:
            events = await super().outline(session)
            return [Event(e.seq, e.type, e.payload, "yesterday") for e in events] if session == bad else events

    store, ids = Broken(), count(1)
    bad = SessionId("")
    async with running(store, ids) as desk:
        broken = await desk.sessions.create(CreateSession(), ME)
        good = await desk.sessions.create(CreateSession(), ME)
    bad = broken
    async with running(store, ids) as desk:
        assert (await submit(desk, good, "hello")).status == "started"
        assert [desk.rows[broken].status, desk.rows[good].status] == [Status.FAILED, Status.WORKING]


# --- backends that break their promises ------------------------------------------------------------------------------


class Odd(EchoBackend):
    """Emits what the test says when prompted; `closing` is called when it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.say: list[BackendEvent] = []
        self.emit: Emit
        self.started = self.closes = 0
        self.start_raises: Exception | None = None
        self.close_raises: Exception | None = None
        self.close_waits: asyncio.Event | None = None
        self.closed = False

    async def start(self, start: Start, emit: Emit) -> EchoSession:
        if self.start_raises is not None:
            raise self.start_raises
        self.started += 1
        self.emit = emit
        return OddSession(start, emit, self)


class OddSession(EchoSession):
    def __init__(self, start: Start, emit: Emit, odd: Odd) -> None:
        super().__init__(start, emit, None)
        self._odd = odd

    async def prompt(self, text: str) -> None:
        self.prompts.append(text)
        for event in self._odd.say:
            await self._odd.emit(event)
        self._odd.say = []

    async def close(self) -> None:
        self._odd.closes += 1
        if self._odd.close_raises is not None:
            raise self._odd.close_raises
        if self._odd.close_waits is not None:
            await self._odd.close_waits.wait()
        self._odd.closed = True


def odd(desk: Desk) -> Odd:
    backend = Odd()
    desk.backends["echo"] = backend
    return backend


LONG = "x" * 10_000
DONE = Finished(status="complete")


async def test_nothing_that_a_backend_names_breaks_its_session() -> None:
    async with running() as desk:
        backend = odd(desk)
        session = await desk.sessions.create(CreateSession(), ME)
        backend.say = [
            Described(title=LONG, cwd=LONG, model=LONG),
            ToolStarted(tool_id=LONG, title=LONG, tool=LONG, input=LONG),
            Asked(request_id=LONG, kind="choices", prompt=LONG, choices=(Choice(id=LONG, name=LONG, kind=LONG),)),
            Said("half a pair: \ud83d"),
            Described(title="half \ud83d \x1b[2Jname"),
            Finished(status="error", cwd=LONG, error=LONG),
        ]
        await submit(desk, session, "go")
        await settle()
        log = await whole_log(desk, session)
        assert statuses(log) == [(1, "error")]
        assert desk.rows[session].title == "half ? [2Jname"
        assert (await submit(desk, session, "again")).status == "started"


async def test_a_turn_that_ends_twice_does_not_end_the_next_one() -> None:  # S1, S3
    async with running() as desk:
        backend = odd(desk)
        session = await desk.sessions.create(CreateSession(), ME)
        await submit(desk, session, "one")
        await submit(desk, session, "two")
        for event in (DONE, DONE):
            await backend.emit(event)
        await settle()
        assert statuses(await whole_log(desk, session)) == [(1, "complete")]
        await backend.emit(DONE)
        await settle()
        assert statuses(await whole_log(desk, session)) == [(1, "complete"), (2, "complete")]


async def test_a_program_that_has_ended_says_nothing_more() -> None:
    async with running() as desk:
        backend = odd(desk)
        session = await desk.sessions.create(CreateSession(), ME)
        backend.say = [
            Exited(status="ended"),
            Asked(request_id="r", kind="line"),
            Said("boo"),
            Described(title="ghost"),
            DONE,
        ]
        await submit(desk, session, "go")
        await settle()
        log = await whole_log(desk, session)
        assert [event.type for event in log][-1] == "session.info"
        row = desk.rows[session]
        assert (row.status, row.title, row.untitled) == (Status.ENDED, "go", True)
        with pytest.raises(SessionEnded):
            await submit(desk, session, "more")


async def test_a_question_that_is_asked_again_can_be_answered_again() -> None:  # S9
    async with running() as desk:
        backend = odd(desk)
        session = await desk.sessions.create(CreateSession(), ME)
        await submit(desk, session, "go")
        for answer in ("first", "second"):
            await backend.emit(Asked(request_id="1", kind="line"))
            await settle()
            assert desk.rows[session].status is Status.NEEDS_INPUT
            assert (
                await desk.sessions.answer(AnswerRequest(session_id=session, answer=answer), ME)
            ).status == "accepted"


async def test_a_backend_that_raises_at_the_start_is_an_error_to_who_asked() -> None:
    async with running() as desk:
        odd(desk).start_raises = ValueError("embedded null byte")
        with pytest.raises(BackendFailed, match="embedded null byte"):
            await desk.sessions.create(CreateSession(), ME)
        await settle()
        assert desk.rows == {}


async def test_a_turn_that_nobody_can_run_says_what_to_do() -> None:
    store, ids = MemoryTranscripts(), count(1)
    async with running(store, ids, {"mine": EchoBackend()}) as desk:
        session = await desk.sessions.create(CreateSession(backend="mine"), ME)
        await settle()
    async with running(store, ids) as desk:
        await submit(desk, session, "go")
        assert await last_error(desk, session) == (
            "the backend 'mine' is not installed on this device; install the package that has it, then start the"
            " service again"
        )


class OtherEcho(EchoBackend):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind


async def test_a_session_goes_on_with_the_kind_that_has_made_it_and_no_other() -> None:
    store, ids = MemoryTranscripts(), count(1)
    async with running(store, ids, {"mine": OtherEcho("hermes")}) as desk:
        session = await desk.sessions.create(CreateSession(backend="mine"), ME)
        before = await desk.sessions.create(CreateSession(), ME)  # of a backend that does not tell its kind
        await settle()
    other = OtherEcho("acp")
    async with running(store, ids, {"mine": other, "echo": OtherEcho("echo")}) as desk:
        await submit(desk, session, "go")
        assert await last_error(desk, session) == (
            "this session cannot go on: it was made by a backend of kind 'hermes', and 'mine' is of another kind now;"
            " put [backends.mine] in config.toml back as it was and start the service again"
        )
        assert not other.sessions
        await submit(desk, before, "go")
        assert await last_error(desk, before) == ""
    async with running(store, ids, {"mine": OtherEcho("hermes")}) as desk:
        await submit(desk, session, "go on")
        assert await last_error(desk, session) == ""


async def test_a_program_that_cannot_be_ended_is_closed_all_the_same() -> None:
    async with running() as desk:
        odd(desk).close_raises = OSError("no")
        session = await desk.sessions.create(CreateSession(), ME)
        await desk.sessions.close(session, ME)
        assert desk.rows == {}


async def test_closing_a_session_waits_for_a_program_that_is_being_ended() -> None:
    async with running() as desk, asyncio.TaskGroup() as group:
        backend = odd(desk)
        backend.close_waits = asyncio.Event()
        session = await desk.sessions.create(CreateSession(), ME)
        await backend.emit(Exited(status="ended"))
        await settle()
        assert backend.closes == 1
        closing = group.create_task(desk.sessions.close(session, ME))
        await settle()
        assert not closing.done()
        backend.close_waits.set()
        await closing
        assert backend.closed


async def test_an_impatient_person_interrupts_once() -> None:
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        await submit(desk, session, "@hold")
        for _ in range(1000):
            await desk.sessions.prompting.interrupt(Interrupt(session_id=session), ME)
        assert desk.sessions.get(session)._effects.qsize() <= 2
        await settle()
        assert statuses(await whole_log(desk, session)) == [(1, "interrupted")]


async def test_a_session_that_breaks_says_so_and_takes_no_more_prompts() -> None:  # S3, S10
    class Breaking(MemoryTranscripts):
        broken = False

        async def append(self, session: SessionId, events: Sequence[Event]) -> None:
            if self.broken:
                self.broken = False
                raise RuntimeError("a bug")
            await super().append(session, events)

    store = Breaking()
    async with running(store) as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        other = await desk.sessions.create(CreateSession(), ME)
        await submit(desk, session, "@slow 3")
        store.broken = True
        await desk.clock.advance(5.0)
        with pytest.raises(AgentError):
            await submit(desk, session, "more")
        assert desk.echo.sessions[0].closed
        assert (await submit(desk, other, "and you?")).status == "started"


async def test_an_orphan_that_cannot_be_closed_ends_no_other_session() -> None:  # L6
    class Breaking(MemoryTranscripts):
        broken = False

        async def append(self, session: SessionId, events: Sequence[Event]) -> None:
            if self.broken:
                raise RuntimeError("a bug")
            await super().append(session, events)

    store = Breaking()
    async with running(store) as desk:
        other = await desk.sessions.create(CreateSession(), ME)
        store.broken = True
        with pytest.raises(RuntimeError):
            await desk.sessions.create(CreateSession(), ME)
        await settle()
        assert list(desk.rows) == [other]
        assert all(backend.closed for backend in desk.echo.sessions[1:])
        store.broken = False
        assert (await submit(desk, other, "and you?")).status == "started"


# --- odd requests ----------------------------------------------------------------------------------------------------


async def test_numbers_beyond_any_log_are_no_error(tmp_path: Path) -> None:
    store = SqliteTranscripts(tmp_path / "transcripts.db")
    async with running(store) as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        for history in (History(session_id=session, after=2**64 - 1), History(session_id=session, before=2**64 - 1)):
            page = await desk.sessions.archive.history(history)
            assert page.seq == 2
        assert page.events
    await store.close()


async def test_a_path_or_command_with_a_null_is_refused() -> None:
    async with running() as desk:
        for asked in (CreateSession(cwd="/tmp\0"), CreateSession(command=("echo", "a\0b"))):
            with pytest.raises(BadParams, match="NUL"):
                await desk.sessions.create(asked, ME)
        assert desk.rows == {}


async def test_answers_of_long_ago_are_forgotten() -> None:
    async with running() as desk:
        backend = odd(desk)
        session = await desk.sessions.create(CreateSession(), ME)
        await submit(desk, session, "go")
        for number in range(300):
            await backend.emit(Asked(request_id=str(number), kind="line"))
            await settle()
            await desk.sessions.answer(AnswerRequest(session_id=session, answer="x"), ME)
        assert len(desk.sessions.get(session)._state._requests._closed) <= 256
        with pytest.raises(RequestNotFound):
            await desk.sessions.answer(AnswerRequest(session_id=session, answer="x", request_id="0"), ME)


# --- memory and order ------------------------------------------------------------------------------------------------


async def test_sessions_that_come_and_go_leave_nothing_behind() -> None:
    async with running() as desk, desk.viewer() as viewer:
        for _ in range(200):
            session = await desk.sessions.create(CreateSession(), ME)
            for _ in range(3):
                await attach(viewer, session)
            await desk.sessions.close(session, ME)
        sessions = desk.sessions
        assert (desk.rows, sessions.index.hosted, sessions.attachments._attached) == ({}, {}, {})
        assert not any(sessions.attachments._watched.values())
        assert not any(backend.released.is_set() or not backend.closed for backend in desk.echo.sessions)


async def test_a_client_that_attaches_anew_while_it_is_caught_up_starts_from_its_new_place() -> None:  # S4
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        for number in range(12):
            await submit(desk, session, "x" * 60_000, f"p{number}")
            await settle()
        async with desk.viewer() as viewer:
            epoch = (await attach(viewer, session)).epoch
            viewer.socket.other.stalled.clear()
            ask = viewer.channel.codec.request
            viewer.channel.send(ask(900, "session.attach", Attach(session_id=session, after=0, epoch=epoch)))
            await settle()
            viewer.channel.send(ask(901, "session.attach", Attach(session_id=session)))
            await settle()
            before = len(viewer.events)
            viewer.socket.other.stalled.set()
            await settle()
            queued = [event.seq for event in viewer.events[before:]]
            assert queued == list(range(1, len(queued) + 1))  # what was on its way already, and nothing after it
            last = desk.sessions.get(session).log.state.seq
            assert len(queued) < last
            await submit(desk, session, "and now?")
            await settle()
            assert viewer.seqs()[before + len(queued)] == last + 1


async def test_two_sessions_of_one_title_are_told_apart() -> None:
    async with running() as desk:
        ids = [await desk.sessions.create(CreateSession(title="work"), ME) for _ in range(2)]
        with pytest.raises(Ambiguous, match=ids[1]):
            await submit(desk, "work", "hello")
        with pytest.raises(SessionNotFound):
            await submit(desk, "wo", "hello")
