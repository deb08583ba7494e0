"""The model server keeps what its description promises: tests of agents rest on it."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientPayloadError, ClientResponse, ClientSession

from tests.fakes.clock import FakeClock
from tests.models import SHAPES, ModelProcess, ModelServer
from tests.models.script import TITLE

Row = dict[str, Any]

DIALECTS = ("chat", "responses", "gemini")
SHELL: Row = {"name": "shell", "parameters": {"type": "object", "properties": {"command": {"type": "string"}}}}


@pytest.fixture
async def client() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


def request(dialect: str, *turns: tuple[str, str], stream: bool = True, tools: tuple[Row, ...] = ()) -> tuple[str, Row]:
    """Path and body of a request; roles are `user` and `tool`."""
    if dialect == "chat":
        functions = [{"type": "function", "function": tool} for tool in tools]
        messages = [{"role": role, "content": text} for role, text in turns]
        return "/v1/chat/completions", {"model": "fake", "stream": stream, "messages": messages, "tools": functions}
    if dialect == "responses":
        items = [
            {"type": "function_call_output", "call_id": "1", "output": text}
            if role == "tool"
            else {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}
            for role, text in turns
        ]
        functions = [{"type": "function", **tool} for tool in tools]
        return "/v1/responses", {"model": "fake", "stream": stream, "input": items, "tools": functions}
    contents = [
        {"role": "user", "parts": [{"functionResponse": {"name": "shell", "response": {"output": text}}}]}
        if role == "tool"
        else {"role": role, "parts": [{"text": text}]}
        for role, text in turns
    ]
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/v1beta/models/fake:{verb}", {"contents": contents, "tools": [{"functionDeclarations": list(tools)}]}


def events(data: bytes) -> list[Row]:
    lines = [line.removeprefix("data: ") for line in data.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def texts(dialect: str, told: list[Row]) -> list[str]:
    """The pieces of text in a streamed answer, thoughts left out."""
    if dialect == "chat":
        found = [choice["delta"].get("content") for each in told for choice in each["choices"]]
    elif dialect == "responses":
        found = [each["delta"] for each in told if each["type"] == "response.output_text.delta"]
    else:
        parts = [part for each in told for part in each["candidates"][0]["content"]["parts"]]
        found = [part.get("text") for part in parts if not part.get("thought")]
    return [text for text in found if text]


async def post(client: ClientSession, models: ModelServer, asked: tuple[str, Row]) -> ClientResponse:
    path, body = asked
    return await client.post(models.url + path, json=body)


async def say(
    client: ClientSession, models: ModelServer, dialect: str, *turns: tuple[str, str], **more: Any
) -> list[str]:
    response = await post(client, models, request(dialect, *turns, **more))
    assert response.status == 200
    return texts(dialect, events(await response.read()))


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_every_piece_is_an_event_of_its_own(client: ClientSession, dialect: str) -> None:
    async with ModelServer() as models:
        assert await say(client, models, dialect, ("user", "model: say 3")) == ["piece 1 ", "piece 2 ", "piece 3 "]
        given = ' Grüße,\n  "zwei"  Zeilen \n'
        pieces = await say(client, models, dialect, ("user", f"model: think 2\nmodel: text {json.dumps(given)}"))
        assert len(pieces) > 1
        assert "".join(pieces) == given
        first, second = models.turns
        assert (first.outcome, second.said, second.thought) == ("done", given, "thought 1 thought 2 ")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_answer_that_is_not_streamed_says_the_same(client: ClientSession, dialect: str) -> None:
    async with ModelServer() as models:
        response = await post(client, models, request(dialect, ("user", "model: say 2"), stream=False))
        whole = await response.json()
    if dialect == "chat":
        assert whole["choices"][0]["message"]["content"] == "piece 1 piece 2 "
    elif dialect == "responses":
        assert whole["output"][0]["content"][0]["text"] == "piece 1 piece 2 "
    else:
        assert [part["text"] for part in whole["candidates"][0]["content"]["parts"]] == ["piece 1 ", "piece 2 "]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_tool_ends_the_reply_and_its_result_resumes_the_script(client: ClientSession, dialect: str) -> None:
    prompt = ("user", "model: say 1\nmodel: tool ls -l\nmodel: say 2")
    async with ModelServer() as models:
        response = await post(client, models, request(dialect, prompt, tools=(SHELL,)))
        told = events(await response.read())
        assert texts(dialect, told) == ["piece 1 "]
        assert "".join(_arguments(dialect, told)) == '{"command": "ls -l"}'
        said = await say(client, models, dialect, prompt, ("tool", "total 0"), tools=(SHELL,))
        assert "".join(said) == "tool said: total 0piece 1 piece 2 "


def _arguments(dialect: str, told: list[Row]) -> list[str]:
    if dialect == "chat":
        calls = [call for each in told for c in each["choices"] for call in c["delta"].get("tool_calls", ())]
        return [call["function"]["arguments"] for call in calls]
    if dialect == "responses":
        done = [each["item"] for each in told if each["type"] == "response.output_item.done"]
        return [item["arguments"] for item in done if item["type"] == "function_call"]
    parts = [part for each in told for part in each["candidates"][0]["content"]["parts"]]
    return [json.dumps(part["functionCall"]["args"]) for part in parts if "functionCall" in part]


async def test_a_prompt_without_steps_is_told_back(client: ClientSession) -> None:
    async with ModelServer() as models:
        assert await say(client, models, "chat", ("user", "model: say 9"), ("user", "hello")) == ["heard: hello"]


async def test_only_the_last_paragraph_of_steps_counts(client: ClientSession) -> None:
    async with ModelServer() as models:
        merged = "model: error 500\n\nmodel: say 1\n\n<context>"
        assert await say(client, models, "chat", ("user", merged), ("user", "<more>")) == ["piece 1 "]


async def test_a_question_for_a_title_is_no_turn(client: ClientSession) -> None:
    async with ModelServer() as models:
        system = ("system", "Give this conversation a title.")
        assert await say(client, models, "chat", system, ("user", "model: error 500")) == [TITLE]
        assert len(models.requests) == 1
        assert models.turns == []


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_error_is_an_http_status(client: ClientSession, dialect: str) -> None:
    async with ModelServer() as models:
        response = await post(client, models, request(dialect, ("user", "model: error 503")))
        assert response.status == 503
        assert "message" in (await response.json())["error"]
        assert models.turns[0].outcome == "refused"


async def test_waiting_ends_with_the_release(client: ClientSession) -> None:
    async with ModelServer() as models, asyncio.TaskGroup() as group:
        prompt = ("user", "model: say 1\nmodel: wait gate\nmodel: text after")
        asking = group.create_task(say(client, models, "chat", prompt))
        await models.until(lambda m: bool(m.turns) and m.turns[0].said == "piece 1 ")
        assert not asking.done()
        models.release("gate")
        assert await asking == ["piece 1 ", "after"]


async def test_slow_pieces_come_with_the_clock(client: ClientSession) -> None:
    clock = FakeClock()
    async with ModelServer(clock=clock) as models:
        response = await post(client, models, request("chat", ("user", "model: slow 2 0.5")))
        await clock.advance(0.4)
        assert models.turns[0].said == ""
        await clock.advance(0.1)
        assert models.turns[0].said == "piece 1 "
        await clock.advance(0.5)
        assert texts("chat", events(await response.read())) == ["piece 1 ", "piece 2 "]


async def test_a_client_that_leaves_is_noted(client: ClientSession) -> None:
    async with ModelServer() as models:
        response = await post(client, models, request("chat", ("user", "model: wait for ever")))
        response.close()
        await models.until(lambda m: m.turns[0].outcome == "hung up")


async def test_a_cut_breaks_the_stream(client: ClientSession) -> None:
    async with ModelServer() as models:
        response = await post(client, models, request("chat", ("user", "model: say 1\nmodel: cut")))
        with pytest.raises(ClientPayloadError):
            await response.read()
        assert models.turns[0].outcome == "cut"


async def test_known_servers_are_told_apart_by_their_pages(client: ClientSession) -> None:
    pages = ("/api/version", "/api/tags", "/props", "/v1/models", "/api/v0/models", "/version")
    answered: dict[str, set[str]] = {}
    for shape in SHAPES:
        async with ModelServer(shape, ("small", "large")) as models:
            answers = {page: await client.get(models.url + page) for page in pages}
            # One of them answers 200 to everything: what counts is that an answer is no complaint.
            answered[shape] = {
                page
                for page, answer in answers.items()
                if answer.status == 200
                and answer.content_type == "application/json"
                and "error" not in await answer.json()
            }
            if "/v1/models" in answered[shape]:
                listed = (await answers["/v1/models"].json())["data"]
                assert [row["id"] for row in listed] == ["small", "large"]
    assert answered == {
        "openai": {"/v1/models"},
        "ollama": {"/api/version", "/api/tags", "/v1/models"},
        "lm-studio": {"/v1/models", "/api/v0/models"},
        "llama.cpp": {"/props", "/v1/models"},
        "vllm": {"/v1/models", "/version"},
        "stranger": set(),
    }


def test_as_a_program_it_takes_commands_and_tells_its_requests() -> None:
    with ModelProcess() as models:
        models.release("gate")
        path, body = request("chat", ("user", "model: wait gate\nmodel: say 1"))
        asked = urllib.request.Request(
            models.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert texts("chat", events(answer.read())) == ["piece 1 "]
        models.wait_for(lambda rows: [row["outcome"] for row in rows] == ["done"])
        assert models.turns[0]["script"] == ["wait gate", "say 1"]
    assert models.status == 0
