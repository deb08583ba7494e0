"""One end of JSON-RPC without input and output: ids, answers, errors, and messages of programs that are not ours."""

from __future__ import annotations

import json

import msgspec
import pytest
from msgspec import Raw, Struct

from agent.errors import BadFrame, BadParams, BadRequest, PeerLost, SessionNotFound
from agent.protocol.codec import msgpack
from agent.protocol.jsonrpc import (
    CallFailed,
    End,
    LenientEnd,
    Notification,
    Request,
    Response,
    call_failed,
    converted,
    decoded,
    error_object,
)


class Held:
    """A slot that keeps what is put into it."""

    def __init__(self, *, given_up: bool = False) -> None:
        self.given_up = given_up
        self.result: Raw | None = None
        self.error: Exception | None = None

    def done(self) -> bool:
        return self.given_up or self.result is not None or self.error is not None

    def set_result(self, result: Raw) -> None:
        assert not self.done()
        self.result = result

    def set_exception(self, error: Exception) -> None:
        assert not self.done()
        self.error = error


def an_end(prefix: str = "") -> End[bytes, object]:
    return End(msgpack.encode, msgpack.message, prefix=prefix)


def test_an_answer_goes_to_who_asked_whatever_the_order() -> None:
    end, first, second = an_end(), Held(), Held()
    one, _ = end.request("peer.list", {}, first)
    two, _ = end.request("session.list", {}, second)
    assert one != two
    assert end.receive(msgpack.response(two, "sessions")) is None
    assert end.receive(msgpack.response(one, "peers")) is None
    assert first.result is not None
    assert second.result is not None
    assert msgspec.msgpack.decode(first.result) == "peers"
    assert msgspec.msgpack.decode(second.result) == "sessions"
    assert not end.waits


def test_an_error_is_an_answer() -> None:
    end, slot = an_end(), Held()
    asked, _ = end.request("session.history", {}, slot)
    end.receive(msgpack.failure(asked, SessionNotFound("no session x")))
    assert isinstance(slot.error, SessionNotFound)
    assert str(slot.error) == "no session x"


def test_an_answer_that_nobody_waits_for_is_returned() -> None:
    end, slot = an_end(), Held()
    asked, _ = end.request("peer.list", {})
    forgotten, _ = end.request("peer.list", {}, slot)
    end.forget(forgotten)
    for request_id in (asked, forgotten, 99, "1"):
        answer = end.receive(msgpack.response(request_id, 1))
        assert isinstance(answer, Response)
        assert answer.id == request_id
    assert isinstance(end.receive(msgpack.failure(None, PeerLost())), Response)
    assert not slot.done()


def test_the_second_answer_to_a_request_changes_nothing() -> None:
    end, slot = an_end(), Held()
    asked, _ = end.request("peer.list", {}, slot)
    end.receive(msgpack.response(asked, 1))
    end.receive(msgpack.response(asked, 2))
    assert slot.result is not None
    assert msgspec.msgpack.decode(slot.result) == 1


def test_whoever_waits_at_the_end_is_told_once() -> None:
    end, waiting, given_up = an_end(), Held(), Held(given_up=True)
    end.request("peer.list", {}, waiting)
    end.request("peer.list", {}, given_up)
    assert end.waits
    end.fail(PeerLost)
    end.fail(PeerLost)
    assert isinstance(waiting.error, PeerLost)
    assert given_up.error is None
    assert not end.waits


def test_an_answer_after_everybody_gave_up_is_no_trouble() -> None:
    end, given_up = an_end(), Held(given_up=True)
    asked, _ = end.request("peer.list", {}, given_up)
    assert end.receive(msgpack.response(asked, 1)) is None


def test_ids_may_begin_with_a_word() -> None:
    end, slot = an_end("a"), Held()
    asked, frame = end.request("session.list", {}, slot)
    assert asked == "a1"
    assert msgpack.decode(frame).id == "a1"
    end.receive(msgpack.response("a1", 1))
    assert slot.result is not None


def test_a_request_that_cannot_be_encoded_is_not_waited_for() -> None:
    end = an_end()
    with pytest.raises(TypeError):
        end.request("peer.list", object(), Held())
    assert not end.waits


def test_requests_and_notifications_are_returned_with_their_parameters() -> None:
    end = an_end()
    asked = end.receive(msgpack.request(7, "peer.list", {"a": 1}))
    told = end.receive(msgpack.notification("peer.changed", {}))
    assert isinstance(asked, Request)
    assert (asked.id, asked.method, msgspec.msgpack.decode(asked.params)) == (7, "peer.list", {"a": 1})
    assert isinstance(told, Notification)
    assert told.method == "peer.changed"


def test_absent_parameters_of_our_wire_are_an_empty_object() -> None:
    bare = msgspec.msgpack.encode({"jsonrpc": "2.0", "method": "peer.changed"})
    assert msgpack.message(bare) == Notification("peer.changed", Raw(b"\x80"))


