"""The wire: both encodings carry the same, and hostile bytes are refused in one of three ways (DESIGN §3)."""

from __future__ import annotations

import base64
import json
import re

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Raw, Struct

from agent.errors import KINDS, AgentError, BadFrame, BadParams, BadRequest, RemoteFault, SessionNotFound, from_wire
from agent.protocol import codec as wire
from agent.protocol.codec import CODECS, Codec, error_of, typed
from agent.protocol.events import TEXT_MAX, TYPES, Event, MessageDelta, make_event, payload_of
from agent.protocol.messages import EventOf, Ready, Submit
from agent.protocol.methods import LARGE, METHODS, NOTIFICATIONS
from agent.protocol.model import DeviceId, SessionId
from agent.protocol.terminal import TerminalInput, TerminalOutput

both = pytest.mark.parametrize("codec", CODECS.values(), ids=lambda codec: codec.subprotocol.rpartition(".")[2])
EVERY = {row.params for row in METHODS.values()} | {note.params for note in NOTIFICATIONS.values()}

FILLED: dict[str, dict[str, object]] = {
    "session.create": {
        "device": "desk",
        "backend": "shell",
        "title": "Tïtle",
        "cwd": "/",
        "shell": "zsh",
        "command": ["ls", "-l"],
    },
    "session.attach": {"session_id": "abcd", "after": 2**53, "epoch": "e", "viewers": 3, "colours": True, "tail": True},
    "session.detach": {"session_id": "abcd", "viewers": 1},
    "session.close": {"session_id": "desk/abcd"},
    "session.rename": {"session_id": "abcd", "title": "日本語"},
    "session.configure": {"session_id": "abcd", "option": "mode", "value": "ask"},
    "session.interrupt": {"session_id": "abcd"},
    "session.share": {"session_id": "abcd", "share": "read-only"},
    "session.past": {"scope": "all", "device": "desk", "limit": 3, "named": "pläne"},
    "session.search": {"text": '"水泵" begin*', "scope": "remote", "device": "desk", "limit": 200},
    "session.forget": {"session_id": "abcd"},
    "session.history": {"session_id": "abcd", "before": 7, "limit": 1000},
    "session.participants": {"session_id": "abcd"},
    "prompt.submit": {"session_id": "abcd", "prompt_id": "p", "text": "a\u0000b\n\U0001f600"},
    "prompt.list": {"session_id": "abcd"},
    "session.restart": {"session_id": "abcd"},
    "prompt.withdraw": {"session_id": "abcd", "prompt_id": "p", "client": "agent"},
    "request.answer": {"session_id": "abcd", "answer": {"name": "x", "ok": True, "n": 1.5, "of": ["a"]}},
    "device.pair": {"ttl": 1.0, "qr": True},
    "device.join": {"code": "12-345-678", "address": "[fe80::1%eth0]:7471"},
    "device.windows": {"code": "42-913-577"},
    "device.unpair": {"device": "pi"},
    "device.limit": {"device": "pi", "read_only": True},
    "page.open": {"code": True},
    "page.render": {"texts": ["*a*", ""]},
    "page.keep": {"name": "pins", "value": ["a", None, {"b": 1.5}]},
    "audit.list": {"since": "2026-01-31T12:00:00Z", "limit": 10},
    "audit.watch": {"since": "2026-01-31T12:00:00Z", "limit": 10},
    "audit.noted": {"entries": [{"at": "2026", "device": "d", "name": "dén", "action": "prompted", "length": 7}]},
    "gateway.ready": {"device": "abcdefghijklmnop", "name": "den", "capabilities": ["a"]},
    "event": {"session_id": "a", "seq": 1, "type": "message.delta", "payload": {"turn": 1}, "at": "2026"},
    "session.participants!": {"session_id": "a", "participants": [{"device": "d", "name": "n", "count": 2}]},
    "session.lost": {"session_id": "a", "reason": "moved"},
    "session.stalled": {"session_id": "a", "reason": "full"},
    "peer.lost": {"device": "d", "name": "den", "sessions": ["a"]},
    "peer.back": {"device": "d", "name": "den"},
    "request.cancel": {"call_id": "c"},
    "request.waiting": {
        "call_id": "c",
        "session_id": "a",
        "method": "prompt.submit",
        "device": "d",
        "name": "den",
        "since": "2026",
        "reason": "gone",
        "sent": True,
    },
    "device.pairing": {
        "what": "paired",
        "device": "d",
        "name": "n",
        "tries_left": 2,
        "failed": 1,
        "reason": "full",
        "hint": "h",
        "namesakes": [{"id": "e", "name": "n", "seen_at": None}],
    },
    "turn.tail": {"session_id": "a", "turn": 1, "after_seq": 7, "text": "\x1b[32m 50 %\x1b[0m"},
    "terminal.attach": {"session_id": "abcd", "rows": 24, "cols": 80, "after": 7, "epoch": "e"},
    "terminal.input": {"session_id": "abcd", "data": b"\x00\xff"},
    "terminal.resize": {"session_id": "abcd", "rows": 24, "cols": 80, "repaint": True},
    "terminal.detach": {"session_id": "abcd"},
    "terminal.output": {"session_id": "abcd", "offset": 2**53, "data": b"\x1b[6n\xff"},
    "terminal.resized": {"session_id": "abcd", "rows": 24, "cols": 80},
    "terminal.closed": {"session_id": "abcd", "offset": 7, "exit_status": 3},
    "terminal.taken": {"session_id": "abcd", "offset": 7},
}
"""Parameters of every method and notification that needs some; `!`: of the notification of that name."""

