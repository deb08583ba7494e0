"""links.peers, supervisor and proxy when links break at bad moments and when a paired device misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import Raw

from agent.errors import AgentError, PeerLost
from agent.links.rules.relay import HELD_MAX
from agent.ports import Channel
from agent.protocol.codec import json, msgpack, typed
from agent.protocol.events import MessageDelta, make_event
from agent.protocol.messages import (
    TAIL_MAX,
    Attach,
    Created,
    CreateSession,
    Detach,
    EventOf,
    ListSessions,
    Nothing,
    Ready,
    SessionLost,
    SessionsChanged,
    Submit,
    TurnTail,
    TwinSeen,
)
from agent.protocol.methods import GATEWAY_TWIN, PROMPT_SUBMIT
from agent.protocol.model import DeviceId, DeviceRef, Endpoint, PairedDevice, SessionId, SessionRow, Status
from tests.fakes.clock import settle, turns
from tests.fakes.gateways import IN_LETTERS, Device, Net, network, started
from tests.fakes.viewer import Viewer, connected
from tests.fakes.websocket import channel, pair

EVIL = DeviceId("evil" + "a" * 12)


class Evil(Viewer):
    """A paired device that answers what the test says."""

    def __init__(self, net: Net, victim: Device) -> None:
        super().__init__()
        self._net, self._victim = net, victim
        self.answer: Callable[[str, Raw], object] = lambda method, params: (
            [] if method == "session.watch" else Nothing()
        )
        self.asked: list[str] = []
        victim.paired[EVIL] = PairedDevice(
            id=EVIL, name="evil", certificate=b"", paired_at=1.0, endpoints=(Endpoint("10.0.0.9", 1),)
        )
        victim.trust_changed()

    async def on_request(self, channel: Channel, method: str, params: Raw) -> object:
        self.asked.append(method)
        return self.answer(method, params)

    def tell(self, method: str, params: object) -> None:
        self.channel.send(self.channel.codec.notification(method, params))

    @asynccontextmanager
    async def linked(self, ready: Ready | None = None) -> AsyncIterator[Evil]:
        """Dial the victim."""
        near, far = pair()
        self.socket = near
        self.channel = channel(near, self._net.clock, device=self._victim.id)
        theirs = channel(far, self._net.clock, device=EVIL, pings=True)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._victim.peers.accept(theirs, "10.0.0.9")),
                group.create_task(self.channel.run(self)),
            ]
            self.tell("gateway.ready", ready or Ready(device=EVIL, name="evil", version="1", port=1000))
            await settle()
            try:
                yield self
            finally:
                self.channel.abort()
                await settle()
                for task in tasks:
                    task.cancel()


def a_row(session: str, title: str = "", device: str = EVIL) -> SessionRow:
    return SessionRow(
        id=SessionId(session),
        title=title,
        status=Status.IDLE,
        device=DeviceRef(DeviceId(device), "evil"),
        local=True,
        attachable=True,
        backend="echo",
        model="",
        created_at=None,
        updated_at="2026-01-01T00:00:00Z",
    )


async def create(device: Device) -> SessionId:
    async with device.client() as viewer:
        created = typed(await viewer.channel.request("session.create", CreateSession(title="work"), seconds=5), Created)
    await settle()
    return created.session_id


async def attach(viewer: Viewer, session: str, after: int | None = None, epoch: str = "") -> None:
    await viewer.channel.request("session.attach", Attach(session_id=session, after=after, epoch=epoch), seconds=900.0)


async def submit(viewer: Viewer, session: str, text: str) -> None:
    await viewer.channel.request("prompt.submit", Submit(session_id=session, prompt_id=text, text=text), seconds=900.0)


# --- bad moments ----------------------------------------------------------------------------------------------------


async def test_a_request_waits_for_the_link_while_the_old_one_is_still_being_closed() -> None:  # S3, L5
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            for socket in net.sockets(desk, laptop):
                socket.mute = True
                socket.close_takes = socket.other.close_takes = 20
            ask = net.group.create_task(submit(viewer, session, "hello"))
            await settle()
            net.cut(desk, laptop)
            net.heal(desk, laptop)
            await net.clock.advance(5.0)
            await ask
            assert desk.echo.sessions[0].prompts == ["hello"]


async def test_a_link_that_is_closed_as_idle_is_not_asked_any_more() -> None:  # L4
    net = Net()
    desk, laptop = Device(net, "desk", on_demand=True), Device(net, "laptop", on_demand=True)
    async with started(net, [desk, laptop]):
        desk.pair(laptop)
        async with laptop.client() as viewer:
            await viewer.ask("session.create", CreateSession(device="desk"))
            for socket in net.sockets(desk, laptop):
                socket.close_takes = socket.other.close_takes = 20
            link = await laptop.peers.link(desk.id)
            link.used = -1000.0
            laptop.peers._prune(laptop.protected)
            await viewer.ask("session.create", CreateSession(device="desk"))
            await settle()
            assert len(desk.sessions.index.rows()) == 2


async def test_a_peer_that_says_its_peer_is_lost_is_not_asked_for_ever() -> None:
    async with network("laptop") as (net, (laptop,)), Evil(net, laptop).linked() as evil:
        evil.tell("session.changed", SessionsChanged(changed=(a_row("sesssesssesssess"),)))

        def answer(method: str, params: Raw) -> object:
            raise PeerLost

        evil.answer = answer
        async with laptop.client() as viewer:
            with pytest.raises(PeerLost):
                await viewer.ask("session.create", CreateSession(device=EVIL))
            evil.asked.clear()
            prompt = Submit(session_id="s", prompt_id="p", text="x")
            ask = net.group.create_task(failing(laptop.peers.call(EVIL, PROMPT_SUBMIT, prompt)))
            await settle()
            assert len(evil.asked) <= 3
            await net.clock.advance(700.0)
            assert ask.done()


async def failing(work: object) -> AgentError:
    try:
        await work  # type: ignore[misc]
    except AgentError as exc:
        return exc
    raise AssertionError


async def test_who_detaches_and_attaches_in_one_breath_is_attached() -> None:  # S4
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            await attach(viewer, session)
            ask = viewer.channel.codec.request
            viewer.channel.send(ask(900, "session.detach", Detach(session_id=session)))
            viewer.channel.send(ask(901, "session.attach", Attach(session_id=session)))
            await settle()
            await submit(viewer, session, "still here?")
            await viewer.until("turn.complete")


async def test_a_service_that_stops_under_a_remote_viewer_stops_quietly() -> None:
    net = Net()
    desk, laptop = Device(net, "desk"), Device(net, "laptop")
    async with started(net, [desk, laptop]):
        desk.pair(laptop)
        await settle()
        session = await create(desk)
        async with laptop.client() as viewer:
            await attach(viewer, session)
            laptop.stop()
            await settle()
            assert laptop.stopped_well


async def test_a_link_that_takes_anothers_place_carries_what_was_attached() -> None:  # L2, L5
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            await attach(viewer, session)
            await submit(viewer, session, "@slow 30")
            net.cut(desk, laptop)
            await net.clock.advance(1.0)
            net.heal(desk, laptop)
            # The first link back is replaced before it has answered the attachment.
            first = await net.join(laptop, desk, stalled=True)
            await settle()
            await net.join(desk, laptop)
            await settle()
            first.stalled.set()
            await net.clock.advance(60.0)
            await viewer.until("turn.complete")
            assert viewer.seqs() == list(range(viewer.seqs()[0], viewer.seqs()[-1] + 1))


@pytest.mark.parametrize("away", [False, True])
async def test_who_watches_a_session_of_a_device_that_is_put_out_is_told_at_once(away: bool) -> None:  # T4
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            await attach(viewer, session)
            if away:
                net.cut(desk, laptop)
                await net.clock.advance(5.0)
            laptop.unpair(desk)
            await settle()
            assert viewer.lost == [session]
            assert not viewer.gone.is_set()
            reasons = [note.reason for _, note in viewer.told if isinstance(note, SessionLost)]
            assert "not paired" in reasons[0]
        assert laptop.proxy._relays == {}


async def test_one_refusal_may_be_a_device_that_was_just_stopping() -> None:  # L5
    async with network("desk", "laptop") as (net, (desk, laptop)):
        trusted = desk.paired.pop(laptop.id)
        desk.peers._supervisors[laptop.id].wanted = False
        net.cut(desk, laptop)
        net.heal(desk, laptop)
        await settle()
        assert laptop.peers.linked() == []
        desk.paired[laptop.id] = trusted
        await net.clock.advance(3.0)
        assert laptop.peers.linked() == [desk.id]


async def test_who_keeps_refusing_is_asked_once_a_minute() -> None:
    async with network("desk", "laptop") as (net, (desk, laptop)):
        desk.unpair(laptop)
        await net.clock.advance(10.0)
        dials = len(net.dials)
        await net.clock.advance(120.0)
        assert len(net.dials) - dials <= 3


async def test_what_goes_wrong_with_one_link_does_not_end_the_service() -> None:
    async with network("desk", "laptop") as (net, (desk, laptop)):

        def broken(device: DeviceId, up: bool) -> None:
            raise RuntimeError("a bug")

        desk.peers.link_changed.subscribe(broken)
        net.cut(desk, laptop)
        await net.clock.advance(1.0)
        net.heal(desk, laptop)
        await net.clock.advance(60.0)
        assert (await create(desk)) is not None  # the service lives


# --- a paired device that misbehaves ---------------------------------------------------------------------------------


async def test_no_device_speaks_for_the_session_of_another() -> None:  # S7, L7
    async with network("desk", "laptop") as (net, (desk, laptop)), Evil(net, laptop).linked() as evil:
        session = await create(desk)
        async with laptop.client() as viewer:
            await attach(viewer, session)
            session_log = desk.sessions.get(session).log
            fake = make_event(session_log.state.seq + 1, MessageDelta(turn=1, text="rm -rf"), 0.0)
            evil.tell("event", EventOf(session_id=session, seq=fake.seq, type=fake.type, payload=fake.payload, at=""))
            evil.tell("session.participants", {"session_id": session, "participants": []})
            await settle()
            assert viewer.events == []
            assert viewer.told == []
            await submit(viewer, session, "hello")
            await viewer.until("turn.complete")


async def test_an_answer_about_another_session_is_refused() -> None:
    async with network("laptop") as (net, (laptop,)), Evil(net, laptop).linked() as evil:
        evil.tell("session.changed", SessionsChanged(changed=(a_row("sesssesssesssess"),)))
        evil.answer = lambda method, params: {"session_id": "other123", "epoch": "e", "seq": 3, "resumed": False}
        await settle()
        async with laptop.client() as viewer:
            with pytest.raises(AgentError):
                await attach(viewer, "sesssesssesssess")
            assert laptop.proxy._relays == {}


@pytest.mark.parametrize("port", [-1, 0, 65536, 2**40])
async def test_a_port_that_is_none_is_not_kept(port: int) -> None:
    ready = Ready(device=EVIL, name="evil", port=port)
    async with network("laptop") as (net, (laptop,)), Evil(net, laptop).linked(ready):
        assert EVIL in laptop.peers.linked()
        assert all(1 <= endpoint.port <= 65535 for endpoint in laptop.registry.endpoints(EVIL))


async def test_odd_frames_over_a_link_end_at_most_that_link() -> None:
    ready = Ready(device=EVIL, name="\x1b[2J\u202eevil", version="\x07", port=1000)
    odd: list[tuple[str, object]] = [
        ("gateway.ready", Ready(device=EVIL, name="again")),
        ("gateway.ready", Ready(device=DeviceId("other"), name="another")),
        ("no.such.method", {"x": 1}),
        ("session.changed", {"changed": [{"id": 7}]}),
        ("session.changed", {"changed": [msgpack_row(updated_at="never")]}),
        ("session.changed", {"changed": [msgpack_row(updated_at="0001-01-01T00:00:00+23:59")]}),
        ("session.changed", {"changed": [msgpack_row(updated_at="9999-12-31T23:59:59-23:59")]}),
        ("session.changed", {"changed": [msgpack_row(created_at="0001-01-01T00:00:00+23:59")]}),
        ("session.changed", {"changed": [msgpack_row(id="\x1b[2J")]}),
        ("session.changed", {"changed": [msgpack_row(id="a" * 100_000)]}),
        ("session.changed", {"changed": [], "removed": ["x"] * 10_000}),
        ("event", {"session_id": "x", "seq": -(2**63), "type": "t", "payload": None, "at": ""}),
        ("event", {}),
        ("peer.changed", {"changed": []}),
        ("device.pairing", {}),
        ("session.participants", {"session_id": 3}),
    ]
    async with network("laptop") as (net, (laptop,)):
        for method, params in odd:
            async with Evil(net, laptop).linked(ready) as evil:
                evil.tell(method, params)
                evil.channel.send(msgpack.response(12345, {"a": 1}))
                evil.channel.send(msgpack.response("never asked", None))
                await settle()
                row = laptop.registry.device(EVIL)
                assert row is not None
                assert row.name == "[2Jevil"
            await net.clock.advance(120.0)
        async with Evil(net, laptop).linked(Ready(device=DeviceId("somebody else"), name="x")) as evil:
            evil.tell("gateway.ready", ready)
            await settle()
            assert EVIL not in laptop.peers.linked()
        assert laptop.up


async def test_a_flood_of_rows_is_bounded() -> None:
    async with network("laptop") as (net, (laptop,)), Evil(net, laptop).linked() as evil:
        for start in range(0, 10_000, 500):
            rows = tuple(a_row(f"{number:0>16}".translate(IN_LETTERS)) for number in range(start, start + 500))
            evil.tell("session.changed", SessionsChanged(changed=rows))
            await turns(5)
        assert len(laptop.registry.sessions("all")) == 1000


async def test_changes_that_overtake_the_list_are_bounded() -> None:
    async with network("laptop") as (net, (laptop,)):
        evil = Evil(net, laptop)
        never = asyncio.Event()

        async def on_request(channel: Channel, method: str, params: Raw) -> object:
            await never.wait()
            return None

        evil.on_request = on_request  # type: ignore[method-assign]
        async with evil.linked():
            assert EVIL in laptop.peers.linked()
            for _ in range(30):
                evil.tell("session.changed", SessionsChanged(changed=(a_row("sesssesssesssess", "x" * 100_000),)))
                await turns(5)
            assert EVIL not in laptop.peers.linked()


async def test_frames_that_overtake_an_answer_which_never_comes_are_bounded() -> None:
    async with network("laptop") as (net, (laptop,)), Evil(net, laptop).linked() as evil:
        evil.tell("session.changed", SessionsChanged(changed=(a_row("sesssesssesssess"),)))
        never = asyncio.Event()

        class Silent(Viewer):
            pass

        async def on_request(channel: Channel, method: str, params: Raw) -> object:
            await never.wait()
            return None

        evil.on_request = on_request  # type: ignore[method-assign]
        async with laptop.client() as viewer:
            ask = net.group.create_task(failing(attach(viewer, "sesssesssesssess")))
            await settle()
            payload = MessageDelta(turn=1, text="x" * 100_000)
            for seq in range(1, 200):
                event = make_event(seq, payload, 0.0)
                evil.tell(
                    "event",
                    EventOf(
                        session_id=SessionId("sesssesssesssess"), seq=seq, type=event.type, payload=event.payload, at=""
                    ),
                )
                await turns(3)
            (relay,) = laptop.proxy._relays.values()
            assert sum(len(each.frame) for place in relay._positions.values() for each in place.held) <= HELD_MAX
            ask.cancel()


async def test_what_one_client_cannot_be_shown_reaches_the_others() -> None:  # S5
    async with network("laptop") as (net, (laptop,)), Evil(net, laptop).linked() as evil:
        evil.tell("session.changed", SessionsChanged(changed=(a_row("sesssesssesssess"),)))
        evil.answer = lambda method, params: {"session_id": "sesssesssesssess", "epoch": "e", "seq": 0, "resumed": True}
        await settle()
        async with connected(laptop.router, net.clock, codec=json) as page, laptop.client() as viewer:
            await attach(page, "sesssesssesssess", 0, "e")
            await attach(viewer, "sesssesssesssess", 0, "e")
            await settle()
            payload = Raw(msgpack.encode({"text": {(1, 2): "a key that JSON has not"}}))
            evil.tell(
                "event", EventOf(session_id=SessionId("sesssesssesssess"), seq=1, type="odd", payload=payload, at="")
            )
            await settle()
            assert viewer.seqs() == [1]
            assert EVIL in laptop.peers.linked()


def msgpack_row(**changes: object) -> dict[str, object]:
    row: dict[str, object] = typed(Raw(msgpack.encode(a_row("sesssesssesssess"))), dict)
    return row | changes


async def test_t11_a_flood_of_small_changes_is_applied_in_steps_and_then_ends_the_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with network("laptop") as (net, (laptop,)), Evil(net, laptop).linked() as evil:
        steps: list[DeviceId] = []
        apply = laptop.registry.link_sessions

        def counted(device: DeviceId, *told: Any, **how: Any) -> object:
            steps.append(device)
            return apply(device, *told, **how)

        monkeypatch.setattr(laptop.registry, "link_sessions", counted)
        for number in range(3000):
            evil.tell("session.changed", SessionsChanged(changed=(a_row("sesssesssesssess", f"title {number}"),)))
            if number % 100 == 99:
                await turns(5)
        await net.clock.advance(0.5)
        (row,) = laptop.registry.sessions("remote")
        assert row.title == "title 2999"
        assert len(steps) <= 300  # and then ten a second
        for number in range(9000):
            evil.tell("session.changed", SessionsChanged(changed=(a_row("sesssesssesssess", f"title {number}"),)))
            if number % 100 == 99:
                await turns(5)
        assert EVIL not in laptop.peers.linked()


async def test_t11_a_second_watch_on_a_connection_takes_the_place_of_the_first() -> None:
    async with network("laptop") as (_, (laptop,)), laptop.client() as viewer:
        before = len(laptop.presence._subscribers)
        for _ in range(50):
            for method, asked in (("session.watch", ListSessions()), ("peer.watch", Nothing())):
                await viewer.channel.request(method, asked, seconds=5.0)
        await settle()
        assert len(laptop.presence._subscribers) == before + 2
        laptop.presence.local_sessions([a_row("sesssesssesssess")], ())
        await settle()
        assert [method for method, _ in viewer.told].count("session.changed") == 1


@pytest.mark.parametrize(("terms", "believed"), [({}, True), ({"read_only": True}, False), ({"role": "guest"}, False)])
async def test_t12_who_may_only_watch_cannot_say_that_a_key_is_there_twice(
    terms: dict[str, Any], believed: bool
) -> None:
    async with network("desk", "laptop") as (_, (desk, laptop)):
        desk.limit(laptop, **terms)
        laptop.peers.notify(desk.id, GATEWAY_TWIN, TwinSeen(hosts=("10.0.0.9",)))
        await settle()
        assert bool(desk.problems.current) is believed
        assert all("says that it is linked" in told and "identity.pem" not in told for told in desk.problems.current)


async def test_rows_that_move_come_from_the_sessions_own_device_alone_and_within_their_bound() -> None:  # R13, T11
    """Attack: a paired device tells rows of a session of another device, too many of its own, and what is no row."""
    async with network("laptop") as (net, (laptop,)), Evil(net, laptop).linked() as evil:
        evil.tell("session.changed", SessionsChanged(changed=(a_row("sesssesssesssess"),)))
        evil.answer = lambda method, params: {"session_id": "sesssesssesssess", "epoch": "e", "seq": 0, "resumed": True}
        await settle()
        async with laptop.client() as viewer:
            asked = Attach(session_id="sesssesssesssess", after=0, epoch="e", tail=True)
            await viewer.channel.request("session.attach", asked, seconds=5.0)
            own = {"session_id": "sesssesssesssess", "turn": 1, "after_seq": 0, "text": "\x1b[31mred\x1b[0m"}
            for told in (
                own,
                own | {"session_id": "s" * 16},
                own | {"text": "x" * (TAIL_MAX + 1)},
                own | {"turn": "x"},
            ):
                evil.tell("turn.tail", told)
                await settle()
            assert [each.text for _, each in viewer.told if isinstance(each, TurnTail)] == ["red"]
            (relay,) = laptop.proxy._relays.values()
            relay.device = DeviceId("another" + "a" * 9)
            evil.tell("turn.tail", own | {"text": "not mine"})
            await settle()
            assert [each.text for _, each in viewer.told if isinstance(each, TurnTail)] == ["red"]
