"""Where the terminal UI connects: a WebSocket on the loopback, for one client that knows the token."""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from aiohttp import web

HOST = "127.0.0.1"
FRAME_MAX = 4 * 1024 * 1024
"""Bytes of a frame: the longest prompt, in any escape of JSON."""

_unheard = logging.getLogger(f"{__name__}.requests")
_unheard.setLevel(logging.CRITICAL + 1)  # anybody on this machine may send nonsense, and the UI has the screen

Serve = Callable[[web.WebSocketResponse], Awaitable[None]]
"""Talks with one client until it leaves."""


class Listener:
    """The WebSocket that the UI connects to, one client at a time. Made by `listening`."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._token = secrets.token_urlsafe(16)  # 128 bits
        self._port = 0
        self._busy = False

    @property
    def url(self) -> str:
        """Where the UI connects. The token is in the query, since the UI keeps that part out of its logs."""
        return f"ws://{HOST}:{self._port}/tui?token={self._token}"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Listen on the loopback while the block runs."""
        app = web.Application()
        app.router.add_get("/tui", self._connected)
        runner = web.AppRunner(app, access_log=None, logger=_unheard, shutdown_timeout=0.5)
        await runner.setup()
        try:
            site = web.TCPSite(runner, HOST, 0)
            await site.start()
            self._port = runner.addresses[0][1]
            yield
        finally:
            await runner.cleanup()

    async def _connected(self, request: web.Request) -> web.StreamResponse:
        if not self._allows(request):
            raise web.HTTPForbidden
        # Taken before anything is awaited: of two at once, one is served.
        self._busy = True
        socket = web.WebSocketResponse(max_msg_size=FRAME_MAX, compress=False)
        try:
            await socket.prepare(request)
            await self._serve(socket)
        finally:
            self._busy = False
        return socket

    def _allows(self, request: web.Request) -> bool:
        # A web page can reach this port, too: by its Origin, or by a name of its own that leads here (DNS rebinding).
        origin = request.headers.getall("Origin", [])
        if any(_is_of_page(each) for each in origin):
            return False
        if request.headers.getall("Host", []) != [f"{HOST}:{self._port}"]:
            return False
        given = request.query.getall("token", [])
        return len(given) == 1 and hmac.compare_digest(given[0].encode(), self._token.encode()) and not self._busy


def _is_of_page(origin: str) -> bool:
    try:
        return urlsplit(origin).scheme in {"http", "https", ""}
    except ValueError:  # like "http://[": it is of nobody we know
        return True


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[Listener]:
    """Serve one client after the other while the block runs."""
    listener = Listener(serve)
    async with listener.open():
        yield listener
