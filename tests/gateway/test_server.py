"""gateway.server: the control application on a real Unix socket, and the LAN application behind no TLS."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from msgspec.msgpack import Ext

from agent.adapters.net.link import WebSocketChannel
from agent.gateway.server import Gateway, remote_host
from agent.ports import Channel
from agent.protocol.codec import FRAME_IN_MAX, JSON, MSGPACK, Codec, msgpack
from agent.protocol.messages import Ready, SessionsChanged
from agent.protocol.model import DeviceId, SessionId
from agent.tasks import failures
from tests.fakes.clock import settle
from tests.fakes.gateways import Device, network
from tests.links.test_hostile_links import Evil, a_row

URL = "http://gateway.invalid/v1"


class Door:
    """A client's way to one gateway."""

    def __init__(self, device: Device, session: aiohttp.ClientSession) -> None:
        self.device, self.session = device, session

    async def post(self, body: object, **headers: str) -> tuple[int, dict[str, Any]]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.post(f"{URL}/rpc", data=data, headers=headers) as answer:
            text = await answer.read()
            return answer.status, json.loads(text) if answer.content_type == "application/json" else {}

    async def call(self, method: str, **params: object) -> Any:
        status, told = await self.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        assert status == 200
        assert "error" not in told, told
        return told["result"]

    async def error(self, body: object) -> tuple[int, str]:
        status, told = await self.post(body)
        assert status == 200
        return told["error"]["code"], told["error"]["data"]["kind"]


def gateway_of(device: Device, device_of: Callable[[web.Request], DeviceId | None] = lambda request: None) -> Gateway:
    def channel(
        ws: web.WebSocketResponse, codec: Codec, *, device: DeviceId | None, transport: asyncio.Transport | None
    ) -> Channel:
        return WebSocketChannel(ws, codec, clock=clock, device=device, cut=transport.abort if transport else None)

    clock = device.net.clock
    return Gateway(
        own=Ready(device=device.id, name=device.name, version="1", port=1000),
        router=device.router,
        peers=device.peers,
        make_channel=channel,
        device_of=device_of,
        linked=lambda request: None,
        inside=_outside,
    )


async def _outside(pid: int | None) -> SessionId | None:
    return None


