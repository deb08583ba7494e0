"""The server: hears requests, keeps them, and answers as their prompts say."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Self

from aiohttp import web

from agent.clock import SystemClock
from agent.ports import Clock
from tests.models.asks import Ask, Body, from_chat, from_gemini, from_responses
from tests.models.replies import ChatReply, GeminiReply, Reply, ResponsesReply
from tests.models.script import Call, Cut, Fail, Hold, Pause, Piece, is_about_title, plan, script
from tests.models.shapes import SHAPES, Shape

Outcome = Literal["running", "done", "refused", "cut", "hung up"]


@dataclass
class Heard:
    """One request, and what became of it. `hung up`: the client left before the end."""

    method: str
    path: str
    headers: dict[str, str]
    body: Body
    ask: Ask | None = None  # None: it was no question to the model
    outcome: Outcome = "running"
    said: str = ""  # text sent so far, thoughts apart
    thought: str = ""

    @property
    def is_turn(self) -> bool:
        """Whether it belongs to the conversation: it asks the model, and not for a title."""
        return self.ask is not None and not is_about_title(self.ask)


@dataclass
class ModelServer:
    """Serves on 127.0.0.1 while it is entered. `port` 0 takes any free one."""

    shape: str = "openai"
    models: tuple[str, ...] = ("fake",)
    port: int = 0
    clock: Clock = field(default_factory=SystemClock)
    tell: Callable[[Heard], None] = lambda heard: None
    """Called when a request has come, and again when it is over."""
    requests: list[Heard] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._shape: Shape = SHAPES[self.shape](self.models)
        self._released: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 << 20)
        if self._shape.chats:
            app.router.add_post("/v1/chat/completions", self._chat)
            app.router.add_post("/v1/responses", self._responses)
            app.router.add_post(r"/v1beta/models/{model}:{verb}", self._gemini)
        app.router.add_route("*", "/{path:.*}", self._page)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self._released.values():
            each.set()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where it is, without a path. OpenAI clients want `/v1` behind it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def turns(self) -> list[Heard]:
        """The requests that belong to conversations, oldest first."""
        return [heard for heard in self.requests if heard.is_turn]

    def release(self, name: str) -> None:
        """Let `model: wait NAME` go on, now or whenever it comes."""
        self._released[name].set()

    async def until(self, true: Callable[[Self], bool]) -> None:
        """Return as soon as that holds; looked at with every request, piece and end."""
        while not true(self):
            self._changed.clear()
            await self._changed.wait()

    # --- requests ----------------------------------------------------------------------------------------------------

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        heard = await self._hear(request, from_chat)
        assert heard.ask
        return await self._answer(request, heard, ChatReply(heard.ask, thought_key=self._shape.thought_key))

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        heard = await self._hear(request, from_responses)
        assert heard.ask
        return await self._answer(request, heard, ResponsesReply(heard.ask))

    async def _gemini(self, request: web.Request) -> web.StreamResponse:
        model, verb = request.match_info["model"], request.match_info["verb"]
        if verb == "countTokens":
            return web.json_response({"totalTokens": 10})
        heard = await self._hear(request, lambda body: from_gemini(body, model, stream=verb == "streamGenerateContent"))
        assert heard.ask
        return await self._answer(request, heard, GeminiReply(heard.ask))

    async def _page(self, request: web.Request) -> web.StreamResponse:
        heard = self._note(Heard(request.method, request.path, dict(request.headers), {}))
        status, content = self._shape.elsewhere
        if request.method in {"GET", "HEAD"} and request.path in self._shape.pages:
            status, content = 200, self._shape.pages[request.path]
        self._end(heard, "done" if status == 200 else "refused")
        if isinstance(content, str):
            kind = "text/html" if content.startswith("<") else "text/plain"
            return web.Response(status=status, text=content, content_type=kind)
        return web.json_response(content, status=status)

    async def _hear(self, request: web.Request, read: Callable[[Body], Ask]) -> Heard:
        body = await request.json()
        return self._note(Heard(request.method, request.path, dict(request.headers), body, read(body)))

    def _note(self, heard: Heard) -> Heard:
        self.requests.append(heard)
        self._changed.set()
        self.tell(heard)
        return heard

    def _end(self, heard: Heard, outcome: Outcome) -> None:
        heard.outcome = outcome
        self._changed.set()
        self.tell(heard)

    # --- answers -----------------------------------------------------------------------------------------------------

    async def _answer(self, request: web.Request, heard: Heard, reply: Reply) -> web.StreamResponse:
        assert heard.ask
        actions = plan(heard.ask)
        fail = next((action for action in actions if isinstance(action, Fail)), None)
        if fail:
            self._end(heard, "refused")
            kind = "server_error" if fail.status >= 500 else "invalid_request_error"
            error = {"message": "refused, as the prompt asked", "type": kind, "param": None, "code": None}
            return web.json_response({"error": error}, status=fail.status)
        streamed = heard.ask.stream
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        try:
            if streamed:
                await response.prepare(request)
                await response.write(b"".join(reply.begin()))
            for action in actions:
                if isinstance(action, Cut):
                    self._end(heard, "cut")
                    if request.transport:
                        request.transport.abort()
                    return response
                sent = await self._do(action, heard, reply)
                if streamed and sent:
                    await response.write(sent)
            if streamed:
                await response.write(b"".join(reply.end()))
                await response.write_eof()
        except (asyncio.CancelledError, ConnectionError):
            self._end(heard, "hung up")
            raise
        self._end(heard, "done")
        return response if streamed else web.json_response(reply.whole())

    async def _do(self, action: Piece | Call | Pause | Hold | Fail, heard: Heard, reply: Reply) -> bytes:
        """Carry one action out; what is to be sent."""
        match action:
            case Piece():
                if action.thought:
                    heard.thought += action.text
                else:
                    heard.said += action.text
                self._changed.set()
                return b"".join(reply.piece(action))
            case Call():
                return b"".join(reply.call(action))
            case Pause():
                await self.clock.sleep(action.seconds)
            case Hold():
                await self._released[action.name].wait()
        return b""


def row(heard: Heard) -> str:
    """One line of JSON about a request, for those outside of the process."""
    ask = heard.ask
    return json.dumps(
        {
            "method": heard.method,
            "path": heard.path,
            "turn": heard.is_turn,
            "script": script(ask) if ask else [],
            "tools": [tool.name for tool in ask.tools] if ask else [],
            "texts": [[turn.role, turn.text] for turn in ask.turns] if ask else [],
            "outcome": heard.outcome,
            "said": heard.said,
        }
    )
