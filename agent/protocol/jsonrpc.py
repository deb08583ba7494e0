"""One end of JSON-RPC 2.0 without input and output: messages, ids, and who waits for which answer.

A transport carries the frames of an `End` in and out, and gives it a codec: `agent.protocol.codec` for our own wire, or
one that reads leniently, with what the second half of this module has, where the other side is not ours.
`agent.pending_calls` waits for answers with futures. Whoever asks one question over HTTP needs none of it
(`agent.client.control_socket`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from agent.errors import AgentError, BadFrame, BadParams, BadRequest
from agent.protocol import lenient
from agent.protocol.bounds import Whole, Words

T = TypeVar("T")
Id = TypeVar("Id")
Failure = TypeVar("Failure", bound=Exception)
Frame = TypeVar("Frame")
Taken = TypeVar("Taken")

CANCELLED = -32800
"""Error code of a request that was taken back, in LSP and in what follows it."""
_ABSENT = Raw(b"")


# --- messages ---------------------------------------------------------------------------------------------------------


class Request(Struct, Generic[Id], frozen=True):
    """A message that wants an answer with the same `id`."""

    id: Id
    method: str
    params: Raw


class Notification(Struct, frozen=True):
    """A message that wants no answer."""

    method: str
    params: Raw


class Response(Struct, Generic[Failure], frozen=True):
    """The answer to a request: `result`, unless there is an `error`."""

    id: int | str | None
    result: Raw = _ABSENT
    error: Failure | None = None


class Outgoing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Any message on its way out, to be encoded; `jsonrpc` is always written."""

    jsonrpc: str = ""
    id: Any = UNSET
    method: str | UnsetType = UNSET
    params: Any = UNSET
    result: Any = UNSET
    error: Any = UNSET


def request(request_id: object, method: str, params: object) -> Outgoing:
    """Make the message of a request."""
    return Outgoing(jsonrpc="2.0", id=request_id, method=method, params=params)


def notification(method: str, params: object) -> Outgoing:
    """Make the message of a notification."""
    return Outgoing(jsonrpc="2.0", method=method, params=params)


def response(request_id: object, result: object) -> Outgoing:
    """Make the answer to a request."""
    return Outgoing(jsonrpc="2.0", id=request_id, result=result)


def failure(request_id: object, error: object) -> Outgoing:
    """Make the answer to a request that failed. The id of a request that nobody could read is null."""
    return Outgoing(jsonrpc="2.0", id=request_id, error=error)


# --- the end ----------------------------------------------------------------------------------------------------------


class Slot(Protocol):
    """The place for one answer. An `asyncio.Future` is a slot."""

    def done(self) -> bool:
        """Whether nobody waits for the answer any more."""

    def set_result(self, result: Raw, /) -> None:
        """Take the result of the request."""

    def set_exception(self, error: Exception, /) -> None:
        """Take the error of the request, or why there is no answer."""


class End(Generic[Frame, Taken]):
    """One end of a connection: numbers the requests it makes and brings each answer to the slot that waits for it.

    `decode` returns a `Response` for an answer and anything else for what is no answer; `prefix` begins the ids of our
    requests, which are numbers without one.
    """

    def __init__(
        self,
        encode: Callable[[Outgoing], Frame],
        decode: Callable[[Frame], Taken | Response[Any]],
        *,
        prefix: str = "",
    ) -> None:
        self._encode = encode
        self._decode = decode
        self._prefix = prefix
        self._numbers = count(1)
        self._slots: dict[int | str | None, Slot] = {}

    @property
    def waits(self) -> bool:
        """Whether an answer is awaited."""
        return bool(self._slots)

    def request(self, method: str, params: object, slot: Slot | None = None) -> tuple[int | str, Frame]:
        """Make a request. Returns its id, and the frame to send.

        The answer is put into `slot`; without one, `receive` returns it.
        """
        number = next(self._numbers)
        request_id = f"{self._prefix}{number}" if self._prefix else number
        frame = self._encode(request(request_id, method, params))
        if slot is not None:
            self._slots[request_id] = slot
        return request_id, frame

    def notification(self, method: str, params: object) -> Frame:
        """Make the frame of a notification."""
        return self._encode(notification(method, params))

    def response(self, request_id: object, result: object) -> Frame:
        """Make the frame that answers a request of the other side."""
        return self._encode(response(request_id, result))

    def failure(self, request_id: object, error: object) -> Frame:
        """Make the frame that answers a request of the other side with an error."""
        return self._encode(failure(request_id, error))

    def receive(self, frame: Frame) -> Taken | Response[Any] | None:
        """Read a frame. Returns what it holds, or None if that was an answer which is in its slot now.

        An answer that is returned has no slot: nobody waits for it, or not here. Raises: whatever `decode` raises.
        """
        message = self._decode(frame)
        return None if isinstance(message, Response) and self.settle(message) else message

    def settle(self, answer: Response[Any]) -> bool:
        """Put an answer into its slot. Returns whether it has one."""
        slot = self._slots.pop(answer.id, None)
        if slot is None:
            return False
        if slot.done():
            return True
        if answer.error is None:
            slot.set_result(answer.result)
        else:
            slot.set_exception(answer.error)
        return True

    def forget(self, request_id: int | str) -> None:
        """Wait no longer for the answer to a request."""
        self._slots.pop(request_id, None)

    def fail(self, reason: Callable[[], Exception]) -> None:
        """Fail every waiting slot, since no answer will come: each gets the exception that `reason` returns."""
        slots = list(self._slots.values())
        self._slots.clear()
        for slot in slots:
            if not slot.done():
                slot.set_exception(reason())