BINARY: dict[str, type[Struct]] = {"terminal.input": TerminalInput, "terminal.output": TerminalOutput}
"""Those with bytes in them, which JSON has not."""


def examples() -> list[tuple[str, type[Struct], dict[str, object]]]:
    methods = [(name, row.params, FILLED.get(name, {})) for name, row in METHODS.items()]
    told = [(name, row.params, FILLED.get(f"{name}!", FILLED.get(name, {}))) for name, row in NOTIFICATIONS.items()]
    return [each for each in methods + told if each[0] not in BINARY]


def sent(codec: Codec, message: object) -> bytes:
    """Any message at all in the codec's encoding."""
    return msgspec.msgpack.encode(message) if codec.binary else msgspec.json.encode(message)


# --- the same types in both encodings --------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(("method", "kind", "fields"), examples())
def test_params_come_back_as_they_were_sent(
    codec: Codec, method: str, kind: type[Struct], fields: dict[str, object]
) -> None:
    params = msgspec.msgpack.decode(msgspec.msgpack.encode(fields), type=kind)
    envelope = codec.decode(codec.request(7, method, params))
    assert (envelope.id, envelope.method) == (7, method)
    assert typed(envelope.params, kind) == params


@pytest.mark.parametrize(("method", "kind", "fields"), examples())
def test_both_encodings_decode_to_the_same_bytes(method: str, kind: type[Struct], fields: dict[str, object]) -> None:
    params = msgspec.msgpack.decode(msgspec.msgpack.encode(fields), type=kind)
    packed, text = (codec.decode(codec.notification(method, params)).params for codec in (wire.msgpack, wire.json))
    assert isinstance(packed, Raw)
    assert isinstance(text, Raw)
    assert msgspec.msgpack.decode(packed) == msgspec.msgpack.decode(text)


@pytest.mark.parametrize("method", BINARY)
def test_bytes_are_themselves_in_msgpack_and_base64_in_json(method: str) -> None:
    params = msgspec.msgpack.decode(msgspec.msgpack.encode(FILLED[method]), type=BINARY[method])
    packed = wire.msgpack.decode(wire.msgpack.notification(method, params)).params
    assert isinstance(packed, Raw)
    assert typed(packed, BINARY[method]) == params
    shown = json.loads(wire.json.notification(method, params))["params"]["data"]
    assert base64.b64decode(shown) == FILLED[method]["data"]


@both
def test_a_json_frame_is_text_and_a_binary_one_is_not(codec: Codec) -> None:
    frame = codec.notification("gateway.ready", Ready(device=DeviceId("d"), name="dén"))
    if codec.binary:
        assert frame[0] & 0xF0 == 0x80
    else:
        assert json.loads(frame)["params"]["name"] == "dén"


@both
def test_a_response_says_which_version_and_to_what(codec: Codec) -> None:
    frame = codec.response("a-1", ["x"])
    assert msgspec.msgpack.decode(frame if codec.binary else sent(wire.msgpack, json.loads(frame))) == {
        "jsonrpc": "2.0",
        "id": "a-1",
        "result": ["x"],
    }
    assert typed(codec.decode(frame).result, list[str]) == ["x"]


def test_a_proxied_event_is_translated_for_json_and_passed_on_as_it_is_otherwise() -> None:  # L7
    event = make_event(3, MessageDelta(turn=1, text="hä\x1b[31m"), 0.0)
    told = EventOf(session_id=SessionId("s"), seq=3, type=event.type, payload=event.payload, at=event.at)
    frame = wire.msgpack.notification("event", told)
    assert wire.msgpack.translated(frame) is frame
    shown = json.loads(wire.json.translated(frame))
    assert shown["params"]["payload"] == {"turn": 1, "text": "hä\x1b[31m"}
    assert wire.json.translated(frame) == wire.json.notification("event", told)


