"""The frames between us and a Hermes gateway: JSON-RPC 2.0, one JSON object a text frame.

Only the fields that are used are described: what a frame holds beside them (configuration, keys, prompts of the system,
tool lists) is never decoded, so that it cannot leave. Source: docs/design/hermes.md.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from agent.errors import BackendFailed
from agent.protocol import jsonrpc, lenient
from agent.protocol.bounds import Amount, Many, Whole, Words
from agent.protocol.jsonrpc import CallFailed, Outgoing, Response, call_failed
from agent.protocol.lenient import LenientReader, items, number_or_text

ALLOWED = frozenset(
    {
        "approval.respond",
        "clarify.respond",
        "client.capabilities",
        "prompt.submit",
        "secret.respond",
        "session.activate",
        "session.active_list",
        "session.close",
        "session.create",
        "session.events.since",
        "session.history",
        "session.interrupt",
        "session.resume",
        "sudo.respond",
    }
)
"""Every method that is ever called. The same socket takes `shell.exec` and `config.get`: nothing is passed through."""

UNKNOWN_SESSION = 4001
"""Error code: there is no such live session."""
UNKNOWN_STORED = 4007
"""Error code: there is no such stored session."""
NO_METHOD = -32601

T = TypeVar("T")


class Refusal(BackendFailed):
    """The gateway refused a request. `fault` is why; its own words are not passed on, as they may hold paths."""

    def __init__(self, method: str, error: CallFailed) -> None:
        super().__init__(f"the Hermes gateway refused {method} ({error.code})", hint="see the gateway's own log")
        self.error = error


class Unreached(BackendFailed):
    """No answer of the Hermes gateway."""


class TokenRefused(Unreached):
    """The Hermes gateway answers, and lets nobody in with the token that we have."""

    text = "the Hermes gateway does not accept our token"
    hint = "put the one that it tells into the file that token_file names"


class GatewayFrame(Struct, frozen=True):
    """Any message that a gateway sends."""

    id: Raw = Raw(b"null")
    method: Words = ""
    params: Raw = Raw(b"{}")
    result: Raw = Raw(b"")
    error: Raw = Raw(b"null")


BATCH_MAX = 1_024
"""Messages of one frame."""


class _Params(Struct, frozen=True):
    type: Words = ""
    session_id: Words | None = None
    payload: Raw = Raw(b"{}")
    seq: Whole | None = None


class GatewayEvent(Struct, frozen=True):
    """An event of a live session; of none, if `session` is empty. `seq`: its number, newer gateways only."""

    type: Words
    session: Words = ""
    payload: Raw = Raw(b"{}")
    seq: Whole | None = None


class GatewayQuestion(Struct, frozen=True):
    """A question as a request of the gateway's own (newer gateways): its answer is a response with that id."""

    id: Words
    method: Words
    session: Words = ""
    params: Raw = Raw(b"{}")


class LiveSession(Struct, frozen=True):
    """One live session of `session.active_list`."""

    id: Words
    session_key: Words = ""
    title: Words | None = ""
    status: Words = "idle"
    message_count: Whole = 0
    model: Words | None = ""
    last_active: Amount = 0.0  # Unix seconds; moved by whoever attaches or prompts, and by the end of a turn


class _Rows(Struct, frozen=True):
    sessions: Many[LiveSession]  # a list that is not there is not one that is empty


class HistoryEntry(Struct, frozen=True):
    """One entry of a conversation as the gateway tells it; a tool has a name and a context instead of a text."""

    role: Words = ""
    text: Words | None = ""
    name: Words | None = ""
    context: Words | None = ""


class RunningTurn(Struct, frozen=True):
    """The turn that runs: what was asked and what has been answered so far."""

    user: Words | None = ""
    assistant: Words | None = ""


class OpenQuestion(Struct, frozen=True):
    """A question that is open when one attaches (newer gateways)."""

    id: Words
    method: Words
    params: Raw = Raw(b"{}")


class _Model(Struct, frozen=True):
    model: Words | None = ""


