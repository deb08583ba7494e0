"""What agents write that is nearly right is read, matched, or told at once: no text is lost, no turn waits for ever."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.adapters.backends.acp.connection import LineSplitter
from agent.adapters.backends.acp.options import SessionOptions
from agent.adapters.backends.acp.schema import BATCH_MAX, Garbage, Strange, Updated, decode, messages_in
from agent.adapters.backends.acp.updates import UpdateMapper
from agent.ports import Asked, BackendEvent, Described, Said, Thought, ToolFinished, ToolStarted
from agent.protocol.jsonrpc import Request, Response
from agent.protocol.lenient import LenientReader
from tests.adapters.backends.acp.agents import odd
from tests.adapters.backends.acp.conftest import Begin, described
from tests.fakes.listener import Listener, finished, run, said

HEAD = '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"$SESSION","update":'
END = '{"jsonrpc":"2.0","id":$ID,"result":{"stopReason":"end_turn"}}'


def chunk(text: str) -> str:
    """More of the reply, `text` as it stands in JSON."""
    return f'{HEAD}{{"sessionUpdate":"agent_message_chunk","content":{{"type":"text","text":"{text}"}}}}}}}}'


def tool(status: str, output: str = "") -> str:
    content = f'[{{"type":"content","content":{{"type":"text","text":"{output}"}}}}]'
    return (
        f'{HEAD}{{"sessionUpdate":"tool_call_update","toolCallId":"t","status":"{status}","title":"t",'
        f'"content":{content}}}}}}}'
    )


async def written(begin: Begin, listener: Listener, *lines: str) -> list[BackendEvent]:
    session = await begin(odd())
    await described(listener)
    return await run(session, listener, "write " + json.dumps(lines))


# --- a turn ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([chunk("hi "), chunk(r"\ud83d"), chunk(r"\ude00 there"), END], "hi 😀 there"),
        ([chunk(r"a\ude00b\ud83dc"), chunk("d"), END], "a\ufffdb\ufffdcd"),
        ([chunk("a\xffb"), chunk("c\xed\xa0\xbd"), chunk("d"), END], "a\ufffdbcd"),
        ([chunk("a\tb\x01c"), END], "a\tb\x01c"),
        (["", " ", "\r", chunk("a") + "\r", "\xef\xbb\xbf" + chunk("b"), END + " \r"], "ab"),
        (["[" + chunk("a") + "," + chunk("b") + "]", f"[{END}]"], "ab"),
        ([chunk("a") + chunk("b") + END], "ab"),
        (["\x1b[2K\x1b[0m... " + chunk("a"), END], "a"),
        (["DEBUG sent " + chunk("a"), chunk("a"), '[WARN] {"error":"x"', END], "a"),  # a log that quotes it
        ([HEAD + '{"sessionUpdate":"agent_message_chunk","content":"a","messageId":7}}}', END], "a"),
        ([HEAD + '{"sessionUpdate":"agent_message_chunk","content":[{"type":"text","text":"a"}]}}}', END], "a"),
        ([chunk("a").replace('"type":"text"', '"type":null,"name":3,"resource":NaN,"_meta":null'), END], "a"),
        ([chunk("a").replace('"params"', '"id":null,"id":null,"params":3,"params"'), END], "a"),
        ([HEAD + '{"sessionUpdate":"usage_update","used":1e999,"size":"9","cost":[]}}}', chunk("a"), END], "a"),
        ([chunk("a"), '{"level":"info","id":$ID,"msg":"done"}', '{"result":"ok"}', chunk("b"), END], "ab"),
        ([chunk("a"), END.replace("$ID", '"$ID"')], "a"),
        ([chunk("a"), END.replace("$ID", "$ID.0")], "a"),
        ([chunk("a"), END.replace("$ID", "null")], "a"),
        ([chunk("a"), END.replace("$ID", '"request-$ID"')], "a"),
        ([chunk("a"), END.replace('"jsonrpc":"2.0",', "")], "a"),
        ([chunk("a"), END.replace('"end_turn"', 'null,"usage":{"totalTokens":"x"},"_meta":3')], "a"),
    ],
)
async def test_a_turn_with_odd_lines_says_all_and_ends(
    begin: Begin, listener: Listener, lines: Sequence[str], text: str
) -> None:
    events = await written(begin, listener, *lines)
    assert said(events) == text
    assert finished(events).status == "complete"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (END[:-1], 'the answer was {"jsonrpc"'),
        (END[:-1].replace("$ID", '"$ID"'), 'the answer was {"jsonrpc"'),
        ('"result":{"stopReason":"end_turn"}}', 'the answer was "result"'),
        ('{"jsonrpc":"2.0","error":{"code":-1', 'the answer was {"jsonrpc"'),
        ('{"jsonrpc":"2.0","id":null,"error":{"code":"-32700","message":"Parse error"}}', "Parse error"),
        ('{"jsonrpc":"2.0","id":$ID,"error":"out of cheese"}', "out of cheese"),
        ('{"jsonrpc":"2.0","id":$ID,"error":{"message":["out","of"],"code":3}}', "error 3"),
    ],
)
async def test_an_answer_that_cannot_be_read_ends_the_turn_at_once(
    begin: Begin, listener: Listener, line: str, error: str
) -> None:
    events = await written(begin, listener, chunk("a"), line)
    assert said(events) == "a"
    assert finished(events).status == "error"
    assert error in finished(events).error
    assert "\n" not in finished(events).error


async def test_a_tool_call_never_stays_open_because_of_one_bad_byte(begin: Begin, listener: Listener) -> None:
    odd_end = tool("completed", r"c\ud83d").replace('"t"', "3").replace('"title":3', '"title":null,"kind":{}')
    lines = [tool("in_progress"), tool("completed", "a\xffb"), tool("in_progress").replace('"t"', "3"), odd_end, END]
    events = await written(begin, listener, *lines)
    assert [event.tool_id for event in events if isinstance(event, ToolStarted)] == ["t", "3"]
    ends = {event.tool_id: event.output for event in events if isinstance(event, ToolFinished)}
    assert ends == {"t": "a\ufffdb", "3": "c"}


async def test_what_nobody_asked_for_is_told_and_ends_nothing(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await described(listener)
    stray = '{"jsonrpc":"2.0","id":"x","result":{}}'
    await run(session, listener, "write " + json.dumps([END, stray]))
    assert (await described(listener)).note == "odd wrote what is no message: an answer to a request that nobody made"
    assert said(await run(session, listener, "say on")) == "on "


@pytest.mark.parametrize("ids", ["text", "float", "null", "other"])
async def test_an_agent_that_writes_ids_its_own_way_is_understood_from_the_start(
    begin: Begin, listener: Listener, ids: str
) -> None:
    session = await begin(odd("--bom", "--ids", ids))
    await described(listener)
    assert said(await run(session, listener, "say hello")) == "hello "
    await session.choose("mode", "auto")


async def test_a_question_is_answered_by_the_id_that_the_agent_wrote(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await described(listener)
    await session.prompt("ask-float")
    asked = await listener.next()
    assert isinstance(asked, Asked)
    await session.answer(asked.request_id, "Ada")
    assert said(await listener.turn()) == "got Ada"


async def test_a_question_that_cannot_be_read_is_refused(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await described(listener)
    broken = '{"jsonrpc":"2.0","id":"r-9","method":"session/request_permission","params":{"options":[}}'
    events = await run(session, listener, "write " + json.dumps([broken, chunk("a"), END]))
    assert said(events) == "a"
    [note] = [event.note for event in events if isinstance(event, Described)]
    assert note.startswith('odd wrote what is no message: {"jsonrpc"')


@pytest.mark.parametrize(
    ("meta", "cause"),
    [
        ({"codex": {"threadStatus": {"type": "systemError"}}}, "the agent reports an error"),
        (
            {"codex": {"threadStatus": {"type": "systemError"}, "error": {"message": "no\ncredit"}}},
            "error: no credit",
        ),
        ({"codex": {"threadStatus": {"type": "systemError"}, "error": "gone"}, "x": 3}, "an error: gone"),
        ({"status": "systemError"}, "the agent reports an error"),
        ({"codex": {"threadStatus": {"type": "idle"}}}, ""),
    ],
)
async def test_s14_an_agent_that_says_of_itself_that_it_failed_has_not_succeeded(
    begin: Begin, listener: Listener, meta: Any, cause: str
) -> None:
    info = f'{HEAD}{{"sessionUpdate":"session_info_update","_meta":{json.dumps(meta)}}}}}}}'
    session = await begin(odd())
    await described(listener)
    end_with_meta = END.replace('"end_turn"', f'"end_turn","_meta":{json.dumps(meta)}')
    for lines in ([chunk("a"), info, END], [chunk("a"), end_with_meta]):
        end = finished(await run(session, listener, "write " + json.dumps(lines)))
        assert end.status == ("error" if cause else "complete")
        assert end.error.endswith(cause)
    assert finished(await run(session, listener, "say on")).status == "complete"  # it is not held against the next one


# --- lines -----------------------------------------------------------------------------------------------------------


def test_ids_of_requests_are_sent_back_as_they_came() -> None:
    for number in (b"3", b"3.0", b'"3"', b'"\xff"', b"true"):
        request = decode(b'{"id":' + number + b',"method":"m"}')
        assert isinstance(request, Request)
        assert bytes(request.id) == number


def test_ids_of_answers_are_one_however_they_are_written() -> None:
    answers = [decode(b'{"jsonrpc":"2.0","id":%b,"result":null}' % number) for number in (b"3", b"3.0", b'"3"')]
    assert [each.id for each in answers if isinstance(each, Response)] == [3, 3, 3]


def test_a_batch_has_an_end() -> None:
    assert len(messages_in(b"[" + b"{}," * 5_000 + b"{}]", LenientReader())) == BATCH_MAX
    assert messages_in(b"[" * 100_000, LenientReader()) == []
    assert len(messages_in(b'{"jsonrpc":' * 5_000, LenientReader())) <= BATCH_MAX + 1


# --- recordings, damaged ---------------------------------------------------------------------------------------------

RECORDINGS = {path.stem: path for path in sorted((Path(__file__).parent / "recordings").glob("*.jsonl"))}
LINES = {
    name: [json.dumps(row["<"]).encode() for row in map(json.loads, path.read_text().splitlines()) if "<" in row]
    for name, path in RECORDINGS.items()
}
VALUES: list[Any] = [None, True, 3.0, -1, 10**30, "", "x", [], [None], {}, {"a": [1]}]
Damage = tuple[int, int, int, Any]


def damaged(line: bytes, how: int, at: int, value: Any) -> bytes:
    """The line with a field of another type, without one, with other bytes, or cut."""
    if how >= 2:
        place = at % len(line)
        odd_byte = bytes([at % 256]).replace(b"\n", b"\xff")
        return line[:place] + (odd_byte + line[place + 1 :] if how == 2 else b"")
    message = json.loads(line)
    places = list(_places(message))
    inside, key = places[at % len(places)]
    if how == 0:
        inside[key] = value
    else:
        del inside[key]
    return json.dumps(message).encode()


def _places(value: Any) -> Any:
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def texts_of(lines: Sequence[bytes]) -> list[str]:
    """What is said and thought in each line."""
    mapper, reader, told = UpdateMapper(SessionOptions()), LenientReader(), []
    for line in lines:
        [whole] = LineSplitter().feed(line + b"\n") or [b""]
        assert isinstance(whole, bytes)
        first = decode(whole, reader)
        parts = messages_in(whole, reader) if isinstance(first, Garbage) else []
        for each in [decode(part, reader) for part in parts] or [first]:
            if isinstance(each, Updated):
                mapper.take(each.update)
            elif isinstance(each, Strange):
                mapper.take_strange(each)
        told.append("".join(event.text for event in mapper.events() if isinstance(event, Said | Thought)).lstrip("\n"))
    return told


@pytest.mark.parametrize("name", RECORDINGS)
@settings(max_examples=30)
@given(
    damages=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(VALUES)),
        min_size=1,
        max_size=20,
    )
)
def test_damage_costs_the_text_of_the_damaged_lines_only(name: str, damages: list[Damage]) -> None:
    lines = list(LINES[name])
    hurt = set()
    for how, which, at, value in damages:
        if which % len(lines) not in hurt:
            hurt.add(which % len(lines))
            lines[which % len(lines)] = damaged(lines[which % len(lines)], how, at, value)
    wanted, got = texts_of(LINES[name]), texts_of(lines)
    assert [text for at, text in enumerate(got) if at not in hurt] == [
        text for at, text in enumerate(wanted) if at not in hurt
    ]
