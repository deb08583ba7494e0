"""Output of a terminal, from a program on one device to one viewer on another.

Run: `python -m tests.bench.bench_terminal [MEGABYTES] [ROUNDS]` as root on Linux (else on this machine's own loopback).
Two real services, paired; the program prints so many bytes; the client (this process) on the other device's control
socket takes them as `agent attach --raw` does, and says how far it is. Beside it the same program on a bare
pseudo-terminal that this process reads and drops: `x` is the share of that which is left after three hops.

`stall`: the longest time for which either service's loop did not look for anything new, in CPU time of its thread (what
the service did) and by the clock (other programs on the same cores included). Ends with 1 below 25 MB/s, or beyond 20
ms of CPU time.
"""

from __future__ import annotations

import asyncio
import os
import pty
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from msgspec import Raw

from agent import daemon
from agent.protocol.codec import MSGPACK, msgpack, typed
from agent.protocol.model import SessionId
from agent.protocol.terminal import (
    TAKEN_EVERY,
    TerminalAttach,
    TerminalAttached,
    TerminalInput,
    TerminalOutput,
    TerminalTaken,
)
from tests.bench.bench_proxy import Client
from tests.bench.devices import Device, alone, devices, pair, until

TARGET, STALL_MAX, MEGABYTES, ROUNDS = 25.0, 20.0, 100, 3
LINE = "x" * 79
DONE = b"that was all"


def program(size: int) -> list[str]:
    """Waits for Enter, prints so many bytes in lines of 80, then that it is done; again and again."""
    printing = f"yes {LINE} | head -c {size}; echo {DONE.decode()}"
    return ["sh", "-c", f"stty -echo -opost; while read go; do {printing}; done"]


# --- the services -----------------------------------------------------------------------------------------------------


def service(name: str) -> int:
    """`agent up` with a watch on its loop: `stall.json` has the longest iterations since the last look at it."""

    class Watched(daemon.Service):
        async def run(self) -> None:
            selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined] # the loop has no other hook
            select, told = selector.select, Path(os.environ["LAN_AGENT_HOME"]) / "stall.json"
            longest = [0.0, 0.0]
            since = [time.thread_time(), time.perf_counter(), time.perf_counter()]

            def watched(timeout: float | None) -> Any:
                now = time.thread_time(), time.perf_counter()
                for number in range(2):
                    longest[number] = max(longest[number], now[number] - since[number])
                if now[1] - since[2] > 0.5:
                    since[2] = now[1]
                    if not told.exists():
                        longest[:] = 0.0, 0.0
                    told.write_bytes(msgspec.json.encode(longest))
                events = select(timeout)
                since[:2] = time.thread_time(), time.perf_counter()
                return events

            selector.select = watched
            await super().run()

    vars(daemon)["Service"] = Watched
    return daemon.run(name, None, ["lo"])


def stalls(found: list[Device]) -> tuple[float, float]:
    """Milliseconds: of CPU time, and by the clock."""
    time.sleep(0.7)
    told = [msgspec.json.decode((device.home / "stall.json").read_bytes(), type=list[float]) for device in found]
    return max(each[0] for each in told) * 1000, max(each[1] for each in told) * 1000


def forget(found: list[Device]) -> None:
    """Begin to watch anew."""
    for device in found:
        (device.home / "stall.json").unlink(missing_ok=True)
    time.sleep(0.7)
    for device in found:
        device.answers()


# --- the two ways -----------------------------------------------------------------------------------------------------


def bare(size: int) -> float:
    """Bytes a second through a pseudo-terminal and a plain loop."""
    pid, master = pty.fork()
    if pid == 0:
        os.execvp("sh", program(size))
    time.sleep(0.3)
    began = time.perf_counter()
    os.write(master, b"\n")
    left = size + len(DONE) + 1
    while left > 0:
        left -= len(os.read(master, 65_536))
    taken = time.perf_counter() - began
    os.close(master)
    os.waitpid(pid, 0)
    return size / taken


async def shown(client: Client, ws: aiohttp.ClientWebSocketResponse, session: SessionId, at: int, size: int) -> float:
    """Bytes a second to the viewer, from its Enter to the last byte."""
    began = time.perf_counter()
    enter = TerminalInput(session_id=session, data=Raw(msgspec.msgpack.encode(b"\r")))
    await ws.send_bytes(msgpack.request(1_000_000, "terminal.input", enter))
    place = taken = at
    last = at + size + len(DONE) + 1
    while place < last:
        envelope = msgpack.decode((await ws.receive()).data)
        if envelope.method != "terminal.output":
            continue
        output = typed(envelope.params, TerminalOutput)
        assert output.offset == place, "a viewer that is alone misses nothing"
        place += len(output.data)
        if place - taken >= TAKEN_EVERY:
            taken = place
            told = TerminalTaken(session_id=session, offset=taken)
            await ws.send_bytes(msgpack.notification("terminal.taken", told))
    return size / (time.perf_counter() - began)


async def measure(host: Device, guest: Device, size: int, rounds: int) -> int:
    created = host.client.call("session.create", {"backend": "terminal", "command": program(size)})
    session = SessionId(created["session_id"])
    until(lambda: any(row["id"] == session for row in guest.client.call("session.list")))
    rows: list[tuple[float, float, float, float]] = []
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(guest.socket))) as http,
        http.ws_connect("http://localhost/v1/ws", protocols=[MSGPACK], max_msg_size=1_048_576) as ws,
    ):
        client = Client(ws)
        for number in range(rounds + 1):
            alone_speed = bare(size)
            forget([host, guest])
            asked = TerminalAttach(session_id=session, rows=24, cols=80)
            attached: TerminalAttached = await client.ask("terminal.attach", asked, TerminalAttached)
            at = attached.offset + len(attached.data)
            speed = await shown(client, ws, session, at, size)
            rows.append((alone_speed / 1e6, speed / 1e6, *stalls([host, guest])))
            if not number:
                rows.clear()  # what is done once
    for alone_at, speed, cpu, clock in rows:
        print(
            f"bare {alone_at:6.1f} MB/s   shown {speed:6.1f} MB/s   {speed / alone_at:4.2f} x   "
            f"stall {cpu:5.1f} ms of CPU, {clock:5.1f} ms by the clock"
        )
    speed, cpu = statistics.median(row[1] for row in rows), max(row[2] for row in rows)
    return int(speed < TARGET or cpu > STALL_MAX)


def main(megabytes: int = MEGABYTES, rounds: int = ROUNDS) -> int:
    with devices("desk", "den", program=("tests.bench.bench_terminal", "service")) as (host, guest):
        pair(host, guest)
        return asyncio.run(measure(host, guest, megabytes * 1_000_000, rounds))


if __name__ == "__main__":
    if sys.argv[1:2] == ["service"]:
        sys.exit(service(sys.argv[2]))
    alone("tests.bench.bench_terminal")
    sys.exit(main(*map(int, sys.argv[1:])))
