"""adapters.net.dial: real TLS on loopback, against the real listener."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec import Raw

from agent.adapters.net.dial import ATTEMPT, TlsDialer, _Fixed
from agent.adapters.net.link import WebSocketChannel
from agent.adapters.net.listener import Listener
from agent.adapters.net.tls import client_context, pairing_client_context
from agent.clock import SystemClock
from agent.errors import NotPaired, PeerLost, PeerUnreachable, Refused
from agent.ports import Channel
from agent.protocol.codec import FRAME_OUT_MAX, MSGPACK, msgpack, typed
from agent.protocol.identity import Identity
from agent.protocol.messages import Nothing
from agent.protocol.model import DeviceId, Endpoint
from tests.adapters.net.connections import LOOPBACK, device, listening
from tests.fakes.clock import turns
from tests.fakes.waiting import until

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Peer:
    """A gateway's LAN port that answers `hello` to every request. `links`: those that were asked for and are there."""

    def __init__(self) -> None:
        self.links = 0
        self.asked = 0
        self.gate: asyncio.Barrier | None = None

    async def on_request(self, channel: Channel, method: str, params: Raw) -> object:
        return b"x" * FRAME_OUT_MAX if method == "flood" else "hello"

    def on_notification(self, channel: Channel, method: str, params: Raw, frame: bytes) -> None:
        pass

    def on_closed(self, channel: Channel) -> None:
        pass

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        self.links += 1
        try:
            if self.gate is not None:
                await self.gate.wait()
            ws = web.WebSocketResponse(protocols=(MSGPACK,), autoping=False, compress=False, timeout=1.0)
            await ws.prepare(request)
            assert ws.ws_protocol == MSGPACK
            cut = request.transport.abort if request.transport else None
            await WebSocketChannel(ws, msgpack, clock=SystemClock(), cut=cut).run(self)
            return ws
        finally:
            self.links -= 1

    @asynccontextmanager
    async def listening(self, identity: Identity, trusted: list[Identity]) -> AsyncIterator[Listener]:
        app = web.Application()
        app.router.add_get("/v1/ws", self.serve)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        server = runner.server
        assert server is not None
        try:
            async with listening(identity, server) as listener:
                listener.trust(each.certificate for each in trusted)
                yield listener
        finally:
            await runner.cleanup()


class Caller:
    """One device that dials, trusting `trusted`."""

    def __init__(self, identity: Identity, *trusted: Identity) -> None:
        self._identity, self._trusted = identity, {each.id: each.certificate for each in trusted}
        self.dialer = TlsDialer(context_for=self._context, probe_context=pairing_client_context, clock=SystemClock())

    def _context(self, device: DeviceId) -> ssl.SSLContext | None:
        certificate = self._trusted.get(device)
        return client_context(self._identity, certificate) if certificate else None

    async def hello(self, device: DeviceId, *endpoints: Endpoint) -> Endpoint:
        """Dial, exchange a request, hang up; the endpoint that won."""
        channel, endpoint = await self.dialer.dial(device, endpoints)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(channel.run(Peer()))
            try:
                assert typed(await channel.request("hello", Nothing(), seconds=5.0), str) == "hello"
            finally:
                channel.close()
                await running
        return endpoint


@pytest.fixture
async def no_leaks() -> AsyncIterator[None]:
    loop: Any = asyncio.get_running_loop()
    loop.set_debug(True)  # a response that nobody closed warns, too
    own = len(loop._selector.get_map())
    yield
    await until(lambda: len(loop._selector.get_map()) == own, "every connection to be closed")
    gc.collect()  # an unclosed session or transport warns, and warnings are errors