# --- programs that are not ours ---------------------------------------------------------------------------------------


class LenientEnd(End[Frame, Taken]):
    """An end whose other side may write the ids of its answers as it likes: read by `protocol.lenient`.

    An answer whose id nobody has used is the answer to the only request that waits for one.
    """

    def __init__(
        self,
        encode: Callable[[Outgoing], Frame],
        decode: Callable[[Frame], Taken | Response[Any]],
        *,
        prefix: str = "",
    ) -> None:
        super().__init__(encode, decode, prefix=prefix)
        self._used = 0
        self._open: set[int | str] = set()

    @property
    def open(self) -> frozenset[int | str]:
        """The ids of the requests that wait for an answer."""
        return frozenset(self._open)

    def request(self, method: str, params: object, slot: Slot | None = None) -> tuple[int | str, Frame]:
        """Make a request, as `End` does, and remember that it is open."""
        request_id, frame = super().request(method, params, slot)
        self._used += 1
        self._open.add(request_id)
        return request_id, frame

    def receive(self, frame: Frame) -> Taken | Response[Any] | None:
        """Read a frame, as `End` does."""
        message = self._decode(frame)
        return self.answered(message) if isinstance(message, Response) else message

    def answered(self, answer: Response[Any]) -> Response[Any] | None:
        """Take an answer; return it with the id of its request, or None if it is in its slot now."""
        if not self.made(answer.id) and len(self._open) == 1:
            answer = Response(next(iter(self._open)), answer.result, answer.error)
        if answer.id is not None:
            self._open.discard(answer.id)
        return None if self.settle(answer) else answer

    def made(self, request_id: int | str | None) -> bool:
        """Whether a request with that id was ever made."""
        number = str(request_id).removeprefix(self._prefix)
        return number.isdecimal() and len(number) < 20 and 0 < int(number) <= self._used

    def forget(self, request_id: int | str) -> None:
        """Wait no longer for the answer to a request."""
        super().forget(request_id)
        self._open.discard(request_id)


class _ErrorObject(Struct, frozen=True):
    code: Whole = 0
    message: Words = ""
    data: Raw = _ABSENT


class CallFailed(Exception):
    """A program that is not ours answered a request with an error."""

    def __init__(self, message: str = "", code: int = 0, data: Raw = _ABSENT) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.data = data


def call_failed(error: Raw) -> CallFailed:
    """Read the error of an answer; one that does not have the form of an error becomes the message, cut."""
    found = lenient.read(error, _ErrorObject)
    if found is None or not (found.message or found.code or bytes(error) == b"{}"):
        said = lenient.read(error, str)
        return CallFailed((bytes(error).decode(errors="replace") if said is None else said)[:500])
    return CallFailed(found.message, found.code, Raw(bytes(found.data)))


def decoded(decoder: msgspec.json.Decoder[T], text: bytes | str) -> T:
    """Read a message. Raises: BadFrame (no JSON), BadRequest (JSON, and no message)."""
    try:
        return _mended(decoder, text)
    except msgspec.ValidationError as exc:
        raise BadRequest(f"not a message of JSON-RPC 2.0: {exc}") from exc
    except lenient.BAD as exc:
        raise BadFrame(f"not JSON: {exc}") from exc


def converted(raw: Raw, kind: type[T], *, hint: str = "") -> T:
    """Read parameters, or a result, as that type. Raises: BadParams, with that hint."""
    try:
        return _mended(msgspec.json.Decoder(kind), raw)
    except lenient.BAD as exc:
        raise BadParams(str(exc), hint=hint) from exc


def _mended(decoder: msgspec.json.Decoder[T], text: bytes | str) -> T:
    # Types are strict: who asks for something wrong is told. Half a character in a prompt costs nobody the prompt.
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        raise
    except lenient.BAD:
        return decoder.decode(lenient.LenientReader().mended(text))


def error_object(error: AgentError, codes: Mapping[str, int]) -> dict[str, object]:
    """Make the error of an answer. Its message ends with the hint: such programs show no more than that.

    `codes`: by kind, those that are others in the other side's protocol.
    """
    message = f"{error} ({error.hint})" if error.hint else str(error)
    return {"code": codes.get(error.kind, error.code), "message": message}
