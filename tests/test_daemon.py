"""daemon: every part is supervised by itself; whatever fails, the others go on serving (T11)."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from types import CoroutineType
from typing import Any

import aiohttp
import pytest

from agent.adapters.storage.machine import beside_others
from agent.adapters.storage.state import StateFile
from agent.daemon import DEFAULT_PORT, Service, say
from agent.gateway.router import Router
from agent.processes import listened_by_others
from agent.protocol.methods import METHODS
from agent.settings import Home, PageSettings, Settings
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import LOOK, SECONDS, until

"""Seconds for a step of a real service, on a machine that is busy."""


class Boom(Exception):
    """No error of ours."""


class Fault:
    """Breaks a part from within, as a task that it has started would."""

    def __init__(self, service: Service, part: str) -> None:
        self.begun = self.failed = 0
        self._now = asyncio.Event()
        self._run = service.parts[part]
        service.parts[part] = self._broken

    def strike(self) -> None:
        self._now.set()

    async def _broken(self) -> None:
        self.begun += 1
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self._run(), name="test.part")
            breaking = group.create_task(self._break(), name="test.fault")
            await asyncio.wait([running])
            breaking.cancel()

    async def _break(self) -> None:
        await self._now.wait()
        self._now.clear()
        self.failed += 1
        raise Boom


class Client:
    """A client of the control socket; ids of its own, answers in order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids = count(1)

    async def call(self, method: str, **params: Any) -> Any:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self._path))) as http:
            asked = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
            async with http.post("http://localhost/v1/rpc", json=asked) as response:
                answer = await response.json(content_type=None)
        assert "error" not in answer, answer
        return answer["result"]

    async def reply(self, session: str, text: str) -> str:
        """Attach, prompt, and the text of the answer."""
        http = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self._path)))
        async with http, http.ws_connect("http://localhost/v1/ws", protocols=["lan-agent.v1.json"]) as ws:
            prompt = {"session_id": session, "prompt_id": f"prompt-{next(self._ids)}", "text": text}
            for method, params in (("session.attach", {"session_id": session}), ("prompt.submit", prompt)):
                await ws.send_json({"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params})
            async for message in ws:
                told = message.json()
                assert "error" not in told, told
                if told.get("params", {}).get("type") == "message.complete":
                    return str(told["params"]["payload"]["text"])
        raise AssertionError("the connection was closed")


@pytest.fixture
def place() -> Iterator[Home]:
    root = Path(tempfile.mkdtemp(prefix="lan-agent-"))  # short: the path of a socket has 100 bytes
    yield Home(config=root, state=root / "state", runtime=root / "run")
    shutil.rmtree(root)


@asynccontextmanager
async def running(service: Service, clock: FakeClock, place: Home) -> AsyncIterator[Client]:
    place.runtime.mkdir(mode=0o700, parents=True)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(service.run(), name="test.service")
        await until(lambda: place.control_socket.exists() or task.done())
        client = Client(place.control_socket)
        try:
            yield client
        finally:
            service.stop()
            while not task.done():
                await clock.advance(1.0)
                await asyncio.wait([task], timeout=LOOK)


def made(place: Home) -> tuple[Service, FakeClock]:
    clock = FakeClock()
    return Service(place, Settings(name="desk", interfaces=("lo",), page=PageSettings(port=0)), clock), clock


async def test_a_whole_service_answers_every_method_of_the_wire(place: Home) -> None:
    service, clock = made(place)
    async with running(service, clock, place):
        peers = service.parts["peers"]
        assert isinstance(peers, partial)
        router = next(each for each in peers.args if isinstance(each, Router))
        assert set(router.routes) == set(METHODS)


PARTS = [
    "presence", "sessions", "proxy", "trusted", "audit", "peers", "gossip", "addresses", "last-known", "twins",
    "listener", "pairing", "prober", "tell", "store", "failures", "page",
]  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
async def test_a_part_that_fails_leaves_the_others_serving_and_is_begun_anew(place: Home, part: str) -> None:  # T11
    service, clock = made(place)
    assert list(service.parts) == PARTS, "a new part is broken here, too"
    faults = {name: Fault(service, name) for name in PARTS}
    async with running(service, clock, place) as client:
        session = (await client.call("session.create", backend="commands", title="Work"))["session_id"]
        assert "one" in await client.reply(session, "echo one")

        faults[part].strike()
        await until(lambda: faults[part].failed == 1)
        assert (await client.call("gateway.status"))["name"] == "desk"
        assert [row["name"] for row in await client.call("peer.list") if row["self"]] == ["desk"]  # others may be there
        if part != "sessions":
            assert [row["id"] for row in await client.call("session.list")] == [session]
            assert "two" in await client.reply(session, "echo two")

        async with asyncio.timeout(SECONDS):
            while faults[part].begun == 1 or not await client.call("session.list"):
                await clock.advance(0.5)
        assert "three" in await client.reply(session, "echo three")
        assert [name for name, fault in faults.items() if fault.begun != 1] == [part]
        assert (await client.call("gateway.status"))["problems"] == []

        faults[part].strike()
        problems: list[str] = []
        async with asyncio.timeout(SECONDS):
            while not problems:
                problems = (await client.call("gateway.status"))["problems"]
        assert [text.partition(" (")[0] for text in problems] == [f"{part} fails again and again"]


def waiting_for(task: asyncio.Task[Any]) -> asyncio.Future[Any] | None:
    """What a task waits for at this moment, if it is nothing but a future of its own."""
    waiter = getattr(task, "_fut_waiter", None)
    at: Any = task.get_coro()
    while isinstance(at, CoroutineType):
        if at.cr_code.co_qualname == "TaskGroup.__aexit__":
            return None  # it waits for its children, each of which is struck by itself
        at = at.cr_await
    return waiter if isinstance(waiter, asyncio.Future) and not isinstance(waiter, asyncio.Task) else None


async def test_t11_an_exception_in_any_task_of_the_running_service_ends_neither_it_nor_another_part(
    place: Home,
) -> None:
    """Whatever waits is made to raise, task by task: timers, readers, watchers."""
    service, clock = made(place)
    begun: dict[str, int] = dict.fromkeys(service.parts, 0)

    def counted(name: str, run: Callable[[], Coroutine[None, None, None]]) -> Callable[[], Coroutine[None, None, None]]:
        async def begin() -> None:
            begun[name] += 1
            await run()

        return begin

    for name, run in list(service.parts.items()):
        service.parts[name] = counted(name, run)
    async with running(service, clock, place) as client:
        session = (await client.call("session.create", backend="commands", title="Work"))["session_id"]
        assert "one" in await client.reply(session, "echo one")
        ours = {task for task in asyncio.all_tasks() if not task.get_name().startswith(("Task-", "test."))}
        struck = []
        for task in sorted(ours, key=lambda task: task.get_name()):
            waiter = waiting_for(task)
            if waiter is None or waiter.done() or task.get_name().startswith("backends."):
                continue
            struck.append(task.get_name())
            waiter.set_exception(Boom(task.get_name()))
            await clock.advance(1.0)
            assert (await client.call("gateway.status"))["name"] == "desk", task.get_name()
        assert len(struck) >= 12, struck
        await clock.advance(31.0)
        async with asyncio.timeout(SECONDS):
            while not await client.call("session.list"):
                await clock.advance(0.5)
        assert "two" in await client.reply(session, "echo two")
        assert all(1 <= times <= 4 for times in begun.values()), begun


@pytest.mark.parametrize("output", ["full", "closed", "left", "none"])
def test_t11_nobody_who_takes_the_output_is_needed(monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    """A `tee` that was killed, or a full disk of logs, ended the service at the next device that came."""
    if output == "none":
        monkeypatch.setattr(sys, "stderr", None)
        say("den is online")
        return
    if output == "full":
        stream = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115 - a full disk fails at its end, too
    else:
        read, write = os.pipe()
        os.close(read)
        stream = os.fdopen(write, "w", 1)
    if output == "closed":
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    for _ in range(3):
        say("den is online")
    with suppress(OSError):
        stream.close()


@pytest.mark.parametrize(("user", "added"), [(0, ""), (1, pwd.getpwuid(os.geteuid()).pw_name)])
def test_the_second_user_of_a_machine_is_named_by_the_first_start(tmp_path: Path, user: int, added: str) -> None:
    net = tmp_path / "proc/net"
    net.mkdir(parents=True)
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    row = f"   0: 0100007F:{DEFAULT_PORT:04X} 00000000:0000 0A 0:0 00:0 0 {os.geteuid() + user} 0 99 1\n"
    (net / "tcp").write_text(head + row)
    state = tmp_path / "state"
    assert beside_others(StateFile(state), listened_by_others(DEFAULT_PORT, net)) == added
    (net / "tcp").write_text(head)  # the other one is not there: the name stays
    assert beside_others(StateFile(state), listened_by_others(DEFAULT_PORT, net)) == added