@asynccontextmanager
async def dead() -> AsyncIterator[Endpoint]:
    """An address that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield Endpoint(*silent.getsockname()[:2])


def refused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return int(gone.getsockname()[1])


pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.mark.parametrize("family", [0, 1])
async def test_a_paired_device_is_reached_over_both_families(tmp_path: Path, family: int) -> None:
    desk, laptop = device(tmp_path, 1), device(tmp_path, 2)
    async with Peer().listening(desk, [laptop]) as listener:
        endpoint = listener.endpoints[family]
        assert endpoint.host == LOOPBACK[family]
        assert await Caller(laptop, desk).hello(desk.id, endpoint) == endpoint


async def test_an_address_keeps_its_zone() -> None:  # L3: a URL has no place for it
    (found,) = await _Fixed(Endpoint("fe80::1%eth0", 7471)).resolve("gateway.invalid")
    assert (found["host"], found["port"], found["family"]) == ("fe80::1%eth0", 7471, socket.AF_INET6)


async def test_the_first_that_answers_wins_and_the_others_leave_nothing(tmp_path: Path) -> None:  # L3
    desk, laptop = device(tmp_path, 1), device(tmp_path, 2)
    peer = Peer()
    async with peer.listening(desk, [laptop]) as listener:
        peer.gate = asyncio.Barrier(2)  # both have got as far when either is answered
        assert await Caller(laptop, desk).hello(desk.id, *listener.endpoints) in listener.endpoints
        assert peer.asked == 2
        await until(lambda: peer.links == 0)


async def test_a_dead_address_delays_nothing(tmp_path: Path) -> None:  # L3
    desk, laptop = device(tmp_path, 1), device(tmp_path, 2)
    async with Peer().listening(desk, [laptop]) as listener, dead() as silent:
        began = asyncio.get_running_loop().time()
        gone = Endpoint("127.0.0.1", refused_port())
        nonsense = Endpoint("not an address", 1)
        won = await Caller(laptop, desk).hello(desk.id, silent, nonsense, gone, listener.endpoints[0])
        assert won == listener.endpoints[0]
        assert asyncio.get_running_loop().time() - began < ATTEMPT  # after which the silent one would be given up


async def test_another_device_behind_the_address_is_not_talked_to(tmp_path: Path) -> None:  # T2, T5
    desk, laptop, den = (device(tmp_path, number) for number in (1, 2, 3))
    peer = Peer()
    async with peer.listening(den, [laptop]) as listener:
        with pytest.raises(PeerUnreachable, match="another device answers there"):
            await Caller(laptop, desk).hello(desk.id, *listener.endpoints)
        assert peer.asked == 0


async def test_a_device_that_does_not_accept_us_refuses(tmp_path: Path) -> None:  # T2
    desk, laptop = device(tmp_path, 1), device(tmp_path, 2)
    peer = Peer()
    async with peer.listening(desk, []) as listener:
        for _ in range(5):
            with pytest.raises(Refused):
                await Caller(laptop, desk).hello(desk.id, *listener.endpoints)
        assert peer.asked == 0


async def test_a_device_that_is_not_paired_is_not_dialled(tmp_path: Path) -> None:
    desk, laptop = device(tmp_path, 1), device(tmp_path, 2)
    with pytest.raises(NotPaired):
        await Caller(laptop).hello(desk.id, Endpoint("127.0.0.1", 1))


async def test_nobody_at_the_address_is_unreachable_and_says_why(tmp_path: Path) -> None:
    desk, laptop = device(tmp_path, 1), device(tmp_path, 2)
    with pytest.raises(PeerUnreachable, match=r"no answer at 1 address \(nothing listens there\)"):
        await Caller(laptop, desk).hello(desk.id, Endpoint("127.0.0.1", refused_port()))
    with pytest.raises(PeerUnreachable):
        await Caller(laptop, desk).hello(desk.id)


async def test_who_gives_up_dialling_leaves_nothing(tmp_path: Path) -> None:
    """Given up after any number of turns of the loop: before TCP, in TLS, in the upgrade, when the link is there."""
    desk, laptop = device(tmp_path, 1), device(tmp_path, 2)
    peer = Peer()
    async with peer.listening(desk, [laptop]) as listener, asyncio.TaskGroup() as group:
        for number in count():
            dialling = group.create_task(Caller(laptop, desk).dialer.dial(desk.id, listener.endpoints))
            await turns(number)
            if dialling.done():
                channel, _ = dialling.result()
                channel.abort()
                await channel.run(Peer())
                break
            dialling.cancel()
            await asyncio.wait([dialling])
        assert number > 10
        assert peer.asked > 1
        await until(lambda: peer.links == 0)


async def test_a_frame_that_is_too_large_ends_the_link(tmp_path: Path) -> None:
    desk, laptop = device(tmp_path, 1), device(tmp_path, 2)
    async with Peer().listening(desk, [laptop]) as listener:
        channel, _ = await Caller(laptop, desk).dialer.dial(desk.id, listener.endpoints)
        async with asyncio.TaskGroup() as group:
            group.create_task(channel.run(Peer()))
            with pytest.raises(PeerLost):
                await channel.request("flood", Nothing(), seconds=5.0)


async def test_cutting_a_link_ends_both_ends_at_once(tmp_path: Path) -> None:  # T4
    desk, laptop = device(tmp_path, 1), device(tmp_path, 2)
    peer = Peer()
    async with peer.listening(desk, [laptop]) as listener:
        for cut in ("here", "there"):
            channel, _ = await Caller(laptop, desk).dialer.dial(desk.id, listener.endpoints)
            async with asyncio.timeout(5.0), asyncio.TaskGroup() as group:  # pings would take longer
                group.create_task(channel.run(Peer()))
                await channel.request("hello", Nothing(), seconds=5.0)
                if cut == "here":
                    channel.abort()
                else:
                    listener.trust([])
            await until(lambda: peer.links == 0)


async def test_who_answers_is_learned_without_telling_who_asks(tmp_path: Path) -> None:
    desk, laptop = device(tmp_path, 1), device(tmp_path, 2)
    async with Peer().listening(desk, []) as listener, dead():
        dialer = Caller(laptop).dialer
        for endpoint in listener.endpoints:
            assert await dialer.identify(endpoint) == desk.certificate
        assert await dialer.identify(Endpoint("127.0.0.1", refused_port())) is None
        assert await dialer.identify(Endpoint("not an address", 1)) is None


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(b"\x02\x00" + b"\x00\x00" * 1000, id="fragments"),
        pytest.param(b"\x89\x00" * 1000, id="pings"),
    ],
)
async def test_a_dialled_gateway_that_floods_is_cut_off(tmp_path: Path, flood: bytes) -> None:  # T4
    desk, laptop = device(tmp_path, 1), device(tmp_path, 2)
    caller, seen = Caller(laptop, desk), Peer()

    class Flooding(Peer):
        async def serve(self, request: web.Request) -> web.StreamResponse:
            ws = web.WebSocketResponse(protocols=(MSGPACK,), autoping=False, compress=False, timeout=1.0)
            await ws.prepare(request)
            assert request.transport is not None
            assert (await ws.receive()).data == b"go"
            request.transport.write(flood)
            await ws.receive()
            return ws

    async with Flooding().listening(desk, [laptop]) as listener:
        channel, _ = await caller.dialer.dial(desk.id, listener.endpoints[:1])
        channel.send(b"go")
        async with asyncio.timeout(5):
            await channel.run(seen)
    assert not channel.open
