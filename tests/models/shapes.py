"""How known servers on loopback answer to those who look for a local model, and one that is no model at all.

Sources: docs.ollama.com/api (version, tags), lmstudio.ai/docs (OpenAI compatibility, REST API v0), llama.cpp
tools/server/README.md (`/props`, `/v1/models`, `/health`), docs.vllm.ai (OpenAI-compatible server). Shortened where
an answer is long (the chat template, sampling settings).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.models.asks import Body
from tests.models.replies import CREATED


@dataclass(frozen=True)
class Shape:
    """Answers to GET by path. `thought_key` is the field of a chat delta in which thoughts arrive."""

    name: str
    pages: dict[str, Body | str] = field(default_factory=dict)
    thought_key: str = "reasoning_content"
    chats: bool = True
    elsewhere: tuple[int, Body | str] = (404, {"error": {"message": "not found", "type": "invalid_request_error"}})


def _listed(models: tuple[str, ...], owner: str, **more: object) -> Body:
    return {
        "object": "list",
        "data": [{"id": each, "object": "model", "created": CREATED, "owned_by": owner, **more} for each in models],
    }


def _openai(models: tuple[str, ...]) -> Shape:
    return Shape("openai", {"/v1/models": _listed(models, "tests")})


def _ollama(models: tuple[str, ...]) -> Shape:
    details = {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "3.2B",
        "quantization_level": "Q4_K_M",
    }
    tags = [
        {
            "name": each,
            "model": each,
            "modified_at": "2026-10-03T23:34:03.409490317-07:00",
            "size": 2_019_393_189,
            "digest": "a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72",
            "details": details,
        }
        for each in models
    ]
    pages: dict[str, Body | str] = {
        "/": "Ollama is running",
        "/api/version": {"version": "0.12.6"},
        "/api/tags": {"models": tags},
        "/v1/models": _listed(models, "library"),
    }
    return Shape("ollama", pages, thought_key="reasoning", elsewhere=(404, "404 page not found"))


def _lm_studio(models: tuple[str, ...]) -> Shape:
    rows = [
        {
            "id": each,
            "object": "model",
            "type": "llm",
            "publisher": "lmstudio-community",
            "arch": "llama",
            "compatibility_type": "gguf",
            "quantization": "Q4_K_M",
            "state": "not-loaded",
            "max_context_length": 131_072,
        }
        for each in models
    ]
    listed = {
        "object": "list",
        "data": [{"id": m, "object": "model", "owned_by": "organization_owner"} for m in models],
    }
    pages: dict[str, Body | str] = {"/v1/models": listed, "/api/v0/models": {"object": "list", "data": rows}}
    # It answers 200 to whatever it does not know.
    return Shape("lm-studio", pages, elsewhere=(200, {"error": "Unexpected endpoint or method. Returning 200 anyway"}))


def _llama_cpp(models: tuple[str, ...]) -> Shape:
    meta = {"vocab_type": 2, "n_vocab": 128_256, "n_ctx_train": 131_072, "n_embd": 4096, "n_params": 8_030_261_312,
            "size": 4_912_898_304}  # fmt: skip
    props: Body = {
        "default_generation_settings": {"id": 0, "n_ctx": 4096, "is_processing": False, "params": {"temperature": 0.8}},
        "total_slots": 1,
        "model_path": f"/models/{models[0] if models else ''}",
        "modalities": {"vision": False, "audio": False},
        "chat_template": "{{ messages }}",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "build_info": "b8681-Debian",
    }
    pages: dict[str, Body | str] = {
        "/health": {"status": "ok"},
        "/props": props,
        "/v1/models": _listed(models, "llamacpp", meta=meta),
    }
    missing: Body = {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}
    return Shape("llama.cpp", pages, elsewhere=(404, missing))


def _vllm(models: tuple[str, ...]) -> Shape:
    pages: dict[str, Body | str] = {
        "/health": "",
        "/version": {"version": "0.11.0"},
        "/v1/models": _listed(models, "vllm", parent=None, max_model_len=32_768),
    }
    return Shape("vllm", pages, elsewhere=(404, {"detail": "Not Found"}))


def _stranger(models: tuple[str, ...]) -> Shape:
    return Shape("stranger", chats=False, elsewhere=(200, "<!doctype html><title>Photos</title>"))


SHAPES: dict[str, Callable[[tuple[str, ...]], Shape]] = {
    "openai": _openai,
    "ollama": _ollama,
    "lm-studio": _lm_studio,
    "llama.cpp": _llama_cpp,
    "vllm": _vllm,
    "stranger": _stranger,
}
"""Name -> the shape for a list of models. `stranger` is some web program that happens to use the port."""
