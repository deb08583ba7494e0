"""Where the terminal UI connects: a WebSocket on the loopback, for one client that knows the token."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import Raw, Struct, UnsetType

from agent.errors import AgentError
from agent.frontends.hermes_ui.incoming import RequestId, UiRequest
from agent.frontends.hermes_ui.outgoing import UiEvent
from agent.protocol.jsonrpc import End, Request, decoded, error_object

HOST = "127.0.0.1"
FRAME_MAX = 4 * 1024 * 1024
"""Bytes of a frame: the longest prompt, in any escape of JSON."""

_unheard = logging.getLogger(f"{__name__}.requests")
_unheard.setLevel(logging.CRITICAL + 1)  # anybody on this machine may send nonsense, and the UI has the screen

Serve = Callable[[web.WebSocketResponse], Awaitable[None]]
"""Talks with one client until it leaves."""


class LoopbackListener:
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
async def listening(serve: Serve) -> AsyncIterator[LoopbackListener]:
    """Serve one client after the other while the block runs."""
    listener = LoopbackListener(serve)
    async with listener.open():
        yield listener


_CODES = {"session-not-found": 4001, "request-not-found": 4009}
"""Kinds of errors that have a code of their own in this protocol."""

_decoder = msgspec.json.Decoder(UiRequest)


class UiAnswer(Struct, frozen=True):
    """The result of a request, and what to do once the UI has it."""

    result: object
    then: Callable[[], Awaitable[None]] | None = None


Handler = Callable[[str, Raw], Awaitable[UiAnswer]]
"""Takes a request. Raises: AgentError."""


class UiPeer:
    """The UI at the other end of a WebSocket: answered, and told events."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._end: End[str, Request[RequestId]] = End(_encode, decode)

    async def emit(self, frame: UiEvent, session: str = "") -> None:
        """Tell the UI an event; nobody hears it once the UI has gone."""
        params: dict[str, object] = {"type": frame.type}
        if session:
            params["session_id"] = session
        if frame.payload is not None:
            params["payload"] = frame.payload
        await self._send(self._end.notification("event", params))

    async def run(self, handle: Handler) -> None:
        """Answer until the UI leaves. A binary frame ends the connection, as it does with Hermes itself."""
        async with asyncio.TaskGroup() as tasks:
            jobs: set[asyncio.Task[None]] = set()
            async for frame in self._socket:
                if frame.type is not WSMsgType.TEXT:
                    await self._socket.close(code=WSCloseCode.UNSUPPORTED_DATA)
                    break
                if not frame.data.strip():
                    continue
                try:
                    message = self._end.receive(frame.data)
                except AgentError as exc:
                    await self._send(self._end.failure(None, error_object(exc, _CODES)))
                    continue
                assert isinstance(message, Request)  # the UI is asked nothing, so it answers nothing
                job = tasks.create_task(self._requested(message, handle), name=f"hermes.{message.method[:64]}")
                jobs.add(job)
                job.add_done_callback(jobs.discard)
            for job in jobs:
                job.cancel()

    async def _requested(self, message: Request[RequestId], handle: Handler) -> None:
        try:
            answer = await handle(message.method, message.params)
            await self._send(self._end.response(message.id, answer.result))
            if answer.then is not None:
                await answer.then()
        except AgentError as exc:
            await self._send(self._end.failure(message.id, error_object(exc, _CODES)))

    async def _send(self, frame: str) -> None:
        if not self._socket.closed:
            try:
                await self._socket.send_str(frame)
            except ConnectionError:
                return  # it has gone: `run` ends


def decode(text: str) -> Request[RequestId]:
    """Read a frame; absent parameters are an empty object. Raises: BadFrame, BadRequest."""
    message = decoded(_decoder, text)
    request_id = None if isinstance(message.id, UnsetType) else message.id
    return Request(request_id, message.method, Raw(b"{}") if isinstance(message.params, UnsetType) else message.params)


def _encode(message: object) -> str:
    return msgspec.json.encode(message).decode()
