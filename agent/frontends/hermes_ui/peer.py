"""JSON-RPC 2.0 with the terminal UI: it asks, we answer, and tell events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import Raw, Struct, UnsetType

from agent.errors import AgentError, BadFrame, BadParams, BadRequest
from agent.frontends.hermes_ui.frames import Frame
from agent.frontends.hermes_ui.incoming import Envelope, RequestId

T = TypeVar("T")
_CODES = {"session-not-found": 4001, "request-not-found": 4009}
"""Kinds of errors that have a code of their own in this protocol."""

_decoder = msgspec.json.Decoder(Envelope)
_encode = msgspec.json.Encoder().encode


class Answer(Struct, frozen=True):
    """The result of a request, and what to do once the UI has it."""

    result: object
    then: Callable[[], Awaitable[None]] | None = None


Handler = Callable[[str, Raw], Awaitable[Answer]]
"""Takes a request. Raises: AgentError."""


class Peer:
    """The UI at the other end of a WebSocket."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def emit(self, frame: Frame, session: str = "") -> None:
        """Tell an event; nobody hears it once the UI has gone."""
        params: dict[str, object] = {"type": frame.type}
        if session:
            params["session_id"] = session
        if frame.payload is not None:
            params["payload"] = frame.payload
        await self._send({"jsonrpc": "2.0", "method": "event", "params": params})

    async def run(self, handle: Handler) -> None:
        """Answer until the UI leaves. A binary frame ends it, as it does with Hermes itself."""
        async with asyncio.TaskGroup() as tasks:
            jobs: set[asyncio.Task[None]] = set()
            async for frame in self._socket:
                if frame.type is not WSMsgType.TEXT:
                    await self._socket.close(code=WSCloseCode.UNSUPPORTED_DATA)
                    break
                if not frame.data.strip():
                    continue
                try:
                    message = decoded(frame.data)
                except AgentError as exc:
                    await self._fail(None, exc)
                    continue
                job = tasks.create_task(self._requested(message, handle), name=f"hermes.{message.method[:64]}")
                jobs.add(job)
                job.add_done_callback(jobs.discard)
            for job in jobs:
                job.cancel()

    async def _requested(self, message: Envelope, handle: Handler) -> None:
        asked = None if isinstance(message.id, UnsetType) else message.id
        try:
            params = Raw(b"{}") if isinstance(message.params, UnsetType) else message.params
            answer = await handle(message.method, params)
            await self._send({"jsonrpc": "2.0", "id": asked, "result": answer.result})
            if answer.then is not None:
                await answer.then()
        except AgentError as exc:
            await self._fail(asked, exc)

    async def _fail(self, asked: RequestId, exc: AgentError) -> None:
        await self._send({"jsonrpc": "2.0", "id": asked, "error": told(exc)})

    async def _send(self, message: object) -> None:
        if not self._socket.closed:
            try:
                await self._socket.send_str(_encode(message).decode())
            except ConnectionError:
                return  # it has gone: `run` ends


def decoded(text: str) -> Envelope:
    """Parse a frame. Raises: BadFrame (no JSON), BadRequest (JSON, and no request)."""
    try:
        return _decoder.decode(text)
    except msgspec.ValidationError as exc:
        raise BadRequest(f"not a request of JSON-RPC 2.0: {exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise BadFrame(f"not JSON: {exc}") from exc


def converted(raw: Raw, kind: type[T]) -> T:
    """Parameters as their type. Raises: BadParams."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (ValueError, RecursionError) as exc:
        raise BadParams(str(exc), hint="") from exc


def told(exc: AgentError) -> dict[str, object]:
    """The error object; the hint is in the message, as the UI shows no more than that."""
    message = f"{exc} ({exc.hint})" if exc.hint else str(exc)
    return {"code": _CODES.get(exc.kind, exc.code), "message": message}
