"""Programs that serve models on this machine: where each listens by default, and how it is told from all others.

Any program may have such a port. So an answer counts only if it has exactly the shape of that server's, and nothing but
GET is sent, without a key. Sources: the documents of each; docs/design/backends.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

import msgspec
from msgspec import Raw, Struct

from agent.adapters.backends.openai.address import base_of, is_loopback, parsed
from agent.protocol.bounds import Many, Whole, Words
from agent.protocol.lenient import read

T = TypeVar("T")
NO_TALKERS = ("embed", "rerank", "whisper", "tts", "clip")
"""In names of models that do not chat."""


ABOUT_MAX = 1024
"""Characters of what a model is."""


class SeenServer(Struct, frozen=True):
    """A server that answered as itself. `context`: tokens that its model takes, 0: not told."""

    models: tuple[str, ...]
    version: Words = ""
    context: Whole = 0
    about: dict[str, str] = {}  # model -> what it is, as far as the server tells


def name_of(model: str) -> str:
    """The name of a model where other devices see it: llama.cpp has the path of a file as its id."""
    return model.rpartition("/")[2] or model if model.startswith(("/", "~", ".")) else model


Pages = Mapping[str, bytes]
"""Answers of a server, by path."""


class KnownServer(Struct, frozen=True, kw_only=True):
    """A program that is known to serve models."""

    name: Words  # of the backend
    title: Words
    port: Whole
    paths: tuple[str, ...]  # asked for in this order, until one does not answer
    read: Callable[[Pages], SeenServer | None]
    hint: Words


class _Version(Struct):
    version: Words


class _Tag(Struct):
    name: Words


class _Tags(Struct):
    models: Many[_Tag]


class _Model(Struct):
    id: Words
    object: Literal["model"]
    # What does not tell whose list it is may be anything.
    owned_by: Raw = Raw(b"null")
    max_model_len: Raw = Raw(b"null")  # vLLM


class _Models(Struct):
    object: Literal["list"]
    data: Many[_Model]


class _AnyModel(Struct):
    id: Words | None = None
    name: Words | None = None
    model: Words | None = None
    max_model_len: Whole | None = None
    description: Raw = Raw(b"null")


class _AnyModels(Struct):
    data: Many[_AnyModel | Words] | None = None
    models: Many[_AnyModel | Words] | None = None


class _Generation(Struct):
    n_ctx: Whole


class _Props(Struct):
    default_generation_settings: _Generation
    total_slots: Whole


class _Kobold(Struct):
    result: Literal["KoboldCpp"]
    version: Words


def _as(kind: type[T], data: bytes) -> T | None:
    try:
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError):
        return None


def listed(data: bytes, *, owner: str = "", not_owner: str = "") -> SeenServer | None:
    """The answer to `GET /v1/models`; None if it has another shape, or is of another `owner`."""
    found = _as(_Models, data)
    if found is None:
        return None
    owners = {read(model.owned_by, str) or "" for model in found.data}
    if (owner and owners - {owner}) or (not_owner and not_owner in owners):
        return None
    return _seen([(model.id, read(model.max_model_len, int) or 0) for model in found.data])


def models_of(data: bytes) -> SeenServer | None:
    """The models of a server that the settings name, however it lists them; None if that is no list at all."""
    page = read(data, _AnyModels) or _AnyModels(data=read(data, Many[_AnyModel | Words]))
    found = page.data if page.data is not None else page.models
    if found is None:
        return None
    models = [_AnyModel(id=each) if isinstance(each, str) else each for each in found]
    named = {each.id or each.model or each.name or "": each for each in models}
    named.pop("", None)
    about = {model: _about(model, each) for model, each in named.items()}
    seen = _seen([(model, each.max_model_len or 0) for model, each in named.items()])
    return msgspec.structs.replace(seen, about={model: told for model, told in about.items() if told})


def _about(model: str, told: _AnyModel) -> str:
    # OpenRouter and others have a name for people, and a page about each.
    name = told.name if told.name and told.name != model else ""
    return ": ".join(filter(None, (name, read(told.description, str) or "")))[:ABOUT_MAX]


def _seen(models: list[tuple[str, int]]) -> SeenServer:
    # Of each: its id, and the tokens that it takes, 0: not told.
    talkers = _talkers([name for name, _ in models])
    return SeenServer(tuple(talkers), context=max((size for name, size in models if name in talkers), default=0))


def _talkers(names: list[str]) -> list[str]:
    return [name for name in names if not any(word in name.lower() for word in NO_TALKERS)] or names


def _ollama(pages: Pages) -> SeenServer | None:
    version, tags = _as(_Version, pages["/api/version"]), _as(_Tags, pages["/api/tags"])
    if version is None or tags is None:
        return None
    return SeenServer(tuple(_talkers([tag.name for tag in tags.models])), version.version)


def _llama_cpp(pages: Pages) -> SeenServer | None:
    props, seen = _as(_Props, pages["/props"]), listed(pages["/v1/models"])
    if props is None or seen is None:
        return None
    return msgspec.structs.replace(seen, context=props.default_generation_settings.n_ctx)


def _kobold(pages: Pages) -> SeenServer | None:
    about, seen = _as(_Kobold, pages["/api/extra/version"]), listed(pages["/v1/models"])
    return msgspec.structs.replace(seen, version=about.version) if about and seen else None


MODELS = "/v1/models"
KNOWN = (
    KnownServer(
        name="ollama", title="Ollama", port=11434, paths=("/api/version", "/api/tags"), read=_ollama,
        hint="install it from ollama.com, start `ollama serve` and get a model with `ollama pull`",
    ),
    KnownServer(
        name="lm-studio", title="LM Studio", port=1234, paths=(MODELS,), read=lambda pages: listed(pages[MODELS]),
        hint="install it from lmstudio.ai and start its server with `lms server start`",
    ),
    KnownServer(
        name="llama.cpp", title="llama.cpp", port=8080, paths=("/props", MODELS), read=_llama_cpp,
        hint="install llama.cpp and start `llama-server -m MODEL.gguf`",
    ),
    KnownServer(
        name="vllm", title="vLLM", port=8000, paths=(MODELS,), read=lambda pages: listed(pages[MODELS], owner="vllm"),
        hint="install vLLM and start `vllm serve MODEL`",
    ),
    KnownServer(
        name="jan", title="Jan", port=1337, paths=(MODELS,), read=lambda pages: listed(pages[MODELS]),
        hint="install it from jan.ai and start its local API server",
    ),
    KnownServer(
        name="localai", title="LocalAI", port=8080, paths=(MODELS,),
        read=lambda pages: listed(pages[MODELS], not_owner="llamacpp"),
        hint="install it from localai.io and start it",
    ),
    KnownServer(
        name="koboldcpp", title="KoboldCpp", port=5001, paths=("/api/extra/version", MODELS), read=_kobold,
        hint="install KoboldCpp and start it with a model",
    ),
)  # fmt: skip
"""Each is a backend of its own name."""


class ServerSpot(Struct, frozen=True):
    """A place on this machine where a server may be. `root`: before its paths; `base`: before `/chat/completions`."""

    known: KnownServer
    root: Words
    base: Words


def spots(environ: Mapping[str, str]) -> list[ServerSpot]:
    """Where servers may be: each at its port, unless the environment says where it is on this machine."""
    found = [ServerSpot(each, f"http://127.0.0.1:{each.port}", f"http://127.0.0.1:{each.port}/v1") for each in KNOWN]
    if root := _ollama_root(environ.get("OLLAMA_HOST", "")):
        found[0] = ServerSpot(KNOWN[0], root, f"{root}/v1")
    parts = parsed(environ.get("OPENAI_BASE_URL", ""))
    if parts is not None and is_loopback(parts) and not (parts.username or parts.query):
        base = base_of(parts)
        told = KnownServer(
            name="openai", title="what OPENAI_BASE_URL names", port=parts.port or 80, paths=("/models",),
            read=lambda pages: listed(pages["/models"]), hint="start the server there",
        )  # fmt: skip
        found.append(ServerSpot(told, base, base))
    return found


def _ollama_root(host: str) -> str:
    # As Ollama reads it: [SCHEME://]HOST[:PORT]; 0.0.0.0 is where a server listens, not where it is reached.
    host = host.strip().strip("\"'")
    parts = parsed(host if "://" in host else f"http://{host}") if host else None
    if parts is None or parts.scheme != "http":
        return ""
    name = parts.hostname or ""
    port = parts.port or (80 if "://" in host else KNOWN[0].port)
    if name in {"0.0.0.0", "localhost"}:  # noqa: S104 - compared, not listened at
        return f"http://127.0.0.1:{port}"
    return f"http://{f'[{name}]' if ':' in name else name}:{port}" if is_loopback(parts) else ""
