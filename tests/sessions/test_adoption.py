"""sessions.adoption: sessions that ran already when a backend found them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import ClassVar

import pytest

from agent.errors import BackendFailed, Forbidden
from agent.ports import Asked, Described, Emit, Finished, Offer, Offered, Prompted, Said, Start
from agent.protocol.events import Answer, RequestClosed, SessionInfo, TurnComplete, UserMessage, payload_of
from agent.protocol.messages import AnswerRequest, CreateSession
from agent.protocol.model import Sender, SessionId
from tests.fakes.clock import settle
from tests.fakes.desk import ME, PHONE, Desk, running, submit, whole_log
from tests.fakes.transcripts import MemoryTranscripts


class WindowBackend:
    """`ports.BackendType` that finds what runs in windows: `open` says which."""

    name: ClassVar[str] = "window"
    description: ClassVar[str] = "what runs in a window"
    takes_command: ClassVar[bool] = False

    def __init__(self) -> None:
        self.offered: asyncio.Future[Offered] = asyncio.get_running_loop().create_future()
        self.sessions: dict[str, WindowSession] = {}
        self.starts: list[Start] = []
        self.broken: set[str] = set()

    def missing(self) -> str:
        return ""

    async def watch(self, offered: Offered) -> None:
        self.offered.set_result(offered)
        await asyncio.Event().wait()

    async def open(self, *keys: str) -> None:
        await settle()
        await (await self.offered)([Offer(key=key, title=f"Title {key}", cwd="/tmp") for key in keys])
        await settle()

    async def start(self, start: Start, emit: Emit) -> WindowSession:
        key = start.lineage[-1] if start.lineage else f"new-{len(self.starts)}"
        if key in self.broken:
            raise BackendFailed("the window is shut")
        self.starts.append(start)
        self.sessions[key] = WindowSession(emit)
        await emit(Described(lineage=(key,)))
        return self.sessions[key]


class WindowSession:
    """`ports.Backend`."""

    def __init__(self, emit: Emit) -> None:
        self.emit, self.prompts = emit, list[str]()
        self.end = ""

    async def prompt(self, text: str) -> None:
        self.prompts.append(text)

    async def answer(self, request_id: str, answer: Answer) -> None:
        pass

    async def interrupt(self) -> None:
        pass

    async def close(self) -> None:
        self.end = "closed"

    async def let_go(self) -> None:
        self.end = "let go of"


@asynccontextmanager
async def at_desk(store: MemoryTranscripts, ids: count[int]) -> AsyncIterator[tuple[Desk, WindowBackend]]:
    backend = WindowBackend()
    async with running(store, ids, backends={"window": backend}) as desk:
        yield desk, backend


def listed(desk: Desk) -> dict[str, str]:
    return {row.title: row.status for row in desk.rows.values()}


async def test_what_runs_is_listed_and_goes_when_it_ends() -> None:
    async with at_desk(MemoryTranscripts(), count(1)) as (desk, window):
        await window.open("a", "b")
        assert listed(desk) == {"Title a": "idle", "Title b": "idle"}
        assert [(start.found, start.lineage) for start in window.starts] == [(True, ("a",)), (True, ("b",))]
        assert {row.lineage for row in desk.rows.values()} == {("a",), ("b",)}
        await window.open("a", "b")  # nothing new
        assert len(window.starts) == 2
        await window.open("b")
        assert listed(desk) == {"Title b": "idle"}


async def test_what_comes_back_goes_on_in_the_same_log() -> None:  # S11
    async with at_desk(MemoryTranscripts(), count(1)) as (desk, window):
        await window.open("a")
        session = next(iter(desk.rows))
        await window.open()
        await window.open("a")
        assert list(desk.rows) == [session]
        await submit(desk, session, "hello")
        await settle()
        assert window.sessions["a"].prompts == ["hello"]
        log = [payload_of(event) for event in await whole_log(desk, session)]
        notes = [entry.note for entry in log if isinstance(entry, SessionInfo) and entry.note]
        assert notes == ["it ended where it ran", "it runs again"]


async def test_after_a_restart_what_still_runs_is_the_same_session_and_what_does_not_is_gone() -> None:
    store, ids = MemoryTranscripts(), count(1)
    async with at_desk(store, ids) as (desk, window):
        await window.open("a", "b")
        before = {row.title: row.id for row in desk.rows.values()}
    async with at_desk(store, ids) as (desk, window):
        await window.open("b")
        assert {row.title: row.id for row in desk.rows.values()} == {"Title b": before["Title b"]}
        assert window.starts[0].restored


async def test_what_was_started_from_here_is_not_found_again_and_stays() -> None:  # R2
    async with at_desk(MemoryTranscripts(), count(1)) as (desk, window):
        await desk.sessions.create(CreateSession(backend="window", title="ours"), ME)
        await window.open("new-0")
        assert listed(desk) == {"ours": "idle"}
        await window.open()
        assert listed(desk) == {"ours": "idle"}


async def test_one_that_cannot_be_joined_is_tried_again_and_keeps_nobody_away() -> None:
    async with at_desk(MemoryTranscripts(), count(1)) as (desk, window):
        window.broken.add("a")
        await window.open("a", "b")
        assert [start.lineage for start in window.starts] == [("b",)]
        window.broken.clear()
        await window.open("a", "b")
        assert [start.lineage for start in window.starts] == [("b",), ("a",)]
        assert len(desk.rows) == 2


async def test_what_is_typed_at_its_window_is_a_turn_with_its_sender() -> None:  # S7, S10
    async with at_desk(MemoryTranscripts(), count(1)) as (desk, window):
        await window.open("a")
        session = SessionId(next(iter(desk.rows)))
        emit = window.sessions["a"].emit
        await emit(Prompted(text="typed there", by="window"))
        await emit(Said("a reply"))
        await settle()
        assert desk.rows[session].status == "working"
        assert (await submit(desk, session, "from here")).status == "queued"  # S1
        await emit(Prompted(text="and more", by="window"))
        await emit(Finished(status="complete"))
        await settle()
        assert window.sessions["a"].prompts == ["from here"]
        await emit(Finished(status="complete"))
        log = [payload_of(event) for event in await whole_log(desk, session)]
        said = [(entry.text, entry.sender.client) for entry in log if isinstance(entry, UserMessage)]
        assert said == [("typed there", "window"), ("from here", "")]
        assert [entry.turn for entry in log if isinstance(entry, TurnComplete)] == [1, 2]
        assert any(isinstance(entry, SessionInfo) and entry.note == "[desk window] and more" for entry in log)


async def test_the_end_of_a_typed_line_ends_no_prompt_that_came_meanwhile() -> None:
    async with at_desk(MemoryTranscripts(), count(1)) as (desk, window):
        await window.open("a")
        session = SessionId(next(iter(desk.rows)))
        emit = window.sessions["a"].emit
        await submit(desk, session, "from here")
        await settle()  # the backend has it, while what was typed there goes on
        await emit(Prompted(text="typed there", typed=True))
        await emit(Finished(status="complete", typed=True))
        await settle()
        assert desk.rows[session].status == "working"
        await emit(Finished(status="complete", exit_status=7))
        await emit(Prompted(text="typed after it", typed=True))
        await emit(Finished(status="complete", exit_status=1, typed=True))
        await settle()
        log = [payload_of(event) for event in await whole_log(desk, session)]
        assert [(e.turn, e.exit_status) for e in log if isinstance(e, TurnComplete)] == [(1, 7), (2, 1)]


async def test_a_flood_of_windows_is_bounded() -> None:
    async with at_desk(MemoryTranscripts(), count(1)) as (desk, window):
        await window.open(*(str(number) for number in range(200)))
        for _ in range(20):
            await settle()
        assert len(desk.rows) == 128


async def test_what_was_started_from_here_and_ran_on_is_joined_after_a_restart() -> None:
    store, ids = MemoryTranscripts(), count(1)
    async with at_desk(store, ids) as (desk, window):
        await desk.sessions.create(CreateSession(backend="window", title="ours"), ME)
        await settle()
    async with at_desk(store, ids) as (desk, window):
        assert window.starts == []
        await window.open("new-0")
        assert [(start.found, start.restored, start.lineage) for start in window.starts] == [(False, True, ("new-0",))]
        assert listed(desk) == {"ours": "idle"}


async def test_a_service_that_stops_lets_go_of_what_others_use_and_a_person_who_closes_ends_it() -> None:
    async with at_desk(MemoryTranscripts(), count(1)) as (desk, window):
        await window.open("a", "b")
        session = next(row.id for row in desk.rows.values() if row.title == "Title a")
        await desk.sessions.close(session, ME)
        await settle()
        assert (window.sessions["a"].end, window.sessions["b"].end) == ("closed", "")
    assert window.sessions["b"].end == "let go of"


async def test_a_turn_of_the_past_does_not_mix_with_one_that_runs() -> None:
    async with at_desk(MemoryTranscripts(), count(1)) as (desk, window):
        await window.open("a")
        session = next(iter(desk.rows))
        emit = window.sessions["a"].emit
        for event in (Prompted(text="once", by="window", past=True), Said("long ago"), Finished(status="complete")):
            await emit(event)
        await settle()
        await submit(desk, session, "now")
        await settle()
        late = (Prompted(text="later", by="window", past=True), Said("left out"), Finished(status="complete"))
        for event in (*late, Said("the answer"), Finished(status="complete")):
            await emit(event)
        log = [payload_of(event) for event in await whole_log(desk, session)]
        assert [entry.text for entry in log if isinstance(entry, UserMessage)] == ["once", "now"]
        assert [entry.turn for entry in log if isinstance(entry, TurnComplete)] == [1, 2]
        assert "left out" not in repr(log)


async def test_a_question_for_the_device_itself_is_answered_there_only() -> None:  # T7
    async with at_desk(MemoryTranscripts(), count(1)) as (desk, window):
        await window.open("a")
        session = next(iter(desk.rows))
        await window.sessions["a"].emit(Asked(request_id="sudo", kind="secret", prompt="Password: ", local=True))
        await settle()
        asked = AnswerRequest(session_id=session, request_id="sudo", answer="hunter2")
        with pytest.raises(Forbidden, match="on the device of the session only"):
            await desk.sessions.answer(asked, Sender(device=PHONE, name="phone"))
        assert desk.rows[SessionId(session)].status == "needs-input"
        assert (await desk.sessions.answer(asked, ME)).status == "accepted"
        log = [payload_of(event) for event in await whole_log(desk, session)]
        assert [entry.by for entry in log if isinstance(entry, RequestClosed)] == [ME]
        assert "hunter2" not in repr(log)


async def test_the_owner_is_told_what_a_backend_notices() -> None:
    async with at_desk(MemoryTranscripts(), count(1)) as (desk, window):
        await window.open("a")
        await window.sessions["a"].emit(Described(notice="somebody took \x1b[31mthis"))
        await settle()
        assert desk.problems.notices == (f"somebody took [31mthis: {next(iter(desk.rows))}",)
