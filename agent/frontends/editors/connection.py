"""JSON-RPC 2.0 with an editor: one message a line, questions in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec
from msgspec import Raw, Struct, UnsetType

from agent.errors import AgentError, RemoteFault
from agent.frontends.editors.incoming import CancelRequest, EditorMessage, RequestId
from agent.pending_calls import PendingCall
from agent.protocol import jsonrpc
from agent.protocol.jsonrpc import (
    CANCELLED,
    End,
    Notification,
    Request,
    Response,
    call_failed,
    decoded,
    error_object,
)

T = TypeVar("T")
LAST_ANSWERS = 1.0
"""Seconds for answers when the input has ended: an editor that leaves waits for about two."""
NOT_FOUND = -32002
_CODES = {"session-not-found": NOT_FOUND, "device-not-found": NOT_FOUND, "ambiguous": -32602}
"""Kinds of errors whose own code means something else in this protocol."""

_decoder = msgspec.json.Decoder(EditorMessage)
_encode = msgspec.json.Encoder().encode


class ClientRefused(RemoteFault):
    """The editor answered a question with an error."""


class LineTransport(Protocol):
    """What carries the messages between us and the editor, one a line."""

    def lines(self) -> AsyncIterator[bytes]:
        """The lines that come in, until the input ends."""

    async def write(self, line: bytes) -> None:
        """Send one line, and wait until another may follow."""


class EditorAnswer(Struct, frozen=True):
    """The result of a request, and what to do once the editor has it."""

    result: object
    then: Callable[[], None] | None = None


Handler = Callable[[str, Raw], Awaitable[EditorAnswer]]
"""Takes a request. Raises: AgentError."""
Listener = Callable[[str, Raw], Awaitable[None]]
"""Takes a notification; the next message waits for it. Raises: AgentError, of which nobody is told."""


class EditorPeer:
    """The editor at the other end: answered, notified and asked in JSON-RPC."""

    def __init__(self, lines: LineTransport) -> None:
        self._lines = lines
        self._end: End[bytes, Request[RequestId] | Notification] = End(_encode, decode)
        self._handling: dict[RequestId, tuple[asyncio.Task[None], Request[RequestId]]] = {}

    async def run(self, handle: Handler, listen: Listener) -> None:
        """Take messages until the input ends."""
        async with asyncio.TaskGroup() as tasks:
            async for line in self._lines.lines():
                try:
                    message = self._end.receive(line)
                except AgentError as exc:
                    await self._fail(None, exc)
                    continue
                if isinstance(message, Notification):
                    await self._notified(message, listen)
                elif isinstance(message, Request):
                    task = tasks.create_task(self._requested(message, handle), name=f"acp.{message.method[:64]}")
                    self._handling[message.id] = task, message
            await self._finish()

    async def _finish(self) -> None:
        # What was asked before the end is answered, if that is quick; the end of a turn is not waited for.
        quick = [task for task, asked in self._handling.values() if asked.method != "session/prompt"]
        if quick:
            await asyncio.wait(quick, timeout=LAST_ANSWERS)
        for task, _ in self._handling.values():
            task.cancel()

    async def notify(self, method: str, params: object) -> None:
        """Send a notification to the editor."""
        await self._lines.write(self._end.notification(method, params))

    async def ask(self, method: str, params: object, kind: type[T]) -> T:
        """Ask the editor, and wait; a cancelled question is taken back. Raises: ClientRefused, BadParams."""
        with PendingCall(self._end, method, params) as question:
            try:
                await self._lines.write(question.frame)
                return converted(await question.answer(), kind)
            except asyncio.CancelledError:
                await self.notify("$/cancel_request", {"requestId": question.id})
                raise

    async def _fail(self, request: RequestId, exc: AgentError) -> None:
        await self._lines.write(self._end.failure(request, _error(exc)))

    async def _notified(self, message: Notification, listen: Listener) -> None:
        method, params = message.method, message.params
        try:
            if method == "$/cancel_request":
                taken_back = self._handling.get(converted(params, CancelRequest).request_id)
                if taken_back is None:
                    return
                task, asked = taken_back
                if asked.method != "session/prompt":
                    task.cancel()
                    return
                method, params = "session/cancel", asked.params  # it has an end of its own
            await listen(method, params)
        except AgentError:
            return  # a notification has no answer

    async def _requested(self, message: Request[RequestId], handle: Handler) -> None:
        try:
            answer = await handle(message.method, message.params)
            await self._lines.write(self._end.response(message.id, answer.result))
            if answer.then is not None:
                answer.then()
        except AgentError as exc:
            await self._fail(message.id, exc)
        except asyncio.CancelledError:
            taken_back = {"code": CANCELLED, "message": "cancelled"}
            await self._lines.write(self._end.failure(message.id, taken_back))
        finally:
            self._handling.pop(message.id, None)


def decode(line: bytes) -> Request[RequestId] | Notification | Response[ClientRefused]:
    """Read a line; absent parameters, and those that are null, are an empty object. Raises: BadFrame, BadRequest."""
    message = decoded(_decoder, line)
    if isinstance(message.method, UnsetType):
        return _answer(message)
    params = message.params
    if isinstance(params, UnsetType) or bytes(params) == b"null":
        params = Raw(b"{}")
    if isinstance(message.id, UnsetType):
        return Notification(message.method, params)
    return Request(message.id, message.method, params)


def _answer(message: EditorMessage) -> Response[ClientRefused]:
    request_id = None if isinstance(message.id, UnsetType) else message.id
    if not isinstance(message.error, UnsetType):
        error = call_failed(message.error)
        refused = ClientRefused(f"the editor refused: {error.message} ({error.code})")
        return Response(request_id, error=refused)
    return Response(request_id, Raw(b"null") if isinstance(message.result, UnsetType) else message.result)


def converted(raw: Raw, kind: type[T]) -> T:
    """The parameters of a message, or its result, as their type. Raises: BadParams."""
    return jsonrpc.converted(raw, kind, hint="see agentclientprotocol.com")


def _error(error: AgentError) -> dict[str, object]:
    return {**error_object(error, _CODES), "data": {"kind": error.kind, "hint": error.hint}}
