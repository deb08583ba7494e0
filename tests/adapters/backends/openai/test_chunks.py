"""Streams as servers write them: each dialect says the same."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.backends.openai.chunks import LINE_MAX, Chunk, EventLines, decode, fault_of
from agent.errors import BackendFailed

DIALECTS = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "dialects").glob("*.sse"))}
"""As each server writes "Hello ů" with 12 tokens in all; `bare` leaves out what may be left out."""


def read(stream: bytes, size: int) -> tuple[list[Chunk], EventLines]:
    lines = EventLines()
    chunks = [chunk for at in range(0, len(stream), size) for chunk in lines.feed(stream[at : at + size])]
    return chunks + lines.end(), lines


def deltas(chunks: list[Chunk]) -> tuple[str, str]:
    parts = [choice.delta for chunk in chunks for choice in chunk.choices or () if choice.delta]
    return "".join(part.text for part in parts), "".join(part.thought for part in parts)


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_every_dialect_says_the_same_wherever_the_network_cuts_it(name: str, size: int) -> None:
    chunks, lines = read(DIALECTS[name], size)
    text, thought = deltas(chunks)
    assert text == "Hello ů"
    assert thought == ("Hm" if name in {"ollama", "lm-studio", "llama.cpp"} else "")
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [12]
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices or () if choice.finish_reason] == [
        "stop"
    ]
    assert lines.done


def test_nothing_counts_after_the_end() -> None:
    chunks, _ = read(b'data: [DONE]\n\ndata: {"choices":[{"delta":{"content":"more"}}]}\n\n', 1000)
    assert chunks == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'data: {"error":{"message":"out of memory","type":"server_error","code":500}}', "out of memory"),
        (b'data: {"error":{"message":"out of memory","code":"oom"}}', "out of memory"),
        (b'data: {"error":"out of memory"}', "out of memory"),
        (b'{"error":{"message":"out of memory"}}', "out of memory"),
        (b'error: {"code":500,"message":"out of memory","type":"server_error"}', "out of memory"),
        (b'data: {"object":"error","message":"out of memory","code":40303}', "out of memory"),
        (b'data: {"detail":"out of memory"}', "out of memory"),
        (b'data: {"detail":[{"loc":["body"],"msg":"out of memory"}]}', "out of memory"),
    ],
)
def test_an_error_inside_of_the_stream_is_found_in_every_form(line: bytes, message: str) -> None:
    [chunk], _ = read(line + b"\n", 1000)
    fault = fault_of(chunk)
    assert fault is not None
    assert fault.message == message


def test_what_is_no_error_is_none() -> None:
    assert fault_of(decode(b"{}")) is None
    assert fault_of(decode(b'{"object":"chat.completion.chunk","error":null,"choices":[]}')) is None


@pytest.mark.parametrize(
    "garbage", [b"data: nonsense\n", b'data: {"choices":3}\n', b'data: {"object":"\xff"}\n', b"{" * 9]
)
def test_what_is_no_completion_is_said_to_be_none(garbage: bytes) -> None:
    with pytest.raises(BackendFailed, match="no chat completion"):
        read(garbage, 1000)


def test_deep_nesting_is_no_crash() -> None:
    with pytest.raises(BackendFailed):
        decode(b'{"x":' + b"[" * 100_000)


def test_a_line_has_an_end() -> None:
    lines = EventLines()
    with pytest.raises(BackendFailed, match="a line of more than"):
        lines.feed(b"data: " + b"x" * LINE_MAX)


@given(st.binary(max_size=300))
def test_any_bytes_are_messages_or_one_error(data: bytes) -> None:
    with suppress(BackendFailed):
        read(b"data: " + data, 5)
