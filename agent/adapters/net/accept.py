"""The accept loop in front of TLS: a stranger's silence must cost nothing (T2).

asyncio's own TLS server keeps 307 KiB for 60 s for every mute connect; 4,000 of them took 869 MiB (measured). Here a
socket waits without a buffer, its data left in the kernel, until the whole ClientHello is there: one that is begun
costs no more than silence. Handshakes have a budget for each origin, and one for all strangers together, of which one
origin can use a tenth and the first handshakes of a new one nothing; addresses at which paired devices are known have a
budget of their own that no stranger uses up. When too many wait, the oldest one
of whoever holds most is dropped. Source: FACTS-SECURITY §3 (c) and its limits.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial

from msgspec import Struct

from agent.adapters.net.tls import limit_buffers
from agent.errors import ConfigError
from agent.ports import Clock
from agent.protocol.model import Endpoint
from agent.protocol.ratelimit import Bucket, Rate
from agent.tasks import keep, spawn

ANY_ADDRESS = ("::", "0.0.0.0")  # noqa: S104 - who may come in is decided by the pin, not by the interface
LOOPBACK = frozenset({"127.0.0.1", "::1"})
"""Whoever comes from there is on this machine, and counted as a known one."""
BACKLOG = 512
RECORD_HEADER = 5
"""Bytes before the fragment of a TLS record: type, version, length (RFC 8446, 5.1)."""
HANDSHAKE, CLIENT_HELLO = 0x16, 0x01
"""ContentType of the first record, and type of the first message in it (RFC 8446, 5.1 and 4)."""
HELLO_MAX = 4096
"""Bytes of a first record that are waited for: ours has 517, one with a post-quantum key share 1,800."""
ORIGINS_MAX = 1024
"""Origins whose budget is remembered; the one that was used longest ago is forgotten first."""
KNOWN_FOR = 1.0
"""Seconds for which the addresses of paired devices are not asked for again."""

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_log = logging.getLogger(__name__)


class Limits(Struct, frozen=True, kw_only=True):
    """How much strangers, and paired devices that misbehave, may hold of this process."""

    waiting: int = 256  # sockets whose ClientHello is awaited
    handshakes: int = 16  # at once
    of_known: Rate = Rate(1200.0, 64)  # handshakes of one address at which a paired device is known
    of_one: Rate = Rate(120.0, 8)  # handshakes of one other origin: ten of them use up the budget of all
    of_strangers: Rate = Rate(1200.0, 64)  # handshakes of all origins at which no paired device is known
    first: int = 4  # handshakes of a new origin, which count in `of_newcomers` instead
    of_newcomers: Rate = Rate(600.0, 64)  # such handshakes of all new origins
    hello: float = 2.0  # seconds until the ClientHello is whole
    handshake: float = 5.0  # seconds
    goodbye: float = 2.0  # seconds that a closed connection waits for the other side's end of TLS
    connections: int = 16  # of one paired device
    first_request: float = 5.0  # seconds after the handshake, within which a link must have been asked for and granted


DEFAULT_LIMITS = Limits()


def bind(port: int, hosts: Sequence[str] = ANY_ADDRESS) -> list[socket.socket]:
    """Listen on each of these addresses at one port; 0 picks a free one. An IPv6 socket takes IPv6 only.

    An address family that this machine does not have is left out. Raises: ConfigError, if the port is taken.
    """
    # A free port of one family may be taken in the other: then another one is picked.
    for attempt in range(8):
        try:
            return _bind_all(port, hosts)
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE and port == 0 and attempt < 7:
                continue
            raise _unusable(port, exc) from exc
    raise AssertionError("the last attempt returns or raises")


def _bind_all(port: int, hosts: Sequence[str]) -> list[socket.socket]:
    bound: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for host in hosts:
            try:
                sock = _bind_one(host, port)
            except OSError as exc:
                if exc.errno not in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
                    raise
                absent = exc
                continue
            bound.append(sock)
            port = sock.getsockname()[1]
    except OSError:
        for sock in bound:
            sock.close()
        raise
    if not bound:
        raise absent or OSError(errno.EADDRNOTAVAIL, "no address to listen on")
    return bound


def _bind_one(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)[0][4])
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _unusable(port: int, exc: OSError) -> ConfigError:
    if exc.errno == errno.EADDRINUSE:
        return ConfigError(f"port {port} is in use by another program", hint="choose another one, or 0 for any")
    return ConfigError(f"cannot listen on port {port}: {exc.strerror}", hint="choose a port above 1023, or 0 for any")


class AcceptLoop:
    """Takes connections from listening sockets, through TLS, to protocols."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        context: Callable[[], ssl.SSLContext],
        protocol: Callable[[], asyncio.Protocol],
        clock: Clock,
        limits: Limits = DEFAULT_LIMITS,
        *,
        known: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """`context` is asked once for each handshake, so that trust changes without another listener.

        `known`: the addresses at which paired devices are known.
        """
        self._sockets = tuple(sockets)
        self._context = context
        self._protocol = protocol
        self._clock, self._limits = clock, limits
        self._waiting = _Stage(limits.waiting)
        self._handshakes = _Stage(limits.handshakes)
        self._budgets = _Budgets(limits, clock, known)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses and ports where the loop listens."""
        return tuple(Endpoint(*sock.getsockname()[:2]) for sock in self._sockets)

    async def run(self) -> None:
        """Accept until cancelled; may be called again. Connections that were handed over to a protocol stay."""
        limit_buffers()
        async with asyncio.TaskGroup() as group:
            for sock in self._sockets:
                spawn(group, keep(partial(self._accept, sock, group), "net.accept", self._clock), "net.accept")

    def close(self) -> None:
        """Listen no more; to be called after `run` has ended."""
        for sock in self._sockets:
            sock.close()

    async def _accept(self, listening: socket.socket, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(listening)
            except OSError as exc:
                if exc.errno in _EXHAUSTED:
                    _log.warning("no more connections can be accepted", extra={"reason": exc.strerror})
                    self._waiting.drop_one()
                    await self._clock.sleep(0.1)
                continue  # otherwise the client left before it was accepted
            origin = self._budgets.origin(address[0])
            self._waiting.make_room()
            task = spawn(group, self._admit(sock, origin), "net.admit")
            if task is None:
                sock.close()
                return
            self._waiting.enter(task, origin)
            await asyncio.sleep(0)  # a task that was dropped before its first step could not close its socket

    async def _admit(self, sock: socket.socket, origin: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        handed_over = False
        try:
            try:
                async with asyncio.timeout(self._limits.hello):
                    said_hello = await _hears_hello(sock)
            finally:
                self._waiting.leave(task)
            if said_hello and self._budgets.take(origin):
                self._handshakes.make_room()
                self._handshakes.enter(task, origin)
                handed_over = True  # asyncio closes the socket from here on
                await asyncio.get_running_loop().connect_accepted_socket(
                    self._protocol,
                    sock,
                    ssl=self._context(),
                    ssl_handshake_timeout=self._limits.handshake,
                    ssl_shutdown_timeout=self._limits.goodbye,
                )
        except OSError as exc:  # also TimeoutError, ssl.SSLError and a reset: a stranger's doing, so not worth a line
            _log.debug("connection refused", extra={"origin": origin, "reason": str(exc)})
        finally:
            self._handshakes.leave(task)
            if not handed_over:
                sock.close()
            del task  # it keeps what cancelled it, whose traceback keeps this frame and all of TLS: a circle of 100 KiB


class _Stage:
    # Connections at one step of the way in, oldest first.

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[asyncio.Task[None], str] = {}
        self._by_origin: Counter[str] = Counter()

    def make_room(self) -> None:
        if len(self._held) >= self._limit:
            self.drop_one()

    def drop_one(self) -> None:
        # The oldest of the origin that holds most: a flood from one place pushes out itself.
        if self._held:
            most = self._by_origin.most_common(1)[0][0]
            oldest = next(task for task, origin in self._held.items() if origin == most)
            self.leave(oldest)
            oldest.cancel()

    def enter(self, task: asyncio.Task[None], origin: str) -> None:
        self._held[task] = origin
        self._by_origin[origin] += 1

    def leave(self, task: asyncio.Task[None]) -> None:
        origin = self._held.pop(task, None)
        if origin is not None:
            self._by_origin[origin] -= 1
            if not self._by_origin[origin]:
                del self._by_origin[origin]


class _Origin:
    # One origin's own budget, and how many of its first handshakes are left.

    def __init__(self, rate: Rate, first: int, now: float) -> None:
        self.bucket, self.first = Bucket(rate, now), first


class _Budgets:
    # How many handshakes whoever comes may begin.

    def __init__(self, limits: Limits, clock: Clock, known: Callable[[], Iterable[str]]) -> None:
        self._limits = limits
        self._clock = clock
        self._ask = known
        now = clock.monotonic()
        self._strangers, self._newcomers = Bucket(limits.of_strangers, now), Bucket(limits.of_newcomers, now)
        self._origins: dict[tuple[str, bool], _Origin] = {}  # least recently used first; known ones apart
        self._known = LOOPBACK
        self._known_at = float("-inf")

    def origin(self, host: str) -> str:
        """Who is counted together with that address; one at which a paired device is known stands for itself."""
        now = self._clock.monotonic()
        if now - self._known_at >= KNOWN_FOR:
            self._known, self._known_at = LOOPBACK.union(map(_without_zone, self._ask())), now
        plain = _without_zone(host)
        return plain if plain in self._known else origin_of(host)

    def take(self, origin: str) -> bool:
        """Whether one more handshake of that origin may begin.

        The first ones of an origin need nothing of the budget of all strangers, which a few of them can use up: a
        paired device that comes from an address at which nobody knows it is let in before it can say so.
        """
        now, known = self._clock.monotonic(), origin in self._known
        key = origin, known
        rate = self._limits.of_known if known else self._limits.of_one
        one = self._origins.pop(key, None) or _Origin(rate, self._limits.first, now)
        self._origins[key] = one
        if len(self._origins) > ORIGINS_MAX:
            del self._origins[next(iter(self._origins))]
        if one.bucket.take(now) > 0.0:
            return False
        if known:
            return True
        if one.first and self._newcomers.take(now) == 0.0:
            one.first -= 1
            return True
        return self._strangers.take(now) == 0.0


def _without_zone(host: str) -> str:
    return host.partition("%")[0]


def origin_of(host: str) -> str:
    """Whose connections are counted together: an IPv4 address, or the /64 of an IPv6 one.

    Of a /64 a stranger has all addresses.
    """
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.version == 6:
            return str(ipaddress.ip_network((int(address) & ~((1 << 64) - 1), 64)))
    return host


async def _hears_hello(sock: socket.socket) -> bool:
    # Whether the first record is a whole ClientHello; it is left where it is. False if the other side hangs up before.
    head = await _peek(sock, RECORD_HEADER + 1)
    if len(head) <= RECORD_HEADER or head[0] != HANDSHAKE or head[RECORD_HEADER] != CLIENT_HELLO:
        return False
    size = RECORD_HEADER + int.from_bytes(head[3:RECORD_HEADER])
    return len(head) <= size <= HELLO_MAX and len(await _peek(sock, size)) == size


async def _peek(sock: socket.socket, count: int) -> bytes:
    # So many bytes, left where they are; fewer if the other side hung up. Waked once they are there, not for each one.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
    loop = asyncio.get_running_loop()
    try:
        while True:
            ready: asyncio.Future[None] = loop.create_future()
            loop.add_reader(sock, _wake, ready)
            try:
                await ready
            finally:
                loop.remove_reader(sock)
            with suppress(BlockingIOError, InterruptedError):
                return sock.recv(count, socket.MSG_PEEK)
    finally:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
