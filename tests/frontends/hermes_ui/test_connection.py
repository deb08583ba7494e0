"""Who may connect to the terminal UI's port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from agent.frontends.hermes_ui.connection import HOST, LoopbackListener, listening


async def echo(socket: web.WebSocketResponse) -> None:
    async for frame in socket:
        await socket.send_str(frame.data)


@asynccontextmanager
async def open_port() -> AsyncIterator[tuple[LoopbackListener, aiohttp.ClientSession]]:
    async with listening(echo) as listener, aiohttp.ClientSession() as client:
        yield listener, client


async def refused(client: aiohttp.ClientSession, url: str, **headers: str) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as told:
        await client.ws_connect(url, headers=headers)
    return told.value.status


async def test_the_program_that_has_the_url_is_served_on_the_loopback() -> None:
    async with open_port() as (listener, client), client.ws_connect(listener.url) as socket:
        assert listener.url.startswith(f"ws://{HOST}:")
        await socket.send_str("hi")
        assert await socket.receive_str() == "hi"


@pytest.mark.parametrize("change", ["?token=guess", "", "?token=", "?token={token}&token={token}"])
async def test_without_the_token_nobody_is_served(change: str) -> None:
    async with open_port() as (listener, client):
        base, _, token = listener.url.partition("?token=")
        assert len(token) >= 22  # 128 bits
        assert await refused(client, base + change.replace("{token}", token)) == 403


async def test_tokens_differ() -> None:
    async with listening(echo) as one, listening(echo) as another:
        assert one.url.partition("token=")[2] != another.url.partition("token=")[2]


async def test_one_client_at_a_time_and_another_when_it_has_gone() -> None:
    async with open_port() as (listener, client):
        async with client.ws_connect(listener.url):
            assert await refused(client, listener.url) == 403
        async with asyncio.timeout(5), client.ws_connect(listener.url) as socket:  # the close was answered: it has gone
            await socket.send_str("again")
            assert await socket.receive_str() == "again"


@pytest.mark.parametrize("origin", ["http://127.0.0.1", "https://evil.example", "http://localhost:8080", "null", ""])
async def test_a_web_page_is_refused_even_with_the_token(origin: str) -> None:
    async with open_port() as (listener, client):
        assert await refused(client, listener.url, Origin=origin) == 403


async def test_a_program_whose_origin_is_no_page_is_served() -> None:
    async with open_port() as (listener, client), client.ws_connect(listener.url, headers={"Origin": "file://"}):
        pass


@pytest.mark.parametrize("host", ["evil.example", "localhost", "127.0.0.1", "127.0.0.1:1"])
async def test_another_host_is_refused(host: str) -> None:  # DNS rebinding
    async with open_port() as (listener, client):
        assert await refused(client, listener.url, Host=host) == 403


async def test_another_path_is_not_there() -> None:
    async with open_port() as (listener, client):
        assert await refused(client, listener.url.replace("/tui", "/v1/ws")) == 404


@pytest.mark.parametrize(
    "request_line",
    ["GET /\x1b]0;evil\x07 HTTP/1.1", "\x1b[2J", "GET /tui?token=x HTTP/1.1", "GET /tui?token=%ff HTTP/9.9"],
)
async def test_whoever_sends_nonsense_writes_nothing_on_the_screen(
    request_line: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Attack of another user of this machine (T6), who has the port and not the token."""
    async with open_port() as (listener, _):
        port = int(listener.url.partition("?")[0].rpartition(":")[2].partition("/")[0])
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(f"{request_line}\r\nHost: {HOST}:{port}\r\nOrigin: http://[\r\n\r\n".encode())
        async with asyncio.timeout(5):
            assert (await reader.readline()).split()[1] in {b"400", b"403"}
        writer.close()
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
