"""The WebSocket client: whose device it is, and what survives a restart of the service."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.client.follow import REMOTE_RETRY, Hydrated, Mark, NextEvent, follow
from agent.client.stream import ConnectionBack, ConnectionLost, streaming
from agent.errors import NotRunning
from agent.protocol.events import MessageDelta, MessageStart, SessionInfo, UserMessage, make_event
from agent.protocol.messages import (
    Attached,
    EventOf,
    Nothing,
    PairNews,
    PeersChanged,
    Ready,
    SessionLost,
    Snapshot,
    Submit,
)
from agent.protocol.methods import PEER_LIST, PROMPT_SUBMIT
from tests.fakes.clock import FakeClock, turns
from tests.fakes.waiting import until
from tests.frontends.conftest import Agent
from tests.frontends.gateway import DESK, HERE, THERE, FakeGateway, _of, _sender, device, session


async def test_the_first_gateway_ready_names_the_own_device(gateway: FakeGateway) -> None:  # DESIGN §3
    gateway.names = ["mine", "another"]
    async with streaming(gateway.path) as stream:
        await asyncio.to_thread(gateway.tell, "gateway.ready", Ready(device=DESK, name="desk"))
        await asyncio.to_thread(gateway.tell, "peer.changed", PeersChanged())
        notes = stream.notes()
        assert isinstance(await anext(notes), PeersChanged)
        await asyncio.to_thread(gateway.stop)
        assert isinstance(await anext(notes), ConnectionLost)
        await asyncio.to_thread(gateway.start)
        assert isinstance(await anext(notes), ConnectionBack)
        assert stream.own is not None
        assert stream.own.name == "mine"


async def test_whoever_is_told_that_a_session_was_lost_attaches_to_it_again(gateway: FakeGateway) -> None:  # S4, L9
    said = UserMessage(turn=1, prompt_id="p", text="count", sender=_sender())
    await asyncio.to_thread(gateway.emit, said, MessageStart(turn=1))
    async with streaming(gateway.path) as stream:
        events = follow(stream, Mark(HERE))
        assert isinstance(await anext(events), Hydrated)
        await asyncio.to_thread(gateway.tell, "session.lost", SessionLost(session_id=THERE, reason="another one"))
        assert isinstance(await anext(events), SessionLost)
        await asyncio.to_thread(gateway.tell, "session.lost", SessionLost(session_id=HERE, reason="gone over there"))
        assert isinstance(await anext(events), SessionLost)
        again = await anext(events)
        assert isinstance(again, Hydrated)
        assert again.again
        assert [asked.after for asked in gateway.called("session.attach")] == [None, 2]


async def next_of(events: AsyncIterator[object]) -> object:
    return await anext(events)


async def test_a_session_that_was_lost_is_attached_again_although_the_service_restarts_meanwhile(
    gateway: FakeGateway,
) -> None:  # S4, L9: the device was waited for already, so that the request itself waits for nothing
    async with streaming(gateway.path) as stream:
        events = follow(stream, Mark(HERE))
        assert isinstance(await anext(events), Hydrated)
        await asyncio.to_thread(gateway.tell, "session.lost", SessionLost(session_id=HERE, reason="gone over there"))
        assert isinstance(await anext(events), SessionLost)
        stream.clock = clock = FakeClock()  # type: ignore[assignment]  # instead of the system's
        await asyncio.to_thread(gateway.stop)
        async with asyncio.TaskGroup() as tasks:
            again = tasks.create_task(next_of(events), name="test.again")
            await until(lambda: stream._socket is None)
            await clock.advance(REMOTE_RETRY)  # asks while nothing is there to answer
            assert not again.done()
            await asyncio.to_thread(gateway.start)
            while not again.done():
                await clock.advance(REMOTE_RETRY)
                await turns(1)
        hydrated = again.result()
        assert isinstance(hydrated, Hydrated)
        assert hydrated.again


async def test_a_restart_of_the_service_loses_and_repeats_nothing(gateway: FakeGateway) -> None:  # S4
    said = UserMessage(turn=1, prompt_id="p", text="count", sender=_sender())
    await asyncio.to_thread(gateway.emit, said, MessageStart(turn=1), MessageDelta(turn=1, text="a"))
    async with streaming(gateway.path) as stream:
        seen = []
        events = follow(stream, Mark(HERE))
        first = await anext(events)
        assert isinstance(first, Hydrated)
        seen += [event.seq for event in first.events]
        await asyncio.to_thread(gateway.emit, MessageDelta(turn=1, text="b"))
        seen.append((await anext(events)).event.seq)  # type: ignore[union-attr]  # the test fails if it is not Seen
        await asyncio.to_thread(gateway.stop)
        await asyncio.to_thread(gateway.emit, MessageDelta(turn=1, text="c"))  # nobody is there to hear it
        await asyncio.to_thread(gateway.start)
        while (note := await anext(events)) is not None:
            if isinstance(note, NextEvent):
                seen.append(note.event.seq)
                if len(seen) == 5:
                    await asyncio.to_thread(gateway.emit, MessageDelta(turn=1, text="d"))
                if len(seen) == 6:
                    break
        assert seen == [1, 2, 3, 4, 5, 6]
        again = gateway.called("session.attach")[1]
        assert (again.after, again.epoch) == (4, "e1")


async def test_a_prompt_sent_while_the_service_is_away_is_sent_once(gateway: FakeGateway) -> None:  # S3
    async with streaming(gateway.path) as stream:
        await asyncio.to_thread(gateway.stop)
        notes = stream.notes()
        assert isinstance(await anext(notes), ConnectionLost)
        async with asyncio.TaskGroup() as tasks:
            params = Submit(session_id=HERE, prompt_id="p", text="echo hi")
            asked = tasks.create_task(stream.insist(PROMPT_SUBMIT, params), name="test.submit")
            await asyncio.to_thread(gateway.start)
        assert asked.result().status == "started"
        assert len(gateway.called("prompt.submit")) == 1


async def test_a_service_that_stays_away_ends_the_notes(gateway: FakeGateway) -> None:
    async with streaming(gateway.path, patience=0.0) as stream:
        await asyncio.to_thread(gateway.stop)
        notes = stream.notes()
        assert isinstance(await anext(notes), ConnectionLost)
        with pytest.raises(NotRunning):
            await anext(notes)
        with pytest.raises(NotRunning):
            await stream.insist(PEER_LIST, Nothing())


def test_a_mark_takes_each_event_once_and_notices_a_gap() -> None:
    def told(seq: int) -> EventOf:
        return _of(make_event(seq, MessageStart(turn=1), 0.0))

    mark = Mark(HERE)
    mark.attached(Attached(session_id=HERE, epoch="e1", seq=2, resumed=True))
    mark.seq = 2
    assert mark.take(told(2)) is None
    taken = mark.take(told(3))
    assert taken is not None
    assert taken.seq == 3
    with pytest.raises(LookupError):
        mark.take(told(5))


def test_a_mark_goes_on_in_the_next_life_of_a_log_and_names_it_from_then_on() -> None:  # S4, S15
    mark = Mark(HERE)
    mark.attached(Attached(session_id=HERE, epoch="e1", seq=2, resumed=True))
    mark.seq = 2
    assert mark.take(_of(make_event(3, SessionInfo(epoch="e2"), 0.0))) is not None
    assert (mark.params().after, mark.params().epoch) == (3, "e2")
    back = mark.attached(Attached(session_id=HERE, epoch="e3", seq=5, resumed=True), again=True)
    assert not back.anew
    assert (mark.params().after, mark.params().epoch) == (3, "e3")


@pytest.mark.parametrize("epoch", ["e1", "e2"])
def test_a_snapshot_starts_over_wherever_it_ends_when_the_log_was_to_be_resumed(epoch: str) -> None:  # S15
    events = tuple(make_event(seq, MessageStart(turn=1), 0.0) for seq in range(1, 4))
    mark = Mark(HERE)
    mark.attached(Attached(session_id=HERE, epoch="e1", seq=0, resumed=True))
    mark.seq = 150
    back = mark.attached(
        Attached(session_id=HERE, epoch=epoch, seq=3, snapshot=Snapshot(session=session(), events=events)), again=True
    )
    assert (back.anew, back.events) == (True, events)
    assert mark.take(_of(make_event(4, MessageStart(turn=2), 0.0))) is not None  # never mute


def test_watch_prints_a_line_a_change_in_a_pipe(gateway: FakeGateway, home: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "agent", "peers", "--watch"], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())["name"] == "laptop"
        gateway.tell("peer.changed", PeersChanged(changed=(device(DESK, "desk"),)))
        assert json.loads(child.stdout.readline())["name"] == "desk"
        gateway.tell("peer.changed", PeersChanged(removed=(DESK,)))
        assert json.loads(child.stdout.readline())["removed"] is True
        gateway.stop()
        gateway.devices = [device(name="renamed")]
        gateway.start()
        assert json.loads(child.stdout.readline())["name"] == "renamed"
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 130


def test_pair_prints_the_code_alone_and_stays_until_it_is_used(gateway: FakeGateway, agent: Agent) -> None:
    gateway.news = [
        PairNews(what="wrong-code", tries_left=2, failed=1),
        PairNews(what="paired", device=DESK, name="de\x1bsk"),
    ]
    ran = agent("pair", "--ttl", "60")
    assert (ran.status, ran.out) == (0, "42-913-577\n")
    assert "agent join 42-913-577 --address 192.0.2.1:4321" in ran.err
    assert ran.err.splitlines()[-3:] == [
        "a wrong code was tried, 1 so far; 2 more tries",
        "paired with de�sk (qrst-uvwx)",
        "next: `agent sessions`, or start one there: `agent new --on qrst-uvwx --attach`",
    ]


@pytest.mark.parametrize(("what", "status"), [("expired", 7), ("exhausted", 5), ("closed", 5)])
def test_pair_ends_with_its_window(gateway: FakeGateway, agent: Agent, what: str, status: int) -> None:
    gateway.news = [PairNews(what=what)]  # type: ignore[arg-type]  # one of its words
    assert agent("pair").status == status


def test_join_and_devices(gateway: FakeGateway, agent: Agent) -> None:
    assert agent("join", "42-913-577", "--device", "desk") == (
        0,
        "",
        "paired with desk (qrst-uvwx)\nnext: `agent sessions`, or start one there: `agent new --on desk --attach`\n",
    )
    assert gateway.called("device.join")[0].name == "desk"
    row = {
        "id": DESK,
        "name": "desk",
        "fingerprint": "0",
        "self": False,
        "paired_at": None,
        "seen_at": None,
        "state": "online",
    }
    gateway.paired = [row, {**row, "id": "own", "name": "laptop", "self": True}]
    assert [line.split()[0] for line in agent("devices").out.splitlines()] == ["laptop", "desk"]
    assert agent("unpair", "desk").status == 0


def test_new_prints_the_id_alone(gateway: FakeGateway, agent: Agent) -> None:
    assert agent("new", "--title", "T", "--", "bash", "-l") == (0, f"{HERE}\n", "")
    asked = gateway.called("session.create")[0]
    assert (asked.command, asked.cwd) == (("bash", "-l"), str(Path.cwd()))
    agent("new", "--on", "desk")
    assert gateway.called("session.create")[1].cwd == ""


def test_rename_interrupt_and_close(gateway: FakeGateway, agent: Agent) -> None:
    assert [agent(*argv).status for argv in (["rename", HERE, "a", "b"], ["interrupt", HERE], ["close", HERE])] == [
        0,
        0,
        0,
    ]
    assert gateway.called("session.rename")[0].title == "a b"
