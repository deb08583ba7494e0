"""A gateway for the command line's tests: one device, one session, real frames over a real socket, in a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
from aiohttp import WSMsgType, web

from agent.adapters.rendering.qr import modules
from agent.errors import (
    AgentError,
    Ambiguous,
    Forbidden,
    MethodNotFound,
    PeerUnreachable,
    PromptNotFound,
    RequestNotFound,
    SessionEnded,
    SessionNotFound,
    TakenBack,
)
from agent.protocol import codec as wire
from agent.protocol import messages
from agent.protocol.audit import AuditEntry
from agent.protocol.backends import BackendRow
from agent.protocol.events import (
    Choice,
    Event,
    MessageComplete,
    MessageDelta,
    MessageStart,
    Payload,
    RequestClosed,
    RequestOpen,
    TurnComplete,
    UserMessage,
    make_event,
    payload_of,
)
from agent.protocol.messages import Attached, Page, Ready, Snapshot, Submitted
from agent.protocol.methods import METHODS
from agent.protocol.model import DeviceId, DeviceRef, DeviceRow, Participant, Sender, SessionId, SessionRow, Status
from agent.protocol.page import LoggedOut, PageOpened
from agent.protocol.prompts import PromptQueue, Withdraw, Withdrawn
from agent.protocol.snapshot import compact
from agent.protocol.terminal import TerminalAttached
from agent.protocol.transcripts import Forgotten, Found, Past
from agent.protocol.waiting import CancelCall, Patient, Waiting

NOW = 1_800_000_000.0
OWN, DESK = DeviceId("abcdefghijklmnop"), DeviceId("qrstuvwxyz234567")
HERE, THERE = SessionId("s3ssionaaaaaaaaa"), SessionId("s3sremotebbbbbbb")
STATUS = messages.StatusReport(
    id=OWN, name="laptop", version="0.1.0", pid=1, port=7471, addresses=("192.0.2.1",), interfaces=("eth0",),
    started_at="2027-01-15T08:00:00Z", uptime=60.0, paired=1, online=0, links=0, sessions=1, presence="sealed",
    home="/state", page="http://abcdefghijkm.localhost:7480",
)  # fmt: skip
PAGE = STATUS.page
OPENED = {
    False: PageOpened(url=PAGE, ttl=60.0, file="/run/user/1000/lan-agent/page-1.html"),
    True: PageOpened(url=PAGE, ttl=60.0, code="abcd-2345", also=("https://desk.example.ts.net",)),
}
LONG = "abcd-efgh-ijkl-mnop-qrst-uvwx-ya"


def device(which: DeviceId = OWN, name: str = "laptop", **more: Any) -> DeviceRow:
    row = DeviceRow(
        id=which, name=name, self=which == OWN, state="online", paired=True, addresses=("192.0.2.1", "fe80::1%eth0"),
        port=4000, sessions=1, working=0, needs_input=0, source="mdns", version="0.1.0",
        heard_at="2027-01-15T08:00:00Z",
    )  # fmt: skip
    return msgspec.structs.replace(row, **more)


def session(which: SessionId = HERE, title: str = "Build", **more: Any) -> SessionRow:
    local = which == HERE
    row = SessionRow(
        id=which, title=title, status=Status.IDLE,
        device=DeviceRef(OWN, "laptop") if local else DeviceRef(DESK, "desk"),
        local=local, attachable=True, backend="shell", model="", created_at="2027-01-15T07:00:00Z",
        updated_at="2027-01-15T08:00:00Z",
    )  # fmt: skip
    return msgspec.structs.replace(row, **more)


class FakeGateway:
    """Answers as a gateway would. Prompts: `echo X` replies X, `ask` opens a request, `later` waits, `wait` goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.devices = [device()]
        self.busy = False  # whether a turn runs that was there before: prompts wait
        self.begins: Literal["", "and runs", "and ends"] = ""  # what waits, just before it would be taken back
        self.sessions = [session()]
        self.paired: list[dict[str, Any]] = []
        self.names = ["laptop"]  # told by gateway.ready, one a connection; the last one again and again
        self.log: list[Event] = []
        self.epoch = "e1"
        self.newest = 0  # events of the log in a snapshot; 0: all
        self.requests: dict[str, RequestOpen] = {}
        self.calls: list[tuple[str, Any]] = []
        self.stubborn = False  # an interrupt stops no turn
        self.refusals: dict[str, AgentError] = {}
        self.news: list[messages.PairNews] = []
        self.let_in: tuple[DeviceRef, ...] = ()  # by the device that is unpaired or limited
        self.joined: dict[str, Any] = {}  # of the row that joining gives
        self.audit: list[AuditEntry] = []
        self.status: dict[str, Any] = {}  # of the report that `gateway.status` gives
        self.backends: list[BackendRow] = []
        self.past = Past(sessions=())
        self.found = Found(hits=())
        self.windows: list[str] = []  # names of devices that show such a code
        self.participants: tuple[Participant, ...] = ()
        self.terminal = False  # whether the session has one, whose program has just ended
        self.screen = b""  # what stands on it; not empty: its program goes on
        self.closed = False  # whether of the session there is only its log
        self.away = False  # whether the session's device is out of reach
        self._holding: set[asyncio.Task[None]] = set()
        self._held: dict[str, asyncio.Future[None]] = {}  # requests that wait for it, by call id
        self.beaten_by: messages.Answered | None = None  # who is always first with an answer
        self._turns: dict[str, int] = {}
        self._sockets: set[web.WebSocketResponse] = set()
        self._attached: set[web.WebSocketResponse] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._runner: web.AppRunner | None = None
        self.start()

    def put_back(self, *payloads: Payload) -> None:
        """Its log is another one, shorter, as after its state was restored from an older copy. While it is stopped."""
        self.epoch, self.log = "e2", []
        self.emit(*payloads)

    # --- for the tests -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._do(self._start())

    def stop(self) -> None:
        """As `kill -9` would: sockets drop, the log stays."""
        self._do(self._stop())

    def close(self) -> None:
        self.away = False
        self._do(self._drop_held())
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def emit(self, *payloads: Payload) -> None:
        """More of the session's log; published to whoever is attached."""
        self._do(self._emit(*payloads))

    def tell(self, method: str, params: object) -> None:
        self._do(self._tell(method, params))

    def called(self, method: str) -> list[Any]:
        return [params for name, params in self.calls if name == method]

    def wait_for(self, method: str) -> None:
        """Return once it was called."""
        self.wait_until(lambda: bool(self.called(method)))

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds."""
        until = time.monotonic() + 20  # noqa: TID251 - a test's watch
        while not condition():
            assert time.monotonic() < until, "what a test waits for does not come"  # noqa: TID251 - as above
            time.sleep(0.01)

    def back(self) -> None:
        """The session's device is there again: what waits is carried out."""
        self._do(self._back())

    @property
    def viewers(self) -> int:
        return len(self._attached)

    # --- the service -------------------------------------------------------------------------------------------------

    def _do(self, job: Any) -> None:
        asyncio.run_coroutine_threadsafe(job, self._loop).result(10)

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/rpc", self._rpc)
        app.router.add_get("/v1/ws", self._ws)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        await web.UnixSite(self._runner, str(self.path)).start()

    async def _stop(self) -> None:
        for socket in list(self._sockets):
            transport = socket._req.transport if socket._req else None
            if transport is not None:
                transport.abort()
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None
        self.path.unlink(missing_ok=True)

    async def _back(self) -> None:
        self.away = False
        for held in self._held.values():
            held.set_result(None)

    def still_away(self) -> None:
        """Tell of what waits again."""
        for call_id in self._held:
            note = Waiting(call_id=call_id, session_id=HERE, method="prompt.submit", device=DESK, name="desk",
                           reason="said goodbye")  # fmt: skip
            self.tell("request.waiting", note)

    async def _drop_held(self) -> None:
        for holding in self._holding:
            holding.cancel()
        await asyncio.gather(*self._holding, return_exceptions=True)

    async def _hold(self, asked: wire.Envelope, params: Patient, socket: web.WebSocketResponse) -> None:
        # As services.patience does.
        held = self._held[params.call_id] = self._loop.create_future()
        note = Waiting(call_id=params.call_id, session_id=params.session_id, method=str(asked.method), device=DESK,
                       name="desk", reason="said goodbye")  # fmt: skip
        await socket.send_bytes(wire.msgpack.notification("request.waiting", note))
        assert isinstance(asked.id, int)
        try:
            async with asyncio.timeout(params.wait):
                await held
        except TimeoutError:
            await socket.send_bytes(wire.msgpack.failure(asked.id, PeerUnreachable("desk is out of reach for 4 min")))
        except TakenBack as exc:
            await socket.send_bytes(wire.msgpack.failure(asked.id, exc))
        else:
            await self._answer_on(socket, asked)
        finally:
            del self._held[params.call_id]

    async def _tell(self, method: str, params: object) -> None:
        for socket in list(self._sockets):
            await socket.send_bytes(wire.msgpack.notification(method, params))

    async def _emit(self, *payloads: Payload) -> None:
        for payload in payloads:
            event = make_event(len(self.log) + 1, payload, NOW)
            self.log.append(event)
            for socket in list(self._attached):
                await socket.send_bytes(wire.msgpack.notification("event", _of(event)))

    async def _rpc(self, request: web.Request) -> web.Response:
        asked = wire.json.decode(await request.read())
        return web.Response(body=await self._answer(wire.json, asked, None), content_type="application/json")

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=[wire.MSGPACK, wire.JSON], compress=False)
        await socket.prepare(request)
        name = self.names.pop(0) if len(self.names) > 1 else self.names[0]
        await socket.send_bytes(wire.msgpack.notification("gateway.ready", Ready(device=OWN, name=name)))
        self._sockets.add(socket)
        try:
            async for frame in socket:
                if frame.type is not WSMsgType.BINARY:
                    break
                asked = wire.msgpack.decode(frame.data)
                if asked.method == "request.cancel":
                    taken_back = wire.typed(asked.params, CancelCall).call_id
                    if taken_back in self._held:
                        self._held[taken_back].set_exception(TakenBack())
                    continue
                kind = METHODS[str(asked.method)].params
                if self.away and issubclass(kind, Patient):
                    holding = self._loop.create_task(self._hold(asked, wire.typed(asked.params, kind), socket))
                    self._holding.add(holding)
                    continue
                await self._answer_on(socket, asked)
                if asked.method == "device.pair":
                    for news in self.news:
                        await socket.send_bytes(wire.msgpack.notification("device.pairing", news))
        finally:
            self._sockets.discard(socket)
            self._attached.discard(socket)
        return socket

    async def _answer_on(self, socket: web.WebSocketResponse, asked: wire.Envelope) -> None:
        await socket.send_bytes(await self._answer(wire.msgpack, asked, socket))
        if asked.method == "session.attach":
            params = wire.typed(asked.params, messages.Attach)
            for event in self.log[params.after or 0 :] if params.after is not None else ():
                await socket.send_bytes(wire.msgpack.notification("event", _of(event)))
            self._attached.add(socket)

    async def _answer(self, codec: wire.Codec, asked: wire.Envelope, socket: object) -> bytes:
        assert isinstance(asked.method, str)
        assert isinstance(asked.id, int | str)
        try:
            params = wire.typed(asked.params, METHODS[asked.method].params)
            if socket is None and self.away and isinstance(params, Patient):
                raise PeerUnreachable("desk is out of reach for 4 min")
            self.calls.append((asked.method, params))
            if asked.method in self.refusals:
                raise self.refusals[asked.method]
            if socket is None and METHODS[asked.method].follows:
                raise Forbidden
            return codec.response(asked.id, await self._result(asked.method, params))
        except AgentError as exc:
            return codec.failure(asked.id, exc)

    async def _result(self, method: str, params: Any) -> object:  # noqa: C901, PLR0911, PLR0912, PLR0915 - a case a method
        selector = getattr(params, "session_id", "") or getattr(params, "named", "") or HERE
        if selector not in {HERE, HERE[:4], "Build"} and method != "session.list":
            raise SessionNotFound(f"no session {selector!r}")
        match method:
            case "peer.list" | "peer.watch":
                return self.devices
            case "session.list" | "session.watch":
                return [row for row in self.sessions if params.all or not row.away]
            case "session.past":
                over = (session(title="Build", status=Status.ENDED, closed=True),)
                return Past(sessions=over) if params.named and not self.past.sessions else self.past
            case "session.search":
                return self.found
            case "session.forget":
                return Forgotten(session_id=HERE, title="Build")
            case "session.create":
                return messages.Created(HERE)
            case "session.restart":
                self.sessions[0] = msgspec.structs.replace(self.sessions[0], status=Status.IDLE)
                self.log.clear()
                return messages.Created(HERE)
            case "session.attach" if self.closed:
                raise SessionEnded
            case "session.attach":
                resumed = (
                    params.after is not None and params.epoch in {"", self.epoch} and params.after <= len(self.log)
                )
                shown = None if resumed else self._snapshot()
                return Attached(session_id=HERE, epoch=self.epoch, seq=len(self.log), snapshot=shown, resumed=resumed,
                                participants=self.participants, requests=tuple(self.requests.values()),
                                queue=tuple(self.queue))  # fmt: skip
            case "session.history":
                after = params.after or 0
                found = self.log[after:][: params.limit]
                more = after + len(found) < len(self.log)
                return Page(epoch=self.epoch, seq=len(self.log), events=tuple(found), more=more, session_id=HERE)
            case "prompt.submit":
                return await self._submit(params)
            case "request.answer" if self.beaten_by is not None:
                return self.beaten_by
            case "request.answer":
                request = self.requests.pop(params.request_id, None)
                if request is None:
                    raise RequestNotFound
                self._later(RequestClosed(turn=request.turn, request_id=request.request_id, status="answered",
                                          answer="" if request.kind == "secret" else params.answer, by=_sender()),
                            *_reply(request.turn, f"got {params.answer}\n"))  # fmt: skip
                return messages.Answered(status="accepted", request_id=request.request_id)
            case "session.interrupt" if self.stubborn:
                pass
            case "session.interrupt":
                dropped = tuple(self.queue) if params.all else None
                await self._emit(*(_withdrawn(each.turn) for each in dropped or ()))
                self._later(TurnComplete(turn=max(self._turns.values(), default=1), status="interrupted"))
                return messages.Interrupted(turn=1, queue=tuple(self.queue), dropped=dropped)
            case "prompt.list":
                return tuple(self.queue)
            case "prompt.withdraw":
                return await self._withdraw(params)
            case "device.pair":
                code = LONG if params.long else "42-913-577"
                link = f"lan-agent://pair?s={LONG}" if params.long else ""
                return messages.PairWindow(
                    code=code, ttl=params.ttl, port=4321, addresses=("192.0.2.1",), tries=0 if link else 3, link=link,
                    qr=await modules(link) if params.qr else (),
                )  # fmt: skip
            case "device.windows":
                return [messages.WindowRow(name=name, address=f"192.0.2.{n}:1") for n, name in enumerate(self.windows)]
            case "device.join":
                if len(self.windows) > 1 and not params.address:
                    raise Ambiguous(f"several devices show such a code: {', '.join(self.windows)}")
                row = messages.PairedRow(
                    id=DESK, name="desk", fingerprint="00", self=False, paired_at=None, seen_at=None
                )
                return msgspec.structs.replace(row, **self.joined)
            case "device.list":
                return self.paired
            case "backend.list":
                return self.backends
            case "audit.list" | "audit.watch":
                return self.audit
            case "device.unpair":
                return messages.PairedRow(
                    id=DESK, name="desk", fingerprint="00", self=False, paired_at=None, seen_at=None, let_in=self.let_in
                )
            case "device.limit":
                return messages.Limited(others=self.let_in)
            case "page.open":
                return OPENED[params.code]
            case "page.logout":
                return LoggedOut(logins=2)
            case "gateway.status":
                return msgspec.structs.replace(STATUS, **self.status)
            case "terminal.attach" if self.terminal:
                return TerminalAttached(session_id=HERE, epoch="t1", offset=0, data=self.screen, rows=24, cols=80)
            case "terminal.input" if self.terminal and not self.screen:
                raise SessionEnded
            case "terminal.input" | "terminal.resize" | "terminal.detach" if self.terminal:
                pass
            case "session.share" | "session.configure":
                pass
            case "session.close" | "session.rename" | "session.detach":
                pass
            case _:
                raise MethodNotFound(method)
        return messages.Nothing()

    def _snapshot(self) -> Snapshot:
        events = tuple(compact(self.log))[-self.newest :]
        return Snapshot(session=self.sessions[0], events=events, truncated=len(events) < len(compact(self.log)))

    def _later(self, *payloads: Payload) -> None:
        self._loop.call_later(0.01, lambda: self._loop.create_task(self._emit(*payloads)))

    @property
    def queue(self) -> PromptQueue:
        """What waits, as the log has it."""
        queue = PromptQueue()
        for event in self.log:
            queue.apply(payload_of(event))
        return queue

    async def _withdraw(self, params: Withdraw) -> Withdrawn:
        waiting = self.queue.find(params.prompt_id)
        if waiting is None:
            raise PromptNotFound
        if self.begins:
            runs = self.begins == "and runs"
            await self._emit(*_reply(waiting.turn, "ran\n")[: 1 if runs else None])
            return Withdrawn(status="started", turn=waiting.turn, running=runs)
        await self._emit(_withdrawn(waiting.turn))
        return Withdrawn(status="withdrawn", text=waiting.text, turn=waiting.turn, by=_sender())

    async def _submit(self, params: messages.Submit) -> Submitted:
        if params.prompt_id in self._turns:
            return Submitted(turn=self._turns[params.prompt_id], status="duplicate", session_id=HERE)
        turn = self._turns[params.prompt_id] = len(self._turns) + 1
        word, _, rest = params.text.partition(" ")
        waits = self.busy or word == "later"
        said = UserMessage(
            turn=turn, prompt_id=params.prompt_id, text=params.text, sender=_sender(), queued=waits,
            steer=waits and params.steer,
        )  # fmt: skip
        if waits:
            before = 1 + len(self.queue)
            await self._emit(said)
            return Submitted(turn=turn, status="queued", position=1 if params.steer else before, session_id=HERE)
        match word:
            case "echo":
                self._later(said, *_reply(turn, rest + "\n"))
            case "fail":
                self._later(said, *_reply(turn, "no\n", exit_status=3))
            case "ask" | "secret" | "choose":
                kind: Any = {"ask": "line", "secret": "secret", "choose": "choices"}[word]
                choices = (Choice(id="y", name="Yes"), Choice(id="n", name="No")) if word == "choose" else ()
                request = RequestOpen(turn=turn, request_id=f"r{turn}", kind=kind, prompt=rest, choices=choices)
                self.requests[request.request_id] = request
                self._later(said, request)
            case _:
                self._later(said, MessageStart(turn=turn), MessageDelta(turn=turn, text="waiting\n"))
        return Submitted(turn=turn, status="started", session_id=HERE)


def _sender() -> Sender:
    return Sender(device=OWN, name="laptop")


def _withdrawn(turn: int) -> TurnComplete:
    return TurnComplete(turn=turn, status="interrupted", error="taken back by laptop", withdrawn_by=_sender())


def _reply(turn: int, text: str, exit_status: int = 0) -> tuple[Payload, ...]:
    deltas = [MessageDelta(turn=turn, text=text[i : i + 3]) for i in range(0, len(text), 3)]
    return (
        MessageStart(turn=turn), *deltas, MessageComplete(turn=turn, text=text, status="complete"),
        TurnComplete(turn=turn, status="complete", exit_status=exit_status, cwd="/src"),
    )  # fmt: skip


def _of(event: Event) -> messages.EventOf:
    return messages.EventOf(session_id=HERE, seq=event.seq, type=event.type, payload=event.payload, at=event.at)
