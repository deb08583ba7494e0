"""The HTTP side of the gateway: the control socket for this user, the WebSocket for paired gateways (T2, T7)."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import web
from msgspec import UNSET, Raw

from agent.errors import AgentError, BadRequest, Busy, Forbidden, NotPaired, TooLarge
from agent.gateway.router import Router
from agent.links.peers import Peers
from agent.peercred import peer_pid, peer_uid
from agent.ports import Channel, Followed
from agent.protocol.codec import CODECS, FRAME_IN_MAX, FRAME_OUT_MAX, JSON, MSGPACK, Codec, json
from agent.protocol.messages import Ready
from agent.protocol.methods import GATEWAY_READY, METHODS, NotificationKind, P
from agent.protocol.model import DeviceId, SessionId
from agent.tasks import failures

log = logging.getLogger(__name__)


class ChannelMaker(Protocol):
    """Wraps an accepted WebSocket into a channel (`adapters.net.link`, chosen by the daemon)."""

    def __call__(
        self, ws: web.WebSocketResponse, codec: Codec, *, device: DeviceId | None, transport: asyncio.Transport | None
    ) -> Channel:
        """`device`: whose key authenticated it, None for a client of this device."""


class Gateway:
    """Serves both doors. `device_of` gives the paired device whose key authenticated a LAN connection."""

    def __init__(
        self,
        *,
        own: Ready,
        router: Router,
        peers: Peers,
        make_channel: ChannelMaker,
        device_of: Callable[[web.Request], DeviceId | None],
        linked: Callable[[web.Request], None],
        inside: Callable[[int | None], Awaitable[SessionId | None]],
    ) -> None:
        """`linked` takes each LAN connection that may stay.

        `inside` tells in which session a process of this machine runs, if in any.
        """
        self._own = own
        self._router = router
        self._peers = peers
        self._make_channel = make_channel
        self._device_of = device_of
        self._inside = inside
        self._linked = linked

    def control_app(self) -> web.Application:
        """The application behind the control socket."""
        app = web.Application(client_max_size=FRAME_IN_MAX, middlewares=[_only_this_user])
        app.router.add_post("/v1/rpc", self._rpc)
        app.router.add_get("/v1/ws", self._client)
        return app

    def lan_app(self) -> web.Application:
        """The application behind the LAN port. No unpaired device gets this far; one that does may open a link."""
        app = web.Application(client_max_size=1024, middlewares=[_no_browser])
        app.router.add_get("/v1/ws", self._peer)
        return app

    async def _rpc(self, request: web.Request) -> web.Response:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            failure = json.failure(None, TooLarge(f"a request of more than {FRAME_IN_MAX:,} bytes"))
            return web.Response(body=failure, content_type="application/json")
        answer = json.failure(None, BadRequest())
        try:
            envelope = json.decode(body)
            request_id = envelope.id if isinstance(envelope.id, int | str) else None
            once = _Once()
            await self._look_inside(request, once)
            try:
                answer = await self._answer(once, envelope.method, envelope.params, request_id)
            finally:
                self._router.on_closed(once)
        except AgentError as exc:
            answer = json.failure(None, exc)
        return web.Response(body=answer, content_type="application/json")

    async def _answer(self, once: _Once, method: object, params: object, request_id: int | str | None) -> bytes:
        if not isinstance(method, str) or request_id is None:
            return json.failure(request_id, BadRequest("one request with an id is answered here"))
        if method in METHODS and METHODS[method].follows is not None:
            return json.failure(request_id, Forbidden(f"{method} needs a WebSocket", hint="connect to /v1/ws"))
        try:
            raw = Raw(b"\x80") if params is UNSET or not isinstance(params, Raw) else params
            result = await self._router.on_request(once, method, raw)
            return json.response(request_id, result.result if isinstance(result, Followed) else result)
        except AgentError as exc:
            return json.failure(request_id, exc)
        except Exception as exc:  # noqa: BLE001 - recorded
            failures().note(f"rpc.{method}", exc)
            return json.failure(request_id, AgentError("the service failed; its log says more"))

    async def _client(self, request: web.Request) -> web.StreamResponse:
        ws = _websocket((MSGPACK, JSON), FRAME_IN_MAX)
        if not await opened(ws, request):
            return web.Response()  # to nobody; aiohttp would end a socket that never was one
        codec = CODECS[ws.ws_protocol or MSGPACK]
        channel = self._make_channel(ws, codec, device=None, transport=request.transport)
        channel.notify(GATEWAY_READY, self._own)
        await self._look_inside(request, channel)
        await channel.run(self._router)
        return ws

    async def _look_inside(self, request: web.Request, client: Channel) -> None:
        # When it connects, and not later: it may have started and become anything by then.
        session = await self._inside(peer_pid(_transport_info(request, "socket")))
        if session is not None:
            self._router.guard.note(client, session)

    async def _peer(self, request: web.Request) -> web.StreamResponse:
        device = self._device_of(request)
        if device is None:
            raise web.HTTPForbidden
        try:
            self._router.connecting(device)
        except Busy as exc:
            raise web.HTTPTooManyRequests(text=exc.in_full) from exc
        ws = _websocket((MSGPACK,), FRAME_OUT_MAX)
        if not await opened(ws, request):
            return web.Response()  # to nobody; aiohttp would end a socket that never was one
        self._linked(request)
        channel = self._make_channel(ws, CODECS[MSGPACK], device=device, transport=request.transport)
        try:
            await self._peers.accept(channel, remote_host(_transport_info(request, "peername")))
        except NotPaired:
            channel.abort()
        return ws


class _Once:
    # The channel of a single request: there is nobody to tell anything afterwards.
    device: DeviceId | None = None
    codec = json
    close_reason = ""
    open = True

    def send(self, frame: bytes, *, replaces: str = "") -> None:
        pass

    def notify(self, kind: NotificationKind[P], params: P) -> None:
        pass

    async def request(self, method: str, params: object, *, seconds: float) -> Raw:  # noqa: ARG002 - the port's
        raise Forbidden

    async def run(self, handler: object) -> None:
        pass

    def close(self, reason: str = "") -> None:
        pass

    def abort(self) -> None:
        pass

    def doubt(self) -> None:
        pass

    async def drained(self) -> None:
        pass

    def busy(self, *, attached: bool) -> None:
        pass


def _websocket(protocols: tuple[str, ...], frame_max: int) -> web.WebSocketResponse:
    return web.WebSocketResponse(
        protocols=protocols, autoping=False, compress=False, max_msg_size=frame_max, timeout=1.0
    )


async def opened(ws: web.WebSocketResponse, request: web.Request) -> bool:
    """Upgrade a request to a WebSocket; whether whoever asked is still there."""
    # Whoever dials several addresses hangs up on all but the first that answers: that is nobody's fault.
    try:
        await ws.prepare(request)
    except ConnectionError as exc:
        log.debug("hung up before it was answered", extra={"error": str(exc)})
        return False
    return True


@web.middleware
async def _only_this_user(request: web.Request, handler: Callable[[web.Request], object]) -> web.StreamResponse:
    # The 0700 folder keeps others out; this is the second look (T7). A browser has no business here either.
    uid = peer_uid(_transport_info(request, "socket"))
    if uid not in {None, 0, os.geteuid()} or _of_a_browser(request):
        raise web.HTTPForbidden
    response = await handler(request)  # type: ignore[misc] # aiohttp's Handler type is private
    assert isinstance(response, web.StreamResponse)
    return response


@web.middleware
async def _no_browser(request: web.Request, handler: Callable[[web.Request], object]) -> web.StreamResponse:
    # On every path: gateways send none of these headers, browsers cannot leave them out (T5).
    if _of_a_browser(request):
        raise web.HTTPForbidden
    response = await handler(request)  # type: ignore[misc] # aiohttp's Handler type is private
    assert isinstance(response, web.StreamResponse)
    return response


def _of_a_browser(request: web.Request) -> bool:
    return any(name.upper().startswith(("ORIGIN", "COOKIE", "SEC-FETCH-")) for name in request.headers)


def remote_host(peername: object) -> str:
    """The IP address of the other side, link-local IPv6 with its zone: else it could not be dialled back."""
    if not isinstance(peername, tuple):
        return ""
    host, *_, scope = peername
    if len(peername) < 4 or not scope:
        return str(host)
    try:
        return f"{host}%{socket.if_indextoname(scope)}"
    except OSError:
        return f"{host}%{scope}"


def _transport_info(request: web.Request, what: str) -> Any:
    return request.transport.get_extra_info(what) if request.transport else None
