"""More than 64 of anything at once: no bound that is meant for a stranger is met by a burst of our own."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from msgspec import json, structs

from agent.protocol.codec import FRAME_OUT_MAX, msgpack, typed
from agent.protocol.events import UserMessage
from agent.protocol.messages import Created, CreateSession, Detach, ListSessions, SessionsChanged
from agent.protocol.model import Sender, SessionId, SessionRow
from agent.trust.access import RATES
from tests.fakes.clock import settle, turns
from tests.fakes.gateways import IN_LETTERS, Device, Net, network
from tests.fakes.viewer import Viewer
from tests.links.test_hostile_links import a_row
from tests.links.test_peers import attach, submit
from tests.terminals.test_hosted import create as create_terminal
from tests.terminals.test_hosted import eye, screen


async def created(device: Device, count: int) -> list[SessionId]:
    async with device.client() as viewer:
        asked = [viewer.channel.request("session.create", CreateSession(), seconds=60.0) for _ in range(count)]
        await asyncio.gather(*asked)
    return [row.id for row in device.sessions.index.rows()]


async def every(viewers: list[tuple[Viewer, SessionId]], count: int) -> None:
    """Return once each viewer was told so many turns of its session."""
    while any(sum(e.type == "turn.complete" and e.session_id == of for e in v.events) < count for v, of in viewers):
        await turns(1)


async def lose_and_return(net: Net, laptop: Device, *others: Device) -> None:
    for other in others:
        net.cut(laptop, other)
    await net.clock.advance(2.0)
    for other in others:
        net.heal(laptop, other)
    await net.clock.advance(30.0)


async def test_a_client_that_watches_three_hundred_sessions_goes_on_with_all_of_them() -> None:  # S4, S5, L5
    async with network("desk", "laptop", "pi") as (net, (desk, laptop, pi)):
        sessions = {desk: await created(desk, 200), pi: await created(pi, 100)}
        await net.clock.advance(1.0)
        async with laptop.client() as viewer:
            asked = [attach(viewer, session) for device in sessions for session in sessions[device]]
            await asyncio.gather(*asked)
            socket = viewer.socket
            await lose_and_return(net, laptop, desk, pi)
            for device, ids in sessions.items():
                for session in ids:
                    hosted = device.sessions.get(session)
                    assert [(p.device, p.count) for p in hosted.log.viewers.participants()] == [(laptop.id, 1)]
                    await hosted.submit(session, "hello", Sender(device=device.id, name=device.name))
            await every([(viewer, session) for ids in sessions.values() for session in ids], 1)
            assert viewer.lost == []
            assert socket.close_code is None
            for ids in sessions.values():
                for session in ids:
                    seqs = viewer.seqs(session)
                    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


async def test_three_hundred_viewers_of_one_session_all_go_on_and_are_counted() -> None:  # S5, S8, L2
    async with network("desk", "laptop") as (net, (desk, laptop)), AsyncExitStack() as stack:
        (session,) = await created(desk, 1)
        await net.clock.advance(1.0)
        viewers = [await stack.enter_async_context(laptop.client()) for _ in range(300)]
        await asyncio.gather(*(attach(viewer, session) for viewer in viewers))
        session_log = desk.sessions.get(session).log
        assert [(p.device, p.count) for p in session_log.viewers.participants()] == [(laptop.id, 300)]
        await lose_and_return(net, laptop, desk)
        assert [(p.device, p.count) for p in session_log.viewers.participants()] == [(laptop.id, 300)]
        await submit(viewers[0], session, "hello")
        await every([(viewer, session) for viewer in viewers], 1)
        assert all(viewer.lost == [] and viewer.socket.close_code is None for viewer in viewers)
        first = viewers[0]
        assert any(isinstance(payload, UserMessage) for payload in first.payloads())
        assert all(viewer.seqs() == first.seqs() for viewer in viewers)


async def test_viewers_that_leave_at_once_are_counted_with_few_requests() -> None:  # S8
    async with network("desk", "laptop") as (net, (desk, laptop)), AsyncExitStack() as stack:
        (session,) = await created(desk, 1)
        await net.clock.advance(1.0)
        viewers = [await stack.enter_async_context(laptop.client()) for _ in range(200)]
        await asyncio.gather(*(attach(viewer, session) for viewer in viewers))
        asked = _requests_left(desk, laptop)
        gone = [
            viewer.channel.request("session.detach", Detach(session_id=session), seconds=9.0) for viewer in viewers[:-1]
        ]
        await asyncio.gather(*gone)
        await settle()
        session_log = desk.sessions.get(session).log
        assert [(p.device, p.count) for p in session_log.viewers.participants()] == [(laptop.id, 1)]
        assert asked - _requests_left(desk, laptop) < 20


def _requests_left(host: Device, other: Device) -> float:
    bucket = host.access._buckets[other.id, "requests"]
    return bucket._tokens


async def test_a_host_that_is_busy_is_asked_again_and_nobody_is_let_go() -> None:  # L5
    async with network("desk", "laptop") as (net, (desk, laptop)):
        sessions = await created(desk, 10)
        await net.clock.advance(1.0)
        async with laptop.client() as viewer:
            await asyncio.gather(*(attach(viewer, session) for session in sessions))
            net.cut(desk, laptop)
            await settle()
            net.heal(desk, laptop)
            bucket = desk.access._buckets[laptop.id, "requests"]
            bucket._tokens = -2.0 * RATES["requests"].per_minute / 60.0  # nothing for two seconds
            await net.clock.advance(20.0)
            async with desk.client() as local:
                new = await local.ask("session.create", CreateSession(title="new"), Created)
            assert isinstance(new, Created)
            await settle()
            assert laptop.registry.session(new.session_id) is not None  # the list of sessions came, too
            for session in sessions:
                await submit(viewer, session, f"hello {session}")
            await every([(viewer, session) for session in sessions], 1)
            assert viewer.lost == []


async def test_sixteen_terminals_of_one_device_survive_a_lost_link() -> None:
    async with network("desk", "laptop") as (net, (desk, laptop)), AsyncExitStack() as stack:
        watching = []
        for _ in range(16):
            session = await create_terminal(desk)
            watching.append((await stack.enter_async_context(eye(laptop, session)), screen(desk)))
        await lose_and_return(net, laptop, desk)
        for number, (_, shown) in enumerate(watching):
            shown.print(b"this is number %d" % number)
        for number, (each, _) in enumerate(watching):
            await each.look()
            assert each.shown.endswith(b"this is number %d" % number)


async def test_what_a_device_had_attached_over_a_link_that_is_closing_does_not_count() -> None:
    async with network("desk", "laptop") as (net, (desk, laptop)):
        (session,) = await created(desk, 1)
        await net.clock.advance(10.0)
        async with laptop.client() as viewer:
            await attach(viewer, session)
            assert desk.sessions.attachments.count(laptop.id) == 1
            ends = [end for socket in net.sockets(desk, laptop) for end in (socket, socket.other)]
            for end in ends:
                end.may_close.clear()
            await net.join(laptop, desk)
            await net.clock.advance(1.0)
            attached = desk.sessions.attachments.count(laptop.id)
            for end in ends:
                end.may_close.set()
            assert attached == 1


async def test_a_list_of_more_sessions_than_fit_into_a_frame_comes_in_parts() -> None:  # R4
    async with network("laptop") as (_, (laptop,)):
        rows = [a_row(f"s{number:05}", title="t" * 120) for number in range(2500)]
        laptop.presence.local_sessions(rows, ())
        async with laptop.client() as viewer:
            raw = await viewer.channel.request("session.watch", ListSessions(), seconds=5.0)
            await settle()
            listed = typed(raw, list[SessionRow])
            for _, note in viewer.told:
                assert isinstance(note, SessionsChanged)
                assert len(msgpack.notification("session.changed", note)) < FRAME_OUT_MAX
                listed += note.changed
            assert [row.id for row in listed] == [row.id for row in laptop.registry.sessions("all")]
            assert len(listed) == 2500


async def test_t11_rows_of_many_devices_are_told_in_frames_that_fit() -> None:
    async with network("desk", "laptop", "pi") as (_, (desk, laptop, pi)):
        fat = ('"' * 128,) * 16
        for device, first in ((desk, "d"), (pi, "p")):
            ids = [f"{first}{number:0>15}".translate(IN_LETTERS) for number in range(250)]
            rows = [structs.replace(a_row(session), lineage=fat, cwd='"' * 512) for session in ids]
            laptop.presence.link_sessions(device.id, rows, whole=True)
        async with laptop.client() as viewer:
            first_rows = typed(
                await viewer.channel.request("session.watch", ListSessions(), seconds=9.0), list[SessionRow]
            )
            await settle()
            changes = [note for method, note in viewer.told if isinstance(note, SessionsChanged)]
            told = [row for change in changes for row in change.changed]
            assert len(first_rows) + len(told) == 500
            assert all(len(json.encode(change)) < FRAME_OUT_MAX for change in [first_rows, *changes])
