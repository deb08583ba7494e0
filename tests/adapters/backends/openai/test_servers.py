"""Servers of models on this machine: found by their exact answers, asked seldom, told nothing."""

from __future__ import annotations

import json

import pytest

from agent.adapters.backends.openai.client import PROBE_MAX, probe
from agent.adapters.backends.openai.family import PROBE_EVERY, FoundChat, OpenAIFamily
from agent.adapters.backends.openai.servers import KNOWN, KnownServer, SeenServer, ServerSpot, listed, models_of, spots
from agent.errors import BackendFailed
from agent.ports import BackendConfig, Start
from agent.protocol.model import SessionId
from tests.adapters.backends.openai.canned import JSON, Canned, CannedServer
from tests.fakes.listener import Listener, run, said
from tests.models import SHAPES, ModelServer

BY_NAME = {known.name: known for known in KNOWN}
MODELS = ("llama3.2:3b", "nomic-embed-text", "qwen3")
LIST_ONLY = {"lm-studio", "jan", "localai"}
"""Servers that have no more of their own than a list of models."""


PATIENCE = 20.0
"""Seconds: a loaded machine must not fail a test."""


async def seen_at(spot: ServerSpot) -> SeenServer | None:
    return await probe(spot, PATIENCE)


def at(url: str, known: KnownServer) -> ServerSpot:
    return ServerSpot(known, url, f"{url}/v1")


@pytest.mark.parametrize("shape", ["ollama", "lm-studio", "llama.cpp", "vllm"])
async def test_each_server_is_known_by_its_answers(shape: str) -> None:
    async with ModelServer(shape, models=MODELS) as server:
        seen = await seen_at(at(server.url, BY_NAME[shape]))
    assert seen is not None
    assert seen.models == ("llama3.2:3b", "qwen3")  # what does not chat is not offered
    assert seen.version == ("0.12.6" if shape == "ollama" else "")
    assert seen.context == {"llama.cpp": 4096, "vllm": 32_768}.get(shape, 0)


@pytest.mark.parametrize("shape", SHAPES)
async def test_no_server_is_taken_for_another_one(shape: str) -> None:
    async with ModelServer(shape, models=MODELS) as server:
        taken = {known.name for known in KNOWN if await seen_at(at(server.url, known)) is not None}
    assert taken - LIST_ONLY == ({shape} if shape in BY_NAME and shape != "lm-studio" else set())
    if shape == "llama.cpp":
        assert "localai" not in taken  # the two share a port


async def test_koboldcpp_is_known_by_its_answers() -> None:
    pages = {
        "/api/extra/version": Canned(b'{"result":"KoboldCpp","version":"1.99","protected":false}', kind=JSON),
        "/v1/models": Canned(
            b'{"object":"list","data":[{"id":"koboldcpp/x","object":"model","owned_by":"koboldcpp"}]}', kind=JSON
        ),
    }
    async with CannedServer(pages=pages) as server:
        seen = await seen_at(at(server.url, BY_NAME["koboldcpp"]))
    assert seen is not None
    assert (seen.models, seen.version) == (("koboldcpp/x",), "1.99")


