"""L8: a request for a session that is out of reach waits, says so, can be taken back, and is carried out once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent.errors import AgentError, PeerLost, PeerUnreachable, Refused, SessionNotFound, TakenBack
from agent.links.patience import SETTLING
from agent.protocol.messages import AnswerRequest, Attach, CreateSession, History, Interrupt, OnSession, Rename, Submit
from agent.protocol.methods import REQUEST_CANCEL
from agent.protocol.model import SessionId
from agent.protocol.terminal import TerminalAttach
from agent.protocol.waiting import CancelCall, Patient, Waiting
from agent.trust.access import RATES
from tests.fakes.clock import settle
from tests.fakes.gateways import Device, Net, network
from tests.fakes.viewer import Viewer
from tests.links.test_peers import attach, create, links


async def told(viewer: Viewer, method: str, asked: Patient | CreateSession) -> object:
    """The answer, or the error."""
    try:
        return await viewer.channel.request(method, asked, seconds=900.0)
    except AgentError as exc:
        return exc


def ask(net: Net, viewer: Viewer, method: str, asked: Patient) -> asyncio.Task[object]:
    return net.group.create_task(told(viewer, method, asked))


def waiting(viewer: Viewer) -> list[Waiting]:
    return [note for _, note in viewer.told if isinstance(note, Waiting)]


def prompt(session: str, text: str = "hello", **more: Any) -> Submit:
    return Submit(session_id=session, prompt_id=f"id of {text}", text=text, call_id="c1", **more)


def status(device: Device, session: str) -> str:
    row = device.registry.session(SessionId(session))
    return row.status if row else "none"


async def unplugged(net: Net, desk: Device, laptop: Device) -> str:
    """A session on the desk, which has been away for ten seconds."""
    session = await create(desk)
    net.cut(desk, laptop)
    await net.clock.advance(10.0)
    return session


@pytest.mark.parametrize("selector", ["", "work", "desk/work"])
async def test_a_prompt_for_a_device_that_is_away_waits_and_runs_once(selector: str) -> None:  # L8, R12, S3
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await unplugged(net, desk, laptop)
        async with laptop.client() as viewer:
            sent = ask(net, viewer, "prompt.submit", prompt(selector or session))
            await net.clock.advance(120.0)
            assert not sent.done()
            first = waiting(viewer)[0]
            assert (first.call_id, first.method, first.name, first.sent) == ("c1", "prompt.submit", "desk", False)
            row = laptop.registry.device(desk.id)
            assert row is not None
            assert first.since == row.since
            net.heal(desk, laptop)
            await net.clock.advance(3.0)
            assert sent.done()
            await net.clock.advance(60.0)
            assert desk.echo.sessions[0].prompts == ["hello"]


@pytest.mark.parametrize(
    ("method", "kind", "fields"),
    [
        ("session.attach", Attach, {}),
        ("session.history", History, {}),
        ("session.interrupt", Interrupt, {}),
        ("prompt.list", OnSession, {}),
        ("session.rename", Rename, {"title": "other"}),
        ("session.participants", OnSession, {}),
        ("session.close", OnSession, {}),
    ],
)
async def test_every_request_about_a_session_has_the_same_patience(
    method: str, kind: Any, fields: dict[str, Any]
) -> None:  # L8
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await unplugged(net, desk, laptop)
        async with laptop.client() as viewer:
            await told(viewer, method, kind(session_id=session, wait=0, **fields))
            sent = ask(net, viewer, method, kind(session_id=session, call_id="c", **fields))
            await net.clock.advance(30.0)
            assert not sent.done()
            assert next(note.method for note in waiting(viewer)) == method
            net.heal(desk, laptop)
            await net.clock.advance(3.0)
            assert not isinstance(await sent, AgentError)


async def test_an_answer_waits_and_counts_once() -> None:  # L8, S9
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            await told(viewer, "prompt.submit", prompt(session, "@ask line Name?"))
            await net.clock.advance(1.0)
            net.cut(desk, laptop)
            await net.clock.advance(10.0)
            sent = ask(net, viewer, "request.answer", AnswerRequest(session_id=session, answer="Ada"))
            await net.clock.advance(20.0)
            net.heal(desk, laptop)
            await net.clock.advance(3.0)
            assert not isinstance(await sent, AgentError)
            assert [answer for _, answer in desk.echo.sessions[0].answers] == ["Ada"]


async def test_a_terminal_is_waited_for_too() -> None:  # L8
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await unplugged(net, desk, laptop)
        async with laptop.client() as viewer:
            sent = ask(net, viewer, "terminal.attach", TerminalAttach(session_id=session, call_id="c"))
            await net.clock.advance(20.0)
            assert next(note.method for note in waiting(viewer)) == "terminal.attach"
            net.heal(desk, laptop)
            await net.clock.advance(3.0)
            assert not isinstance(await sent, PeerUnreachable)


async def test_without_patience_it_fails_at_once_and_says_since_when() -> None:  # L8, R12
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await unplugged(net, desk, laptop)
        async with laptop.client() as viewer:
            dials = len(net.dials)
            error = await told(viewer, "prompt.submit", prompt(session, wait=0))
            assert isinstance(error, PeerUnreachable)
            assert "desk is out of reach for 10 s" in str(error)
            assert len(net.dials) == dials
            assert waiting(viewer) == []
        net.heal(desk, laptop)
        await net.clock.advance(60.0)
        assert desk.echo.sessions[0].prompts == []


async def test_after_the_patience_the_text_is_given_back_and_never_sent() -> None:  # L8
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await unplugged(net, desk, laptop)
        async with laptop.client() as viewer:
            own, ten_minutes = prompt(session, "own", wait=30.0), prompt(session, "usual")
            short, long = ask(net, viewer, "prompt.submit", own), ask(net, viewer, "prompt.submit", ten_minutes)
            await net.clock.advance(32.0)
            assert isinstance(await short, PeerUnreachable)
            await net.clock.advance(560.0)
            assert not long.done()
            await net.clock.advance(12.0)
            assert isinstance(await long, PeerUnreachable)
            net.heal(desk, laptop)
            await net.clock.advance(60.0)
            assert desk.echo.sessions[0].prompts == []


async def test_what_is_taken_back_is_never_sent() -> None:  # L8
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await unplugged(net, desk, laptop)
        async with laptop.client() as viewer:
            kept = ask(net, viewer, "prompt.submit", Submit(session_id=session, prompt_id="kept", text="kept"))
            sent = ask(net, viewer, "prompt.submit", prompt(session))
            await net.clock.advance(20.0)
            viewer.channel.notify(REQUEST_CANCEL, CancelCall(call_id="c1"))
            await settle()
            assert isinstance(await sent, TakenBack)
            net.heal(desk, laptop)
            await net.clock.advance(60.0)
            assert kept.done()
            assert desk.echo.sessions[0].prompts == ["kept"]


async def test_who_leaves_takes_back_what_was_not_sent() -> None:  # L8
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await unplugged(net, desk, laptop)
        async with laptop.client() as viewer:
            ask(net, viewer, "prompt.submit", prompt(session))
            await net.clock.advance(20.0)
        net.heal(desk, laptop)
        await net.clock.advance(60.0)
        assert links(net, desk, laptop)
        assert desk.echo.sessions[0].prompts == []


async def test_what_was_sent_before_the_link_broke_is_asked_about_again() -> None:  # L8, S3
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            for socket in net.sockets(desk, laptop):
                socket.mute = True  # the answer will not come
            sent = ask(net, viewer, "prompt.submit", prompt(session))
            await settle()
            net.cut(desk, laptop)
            await net.clock.advance(20.0)
            assert next(note.sent for note in waiting(viewer))
            net.heal(desk, laptop)
            await net.clock.advance(3.0)
            assert not isinstance(await sent, AgentError)
            assert desk.echo.sessions[0].prompts == ["hello"]


async def test_what_was_sent_already_is_not_called_taken_back() -> None:  # L8
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            for socket in net.sockets(desk, laptop):
                socket.mute = True
            sent = ask(net, viewer, "prompt.submit", prompt(session))
            await settle()
            net.cut(desk, laptop)
            await net.clock.advance(20.0)
            viewer.channel.notify(REQUEST_CANCEL, CancelCall(call_id="c1"))
            await settle()
            error = await sent
            assert isinstance(error, PeerLost)
            assert "whether it arrived is not known" in str(error)


async def test_a_link_that_is_dead_is_found_out_by_asking() -> None:  # L8, L3: in two seconds, not in twenty-two
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            for socket in net.sockets(desk, laptop):
                socket.mute = socket.other.mute = True
            sent = ask(net, viewer, "prompt.submit", prompt(session))
            await net.clock.advance(5.0)
            assert sent.done()
            assert desk.echo.sessions[0].prompts == ["hello"]


async def test_a_limit_that_names_its_cure_is_waited_out() -> None:  # L8, item 14
    many = RATES["prompts"].burst + 15
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            await attach(viewer, session)

            async def all_of_them() -> None:
                for number in range(many):
                    await told(viewer, "prompt.submit", prompt(session, str(number)))

            sending = net.group.create_task(all_of_them())
            await net.clock.advance(30.0)
            assert sending.done()
            assert desk.echo.sessions[0].prompts == [str(number) for number in range(many)]


async def test_a_device_that_has_just_started_is_not_believed_to_lack_a_session() -> None:  # L8
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        net.cut(desk, laptop)
        await net.clock.advance(10.0)
        hosted = desk.sessions._hosted.pop(session)  # as long as it restores
        async with laptop.client() as viewer:
            sent = ask(net, viewer, "prompt.submit", prompt(session))
            net.heal(desk, laptop)
            await net.clock.advance(4.0)
            assert links(net, desk, laptop)
            assert not sent.done()
            desk.sessions._hosted[session] = hosted
            await net.clock.advance(2.0)
            assert not isinstance(await sent, AgentError)
            await net.clock.advance(SETTLING)
            assert isinstance(await told(viewer, "prompt.submit", prompt("no such")), SessionNotFound)


async def test_a_device_that_refuses_for_good_is_not_waited_for() -> None:  # L8, R14
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await unplugged(net, desk, laptop)
        del desk.paired[laptop.id]
        net.heal(desk, laptop)
        async with laptop.client() as viewer:
            sent = ask(net, viewer, "prompt.submit", prompt(session))
            await net.clock.advance(20.0)
            assert isinstance(await sent, Refused | SessionNotFound)


async def test_an_interrupt_that_was_late_does_not_stop_another_turn() -> None:  # L8
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            await told(viewer, "prompt.submit", prompt(session, "first"))
            await settle()
            await told(viewer, "prompt.submit", prompt(session, "@hold"))
            await settle()
            await told(viewer, "session.interrupt", Interrupt(session_id=session, turn=1))
            await settle()
            assert status(desk, session) == "working"
            await told(viewer, "session.interrupt", Interrupt(session_id=session, turn=2))
            await settle()
            assert status(desk, session) == "idle"


async def test_of_a_device_that_has_stopped_it_is_said_to_start_it() -> None:  # L8, R10
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        leaving = net.group.create_task(desk.peers.leave())
        await net.clock.advance(1.0)
        await leaving
        desk.stop()
        await net.clock.advance(5.0)
        async with laptop.client() as viewer:
            asked = ask(net, viewer, "prompt.submit", prompt(session, wait=0.0))
            await net.clock.advance(5.0)
            error = await asked
            assert isinstance(error, PeerUnreachable)
            assert "(it has stopped)" in str(error)
            assert error.hint == "start `agent up` on that device"


async def test_a_new_session_waits_for_its_device_and_is_made_once() -> None:  # L8
    async with network("desk", "laptop") as (net, (desk, laptop)):
        await unplugged(net, desk, laptop)
        before = len(desk.sessions.index.rows())
        async with laptop.client() as viewer:
            asked = CreateSession(device="desk", wait=600.0, call_id="c1")
            made = net.group.create_task(told(viewer, "session.create", asked))
            await net.clock.advance(30.0)
            assert not made.done()
            first = waiting(viewer)[0]
            assert (first.call_id, first.method, first.name, first.sent) == ("c1", "session.create", "desk", False)
            net.heal(desk, laptop)
            await net.clock.advance(3.0)
            assert not isinstance(await made, AgentError)
            await net.clock.advance(60.0)
            assert len(desk.sessions.index.rows()) == before + 1


@pytest.mark.parametrize("how", ["taken back", "time", "at once"])
async def test_a_new_session_that_nobody_waits_for_any_more_is_never_made(how: str) -> None:  # L6, L8
    async with network("desk", "laptop") as (net, (desk, laptop)):
        await unplugged(net, desk, laptop)
        before = len(desk.sessions.index.rows())
        async with laptop.client() as viewer:
            wait = {"taken back": 600.0, "time": 20.0, "at once": 0.0}[how]
            asked = CreateSession(device="desk", wait=wait, call_id="c1")
            made = net.group.create_task(told(viewer, "session.create", asked))
            await net.clock.advance(15.0)
            if how == "taken back":
                viewer.channel.notify(REQUEST_CANCEL, CancelCall(call_id="c1"))
                await settle()
            await net.clock.advance(15.0)
            error = await made
            assert isinstance(error, TakenBack if how == "taken back" else PeerUnreachable)
            net.heal(desk, laptop)
            await net.clock.advance(30.0)
            assert len(desk.sessions.index.rows()) == before
