"""JSON-RPC 2.0 with the terminal UI: it asks, we answer, and tell events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import Raw, Struct, UnsetType

from agent.errors import AgentError
from agent.frontends.hermes_ui.frames import Frame
from agent.frontends.hermes_ui.incoming import Envelope, RequestId
from agent.protocol.jsonrpc import End, Request, decoded, error_object

_CODES = {"session-not-found": 4001, "request-not-found": 4009}
"""Kinds of errors that have a code of their own in this protocol."""

_decoder = msgspec.json.Decoder(Envelope)


class Answer(Struct, frozen=True):
    """The result of a request, and what to do once the UI has it."""

    result: object
    then: Callable[[], Awaitable[None]] | None = None


Handler = Callable[[str, Raw], Awaitable[Answer]]
"""Takes a request. Raises: AgentError."""


class Peer:
    """The UI at the other end of a WebSocket: answered, and told events."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._end: End[str, Request[RequestId]] = End(_encode, decode)

    async def emit(self, frame: Frame, session: str = "") -> None:
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