@asynccontextmanager
async def served(app: web.Application, folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    path = str(folder / "control.sock")
    await web.UnixSite(runner, path).start()
    try:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as session:
            yield session
    finally:
        await runner.cleanup()


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with AsyncExitStack() as stack:
        _, (_, laptop) = await stack.enter_async_context(network("desk", "laptop"))
        session = await stack.enter_async_context(served(gateway_of(laptop).control_app(), tmp_path))
        yield Door(laptop, session)


@pytest.mark.parametrize("heard", [True, False], ids=["known to aiohttp", "not known to aiohttp yet"])
async def test_whoever_hangs_up_before_the_answer_costs_no_line_in_the_log(
    heard: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Who dials several addresses hangs up on all but the first that answers.
    async with network("desk", "laptop") as (_, (desk, laptop)):

        def hangs_up(request: web.Request) -> DeviceId:
            assert request.transport is not None
            if not heard:  # as under TLS, which closes step by step
                request.transport.set_protocol(asyncio.Protocol())
            request.transport.abort()
            return desk.id

        gateway = gateway_of(laptop, hangs_up)
        async with served(gateway.lan_app(), tmp_path) as session:
            with pytest.raises(aiohttp.ClientError):
                await session.ws_connect(f"{URL}/ws", protocols=(MSGPACK,))
            assert [record.getMessage() for record in caplog.records if record.levelname != "DEBUG"] == []


async def test_a_request_is_answered(door: Door) -> None:
    created = await door.call("session.create", title="one")
    (row,) = await door.call("session.list", scope="local")
    assert (row["id"], row["title"], row["local"]) == (created["session_id"], "one", True)
    assert [peer["name"] for peer in await door.call("peer.list")] == ["laptop", "desk"]


async def test_t11_an_answer_without_json_is_an_error_and_no_failure(tmp_path: Path) -> None:  # L7
    async with network("laptop") as (net, (laptop,)), Evil(net, laptop).linked() as evil:
        evil.tell("session.changed", SessionsChanged(changed=(a_row("sesssesssesssess"),)))
        await settle()
        async with served(gateway_of(laptop).control_app(), tmp_path) as session:
            door = Door(laptop, session)
            params = {"session_id": "sesssesssesssess", "prompt_id": "p", "text": "x"}
            body = {"jsonrpc": "2.0", "id": 1, "method": "prompt.submit", "params": params}
            evil.answer = lambda method, params: Ext(5, b"x")
            assert (await door.error(body))[1] == "remote-fault"
            evil.answer = lambda method, params: {"turn": 1, "status": "started", "new": Ext(5, b"x")}
            assert (await door.error(body))[1] == "bad-frame"
        assert failures()._times == {}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"peer.list","params":' + b"[" * 5000, -32700),
        (b'{"id":' + b"9" * 400 + b"}", -32700),
        ([], -32600),
        (7, -32600),
        ({"jsonrpc": "1.0", "id": 1, "method": "peer.list"}, -32600),
        ({"jsonrpc": "2.0", "method": "peer.list"}, -32600),
        ({"jsonrpc": "2.0", "id": None, "method": "peer.list"}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "result": 1}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "no.such"}, -32601),
        ({"jsonrpc": "2.0", "id": 1, "method": "session.list", "params": [1]}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "session.list", "params": {"scope": "none"}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "session.close", "params": {"session_id": ""}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "session.close", "params": {"session_id": "x" * 257}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "session.close", "params": {"session_id": "x"}}, -32001),
        ({"jsonrpc": "2.0", "id": 1, "method": "session.close", "params": {"session_id": "a/b"}}, -32001),
        ({"jsonrpc": "2.0", "id": 1, "method": "session.close", "params": {"session_id": "/"}}, -32001),
        ({"jsonrpc": "2.0", "id": 1, "method": "session.history", "params": {"session_id": "x", "limit": 0}}, -32602),
    ],
)
async def test_what_the_schema_does_not_describe_is_an_error_with_a_code(door: Door, body: object, code: int) -> None:
    assert (await door.error(body))[0] == code


@pytest.mark.parametrize("method", ["session.attach", "session.watch", "peer.watch", "device.pair"])
async def test_what_streams_needs_a_websocket(door: Door, method: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"session_id": "x"}}
    assert await door.error(body) == (-32016, "forbidden")


async def test_too_large_a_request_is_an_error_like_any_other(door: Door) -> None:
    assert (await door.error(b" " * (FRAME_IN_MAX + 1)))[1] == "too-large"


async def test_a_browser_gets_nothing(door: Door) -> None:  # T7, T8
    body = {"jsonrpc": "2.0", "id": 1, "method": "peer.list"}
    assert (await door.post(body, Origin="http://localhost"))[0] == 403
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        await door.session.ws_connect(f"{URL}/ws", origin="http://localhost")


async def test_who_leaves_before_a_session_is_made_leaves_none(door: Door) -> None:  # L6
    door.device.echo.may_start.clear()
    changes = door.device.presence.subscribe()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        asking = group.create_task(door.call("session.create"))
        await door.device.echo.starting.wait()
        assert len(door.device.sessions.index.rows()) == 1
        asking.cancel()
        with changes:
            async for change in changes:
                if change.sessions_gone:
                    break
    assert door.device.sessions.index.rows() == []


@pytest.mark.parametrize(("asked", "given"), [((MSGPACK, JSON), MSGPACK), ((JSON,), JSON), ((), None), (("x",), None)])
async def test_the_first_message_says_who_speaks(door: Door, asked: tuple[str, ...], given: str | None) -> None:
    async with door.session.ws_connect(f"{URL}/ws", protocols=asked) as ws:
        assert ws.protocol == given
        message = await ws.receive()
        codec = Codec(given or MSGPACK)
        data = message.data.encode() if isinstance(message.data, str) else message.data
        assert (message.type is aiohttp.WSMsgType.TEXT) is (given == JSON)
        assert codec.decode(data).method == "gateway.ready"


