"""Two ends of a WebSocket in memory, with the part of aiohttp's interface that channels use."""

from __future__ import annotations

import asyncio
from typing import cast

from aiohttp import ClientWebSocketResponse, WSMessage, WSMsgType

from agent.adapters.net.link import WebSocketChannel
from agent.ports import Clock
from agent.protocol.codec import Codec, msgpack
from agent.protocol.model import DeviceId


class MemoryWebSocket:
    """One end. `stalled` keeps writes waiting, as a peer does that reads nothing."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[WSMessage] = asyncio.Queue()
        self.other: MemoryWebSocket
        self.stalled = asyncio.Event()
        self.stalled.set()
        self.close_code: int | None = None
        self.close_takes = 0  # turns of the loop, after `may_close`
        self.may_close = asyncio.Event()
        self.may_close.set()
        self.mute = False  # what this end sends is lost, as with the cable out

    async def receive(self) -> WSMessage:
        return await self.inbox.get()

    async def send_bytes(self, data: bytes) -> None:
        await self.stalled.wait()
        self._deliver(WSMessage(WSMsgType.BINARY, data, None))

    async def send_str(self, data: str) -> None:
        await self.stalled.wait()
        self._deliver(WSMessage(WSMsgType.TEXT, data, None))

    async def ping(self, data: bytes = b"") -> None:
        await self.stalled.wait()
        self._deliver(WSMessage(WSMsgType.PING, data, None))

    async def pong(self, data: bytes = b"") -> None:
        self._deliver(WSMessage(WSMsgType.PONG, data, None))

    async def close(self, *, code: int = 1000, message: bytes = b"") -> bool:
        await self.may_close.wait()
        for _ in range(self.close_takes):
            await asyncio.sleep(0)
        if self.close_code is None:
            self.close_code = code
            self.inbox.put_nowait(WSMessage(WSMsgType.CLOSED, None, None))
            self.other.closed_by_peer(code, message.decode())
        return True

    def closed_by_peer(self, code: int, reason: str = "") -> None:
        if self.close_code is None:
            self.close_code = code
        self.inbox.put_nowait(WSMessage(WSMsgType.CLOSE, code, reason))

    def _deliver(self, message: WSMessage) -> None:
        if self.close_code is not None or self.other.close_code is not None:
            raise ConnectionResetError
        if self.mute:
            return
        self.other.inbox.put_nowait(message)


def pair() -> tuple[MemoryWebSocket, MemoryWebSocket]:
    one, other = MemoryWebSocket(), MemoryWebSocket()
    one.other, other.other = other, one
    return one, other


def channel(
    ws: MemoryWebSocket,
    clock: Clock,
    *,
    codec: Codec = msgpack,
    device: DeviceId | None = None,
    pings: bool = False,
) -> WebSocketChannel:
    def cut() -> None:
        if ws.close_code is None:
            ws.close_code = 1006
            ws.other.closed_by_peer(1006)

    return WebSocketChannel(
        cast("ClientWebSocketResponse", ws), codec, clock=clock, device=device, pings=pings, cut=cut
    )
