"""S12 between two devices: who may take a prompt back, by a proxying gateway, over lost links, from older versions."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import pytest

from agent.errors import Forbidden, MethodNotFound
from agent.gateway.routes import Caller, SessionRoute
from agent.protocol import methods
from agent.protocol.codec import typed
from agent.protocol.events import TurnComplete
from agent.protocol.messages import Interrupt, Interrupted, OnSession
from agent.protocol.methods import Method
from agent.protocol.model import SessionId
from agent.protocol.prompts import Withdraw, Withdrawn
from agent.protocol.waiting import Patient
from tests.fakes.clock import settle
from tests.fakes.gateways import Device, network
from tests.fakes.viewer import Viewer
from tests.links.test_peers import attach, create, fails, submit

P = TypeVar("P", bound=Patient)
R = TypeVar("R")


async def answer(viewer: Viewer, method: Method[P, R], params: P) -> R:
    return typed(await viewer.channel.request(method.name, params, seconds=900.0), method.result)


async def withdraw(viewer: Viewer, session: str, prompt_id: str) -> Withdrawn:
    return await answer(viewer, methods.PROMPT_WITHDRAW, Withdraw(session_id=session, prompt_id=prompt_id))


async def waiting(viewer: Viewer, session: str) -> list[str]:
    return [each.prompt_id for each in await answer(viewer, methods.PROMPT_LIST, OnSession(session_id=session))]


async def busy(device: Device) -> SessionId:
    """A session in which a turn of its own device runs."""
    session = await create(device)
    async with device.client() as local:
        await submit(local, session, "@hold")
    await settle()
    return session


def outdated(device: Device) -> None:
    """Let a device be of the version before: it has no such methods, and tells nothing of what waits."""
    for method in (methods.PROMPT_LIST, methods.PROMPT_WITHDRAW):
        del device.router.routes[method.name]
    interrupt = device.router.routes[methods.SESSION_INTERRUPT.name]
    assert isinstance(interrupt, SessionRoute)

    async def before(session: SessionId, request: Interrupt, caller: Caller) -> object:
        await interrupt.here(session, Interrupt(session_id=request.session_id, turn=request.turn), caller)
        return Interrupted()

    device.router.routes[methods.SESSION_INTERRUPT.name] = SessionRoute(methods.SESSION_INTERRUPT, before)


async def test_a_prompt_is_taken_back_from_another_device_and_everybody_sees_it_go() -> None:  # S12, S7
    async with network("desk", "laptop", "phone") as (_, (desk, laptop, phone)):
        session = await busy(desk)
        async with laptop.client() as viewer, phone.client() as other, desk.client() as owner:
            for each in (viewer, other, owner):
                await attach(each, session)
            await submit(viewer, session, "from the laptop")
            await submit(other, session, "from the phone")
            await settle()
            (mine, theirs) = (await attach(other, session)).queue
            assert (mine.text, mine.sender.name, theirs.sender.device) == ("from the laptop", "laptop", phone.id)
            row = phone.registry.session(session)
            assert row is not None
            assert row.queued == 2
            refused = await fails(other, "prompt.withdraw", Withdraw(session_id=session, prompt_id=mine.prompt_id))
            assert isinstance(refused, Forbidden)
            assert str(refused) == "laptop sent that prompt"
            told = await withdraw(viewer, session, mine.prompt_id)
            assert (told.status, told.text) == ("withdrawn", "from the laptop")
            assert told.by is not None
            assert told.by.device == laptop.id
            for each in (viewer, other, owner):
                await each.until("turn.complete")
                (done,) = [payload for payload in each.payloads() if isinstance(payload, TurnComplete)]
                assert (done.turn, done.withdrawn_by) == (mine.turn, told.by)
            assert (await withdraw(owner, session, theirs.prompt_id)).text == "from the phone"
            await settle()
            assert await waiting(other, session) == []
            row = phone.registry.session(session)
            assert row is not None
            assert row.queued == 0
            assert [each for each in desk.log.done() if each[1] == "withdrew"] == [
                ("laptop", "withdrew", session), ("desk", "withdrew", session)
            ]  # fmt: skip
            assert "from the" not in str(desk.log.entries)


async def test_a_prompt_that_runs_already_says_so_through_a_proxy() -> None:  # S12
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            await submit(viewer, session, "@hold", "p")
            await settle()
            told = await withdraw(viewer, session, "p")
            assert (told.status, told.running, told.text) == ("started", True, "")
            unknown = await fails(viewer, "prompt.withdraw", Withdraw(session_id=session, prompt_id="x"))
            assert unknown.kind == "prompt-not-found"


async def test_taking_back_waits_for_a_device_that_is_away_and_counts_once() -> None:  # L8
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await busy(desk)
        async with laptop.client() as viewer:
            await submit(viewer, session, "hello", "p")
            net.cut(desk, laptop)
            await net.clock.advance(10.0)
            asked = net.group.create_task(withdraw(viewer, session, "p"))
            await net.clock.advance(30.0)
            assert not asked.done()
            net.heal(desk, laptop)
            await net.clock.advance(3.0)
            assert (await asked).text == "hello"
            assert [action for _, action, _ in desk.log.done()].count("withdrew") == 1


async def test_a_lost_answer_is_asked_for_again_and_the_text_comes_after_all() -> None:  # L5, S3
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await busy(desk)
        async with laptop.client() as viewer:
            await submit(viewer, session, "a draft", "p")
            for socket in net.sockets(desk, laptop):
                socket.stalled.clear()  # the desk does it, and its answer never arrives
            asked = net.group.create_task(withdraw(viewer, session, "p"))
            await settle()
            assert [action for _, action, _ in desk.log.done()].count("withdrew") == 1
            assert not asked.done()
            net.cut(desk, laptop)
            net.heal(desk, laptop)
            await net.clock.advance(5.0)
            told = await asked
            assert (told.status, told.text) == ("withdrawn", "a draft")


async def test_an_interrupt_from_another_device_tells_what_waits_and_drops_what_it_sent() -> None:  # S12
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await busy(desk)
        async with laptop.client() as viewer, desk.client() as owner:
            await submit(owner, session, "@hold again")
            await submit(viewer, session, "mine")
            asked = Interrupt(session_id=session, all=True)
            told = await answer(viewer, methods.SESSION_INTERRUPT, asked)
            assert told.dropped is not None
            assert [each.text for each in told.dropped] == ["mine"]
            assert [each.sender.name for each in told.queue] == ["desk"]
            await settle()
            assert desk.echo.sessions[0].prompts == ["@hold", "@hold again"]


async def test_a_program_in_a_session_takes_nothing_back() -> None:  # T9
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session, there = await busy(desk), await busy(laptop)
        async with desk.client() as inside:
            await submit(inside, session, "waits", "p")
            desk.router.guard.note(inside.serving, session)
            for each in (session, there):
                asked = (
                    ("prompt.withdraw", Withdraw(session_id=each, prompt_id="p")),
                    ("session.interrupt", Interrupt(session_id=each, all=True)),
                )
                for method, params in asked:
                    assert isinstance(await fails(inside, method, params), Forbidden)
            assert await waiting(inside, session) == ["p"]


async def test_an_older_device_is_named_with_what_to_do_about_it() -> None:
    async with network("desk", "laptop") as (_, (desk, laptop)):
        outdated(desk)
        session = await busy(desk)
        async with laptop.client() as viewer:
            for method in ("prompt.list", "prompt.withdraw"):
                params = Withdraw(session_id=session, prompt_id="p") if "w" in method else OnSession(session_id=session)
                refused = await fails(viewer, method, params)
                assert isinstance(refused, MethodNotFound)
                assert str(refused) == "desk's lan-agent is too old for this"
                assert refused.hint == "update it on that device, and start the service there again"
            told = await answer(viewer, methods.SESSION_INTERRUPT, Interrupt(session_id=session, all=True))
            assert (told.turn, told.dropped) == (None, None)


async def test_what_waits_of_a_device_that_is_unpaired_is_gone_and_cannot_be_taken_back_any_more() -> None:  # T4
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await busy(desk)
        async with laptop.client() as viewer, desk.client() as owner:
            await submit(viewer, session, "hello", "p")
            assert await waiting(owner, session) == ["p"]
            desk.unpair(laptop)
            await settle()
            assert await waiting(owner, session) == []
            told = await withdraw(owner, session, "p")
            assert (told.status, told.running) == ("started", False)
            desk.echo.sessions[0].released.set()
            await settle()
            assert desk.echo.sessions[0].prompts == ["@hold"]


@pytest.mark.parametrize("first", ["withdraw", "interrupt"])
async def test_an_interrupt_and_taking_back_at_the_same_moment_leave_nothing_half_done(first: str) -> None:  # S12
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await busy(desk)
        async with laptop.client() as viewer, desk.client() as owner:
            await submit(viewer, session, "@hold", "p")
            works = [
                withdraw(viewer, session, "p"),
                answer(owner, methods.SESSION_INTERRUPT, Interrupt(session_id=session)),
            ]
            if first == "interrupt":
                works.reverse()
            told = await asyncio.gather(*works)
            await settle()
            (taken,) = [each for each in told if isinstance(each, Withdrawn)]
            ran = desk.echo.sessions[0].prompts == ["@hold", "@hold"]
            assert (taken.status == "started") is ran
            assert desk.sessions.index.rows()[0].status == ("working" if ran else "idle")
