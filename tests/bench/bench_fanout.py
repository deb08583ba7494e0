"""One event to 1, 10 and 100 viewers over WebSockets on a Unix socket, beside aiohttp sending the same frame to all.

Run: `python -m tests.bench.bench_fanout [LOOP]`. `sessions.viewers` and `adapters.net.link` here, clients in another
process that only count. Two speeds: `stream` lets each event go out before the next, as a model talks; `flood`
publishes all at once. CPU microseconds of this process for each event delivered, events a second of wall time, and the
ratio of the CPU to that of bare aiohttp at the same speed; medians of interleaved rounds.
"""

from __future__ import annotations

import asyncio
import importlib
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from aiohttp import web
from msgspec import Raw

from agent.adapters.net.link import WebSocketChannel
from agent.clock import SystemClock
from agent.errors import MethodNotFound
from agent.ports import Channel
from agent.protocol.codec import msgpack
from agent.protocol.events import Event, MessageDelta, make_event
from agent.protocol.messages import Attach
from agent.protocol.model import DeviceId, SessionId
from agent.sessions.viewers import Viewers, event_of

DELIVERIES, ROUNDS = 20_000, 7
TEXT = "about eighty characters of a streamed reply, the size that an agent usually sends"
SESSION = SessionId("abcdefghijklmnop")
Pause = Callable[[], Awaitable[None]]


class Counted:
    """Every client says so when it has had all."""

    def __init__(self) -> None:
        self._left = 0
        self._all = asyncio.Event()

    def expect(self, clients: int) -> None:
        self._left = clients
        self._all.clear()

    def one(self) -> None:
        self._left -= 1
        if not self._left:
            self._all.set()

    async def all(self) -> None:
        await self._all.wait()


class Server:
    """Both doors: `/ours` is a viewer of the session, `/bare` a WebSocket and no more."""

    def __init__(self) -> None:
        self.viewers = Viewers(SESSION, str)
        self.bare: list[web.WebSocketResponse] = []
        self.counted = Counted()
        self._joined = asyncio.Event()

    async def ours(self, request: web.Request) -> web.WebSocketResponse:
        ws = await _prepared(request)
        channel = WebSocketChannel(ws, msgpack, clock=SystemClock(), cut=None)
        self.viewers.join(channel, DeviceId("desk"), 0, Attach(session_id=SESSION)).live = True
        self._joined.set()
        await channel.run(self)
        return ws

    async def on_request(self, channel: Channel, method: str, params: Raw) -> object:
        raise MethodNotFound

    def on_notification(self, channel: Channel, method: str, params: Raw, frame: bytes) -> None:
        self.counted.one()

    def on_closed(self, channel: Channel) -> None:
        self.viewers.leave(channel)

    async def bare_door(self, request: web.Request) -> web.WebSocketResponse:
        ws = await _prepared(request)
        self.bare.append(ws)
        self._joined.set()
        async for _ in ws:
            self.counted.one()
        return ws

    async def joined(self, clients: int) -> None:
        while len(self.viewers) < clients or len(self.bare) < clients:
            self._joined.clear()
            await self._joined.wait()


async def _prepared(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse(autoping=False, compress=False)
    await ws.prepare(request)
    return ws


async def count(path: str, door: str, clients: int, events: int) -> None:
    """The other process: says one word for every so many frames."""
    word = msgpack.notification("had", {})

    async def client(session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(f"http://localhost/{door}", max_msg_size=0) as ws:
            while True:
                for _ in range(events):
                    if (await ws.receive()).type is not aiohttp.WSMsgType.BINARY:
                        return
                await ws.send_bytes(word)

    connector = aiohttp.UnixConnector(path, limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(client(session), name=f"bench.client-{number}")


async def timed(server: Server, clients: int, publish: Awaitable[None]) -> tuple[float, float]:
    """CPU and wall seconds."""
    server.counted.expect(clients)
    cpu, wall = time.process_time(), time.perf_counter()
    await publish
    await server.counted.all()
    return time.process_time() - cpu, time.perf_counter() - wall


async def measure(server: Server, clients: int, events: int) -> None:
    seq = 0

    def numbered() -> list[Event]:
        nonlocal seq
        seq += events
        return [make_event(seq - events + n + 1, MessageDelta(turn=1, text=TEXT), 1.0) for n in range(events)]

    frame = msgpack.notification("event", event_of(SESSION, make_event(1, MessageDelta(turn=1, text=TEXT), 1.0)))

    async def ours(pause: Pause) -> None:
        for event in numbered():
            server.viewers.publish((event,))
            await pause()

    async def bare(pause: Pause) -> None:
        for _ in numbered():
            for ws in server.bare:
                await ws.send_bytes(frame)
            await pause()

    for speed, pause in (("stream", let_out), ("flood", go_on)):
        taken = [
            [await timed(server, clients, ours(pause)), await timed(server, clients, bare(pause))]
            for _ in range(ROUNDS + 1)
        ][1:]
        ratio = statistics.median(one[0] / other[0] for one, other in taken)
        cpu, plain = (statistics.median(each[side][0] for each in taken) / events / clients * 1e6 for side in (0, 1))
        rate = events / statistics.median(one[1] for one, _ in taken)
        print(
            f"{clients:4} viewers  {speed:6}  {cpu:6.1f} us CPU each  bare {plain:6.1f}  {ratio:5.2f} x"
            f"  {rate:9,.0f} events/s"
        )


async def go_on() -> None:
    """Publish the next one at once."""


async def let_out() -> None:
    """Let the writers run."""
    for _ in range(3):
        await asyncio.sleep(0)


async def serve() -> None:
    for clients in (1, 10, 100):
        events, server = DELIVERIES // clients // 2, Server()
        app = web.Application()
        app.router.add_get("/ours", server.ours)
        app.router.add_get("/bare", server.bare_door)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        with tempfile.TemporaryDirectory(prefix="lan-agent-bench-") as folder:
            path = str(Path(folder) / "fanout.sock")
            await web.UnixSite(runner, path).start()
            argv = [sys.executable, "-m", "tests.bench.bench_fanout", "count", path]
            children = [
                await asyncio.create_subprocess_exec(*argv, door, str(clients), str(events))
                for door in ("ours", "bare")
            ]
            await server.joined(clients)
            await measure(server, clients, events)
            for child in children:
                child.terminate()
                await child.wait()
            await runner.cleanup()


if __name__ == "__main__":
    if sys.argv[1:2] == ["count"]:
        asyncio.run(count(sys.argv[2], sys.argv[3], *map(int, sys.argv[4:])))
    else:
        if sys.argv[1:]:
            importlib.import_module(sys.argv[1]).install()  # uvloop: tried, not a dependency
        asyncio.run(serve())