class SessionSnapshot(Struct, frozen=True):
    """How a session stands: the answer to create, activate, resume and history."""

    session_id: Words = ""
    session_key: Words = ""
    stored_session_id: Words = ""
    messages: Many[HistoryEntry] = []
    running: bool = False
    status: Words = ""
    inflight: RunningTurn | None = None
    open_requests: Many[OpenQuestion] = []
    info: _Model | None = None  # the one word of it that is anybody's business

    @property
    def stored(self) -> str:
        """The durable id of the session."""
        return self.session_key or self.stored_session_id


class MissedEvents(Struct, frozen=True):
    """The answer to `session.events.since` (newer gateways)."""

    events: Many[_Params] = []
    truncated: bool = False
    epoch: Words | Whole | None = None
    latest_seq: Whole = 0
    open_requests: Many[OpenQuestion] = []


class ApprovalResolved(Struct, frozen=True):
    """The answer to `approval.respond`: how many questions it answered. Others do not tell."""

    resolved: Whole = 1


class GatewayReady(Struct, frozen=True):
    """The event `gateway.ready`. Only a newer gateway has an epoch; that is how the two are told apart."""

    replay_epoch: Words | Whole | None = None


Message = GatewayEvent | GatewayQuestion | Response[CallFailed]
"""What a frame holds."""


def decode(data: str, reader: LenientReader | None = None) -> Message | None:
    """Decode one message; None for what is none. `reader`: that of the connection. Raises nothing."""
    reader = reader or LenientReader()
    frame = reader.read(data, GatewayFrame)
    if frame is None:
        return None
    number = number_or_text(frame.id)
    if not frame.method:
        return _answer(frame, number)
    params = reader.read(frame.params, _Params)
    if params is None:
        return None
    session = params.session_id or ""
    if frame.method == "event":
        return GatewayEvent(params.type, session, params.payload, params.seq)
    return None if number is None else GatewayQuestion(str(number), frame.method, session, frame.params)


def messages_in(data: str | bytes, reader: LenientReader) -> list[str]:
    """The messages of one frame, text or not: of a batch, or the only one."""
    text = data if isinstance(data, str) else data.decode(errors="replace")
    text = text.removeprefix("\ufeff")
    if not text.startswith("["):
        return [text]
    return [bytes(each).decode() for each in items(reader.mended(text), BATCH_MAX)]


def _answer(frame: GatewayFrame, number: int | str | None) -> Response[CallFailed] | None:
    name = None if number is None else str(number)
    if bytes(frame.error) != b"null":
        return Response(name, error=call_failed(frame.error))
    return Response(name, frame.result) if name or bytes(frame.result) else None


def encode(message: Outgoing) -> str:
    """One frame. Raises: BackendFailed, for a method that nothing here may call."""
    if isinstance(message.method, str) and message.method not in ALLOWED:
        raise BackendFailed(f"{message.method} is not called on Hermes gateways")
    return msgspec.json.encode(message).decode()


def response(number: str, result: dict[str, Any]) -> str:
    """Encode the answer to a question of the gateway's."""
    return encode(jsonrpc.response(number, result))


def no_handler(number: str) -> str:
    """Encode a refusal of a question that is not for people: the gateway then stops waiting."""
    return encode(jsonrpc.failure(number, {"code": NO_METHOD, "message": "method not found"}))


def rows(result: Raw) -> list[LiveSession]:
    """Decode the live sessions of `session.active_list`. Raises: BackendFailed."""
    return read(result, _Rows).sessions


def read(result: Raw, kind: type[T]) -> T:
    """Decode a result as that type. Raises: BackendFailed."""
    found = lenient.read(result, kind)
    if found is None:
        raise BackendFailed("the Hermes gateway said what nobody here understands", hint="see its version")
    return found


def events(missed: MissedEvents, session: str) -> list[GatewayEvent]:
    """The events that were missed, as they would have come."""
    return [GatewayEvent(each.type, each.session_id or session, each.payload, each.seq) for each in missed.events]
