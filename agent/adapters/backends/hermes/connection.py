"""One WebSocket to a gateway, and the few pages that are read over HTTP. Imported when a gateway is reached for.

The token stands in the address of the socket, the only place where stock gateways take it. So no error of aiohttp,
which quotes addresses, leaves this module (T7). No proxy, cookie or redirect has a part in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
from msgspec import Raw, Struct

from agent.adapters.backends.hermes import wire
from agent.adapters.backends.hermes.wire import (
    GatewayEvent,
    GatewayQuestion,
    GatewayReady,
    Refusal,
    TokenRefused,
    Unreached,
)
from agent.pending_calls import PendingCall
from agent.protocol.bounds import Whole, Words
from agent.protocol.jsonrpc import CallFailed, LenientEnd
from agent.protocol.lenient import LenientReader, read

CONNECT = 5.0
"""Seconds to connect, and again for the first frame."""
FRAME_MAX = 32 << 20
"""Bytes of one frame: twice what a gateway takes itself."""
PAGE_MAX = 1 << 20
"""Bytes of a page."""
_TOKEN = re.compile(rb'__HERMES_SESSION_TOKEN__\s*=\s*"([\x21-\x7e]{1,512}?)"')

Heard = Callable[[GatewayEvent | GatewayQuestion], Awaitable[None]]
"""Takes what comes; the next frame is read when it returns."""


class GatewayStatus(Struct, frozen=True):
    """The answer to `GET /api/status`, which every gateway gives anybody on this machine."""

    version: Words
    active_sessions: Whole
    auth_required: bool = False


class GatewayConnection:
    """An open connection. `newer`: the gateway speaks the later generation. `epoch`: of its event numbers."""

    def __init__(
        self, http: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse, ready: GatewayReady
    ) -> None:
        self._http = http
        self._socket = socket
        self.epoch = ready.replay_epoch
        self.newer = ready.replay_epoch is not None
        self._reader = LenientReader()
        self._end: LenientEnd[str, GatewayEvent | GatewayQuestion | None] = LenientEnd(
            wire.encode, lambda data: wire.decode(data, self._reader), prefix="a"
        )
        self._over = False

    async def call(self, method: str, params: dict[str, Any], *, seconds: float) -> Raw:
        """Send a request and wait for its result. Raises: Refusal, Unreached."""
        with PendingCall(self._end, method, params) as call:
            try:
                await self.send(call.frame)
                return await call.answer(seconds)
            except TimeoutError:
                raise Unreached(f"the Hermes gateway did not answer {method} within {seconds:g} s") from None
            except CallFailed as exc:
                raise Refusal(method, exc) from None

    async def send(self, message: str) -> None:
        """Send one frame. Raises: Unreached, if the connection is gone."""
        try:
            if self._over:
                raise ConnectionResetError
            await self._socket.send_str(message)
        except (aiohttp.ClientError, OSError):
            raise _lost() from None

    async def run(self, heard: Heard) -> None:
        """Read until the connection ends; then every waiting `call` has failed."""
        try:
            while (message := await self._socket.receive()).type in _DATA:
                for data in wire.messages_in(message.data, self._reader):
                    item = self._end.receive(data)
                    if isinstance(item, GatewayEvent | GatewayQuestion):
                        await heard(item)
        finally:
            self._over = True
            self._end.fail(_lost)

    async def close(self) -> None:
        """Hang up on the gateway. Idempotent."""
        self._over = True
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._socket.close()
        await self._http.close()


def _lost() -> Unreached:
    return Unreached("the connection to the Hermes gateway is lost", hint="it is tried again")


async def connect(base: str, token: str) -> GatewayConnection:
    """Open the connection to the gateway at `base` (http://127.0.0.1:PORT). Raises: Unreached."""
    http = _session()
    try:
        address = f"ws{base.removeprefix('http')}/api/ws"
        async with asyncio.timeout(CONNECT):
            socket = await http.ws_connect(
                address, params={"token": token}, max_msg_size=FRAME_MAX, compress=0, timeout=_CLOSE
            )
        async with asyncio.timeout(CONNECT):
            ready = await _ready(socket)
    except aiohttp.WSServerHandshakeError as exc:
        await http.close()
        if exc.status not in {401, 403}:
            raise Unreached(f"the Hermes gateway answers with HTTP status {exc.status}", hint="see its log") from None
        raise TokenRefused from None
    except (aiohttp.ClientError, OSError, ValueError, TypeError):  # TypeError: a frame that is no text
        await http.close()
        raise Unreached("no Hermes gateway answers", hint="see `agent backends`") from None
    except BaseException:
        await http.close()
        raise
    return GatewayConnection(http, socket, ready)


async def status_of(base: str, seconds: float) -> GatewayStatus | None:
    """The status that the gateway at `base` tells; None if none answers like one."""
    page = await _page(f"{base}/api/status", seconds)
    try:
        return msgspec.json.decode(page, type=GatewayStatus) if page else None
    except (ValueError, RecursionError):
        return None


async def token_of(base: str, seconds: float) -> str:
    """The token that the gateway's page gives to every local browser; empty if it gives none."""
    found = _TOKEN.search(await _page(f"{base}/", seconds) or b"")
    return found[1].decode() if found else ""


_DATA = {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}
_CLOSE = aiohttp.ClientWSTimeout(ws_close=1.0)


async def _ready(socket: aiohttp.ClientWebSocketResponse) -> GatewayReady:
    while True:
        message = await socket.receive()
        if message.type not in _DATA:
            raise ConnectionResetError
        for data in wire.messages_in(message.data, LenientReader()):
            item = wire.decode(data)
            if isinstance(item, GatewayEvent) and item.type == "gateway.ready":
                return read(item.payload, GatewayReady) or GatewayReady()


async def _page(address: str, seconds: float) -> bytes | None:
    try:
        async with asyncio.timeout(seconds), _session() as http, http.get(address, allow_redirects=False) as page:
            return await page.content.read(PAGE_MAX) if page.status == 200 else None
    except (aiohttp.ClientError, OSError):
        return None


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
