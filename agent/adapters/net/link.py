"""JSON-RPC messages over an aiohttp WebSocket, either end, both ways (DESIGN §3). Implements `ports.Channel`.

One writer sends what is queued, one reader takes what comes, each request is answered in a task of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from itertools import count

from aiohttp import WSMsgType
from msgspec import Raw

from agent.adapters.net.heartbeat import Heartbeat, WebSocket
from agent.errors import AgentError, BadFrame, BadParams, BadRequest, Busy, PeerLost, TimedOut, TooLarge, Undescribed
from agent.pending_calls import PendingCall
from agent.ports import Clock, Followed, MessageHandler
from agent.protocol.codec import FRAME_OUT_MAX, REQUEST_MAX, Codec, Message, RequestId
from agent.protocol.jsonrpc import End, Notification, Request
from agent.protocol.methods import LARGE, METHODS, Follows, NotificationKind, P
from agent.protocol.model import DeviceId
from agent.protocol.names import truncate_bytes
from agent.tasks import child, failures, spawn

log = logging.getLogger(__name__)

QUEUE_MAX = 4_194_304
"""Bytes that may wait to be sent; a reader that is slower is cut off and comes back with its seq (S5)."""
QUEUE_LOW = 262_144
"""Bytes below which the queue counts as drained."""
WRITE_STALL = 15.0
"""Seconds that one write may take: a peer that never reads would hold the writer for ever (measured)."""
REQUESTS_MAX = 64
"""Requests of another device that are answered side by side on one connection."""
CLIENT_REQUESTS_MAX = 1024
"""Those of a client of this device: one that watches hundreds of sessions attaches to all of them at once."""
CATCHING_UP_MAX = 2048
"""Requests of one connection that are answered or caught up with."""
HEAVY_MAX = 4
"""Answers that may fill most of a frame, of which another device gets so many at once: they fit into what may wait."""
BIG = 65_536
"""Bytes beyond which an answer to a client waits until most of what was queued before is sent."""
BUSY_FOR = 1.0
"""Seconds after which one that was not taken for that reason is worth another try."""
BAD_MAX = 3
"""Bad messages in a row after which the connection is closed (1002)."""


class FrameQueue:
    """Frames that wait to be sent, oldest first; of those with the same mark only the newest."""

    def __init__(self) -> None:
        self.size = 0  # bytes, with the frame that is being sent
        self._frames: dict[int, tuple[bytes, str]] = {}  # by number, oldest first
        self._marked: dict[str, int] = {}
        self._numbers = count()

    def put(self, frame: bytes, mark: str = "") -> None:
        """Add a frame, and take out the one before with that mark."""
        number = next(self._numbers)
        if mark:
            self.size -= len(self._frames.pop(self._marked.get(mark, -1), (b"",))[0])
            self._marked[mark] = number
        self._frames[number] = frame, mark
        self.size += len(frame)

    def next(self) -> bytes:
        """Take out the oldest frame; empty, if none waits."""
        if not self._frames:
            return b""
        frame, mark = self._frames.pop(next(iter(self._frames)))
        self._marked.pop(mark, None)
        return frame

    def sent(self, frame: bytes) -> None:
        """Give back the room of a frame that was taken out."""
        self.size -= len(frame)

    def clear(self) -> None:
        """Take out all that waits."""
        self._frames.clear()


class WebSocketChannel:
    """One open WebSocket that carries messages both ways. `told`: the reason that the other side gave for closing."""

    def __init__(
        self,
        ws: WebSocket,
        codec: Codec,
        *,
        clock: Clock,
        device: DeviceId | None = None,
        pings: bool = False,
        cut: Callable[[], None] | None = None,
    ) -> None:
        self.device = device
        self.codec = codec
        self._ws = ws
        self._clock = clock
        self._pings = pings
        self._cut = cut
        self._queue = FrameQueue()
        self._to_send = asyncio.Event()
        self._sent = asyncio.Event()
        self._writes = asyncio.Event()
        self._writing_since: float | None = None  # monotonic seconds; None: nothing is being written
        self._end: End[bytes, Message] = End(codec.encode, codec.message)
        self._watching: dict[str, asyncio.Task[None]] = {}  # who follows each method that is watched
        self._answers: set[asyncio.Task[None]] = set()  # requests of the other side, and what follows their answers
        self._unanswered: set[asyncio.Task[None]] = set()  # those of them that count for the limit
        self._heavy = asyncio.Semaphore(HEAVY_MAX)
        self._closing: tuple[int, str] | None = None
        self._closed = False
        self._bad = 0  # messages in a row that the schema does not describe
        self._heartbeat = Heartbeat(ws, clock, self.abort)
        self._reader: asyncio.Task[None] | None = None
        self.close_reason = ""

    @property
    def open(self) -> bool:
        """Whether anything can still be sent."""
        return not self._closed and self._closing is None

    # --- sending -----------------------------------------------------------------------------------------------------

    def send(self, frame: bytes, *, replaces: str = "") -> None:
        """Queue a frame, in place of an earlier one; when the queue is full the connection is cut off (S5)."""
        if not self.open:
            return
        self._queue.put(frame, replaces)
        if self._queue.size > QUEUE_MAX:
            log.info("a slow reader was cut off", extra={"device": self.device, "queued": self._queue.size})
            self.abort()
        self._to_send.set()

    def notify(self, kind: NotificationKind[P], params: P) -> None:
        """Queue a notification for the other side."""
        self.send(self.codec.notification(kind.name, params))

    async def request(self, method: str, params: object, *, seconds: float) -> Raw:
        """Ask and wait up to `seconds`. Raises: PeerLost, TimedOut, or the AgentError that the other side told."""
        if not self.open:
            raise PeerLost
        with PendingCall(self._end, method, params) as call:
            self.send(call.frame)
            try:
                return await call.answer(seconds)
            except TimeoutError as exc:
                raise TimedOut(f"no answer to {method} within {seconds:g} s") from exc

    async def drained(self) -> None:
        """Return once most of what was queued is sent, or the connection is closed."""
        while self._queue.size > QUEUE_LOW and not self._closed:
            self._sent.clear()
            await self._sent.wait()

    def busy(self, *, attached: bool) -> None:
        """Ping more often while anything is attached (L3)."""
        self._heartbeat.attached = attached

    def doubt(self) -> None:
        """Ask at once whether the other side is there; cut if it is not (L3). Needs `pings`."""
        self._heartbeat.doubt()

    def close(self, reason: str = "", code: int = 1000) -> None:
        """Send what is queued, then close; who waits for an answer waits no longer. Idempotent."""
        if self._closing is None:
            self._closing = (code, reason)
            self._to_send.set()
            self._end.fail(PeerLost)

    def abort(self) -> None:
        """Cut at once; who waits for an answer waits no longer."""
        self._closed = True
        self._queue.clear()
        self._end.fail(PeerLost)
        if self._cut is not None:
            self._cut()
        if self._reader is not None:
            self._reader.cancel()

    # --- running -----------------------------------------------------------------------------------------------------

    async def run(self, handler: MessageHandler) -> None:
        """Read until the connection ends; then every waiting `request` has failed with PeerLost."""
        try:
            async with asyncio.TaskGroup() as group:
                self._reader = child(group, self._read(handler, group), "link.read")
                helpers = [
                    child(group, self._write(), "link.write"),
                    child(group, self._watch_writes(), "link.watch-writes"),
                ]
                if self._pings:
                    helpers.append(child(group, self._heartbeat.run(), "link.pulse"))
                if self._closed:
                    self._reader.cancel()  # cut before it ran
                await asyncio.wait([self._reader])
                for task in (*helpers, *self._answers):
                    task.cancel()
        finally:
            self._closed = True
            self._sent.set()
            self._end.fail(PeerLost)
            handler.on_closed(self)
            with suppress(Exception):
                async with asyncio.timeout(1.0):
                    await self._ws.close()

    async def _write(self) -> None:
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            self._writes.set()
            while frame := self._queue.next():
                self._writing_since = self._clock.monotonic()
                try:
                    if self.codec.binary:
                        await self._ws.send_bytes(frame)
                    else:
                        await self._ws.send_str(frame.decode())
                except OSError:
                    self.abort()
                    return
                self._queue.sent(frame)
                self._sent.set()
            self._writing_since = None
            if self._closing is not None:
                code, reason = self._closing
                with suppress(OSError, TimeoutError):
                    async with asyncio.timeout(WRITE_STALL):
                        await self._ws.close(code=code, message=truncate_bytes(reason, 120).encode())
                return

    async def _watch_writes(self) -> None:
        # One timer for many frames: a timeout around each of them took longer than to send it (bench_fanout).
        while True:
            await self._writes.wait()
            self._writes.clear()
            while (since := self._writing_since) is not None:
                left = since + WRITE_STALL - self._clock.monotonic()
                if left <= 0:
                    self.abort()
                    return
                await self._clock.sleep(left)

    async def _read(self, handler: MessageHandler, group: asyncio.TaskGroup) -> None:
        while True:
            message = await self._ws.receive()
            self._heartbeat.heard()
            if message.type in {WSMsgType.PING, WSMsgType.PONG}:
                if message.type is WSMsgType.PING:
                    with suppress(OSError):
                        await self._ws.pong(message.data)
                continue
            if message.type not in {WSMsgType.BINARY, WSMsgType.TEXT}:
                self.close_reason = message.extra or "" if message.type is WSMsgType.CLOSE else ""
                return
            frame = message.data.encode() if isinstance(message.data, str) else message.data
            try:
                if (message.type is WSMsgType.BINARY) is not self.codec.binary:
                    raise BadFrame(f"this connection speaks {self.codec.subprotocol}")  # noqa: TRY301 - told like the rest
                self._take(handler, self._end.receive(frame), frame, group)
            except (BadFrame, BadRequest, BadParams) as exc:
                self._is_bad(None, exc)
            except Exception as exc:  # noqa: BLE001 - a bug of ours costs this connection, not the service
                failures().note("link.take", exc)
                self.close("the service failed; its log says more", code=1011)

    def _is_bad(self, request_id: RequestId | None, error: AgentError) -> None:
        self._bad += 1
        self.send(self.codec.failure(request_id, error))
        if self._bad >= BAD_MAX:
            self.close("three bad messages in a row", code=1002)

    def _take(self, handler: MessageHandler, message: Message | None, frame: bytes, group: asyncio.TaskGroup) -> None:
        if message is None:
            self._bad = 0  # an answer, which is with whoever asked
            return
        if isinstance(message, Notification):
            request_id = None
        elif isinstance(message, Request):
            request_id = message.id
        else:
            return  # an answer that nobody waits for any more
        most = _most(message.method)
        if len(frame) > most:
            self._is_bad(request_id, TooLarge(f"{message.method} of {len(frame):,} bytes; {most:,} are allowed"))
        elif not self.open:
            return  # nobody would hear the answer
        elif isinstance(message, Notification):
            handler.on_notification(self, message.method, message.params, frame)
            self._bad = 0
        else:
            self._take_request(handler, message, group)

    def _take_request(self, handler: MessageHandler, request: Request[RequestId], group: asyncio.TaskGroup) -> None:
        most = CLIENT_REQUESTS_MAX if self.device is None else REQUESTS_MAX
        if len(self._unanswered) >= most or len(self._answers) >= CATCHING_UP_MAX:
            busy = Busy(f"{most} requests are being answered", retry_after=BUSY_FOR)
            self.send(self.codec.failure(request.id, busy))
            return
        try:
            answer = handler.on_request(self, request.method, request.params)
        except Undescribed as exc:
            self._is_bad(request.id, exc)
            return
        except AgentError as exc:
            self.send(self.codec.failure(request.id, exc))
            return
        task = spawn(group, self._answer(answer, request.id, request.method), f"link.answer-{request.method}")
        if task is not None:
            self._unanswered.add(task)
            self._answers.add(task)
            task.add_done_callback(partial(self._answered, answer))
        self._bad = 0

    def _answered(self, answer: Awaitable[object], task: asyncio.Task[None]) -> None:
        self._answers.discard(task)
        self._unanswered.discard(task)
        if isinstance(answer, Coroutine):
            answer.close()  # of a connection that was cut before the answer was begun

    async def _answer(self, answer: Awaitable[object], request_id: RequestId, method: str) -> None:
        follow = None
        try:
            result = await self._result(answer, method)
            if isinstance(result, Followed):
                follow = result.follow
                result = result.result
            frame = self.codec.response(request_id, result)
            if self.device is None and len(frame) > BIG:
                await self.drained()  # its own burst must not cut a client off as a slow one
            self.send(frame)
        except AgentError as exc:
            self.send(self.codec.failure(request_id, exc))
        except Exception as exc:  # noqa: BLE001 - recorded
            failures().note(f"link.answer-{method}", exc)
            self.send(self.codec.failure(request_id, AgentError("the service failed; its log says more")))
        task = asyncio.current_task()
        follows = METHODS[method].follows if method in METHODS else None
        if task is not None and follows is Follows.ATTACHMENT:  # what was missed is sent, and that ends by itself
            self._unanswered.discard(task)
        if follow is not None:
            if task is not None and follows is Follows.WATCH:
                if method in self._watching:
                    self._watching[method].cancel()
                self._watching[method] = task
            try:
                await follow()
            except AgentError as exc:
                self.close(str(exc))
            except Exception as exc:  # noqa: BLE001 - recorded
                failures().note(f"link.follow-{method}", exc)
                self.close("the service failed; its log says more", code=1011)

    async def _result(self, answer: Awaitable[object], method: str) -> object:
        if self.device is None or not (method in METHODS and METHODS[method].large_result):
            return await answer
        async with self._heavy:
            # Before it is made: a device that does not read holds no answers here.
            await self.drained()
            return await answer


def _most(method: str) -> int:
    # Decided before what it carries is looked at. An answer is what we asked for: the socket's own limit holds.
    return FRAME_OUT_MAX if method in LARGE else REQUEST_MAX
