"""Rows of a running turn that may still change, and colours: shown to whoever asked for them, and to nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from agent.ports import Finished, Prompted, Said, Tail
from agent.protocol.codec import typed
from agent.protocol.events import Event, MessageComplete, MessageDelta, payload_of
from agent.protocol.messages import Attach, Attached, CreateSession, History, TurnTail
from agent.sessions.rules.reply import HEAD_MAX
from agent.sessions.runner import EventQueue
from tests.fakes.clock import settle
from tests.fakes.desk import ME, Desk, running, submit, whole_log
from tests.fakes.echo import EchoSession
from tests.fakes.viewer import Viewer

RED = "\x1b[31mred\x1b[0m"


@asynccontextmanager
async def turn() -> AsyncIterator[tuple[Desk, str, EchoSession]]:
    """A desk with a session whose first turn runs."""
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        await submit(desk, session, "@hold")
        await settle()
        yield desk, session, desk.echo.sessions[0]


async def attach(viewer: Viewer, session: str, *, colours: bool = True, tail: bool = True) -> Attached:
    asked = Attach(session_id=session, colours=colours, tail=tail)
    attached = typed(await viewer.channel.request("session.attach", asked, seconds=5.0), Attached)
    await settle()
    return attached


def shown(viewer: Viewer) -> list[TurnTail]:
    return [told for _, told in viewer.told if isinstance(told, TurnTail)]


def said(events: Sequence[Event]) -> str:
    payloads = [payload_of(event) for event in events]
    return "".join(each.text for each in payloads if isinstance(each, MessageDelta))


async def test_rows_come_after_the_text_before_them_and_are_no_event() -> None:  # S2, S4
    async with turn() as (desk, session, echo), desk.viewer() as viewer:
        attached = await attach(viewer, session)
        await echo.tell(Said("given\n"))
        await echo.tell(Tail(" 50 %"))
        await settle()
        (rows,) = shown(viewer)
        assert (rows.turn, rows.text, rows.after_seq) == (1, " 50 %", viewer.seqs()[-1])
        assert viewer.seqs() == list(range(attached.seq + 1, rows.after_seq + 1))
        log = await whole_log(desk, session)
        assert log[-1].seq == rows.after_seq
        assert all(b"50 %" not in bytes(event.payload) for event in log)


async def test_whoever_attaches_in_mid_turn_is_shown_the_newest_rows() -> None:
    async with turn() as (desk, session, echo), desk.viewer() as viewer:
        await echo.tell(Tail("one\n 50 %"))
        await echo.tell(Said("one\n"))
        await attach(viewer, session)
        assert [rows.text for rows in shown(viewer)] == [" 50 %"]
        await echo.tell(Tail())
        await settle()
        assert [rows.text for rows in shown(viewer)] == [" 50 %", ""]


async def test_nothing_moves_any_more_once_the_turn_is_over() -> None:
    async with turn() as (desk, session, echo), desk.viewer() as viewer:
        await echo.tell(Tail(" 50 %"))
        await echo.tell(Finished(status="complete"))
        await echo.tell(Tail("too late"))
        await attach(viewer, session)
        assert shown(viewer) == []


async def test_rows_of_a_past_turn_that_is_left_out_are_left_out() -> None:
    async with turn() as (desk, session, echo), desk.viewer() as viewer:
        await attach(viewer, session)
        await echo.tell(Prompted(text="earlier", past=True))
        await echo.tell(Tail("earlier"))
        await settle()
        assert shown(viewer) == []


async def test_who_did_not_ask_gets_no_rows_and_no_colours() -> None:  # as earlier versions
    async with turn() as (desk, session, echo), desk.viewer() as knows, desk.viewer() as older:
        await echo.tell(Said(f"before {RED}\n"))
        first = {viewer: await attach(viewer, session, colours=wants, tail=wants)
                 for viewer, wants in ((knows, True), (older, False))}  # fmt: skip
        await echo.tell(Said(f"after {RED}\n"))
        await echo.tell(Tail(RED))
        await settle()
        (rows,) = shown(knows)
        assert (rows.text, shown(older)) == (RED, [])
        for viewer, text in ((knows, RED), (older, "red")):
            snapshot = first[viewer].snapshot
            assert snapshot is not None
            assert said(snapshot.events) == f"before {text}\n"
            assert said([Event(e.seq, e.type, e.payload, e.at) for e in viewer.events]) == f"after {text}\n"
        assert knows.seqs() == older.seqs()


async def test_rows_without_colours_are_for_who_asks_for_rows_alone() -> None:
    async with turn() as (desk, session, echo), desk.viewer() as viewer:
        await attach(viewer, session, colours=False)
        await echo.tell(Tail(RED))
        await settle()
        assert [rows.text for rows in shown(viewer)] == ["red"]


@pytest.mark.parametrize("colours", [True, False])
async def test_the_history_and_what_was_missed_have_colours_for_who_asks(colours: bool) -> None:
    async with turn() as (desk, session, echo):
        await echo.tell(Said(f"{RED}\n"))
        await echo.tell(Finished(status="complete"))
        await settle()
        asked = History(session_id=session, after=0, limit=1000, colours=colours)
        page = await desk.sessions.archive.history(asked)
        whole = [payload.text for payload in map(payload_of, page.events) if isinstance(payload, MessageComplete)]
        assert whole == [f"{RED}\n" if colours else "red\n"]
        async with desk.viewer() as viewer:
            resume = Attach(session_id=session, after=0, epoch=page.epoch, colours=colours)
            await viewer.channel.request("session.attach", resume, seconds=5.0)
            await settle()
            assert [each.text for each in viewer.payloads() if isinstance(each, MessageComplete)] == whole


async def test_no_colour_is_parted_by_what_a_reply_may_hold() -> None:
    async with turn() as (desk, session, echo):
        line = f"\x1b[38;2;10;20;30m{'x' * 21}\x1b[0m\n"
        for _ in range(3 * HEAD_MAX // (400 * len(line)) + 1):
            await echo.tell(Said(line * 400))
        await echo.tell(Finished(status="complete"))
        await settle()
        asked = History(session_id=session, after=0, limit=1000)
        events = (await desk.sessions.archive.history(asked)).events
        assert "\x1b" not in said(events)
        assert "[38" not in said(events)
        assert "characters left out" in said(events)


def test_of_rows_that_wait_only_the_newest_counts() -> None:
    queue = EventQueue()

    async def fill() -> None:
        for event in (Said("a"), Tail("1"), Tail("2"), Said("b"), Tail("3")):
            await queue.put(event)

    asyncio.run(fill())
    assert queue.take() == [Said("a"), Tail("2"), Said("b"), Tail("3")]
