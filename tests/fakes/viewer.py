"""A client at the other end of a channel: keeps what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Raw

from agent.adapters.net.link import WebSocketChannel
from agent.errors import MethodNotFound
from agent.ports import Channel, Clock, MessageHandler
from agent.protocol.codec import Codec, msgpack, typed
from agent.protocol.events import Event, Payload, payload_of
from agent.protocol.messages import EventOf, SessionLost
from agent.protocol.methods import NOTIFICATIONS
from agent.protocol.model import SessionId
from tests.fakes.clock import turns
from tests.fakes.websocket import MemoryWebSocket, channel, pair


class Viewer:
    """Collects notifications; `events` are those of attached sessions, in order of arrival."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []
        self.events: list[EventOf] = []
        self.lost: list[SessionId] = []  # of which it was told that it is attached no more
        self.channel: WebSocketChannel
        self.serving: WebSocketChannel  # the other end
        self.socket: MemoryWebSocket
        self.gone = asyncio.Event()

    async def on_request(self, channel: Channel, method: str, params: Raw) -> object:
        raise MethodNotFound

    def on_notification(self, channel: Channel, method: str, params: Raw, frame: bytes) -> None:
        params_of = typed(params, NOTIFICATIONS[method].params)
        if isinstance(params_of, EventOf):
            self.events.append(params_of)
        else:
            self.told.append((method, params_of))
            if isinstance(params_of, SessionLost):
                self.lost.append(params_of.session_id)

    def on_closed(self, channel: Channel) -> None:
        pass

    async def ask(self, method: str, params: object, kind: type[object] | None = None) -> object:
        raw = await self.channel.request(method, params, seconds=30.0)
        return raw if kind is None else typed(raw, kind)

    def seqs(self, session: str = "") -> list[int]:
        return [event.seq for event in self.events if session in ("", event.session_id)]

    def payloads(self) -> list[Payload | None]:
        return [payload_of(Event(event.seq, event.type, event.payload, event.at)) for event in self.events]

    async def until(self, kind: str, count: int = 1) -> None:
        """Return once that many events of a type came; the tests' own time-out ends a vain wait."""
        while sum(event.type == kind for event in self.events) < count:
            await turns(1)


@asynccontextmanager
async def connected(handler: MessageHandler, clock: Clock, *, codec: Codec = msgpack) -> AsyncIterator[Viewer]:
    """A viewer on a channel to `handler`."""
    near, far = pair()
    viewer = Viewer()
    viewer.socket = near
    viewer.channel = channel(near, clock, codec=codec)
    serving = viewer.serving = channel(far, clock, codec=codec)

    async def serve() -> None:
        await serving.run(handler)
        viewer.gone.set()

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(viewer.channel.run(viewer), name="viewer"),
            group.create_task(serve(), name="served"),
        ]
        try:
            yield viewer
        finally:
            for task in tasks:
                task.cancel()
