"""sessions.host with what agents have and a shell has not: options, ids, rest, words unasked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import ClassVar

import pytest

from agent.errors import BadParams, SessionEnded
from agent.ports import Asked, Described, Emit, Exchange, Finished, Said, Start, ToolStarted
from agent.protocol.events import (
    Answer,
    Choice,
    Field,
    MessageComplete,
    MessageDelta,
    Option,
    SessionInfo,
    TurnComplete,
    Usage,
    payload_of,
)
from agent.protocol.messages import AnswerRequest, CreateSession, Submit
from agent.protocol.model import SessionId
from agent.sessions.host import REST_AFTER
from tests.fakes.clock import settle
from tests.fakes.desk import ME, Desk, attach, running, submit, whole_log
from tests.fakes.transcripts import MemoryTranscripts

MODES = (Choice(id="ask", name="Ask first"), Choice(id="free", name="Do it"))


class AgentBackend:
    """`ports.BackendType` of an agent: `sessions` are those it started, oldest first."""

    name: ClassVar[str] = "agent"
    description: ClassVar[str] = "an agent"
    takes_command: ClassVar[bool] = False

    def __init__(self) -> None:
        self.sessions: list[AgentSession] = []
        self.cleared: list[SessionId] = []

    def missing(self) -> str:
        return ""

    def closed(self) -> list[bool]:
        return [session.closed for session in self.sessions]

    async def clear_up(self, session: SessionId) -> None:
        assert not self.sessions  # nothing was started yet
        self.cleared.append(session)

    async def start(self, start: Start, emit: Emit) -> AgentSession:
        session = AgentSession(start, emit)
        session.past = await start.history(1000)
        self.sessions.append(session)
        await session.describe(f"own-{len(self.sessions)}")
        return session


class AgentSession:
    """`ports.Backend`, with options and rest."""

    def __init__(self, start: Start, emit: Emit) -> None:
        self.start, self.emit = start, emit
        self.past: list[Exchange] = []
        self.mode, self.closed, self.busy, self.interrupted = "ask", False, False, 0
        self.answers: list[Answer] = []

    async def describe(self, own_id: str = "") -> None:
        option = Option(id="mode", name="Mode", value=self.mode, choices=MODES, category="mode")
        await self.emit(Described(lineage=(own_id,) if own_id else (), options=(option,)))

    async def prompt(self, text: str) -> None:
        await self.emit(Said(f"heard {text}"))
        self.busy = text == "@hold"
        if not self.busy:
            await self.emit(Finished(status="complete", usage=Usage(used=7, size=10)))

    async def answer(self, request_id: str, answer: Answer) -> None:
        self.answers.append(answer)

    async def interrupt(self) -> None:
        self.interrupted += 1
        self.busy = False
        await self.emit(Finished(status="interrupted"))

    async def choose(self, option: str, value: str) -> None:
        self.mode = value
        await self.describe()

    def may_rest(self) -> bool:
        return not self.busy

    async def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def at_desk(
    backend: AgentBackend, store: MemoryTranscripts | None = None, ids: count[int] | None = None
) -> AsyncIterator[Desk]:
    async with running(store, ids, {"agent": backend}) as desk:
        yield desk


async def begin(desk: Desk) -> SessionId:
    session = await desk.sessions.create(CreateSession(backend="agent"), ME)
    await settle()
    return session


async def test_an_option_is_set_told_and_shown_to_who_comes_later() -> None:
    async with at_desk(agent := AgentBackend()) as desk:
        session = await begin(desk)
        await desk.sessions.configure(session, "mode", "Do it", ME)  # by name, too
        await settle()
        assert agent.sessions[0].mode == "free"
        async with desk.viewer() as viewer:
            attached = await attach(viewer, session)
            assert [option.value for option in attached.options] == ["free"]
        assert ("configured", ME.device, session, 0) in desk.notes
        for option, value, words in [("mode", "other", "not one of the choices"), ("model", "x", "no option 'model'")]:
            with pytest.raises(BadParams, match=words):
                await desk.sessions.configure(session, option, value, ME)
        with pytest.raises(BadParams, match="no option"):
            await desk.sessions.configure(await desk.sessions.create(CreateSession(), ME), "mode", "free", ME)


async def test_the_programs_own_id_is_kept_and_handed_back_after_a_restart() -> None:  # S11
    store, ids = MemoryTranscripts(), count(1)
    async with at_desk(AgentBackend(), store, ids) as desk:
        session = await begin(desk)
        assert desk.rows[session].lineage == ("own-1",)
        await submit(desk, session, "hello")
        await settle()
    agent = AgentBackend()
    async with at_desk(agent, store, ids) as desk:
        await submit(desk, session, "again")
        await settle()
        start = agent.sessions[0].start
        assert (start.restored, start.lineage) == (True, ("own-1",))
        assert agent.sessions[0].past == [Exchange("hello", "heard hello")]
        assert desk.rows[session].lineage == ("own-1",)  # the same id once more is no news
        assert (await store.sessions())[0].lineage == ("own-1",)


async def test_what_a_killed_service_left_is_cleared_up_before_a_session_is_back() -> None:
    store, ids = MemoryTranscripts(), count(1)
    async with at_desk(first := AgentBackend(), store, ids) as desk:
        kept, closed = await begin(desk), await begin(desk)
        await desk.sessions.close(closed, ME)
        assert first.cleared == []  # new ones have left nothing
    agent = AgentBackend()
    async with at_desk(agent, store, ids) as desk:
        await settle()
        assert agent.cleared == [kept]
        await submit(desk, kept, "again")


async def test_an_idle_agent_rests_and_the_next_prompt_brings_it_back() -> None:
    async with at_desk(agent := AgentBackend()) as desk:
        session = await begin(desk)
        await submit(desk, session, "hello")
        await settle()
        await desk.clock.advance(REST_AFTER / 2)
        assert agent.closed() == [False]
        await desk.clock.advance(REST_AFTER)
        assert agent.closed() == [True]
        assert desk.rows[session].status == "idle"
        await submit(desk, session, "again")
        await settle()
        assert agent.sessions[1].start.restored
        assert agent.sessions[1].start.lineage == ("own-1",)
        assert agent.sessions[1].past == [Exchange("hello", "heard hello")]
        texts = [
            p.text for event in await whole_log(desk, session) if isinstance(p := payload_of(event), MessageComplete)
        ]
        assert texts == ["heard hello", "heard again"]
        await desk.clock.advance(2 * REST_AFTER)
        assert agent.closed() == [True, True]  # and again


async def test_an_agent_rests_after_a_restart_too() -> None:
    store, ids = MemoryTranscripts(), count(1)
    async with at_desk(AgentBackend(), store, ids) as desk:
        session = await begin(desk)
    async with at_desk(agent := AgentBackend(), store, ids) as desk:
        await submit(desk, session, "hello")
        await settle()
        assert agent.closed() == [False]
        await desk.clock.advance(2 * REST_AFTER)
        assert agent.closed() == [True]


async def test_an_option_wakes_an_agent_that_rests() -> None:
    async with at_desk(agent := AgentBackend()) as desk:
        session = await begin(desk)
        await desk.clock.advance(REST_AFTER * 2)
        assert agent.sessions[0].closed
        await desk.sessions.configure(session, "mode", "free", ME)
        assert agent.sessions[1].mode == "free"


async def test_who_works_or_asks_does_not_rest() -> None:
    async with at_desk(agent := AgentBackend()) as desk:
        working = await begin(desk)
        await begin(desk)
        await submit(desk, working, "@hold")
        await agent.sessions[1].emit(Asked(request_id="q", kind="line"))
        await settle()
        await desk.clock.advance(REST_AFTER * 3)
        assert agent.closed() == [False, False]


async def test_steering_interrupts_what_runs_and_goes_before_what_waits() -> None:  # S1
    async with at_desk(agent := AgentBackend()) as desk:
        session = await begin(desk)
        for text in ("@hold", "second"):
            await submit(desk, session, text)
        asked = Submit(session_id=session, prompt_id="steer", text="third", steer=True)
        verdict = await desk.sessions.prompting.submit(asked, ME)
        assert (verdict.status, verdict.position) == ("queued", 1)
        assert (await desk.sessions.prompting.submit(asked, ME)).status == "duplicate"  # S3
        await settle()
        assert agent.sessions[0].interrupted == 1
        done = [p for event in await whole_log(desk, session) if isinstance(p := payload_of(event), TurnComplete)]
        assert [(turn.turn, turn.status) for turn in done] == [(1, "interrupted"), (3, "complete"), (2, "complete")]
        assert done[1].usage == Usage(used=7, size=10)


async def test_what_an_agent_says_unasked_is_shown_and_whole_after_a_restart() -> None:  # S2, S4
    store, ids = MemoryTranscripts(), count(1)
    async with at_desk(agent := AgentBackend(), store, ids) as desk:
        session = await begin(desk)
        async with desk.viewer() as viewer:
            await attach(viewer, session)
            await agent.sessions[0].emit(Said("by the "))
            await agent.sessions[0].emit(Said("way"))
            await agent.sessions[0].emit(ToolStarted(tool_id="t", title="look"))
            await agent.sessions[0].emit(Said(", more"))
            await settle()
            assert desk.rows[session].status == "idle"
    async with at_desk(AgentBackend(), store, ids) as desk:
        await submit(desk, session, "hello")
        await settle()
        log = [payload_of(event) for event in await whole_log(desk, session)]
        whole = [(entry.turn, entry.part, entry.text) for entry in log if isinstance(entry, MessageComplete)]
        assert whole == [(0, 1, "by the way"), (0, 2, ", more"), (1, 1, "heard hello")]
        assert "".join(e.text for e in log if isinstance(e, MessageDelta) and not e.turn) == "by the way, more"


async def test_a_form_is_filled_in_or_declined_and_checked_first() -> None:  # S9
    fields = (
        Field(name="n", type="integer", required=True),
        Field(name="how", type="choice", choices=MODES),
        Field(name="many", type="choices", choices=MODES),
        Field(name="sure", type="boolean"),
        Field(name="x", type="number"),
        Field(name="why"),
    )
    wrong: list[tuple[Answer, str]] = [
        ("yes", "takes its fields"),
        ({}, "needs 'n'"),
        ({"n": True}, "a whole number"),
        ({"n": 1, "how": "no"}, "not one of the choices"),
        ({"n": 1, "many": "ask"}, "a list"),
        ({"n": 1, "sure": "yes"}, "true or false"),
        ({"n": 1, "x": "1"}, "a number"),
        ({"n": 1, "other": 1}, "no field 'other'"),
    ]
    async with at_desk(agent := AgentBackend()) as desk:
        session = await begin(desk)
        for number, answer in enumerate([{"n": 1, "how": "Do it", "many": ["ask"], "x": 2, "why": "so"}, "decline"]):
            await agent.sessions[0].emit(Asked(request_id=f"q{number}", kind="form", fields=fields))
            await settle()
            for bad, words in wrong:
                with pytest.raises(BadParams, match=words):
                    await desk.sessions.answer(AnswerRequest(session_id=session, answer=bad), ME)
            await desk.sessions.answer(AnswerRequest(session_id=session, answer=answer), ME)  # type: ignore[arg-type]
            await settle()
        filled = {"n": 1, "how": "free", "many": ["ask"], "x": 2, "why": "so"}
        assert agent.sessions[0].answers == [filled, "decline"]


async def test_what_is_told_again_is_not_logged_again() -> None:
    async with at_desk(agent := AgentBackend()) as desk:
        session = await begin(desk)
        for _ in range(5):
            await agent.sessions[0].describe()
        await settle()
        log = [payload_of(event) for event in await whole_log(desk, session)]
        assert len([entry for entry in log if isinstance(entry, SessionInfo) and entry.options]) == 1


async def test_a_title_that_a_person_gave_is_not_changed_by_the_agent() -> None:
    store, ids = MemoryTranscripts(), count(1)
    async with at_desk(agent := AgentBackend(), store, ids) as desk:
        asked = (CreateSession(backend="agent", title="mine"), CreateSession(backend="agent"))
        mine, free = [await desk.sessions.create(each, ME) for each in asked]
        for session in agent.sessions:
            await session.emit(Described(title="the agent's"))
        await settle()
        assert [desk.rows[session].title for session in (mine, free)] == ["mine", "the agent's"]
        await desk.sessions.rename(free, "ours", ME)
    async with at_desk(agent := AgentBackend(), store, ids) as desk:
        await submit(desk, free, "wake")
        await settle()
        await agent.sessions[0].emit(Described(title="once more"))
        await settle()
        assert desk.rows[free].title == "ours"
        await desk.sessions.rename(free, "", ME)
        await agent.sessions[0].emit(Described(title="once more"))
        await settle()
        assert desk.rows[free].title == "once more"


async def test_a_session_is_called_by_its_program_until_that_names_it() -> None:
    class Program(AgentBackend):
        takes_command = True

    async with at_desk(agent := Program()) as desk:
        command = ("/usr/bin/vim", "--token=x", "notes.md")
        session = await desk.sessions.create(CreateSession(backend="agent", command=command), ME)
        assert (desk.rows[session].title, desk.rows[session].untitled) == ("vim", True)
        await agent.sessions[0].emit(Described(title="notes.md - VIM"))
        await settle()
        assert (desk.rows[session].title, desk.rows[session].untitled) == ("notes.md - VIM", False)


async def test_a_program_that_cannot_return_has_ended_with_the_service() -> None:  # S10
    class Mortal(AgentBackend):
        ends_with_service = "it ended with the service"

    store, ids = MemoryTranscripts(), count(1)
    async with at_desk(Mortal(), store, ids) as desk:
        session = await begin(desk)
        await submit(desk, session, "@hold")
    async with at_desk(agent := Mortal(), store, ids) as desk:
        await settle()
        assert desk.rows[session].status == "ended"
        with pytest.raises(SessionEnded):
            await submit(desk, session, "again")
        assert agent.sessions == []
        done = [p for event in await whole_log(desk, session) if isinstance(p := payload_of(event), TurnComplete)]
        assert [(turn.status, turn.error) for turn in done] == [("interrupted", "it ended with the service")]


async def test_what_a_restart_of_the_service_has_cost_a_program_is_in_the_log() -> None:
    class Forgetful(AgentBackend):
        starts_anew = "it remembers nothing"

    store, ids = MemoryTranscripts(), count(1)
    async with at_desk(Forgetful(), store, ids) as desk:
        session = await begin(desk)
    async with at_desk(Forgetful(), store, ids) as desk:
        await settle()
        told = [p.note for event in await whole_log(desk, session) if isinstance(p := payload_of(event), SessionInfo)]
        assert told[-1] == "the service was restarted; it remembers nothing"


async def test_a_closed_session_takes_no_option() -> None:
    async with at_desk(AgentBackend()) as desk:
        session = await begin(desk)
        await desk.sessions.close(session, ME)
        with pytest.raises(SessionEnded):
            await desk.sessions.configure(session, "mode", "free", ME)