@pytest.mark.parametrize("frame", [b"\xd4\x05\x00", b"\x81\x91\x01\x01", b"\xdd\xff\xff\xff\xff", b"\x91" * 5000])
def test_what_json_cannot_say_is_a_bad_frame(frame: bytes) -> None:
    with pytest.raises(BadFrame):
        wire.json.translated(frame)


def test_every_event_type_survives_the_store_and_the_wire() -> None:
    fields = {
        "turn": 1, "text": "t", "prompt_id": "p", "status": "complete", "tool_id": "x", "title": "T",
        "request_id": "r", "kind": "line", "sender": {"device": "d", "name": "n"},
    }  # fmt: skip
    for name, kind in TYPES.items():
        known = {field.name for field in msgspec.structs.fields(kind)}
        chosen = {key: value for key, value in fields.items() if key in known}
        chosen["status"] = {"request.closed": "answered", "session.info": "idle"}.get(name, chosen.get("status"))
        payload = msgspec.convert({key: value for key, value in chosen.items() if value}, kind)
        event = make_event(1, payload, 1.0)
        assert event.type == name
        assert payload_of(msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=Event)) == payload


# --- what grows ------------------------------------------------------------------------------------------------------


@both
def test_unknown_fields_are_ignored(codec: Codec) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "prompt.submit", "later": [1], "params": {
        "session_id": "abcd", "prompt_id": "p", "text": "hi", "later": {"deep": [None]}}}  # fmt: skip
    envelope = codec.decode(sent(codec, message))
    assert typed(envelope.params, Submit) == Submit(session_id="abcd", prompt_id="p", text="hi")


@both
def test_absent_parameters_are_an_empty_object(codec: Codec) -> None:
    envelope = codec.decode(sent(codec, {"jsonrpc": "2.0", "id": 1, "method": "peer.list"}))
    assert envelope.params is UNSET
    for method in ("peer.list", "session.list", "device.pair"):
        typed(envelope.params, METHODS[method].params)
    with pytest.raises(BadParams):
        typed(envelope.params, Submit)


# --- hostile bytes ---------------------------------------------------------------------------------------------------


def refused_properly(codec: Codec, frame: bytes) -> None:
    """Decode a frame and then its parts as everything they might be; anything but three errors is a failure."""
    try:
        envelope = codec.decode(frame)
    except (BadFrame, BadRequest):
        return
    for kind in EVERY:
        for part in (envelope.params, envelope.result):
            try:
                typed(part, kind)
            except BadParams:
                continue


NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats()
JUNK = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error", "x"])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
@example(b"\x81\xa6method\xa2\xff\xfe")  # UnicodeDecodeError of msgspec
@example(b"\x91" * 100_000)
@example(b"\x82\xa7jsonrpc\xa32.0\xa6params" + b"\x91" * 200_000)  # RecursionError
@example(b"\xdd\xff\xff\xff\xff")  # four thousand million elements, it says
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\xc6\xff\xff\xff\xff")
@example(b"")
def test_bytes_that_are_no_messagepack_are_refused(frame: bytes) -> None:
    refused_properly(wire.msgpack, frame)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=100) | st.text(max_size=100).map(str.encode))
@example(b"[" * 200_000)
@example(b'{"a":' * 50_000)
@example(b'{"jsonrpc":"2.0","method":"\xff"}')
@example(b'{"jsonrpc":"2.0","method":"\\ud800"}')
@example(b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":99999999999999999999}}')  # OverflowError of msgspec
@example(b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":%s}}' % (b"9" * 5000))
@example(b'{"jsonrpc":"2.0","id":1,"method":"x","params":1e999}')
def test_bytes_that_are_no_json_are_refused(frame: bytes) -> None:
    refused_properly(wire.json, frame)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, JUNK, max_size=6))
def test_messages_of_any_shape_are_refused(message: dict[str, object]) -> None:
    refused_properly(wire.msgpack, sent(wire.msgpack, message))
    refused_properly(wire.json, sent(wire.json, message))


