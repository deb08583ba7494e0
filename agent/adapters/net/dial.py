"""Opening links: every address of a peer in parallel, the pin decides, the first that answers wins (L3, T2)."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from agent.adapters.net.frames import FrameGuard
from agent.adapters.net.link import WebSocketChannel
from agent.errors import AgentError, NotPaired, PeerUnreachable, Refused
from agent.ports import Clock
from agent.protocol.codec import FRAME_OUT_MAX, MSGPACK, msgpack
from agent.protocol.model import DeviceId, Endpoint
from agent.tasks import spawn

log = logging.getLogger(__name__)

ATTEMPT = 5.0
"""Seconds for one attempt: TCP, TLS and the WebSocket's answer."""
ADDRESSES_MAX = 16
STAGGER_NEAR, STAGGER_FAR = 0.05, 0.25
"""Seconds between the starts of two attempts to connect: on a network of ours, and elsewhere."""

_REASONS = {
    errno.ECONNREFUSED: "nothing listens there",
    errno.ETIMEDOUT: "no answer in time",
    errno.EHOSTUNREACH: "no device has that address",
    errno.EHOSTDOWN: "no device has that address",
    errno.ENETUNREACH: "no network leads there",
    errno.ENETDOWN: "the network is down",
    errno.EADDRNOTAVAIL: "that network is not there any more",
    errno.ENODEV: "that network is not there any more",
    errno.ENXIO: "that network is not there any more",
    errno.EINVAL: "that is no address of a network here",
    errno.EAFNOSUPPORT: "this machine has no addresses of that kind",
    errno.EACCES: "this machine does not allow it",
    errno.EPERM: "this machine does not allow it",
    errno.ECONNRESET: "the connection broke",
    errno.ECONNABORTED: "the connection broke",
    errno.EPIPE: "the connection broke",
    errno.EMFILE: "this machine has no room for more connections",
    errno.ENFILE: "this machine has no room for more connections",
    errno.ENOBUFS: "this machine has no room for more connections",
    errno.ENOMEM: "this machine has no memory left",
}


def dial_schedule(endpoints: Sequence[Endpoint], on_link: Callable[[str], bool]) -> list[tuple[float, Endpoint]]:
    """When to try each endpoint, in seconds from the start: the first at once, then those on our own networks.

    One on a network of ours (`on_link`) answers in about 1 ms, so it waits 50 ms for those before it; any other one
    waits 250 ms (RFC 8305 §5).
    """
    near = [endpoint for endpoint in endpoints[1:] if on_link(endpoint.host)]
    far = [endpoint for endpoint in endpoints[1:] if not on_link(endpoint.host)]
    schedule: list[tuple[float, Endpoint]] = []
    at = 0.0
    for endpoint in [*endpoints[:1], *near, *far]:
        if schedule:
            at += STAGGER_NEAR if on_link(endpoint.host) else STAGGER_FAR
        schedule.append((at, endpoint))
    return schedule


class _Fixed(AbstractResolver):
    # Every name is this one address: link-local IPv6 with its zone does not fit a URL.
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def resolve(
        self,
        host: str,
        port: int = 0,  # noqa: ARG002 - aiohttp's signature
        family: socket.AddressFamily = socket.AF_UNSPEC,
    ) -> list[ResolveResult]:
        family = socket.AF_INET6 if ":" in self._endpoint.host else socket.AF_INET
        found = ResolveResult(
            hostname=host,
            host=self._endpoint.host,
            port=self._endpoint.port,
            family=family,
            proto=socket.IPPROTO_TCP,
            flags=socket.AI_NUMERICHOST,
        )
        return [found]

    async def close(self) -> None:
        pass


class _Guarding(aiohttp.TCPConnector):
    # Puts a guard between TLS and aiohttp, before anything is asked.
    def __init__(self, clock: Clock, endpoint: Endpoint, context: ssl.SSLContext) -> None:
        super().__init__(resolver=_Fixed(endpoint), ssl=context, force_close=True, limit=1)
        self._clock = clock

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        transport, protocol = connection.transport, connection.protocol
        if transport is not None and protocol is not None:
            transport.set_protocol(FrameGuard(protocol, self._clock, transport))
        return connection


class _Socket(aiohttp.ClientWebSocketResponse):
    # One that can be let go of at once: its connection is else nobody's if whoever dialled gave up in between.
    def let_go(self) -> None:
        self._response.close()


