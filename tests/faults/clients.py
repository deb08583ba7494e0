"""A recording client: one WebSocket to its own gateway, as docs/design/wire.md describes it; JSON, no code of ours.

It does what a real client does: comes back when the connection breaks, attaches again from where it was, starts over
when it is told to, waits where a refusal says when to try again. What it is told goes to the model.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.faults.model import Json, Model, Place, Screen

RETRY = 0.2
"""Seconds between two looks at the socket, and before an attachment that was refused is tried again."""
FRAME_MAX = 1_048_576
TAKEN_EVERY = 65_536
ABSENT = frozenset({"session-ended", "backend-failed"})
"""Refusals after which a terminal is not asked for again."""


def now() -> float:
    """Monotonic seconds."""
    return time.monotonic()  # noqa: TID251 - a test's watch


class Gone(Exception):
    """The connection to the own service broke before the answer."""


class Refused(Exception):
    """The service answered with an error."""

    def __init__(self, error: Json) -> None:
        data = error.get("data") or {}
        self.kind, self.message, self.hint = data.get("kind", ""), error.get("message", ""), data.get("hint", "")
        super().__init__(f"{self.kind}: {self.message} ({self.hint})")


class Client:
    """One of them. `watch` and `show` name what it is to be attached to for as long as it lives."""

    def __init__(self, name: str, socket: Path, model: Model) -> None:
        self.name, self.model = name, model
        self.places: dict[str, Place] = {}
        self.screens: dict[str, Screen] = {}
        self.heard: dict[str, float] = {}  # session -> when it last was told anything new of it
        self.on_event: Callable[[str, Json], None] = lambda session, event: None
        self.connected = False
        self.links: dict[str, bool] = {}  # session -> whether the link under it carries, as it was told
        self._path, self._group = socket, asyncio.TaskGroup()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._asked = 0
        self._waiting: dict[int, tuple[asyncio.Future[Any], Callable[[Any], None] | None]] = {}
        self._attaching: set[str] = set()  # what is told of these sessions is of an attachment that was given up
        self._answering: set[str] = set()  # tasks that attach are there for these
        self._lost: set[str] = set()  # of these: what was lost meanwhile

    # --- what it does ------------------------------------------------------------------------------------------------

    def watch(self, session: str) -> None:
        """Attach to a session, for good."""
        self.places[session] = Place(self.model, self.name, session)
        self._attach(session)

    def show(self, session: str) -> None:
        """Attach to the terminal of a session, until it has ended."""
        self.screens[session] = Screen(self.model, self.name, session)
        self._attach(session)

    def anew(self) -> None:
        """Forget where it was, as a client that was closed and started again."""
        for session in self.places:
            self.places[session] = Place(self.model, self.name, session)
        for session in self.screens:
            self.screens[session] = Screen(self.model, self.name, session)

    def is_attaching(self, session: str) -> bool:
        """Whether an answer to its attaching is awaited."""
        return session in self._answering

    def start_over(self) -> None:
        """Begin anew with a new connection: what a person does whose screen stays empty."""
        self.anew()
        self._group.create_task(self.leave(), name=f"{self.name}.leave")

    async def leave(self) -> None:
        """Hang up; it comes back by itself."""
        if self._socket is not None:
            await self._socket.close()

    async def call(self, method: str, *, then: Callable[[Any], None] | None = None, **params: Any) -> Any:
        """Ask, and wait for the result; `then` takes it before anything that came after it is read.

        Raises: Gone, Refused.
        """
        if self._socket is None:
            raise Gone
        self._asked += 1
        asked = self._asked
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[asked] = future, then
        try:
            await self._socket.send_str(json.dumps({"jsonrpc": "2.0", "id": asked, "method": method, "params": params}))
            return await future
        except (ConnectionError, aiohttp.ClientError) as exc:
            raise Gone from exc
        finally:
            self._waiting.pop(asked, None)

    async def insist(self, method: str, **params: Any) -> Any:
        """Ask again after every lost connection, and when a refusal says that it is for a moment. Raises: Refused."""
        while True:
            try:
                return await self.call(method, **params)
            except Gone:
                await asyncio.sleep(RETRY)
            except Refused as exc:
                if exc.kind != "busy":
                    raise
                self.model.refused[f"{method}: {exc.kind}"] += 1
                await asyncio.sleep(1.0)

    async def run(self) -> None:
        """Connect, read, connect again; until cancelled."""
        async with self._group:
            while True:
                with suppress(OSError, aiohttp.ClientError, TimeoutError):
                    await self._connected()
                self._broken()
                await asyncio.sleep(RETRY)

    # --- how ---------------------------------------------------------------------------------------------------------

    async def _connected(self) -> None:
        connector = aiohttp.UnixConnector(str(self._path))
        async with (
            aiohttp.ClientSession(connector=connector) as http,
            http.ws_connect(
                "http://localhost/v1/ws", protocols=["lan-agent.v1.json"], max_msg_size=FRAME_MAX, compress=0
            ) as socket,
        ):
            async for frame in socket:
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    continue
                self._take(json.loads(frame.data), socket)

    def _broken(self) -> None:
        self._socket, self.connected = None, False
        self.links.clear()
        for future, _ in self._waiting.values():
            if not future.done():
                future.set_exception(Gone())

    def _take(self, message: Json, socket: aiohttp.ClientWebSocketResponse) -> None:
        params = message.get("params") or {}
        match message.get("method"):
            case None:
                self._answered(message)
            case "gateway.ready" if self._socket is None:
                self._socket, self.connected = socket, True
                for session in (*self.places, *self.screens):
                    self._attach(session)
            case "event":
                self._event(params)
            case "terminal.output":
                self._output(params)
            case "terminal.closed":
                self.screens.pop(params["session_id"], None)
            case "session.lost":
                self._out(params["session_id"])
            case "peer.lost" | "peer.back" as what:
                self._link(params, what)

    def _link(self, told: Json, what: str) -> None:
        for session in told.get("sessions", ()):
            carries = what == "peer.back"
            if self.links.get(session) is carries:
                self.model.wrong("told twice", f"{self.name} was told {what} of {session} twice", self.name)
            self.links[session] = carries

    def _out(self, session: str) -> None:
        # It may come before the answer to an attachment of this client's: then it attaches once more after it.
        if session in self._answering:
            self._lost.add(session)
        elif session in self.places:
            self._attach(session)

    def _answered(self, message: Json) -> None:
        future, then = self._waiting.get(message["id"], (None, None))
        if future is None or future.done():
            return
        if "error" in message:
            future.set_exception(Refused(message["error"]))
            return
        if then is not None:
            then(message["result"])
        future.set_result(message["result"])

    def _event(self, event: Json) -> None:
        session = event["session_id"]
        place = self.places.get(session)
        if place is None or not place.epoch or session in self._attaching:
            return  # of an attachment that was given up
        if place.event(event):
            self.heard[session] = now()
            self.on_event(session, event)
        elif event["seq"] > place.seq:
            self._attach(session, again=True)

    def _output(self, params: Json) -> None:
        session = params["session_id"]
        screen = self.screens.get(session)
        if screen is None or not screen.epoch or session in self._attaching:
            return
        if screen.output(params["offset"], base64.b64decode(params["data"])):
            self._took(screen)
        else:
            self._attach(session, again=True)

    def _took(self, screen: Screen) -> None:
        self.heard[screen.session] = now()
        if screen.offset // TAKEN_EVERY > screen.acknowledged // TAKEN_EVERY and self._socket is not None:
            screen.acknowledged = screen.offset
            told = {"session_id": screen.session, "offset": screen.offset}
            frame = json.dumps({"jsonrpc": "2.0", "method": "terminal.taken", "params": told})
            self._group.create_task(self._send(self._socket, frame), name=f"{self.name}.taken")

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, frame: str) -> None:
        with suppress(ConnectionError, aiohttp.ClientError):
            await socket.send_str(frame)

    def _attach(self, session: str, *, again: bool = False) -> None:
        if self._socket is not None and session not in self._answering:
            self._attaching.add(session)
            self._answering.add(session)
            self._group.create_task(self._attached(session, again=again), name=f"{self.name}.attach")

    async def _attached(self, session: str, *, again: bool) -> None:
        kind = "session" if session in self.places else "terminal"
        try:
            if again:
                await self.call(f"{kind}.detach", session_id=session)
            while (place := self.places.get(session) or self.screens.get(session)) is not None:
                try:
                    await self._ask(place)
                except Refused as exc:
                    self.model.refused[f"{kind}.attach: {exc.kind}"] += 1
                    if kind == "terminal" and (exc.kind in ABSENT or session in self.model.ended):
                        self.screens.pop(session, None)
                    self.model.attach_refused(self.name, session, exc.kind, str(exc))
                else:
                    return
                await asyncio.sleep(RETRY)
        except Gone:
            pass  # the next connection attaches
        finally:
            self._attaching.discard(session)
            self._answering.discard(session)
            if session in self._lost:
                self._lost.discard(session)
                self._attach(session)

    async def _ask(self, place: Place | Screen) -> None:
        session = place.session
        asked: Json = {"session_id": session}
        if place.epoch:
            asked |= {"epoch": place.epoch, "after": place.seq if isinstance(place, Place) else place.offset}

        def then(told: Json) -> None:
            self._attaching.discard(session)
            self.links.pop(session, None)  # an answer says that the link carries
            if isinstance(place, Screen):
                place.attached(asked, told, base64.b64decode(told["data"]))
                self._took(place)
                return
            before = place.seq if told["epoch"] == place.epoch else 0
            for event in place.attached(asked, told):
                if event["seq"] > before:
                    self.heard[session] = now()
                    self.on_event(session, event)
            for request in told.get("requests", ()):
                self.on_event(session, {"type": "request.open", "seq": 0, "payload": request, "at": ""})

        await self.call("session.attach" if isinstance(place, Place) else "terminal.attach", then=then, **asked)
