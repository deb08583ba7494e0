"""A chat: what is sent, what is told, and what is said when it goes wrong."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest

from agent.adapters.backends.openai.address import ServerAddress
from agent.adapters.backends.openai.client import ServerClient, probe
from agent.adapters.backends.openai.conversation import Conversation
from agent.adapters.backends.openai.family import ConfiguredChat
from agent.adapters.backends.openai.reply import PIECE
from agent.adapters.backends.openai.servers import KNOWN, ServerSpot
from agent.adapters.backends.openai.session import ChatSession
from agent.errors import BackendFailed, BadParams
from agent.ports import (
    Backend,
    BackendConfig,
    BackendEvent,
    Described,
    Exchange,
    Finished,
    HasOptions,
    Rests,
    Said,
    Start,
    Thought,
)
from agent.protocol.events import Usage
from agent.protocol.model import SessionId
from tests.adapters.backends.openai.canned import JSON, SSE, Canned, CannedServer, told
from tests.adapters.backends.openai.canned import said as message
from tests.fakes.clock import settle
from tests.fakes.listener import Listener, finished, run, said
from tests.models import ModelServer

KEY = "sk-0123456789abcdef"
OK = Canned(told(message("fine"), message("", "stop"), "[DONE]"))


def chat(
    server: ServerClient, listener: Listener, *, characters: int = 10_000, past: tuple[Exchange, ...] = ()
) -> ChatSession:
    return ChatSession(
        server, listener.emit, Conversation(characters, past), model="m", models={"m": "m", "n": "n"}, context=4096
    )


def sent(server: CannedServer, at: int = -1) -> list[str]:
    return [each["content"] for each in server.bodies[at]["messages"]]


async def start(url: str, listener: Listener, environ: dict[str, str] | None = None, **more: Any) -> Backend:
    """A chat as the settings make one; what it told at the beginning is taken."""
    fields = {name: more.pop(name) for name in ("model", "key_env") if name in more}
    kind = ConfiguredChat("one", BackendConfig(kind="openai", url=url, **fields), environ or {})
    backend = await kind.start(Start(session=SessionId("one"), **more), listener.emit)
    assert isinstance(await listener.next(), Described)
    return backend


# --- what is sent ----------------------------------------------------------------------------------------------------


async def test_the_conversation_so_far_is_sent_and_no_thoughts() -> None:
    async with ModelServer(models=("m",)) as server:
        listener = Listener()
        backend = await start(server.url, listener)
        await run(backend, listener, "model: think 2\nmodel: text one")
        events = await run(backend, listener, "model: text two")
        await backend.close()
        ask = server.turns[-1].ask
    assert ask is not None
    assert [turn.text for turn in ask.turns] == ["model: think 2\nmodel: text one", "one", "model: text two"]
    assert (ask.model, ask.stream) == ("m", True)
    assert finished(events).usage == Usage(used=15)


async def test_what_failed_is_left_out_and_what_was_interrupted_is_not() -> None:
    async with ModelServer(models=("m",)) as server:
        listener = Listener()
        backend = await start(server.url, listener)
        assert finished(await run(backend, listener, "model: error 500")).status == "error"
        assert finished(await run(backend, listener, "model: say 1\nmodel: cut")).status == "error"
        await backend.prompt("model: text half\nmodel: wait for ever")
        assert await listener.next() == Said("half")
        await backend.interrupt()
        assert finished(await listener.turn()).status == "interrupted"
        await server.until(lambda seen: seen.turns[-1].outcome == "hung up")
        await backend.prompt("model: wait for ever")
        await server.until(lambda seen: len(seen.turns) == 4)
        await backend.interrupt()
        assert finished(await listener.turn()).status == "interrupted"
        await run(backend, listener, "model: text after")
        await backend.close()
        ask = server.turns[-1].ask
    assert ask is not None
    assert [turn.text for turn in ask.turns] == ["model: text half\nmodel: wait for ever", "half", "model: text after"]


async def test_after_a_restart_the_past_comes_from_the_log() -> None:
    asked: list[int] = []

    async def history(characters: int) -> list[Exchange]:
        asked.append(characters)
        return [Exchange("before", "yes"), Exchange("broken", "")]

    async with ModelServer(models=("m", "n")) as server:
        listener = Listener()
        backend = await start(server.url, listener, restored=True, history=history, model="n")
        await run(backend, listener, "model: text on")
        await backend.close()
        ask = server.turns[-1].ask
    assert ask is not None
    assert [turn.text for turn in ask.turns] == ["before", "yes", "model: text on"]
    assert asked == [100_000]
    assert ask.model == "n"


async def test_it_may_rest_between_turns_only() -> None:
    async with ModelServer(models=("m",)) as server:
        listener = Listener()
        backend = await start(server.url, listener)
        assert isinstance(backend, Rests)
        assert backend.may_rest()
        await backend.prompt("model: wait for ever")
        assert not backend.may_rest()
        await backend.interrupt()
        await listener.turn()
        assert backend.may_rest()
        await backend.close()


async def test_a_conversation_that_has_grown_too_long_is_cut_and_that_is_said_once() -> None:
    async with CannedServer([OK]) as server:
        listener = Listener()
        session = chat(server.server(), listener, characters=20, past=(Exchange("a" * 10, "b" * 10),))
        events = await run(session, listener, "next")
        assert [event.note for event in events if isinstance(event, Described)] == [
            "the conversation is longer than the model takes: its beginning is not sent any more"
        ]
        assert sent(server) == ["next"]
        assert not [event for event in await run(session, listener, "x" * 20) if isinstance(event, Described)]
        await session.close()


@pytest.mark.parametrize(
    "error",
    [
        b'{"error":{"message":"This model\'s maximum context length is 8 tokens","code":"context_length_exceeded"}}',
        b'{"error":{"code":400,"message":"the request exceeds it","type":"exceed_context_size_error","n_ctx":8}}',
        b'{"object":"error","message":"This model\'s maximum context length is 8 tokens.","code":400}',
    ],
    ids=["openai", "llama.cpp", "vllm"],
)
async def test_what_a_model_finds_too_long_is_halved_until_it_fits(error: bytes) -> None:
    past = tuple(Exchange(str(n), "x" * 99) for n in range(4))
    async with CannedServer([Canned(error, 400, JSON), Canned(error, 400, JSON), OK]) as server:
        listener = Listener()
        session = chat(server.server(), listener, past=past)
        events = await run(session, listener, "next")
        await session.close()
        assert [len(body["messages"]) for body in server.bodies] == [9, 5, 3]
    assert said(events) == "fine"


async def test_a_prompt_that_is_too_long_by_itself_is_an_error() -> None:
    error = b'{"error":{"message":"maximum context length is 8 tokens","code":"context_length_exceeded"}}'
    async with CannedServer([Canned(error, 400, JSON)]) as server:
        listener = Listener()
        session = chat(server.server(), listener)
        assert "one: more than the model takes: maximum" in finished(await run(session, listener, "x")).error
        await session.close()


# --- dialects --------------------------------------------------------------------------------------------------------


async def test_a_server_that_knows_no_stream_options_is_asked_without_them() -> None:
    refusal = Canned(b'{"error":{"message":"Unrecognized request argument supplied: stream_options"}}', 400, JSON)
    async with CannedServer([refusal, OK]) as server:
        listener = Listener()
        session = chat(server.server(), listener)
        assert said(await run(session, listener, "a")) == "fine"
        assert said(await run(session, listener, "b")) == "fine"
        await session.close()
        assert ["stream_options" in body for body in server.bodies] == [True, False, False]


async def test_a_server_that_does_not_stream_is_understood() -> None:
    body = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "whole"}, "finish_reason": "stop"}],
        "usage": {"total_tokens": 7},
    }
    async with CannedServer([Canned(json.dumps(body).encode(), kind="application/json; charset=utf-8")]) as server:
        listener = Listener()
        session = chat(server.server(), listener)
        events = await run(session, listener, "a")
        await session.close()
    assert said(events) == "whole"
    assert finished(events).usage == Usage(used=7, size=4096)


async def test_thoughts_and_reply_keep_their_order_and_pieces_their_size() -> None:
    long = "x" * (PIECE + 1)
    body = told('{"choices":[{"delta":{"reasoning":"hm"}}]}', message("a"), message("b"), message(long), "[DONE]")
    async with CannedServer([Canned(body)]) as server:
        listener = Listener()
        session = chat(server.server(), listener)
        events = await run(session, listener, "a")
        await session.close()
    assert events[0] == Thought("hm")
    assert said(events) == f"ab{long}"
    assert max(len(event.text) for event in events if isinstance(event, Said)) <= PIECE


async def test_a_reply_that_was_cut_by_the_model_says_so() -> None:
    async with CannedServer([Canned(told(message("half", "length"), "[DONE]"))]) as server:
        listener = Listener()
        session = chat(server.server(), listener)
        events = await run(session, listener, "a")
        await session.close()
    assert said(events) == "half"
    assert (finished(events).status, finished(events).cause) == ("error", "max_tokens")


async def test_a_server_that_does_not_hang_up_after_the_end_is_not_waited_for() -> None:
    async with CannedServer([Canned(told(message("fine"), "[DONE]"), stays=True)]) as server:
        listener = Listener()
        session = chat(server.server(), listener)
        assert said(await run(session, listener, "a")) == "fine"
        await session.close()


@pytest.mark.parametrize(
    "end", [told(message("", "stop")), told("[DONE]"), b"data: [DONE]"], ids=["stop", "done", "open"]
)
async def test_each_way_to_end_is_an_end(end: bytes) -> None:
    async with CannedServer([Canned(told(message("fine")) + end)]) as server:
        listener = Listener()
        session = chat(server.server(), listener)
        assert finished(await run(session, listener, "a")).status == "complete"
        await session.close()


PIECES = told(message("hel"), message("lo"))
STOP = told(message("", "stop"), "[DONE]")
FAULT = b'event: error\ndata: {"message":"over capacity"}\n\n'
CALL = told('{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f"}}]},"finish_reason":"tool_calls"}]}')
BROKEN = told(message("hel"), '{"choices":[{"delta":{"content":"xx', message("lo"))


@pytest.mark.parametrize(
    ("answer", "text", "status", "error"),
    [
        (Canned(b"\xef\xbb\xbf" + PIECES + STOP), "hello", "complete", ""),
        (Canned(PIECES.replace(b'"index":0,', b'"index":0,\ndata: ') + STOP), "hello", "complete", ""),
        (Canned(told(message("hi "), message("\\ud83d"), message("\\ude00")) + STOP), "hi 😀", "complete", ""),
        (Canned(PIECES + told('{"choices":[],"usage":{"total_tokens":3.0}}') + STOP), "hello", "complete", ""),
        (Canned(PIECES + b"event: ping\ndata: ping\n\n" + STOP), "hello", "complete", ""),
        (Canned(PIECES + FAULT), "hello", "error", "one: over capacity"),
        (Canned(CALL), "", "error", "the model called a tool (f)"),
        (Canned(PIECES + STOP, kind=JSON), "hello", "complete", ""),
        (Canned(b'{"choices":[{"message":{"content":"hello"}}]}', kind=SSE), "hello", "complete", ""),
        (Canned(b'{"choices":[{"text":"hello"}]}', kind=JSON), "hello", "complete", ""),
        (Canned(told('{"choices":[{"message":{"content":"hello"}}]}')), "hello", "complete", ""),
        (Canned(PIECES + STOP, kind="text/plain"), "hello", "complete", ""),
        (Canned(gzip.compress(PIECES + STOP), headers={"Content-Encoding": "gzip"}), "hello", "complete", ""),
        (Canned(PIECES + STOP, headers={"Content-Encoding": "br"}), "", "error", "one answers compressed"),
        (Canned(STOP), "", "error", ""),
        (Canned(b'{"message":"Unauthorized"}', kind=JSON), "", "error", "no chat completion: Unauthorized"),
        (Canned(b"<html><title>Log in</title>", kind="text/html"), "", "error", "no chat completion: Log in"),
        (Canned(PIECES, cut=True), "hello", "error", "one: the connection broke"),
        (Canned(PIECES + b"upstream reset\n"), "hello", "error", "one broke off in the middle, after what is no chat"),
    ],
    ids=["bom", "lines", "halves", "usage", "ping", "fault", "tool", "SSE as JSON", "JSON as SSE", "text", "whole",
         "plain", "gzip", "br", "nothing", "refusal in JSON", "page", "broken", "cut"],
)  # fmt: skip
async def test_text_that_came_is_told_and_what_follows_says_how_it_ended(
    answer: Canned, text: str, status: str, error: str
) -> None:
    async with CannedServer([answer]) as server:
        listener = Listener()
        session = chat(server.server(), listener)
        events = await run(session, listener, "a")
        await session.close()
    assert said(events) == text
    assert finished(events).status == status
    assert error in finished(events).error
    assert (finished(events).cause != "") == (status == "error" and (bool(text) or not error or "tool" in error))


async def test_a_piece_that_could_not_be_read_is_told_and_the_rest_is_said() -> None:
    async with CannedServer(
        [Canned(told(message("hel"), '{"choices":[{"delta":{"content":"xx', message("lo")) + STOP)]
    ) as server:
        listener = Listener()
        session = chat(server.server(), listener)
        events = await run(session, listener, "a")
        await session.close()
    assert said(events) == "hello"
    [note] = [event.note for event in events if isinstance(event, Described)]
    assert note.startswith("one sent a piece that could not be read: ")
    assert finished(events).status == "complete"


async def test_a_reply_that_was_cut_is_sent_with_the_next_prompt() -> None:
    async with CannedServer([Canned(told(message("half", "length"), "[DONE]")), OK]) as server:
        listener = Listener()
        session = chat(server.server(), listener)
        await run(session, listener, "a")
        await run(session, listener, "go on")
        await session.close()
        assert sent(server) == ["a", "half", "go on"]


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Canned(told(message("a"), '{"error":{"message":"out of\\nmemory"}}')), "one: out of memory"),
        (Canned(told(message("a"))), "one broke off in the middle"),
        (Canned(b""), "one broke off in the middle"),
        (Canned(told(message("a"), "nonsense")), "no chat completion"),
        (Canned(b"", 401), "one refuses the key, or wants one"),
        (Canned(b'{"detail":"no account"}', 403, JSON), "one refuses the key, or wants one: no account"),
        (Canned(b'{"error":{"message":"20 a minute"}}', 429, JSON), "one has no time for us now (429): 20 a minute"),
        (Canned(b"Bad \x1b[1mgateway", 502, "text/plain"), "one answered with HTTP status 502: Bad [1mgateway"),
        (Canned(b"<title>Sorry</title>" + b"x" * 5_000_000, 503, "text/html"), "HTTP status 503: Sorry"),
        (Canned(b'{"title":"Full","detail":"come back"}', 500, "application/problem+json"), "one: come back"),
        (Canned(b'{"error":{"message":"no model x"}}', 404, JSON), "one: no model x"),
        (Canned(b"<html>", 502, "text/html"), "one answered with HTTP status 502"),
        (Canned(b"", 429), "one has no time for us now"),
        (Canned(b"", 307, headers={"Location": "/v1/models"}), "one sends us elsewhere"),
        (Canned(b'{"error":"\xff', 500, JSON), "one answered with HTTP status 500"),
    ],
)
async def test_what_goes_wrong_is_told_in_one_line_and_the_next_turn_runs(answer: Canned, words: str) -> None:
    async with CannedServer([answer, OK]) as server:
        listener = Listener()
        session = chat(server.server(), listener)
        end = finished(await run(session, listener, "a"))
        assert end.status == "error"
        assert words in end.error
        assert "\n" not in end.error
        assert said(await run(session, listener, "b")) == "fine"
        assert sent(server) == ["b"]
        await session.close()


async def test_what_was_said_before_an_error_in_the_stream_is_told() -> None:
    async with CannedServer([Canned(told(message("so far"), '{"error":"gone"}'))]) as server:
        listener = Listener()
        session = chat(server.server(), listener)
        assert said(await run(session, listener, "a")) == "so far"
        await session.close()


async def test_a_server_that_is_gone_is_told_without_its_address() -> None:
    async with CannedServer([OK]) as server:
        listener = Listener()
        session = chat(server.server(), listener)
    error = finished(await run(session, listener, "a")).error
    assert error.startswith("one does not answer: connection refused: start it")
    assert "127.0.0.1" not in error
    await session.close()


async def test_a_server_that_stays_silent_is_told() -> None:
    async def never(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent.append(writer)

    silent: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(never, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        listener = Listener()
        session = chat(ServerClient(ServerAddress(name="one", url=url), {}, silence=0.05), listener)
        assert "one said nothing for 0.05 s" in finished(await run(session, listener, "a")).error
        spot = ServerSpot(KNOWN[0], url.removesuffix("/v1"), url)
        assert await probe(spot, 0.05) is None
        await session.close()
        for writer in silent:
            writer.close()
            await writer.wait_closed()


async def test_starting_says_what_is_wrong_before_a_session_is_there() -> None:
    async with CannedServer([OK], pages={"/v1/models": Canned(b"", 401)}) as server:
        url = server.url
        with pytest.raises(BackendFailed, match="refuses the key"):
            await start(url, Listener())
        server.pages = {"/v1/models": Canned(b'{"object":"list","data":[]}', kind=JSON)}
        with pytest.raises(BackendFailed, match="one has no model"):
            await start(url, Listener())
        server.pages = {}
        with pytest.raises(BackendFailed, match="does not list its models") as told_:
            await start(url, Listener())
        assert "set model" in told_.value.hint
        backend = await start(url, Listener(), model="m")  # which one is known then
        await backend.close()
    with pytest.raises(BackendFailed, match="connection refused"):
        await start(url, Listener(), model="m")
    with pytest.raises(BackendFailed, match="not set for the service"):
        await start(url, Listener(), key_env="NO_SUCH_KEY")


async def test_what_is_wrong_is_seen_in_the_list() -> None:
    def kind(url: str, key_env: str = "") -> ConfiguredChat:
        return ConfiguredChat("one", BackendConfig(kind="openai", url=url, key_env=key_env), {}, seconds=20.0)

    async with ModelServer(models=("m", "n")) as server:
        seen = await kind(server.url).inspect()
        assert (seen.detail, seen.missing) == (f"{server.url}/v1: m, n", "")
    gone = await kind(server.url).inspect()
    assert gone.missing == "one does not answer: connection refused"
    assert gone.hint
    assert kind(server.url).missing() == ""
    assert "not an address" in kind("nonsense").missing()
    assert "not an address" in (await kind("nonsense").inspect()).missing
    assert "not set" in (await kind("https://x.invalid", key_env="NONE").inspect()).missing  # and nobody is asked


# --- the key ---------------------------------------------------------------------------------------------------------


async def test_a_key_goes_to_its_server_and_into_no_error() -> None:
    fault = f'{{"error":{{"message":"Incorrect API key provided: {KEY}."}}}}'.encode()
    async with CannedServer([Canned(fault, 400, JSON)], pages={"/v1/models": Canned(b"{}", kind=JSON)}) as server:
        listener = Listener()
        backend = await start(server.url, listener, {"K": KEY}, model="m", key_env="K")
        error = finished(await run(backend, listener, "a")).error
        await backend.close()
        assert {head["Authorization"] for head in server.heads} == {f"Bearer {KEY}"}
    assert KEY not in error
    assert "Incorrect API key provided: …." in error


async def test_without_a_key_none_is_sent() -> None:
    async with CannedServer([OK]) as server:
        listener = Listener()
        session = chat(server.server({"OPENAI_API_KEY": KEY}), listener)
        await run(session, listener, "a")
        await session.close()
        assert "Authorization" not in server.heads[0]


# --- options ---------------------------------------------------------------------------------------------------------


async def test_another_model_may_be_chosen_for_the_next_turn() -> None:
    async with CannedServer([OK]) as server:
        listener = Listener()
        session = chat(server.server(), listener)
        assert isinstance(session, HasOptions)
        await session.begin()
        first = await listener.next()
        assert isinstance(first, Described)
        assert first.options is not None
        [option] = first.options
        assert (option.id, option.value, [each.id for each in option.choices]) == ("model", "m", ["m", "n"])
        await session.choose("model", "n")
        second = await listener.next()
        assert isinstance(second, Described)
        assert second.model == "n"
        await run(session, listener, "a")
        assert server.bodies[-1]["model"] == "n"
        for wrong in (("model", "other"), ("mode", "m")):
            with pytest.raises(BadParams):
                await session.choose(*wrong)
        await session.close()


async def test_a_model_that_is_a_file_is_told_by_its_name_and_asked_by_its_path() -> None:
    # llama.cpp; the path of a home is nothing for other devices.
    path = "/home/ada/models/Qwen3-4B.gguf"
    async with ModelServer("llama.cpp", models=(path,)) as server:
        listener = Listener()
        kind = ConfiguredChat("one", BackendConfig(kind="openai", url=server.url, model=path), {})
        assert kind.description == "chat with Qwen3-4B.gguf"
        backend = await kind.start(Start(session=SessionId("one"), model="Qwen3-4B.gguf"), listener.emit)
        described = await listener.next()
        assert isinstance(described, Described)
        assert described.model == "Qwen3-4B.gguf"
        assert "ada" not in repr(described)
        await run(backend, listener, "a")
        await backend.close()
        assert server.turns[-1].ask is not None
        assert server.turns[-1].ask.model == path
    async with CannedServer([Canned(f'{{"error":{{"message":"cannot load {path}"}}}}'.encode(), 500, JSON)]) as broken:
        session = ChatSession(broken.server(), listener.emit, Conversation(9), model="q", models={"q": path}, context=0)
        assert finished(await run(session, listener, "a")).error.startswith("one: cannot load q:")
        await session.close()


async def test_a_model_of_the_settings_that_is_not_listed_is_offered_too() -> None:
    async with ModelServer(models=("m",)) as server:
        listener = Listener()
        kind = ConfiguredChat("one", BackendConfig(kind="openai", url=server.url, model="hidden"), {})
        backend = await kind.start(Start(session=SessionId("one"), model="gone"), listener.emit)
        described = await listener.next()
        assert isinstance(described, Described)
        assert described.options is not None
        assert (described.model, [each.id for each in described.options[0].choices]) == ("hidden", ["hidden", "m"])
        await backend.close()


# --- ends ------------------------------------------------------------------------------------------------------------


async def test_closing_from_within_emit_is_no_deadlock_and_the_server_is_told() -> None:
    async with ModelServer(models=("m",)) as server:
        sessions: list[ChatSession] = []
        heard: list[BackendEvent] = []

        async def emit(event: BackendEvent) -> None:
            heard.append(event)
            await sessions[0].close()

        address = ServerAddress(name="one", url=f"{server.url}/v1")
        sessions.append(
            ChatSession(ServerClient(address, {}), emit, Conversation(1000), model="m", models={"m": "m"}, context=0)
        )
        await sessions[0].prompt("model: say 1\nmodel: wait for ever")
        async with asyncio.timeout(20):
            await server.until(lambda seen: seen.turns[0].outcome == "hung up" if seen.turns else False)
        await sessions[0].close()
    assert heard == [Said("piece 1 ")]


async def test_an_interrupt_acts_while_the_store_is_behind() -> None:
    async with ModelServer(models=("m",)) as server:
        listener = Listener(room=1)
        address = ServerAddress(name="one", url=f"{server.url}/v1")
        session = chat(ServerClient(address, {}), listener)
        await session.prompt("model: say 3\nmodel: wait a\nmodel: say 3\nmodel: wait for ever")
        await server.until(lambda seen: bool(seen.turns and seen.turns[0].said))
        while listener.silent():
            await settle()
        server.release("a")  # more than there is room for
        await server.until(lambda seen: seen.turns[0].said.count("piece") == 6)
        await session.interrupt()
        await server.until(lambda seen: seen.turns[0].outcome == "hung up")  # though nobody has listened yet
        assert finished(await listener.turn()).status == "interrupted"
        await session.close()


async def test_a_turn_ends_once() -> None:
    async with CannedServer([OK]) as server:
        listener = Listener()
        session = chat(server.server(), listener)
        events = await run(session, listener, "a")
        await session.interrupt()
        await settle()
        assert listener.silent()
        assert [event for event in events if isinstance(event, Finished)] == events[-1:]
        await session.close()