@both
@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "1.0", "id": 1, "method": "x"},
        {"jsonrpc": "2.0"},
        {"jsonrpc": "2.0", "id": 1},
        {"jsonrpc": "2.0", "id": 1, "result": 1, "error": {"code": 1, "message": "x"}},
        {"jsonrpc": "2.0", "result": 1},
        {"jsonrpc": "2.0", "id": -1, "method": "x"},
        {"jsonrpc": "2.0", "id": "i" * 65, "method": "x"},
        {"jsonrpc": "2.0", "id": 1, "method": "m" * 65},
        {"jsonrpc": "2.0", "id": 1, "method": 7},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": "x", "message": "y"}},
        [],
        "x",
        None,
    ],
)
def test_what_is_not_json_rpc_is_a_bad_request(codec: Codec, message: object) -> None:
    with pytest.raises(BadRequest):
        codec.decode(sent(codec, message))


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("prompt.submit", {"session_id": "a", "prompt_id": "", "text": ""}),
        ("prompt.submit", {"session_id": "a", "prompt_id": "p", "text": "x" * (TEXT_MAX + 1)}),
        ("prompt.submit", {"session_id": "", "prompt_id": "p", "text": "x"}),
        ("prompt.submit", {"session_id": "a", "prompt_id": "p", "text": b"x"}),
        ("session.history", {"session_id": "a", "limit": 1001}),
        ("session.history", {"session_id": "a", "limit": 0}),
        ("session.attach", {"session_id": "a", "after": -1}),
        ("session.list", {"scope": "everything"}),
        ("session.create", {"command": ["x"] * 257}),
        ("device.pair", {"ttl": 1e9}),
        ("request.answer", {"session_id": "a", "answer": {str(n): n for n in range(65)}}),
        ("request.answer", {"session_id": "a", "answer": {"a": {"nested": 1}}}),
    ],
)
def test_params_beyond_their_bounds_are_refused(method: str, fields: dict[str, object]) -> None:
    with pytest.raises(BadParams):
        typed(Raw(msgspec.msgpack.encode(fields)), METHODS[method].params)


# --- errors ----------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("kind", KINDS)
def test_every_error_comes_back_as_what_it_was(codec: Codec, kind: str) -> None:
    told = KINDS[kind]("it said: \x1b[2J", hint="do that")
    envelope = codec.decode(codec.failure(3, told))
    assert not isinstance(envelope.error, msgspec.UnsetType)
    heard = error_of(envelope.error)
    assert type(heard) is KINDS[kind]
    assert (heard.kind, heard.code, heard.hint, str(heard)) == (kind, told.code, "do that", str(told))


def test_an_error_of_a_later_version_keeps_its_kind_code_and_advice() -> None:
    heard = from_wire(-32077, "the moon is full", "full-moon", "wait")
    assert type(heard) is RemoteFault
    assert (heard.kind, heard.code, heard.hint, str(heard)) == ("full-moon", -32077, "wait", "the moon is full")
    assert RemoteFault.kind == "remote-fault"  # the class is as it was


def test_kinds_and_codes_are_unique() -> None:
    assert len({error.code for error in KINDS.values()}) == len(KINDS)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", kind) for kind in KINDS)


@both
def test_an_error_longer_than_the_wire_allows_is_cut(codec: Codec) -> None:
    envelope = codec.decode(codec.failure(None, SessionNotFound("x" * 10_000)))
    assert envelope.id is None
    assert not isinstance(envelope.error, msgspec.UnsetType)
    assert len(envelope.error.message) == 4096


def test_a_plain_failure_is_internal() -> None:
    envelope = wire.json.decode(wire.json.failure(1, AgentError("the service failed")))
    assert not isinstance(envelope.error, msgspec.UnsetType)
    assert envelope.error.data.kind == "internal"


def test_what_a_client_may_ask_a_gateway_may_pass_on() -> None:
    # Of a prompt the gateway changes the session's selector for its id and adds which client it was.
    said = Submit(session_id="abcd", prompt_id="p" * 128, text="")
    room = wire.FRAME_IN_MAX - len(wire.msgpack.request(1, "prompt.submit", said)) - 10
    said = msgspec.structs.replace(said, text="\N{GRINNING FACE}" * (room // 4))
    assert wire.FRAME_IN_MAX - 10 <= len(wire.msgpack.request(1, "prompt.submit", said)) <= wire.FRAME_IN_MAX
    passed = msgspec.structs.replace(said, session_id="x" * 256, client="\N{GRINNING FACE}" * 64)
    assert len(wire.msgpack.request(2**53, "prompt.submit", passed)) <= wire.REQUEST_MAX


def test_only_what_exists_is_large() -> None:
    assert {*METHODS, *NOTIFICATIONS} >= LARGE
    assert wire.FRAME_IN_MAX < wire.REQUEST_MAX < wire.FRAME_OUT_MAX