def test_what_is_no_message_is_an_error_and_settles_nothing() -> None:
    end, slot = an_end(), Held()
    end.request("peer.list", {}, slot)
    for frame, kind in ((b"\xc1", BadFrame), (msgspec.msgpack.encode({"jsonrpc": "2.0", "id": 1}), BadRequest)):
        with pytest.raises(kind):
            end.receive(frame)
    assert not slot.done()


def test_answers_have_the_id_of_the_request_whatever_it_is() -> None:
    end: End[bytes, object] = End(json_encode, msgpack.message)
    assert json.loads(end.response(Raw(b'"x y"'), {})) == {"jsonrpc": "2.0", "id": "x y", "result": {}}
    assert json.loads(end.failure(None, {"code": 1})) == {"jsonrpc": "2.0", "id": None, "error": {"code": 1}}
    assert json.loads(end.notification("event", [])) == {"jsonrpc": "2.0", "method": "event", "params": []}
    assert json.loads(end.request("peer.list", None)[1]) == {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "peer.list",
        "params": None,
    }


def json_encode(message: object) -> bytes:
    return msgspec.json.encode(message)


# --- programs that are not ours ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (b'{"code": -32000, "message": "log in", "data": {"a": 1}, "more": 1}', -32000, "log in"),
        (b'{"code": -32000}', -32000, ""),
        (b"{}", 0, ""),
        (b'"it broke"', 0, "it broke"),
        (b'{"code": "E1"}', 0, '{"code": "E1"}'),
        (b"[" * 5000, 0, "[" * 500),
    ],
)
def test_any_error_of_another_program_is_read(error: bytes, code: int, message: str) -> None:
    failed = call_failed(Raw(error))
    assert isinstance(failed, CallFailed)
    assert (failed.code, failed.message, str(failed)) == (code, message, message)


class Named(Struct):
    name: str


_named = msgspec.json.Decoder(Named)


def test_what_is_no_json_and_what_is_no_message_are_told_apart() -> None:
    assert decoded(_named, b'{"name": "x", "more": 1}') == Named("x")
    for text in (b"{", b"\xff", b'{"other": ' + b"[" * 100_000):
        with pytest.raises(BadFrame):
            decoded(_named, text)
    with pytest.raises(BadRequest):
        decoded(_named, b'{"name": 1}')


def test_parameters_of_another_type_are_an_error_with_a_hint() -> None:
    assert converted(Raw(b'{"name": "x"}'), Named) == Named("x")
    with pytest.raises(BadParams) as caught:
        converted(Raw(b"[]"), Named, hint="see the manual")
    assert caught.value.hint == "see the manual"


def test_an_error_for_another_program_ends_with_its_hint() -> None:
    told = error_object(SessionNotFound("no session x"), {"session-not-found": 4001})
    assert told == {"code": 4001, "message": "no session x (see `agent sessions`)"}
    assert error_object(SessionNotFound("no session x", hint=""), {})["code"] == SessionNotFound.code


def lenient_end() -> LenientEnd[object, object]:
    """An end whose frames are messages as they are."""
    return LenientEnd(lambda message: message, lambda frame: frame)


def test_an_answer_with_an_id_of_nobody_is_that_of_the_only_open_request() -> None:
    end, slot = lenient_end(), Held()
    end.request("a", {}, slot)
    assert end.open == {1}
    assert end.receive(Response("what", Raw(b"3"))) is None
    assert (slot.result, len(end.open)) == (Raw(b"3"), 0)
    end.request("b", {})
    answer = end.receive(Response(None, error=CallFailed("no")))
    assert isinstance(answer, Response)
    assert answer.id == 2  # nobody waits in a slot: whoever sent it hears of it


def test_an_answer_that_could_be_of_two_requests_is_of_none_and_a_late_one_is_of_its_own() -> None:
    end = lenient_end()
    first, second = Held(), Held()
    end.request("a", {}, first)
    end.request("b", {}, second)
    stray = end.receive(Response("what", Raw(b"3")))
    assert isinstance(stray, Response)
    assert not end.made(stray.id)
    end.forget(1)
    late = end.receive(Response(1, Raw(b"4")))
    assert isinstance(late, Response)
    assert end.made(late.id)
    assert (first.done(), second.done(), set(end.open)) == (False, False, {2})


def test_half_a_character_from_an_editor_costs_no_prompt_and_its_types_are_strict() -> None:
    assert decoded(_named, rb'{"name": "x\ud83d"}') == Named("x")
    assert decoded(_named, b'\xef\xbb\xbf{"name": "\xff"}') == Named("\ufffd")
    assert converted(Raw(b'{"name": "\xff"}'), Named) == Named("\ufffd")
    with pytest.raises(BadParams):
        converted(Raw(rb'{"name": ["\ud83d"]}'), Named)
