"""Two machines with one key, as after a disk was copied: every device says so, and no link flaps between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.links.supervisor import TWIN_PROOF, TWIN_RETRY
from agent.links.twins import QUIET, TwinReports
from agent.problems import Problems
from agent.protocol.messages import CreateSession
from agent.protocol.names import short_id
from tests.fakes.clock import FakeClock, settle
from tests.fakes.gateways import Device, Net, network, started


@asynccontextmanager
async def cloned() -> AsyncIterator[tuple[Net, Device, Device, Device]]:
    """`desk` is linked to `pi`; then a machine starts that has the same key."""
    async with network("desk", "pi") as (net, (desk, pi)):
        assert desk.peers.linked() == [pi.id]
        pi.host = "10.0.0.5"
        clone = Device(net, "pi", device=pi.id)
        clone.host = "10.0.0.7"
        clone.pair(desk)
        group = net.group
        async with started(net, [clone]):
            net.gateways[pi.id] = pi  # desk reaches the first one
            net.group = group
            yield net, desk, pi, clone


async def test_the_first_link_stays_and_the_second_is_turned_away_and_slow_to_return() -> None:
    async with cloned() as (net, desk, pi, clone):
        first = desk.peers._supervisors[pi.id].link
        await net.clock.advance(10 * TWIN_RETRY)
        assert desk.peers._supervisors[pi.id].link is first
        assert pi.peers.linked() == [desk.id]
        assert clone.peers.linked() == []
        dials = [caller for caller, _ in net.dials if caller == pi.id]
        assert len(dials) <= 14  # the first link, and one dial a minute; it flapped several times a second


async def test_every_device_says_that_there_are_two() -> None:
    async with cloned() as (net, desk, pi, clone):
        await net.clock.advance(5.0)
        (told,) = desk.problems.current
        assert "runs on two machines at once" in told
        assert "10.0.0.7" in told
        assert "move its identity.pem away" in told
        for one in (pi, clone):
            (told,) = one.problems.current
            assert "another machine with this device's key" in told
        row = clone.registry.device(desk.id)
        assert row is not None
        assert "another machine that has this device's key" in row.reason


async def test_it_is_over_when_one_of_them_has_gone_and_the_other_gets_the_link() -> None:
    async with cloned() as (net, desk, pi, clone):
        await net.clock.advance(5.0)
        pi.stop()
        net.gateways[pi.id] = clone
        net.cut(desk, pi)
        net.heal(desk, pi)
        await net.clock.advance(QUIET + TWIN_RETRY)
        assert clone.peers.linked() == [desk.id]
        assert desk.problems.current == ()
        assert clone.problems.current == ()


async def test_a_machine_that_restarts_before_its_former_link_ends_is_no_twin() -> None:
    async with network("desk", "pi") as (net, (desk, pi)):
        for socket in net.sockets(desk, pi):
            socket.stalled.clear()  # power cut: nothing comes of that link any more, and nobody ends it
            socket.other.stalled.clear()
        again = Device(net, "pi", device=pi.id)
        again.pair(desk)
        group = net.group
        async with started(net, [again]):
            net.group = group
            await net.clock.advance(TWIN_PROOF + 1.0)
            assert again.peers.linked() == [desk.id]
            assert desk.problems.current == ()
            async with again.client() as viewer:
                await viewer.ask("session.create", CreateSession(title="after"))
            await settle()
            assert [row.title for row in desk.registry.sessions("remote")] == ["after"]


async def test_a_condition_ends_when_there_was_no_sign_for_a_while() -> None:
    clock = FakeClock()
    problems = Problems(lambda line: None, clock.time)
    twins = TwinReports(clock, short_id, problems)
    twins.announced(["10.0.0.7", "10.0.0.7", "\x1b[2J" * 40])
    (told,) = problems.current
    assert "at 10.0.0.7 and" in told
    assert "\x1b" not in told
