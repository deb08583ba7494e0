"""JSON-RPC 2.0 with an editor: one message a line, questions in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec
from msgspec import Raw, Struct, UnsetType

from agent.errors import AgentError, BadFrame, BadParams, BadRequest, RemoteFault
from agent.frontends.editors.incoming import CancelRequest, Envelope, Fault, RequestId

T = TypeVar("T")
LAST_ANSWERS = 1.0
"""Seconds for answers when the input has ended: an editor that leaves waits for about two."""
CANCELLED = -32800
NOT_FOUND = -32002
_CODES = {"session-not-found": NOT_FOUND, "device-not-found": NOT_FOUND, "ambiguous": -32602}
"""Kinds of errors whose own code means something else in this protocol."""

_decoder = msgspec.json.Decoder(Envelope)
_encode = msgspec.json.Encoder().encode


class ClientRefused(RemoteFault):
    """The editor answered a question with an error."""


class Lines(Protocol):
    """What carries the messages."""

    def lines(self) -> AsyncIterator[bytes]:
        """Those that come in."""

    async def write(self, line: bytes) -> None:
        """Send one."""


class Answer(Struct, frozen=True):
    """The result of a request, and what to do once the client has it."""

    result: object
    then: Callable[[], None] | None = None


Handler = Callable[[str, Raw], Awaitable[Answer]]
"""Takes a request. Raises: AgentError."""
Listener = Callable[[str, Raw], Awaitable[None]]
"""Takes a notification; the next message waits for it. Raises: AgentError, of which nobody is told."""


class Peer:
    """The editor at the other end."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._asked = 0
        self._pending: dict[RequestId, asyncio.Future[Raw]] = {}
        self._handling: dict[RequestId, tuple[asyncio.Task[None], Envelope]] = {}

    async def run(self, handle: Handler, listen: Listener) -> None:
        """Take messages until the input ends."""
        async with asyncio.TaskGroup() as tasks:
            async for line in self._lines.lines():
                try:
                    message = decoded(line)
                except AgentError as exc:
                    await self._fail(None, exc)
                    continue
                if isinstance(message.method, UnsetType):
                    self._answered(message)
                elif isinstance(message.id, UnsetType):
                    await self._notified(message.method, message, listen)
                else:
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
        """Tell something."""
        await self._send({"jsonrpc": "2.0", "method": method, "params": params})

    async def ask(self, method: str, params: object, kind: type[T]) -> T:
        """Ask and wait for the answer; when cancelled, the question is taken back. Raises: ClientRefused, BadParams."""
        self._asked += 1
        asked = self._asked
        future: asyncio.Future[Raw] = asyncio.get_running_loop().create_future()
        self._pending[asked] = future
        try:
            await self._send({"jsonrpc": "2.0", "id": asked, "method": method, "params": params})
            return converted(await future, kind)
        except asyncio.CancelledError:
            await self.notify("$/cancel_request", {"requestId": asked})
            raise
        finally:
            self._pending.pop(asked, None)

    async def _send(self, message: object) -> None:
        await self._lines.write(_encode(message))

    async def _fail(self, request: RequestId, exc: AgentError) -> None:
        await self._send({"jsonrpc": "2.0", "id": request, "error": told(exc)})

    def _answered(self, message: Envelope) -> None:
        future = None if isinstance(message.id, UnsetType) else self._pending.get(message.id)
        if future is None or future.done():
            return  # to a question that was taken back
        if isinstance(message.error, UnsetType):
            future.set_result(Raw(b"null") if isinstance(message.result, UnsetType) else message.result)
            return
        try:
            fault = converted(message.error, Fault)
        except BadParams:
            fault = Fault(message="an error without words")
        future.set_exception(ClientRefused(f"the editor refused: {fault.message} ({fault.code})"))

    async def _notified(self, method: str, message: Envelope, listen: Listener) -> None:
        try:
            if method == "$/cancel_request":
                taken_back = self._handling.get(converted(message.params, CancelRequest).request_id)
                if taken_back is None:
                    return
                task, asked = taken_back
                if asked.method != "session/prompt":
                    task.cancel()
                    return
                method, message = "session/cancel", asked  # it has an end of its own
            await listen(method, params_of(message))
        except AgentError:
            return  # a notification has no answer

    async def _requested(self, message: Envelope, handle: Handler) -> None:
        assert not isinstance(message.id, UnsetType)
        assert isinstance(message.method, str)
        try:
            answer = await handle(message.method, params_of(message))
            await self._send({"jsonrpc": "2.0", "id": message.id, "result": answer.result})
            if answer.then is not None:
                answer.then()
        except AgentError as exc:
            await self._fail(message.id, exc)
        except asyncio.CancelledError:
            await self._send({"jsonrpc": "2.0", "id": message.id, "error": {"code": CANCELLED, "message": "cancelled"}})
        finally:
            self._handling.pop(message.id, None)


def decoded(line: bytes) -> Envelope:
    """Parse a line. Raises: BadFrame (no JSON), BadRequest (JSON, and no message)."""
    try:
        return _decoder.decode(line)
    except msgspec.ValidationError as exc:
        raise BadRequest(f"not a message of JSON-RPC 2.0: {exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise BadFrame(f"not JSON: {exc}") from exc


def params_of(message: Envelope) -> Raw:
    """The parameters; absent ones are an empty object."""
    params = message.params
    return Raw(b"{}") if isinstance(params, UnsetType) or bytes(params) == b"null" else params


def converted(raw: Raw | UnsetType, kind: type[T]) -> T:
    """Parameters, or a result, as their type. Raises: BadParams."""
    try:
        return msgspec.json.decode(b"{}" if isinstance(raw, UnsetType) else raw, type=kind)
    except (ValueError, RecursionError) as exc:
        raise BadParams(str(exc), hint="see agentclientprotocol.com") from exc


def told(exc: AgentError) -> dict[str, object]:
    """The error object; the hint is in the message, as editors show no more than that."""
    message = f"{exc} ({exc.hint})" if exc.hint else str(exc)
    return {"code": _CODES.get(exc.kind, exc.code), "message": message, "data": {"kind": exc.kind, "hint": exc.hint}}
