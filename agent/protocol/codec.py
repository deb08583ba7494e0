"""JSON-RPC 2.0 messages as MessagePack or JSON frames: bytes become types here, and nowhere else (DESIGN §3).

An envelope is decoded first, with its `params` or `result` left raw; the method then picks the type. What is only
passed on stays raw (L7). `msgspec` raises `UnicodeDecodeError` and `RecursionError` besides `DecodeError` on hostile
bytes (measured), so every decode here catches `ValueError` and `RecursionError`.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from agent.errors import AgentError, BadFrame, BadRequest, Undescribed, from_wire
from agent.protocol import jsonrpc
from agent.protocol.bounds import Whole
from agent.protocol.jsonrpc import Notification, Request, Response

MSGPACK = "lan-agent.v1.msgpack"
JSON = "lan-agent.v1.json"
PROTOCOL = 1
FRAME_IN_MAX = 262_144
"""Bytes of one frame from a client."""
REQUEST_MAX = 266_240
"""Bytes of one request or notification from a gateway: what a client may say, and 4,096 more for what its gateway adds
when it passes that on."""
FRAME_OUT_MAX = 1_048_576
"""Bytes of one frame to anybody; from a gateway, of an answer and of what is `methods.LARGE`."""

RequestId = Annotated[int, Meta(ge=0, le=2**53)] | Annotated[str, Meta(max_length=64)]
T = TypeVar("T")
Message = Request[RequestId] | Notification | Response[AgentError]
"""What a frame holds."""
_EMPTY = Raw(b"\x80")
_NULL = Raw(b"\xc0")
_pack = msgspec.msgpack.Encoder().encode


class ErrorData(Struct, frozen=True, omit_defaults=True):
    """The `data` of an error: `kind` for programs, `hint` for people."""

    kind: Annotated[str, Meta(max_length=64)] = ""
    hint: Annotated[str, Meta(max_length=1024)] = ""
    retry_after: float = 0.0  # seconds after which the same request is worth another try; 0.0: not known


class ErrorObject(Struct, frozen=True, omit_defaults=True):
    """The `error` of a JSON-RPC response."""

    code: Whole
    message: Annotated[str, Meta(max_length=4096)]
    data: ErrorData = ErrorData()


class Envelope(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Any JSON-RPC 2.0 message: a request has `method` and `id`, a notification `method`, a response `id`."""

    jsonrpc: Literal["2.0"] = "2.0"
    id: RequestId | UnsetType | None = UNSET
    method: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: ErrorObject | UnsetType = UNSET


_unpack = msgspec.msgpack.Decoder(Envelope).decode


class Codec:
    """One of the two encodings. Both carry the same types; a `Raw` inside the program is MessagePack, whichever it is.

    JSON (page, scripts, debugging; local clients only) is translated here, at the door.
    """

    def __init__(self, subprotocol: str) -> None:
        self.subprotocol = subprotocol
        self.binary = subprotocol == MSGPACK

    def encode(self, message: object) -> bytes:
        """Write one message as a frame. Raises: BadFrame, if something raw in it has no JSON."""
        frame = _pack(message)
        return frame if self.binary else self.translated(frame)

    def decode(self, frame: bytes) -> Envelope:
        """Parse one frame. Raises: BadFrame (not this encoding), BadRequest (not JSON-RPC 2.0)."""
        try:
            envelope = _unpack(frame if self.binary else _pack(msgspec.json.decode(frame)))
        except msgspec.ValidationError as exc:
            raise BadRequest(f"not a JSON-RPC 2.0 message: {exc}") from exc
        except (ValueError, RecursionError, OverflowError) as exc:  # JSON has whole numbers of more than 64 bits
            raise BadFrame(f"not {self.subprotocol.rpartition('.')[2]}: {exc}") from exc
        answers = envelope.id is not UNSET and (envelope.result is UNSET) != (envelope.error is UNSET)
        if envelope.method is UNSET and not answers:
            raise BadRequest("neither a request, a notification nor a response")
        return envelope

    def translated(self, frame: bytes) -> bytes:
        """Translate a MessagePack frame into this encoding. Raises: BadFrame."""
        try:
            return frame if self.binary else msgspec.json.encode(msgspec.msgpack.decode(frame))
        except (ValueError, RecursionError, TypeError) as exc:
            raise BadFrame(f"cannot be shown as JSON: {exc}") from exc

    def message(self, frame: bytes) -> Message:
        """Parse one frame and say its kind. Absent parameters are an empty object. Raises: BadFrame, BadRequest."""
        envelope = self.decode(frame)
        request_id = None if envelope.id is UNSET else envelope.id
        if envelope.method is UNSET:
            if envelope.error is not UNSET:
                return Response(request_id, error=error_of(envelope.error))
            return Response(request_id, _NULL if envelope.result is UNSET else envelope.result)
        params = _EMPTY if envelope.params is UNSET else envelope.params
        if request_id is None:
            return Notification(envelope.method, params)
        return Request(request_id, envelope.method, params)

    def request(self, request_id: RequestId, method: str, params: object) -> bytes:
        """Make the frame of a request."""
        return self.encode(jsonrpc.request(request_id, method, params))

    def notification(self, method: str, params: object) -> bytes:
        """Make the frame of a notification."""
        return self.encode(jsonrpc.notification(method, params))

    def response(self, request_id: RequestId | None, result: object) -> bytes:
        """Make the frame of a result."""
        return self.encode(jsonrpc.response(request_id, result))

    def failure(self, request_id: RequestId | None, error: AgentError) -> bytes:
        """Make the frame of an error."""
        return self.encode(jsonrpc.failure(request_id, error_object(error)))


def typed(raw: Raw | UnsetType, kind: type[T]) -> T:
    """Read raw parameters, or a raw result, as a type. Absent ones are an empty object. Raises: Undescribed."""
    try:
        return msgspec.msgpack.decode(b"\x80" if raw is UNSET else raw, type=kind)
    except (ValueError, RecursionError) as exc:
        raise Undescribed(str(exc)) from exc


def error_object(error: AgentError) -> ErrorObject:
    """The error object of a response that reports an error."""
    return ErrorObject(error.code, str(error)[:4096], ErrorData(error.kind, error.hint[:1024], error.retry_after))


def error_of(error: ErrorObject) -> AgentError:
    """The AgentError that the error object of a response stands for."""
    data = error.data
    return from_wire(error.code, error.message, data.kind, data.hint, data.retry_after)


CODECS = {name: Codec(name) for name in (MSGPACK, JSON)}
msgpack, json = CODECS[MSGPACK], CODECS[JSON]
