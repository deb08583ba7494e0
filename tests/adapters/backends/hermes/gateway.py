"""A scripted Hermes gateway, of the older or the newer generation, on a port of 127.0.0.1.

The older one does what hermes-agent 0.19 was seen to do: one connection has a session's events, activate, resume and
submit move them, questions are events, approvals have no ids. The newer one is written from descriptions of later
versions and was not compared with the real thing: events are numbered and go to every connection, questions are
requests, unknown parameters are refused.

What a prompt makes it do:

TEXT              the text comes back, a word at a time
@hold             nothing until it is interrupted
@wait TEXT        half of TEXT, then nothing until `go` is set, then the rest
@many             200 pieces
@ask TEXT         asks (clarify); then says "got ANSWER"
@choose TEXT A B  the same with choices
@approve A B      asks for each command (approval), all at once; then says what was chosen
@sudo             asks for a password; then says how long it was
@secret           asks for a secret, the same
@tool             a tool between two texts
@error            the turn fails
@silent           the turn ends without a word
@leave            the session is closed
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

TOKEN = "scripted-token"
LEAK = "LEAKED"
Json = dict[str, Any]

PARAMS = {
    "client.capabilities": {"server_requests"},
    "prompt.submit": {"session_id", "text"},
    "session.activate": {"session_id"},
    "session.active_list": set[str](),
    "session.close": {"session_id"},
    "session.create": {"cols", "cwd"},
    "session.events.since": {"session_id", "last_seen"},
    "session.history": {"session_id"},
    "session.interrupt": {"session_id"},
    "session.resume": {"session_id", "cols"},
}
"""What the newer generation takes; it refuses all else (4000)."""


@dataclass
class Live:
    """One session in memory. `slot`: the connections that have its events."""

    live: str
    stored: str
    slot: set[web.WebSocketResponse] = field(default_factory=set)
    messages: list[Json] = field(default_factory=list)
    inflight: Json | None = None
    status: str = "idle"
    title: str = ""
    seq: int = 0
    events: list[Json] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    turn: asyncio.Task[None] | None = None
    waiting: list[tuple[str, asyncio.Future[str]]] = field(default_factory=list)
    closed_by: str = ""
    active: int = 1  # moved by attaching, by prompting and by the end of a turn


class Fault(Exception):
    """An error to answer."""


class ScriptedGateway:
    """`calls`: every request that came, with its parameters. `stored`: conversations that outlive `sessions`."""

    def __init__(self, *, newer: bool = False, page: bool = True) -> None:
        self.newer, self.page, self.epoch = newer, page, "epoch-1"
        self.sessions: dict[str, Live] = {}
        self.stored: dict[str, list[Json]] = {}
        self.calls: list[tuple[str, Json]] = []
        self.answers: list[Json] = []
        self.sockets: set[web.WebSocketResponse] = set()
        self.odd = False  # whether it sends batches, as bytes that begin with a byte order mark, and ids in its own way
        self.mute = False  # whether it answers nothing, as one that is stuck
        self.port = 0
        self._numbers = itertools.count(1)
        self._open: dict[str, tuple[Live, asyncio.Future[str], Json]] = {}
        self._able: set[web.WebSocketResponse] = set()
        self._changed = asyncio.Event()
        self._group: asyncio.TaskGroup

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ScriptedGateway]:
        app = web.Application()
        app.router.add_get("/api/status", self._status)
        app.router.add_get("/api/ws", self._ws)
        app.router.add_get("/", self._page)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self.port = runner.addresses[0][1]
        try:
            async with asyncio.TaskGroup() as self._group:
                try:
                    yield self
                finally:
                    self.kill()
                    for ws in list(self.sockets):
                        await ws.close()
        finally:
            await runner.cleanup()

    def kill(self) -> None:
        """All that was in memory is gone; what was stored is not."""
        for session in self.sessions.values():
            self.stored[session.stored] = [m for m in session.messages if m.get("kept", True)]
            if session.turn is not None:
                session.turn.cancel()
        self.sessions.clear()
        self._open.clear()

    async def hang_up(self) -> None:
        """Every connection breaks; nothing else."""
        for ws in list(self.sockets):
            await ws.close()
        for session in self.sessions.values():
            session.slot.clear()

    async def until(self, true: Callable[[], object]) -> None:
        """Return as soon as that holds; looked at with every request and event."""
        async with asyncio.timeout(20):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    def only(self) -> Live:
        """The one live session."""
        (session,) = self.sessions.values()
        return session

    def called(self, method: str) -> list[Json]:
        """The parameters of all requests of a method."""
        return [params for name, params in self.calls if name == method]

    def open(self, *, title: str = "", messages: list[Json] | None = None, stored: str = "") -> Live:
        """A session that somebody else has started and drives."""
        number = next(self._numbers)
        session = Live(f"{number:08x}", stored or f"20261122_171719_{number:06x}", title=title)
        session.messages = messages or []
        self.sessions[session.live] = session
        return session

    async def prompted_there(self, session: Live, text: str) -> None:
        """Somebody else prompts it: with the older generation its events go there from now on."""
        if not self.newer:
            session.slot = set()
        session.active += 1
        await self._submit(session, text)

    # --- HTTP --------------------------------------------------------------------------------------------------------

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response({"version": "0.19.0", "active_sessions": 0, "hermes_home": f"/home/{LEAK}"})

    async def _page(self, request: web.Request) -> web.Response:
        if not self.page:
            raise web.HTTPNotFound
        return web.Response(text=f'<script>window.__HERMES_SESSION_TOKEN__="{TOKEN}";</script>')

    async def _ws(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("token") != TOKEN:
            raise web.HTTPForbidden
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        self.sockets.add(ws)
        ready: Json = {"skin": {"name": LEAK}}
        if self.newer:
            ready["replay_epoch"] = self.epoch
        await self._send(ws, {"method": "event", "params": {"type": "gateway.ready", "payload": ready}})
        async for message in ws:
            if message.type is not WSMsgType.TEXT or self.mute:
                continue
            await self._frame(ws, json.loads(message.data))
        self.sockets.discard(ws)
        self._changed.set()
        for session in self.sessions.values():
            session.slot.discard(ws)
        return ws

    async def _frame(self, ws: web.WebSocketResponse, frame: Json) -> None:
        if "method" not in frame:
            self.answers.append(frame)
            found = self._open.pop(frame["id"], None)
            if found is not None and not found[1].done():
                result = frame.get("result", {})
                found[1].set_result(str(next(iter(result.values()), "")))
            self._changed.set()
            return
        method, params = frame["method"], frame["params"]
        self.calls.append((method, params))
        try:
            result = await self._handler(method, params)(ws, params)
        except Fault as fault:
            secret = f"no: /home/{LEAK}"
            await self._send(ws, {"id": frame["id"], "error": {"code": fault.args[0], "message": secret}})
        else:
            await self._send(ws, {"id": frame["id"], "result": result})
        self._changed.set()

    async def _send(self, ws: web.WebSocketResponse, frame: Json) -> None:
        with contextlib.suppress(ConnectionError):
            if self.odd:
                frame |= {"id": f"answer to {frame['id']}"} if "method" not in frame else {}
                await ws.send_bytes(json.dumps([{"jsonrpc": "2.0", **frame}, None]).encode("utf-8-sig"))
                return
            await ws.send_str(json.dumps({"jsonrpc": "2.0", **frame}))

    def _handler(self, method: str, params: Json) -> Any:
        if self.newer and set(params) - PARAMS.get(method, set(params)):
            raise Fault(4000)
        handler = getattr(self, "_do_" + method.replace(".", "_"), None)
        if handler is None:
            raise Fault(-32601)
        return handler

    # --- methods -----------------------------------------------------------------------------------------------------

    def _live(self, params: Json) -> Live:
        session = self.sessions.get(params["session_id"])
        if session is None:
            raise Fault(4001)
        return session

    def _attach(self, ws: web.WebSocketResponse, session: Live) -> None:
        session.slot = session.slot | {ws} if self.newer else {ws}
        session.active += 1

    def _snapshot(self, session: Live) -> Json:
        told: Json = {
            "session_id": session.live,
            "session_key": session.stored,
            "messages": [m for m in session.messages if m.get("kept", True)],
            "running": session.status != "idle",
            "status": session.status,
            "info": {"cwd": f"/home/{LEAK}", "system_prompt": LEAK, "tools": {LEAK: []}, "model": "m"},
        }
        if session.inflight is not None:
            told["inflight"] = dict(session.inflight)
        if self.newer:
            told["open_requests"] = [each for owner, _, each in self._open.values() if owner is session]
        return told

    async def _do_client_capabilities(self, ws: web.WebSocketResponse, params: Json) -> Json:
        if not self.newer:
            raise Fault(-32601)
        self._able.add(ws)
        return {}

    async def _do_session_active_list(self, ws: web.WebSocketResponse, params: Json) -> Json:
        rows = [
            {
                "id": each.live,
                "session_key": each.stored,
                "title": each.title,
                "status": each.status,
                "message_count": len(each.messages),
                "model": "m",
                "preview": LEAK,
                "current": False,
                "last_active": each.active,
            }
            for each in self.sessions.values()
        ]
        return {"sessions": rows}

    async def _do_session_create(self, ws: web.WebSocketResponse, params: Json) -> Json:
        session = self.open()
        self._attach(ws, session)
        await self._emit(session, "session.info", {"model": "m", "running": False, "cwd": f"/home/{LEAK}"})
        return {"session_id": session.live, "stored_session_id": session.stored, "messages": [], "info": {"model": "m"}}

    async def _do_session_activate(self, ws: web.WebSocketResponse, params: Json) -> Json:
        session = self._live(params)
        self._attach(ws, session)
        snapshot = self._snapshot(session)
        if session.inflight is not None and session.go.is_set():
            await asyncio.sleep(0)  # deltas come before the answer, as they were seen to
        return snapshot

    async def _do_session_resume(self, ws: web.WebSocketResponse, params: Json) -> Json:
        stored = params["session_id"]
        if stored not in self.stored:
            raise Fault(4007)
        session = self.open(messages=self.stored[stored], stored=stored)
        self._attach(ws, session)
        return self._snapshot(session)

    async def _do_session_history(self, ws: web.WebSocketResponse, params: Json) -> Json:
        session = self._live(params)
        return {"count": len(session.messages), "messages": session.messages}

    async def _do_session_events_since(self, ws: web.WebSocketResponse, params: Json) -> Json:
        session = self._live(params)
        events = [each for each in session.events if each["seq"] > params["last_seen"]]
        asked = [each for owner, _, each in self._open.values() if owner is session]
        return {"events": events, "epoch": self.epoch, "latest_seq": session.seq, "open_requests": asked}

    async def _do_session_close(self, ws: web.WebSocketResponse, params: Json) -> Json:
        await self._over(self._live(params))
        return {"closed": True}

    async def _do_session_interrupt(self, ws: web.WebSocketResponse, params: Json) -> Json:
        session = self._live(params)
        if session.turn is not None:
            session.turn.cancel()
        return {"status": "interrupted"}

    async def _do_prompt_submit(self, ws: web.WebSocketResponse, params: Json) -> Json:
        session = self._live(params)
        self._attach(ws, session)
        await self._submit(session, params["text"])
        return {"status": "streaming"}

    async def _do_approval_respond(self, ws: web.WebSocketResponse, params: Json) -> Json:
        session = self._live(params)
        waiting = [each for kind, each in session.waiting if kind == "approval" and not each.done()]
        for each in waiting[:1]:
            each.set_result(params["choice"])
        return {"resolved": len(waiting[:1])}

    async def _respond(self, params: Json, key: str) -> Json:
        found = self._open.pop(params["request_id"], None)
        if found is None or found[1].done():
            raise Fault(4009)
        found[1].set_result(params[key])
        return {"status": "ok"}

    async def _do_clarify_respond(self, ws: web.WebSocketResponse, params: Json) -> Json:
        return await self._respond(params, "answer")

    async def _do_sudo_respond(self, ws: web.WebSocketResponse, params: Json) -> Json:
        return await self._respond(params, "password")

    async def _do_secret_respond(self, ws: web.WebSocketResponse, params: Json) -> Json:
        return await self._respond(params, "value")

    # --- turns -------------------------------------------------------------------------------------------------------

    async def _over(self, session: Live) -> None:
        self.sessions.pop(session.live, None)
        self.stored[session.stored] = session.messages
        if session.turn is not None and session.turn is not asyncio.current_task():
            session.turn.cancel()

    async def _submit(self, session: Live, text: str) -> None:
        assert session.status == "idle", "one turn at a time"
        session.status, session.inflight = "working", {"user": text, "assistant": "", "streaming": True}
        session.messages.append({"role": "user", "text": text, "kept": False})
        session.go.clear()
        session.turn = self._group.create_task(self._turn(session, text), name="scripted.turn")

    async def emit(self, session: Live, kind: str, payload: Json | None = None) -> None:
        """Tell something of a session, as the script of a test says."""
        await self._emit(session, kind, payload or {})

    async def _emit(self, session: Live, kind: str, payload: Json) -> None:
        params: Json = {"type": kind, "session_id": session.live, "payload": payload}
        if self.newer:
            session.seq += 1
            params["seq"] = session.seq
            session.events.append(params)
        for ws in list(session.slot):
            await self._send(ws, {"method": "event", "params": params})
        self._changed.set()

    async def say(self, session: Live, text: str) -> None:
        """More of the reply."""
        if session.inflight is not None:
            session.inflight["assistant"] += text
        await self._emit(session, "message.delta", {"text": text, "rendered": LEAK})

    async def _turn(self, session: Live, text: str) -> None:
        said: list[str] = []

        async def say(piece: str) -> None:
            said.append(piece)
            await self.say(session, piece)

        await self._emit(session, "message.start", {"input": text} if self.newer else {})
        await self._emit(session, "thinking.delta", {"text": "pondering"})
        word, _, rest = text.partition(" ")
        status = "complete"
        try:
            played = getattr(self, f"_play_{word[1:]}", None) if word.startswith("@") else None
            if played is None:
                for at, piece in enumerate(text.split(" ")):
                    await say(piece if not at else f" {piece}")
            else:
                status = await played(session, rest, say) or "complete"
        except asyncio.CancelledError:
            if session.live not in self.sessions:
                raise
            status = "interrupted"
        await self._end(session, status, "".join(said))

    async def _end(self, session: Live, status: str, text: str) -> None:
        for number in [n for n, (owner, _, _) in self._open.items() if owner is session]:
            del self._open[number]
            if self.newer:
                await self._emit(session, "request.cancel", {"id": number, "method": "clarify", "reason": status})
        session.waiting.clear()
        session.messages[-1]["kept"] = True
        if text.strip():
            session.messages.append({"role": "assistant", "text": text.strip()})
        session.inflight = None
        if status not in {"silent", "over"}:
            usage = {"context_used": 7, "context_max": 100}
            await self._emit(session, "message.complete", {"text": text.strip(), "status": status, "usage": usage})
        session.status, session.turn = "idle", None
        session.active += 1
        if status not in {"silent", "over"}:
            await self._emit(session, "session.info", {"running": False, "model": "m", "cwd": f"/home/{LEAK}"})

    async def _play_hold(self, session: Live, rest: str, say: Any) -> None:
        await asyncio.Event().wait()

    async def _play_wait(self, session: Live, rest: str, say: Any) -> None:
        half = len(rest) // 2
        await say(rest[:half])
        await session.go.wait()
        for letter in rest[half:]:
            await say(letter)

    async def _play_many(self, session: Live, rest: str, say: Any) -> None:
        for number in range(200):
            await say(f"{number} ")

    async def _play_error(self, session: Live, rest: str, say: Any) -> str:
        await self._emit(session, "error", {"message": "the model is away"})
        return "error"

    async def _play_silent(self, session: Live, rest: str, say: Any) -> str:
        return "silent"

    async def _play_leave(self, session: Live, rest: str, say: Any) -> str:
        await self._over(session)
        return "over"

    async def _play_tool(self, session: Live, rest: str, say: Any) -> None:
        await say("before ")
        started = {"tool_id": "call-1", "name": "terminal", "context": "Running ls"}
        await self._emit(session, "tool.start", started)
        result = {"output": "notes.txt", "exit_code": 0, "error": None}
        done = {"tool_id": "call-1", "name": "terminal", "args": {"command": "ls", "env": LEAK}, "result": result}
        await self._emit(session, "tool.complete", done)
        await say("\n\nafter")

    async def _play_ask(self, session: Live, rest: str, say: Any) -> None:
        await say(f"got {await self._ask(session, 'clarify', {'question': rest, 'choices': None})}")

    async def _play_choose(self, session: Live, rest: str, say: Any) -> None:
        question, *choices = rest.split(" ")
        await say(f"got {await self._ask(session, 'clarify', {'question': question, 'choices': choices})}")

    async def _play_sudo(self, session: Live, rest: str, say: Any) -> None:
        await say(f"got {len(await self._ask(session, 'sudo', {'command': 'sudo true'}))}")

    async def _play_secret(self, session: Live, rest: str, say: Any) -> None:
        await say(f"got {len(await self._ask(session, 'secret', {'prompt': 'Key: ', 'env_var': 'A_KEY'}))}")

    async def _play_approve(self, session: Live, rest: str, say: Any) -> None:
        async with asyncio.TaskGroup() as group:
            asked = {
                command: group.create_task(self._approved(session, command), name="scripted.approve")
                for command in rest.split(" ")
            }
        await say(" ".join(f"{command}={task.result()}" for command, task in asked.items()))

    async def _approved(self, session: Live, command: str) -> str:
        await self._emit(
            session, "tool.start", {"tool_id": command, "name": "terminal", "context": f"Running {command}"}
        )
        told = {"command": command, "description": "dangerous", "choices": ["once", "session", "always", "deny"]}
        choice = await self._ask(session, "approval", told)
        done = {"tool_id": command, "name": "terminal", "args": {"command": command}, "result": {"output": choice}}
        await self._emit(session, "tool.complete", done)
        return choice

    async def _ask(self, session: Live, method: str, params: Json) -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        number = f"srq-{next(self._numbers):012x}"
        session.waiting.append((method, answer))
        if self.newer:
            request = {"id": number, "method": method, "params": {"session_id": session.live, **params}}
            self._open[number] = (session, answer, request)
            for ws in session.slot & self._able:
                await self._send(ws, request)
        elif method == "approval":
            await self._emit(session, "approval.request", params)
        else:
            self._open[number] = (session, answer, {})
            session.status = "waiting"
            await self._emit(session, f"{method}.request", {**params, "request_id": number})
        self._changed.set()
        told = await answer
        session.status = "working"
        return told
