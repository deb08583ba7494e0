"""links.peers and services.proxy: gateways in memory that reach each other's sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from agent.adapters.net.heartbeat import PROBE
from agent.errors import AgentError, Forbidden, NotPaired, PeerUnreachable, Refused, SessionNotFound
from agent.links.peers import FIRST_CONTACT
from agent.ports import Said, Tail
from agent.protocol.codec import typed
from agent.protocol.events import MessageDelta, UserMessage, payload_of
from agent.protocol.messages import (
    Answered,
    AnswerRequest,
    Attach,
    Attached,
    Created,
    CreateSession,
    Detach,
    History,
    ListSessions,
    OnSession,
    Page,
    ParticipantsChanged,
    PeerLink,
    SessionLost,
    Submit,
    Submitted,
    TurnTail,
)
from agent.protocol.model import REFUSES, PresenceRecord, SessionId, SessionRow
from tests.fakes.clock import LoopClock, settle
from tests.fakes.gateways import Device, Net, network, started
from tests.fakes.viewer import Viewer


async def create(device: Device, title: str = "work") -> SessionId:
    async with device.client() as viewer:
        created = await viewer.ask("session.create", CreateSession(title=title), Created)
    assert isinstance(created, Created)
    await settle()
    return created.session_id


async def attach(viewer: Viewer, session: str, after: int | None = None, epoch: str = "") -> Attached:
    raw = await viewer.channel.request(
        "session.attach", Attach(session_id=session, after=after, epoch=epoch), seconds=900.0
    )
    return typed(raw, Attached)


async def submit(viewer: Viewer, session: str, text: str, prompt_id: str = "") -> Submitted:
    asked = Submit(session_id=session, prompt_id=prompt_id or text, text=text)
    return typed(await viewer.channel.request("prompt.submit", asked, seconds=900.0), Submitted)


async def fails(viewer: Viewer, method: str, params: object) -> AgentError:
    try:
        await viewer.channel.request(method, params, seconds=900.0)
    except AgentError as exc:
        return exc
    raise AssertionError("it was answered")


def links(net: Net, one: Device, other: Device) -> bool:
    return one.id in other.peers.linked() and other.id in one.peers.linked()


async def test_paired_devices_hold_one_link_and_know_each_others_sessions() -> None:  # L2, L3, R3
    async with network("desk", "laptop") as (net, (desk, laptop)):
        assert links(net, desk, laptop)
        session = await create(desk)
        row = laptop.registry.session(session)
        assert row is not None
        assert (row.local, row.attachable, row.device.name, row.title) == (False, True, "desk", "work")
        await net.clock.advance(600.0)
        assert links(net, desk, laptop)
        assert len([open_ for open_ in net.sockets(desk, laptop) if open_.close_code is None]) == 1


async def test_a_remote_session_is_attached_and_prompted_like_a_local_one() -> None:  # L1, S7
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer, desk.client() as local:
            attached = await attach(viewer, session)
            assert attached.snapshot is not None
            assert not attached.snapshot.session.local
            await attach(local, session)
            assert (await submit(viewer, session, "hello there")).status == "started"
            await viewer.until("turn.complete")
            await local.until("turn.complete")
            assert [(e.seq, e.type, bytes(e.payload)) for e in viewer.events] == [
                (e.seq, e.type, bytes(e.payload)) for e in local.events
            ]
            said = viewer.payloads()[0]
            assert isinstance(said, UserMessage)
            assert (said.sender.device, said.sender.name) == (laptop.id, "laptop")


async def test_many_clients_share_one_upstream_attachment_and_are_counted() -> None:  # L2, S8
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as first, laptop.client() as second:
            await attach(first, session)
            await submit(first, session, "@slow 4")
            await attach(second, session)
            await settle()
            session_log = desk.sessions.get(session).log
            assert len(session_log.viewers) == 1
            assert [(p.device, p.count) for p in session_log.viewers.participants()] == [(laptop.id, 2)]
            await second.channel.request("session.detach", Detach(session_id=session), seconds=5.0)
            await settle()
            assert [(p.device, p.count) for p in session_log.viewers.participants()] == [(laptop.id, 1)]
            changes = [told.participants for _, told in first.told if isinstance(told, ParticipantsChanged)]
            assert [[(p.device, p.count) for p in each] for each in changes] == [[(laptop.id, 2)], [(laptop.id, 1)]]
        await settle()
        assert len(session_log.viewers) == 0


async def test_a_link_lost_in_the_middle_of_a_reply_loses_nothing() -> None:  # S4, L5
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer, laptop.client() as late:
            attached = await attach(viewer, session)
            await submit(viewer, session, "@slow 60")
            await net.clock.advance(10.0)
            await attach(late, session)
            for _ in range(4):
                net.cut(desk, laptop)
                await net.clock.advance(7.0)
                net.heal(desk, laptop)
                await net.clock.advance(5.0)
            await net.clock.advance(60.0)
            await viewer.until("turn.complete")
            assert viewer.seqs() == list(range(attached.seq + 1, viewer.seqs()[-1] + 1))
            assert late.seqs() == list(range(late.seqs()[0], viewer.seqs()[-1] + 1))
            assert sum(isinstance(p, MessageDelta) for p in viewer.payloads()) == 60
            told = [method for method, news in viewer.told if isinstance(news, PeerLink)]
            assert told == ["peer.lost", "peer.back"] * 4


async def test_a_prompt_under_way_when_the_link_breaks_runs_once() -> None:  # S3, L5
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            await submit(viewer, session, "@slow 5")
            for socket in net.sockets(desk, laptop):
                socket.mute = True  # the answer will not come
            ask = net.group.create_task(submit(viewer, session, "second"))
            await settle()
            net.cut(desk, laptop)
            await net.clock.advance(3.0)
            assert not ask.done()
            net.heal(desk, laptop)
            await net.clock.advance(20.0)
            assert (await ask).status == "duplicate"
            assert desk.echo.sessions[0].prompts == ["@slow 5", "second"]


async def test_a_silent_link_is_noticed_and_dialled_again() -> None:  # L3, R10
    async with network("desk", "laptop") as (net, (desk, laptop)):
        for socket in net.sockets(desk, laptop):
            for end in (socket, socket.other):
                end.mute = True
        await net.clock.advance(60.0)
        assert links(net, desk, laptop)
        assert len(net.dials) >= 2


def announces(net: Net, device: Device, *hosts: str) -> None:
    """Every other device hears and believes that it is there."""
    for other in net.gateways.values():
        if other is not device:
            revision = int(net.clock.time() * 1000)
            record = PresenceRecord(device=device.id, revision=revision, name=device.name, port=1000, hosts=hosts)
            other.registry.heard(record, "mdns", net.clock.time())
            other.peers.heard(device.id)


async def test_a_link_to_a_device_that_has_other_addresses_is_asked_at_once() -> None:  # L3
    async with network("desk", "laptop") as (net, (desk, laptop)):
        caller, moving = (desk, laptop) if (await desk.peers.link(laptop.id)).ours else (laptop, desk)
        announces(net, moving, f"host-{moving.name}", "fe80::1%eth0")
        await net.clock.advance(60.0)
        for end in net.sockets(desk, laptop):
            end.mute = end.other.mute = True  # as when it left that address
        dials = len(net.dials)
        announces(net, moving, f"host-{moving.name}", "fe80::1%eth0", "10.0.0.9")  # the old one lingers in caches
        await net.clock.advance(PROBE + 0.5)
        assert net.dials[dials:].count((caller.id, moving.id)) == 1  # the other side may have dialled as well (L2)
        assert links(net, desk, laptop)


@pytest.mark.parametrize("kept", [True, False])
async def test_a_link_that_carries_stays_whatever_is_announced(kept: bool) -> None:  # L3, T5: addresses are not signed
    async with network("desk", "laptop") as (net, (desk, laptop)):
        dials = len(net.dials)
        for device in (desk, laptop):
            announces(net, device, f"host-{device.name}")
            announces(net, device, "10.0.0.9", *([f"host-{device.name}"] if kept else []))
        await net.clock.advance(120.0)
        assert links(net, desk, laptop)
        assert len(net.dials) == dials


async def test_two_that_dial_at_once_keep_one_link() -> None:  # L2
    net = Net()
    desk, laptop = Device(net, "desk"), Device(net, "laptop")
    async with started(net, [desk, laptop]):
        desk.pair(laptop)  # both learn of each other in one step, so both dial
        await net.clock.advance(1.0)
        assert len(net.dials) == 2
        assert links(net, desk, laptop)
        live = [socket for socket in net.sockets(desk, laptop) if socket.close_code is None]
        assert len(live) == 1
        dials = len(net.dials)
        await net.clock.advance(300.0)
        assert len(net.dials) == dials


async def test_creating_on_a_peer_and_leaving_early_closes_the_orphan() -> None:  # L6
    async with network("desk", "laptop") as (net, (desk, laptop)):
        for socket in net.sockets(desk, laptop):
            socket.stalled.clear()
        async with laptop.client() as viewer:
            ask = net.group.create_task(fails(viewer, "session.create", CreateSession(device="desk")))
            await settle()
        await settle()
        assert isinstance(await ask, AgentError)
        for socket in net.sockets(desk, laptop):
            socket.stalled.set()
        await net.clock.advance(5.0)
        assert len(desk.echo.sessions) == 1
        assert desk.echo.sessions[0].closed
        assert desk.sessions.index.rows() == []


async def test_questions_are_answered_from_another_device() -> None:  # S9
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            await attach(viewer, session)
            await submit(viewer, session, "@ask line name?")
            await viewer.until("request.open")
            answered = await viewer.ask("request.answer", AnswerRequest(session_id=session, answer="Ada"), Answered)
            assert isinstance(answered, Answered)
            assert answered.status == "accepted"
            assert answered.by is not None
            assert answered.by.device == laptop.id
            await viewer.until("turn.complete")


async def test_a_gateway_passes_on_only_sessions_of_its_own() -> None:  # L7
    async with network("desk", "laptop", "pi") as (_, (desk, laptop, pi)):
        session = await create(desk)
        assert laptop.registry.session(session) is not None
        link = await pi.peers.link(laptop.id)
        rows = typed(
            await link.channel.request("session.list", ListSessions(scope="all"), seconds=5.0), list[SessionRow]
        )
        assert rows == []
        with pytest.raises(SessionNotFound):
            await link.channel.request("session.attach", Attach(session_id=session), seconds=5.0)
        for method in ("peer.list", "device.list", "device.pair", "device.unpair", "gateway.status"):
            with pytest.raises(Forbidden):
                await link.channel.request(method, {"device": "x"}, seconds=5.0)


async def test_an_unpaired_device_loses_its_link_at_once_and_is_told_why() -> None:  # T2, T4
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            await attach(viewer, session)
            desk.unpair(laptop)
            await net.clock.advance(1.0)
            assert not desk.peers.linked()
            assert not laptop.peers.linked()
            assert len(desk.sessions.get(session).log.viewers) == 0
            assert laptop.registry.sessions() == []  # R14: gone at once, though it is there
            found = laptop.registry.device(desk.id)
            assert found is not None
            assert (found.state, found.sessions, found.reason) == ("online", 0, REFUSES)
            assert laptop.registry.sessions(away=True) == []
            await net.clock.advance(30.0)
            assert not laptop.proxy._watched(desk.id)  # nobody waits ten minutes for it
        async with laptop.client() as viewer:
            for method, asked in (
                ("session.create", CreateSession(device="desk")),
                ("session.attach", Attach(session_id=session)),
                ("session.attach", Attach(session_id=f"desk/{session[:6]}")),
                ("session.attach", Attach(session_id="desk/another")),
                ("prompt.submit", Submit(session_id=session[:6], prompt_id="p", text="hello")),
                ("session.history", History(session_id=session)),
            ):
                error = await fails(viewer, method, asked)
                assert isinstance(error, Refused), method
                assert "does not accept this device" in str(error)
        desk.pair(laptop)
        await net.clock.advance(60.0)
        assert [row.id for row in laptop.registry.sessions()] == [session]
        desk.unpair(laptop)
        await net.clock.advance(1.0)
        desk.presence.heard_static(
            PresenceRecord(device=laptop.id, revision=0, name="", port=1000, hosts=("10.0.0.2",))
        )
        async with desk.client() as viewer:
            assert isinstance(await fails(viewer, "session.create", CreateSession(device=laptop.id)), NotPaired)


async def test_a_device_that_is_away_is_offline_and_says_so() -> None:  # R10
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        net.cut(desk, laptop)
        await net.clock.advance(10.0)
        row = laptop.registry.device(desk.id)
        assert row is not None
        assert (row.state, row.paired) == ("offline", True)
        assert row.since is not None
        assert laptop.registry.sessions() == []
        async with laptop.client() as viewer:
            async with asyncio.TaskGroup() as tasks:
                failing = tasks.create_task(
                    fails(viewer, "session.create", CreateSession(device="desk")), name="test.new"
                )
                await settle()
                await LoopClock().advance(FIRST_CONTACT)
            assert isinstance(failing.result(), PeerUnreachable)
        net.heal(desk, laptop)
        await net.clock.advance(40.0)
        assert links(net, desk, laptop)
        assert [row.id for row in laptop.registry.sessions()] == [session]


async def test_after_ten_minutes_a_lost_link_is_an_error() -> None:  # L5
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            await attach(viewer, session)
            net.cut(desk, laptop)
            await net.clock.advance(590.0)
            assert viewer.lost == []
            await net.clock.advance(20.0)
            assert viewer.lost == [session]
            assert not viewer.gone.is_set()


async def test_links_on_demand_open_when_needed_and_close_when_idle() -> None:  # L4
    net = Net()
    desk, laptop = Device(net, "desk", on_demand=True), Device(net, "laptop", on_demand=True)
    async with started(net, [desk, laptop]):
        desk.pair(laptop)
        await net.clock.advance(30.0)
        assert net.dials == []
        async with laptop.client() as viewer:
            raw = await viewer.channel.request("session.create", CreateSession(device="desk"), seconds=5.0)
            session = typed(raw, Created).session_id
            assert links(net, desk, laptop)
            await attach(viewer, session)
            await net.clock.advance(300.0)
            assert links(net, desk, laptop)
            await submit(viewer, session, "@slow 100")
            await viewer.channel.request("session.detach", Detach(session_id=session), seconds=5.0)
            await net.clock.advance(80.0)
            assert links(net, desk, laptop), "it still works there"
        await net.clock.advance(120.0)
        assert not links(net, desk, laptop)


async def test_closing_and_interrupting_reach_the_session_wherever_it_is() -> None:  # L1
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            await attach(viewer, session)
            await submit(viewer, session, "@hold")
            await viewer.ask("session.interrupt", OnSession(session_id=session))
            await viewer.until("turn.complete")
            await viewer.ask("session.close", OnSession(session_id="work"))
            await settle()
            assert laptop.registry.session(session) is None
            assert isinstance(
                await fails(viewer, "prompt.submit", Submit(session_id=session, prompt_id="x", text="x")), AgentError
            )


async def test_a_device_that_comes_and_goes_is_missed_as_soon_each_time() -> None:  # R10, L5
    # Backoff starts anew after every link that lasted, whichever side dialled it.
    async with network("desk", "laptop") as (net, (desk, laptop)):
        for _ in range(8):
            net.cut(desk, laptop)
            await net.clock.advance(5.0)
            for device, other in ((desk, laptop), (laptop, desk)):
                row = device.registry.device(other.id)
                assert row is not None
                assert row.state == "offline"
            net.heal(desk, laptop)
            await net.clock.advance(40.0)
            assert links(net, desk, laptop)


@pytest.mark.parametrize("stops", [True, False])
async def test_who_watches_is_told_whether_a_device_has_stopped_or_the_link_broke(stops: bool) -> None:  # R10, L5
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            await attach(viewer, session)
            if stops:
                leaving = net.group.create_task(desk.peers.leave())
                await net.clock.advance(1.0)
                await leaving
                desk.stop()
            else:
                net.cut(desk, laptop)
            await net.clock.advance(1.0)
            lost = [note.reason for _, note in viewer.told if isinstance(note, PeerLink)]
            assert lost == (["it has stopped"] if stops else [""])


@pytest.mark.parametrize("heard", [True, False])
async def test_who_watches_a_session_of_a_device_that_is_put_out_learns_why_it_ends(heard: bool) -> None:  # T4
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            await attach(viewer, session)
            await submit(viewer, session, "@slow 20")
            if heard:
                record = PresenceRecord(device=desk.id, revision=1, name="desk", port=1000, hosts=("10.0.0.1",))
                laptop.presence.heard_static(record)
            laptop.unpair(desk)
            await settle()
            lost = [note for method, note in viewer.told if method == "session.lost"]
            told = SessionLost(session_id=session, reason="desk is not paired with this device", kind="not-paired")
            assert lost == [told]
            assert not laptop.proxy._watched(desk.id)
            await net.clock.advance(60.0)


def rows(viewer: Viewer) -> list[TurnTail]:
    return [told for _, told in viewer.told if isinstance(told, TurnTail)]


def said(payloads: Iterable[object]) -> str:
    return "".join(each.text for each in payloads if isinstance(each, MessageDelta))


async def test_rows_and_colours_of_another_device_reach_those_clients_that_ask_for_them() -> None:  # L2
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as knows, laptop.client() as older, laptop.client() as late:
            await knows.ask("session.attach", Attach(session_id=session, colours=True, tail=True))
            await attach(older, session)
            await submit(knows, session, "@hold")
            await settle()
            echo = desk.echo.sessions[0]
            await echo.tell(Said("\x1b[31mred\x1b[0m\n"))
            await echo.tell(Tail("\x1b[32m 50 %\x1b[0m"))
            await settle()
            raw = await late.ask("session.attach", Attach(session_id=session, tail=True), Attached)
            assert isinstance(raw, Attached)
            await settle()
            assert [each.text for each in rows(knows)] == ["\x1b[32m 50 %\x1b[0m"] * 2
            assert [each.text for each in rows(late)] == [" 50 %"]
            assert rows(older) == []
            assert [said(viewer.payloads()) for viewer in (knows, older)] == ["\x1b[31mred\x1b[0m\n", "red\n"]
            assert raw.snapshot is not None
            assert said(map(payload_of, raw.snapshot.events)) == "red\n"
            asked = History(session_id=session, after=0, colours=True)
            page = await knows.ask("session.history", asked, Page)
            assert isinstance(page, Page)
            assert any(b"\x1b[31m" in bytes(event.payload) for event in page.events)
