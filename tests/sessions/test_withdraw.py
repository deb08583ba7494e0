"""sessions.host: what waits is taken back, stored, shown to everybody, and never runs, not after a restart either."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Forbidden, PromptNotFound, StoreFull
from agent.protocol.events import MessageStart, Payload, TurnComplete, UserMessage, payload_of
from agent.protocol.messages import CreateSession, Interrupt
from agent.protocol.model import Sender, SessionId
from agent.protocol.prompts import QUEUED_TEXT_MAX, Withdraw, Withdrawn
from tests.fakes.clock import settle
from tests.fakes.desk import ME, OWN, PHONE, Desk, FullDisk, attach, running, submit, whole_log
from tests.fakes.transcripts import MemoryTranscripts

PHONES = Sender(device=PHONE, name="phone")


async def held(desk: Desk, *waiting: str) -> SessionId:
    """A session in which a turn runs, and these wait."""
    session = await desk.sessions.create(CreateSession(), ME)
    await submit(desk, session, "@hold")
    for text in waiting:
        assert (await submit(desk, session, text, text[:64])).status == "queued"
    await settle()
    return session


async def withdraw(desk: Desk, session: SessionId, prompt_id: str, by: Sender = ME) -> Withdrawn:
    return await desk.sessions.prompting.withdraw(Withdraw(session_id=session, prompt_id=prompt_id), by)


async def released(desk: Desk) -> list[str]:
    """What the program was handed, once it has nothing more to do."""
    desk.echo.sessions[-1].released.set()
    await settle()
    return desk.echo.sessions[-1].prompts


async def test_a_prompt_is_taken_back_for_everybody_who_watches_and_in_every_list() -> None:  # S12
    async with running() as desk, desk.viewer() as viewer:
        session = await held(desk, "one", "two")
        attached = await attach(viewer, session)
        assert [(each.prompt_id, each.text, each.sender) for each in attached.queue] == [
            ("one", "one", ME), ("two", "two", ME)
        ]  # fmt: skip
        assert desk.rows[session].queued == 2
        told = await withdraw(desk, session, "one")
        assert told == Withdrawn(status="withdrawn", text="one", turn=2, by=ME)
        assert desk.rows[session].queued == 1
        await viewer.until("turn.complete")
        assert viewer.payloads() == [
            TurnComplete(turn=2, status="interrupted", error="taken back by desk before it ran", withdrawn_by=ME)
        ]
        assert [each.prompt_id for each in await desk.sessions.prompting.queue(session)] == ["two"]
        assert await released(desk) == ["@hold", "two"]
        assert ("withdrew", OWN, session, 3) in desk.notes


async def test_what_was_taken_back_does_not_run_after_a_restart_either() -> None:  # S3, S12
    store, ids = MemoryTranscripts(), count(1)
    async with running(store, ids) as desk:
        session = await held(desk, "one", "two")
        await withdraw(desk, session, "one")
    async with running(store, ids) as desk:
        assert (await submit(desk, session, "one")).status == "duplicate"
        await settle()
        assert desk.echo.sessions[-1].prompts == ["two"]
        assert (await withdraw(desk, session, "one")).status == "withdrawn"


async def test_asked_again_the_answer_is_the_same_and_the_text_is_not_lost() -> None:  # S3
    store, ids = MemoryTranscripts(), count(1)
    async with running(store, ids) as desk:
        session = await held(desk, "a draft worth keeping")
        first = await withdraw(desk, session, "a draft worth keeping")
        assert await withdraw(desk, session, "a draft worth keeping") == first
        assert [note[0] for note in desk.notes].count("withdrew") == 1
    async with running(store, ids) as desk:
        assert await withdraw(desk, session, "a draft worth keeping") == first


async def test_only_the_sender_and_the_owner_take_a_prompt_back() -> None:  # S12, S7
    async with running() as desk:
        session = await held(desk, "mine")
        with pytest.raises(Forbidden, match="desk sent that prompt"):
            await withdraw(desk, session, "mine", PHONES)
        assert desk.rows[session].queued == 1


async def test_a_full_disk_lets_the_prompt_wait() -> None:  # S2
    disk = FullDisk()
    async with running(disk) as desk:
        session = await held(desk, "one")
        disk.full = True
        with pytest.raises(StoreFull):
            await withdraw(desk, session, "one")
        assert desk.rows[session].queued == 1
        disk.full = False
        assert (await withdraw(desk, session, "one")).status == "withdrawn"


async def test_an_interrupt_says_what_waits_behind_it_and_with_all_drops_that_too() -> None:  # S12
    async with running() as desk:
        session = await held(desk, "one", "two" * QUEUED_TEXT_MAX)
        told = await desk.sessions.prompting.interrupt(Interrupt(session_id=session, turn=7), ME)
        assert (told.turn, len(told.queue), told.dropped) == (0, 2, None)
        told = await desk.sessions.prompting.interrupt(Interrupt(session_id=session, all=True), ME)
        assert told.dropped is not None
        assert [len(each.text) for each in told.dropped] == [3, QUEUED_TEXT_MAX]
        assert (told.turn, told.queue) == (1, ())
        await settle()
        assert desk.echo.sessions[-1].prompts == ["@hold"]
        over = [payload_of(event) for event in await whole_log(desk, session) if event.type == "turn.complete"]
        assert [(done.turn, done.status) for done in over if isinstance(done, TurnComplete)] == [
            (2, "interrupted"), (3, "interrupted"), (1, "interrupted")
        ]  # fmt: skip
        assert [note[3] for note in desk.notes if note[0] == "withdrew"] == [3, 3 * QUEUED_TEXT_MAX]
        told = await desk.sessions.prompting.interrupt(Interrupt(session_id=session, all=True), ME)
        assert (told.turn, told.dropped) == (0, ())


async def test_an_interrupt_of_all_by_another_device_drops_its_own_and_the_others_run() -> None:  # S12
    async with running() as desk:
        session = await held(desk, "desks")
        told = await desk.sessions.prompting.interrupt(Interrupt(session_id=session, all=True), PHONES)
        assert (told.dropped, [each.text for each in told.queue]) == ((), ["desks"])
        await settle()
        assert desk.echo.sessions[-1].prompts == ["@hold", "desks"]


class Racing:
    """A session that lives several times; what is done to it between two rounds of the loop is done at once."""

    def __init__(self) -> None:
        self.store, self.ids = MemoryTranscripts(), count(1)
        self.session = SessionId("")
        self.withdrawn: set[str] = set()
        self.handed: Counter[str] = Counter()  # prompts that a program got

    async def live(self, steps: list[tuple[str, int]]) -> None:
        async with running(self.store, self.ids) as desk:
            self.session = self.session or await desk.sessions.create(CreateSession(), ME)
            async with asyncio.TaskGroup() as racing:
                for step, number in steps:
                    if step == "settle":
                        await settle()
                    else:
                        racing.create_task(getattr(self, step)(desk, f"@hold {number}"))
            await settle()
            self.handed.update(text for each in desk.echo.sessions for text in each.prompts)

    async def submit(self, desk: Desk, prompt_id: str) -> None:
        await submit(desk, self.session, prompt_id)

    async def withdraw(self, desk: Desk, prompt_id: str) -> None:
        with suppress(PromptNotFound):
            if (await withdraw(desk, self.session, prompt_id)).status == "withdrawn":
                self.withdrawn.add(prompt_id)

    async def interrupt(self, desk: Desk, _: str) -> None:
        await desk.sessions.prompting.interrupt(Interrupt(session_id=self.session), ME)

    async def drop(self, desk: Desk, _: str) -> None:
        told = await desk.sessions.prompting.interrupt(Interrupt(session_id=self.session, all=True), ME)
        self.withdrawn.update(each.prompt_id for each in told.dropped or ())

    async def release(self, desk: Desk, _: str) -> None:
        for backend in desk.echo.sessions:
            backend.released.set()

    async def end(self) -> list[Payload | None]:
        """The whole log, once the program has nothing more to do."""
        async with running(self.store, self.ids) as desk:
            await settle()
            while desk.rows[self.session].status == "working":
                await released(desk)
            self.handed.update(text for each in desk.echo.sessions for text in each.prompts)
            return [payload_of(event) for event in await whole_log(desk, self.session)]


STEPS = st.tuples(
    st.sampled_from(["submit", "submit", "withdraw", "interrupt", "drop", "release", "settle"]), st.integers(0, 5)
)


@given(st.lists(st.lists(STEPS, max_size=12), max_size=3))
async def test_in_any_order_each_prompt_is_handed_over_once_or_withdrawn(lives: list[list[tuple[str, int]]]) -> None:
    # S3, S12: as in `rules/test_withdraw`, with the lock, the store and a program.
    world = Racing()
    for steps in [[], *lives]:
        await world.live(steps)
    log = await world.end()
    turns = {said.turn: said.prompt_id for said in log if isinstance(said, UserMessage)}
    begun = Counter(turns[start.turn] for start in log if isinstance(start, MessageStart))
    over = Counter(turns[done.turn] for done in log if isinstance(done, TurnComplete))
    assert over == Counter(turns.values())
    for prompt_id in turns.values():
        assert begun[prompt_id] == (prompt_id not in world.withdrawn)
        assert world.handed[prompt_id] <= begun[prompt_id]
