"""Carries pairing messages: length and bytes over TLS 1.3, on a port that exists only while a window is open (T3).

Strangers reach this, so it is not HTTP and has no parser but msgpack's. The host shows its certificate, the joiner
none. A frame is a big-endian u32 length, at most 4096, and one MessagePack value: a message, or a word at the end.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec

from agent.adapters.net.accept import ANY_ADDRESS, AcceptLoop, bind
from agent.adapters.net.tls import pairing_client_context, pairing_server_context, peer_certificate
from agent.errors import AgentError, PairingFailed, PeerUnreachable, TurnedAway
from agent.ports import Clock, PairingExchange
from agent.ports.pairing import FRAME_MAX
from agent.protocol.identity import BadCertificate, Identity, check_profile
from agent.protocol.model import Endpoint
from agent.tasks import spawn

RUN_SECONDS = 10.0
"""For a whole exchange; one takes 30 ms."""
CONNECT_SECONDS = 10.0
STAGGER = 0.25
"""Seconds between the starts of attempts at the endpoints of one window (RFC 8305)."""
EXCHANGES = 8
"""At once; beyond it the oldest that has not said anything goes, or else the oldest of the host that has most."""

ACCEPTED = msgspec.msgpack.encode("paired")
REFUSED = msgspec.msgpack.encode("refused")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class TlsPairing:
    """Takes pairing messages from one device to another over TLS (`ports.PairingTransport`)."""

    def __init__(
        self,
        identity: Identity,
        clock: Clock,
        hosts: Sequence[str] = ANY_ADDRESS,
        run_seconds: float = RUN_SECONDS,
    ) -> None:
        """Listen for a window at the addresses `hosts`."""
        self._identity, self._clock = identity, clock
        self._hosts, self._run_seconds = tuple(hosts), run_seconds

    async def serve(self, opened: Callable[[int], None], answer: Callable[[PairingExchange], Awaitable[None]]) -> None:
        """Listen until cancelled. Raises: ConfigError, StateError."""
        context = pairing_server_context(self._identity)
        sockets = bind(0, self._hosts)
        held: dict[asyncio.Task[None], _Exchange] = {}

        async def run(exchange: PairingExchange) -> None:
            await answer(exchange)

        def end(task: asyncio.Task[None]) -> None:
            held.pop(task).drop()  # also when the task was cancelled before its first step

        async with asyncio.TaskGroup() as group:

            def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                if not _make_room(held):
                    writer.transport.abort()
                    return
                exchange = _Exchange(reader, writer, self._identity.certificate, self._run_seconds)
                task = spawn(group, run(exchange), "net.pairing")
                if task is None:
                    exchange.drop()
                    return
                held[task] = exchange
                task.add_done_callback(end)

            def protocol() -> asyncio.Protocol:
                return asyncio.StreamReaderProtocol(asyncio.StreamReader(limit=FRAME_MAX), begin)

            loop = AcceptLoop(sockets, lambda: context, protocol, self._clock)
            opened(loop.endpoints[0].port)
            try:
                await loop.run()
            finally:
                loop.close()

    @asynccontextmanager
    async def connect(self, endpoints: Sequence[Endpoint]) -> AsyncIterator[PairingExchange]:
        """Reach one window at the first endpoint that answers. Raises: PeerUnreachable."""
        (reader, writer), endpoint = await self._first(endpoints)
        certificate = peer_certificate(writer.transport)
        exchange = _Exchange(reader, writer, certificate or b"", self._run_seconds, endpoint)
        try:
            exchange.look()
            yield exchange
        finally:
            await exchange.close()

    async def _first(self, endpoints: Sequence[Endpoint]) -> tuple[Streams, Endpoint]:
        context = pairing_client_context()
        won: list[tuple[Streams, Endpoint]] = []
        problems: list[OSError] = []
        tasks: list[asyncio.Task[None]] = []

        async def attempt(endpoint: Endpoint, delay: float) -> None:
            await self._clock.sleep(delay)
            try:
                streams = await _open(endpoint, context)
            except OSError as exc:
                problems.append(exc)
                return
            won.append((streams, endpoint))
            for task in tasks:
                if task is not asyncio.current_task():
                    task.cancel()

        try:
            async with asyncio.timeout(CONNECT_SECONDS), asyncio.TaskGroup() as group:
                for number, endpoint in enumerate(endpoints):
                    task = spawn(group, attempt(endpoint, number * STAGGER), "net.pairing.connect")
                    if task is not None:
                        tasks.append(task)
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            for (_, writer), _ in won:
                writer.transport.abort()
            raise
        for (_, writer), _ in won[1:]:
            writer.transport.abort()
        if not won:
            raise _nobody(endpoints, problems)
        return won[0]


def _nobody(endpoints: Sequence[Endpoint], problems: Sequence[OSError]) -> PeerUnreachable:
    where = ", ".join(map(_place, endpoints))
    if any(isinstance(each, ssl.SSLError | ConnectionResetError) for each in problems):
        return _no_window(where)
    if problems and all(isinstance(each, socket.gaierror) for each in problems):
        hint = "check the name, or give the address that `agent pair` shows"
        return PeerUnreachable(f"no address is known for {endpoints[0].host}", hint=hint)
    hint = "`agent pair` must still be open on that device, and shows its address and port"
    return PeerUnreachable(f"no pairing window answers at {where}", hint=hint)


def _no_window(where: str) -> PeerUnreachable:
    hint = "give the address and port that `agent pair` shows, while it waits: not those of the service"
    return PeerUnreachable(f"what answers at {where} is no pairing window, or one that has just closed", hint=hint)


def _place(endpoint: Endpoint) -> str:
    return f"{endpoint.host} port {endpoint.port}"


class _Exchange:
    # `ports.PairingExchange` over a pair of streams.

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        certificate: bytes,
        seconds: float,
        joined: Endpoint | None = None,
    ) -> None:
        # `joined`: where a window is thought to be; the joiner's side has it.
        self.certificate = certificate
        self.host = _host_of(writer.get_extra_info("peername"))
        self.spoken = False  # whether the other side has sent anything
        self._reader, self._writer = reader, writer
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._joined = joined

    def look(self) -> None:
        """Look whether a device of ours answers. Raises: PeerUnreachable."""
        try:
            check_profile(self.certificate)
        except BadCertificate as exc:
            assert self._joined is not None
            raise _no_window(_place(self._joined)) from exc

    def _broken(self, told: str) -> AgentError:
        # Another port of this program ends a connection that shows no certificate, and says nothing.
        return PairingFailed(told) if self.spoken or self._joined is None else _no_window(_place(self._joined))

    async def send(self, frame: bytes) -> None:
        assert len(frame) <= FRAME_MAX
        try:
            self._writer.write(len(frame).to_bytes(4) + frame)
            async with asyncio.timeout_at(self._deadline):
                await self._writer.drain()
        except TimeoutError:
            raise PairingFailed("the other device was too slow") from None
        except OSError as exc:
            raise self._broken("the connection to the other device broke") from exc

    async def receive(self) -> bytes:
        frame = await self._read()
        if frame == REFUSED:
            raise TurnedAway
        return frame

    async def end(self, *, accepted: bool) -> None:
        with suppress(PairingFailed):
            await self.send(ACCEPTED if accepted else REFUSED)

    async def accepted(self) -> None:
        if await self.receive() != ACCEPTED:
            raise PairingFailed("the other device did not confirm")

    def drop(self) -> None:
        """Close once what was written is on its way. Idempotent."""
        self._writer.close()

    async def close(self) -> None:
        """Close, and wait for that; one second at most."""
        self._writer.close()
        try:
            async with asyncio.timeout(1.0):
                await self._writer.wait_closed()
        except OSError:  # also TimeoutError
            self._writer.transport.abort()

    async def _read(self) -> bytes:
        try:
            async with asyncio.timeout_at(self._deadline):
                length = int.from_bytes(await self._reader.readexactly(4))
                if length > FRAME_MAX:
                    raise PairingFailed("a pairing message is too long")
                self.spoken = True
                return await self._reader.readexactly(length)
        except TimeoutError:
            raise PairingFailed("the other device was too slow") from None
        except (OSError, EOFError) as exc:
            raise self._broken("the other device hung up") from exc


def _make_room(held: dict[asyncio.Task[None], _Exchange]) -> bool:
    if len(held) < EXCHANGES:
        return True
    going = next((task for task, exchange in held.items() if not exchange.spoken), None)
    if going is None:
        most, count = Counter(exchange.host for exchange in held.values()).most_common(1)[0]
        if count == 1:
            return False
        going = next(task for task, exchange in held.items() if exchange.host == most)
    going.cancel()
    return True


async def _open(endpoint: Endpoint, context: ssl.SSLContext) -> Streams:
    return await asyncio.open_connection(
        endpoint.host, endpoint.port, ssl=context, server_hostname="", limit=FRAME_MAX, ssl_handshake_timeout=5.0
    )


def _host_of(peername: tuple[str, int] | tuple[str, int, int, int] | None) -> str:
    # Python leaves the zone of a link-local address out of its text.
    if peername is None:
        return ""
    if len(peername) == 4 and peername[3]:
        with suppress(OSError):
            return f"{peername[0]}%{socket.if_indextoname(peername[3])}"
    return peername[0]
