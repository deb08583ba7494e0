"""A server that answers with bytes given by the test: what `tests.models` cannot say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from agent.adapters.backends.openai.address import ServerAddress
from agent.adapters.backends.openai.client import ServerClient

SSE = "text/event-stream"
JSON = "application/json"


@dataclass(frozen=True)
class Canned:
    """One answer. `cut`: the connection breaks after the body; `stays`: it is left open."""

    body: bytes
    status: int = 200
    kind: str = SSE
    cut: bool = False
    stays: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


def told(*messages: str) -> bytes:
    """Server-sent events, as OpenAI writes them."""
    return b"".join(f"data: {message}\n\n".encode() for message in messages)


def said(text: str, finish: str | None = None) -> str:
    """One message of a stream."""
    reason = "null" if finish is None else f'"{finish}"'
    return f'{{"choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":{reason}}}]}}'


@dataclass
class CannedServer:
    """Answers POST with each of `answers` in turn, the last one again and again; GET with `pages`."""

    answers: list[Canned] = field(default_factory=list)
    pages: dict[str, Canned] = field(default_factory=dict)
    bodies: list[Any] = field(default_factory=list, init=False)
    heads: list[dict[str, str]] = field(default_factory=list, init=False)
    paths: list[str] = field(default_factory=list, init=False)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def server(self, environ: Mapping[str, str] | None = None, **address: str) -> ServerClient:
        """As a backend named `one` reaches it."""
        return ServerClient(ServerAddress(name="one", url=f"{self.url}/v1", **address), environ or {})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        self.heads.append(dict(request.headers))
        if request.method == "GET":
            found = self.pages.get(request.path, Canned(b"{}", 404, JSON))
        else:
            self.bodies.append(await request.json())
            found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        response = web.StreamResponse(status=found.status, headers={"Content-Type": found.kind, **found.headers})
        await response.prepare(request)
        await response.write(found.body)
        if found.stays:
            await asyncio.Event().wait()
        if found.cut and request.transport is not None:
            request.transport.abort()
        else:
            await response.write_eof()
        return response
