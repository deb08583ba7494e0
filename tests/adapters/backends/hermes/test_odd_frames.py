"""Frames of a gateway that are nearly right: what is sound in them is read, and nothing raises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from agent.adapters.backends.hermes import mapping, wire
from agent.adapters.backends.hermes.questions import HermesQuestions
from agent.adapters.backends.hermes.redact import Redactor
from agent.adapters.backends.hermes.wire import GatewayEvent, GatewayQuestion, MissedEvents, SessionSnapshot
from agent.errors import BackendFailed
from agent.ports import Asked, Described, Said, Thought, ToolFinished
from agent.protocol.jsonrpc import Response
from agent.protocol.lenient import LenientReader

ROWS = [json.loads(line) for line in (Path(__file__).parent / "recordings/turns.jsonl").read_text("utf-8").splitlines()]
REDACTOR = Redactor(Path("/home/me"))


def frame(kind: str, payload: str, **params: Any) -> str:
    """An event, its payload as it stands in JSON."""
    more = "".join(f',"{name}":{json.dumps(value)}' for name, value in params.items())
    told = f'{{"type":"{kind}","session_id":"s","payload":{payload}{more}}}'
    return f'{{"jsonrpc":"2.0","method":"event","params":{told}}}'


def said(*frames: str | bytes) -> str:
    """What is said and thought in these frames."""
    reader, told = LenientReader(), ""
    for data in frames:
        for message in wire.messages_in(data, reader):
            item = wire.decode(message, reader)
            if isinstance(item, GatewayEvent):
                shown = mapping.shown(item.type, item.payload, REDACTOR)
                told += "".join(each.text for each in shown if isinstance(each, Said | Thought))
    return told


DELTA = frame("message.delta", '{"text":"a"}')


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([frame("message.delta", r'{"text":"hi \ud83d"}'), frame("message.delta", r'{"text":"\ude00"}')], "hi 😀"),
        ([frame("message.delta", r'{"text":"a\ude00b"}')], "a\ufffdb"),
        ([b"\xef\xbb\xbf" + DELTA.encode()], "a"),
        ([DELTA.encode().replace(b'"a"', b'"a\xffb"')], "a\ufffdb"),
        ([f"[{DELTA},{DELTA}]"], "aa"),
        ([frame("message.delta", '{"text":"a","already_streamed":{},"x":NaN}')], "a"),
        ([frame("message.delta", '{"text":"a"}', seq=3.0)], "a"),
        ([frame("message.delta", '{"text":"a"}', seq="x")], "a"),
        ([DELTA.replace('"params"', '"id":null,"result":3,"error":{},"params"')], "a"),
        ([DELTA.replace('"s"', "7")], "a"),
        ([frame("message.delta", '{"text":null}'), frame("message.delta", "3"), DELTA], "a"),
        (["", "null", "[]", "nonsense", "[" * 100_000, '{"method":"event"}', DELTA], "a"),
    ],
)
def test_text_is_told_whatever_stands_around_it(frames: list[str | bytes], text: str) -> None:
    assert said(*frames) == text


@pytest.mark.parametrize("number", ["3", "3.0", '"3"'])
def test_an_id_is_the_same_however_it_is_written(number: str) -> None:
    answer = wire.decode(f'{{"id":{number},"result":{{}}}}')
    assert isinstance(answer, Response)
    assert answer.id == "3"
    asked = wire.decode(f'{{"id":{number},"method":"clarify","params":{{"session_id":"s"}}}}')
    assert isinstance(asked, GatewayQuestion)
    assert asked.id == "3"


def test_a_tool_ends_whatever_its_end_says() -> None:
    for result in ("null", "3", '{"output":{"a":1},"error":false}', r'{"output":"a\ud83d","exit_code":"x"}', "[NaN]"):
        payload = f'{{"tool_id":7,"name":[],"args":3,"result":{result},"todos":null}}'
        event = wire.decode(frame("tool.complete", payload))
        assert isinstance(event, GatewayEvent)
        [end] = mapping.shown(event.type, event.payload, REDACTOR)
        assert isinstance(end, ToolFinished)
        assert (end.tool_id, end.status) == ("7", "complete")


def test_a_question_is_asked_though_one_of_its_choices_is_none() -> None:
    payload = '{"request_id":3,"question":"Which?","choices":["a",null,{},3],"multi_select":null}'
    event = wire.decode(frame("clarify.request", payload))
    assert isinstance(event, GatewayEvent)
    asked = HermesQuestions(REDACTOR, remote_secrets=False).event(event)
    assert asked is not None
    [question] = asked
    assert isinstance(question, Asked)
    assert [choice.name for choice in question.choices] == ["a", "3"]


def test_a_row_or_an_entry_that_is_none_is_left_out_and_a_list_that_is_none_is_told() -> None:
    odd = b'{"sessions":[{"id":"a","title":null,"message_count":"3","last_active":"now"},{"title":"b"},3]}'
    rows = wire.rows(Raw(odd))
    assert [(row.id, row.message_count, row.last_active) for row in rows] == [("a", 3, 0.0)]
    assert wire.rows(Raw(b'{"sessions":[]}')) == []
    for none in (b'{"sessions":null}', b"{}", b"null", b'{"sessions":[3]}', b'{"sessions":'):
        with pytest.raises(BackendFailed, match="nobody here understands"):
            wire.rows(Raw(none))  # or all sessions would be gone
    told = Raw(b'{"session_id":"a","messages":[{"role":"user","text":"x"},null,{"role":3}],"running":1,"info":"m"}')
    snapshot = wire.read(told, SessionSnapshot)
    assert [(each.role, each.text) for each in snapshot.messages] == [("user", "x"), ("3", "")]
    assert snapshot.running
    told = Raw(b'{"events":[{"type":"message.delta","seq":"4","payload":{"text":"a"}},7],"epoch":3.0}')
    missed = wire.read(told, MissedEvents)
    assert [each.seq for each in wire.events(missed, "s")] == [4]


def test_what_is_no_model_is_none() -> None:
    assert mapping.shown("session.info", Raw(b'{"model":{},"running":"x"}'), REDACTOR) == []
    assert mapping.shown("session.info", Raw(b'{"model":"m","running":{}}'), REDACTOR) == [Described(model="m")]


VALUES: list[Any] = [None, True, 3.0, -1, 10**30, "", "x", [], [None], {}, {"a": [1]}]
FRAMES = [frame(row["type"], json.dumps(row.get("payload", {}))) for row in ROWS]


def damaged(data: str, how: int, at: int, value: Any) -> str | bytes:
    """The frame with a field of another type, with another byte, or cut."""
    if how == 0:
        message = json.loads(data)
        inside = message["params"]["payload"] if at % 2 and message["params"]["payload"] else message["params"]
        inside[list(inside)[at % len(inside)]] = value
        return json.dumps(message)
    raw, place = data.encode(), at % len(data)
    return raw[:place] + (bytes([at % 256]) + raw[place + 1 :] if how == 1 else b"")


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(VALUES)),
        min_size=1,
        max_size=20,
    )
)
def test_damage_costs_the_text_of_the_damaged_frames_only(damages: list[tuple[int, int, int, Any]]) -> None:
    frames: list[str | bytes] = list(FRAMES)
    for how, which, at, value in damages:
        frames[which % len(frames)] = damaged(FRAMES[which % len(frames)], how, at, value)
    for data, sound in zip(frames, FRAMES, strict=True):
        told = said(data)
        assert told == said(sound) or data != sound