@pytest.mark.parametrize(
    "page",
    [
        b"", b"[]", b"null", b"\xff", b'{"data":[]}', b'{"object":"list","data":[{"id":"x"}]}',
        b'{"object":"list","data":[{"id":1,"object":"model"}]}', b'{"object":"list","data":{}}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_another_shape_is_no_list(page: bytes) -> None:
    assert listed(page) is None


def test_a_list_may_be_empty() -> None:
    seen = listed(b'{"object":"list","data":[]}')
    assert seen is not None
    assert seen.models == ()


@pytest.mark.parametrize(
    "answer",
    [
        Canned(b'{"version":"1"}', 404, JSON),
        Canned(b"", 302, headers={"Location": "/v1/models"}),
        Canned(b'{"version":"' + b"x" * PROBE_MAX + b'"}', kind=JSON),
        Canned(b"{", kind=JSON, cut=True),
    ],
    ids=["missing", "elsewhere", "endless", "cut"],
)
async def test_an_odd_answer_is_nobody(answer: Canned) -> None:
    async with CannedServer(pages={"/api/version": answer}) as server:
        assert await seen_at(at(server.url, BY_NAME["ollama"])) is None
        assert server.paths == ["/api/version"]  # nor is a redirect followed


async def test_nobody_at_the_port_is_nobody() -> None:
    async with ModelServer("ollama") as server:
        spot = at(server.url, BY_NAME["ollama"])
    assert await seen_at(spot) is None


async def test_a_guessed_port_gets_no_key_no_body_and_no_more_than_get() -> None:
    async with ModelServer("llama.cpp") as server:
        await seen_at(at(server.url, BY_NAME["llama.cpp"]))
        heads = [heard.headers for heard in server.requests]
        assert {heard.method for heard in server.requests} == {"GET"}
    assert [name for head in heads for name in head if name.lower() in {"authorization", "cookie", "referer"}] == []


class Watch:
    """Monotonic seconds, moved by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_port_is_asked_once_a_minute_for_lists() -> None:
    watch = Watch()
    async with ModelServer("ollama", models=MODELS) as server:
        found = FoundChat(at(server.url, BY_NAME["ollama"]), watch, seconds=PATIENCE)
        for _ in range(3):
            inspection = await found.inspect()
        assert len(server.requests) == 2  # its two pages, once
        watch.now += PROBE_EVERY
        await found.inspect()
        assert len(server.requests) == 4
    assert inspection.missing == ""
    assert inspection.detail == f"0.12.6 at {server.url}: llama3.2:3b, qwen3"


async def test_who_asks_for_it_by_name_is_not_told_what_was_a_minute_ago() -> None:
    watch = Watch()
    async with ModelServer("ollama", models=("qwen3",)) as gone:
        port, url = gone.port, gone.url
    found = FoundChat(at(url, BY_NAME["ollama"]), watch, seconds=PATIENCE)
    inspection = await found.inspect()
    assert inspection.missing == f"no Ollama at {url}"
    assert "ollama.com" in inspection.hint
    with pytest.raises(BackendFailed, match="Ollama does not answer on this device") as told:
        await found.start(Start(session=SessionId("one")), Listener().emit)
    assert "ollama serve" in told.value.hint
    async with ModelServer("ollama", models=("qwen3",), port=port):
        assert (await found.inspect()).missing  # in lists, a minute ago is good enough
        listener = Listener()
        backend = await found.start(Start(session=SessionId("one")), listener.emit)
        await listener.next()
        assert said(await run(backend, listener, "model: text hello")) == "hello"
        await backend.close()


async def test_a_server_without_a_model_is_there_and_no_use() -> None:
    async with ModelServer("ollama", models=()) as server:
        found = FoundChat(at(server.url, BY_NAME["ollama"]), seconds=PATIENCE)
        inspection = await found.inspect()
        with pytest.raises(BackendFailed, match="Ollama has no model"):
            await found.start(Start(session=SessionId("one")), Listener().emit)
    assert inspection.missing == f"Ollama is at {server.url} and has no model"


# --- where to look ---------------------------------------------------------------------------------------------------


def roots(environ: dict[str, str]) -> dict[str, str]:
    return {spot.known.name: spot.root for spot in spots(environ)}


def test_each_is_looked_for_at_its_own_port_of_this_machine() -> None:
    assert roots({}) == {known.name: f"http://127.0.0.1:{known.port}" for known in KNOWN}


@pytest.mark.parametrize(
    ("host", "root"),
    [
        ("127.0.0.1:9999", "http://127.0.0.1:9999"),
        ("localhost", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("http://127.0.0.1", "http://127.0.0.1:80"),
        ('"127.0.0.2:1"', "http://127.0.0.2:1"),
        ("[::1]:9", "http://[::1]:9"),
        ("", "http://127.0.0.1:11434"),
        # Elsewhere is not guessed, nor is what is no address.
        ("192.168.7.9", "http://127.0.0.1:11434"),
        ("ollama.example.net:11434", "http://127.0.0.1:11434"),
        ("https://127.0.0.1", "http://127.0.0.1:11434"),
        ("127.0.0.1:x", "http://127.0.0.1:11434"),
        ("[::1", "http://127.0.0.1:11434"),
    ],
)
def test_ollama_is_looked_for_where_it_says_if_that_is_this_machine(host: str, root: str) -> None:
    assert roots({"OLLAMA_HOST": host})["ollama"] == root


def test_a_base_url_of_the_environment_counts_only_on_this_machine() -> None:
    assert roots({"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})["openai"] == "http://127.0.0.1:9/v1"
    for url in ("https://api.openai.com/v1", "http://10.0.0.1/v1", "nonsense", "http://me:key@127.0.0.1:9/v1"):
        assert "openai" not in roots({"OPENAI_BASE_URL": url})


async def test_a_base_url_of_the_environment_is_asked_without_the_key_of_the_environment() -> None:
    async with ModelServer("openai", models=("m",)) as server:
        environ = {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": "sk-secret"}
        assert "openai" in {member.name for member in OpenAIFamily(environ).members({})}
        [found] = [FoundChat(spot, seconds=PATIENCE) for spot in spots(environ) if spot.known.name == "openai"]
        listener = Listener()
        backend = await found.start(Start(session=SessionId("one")), listener.emit)
        await listener.next()
        await run(backend, listener, "model: say 1")
        await backend.close()
        assert "sk-secret" not in json.dumps([heard.headers for heard in server.requests])


def test_what_the_settings_name_takes_the_place_of_what_is_found() -> None:
    named = BackendConfig(kind="openai", url="http://127.0.0.1:1", description="my own")
    members = OpenAIFamily({}).members({"ollama": named, "other": named})
    assert [member.name for member in members[:2]] == ["ollama", "other"]
    assert sorted(member.name for member in members) == sorted({*BY_NAME, "other"})
    assert members[0].description == "my own"


@pytest.mark.parametrize(
    ("page", "models"),
    [
        (b'{"object":"list","data":[{"id":"a","object":"model"},{"id":"b"}]}', ("a", "b")),
        (b'[{"id":"a"},{"name":"b"},"c"]', ("a", "b", "c")),
        (b'{"models":[{"model":"a","name":"A"},{"name":"b"}]}', ("a", "b")),
        (b'{"data":[{"id":3},{"id":null},{"object":"model"},null,{"id":"a","max_model_len":"x"}]}', ("3", "a")),
        (b'{"data":{"id":"a"}}', ("a",)),
        (b'\xef\xbb\xbf{"data":[{"id":"a\xff"}]}', ("a\ufffd",)),
        (b'{"data":[]}', ()),
        (b"[]", ()),
        (b'{"data":[{"id":"text-embed"},{"id":"a"}]}', ("a",)),
    ],
)
def test_a_server_that_the_settings_name_may_list_its_models_in_any_way(page: bytes, models: tuple[str, ...]) -> None:
    seen = models_of(page)
    assert seen is not None
    assert seen.models == models


def test_what_a_model_is_is_told_where_the_server_tells_it() -> None:
    page = b"""{"data":[{"id":"deepseek/v3","name":"DeepSeek: V3","description":"Large","context_length":1},
                        {"id":"a","name":"a","description":null},{"id":"b","description":"Small"}]}"""
    seen = models_of(page)
    assert seen is not None
    assert seen.about == {"deepseek/v3": "DeepSeek: V3: Large", "b": "Small"}


@pytest.mark.parametrize("page", [b"", b"{}", b"null", b'{"data":null}', b'{"error":"no"}', b"<html>", b"[" * 100_000])
def test_what_is_no_list_of_models_is_none(page: bytes) -> None:
    assert models_of(page) is None


def test_what_does_not_tell_whose_list_it_is_may_be_anything() -> None:
    page = b'{"object":"list","data":[{"id":"a","object":"model","owned_by":"vllm","max_model_len":4096.0,"meta":3}]}'
    assert listed(page, owner="vllm") == SeenServer(("a",), context=4096)
    odd = b'{"object":"list","data":[{"id":"a","object":"model","owned_by":[],"max_model_len":"?"}]}'
    assert listed(odd) == SeenServer(("a",))
    assert listed(odd, owner="vllm") is None
