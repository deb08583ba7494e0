"""A link that takes another's place while an attachment is answered over the one that is put aside (L9)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from agent.protocol.messages import PeerLink
from agent.protocol.model import SessionId
from tests.fakes.clock import settle, turns
from tests.fakes.gateways import Device, Net, network
from tests.fakes.websocket import MemoryWebSocket
from tests.links.test_peers import attach, create, submit
from tests.terminals import test_hosted as terminals

APART = 10.0
"""Seconds after which the newer of two links stays, whoever dialled it."""


def end_at(net: Net, device: Device, other: Device) -> MemoryWebSocket:
    """The end of the present link at `device`."""
    (socket,) = [socket for socket in net.sockets(device, other) if socket.close_code is None]
    return socket


async def until(true: Callable[[], object]) -> None:
    while not true():
        await turns(1)


class Race:
    """Holds what `host` says over a link until another link has taken its place at `viewing`."""

    def __init__(self, net: Net, viewing: Device, host: Device) -> None:
        self._net, self._viewing, self._host = net, viewing, host
        self._near: MemoryWebSocket

    def hold(self, near: MemoryWebSocket) -> None:
        """`near`: the end of the link at the viewing device. It takes its time to close, as real ones do."""
        self._near = near
        near.other.stalled.clear()
        near.close_takes = near.other.close_takes = 30

    async def replace_then_answer(self) -> None:
        """Another link carries; then the answer comes over the one that is being closed."""
        old = self._viewing.peers.current(self._host.id)
        await self._net.join(self._host, self._viewing)
        await until(lambda: self._viewing.peers.current(self._host.id) is not old)
        self._near.other.stalled.set()
        await self._net.clock.advance(1.0)

    async def answer_and_replace(self) -> None:
        """The answer comes in the same turn of the loop in which the other link takes the place."""
        new = await self._net.join(self._viewing, self._host, mute=True)
        await settle()
        self._near.other.stalled.set()
        new.other.stalled.set()
        await self._net.clock.advance(1.0)


@pytest.fixture(params=["replaced, then answered", "answered and replaced in one turn"])
def how(request: pytest.FixtureRequest) -> Callable[[Race], object]:
    if request.param == "replaced, then answered":
        return Race.replace_then_answer
    return Race.answer_and_replace


async def test_who_attached_over_a_link_that_was_replaced_hears_everything(how: Callable[[Race], object]) -> None:  # L9
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        await net.clock.advance(APART)
        async with laptop.client() as viewer, desk.client() as local:
            race = Race(net, laptop, desk)
            race.hold(end_at(net, laptop, desk))
            attaching = net.group.create_task(attach(viewer, session))
            await settle()
            await how(race)  # type: ignore[misc]
            attached = await attaching
            await submit(local, session, "hello")
            await viewer.until("turn.complete")
            assert viewer.seqs() == list(range(attached.seq + 1, viewer.seqs()[-1] + 1))
            await settle()
            assert [(p.device, p.count) for p in desk.sessions.get(session).log.viewers.participants()] == [
                (laptop.id, 1)
            ]


async def test_who_was_attached_again_over_a_link_that_was_replaced_hears_everything(
    how: Callable[[Race], object],
) -> None:  # L9, S4
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer, laptop.client() as other, desk.client() as local:
            attached = await attach(viewer, session)
            await attach(other, session)
            await attach(local, session)
            net.cut(desk, laptop)
            await settle()
            await submit(local, session, "while you were away")
            await local.until("turn.complete")
            for device, peer in ((desk, laptop), (laptop, desk)):
                device.peers._supervisors[peer.id].wanted = False  # the test links them
            net.heal(desk, laptop)
            race = Race(net, laptop, desk)
            first = await net.join(laptop, desk)
            await until(lambda: laptop.peers.current(desk.id) is not None)
            race.hold(first)
            await settle()
            net.clock._now += APART
            await how(race)  # type: ignore[misc]
            await viewer.until("turn.complete")
            await submit(local, session, "hello")
            await viewer.until("turn.complete", 2)
            await other.until("turn.complete", 2)
            for each in (viewer, other):
                assert each.seqs() == list(range(attached.seq + 1, viewer.seqs()[-1] + 1))


async def test_who_attached_a_terminal_over_a_link_that_was_replaced_sees_everything(
    how: Callable[[Race], object],
) -> None:  # L9
    async with network("desk", "laptop") as (net, (desk, laptop)), AsyncExitStack() as stack:
        session = await terminals.create(desk)
        async with terminals.eye(desk, session):
            pass
        await net.clock.advance(APART)
        viewer = await stack.enter_async_context(laptop.client())
        watching = terminals.Eye(viewer, session)
        race = Race(net, laptop, desk)
        race.hold(end_at(net, laptop, desk))
        attaching = net.group.create_task(watching.attach())
        await settle()
        await how(race)  # type: ignore[misc]
        await attaching
        terminals.screen(desk).print(b"hello")
        await watching.look()
        assert watching.shown.endswith(b"hello")


async def test_a_terminal_that_was_attached_again_over_a_link_that_was_replaced_shows_everything(
    how: Callable[[Race], object],
) -> None:  # L9
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await terminals.create(desk)
        async with terminals.eye(laptop, session) as watching:
            net.cut(desk, laptop)
            await settle()
            terminals.screen(desk).print(b"while you were away, ")
            for device, peer in ((desk, laptop), (laptop, desk)):
                device.peers._supervisors[peer.id].wanted = False  # the test links them
            net.heal(desk, laptop)
            race = Race(net, laptop, desk)
            first = await net.join(laptop, desk)
            await until(lambda: laptop.peers.current(desk.id) is not None)
            race.hold(first)
            await settle()
            net.clock._now += APART
            await how(race)  # type: ignore[misc]
            terminals.screen(desk).print(b"hello")
            await watching.look()
            assert watching.shown.endswith(b"while you were away, hello")


async def test_a_link_that_takes_anothers_place_is_not_told_as_one_that_is_back() -> None:  # L5
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        await net.clock.advance(APART)
        async with laptop.client() as viewer:
            await attach(viewer, session)
            await net.join(desk, laptop)
            await settle()
            await submit(viewer, session, "hello")
            await viewer.until("turn.complete")
            assert [method for method, note in viewer.told if isinstance(note, PeerLink)] == []


async def test_a_session_whose_row_moves_on_while_nothing_comes_is_attached_again() -> None:  # L9: the second look
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer, desk.client() as local:
            attached = await attach(viewer, session)
            await attach(local, session)
            await settle()
            for channel in desk.sessions.attachments.of(SessionId(session)):
                if channel.device is not None:
                    desk.sessions.get(session).log.detach(channel)  # whatever went wrong
            await net.clock.advance(30.0)
            await submit(local, session, "hello")
            await local.until("turn.complete")
            assert viewer.seqs() == []
            await net.clock.advance(10.0)
            assert viewer.seqs() == list(range(attached.seq + 1, viewer.seqs()[-1] + 1))
            await submit(local, session, "and more")
            await viewer.until("turn.complete", 2)


@pytest.mark.parametrize("comes", [True, False, None])
async def test_a_link_closed_for_another_that_is_about_to_carry_is_not_told_as_lost(
    comes: bool | None,
) -> None:  # R10, L2; None: the device is unpaired before it does
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        await net.clock.advance(APART)
        async with laptop.client() as viewer:
            await attach(viewer, session)
            new = await net.join(laptop, desk, mute=True)  # the other side has our word, and we not yet its
            await settle()
            assert [each.close_code for each in net.sockets(laptop, desk)][-2:] == [1000, None]
            notes = [method for method, note in viewer.told if isinstance(note, PeerLink)]
            assert notes == []
            row = laptop.registry.device(desk.id)
            assert row is not None
            assert row.state == "online"
            if comes is None:
                laptop.unpair(desk)
                await settle()
                assert viewer.lost == [session]
                new.other.stalled.set()
                await net.clock.advance(1.0)
                assert laptop.peers.linked() == []
                return
            if comes:
                new.other.stalled.set()
            else:
                await new.close(code=1006)
            await net.clock.advance(5.0)
            notes = [method for method, note in viewer.told if isinstance(note, PeerLink)]
            assert notes == ([] if comes else ["peer.lost", "peer.back"])
            await submit(viewer, session, "hello")
            await viewer.until("turn.complete")


async def test_a_service_that_stops_takes_no_new_link_and_is_lost_once() -> None:  # R10, L5
    async with network("desk", "laptop") as (net, (desk, laptop)):
        with laptop.presence.subscribe() as changes:
            leaving = net.group.create_task(desk.peers.leave())
            await settle()
            await net.join(laptop, desk)
            await net.clock.advance(1.0)
            await leaving
            row = laptop.registry.device(desk.id)
            assert row is not None
            assert (row.state, row.reason) == ("offline", "it has stopped")
            assert desk.peers.linked() == []
            desk.stop()
            await settle()
            told = await changes.__anext__()
            assert [row.state for row in told.devices if row.id == desk.id] == ["offline"]
