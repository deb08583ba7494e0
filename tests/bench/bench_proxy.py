"""One delta of a remote session, from the host's gateway to a client of another one, beside a bare aiohttp TLS echo.

Run: `python -m tests.bench.bench_proxy [ROUNDS] [LOOP]` as root on Linux (else on this machine's own loopback). Two
real services, paired, and a client (this process) on the control socket of the one that does not host the session.

`published` is the time from the moment at which the host's store was done with the delta to the client's having it
decoded: link over mutual TLS, relay, control socket. `said` begins when the backend says it, so the store (an fsync)
is part of it. `echo` is one round trip to an aiohttp WebSocket server in another process with the same certificates
and a frame of the same size: two crossings of TLS where the delta has one and one of a Unix socket. Rounds of the two
are interleaved and their load is alike: one message at a time, GAP seconds apart. 1 if twice the echo is missed.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from agent.adapters.net.tls import client_context, server_context
from agent.adapters.storage.identity import load_or_create_identity
from agent.protocol.codec import MSGPACK, msgpack, typed
from agent.protocol.events import MessageDelta, make_event
from agent.protocol.messages import Attach, Attached, EventOf, Submit
from agent.protocol.model import SessionId
from agent.sessions.viewers import event_of
from tests.bench.devices import Device, alone, compiled, devices, pair, until
from tests.bench.gateway import WIDTH

BUDGET, ROUNDS, DELTAS, GAP = 2.0, 12, 100, 0.004
FRAME = msgpack.notification(
    "event", event_of(SessionId("a" * 16), make_event(1000, MessageDelta(turn=1, text="x" * WIDTH), 1.8e9))
)


# --- the echo ---------------------------------------------------------------------------------------------------------


async def echo(folder: str) -> None:
    """The other process: prints its port."""
    ours, theirs = (load_or_create_identity(Path(folder) / name) for name in ("server", "client"))

    async def door(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        async for message in ws:
            await ws.send_bytes(message.data)
        return ws

    app = web.Application()
    app.router.add_get("/", door)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(ours, [theirs.certificate]))
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


async def echoes(ws: aiohttp.ClientWebSocketResponse) -> list[float]:
    """Microseconds of round trips."""
    taken = []
    for _ in range(DELTAS):
        await asyncio.sleep(GAP)
        began = time.perf_counter_ns()
        await ws.send_bytes(FRAME)
        await ws.receive()
        taken.append((time.perf_counter_ns() - began) / 1000)
    return taken


# --- the delta --------------------------------------------------------------------------------------------------------


class Client:
    """A client of a control socket, as small as one can be."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._ws = ws
        self._ids = 0

    async def ask(self, method: str, params: object, kind: type[Any]) -> Any:
        self._ids += 1
        await self._ws.send_bytes(msgpack.request(self._ids, method, params))
        while True:
            envelope = msgpack.decode((await self._ws.receive()).data)
            if envelope.id == self._ids:
                return typed(envelope.result, kind)

    async def deltas(self) -> list[tuple[int, int, int]]:
        """Of every delta up to the end of the turn: seq, when it was said, when it was here (nanoseconds)."""
        taken: list[tuple[int, int, int]] = []
        while True:
            envelope = msgpack.decode((await self._ws.receive()).data)
            if envelope.method != "event":
                continue
            event = typed(envelope.params, EventOf)
            now = time.perf_counter_ns()
            if event.type == "turn.complete":
                return taken
            if event.type == "message.delta":
                text = msgspec.msgpack.decode(event.payload, type=MessageDelta).text
                taken.append((event.seq, int(text.split()[0]), now))


async def turn(client: Client, session: str, number: int, host: Device) -> tuple[list[float], list[float]]:
    """Microseconds since published, and since said."""
    published = host.home / "published.json"
    published.unlink(missing_ok=True)
    asked = Submit(session_id=session, prompt_id=f"turn-{number}", text=f"{DELTAS} {GAP}")
    await client.ask("prompt.submit", asked, dict[str, Any])
    deltas = await client.deltas()
    until(published.exists, pause=0.01)
    stored = msgspec.json.decode(published.read_bytes(), type=dict[int, int])
    return [(here - stored[seq]) / 1000 for seq, _, here in deltas], [(here - at) / 1000 for _, at, here in deltas]


async def measure(host: Device, guest: Device, rounds: int, folder: str) -> int:
    session = host.client.call("session.create", {"backend": "tick"})["session_id"]
    until(lambda: any(row["id"] == session for row in guest.client.call("session.list")))
    ours, theirs = (load_or_create_identity(Path(folder) / name) for name in ("client", "server"))
    argv = [sys.executable, "-m", "tests.bench.bench_proxy", "echo", folder]
    server = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE, env=compiled(Path(folder)))
    assert server.stdout is not None
    port = int(await server.stdout.readline())
    pinned = client_context(ours, theirs.certificate)
    rows: list[tuple[float, float, float, float]] = []
    async with (
        aiohttp.ClientSession() as session_of_echo,
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(guest.socket))) as session_of_client,
        session_of_echo.ws_connect(f"https://127.0.0.1:{port}/", ssl=pinned) as bare,
        session_of_client.ws_connect("http://localhost/v1/ws", protocols=[MSGPACK]) as ws,
    ):
        client = Client(ws)
        await client.ask("session.attach", Attach(session_id=session), Attached)
        for number in range(rounds + 1):
            echoed = await echoes(bare)
            since_published, since_said = await turn(client, session, number, host)
            late = sorted(since_published)[int(len(since_published) * 0.95)]
            medians = [statistics.median(each) for each in (echoed, since_published, since_said)]
            rows.append((medians[0], medians[1], medians[2], late))
    server.terminate()
    await server.wait()
    del rows[0]  # what is done once
    ratios = sorted(row[1] / row[0] for row in rows)
    for name, column in (("echo", 0), ("published", 1), ("said", 2)):
        of = [row[column] for row in rows]
        ratio = statistics.median(row[column] / row[0] for row in rows)
        print(
            f"{name:10} {statistics.median(of):7.0f} us   {ratio:5.2f} x   rounds from {min(of):.0f} to {max(of):.0f}"
        )
    print(
        f"published, p95 {statistics.median(row[3] for row in rows):.0f} us; ratios {ratios[0]:.2f} to {ratios[-1]:.2f}"
    )
    return int(statistics.median(ratios) > BUDGET)


def main(rounds: int = ROUNDS, loop: str = "asyncio") -> int:
    with (
        tempfile.TemporaryDirectory(prefix="lan-agent-bench-") as folder,
        devices("desk", "den", program=("tests.bench.gateway",), more=(loop,)) as (host, guest),
    ):
        pair(host, guest)
        return asyncio.run(measure(host, guest, rounds, folder))


if __name__ == "__main__":
    if sys.argv[1:2] == ["echo"]:
        asyncio.run(echo(sys.argv[2]))
    else:
        alone("tests.bench.bench_proxy")
        sys.exit(main(*(kind(word) for kind, word in zip((int, str), sys.argv[1:], strict=False))))