class TlsDialer:
    """Dials paired devices with mutual TLS. `context_for` gives the pinned client context, or None if not paired.

    `on_link` tells whether an address is on a network of this machine.
    """

    def __init__(
        self,
        *,
        context_for: Callable[[DeviceId], ssl.SSLContext | None],
        probe_context: Callable[[], ssl.SSLContext],
        clock: Clock,
        on_link: Callable[[str], bool] = lambda host: True,  # noqa: ARG005 - as on one LAN
    ) -> None:
        self._context_for = context_for
        self._probe_context = probe_context
        self._clock = clock
        self._on_link = on_link

    async def dial(self, device: DeviceId, endpoints: Sequence[Endpoint]) -> tuple[WebSocketChannel, Endpoint]:
        """Connect at the first endpoint that answers with the device's key.

        Raises: NotPaired, Refused (it answered and does not accept us), PeerUnreachable.
        """
        context = self._context_for(device)
        if context is None:
            raise NotPaired
        problems: list[AgentError] = []
        opened: list[tuple[_Owning, Endpoint]] = []  # in the order in which they answered
        won: tuple[_Owning, Endpoint] | None = None

        async def attempt(endpoint: Endpoint, delay: float) -> None:
            outcome = await self._attempt(device, endpoint, context, delay)
            if isinstance(outcome, AgentError):
                problems.append(outcome)
            else:
                opened.append(outcome)

        try:
            async with asyncio.TaskGroup() as group:
                attempts = {
                    task
                    for delay, endpoint in dial_schedule(endpoints[:ADDRESSES_MAX], self._on_link)
                    if (task := spawn(group, attempt(endpoint, delay), "dial.attempt"))
                }
                waiting = attempts
                while waiting and not opened:
                    _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in attempts:
                    task.cancel()
            won = opened[0] if opened else None
        finally:
            try:
                for other in opened:
                    if other is not won:
                        await other[0].discard()
            except asyncio.CancelledError:
                if won is not None:
                    await won[0].discard()  # nobody waits for it any more
                raise
        if won is not None:
            return won
        refused = next((problem for problem in problems if isinstance(problem, Refused)), None)
        tried = f"{len(problems)} address{'' if len(problems) == 1 else 'es'}"
        raise refused or PeerUnreachable(f"no answer at {tried}{_why(problems)}")

    async def identify(self, endpoint: Endpoint) -> bytes | None:
        """The certificate (DER) that answers at an endpoint, without telling who asks; None if nobody does."""
        with suppress(OSError, TimeoutError, ssl.SSLError):
            async with asyncio.timeout(ATTEMPT):
                _, writer = await asyncio.open_connection(
                    endpoint.host, endpoint.port, ssl=self._probe_context(), server_hostname=""
                )
                tls = writer.get_extra_info("ssl_object")
                certificate: bytes | None = tls.getpeercert(binary_form=True)
                writer.transport.abort()
                return certificate
        return None

    async def _attempt(
        self, device: DeviceId, endpoint: Endpoint, context: ssl.SSLContext, delay: float
    ) -> tuple[_Owning, Endpoint] | AgentError:
        await asyncio.sleep(delay)
        connector = _Guarding(self._clock, endpoint, context)
        session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), ws_response_class=_Socket
        )
        kept = False
        try:
            async with asyncio.timeout(ATTEMPT):
                ws = await session.ws_connect(
                    f"https://gateway.invalid:{endpoint.port}/v1/ws",
                    protocols=(MSGPACK,),
                    autoping=False,
                    compress=0,
                    max_msg_size=FRAME_OUT_MAX,
                    server_hostname="0.0.0.0",  # noqa: S104 - an address: no server name is sent
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                )
            assert isinstance(ws, _Socket), "it was asked for"
            kept = True
        except aiohttp.WSServerHandshakeError as exc:
            log.debug("no link", extra={"device": device, "status": exc.status})
            return PeerUnreachable("it says that this device connects too often") if exc.status == 429 else Refused()
        except (aiohttp.ServerDisconnectedError, ConnectionResetError) as exc:
            log.debug("refused", extra={"device": device, "error": str(exc)})
            return Refused()
        except aiohttp.ClientConnectorCertificateError:
            return PeerUnreachable("another device answers there")
        except aiohttp.ClientOSError as exc:
            # The server closes right after the handshake when it does not accept us: the request then meets a reset.
            # Not aiohttp's own words: they name the host that stands in the URL for every peer.
            return PeerUnreachable(reason(exc.os_error)) if isinstance(exc, aiohttp.ClientConnectorError) else Refused()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
            log.debug("no link", extra={"device": device, "error": repr(exc)})
            return PeerUnreachable(reason(exc))
        finally:
            if not kept:
                await session.close()
        return _Owning(ws, session, device, self._clock), endpoint


class _Owning(WebSocketChannel):
    # A channel that closes the client session it came from.
    def __init__(self, ws: _Socket, session: aiohttp.ClientSession, device: DeviceId, clock: Clock) -> None:
        transport = ws.get_extra_info("socket")
        super().__init__(ws, msgpack, clock=clock, device=device, pings=True, cut=lambda: _shut(transport))
        self._socket, self._session = ws, session

    async def discard(self) -> None:
        """Let go of a connection that is not needed; it never runs."""
        self.abort()
        self._socket.let_go()
        await self._session.close()

    async def run(self, handler: object) -> None:
        try:
            await super().run(handler)  # type: ignore[arg-type] # the port's type, checked where it is called
        finally:
            self._socket.let_go()
            await self._session.close()


def _shut(sock: socket.socket | None) -> None:
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def _why(problems: Sequence[AgentError]) -> str:
    said = {str(problem) for problem in problems}
    return f" ({'; '.join(sorted(said))[:200]})" if said else ""


def reason(error: BaseException) -> str:
    """One clause, without a code or the name of a class, on why connecting failed."""
    if isinstance(error, TimeoutError):
        return _REASONS[errno.ETIMEDOUT]
    if isinstance(error, socket.gaierror | UnicodeError | ValueError) and not isinstance(error, ssl.SSLError):
        return "that is no address"
    if isinstance(error, ssl.SSLError):
        return "it does not speak as a gateway does"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return _REASONS.get(error.errno) or os.strerror(error.errno).lower()
    return "the connection broke"
