"""The own service over a WebSocket, for commands that stay: streams what it tells and returns after a restart of it."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import msgspec
from msgspec import Struct

from agent.client.control_socket import check_server, check_socket
from agent.client.pending import WaitingCall
from agent.clock import SystemClock
from agent.errors import AgentError, Busy, NotRunning, PeerLost, RemoteFault, TakenBack, TimedOut, TooLarge
from agent.pending_calls import PendingCall
from agent.protocol import codec
from agent.protocol.jsonrpc import End, Notification
from agent.protocol.messages import Created, CreateSession, PeerLink, Ready
from agent.protocol.methods import (
    GATEWAY_READY,
    NOTIFICATIONS,
    PEER_BACK,
    REQUEST_CANCEL,
    SESSION_CREATE,
    Method,
    NotificationKind,
    P,
    R,
)
from agent.protocol.model import DeviceId
from agent.protocol.times import rfc3339
from agent.protocol.waiting import PATIENCE, CancelCall, Patient, Waiting

ROOM = 1024
"""Notes that wait for the command. Beyond, nothing more is read while no answer is awaited: the service then cuts this
client off as a slow one (S5), and it returns with its `seq`."""
ANSWER = 60.0
"""Seconds for an answer, beyond those that the request may wait."""
SERVICE = "the service on this device"
RETRY = 0.2
"""Seconds between looks at the socket: local, so cheap."""
HELLO = 10.0
"""Seconds that the service has to say `gateway.ready`."""


class ServiceLost(NotRunning):
    """The connection to the own service broke."""

    hint = "start it with `agent up`; its sessions are kept"


class ConnectionLost(Struct, frozen=True):
    """The connection to the own service broke, and is being looked for."""


class ConnectionBack(Struct, frozen=True):
    """The service is back: attach again, from the last `seq`."""


class PeerBack(Struct, frozen=True):
    """`peer.back`; `peer.lost` is a bare `PeerLink`."""

    link: PeerLink


Note = Struct
"""What `Stream.notes` gives: `ConnectionLost`, `ConnectionBack`, or the params of a notification."""


class Stream:
    """A connection to the own service that heals itself. Made by `streaming`."""

    def __init__(self, path: Path, patience: float, wait: float, tasks: asyncio.TaskGroup) -> None:
        self.clock = SystemClock()
        self._path = path
        self._patience = patience
        self._wait = wait
        self._tasks = tasks
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._end: End[bytes, codec.Message] = End(codec.msgpack.encode, codec.msgpack.message)
        self._notes: deque[Note] = deque()
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self._moved = asyncio.Event()
        self._calls: dict[str, WaitingCall] = {}  # requests that may wait, by id
        self._connected_once = False  # since the connection was lost last
        self._lost_at = ""  # RFC 3339: since when the service is away
        self.waiting: Callable[[Waiting], None] | None = None  # told of requests that nobody else is told of
        self.own: Ready | None = None  # the first gateway.ready ever; later ones never overwrite it (DESIGN §3)
        self.failure: AgentError | None = None  # why `notes` ended

    @property
    def device(self) -> str:
        """The id of the own device; "" until the service has said who it is."""
        return self.own.device if self.own else ""

    async def request(self, method: Method[P, R], params: P, *, seconds: float = ANSWER) -> R:
        """Send a request once. Raises: TooLarge, ServiceLost (before the answer), TimedOut, or what was told."""
        if self._socket is None:
            raise self.failure or ServiceLost("the connection to the service is lost")
        with PendingCall(self._end, method.name, params) as pending:
            if len(pending.frame) > codec.FRAME_IN_MAX:  # the service would close the connection, and after each return
                raise TooLarge(f"{len(pending.frame):,} bytes are too much for one message; {codec.FRAME_IN_MAX:,} fit")
            self._room.set()  # an answer is awaited: read on, whatever waits
            try:
                await self._socket.send_bytes(pending.frame)
                return codec.typed(await pending.answer(seconds), method.result)
            except TimeoutError:
                raise TimedOut(f"no answer to {method.name} within {seconds:g} s") from None
            except (ConnectionError, aiohttp.ClientError) as exc:
                self._socket = None
                raise ServiceLost("the connection to the service broke") from exc

    async def tell(self, kind: NotificationKind[P], params: P) -> None:
        """Send a notification, which is lost with a lost connection."""
        if self._socket is not None:
            await self._send(self._socket, codec.msgpack.notification(kind.name, params))

    async def insist(self, method: Method[P, R], params: P, *, call: WaitingCall | None = None) -> R:
        """Send a request again after every lost connection: one that may be told twice, such as a prompt (S3).

        What is about a session waits for its device, and for the service, as long as this stream's `wait` says (L8).
        Raises: ServiceLost (away for too long), TakenBack, PeerUnreachable, PeerLost, or what the service told.
        """
        call = call or WaitingCall(self.waiting)
        until = math.inf
        if isinstance(params, Patient):
            until = self.clock.monotonic() + (self._wait if params.wait is None else params.wait)
        sent = False  # to a service that has not answered it
        self._calls[call.id] = call
        try:
            while True:
                left = max(0.0, until - self.clock.monotonic())
                asked, seconds = params, ANSWER
                if isinstance(params, Patient):
                    asked, seconds = msgspec.structs.replace(params, wait=left, call_id=call.id), left + ANSWER
                was_up = self._socket is not None
                try:
                    return await self.request(method, asked, seconds=seconds)
                except Busy as exc:
                    if not exc.retry_after or exc.retry_after > left:
                        raise
                    await self.clock.sleep(exc.retry_after)
                except ServiceLost as exc:
                    sent = sent or was_up
                    if left <= 0:
                        raise
                    await self._service(method.name, params, call, left, sent=sent, lost=exc)
                if call.taken_back:
                    raise PeerLost(f"it was sent, and {SERVICE} went away: ask it again") if sent else TakenBack
        finally:
            del self._calls[call.id]

    async def create(self, asked: CreateSession, call: WaitingCall, *, seconds: float) -> Created:
        """Have a session made, once: it waits for its device as `asked` says, and can be taken back until then (L8).

        `seconds`: for making it, once the device is there. Raises: TakenBack, and as `request`.
        """
        self._calls[call.id] = call
        try:
            request = msgspec.structs.replace(asked, call_id=call.id)
            return await self.once(SESSION_CREATE, request, seconds=asked.wait + seconds)
        finally:
            del self._calls[call.id]

    async def once(self, method: Method[P, R], params: P, *, seconds: float = ANSWER) -> R:
        """Send a request that must not be done twice: only a refusal that says when to come again is waited out (L8).

        Raises: as `request`.
        """
        until = self.clock.monotonic() + self._wait
        while True:
            try:
                return await self.request(method, params, seconds=seconds)
            except Busy as exc:
                if not exc.retry_after or self.clock.monotonic() + exc.retry_after > until:
                    raise
                await self.clock.sleep(exc.retry_after)

    async def _service(
        self, method: str, params: object, call: WaitingCall, left: float, *, sent: bool, lost: ServiceLost
    ) -> None:
        # Returns once the service is there, or the request was taken back.
        if isinstance(params, Patient) and self._socket is None:
            call.waits(
                Waiting(
                    call_id=call.id,
                    session_id=params.session_id,
                    method=method,
                    device=DeviceId(self.device),
                    name=SERVICE,
                    since=self._lost_at,
                    sent=sent,
                )
            )
        try:
            async with asyncio.timeout(None if left == math.inf else left):
                while self._socket is None and not call.taken_back:
                    if self.failure is not None:
                        raise self.failure
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            raise lost from None

    def take_back(self, call: WaitingCall) -> None:
        """Take a request back; what waits for its answer is told whether it was sent before."""
        call.taken_back = True
        self._moved.set()
        socket = self._socket
        if socket is not None:
            told = codec.msgpack.notification(REQUEST_CANCEL.name, CancelCall(call_id=call.id))
            self._tasks.create_task(self._send(socket, told), name="cli.take-back")

    @staticmethod
    async def _send(socket: aiohttp.ClientWebSocketResponse, frame: bytes) -> None:
        with suppress(ConnectionError, aiohttp.ClientError):
            await socket.send_bytes(frame)

    async def notes(self) -> AsyncIterator[Note]:
        """Everything that the service tells, in order. Raises: why it ends, when the service stays away."""
        while True:
            while self._notes:
                note = self._notes.popleft()
                if len(self._notes) < ROOM:
                    self._room.set()
                yield note
            if self.failure is not None:
                raise self.failure
            self._some.clear()
            await self._some.wait()

    async def run(self, ready: asyncio.Future[None]) -> None:
        """Connect, read, connect again. `ready` is resolved, or fails, with the first connection."""
        while True:
            try:
                async with self._connected() as socket:
                    if ready.done():
                        self._put(ConnectionBack())
                    self._moved.set()
                    if not ready.done():
                        ready.set_result(None)
                    await self._read(socket)
                reason = ServiceLost("the service went away")
            except AgentError as exc:
                if not ready.done():
                    ready.set_exception(exc)
                    return
                reason = ServiceLost(str(exc), hint=exc.hint)
            self._down(reason)
            if not await self._back():
                self.failure = reason
                self._moved.set()
                self._some.set()
                return

    async def _back(self) -> bool:
        # Waits until something listens again.
        until = self.clock.monotonic() + self._patience
        while self.clock.monotonic() < until:
            await self.clock.sleep(RETRY)
            with suppress(AgentError, OSError):
                check_socket(self._path)
                _, writer = await asyncio.open_unix_connection(str(self._path))
                writer.close()
                return True
        return False

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        check_socket(self._path)
        connector = aiohttp.UnixConnector(str(self._path))
        async with aiohttp.ClientSession(connector=connector) as session:
            try:
                async with asyncio.timeout(HELLO):
                    socket = await session.ws_connect(
                        "http://localhost/v1/ws",
                        protocols=[codec.MSGPACK],
                        max_msg_size=codec.FRAME_OUT_MAX,
                        compress=0,
                    )
                    check_server(socket.get_extra_info("socket"))
                    frame = await socket.receive()
            except aiohttp.WSServerHandshakeError as exc:
                raise RemoteFault(f"what listens at {self._path} is not the service ({exc.status})") from exc
            except (OSError, aiohttp.ClientError) as exc:
                raise NotRunning("the service is not running") from exc
            async with socket:
                if frame.type is not aiohttp.WSMsgType.BINARY:
                    raise NotRunning("the service closed the connection", hint="see its log")
                hello = codec.msgpack.decode(frame.data)
                if hello.method != GATEWAY_READY.name:
                    raise RemoteFault("the service did not say who it is", hint="update it: `agent status`")
                self._told_ready(codec.typed(hello.params, Ready))
                self._socket, self._connected_once = socket, True
                yield socket

    def _told_ready(self, ready: Ready) -> None:
        if self.own is None:
            self.own = ready

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for frame in socket:
            if frame.type is not aiohttp.WSMsgType.BINARY:
                continue
            message = self._end.receive(frame.data)
            if isinstance(message, Notification):
                self._take(message)
            while len(self._notes) >= ROOM and not self._end.waits:
                self._room.clear()
                await self._room.wait()

    def _take(self, notification: Notification) -> None:
        kind = NOTIFICATIONS.get(notification.method)
        if kind is None:
            return
        note = codec.typed(notification.params, kind.params)
        if isinstance(note, Ready):
            self._told_ready(note)
        elif isinstance(note, Waiting):
            call = self._calls.get(note.call_id)
            if call is not None:
                call.waits(note)
        elif isinstance(note, PeerLink) and kind is PEER_BACK:
            self._put(PeerBack(note))
        else:
            self._put(note)

    def _put(self, note: Note) -> None:
        self._notes.append(note)
        self._some.set()

    def _down(self, reason: AgentError) -> None:
        was_up, self._socket = self._connected_once, None
        self._connected_once = False
        self._lost_at = rfc3339(self.clock.time())
        self._end.fail(lambda: reason)
        if was_up:
            self._put(ConnectionLost())


@asynccontextmanager
async def streaming(path: Path, *, patience: float = PATIENCE, wait: float = PATIENCE) -> AsyncIterator[Stream]:
    """Connect to the service listening at `path`, for as long as the block runs.

    `patience`: seconds for which a lost service is looked for; with 0 the first loss ends `notes`. `wait`: seconds that
    a request may wait for its session's device, or the service (L8). Raises: NotRunning, Forbidden, RemoteFault.
    """
    async with asyncio.TaskGroup() as tasks:
        stream = Stream(path, patience, wait, tasks)
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = tasks.create_task(stream.run(ready), name="cli.stream")
        try:
            await ready
            yield stream
        finally:
            task.cancel()


def first_error(group: BaseExceptionGroup[AgentError]) -> AgentError:
    """The error that a group of tasks failed with."""
    one = group.exceptions[0]
    return first_error(one) if isinstance(one, BaseExceptionGroup) else one
