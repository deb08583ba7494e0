"""Streams as servers write them: each dialect says the same, and what is odd in one costs none of its text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.backends.openai.chunks import WORDS_MAX, Chunk, ChunkReader, ServerFault, words_of
from agent.adapters.backends.openai.reply import Ending, ReceivedReply
from agent.adapters.backends.openai.sse import EVENT_MAX, STRAY_MAX
from agent.ports import Said, Thought
from agent.protocol.lenient import read as read_one

DIALECTS = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "dialects").glob("*.sse"))}
"""As each server writes "Hello ů" with 12 tokens in all; `bare` leaves out what may be left out."""
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def read(stream: bytes, size: int = 100_000) -> tuple[list[Chunk], ChunkReader]:
    reader = ChunkReader()
    chunks = [chunk for at in range(0, len(stream), size) for chunk in reader.feed(stream[at : at + size])]
    return chunks + reader.end(), reader


def told(stream: bytes, size: int = 100_000) -> tuple[str, str, Ending]:
    """What is said, what is thought, and how it ended."""
    chunks, reader = read(stream, size)
    reply = ReceivedReply()
    events = list(reply.take(chunks))
    said, thought = ("".join(each.text for each in events if isinstance(each, kind)) for kind in (Said, Thought))
    return said, thought, reply.ending(reader.stray)


def event(said: Any = None, finish: Any = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {} if said is None else {"content": said}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice], **more}).encode() + b"\n\n"


def fault_of(chunk: Chunk) -> ServerFault:
    assert chunk.fault is not None
    return chunk.fault


# --- events ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_every_dialect_says_the_same_wherever_the_network_cuts_it(name: str, ends: bytes, size: int) -> None:
    stream = DIALECTS[name].replace(b"\r\n", b"\n").replace(b"\n", ends)
    chunks, reader = read(stream, size)
    said, thought, ending = told(stream, size)
    assert said == "Hello ů"
    assert thought == ("Hm" if name in {"ollama", "lm-studio", "llama.cpp"} else "")
    assert [chunk.usage.total for chunk in chunks if chunk.usage] == [12]
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices or () if choice.finish_reason] == [
        "stop"
    ]
    assert reader.done
    assert ending == Ending()


@pytest.mark.parametrize(
    "stream",
    [
        b"\xef\xbb\xbf" + event("hel") + event("lo") + END,
        b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"hello"},"finish_reason":null}]}\n\n' + END,
        event("hel") + b': ping\n\nevent: ping\ndata: {"type":"ping"}\n\n' + event("lo") + END,
        event("hel") + b"event: ping\ndata: ping\n\n" + event("lo") + END,
        b"id: 7\nretry: 10\nevent: chunk\n" + event("hel") + b"data:\n\ndata\n\n" + event("lo") + END,
        event("hel") + event("lo").removesuffix(b"\n\n"),  # nor is the last one ended
        event("hel").replace(b"\n\n", b"\n") + event("lo").replace(b"\n\n", b"\n") + END,
        event("hel").replace(b"data: ", b"data:") + event("lo").replace(b"data: ", b"Data:   ") + END,
        b'{\n  "choices": [\n    {\n      "message": {"content": "hello"}\n    }\n  ]\n}\n',
        b'{"choices":[{"delta":{"content":"hel"}}]}\n{"choices":[{"delta":{"content":"lo"},"finish_reason":"stop"}]}\n',
    ],
    ids=["bom", "several", "ping", "words", "fields", "no end", "no blanks", "spaces", "indented", "lines"],
)
@pytest.mark.parametrize("size", [1, 5, 100_000])
def test_however_events_are_written_their_text_is_read(stream: bytes, size: int) -> None:
    assert told(stream, size)[0] == "hello"


@pytest.mark.parametrize("size", [1, 100_000])
def test_half_characters_are_put_together_and_a_lone_half_costs_no_other_text(size: int) -> None:
    def raw(text: str) -> bytes:
        return b'data: {"choices":[{"delta":{"content":"' + text.encode() + b'"}}]}\n\n'

    assert told(raw("hi ") + raw(r"\ud83d") + raw(r"\ude00 there") + END, size)[0] == "hi 😀 there"
    assert told(raw(r"a\ude00b") + raw(r"\ud83dc") + raw(r"d\ud83d") + raw("e") + END, size)[0] == "a\ufffdb\ufffdcde"
    assert told(raw("X").replace(b"X", b"a\xffb\xed\xa0\xbd\xed\xb8\x80"), size)[0] == "a\ufffdb😀"


@pytest.mark.parametrize(
    "odd",
    [
        {"usage": {"total_tokens": 3.0}}, {"usage": []}, {"usage": "3"}, {"usage": {"total_tokens": {"a": 1}}},
        {"choices": None}, {"choices": [None, 3, []]}, {"choices": {"delta": None}}, {"object": 7}, {"error": None},
        {"error": ""}, {"error": []}, {"choices": [{"delta": {"reasoning": {"effort": 3}, "refusal": False}}]},
        {"choices": [{"delta": {"tool_calls": "none", "reasoning_content": 0}, "finish_reason": ["stop"]}]}, [], 3,
    ],
    ids=str,
)  # fmt: skip
def test_what_is_odd_beside_the_text_is_passed_over(odd: object) -> None:
    stream = event("hel") + b"data: " + json.dumps(odd).encode() + b"\n\n" + event("lo") + END
    beside = event("hel", **odd) if isinstance(odd, dict) and "choices" not in odd else event("hel")
    assert told(stream)[0] == "hello"
    assert told(beside + event("lo") + END)[0] == "hello"
    assert told(beside + event("lo") + END)[2] == Ending()


def test_tokens_are_counted_however_they_are_told() -> None:
    def tokens(usage: object) -> int:
        reply = ReceivedReply()
        list(reply.take(read(event("a", usage=usage) + END)[0]))
        return reply.tokens

    assert [tokens({"total_tokens": each}) for each in (3, 3.0, "3", -3, 1e400, None)] == [3, 3, 3, 0, 0, 0]
    assert tokens({"prompt_tokens": 3, "completion_tokens": 4.0}) == 7


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"text": "old"}, "old"),
        ({"delta": {"text": "odd"}}, "odd"),
        ({"delta": {"content": [{"type": "text", "text": "a"}, {"type": "image"}, 3, {"text": "b"}]}}, "ab"),
        ({"delta": {"content": {"type": "text", "text": "one"}}}, "one"),
        ({"delta": None, "message": {"content": "whole"}}, "whole"),
        ({"delta": {"content": 3}}, "3"),
    ],
)
def test_text_is_found_wherever_it_stands(choice: object, said: str) -> None:
    assert told(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n" + END)[0] == said


def test_a_whole_reply_after_its_pieces_is_not_said_twice() -> None:
    whole = b'data: {"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}\n\n'
    assert told(event("hel") + event("lo") + whole)[0] == "hello"
    assert told(event("hel") + whole)[0] == "hello"
    assert told(whole)[0] == "hello"


def test_nothing_counts_after_the_end() -> None:
    chunks, _ = read(b"data: [DONE]\n\n" + event("more"))
    assert chunks == []


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'data: {"error":{"message":"out of memory","type":"server_error","code":500}}', "out of memory"),
        (b'data: {"error":{"message":"out of memory","code":"oom"}}', "out of memory"),
        (b'data: {"error":{"message":"out of memory","code":{"a":1},"param":3}}', "out of memory"),
        (b'data: {"error":{"msg":"out of memory"}}', "out of memory"),
        (b'data: {"error":{},"message":"out of memory"}', "out of memory"),
        (b'data: {"error":"out of memory"}', "out of memory"),
        (b'data: {"errors":[{"message":"out of"},"memory"]}', "out of; memory"),
        (b'{"error":{"message":"out of memory"}}', "out of memory"),
        (b'{\n "error": {\n  "message": "out of memory"\n }\n}', "out of memory"),
        (b'error: {"code":500,"message":"out of memory","type":"server_error"}', "out of memory"),
        (b'event: error\ndata: {"message":"out of memory","type":"server_error"}', "out of memory"),
        (b'event: error\ndata: {"type":"error","error":{"type":"oom","message":"out of memory"}}', "out of memory"),
        (b"event: error\ndata: out of\ndata: memory", "out of memory"),
        (b'data: {"type":"server_error","message":"out of memory"}', "out of memory"),
        (b'data: {"object":"error","message":"out of memory","code":40303}', "out of memory"),
        (b'data: {"detail":"out of memory"}', "out of memory"),
        (b'data: {"detail":[{"loc":["body"],"msg":"out of memory"}]}', "out of memory"),
        (b'data: {"detail":["out of memory"]}', "out of memory"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 100_000])
def test_an_error_inside_of_the_stream_is_found_in_every_form_after_the_text(
    line: bytes, message: str, size: int
) -> None:
    chunks, _ = read(event("so far") + line + b"\n", size)
    assert told(event("so far") + line, size)[0] == "so far"
    assert fault_of(chunks[-1]).words == message


def test_what_is_no_error_is_none() -> None:
    chunk: dict[str, Any] = {"object": "chat.completion.chunk", "error": None, "choices": []}
    sounds: tuple[dict[str, Any], ...] = ({}, chunk, {"message": "loading"})
    for sound in sounds:
        read_back = read_one(json.dumps(sound).encode(), Chunk)
        assert read_back is not None
        assert read_back.fault is None


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (b'{"error":{"message":"no model x"}}', "no model x"),
        (b'{"message":"Unauthorized"}', "Unauthorized"),
        (b'{"title":"Too many","status":429}', "Too many"),
        (b"<html><head><title>502 Bad&nbsp;Gateway</title><style>a{}</style></head></html>", "502 Bad Gateway"),
        (b"<h1>Not <b>here</b></h1><script>x()</script>", "Not here"),
        (b"upstream\nis \x1b[31mgone\x1b[0m\r\n", "upstream is [31mgone[0m"),
        (b"\xff\xfe no text", "\ufffd\ufffd no text"),
        (b"", ""),
        (b"x" * 100_000, "x" * WORDS_MAX),
    ],
)
def test_the_servers_own_words_are_found_in_whatever_it_answers(page: bytes, words: str) -> None:
    assert words_of(page) == words


def test_what_is_no_message_is_passed_over_and_remembered() -> None:
    chunks, reader = read(event("hel") + b"data: nonsense\n\n" + b"upstream is gone\n" + event("lo") + END)
    assert "".join(each.text for each in ReceivedReply().take(chunks)) == "hello"
    assert (reader.broken, reader.stray) == (True, "nonsense")
    _, proxy = read(b"upstream is gone\n" * STRAY_MAX)
    assert (proxy.broken, proxy.stray[:16]) == (False, "upstream is gone")


def test_an_event_has_an_end_and_what_came_before_it_is_read() -> None:
    for endless in (b"x" * EVENT_MAX, b"data: x\n" * (EVENT_MAX // 4), b"{\n" * EVENT_MAX):
        chunks, reader = read(event("before") + b"data: " + endless, 50_000)
        assert [each.text for each in ReceivedReply().take(chunks)] == ["before"]
        assert "more than 1,048,576 bytes" in fault_of(chunks[-1]).words
        assert reader.feed(b"more") == []


def test_deep_nesting_is_no_crash() -> None:
    assert told(event("a") + b'data: {"x":' + b"[" * 100_000 + b"\n\n" + event("b") + END)[0] == "ab"


# --- ends ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finish", "cause"),
    [
        ("stop", ""), ("STOP", ""), ("eos", ""), ("", ""), (None, ""), (7, ""), ("length", "max_tokens"),
        ("MAX_TOKENS", "max_tokens"), ("content_filter", "filtered"), ("SAFETY", "filtered"),
        ("tool_calls", "tool_calls"), ("function_call", "tool_calls"), ("refusal", "refusal"), ("error", "cut"),
    ],
)  # fmt: skip
def test_s14_a_reply_that_was_cut_filtered_or_refused_is_no_success(finish: object, cause: str) -> None:
    assert told(event("text") + event(None, finish))[2].cause == cause


def test_s14_a_reply_without_a_word_says_why() -> None:
    call = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f\x1b[1m", "arguments": "{}"}}]}
    assert told(event(None, "stop") + END)[2] == Ending("empty")
    assert told(b"data: " + json.dumps({"choices": [{"delta": call}]}).encode() + b"\n\n" + END)[2] == Ending(
        "tool_calls", "the model called a tool (f[1m), and a chat has none"
    )
    assert "thought" in told(b'data: {"choices":[{"delta":{"reasoning":"hm"}}]}\n\n' + END)[2].error
    assert "the queue is full" in told(b'data: {"message":"the queue is full"}\n\n' + END)[2].error
    assert told(b'data: {"choices":[{"delta":{"refusal":"no"}}]}\n\n' + END)[:1] == ("no",)
    assert told(b'data: {"choices":[{"delta":{"refusal":"no"}}]}\n\n' + END)[2].cause == "refusal"


# --- anything --------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_any_bytes_are_read_as_something(data: bytes) -> None:
    read(data, 5)
    read(b"data: " + data, 5)


ODD_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 3, 3.5, 1e300, -1, "", "x", [], [[]], {}, {"a": None}, ["x", 3]]
)
FIELDS = ("id", "object", "created", "model", "usage", "service_tier", "system_fingerprint", "x")
INNER = ("index", "finish_reason", "logprobs", "x")


@given(st.lists(st.tuples(st.sampled_from(FIELDS), ODD_VALUES, st.sampled_from(INNER), ODD_VALUES), max_size=6))
def test_fields_of_any_type_beside_the_text_cost_none_of_it(oddities: list[tuple[str, Any, str, Any]]) -> None:
    stream, wanted = b"", ""
    for number, (field, value, inner, inner_value) in enumerate(oddities):
        wanted += f"piece {number} "
        choice = {"delta": {"content": f"piece {number} ", "role": value, "reasoning": None}, inner: inner_value}
        stream += b"data: " + json.dumps({"choices": [choice], field: value}).encode() + b"\n\n"
    assert told(stream + END)[0] == wanted


@given(st.sampled_from(sorted(DIALECTS)), st.integers(0, 20), st.binary(min_size=1, max_size=40), st.integers(1, 50))
def test_damage_costs_the_text_of_the_damaged_event_only(name: str, at: int, damage: bytes, size: int) -> None:
    before, after = event("before "), event("after")
    events = DIALECTS["openai"].split(b"\n\n")
    hurt = events[at % len(events)]
    middle = hurt[: at % max(1, len(hurt))] + damage.replace(b"\n", b"").replace(b"\r", b"") + b"\n\n"
    if b"[DONE]" in middle:
        return
    said = told(before + middle + after + END, size)[0]
    assert said.startswith("before ")
    assert said.endswith("after")