async def until(ws: aiohttp.ClientWebSocketResponse, what: str) -> list[dict[str, Any]]:
    """Messages up to the first that is an event of that type, or answers the request of that number."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(5):
        while not found or what not in (found[-1].get("params", {}).get("type"), str(found[-1].get("id"))):
            found.append(json.loads(await ws.receive_str()))
    return found


@pytest.mark.parametrize("where", ["laptop", "desk"])
async def test_a_json_client_sees_payloads_as_objects_wherever_the_session_is(door: Door, where: str) -> None:  # L1
    session = (await door.call("session.create", device=where))["session_id"]
    async with door.session.ws_connect(f"{URL}/ws", protocols=(JSON,)) as ws:
        asked = {"jsonrpc": "2.0", "id": 7, "method": "session.attach", "params": {"session_id": session}}
        await ws.send_json(asked)
        attached = (await until(ws, "7"))[-1]["result"]
        assert attached["snapshot"]["events"][0]["payload"] == {"status": "starting"}
        assert attached["snapshot"]["session"]["device"]["name"] == where
        params = {"session_id": session, "prompt_id": "a", "text": "grüß dich \u0001"}
        await ws.send_json({"jsonrpc": "2.0", "id": 8, "method": "prompt.submit", "params": params})
        events = [each["params"] for each in await until(ws, "turn.complete") if each.get("method") == "event"]
        by_type = {event["type"]: event["payload"] for event in events}
        assert by_type["message.user"]["text"] == "grüß dich \u0001"
        assert by_type["message.user"]["sender"]["name"] == "laptop"
        assert by_type["message.complete"]["text"] == "grüß dich \u0001"
        assert [event["seq"] for event in events] == list(range(attached["seq"] + 1, attached["seq"] + 1 + len(events)))


async def test_three_bad_messages_close_a_clients_connection(door: Door) -> None:
    async with door.session.ws_connect(f"{URL}/ws", protocols=(MSGPACK,)) as ws:
        for _ in range(3):
            await ws.send_bytes(b"\xc1")
        while (message := await ws.receive()).type is aiohttp.WSMsgType.BINARY:
            msgpack.decode(message.data)
        assert ws.close_code == 1002


async def test_too_large_a_frame_closes_a_clients_connection(door: Door) -> None:
    async with door.session.ws_connect(f"{URL}/ws", protocols=(MSGPACK,)) as ws:
        await ws.send_bytes(bytes(FRAME_IN_MAX + 1))
        while (await ws.receive()).type is aiohttp.WSMsgType.BINARY:
            pass
        assert ws.close_code == 1009


async def test_whoever_is_not_paired_gets_no_further_than_the_lans_door(door: Door, tmp_path: Path) -> None:  # T2
    (tmp_path / "lan").mkdir()
    async with served(gateway_of(door.device).lan_app(), tmp_path / "lan") as session:
        async with session.get(f"{URL}/ws") as answer:
            assert answer.status == 403
        async with session.post(f"{URL}/rpc", data=b"{}") as answer:
            assert answer.status == 404


@pytest.mark.parametrize(
    ("peername", "host"),
    [
        (("192.168.1.5", 7471), "192.168.1.5"),
        (("fd00::5", 7471, 0, 0), "fd00::5"),
        (("fe80::5", 7471, 0, 1), f"fe80::5%{socket.if_indextoname(1)}"),
        (("fe80::5", 7471, 0, 999_999), "fe80::5%999999"),
        ("", ""),
        (None, ""),
    ],
)
def test_where_a_caller_is_can_be_dialled(peername: object, host: str) -> None:  # L2, L3
    assert remote_host(peername) == host
