"""sessions.host: what waits is taken back, stored, shown to everybody, and never runs, not after a restart either."""

from __future__ import annotations

from itertools import count

import pytest

from agent.errors import Forbidden, StoreFull
from agent.protocol.events import TurnComplete, payload_of
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
