"""adapters.net.link: one channel, its other end driven by hand or by a viewer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest
from aiohttp import WSMessage, WSMsgType
from msgspec import UNSET, Raw

from agent.adapters.net.heartbeat import PING_ATTACHED, PING_IDLE, PROBE
from agent.adapters.net.link import (
    BAD_MAX,
    CLIENT_REQUESTS_MAX,
    HEAVY_MAX,
    QUEUE_LOW,
    QUEUE_MAX,
    REQUESTS_MAX,
    WRITE_STALL,
    WebSocketChannel,
)
from agent.errors import AgentError, PeerLost, SessionNotFound, TimedOut, TooLarge
from agent.ports import Channel, Followed
from agent.protocol.codec import FRAME_OUT_MAX, REQUEST_MAX, Codec, Envelope, error_of, json, msgpack, typed
from agent.protocol.messages import Nothing, PeersChanged, Submit, TurnTail
from agent.protocol.methods import LARGE, PEER_CHANGED
from agent.protocol.model import DeviceId, SessionId
from tests.fakes.clock import FakeClock, settle, turns
from tests.fakes.viewer import Viewer, connected
from tests.fakes.websocket import channel, pair


class Handler:
    """Answers `say` with `hello`; `wait` when told to; raises at `fail` and `bug`."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.answered = self.closed = 0
        self.heard: list[str] = []

    def on_request(self, channel: Channel, method: str, params: Raw) -> Awaitable[object]:
        if method == "strict":
            typed(params, Submit)
        return self._answer(method)

    async def _answer(self, method: str) -> object:
        match method:
            case "wait":
                await self.go.wait()
            case "fail":
                raise SessionNotFound
            case "bug":
                raise KeyError("x")
            case "session.history":
                self.answered += 1
                return b"x" * 500_000
            case "session.attach" | "session.watch":
                return Followed("hello", self.go.wait)  # type: ignore[arg-type] # what it gives is of no use
            case "follow-bug":
                return Followed("hello", self._bug)
        self.answered += 1
        return "hello"

    async def _bug(self) -> None:
        raise KeyError("y")

    def on_notification(self, channel: Channel, method: str, params: Raw, frame: bytes) -> None:
        if method == "bug":
            raise KeyError("z")
        self.heard.append(method)

    def on_closed(self, channel: Channel) -> None:
        self.closed += 1


class End:
    """A channel that is served, and the other end of its WebSocket in the test's hands."""

    def __init__(self, clock: FakeClock, codec: Codec, *, pings: bool = False, device: str | None = None) -> None:
        self.ws, served = pair()
        self.codec, self.clock, self.handler = codec, clock, Handler()
        peer = None if device is None else DeviceId(device)
        self.channel: WebSocketChannel = channel(served, clock, codec=codec, pings=pings, device=peer)
        self.done = False

    async def run(self) -> None:
        await self.channel.run(self.handler)
        self.done = True

    def put(self, frame: bytes | str) -> None:
        kind = WSMsgType.TEXT if isinstance(frame, str) else WSMsgType.BINARY
        self.ws.other.inbox.put_nowait(WSMessage(kind, frame, None))

    def got(self) -> list[Envelope]:
        found = []
        while not self.ws.inbox.empty():
            message = self.ws.inbox.get_nowait()
            if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                data = message.data.encode() if isinstance(message.data, str) else message.data
                found.append(self.codec.decode(data))
        return found


@asynccontextmanager
async def an_end(codec: Codec = msgpack, *, pings: bool = False, device: str | None = None) -> AsyncIterator[End]:
    end = End(FakeClock(), codec, pings=pings, device=device)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(end.run())
        await settle()
        try:
            yield end
        finally:
            task.cancel()


def code_of(envelope: Envelope) -> int:
    assert not isinstance(envelope.error, type(envelope.method)) or envelope.error
    return envelope.error.code  # type: ignore[union-attr]


BAD = [b"\xc1", b"\x93\x01\x02\x03", b"\x81", b"\x91" * 5000, b"", b"\x80", msgpack.encode({"jsonrpc": "1.0", "id": 1})]


@pytest.mark.parametrize("frame", BAD)
async def test_three_bad_messages_in_a_row_close_the_connection(frame: bytes) -> None:
    async with an_end() as end:
        for _ in range(BAD_MAX):
            end.put(frame)
        await settle()
        assert [code_of(told) in {-32700, -32600} for told in end.got()] == [True] * BAD_MAX
        assert (end.ws.close_code, end.done, end.handler.closed) == (1002, True, 1)


async def test_a_good_message_between_bad_ones_forgives_them() -> None:
    async with an_end() as end:
        for number in range(5):
            for _ in range(BAD_MAX - 1):
                end.put(b"\xc1")
            end.put(msgpack.request(number, "say", Nothing()))
        await settle()
        assert end.handler.answered == 5
        assert end.ws.close_code is None


async def test_three_requests_that_fit_no_schema_close_the_connection() -> None:  # DESIGN §3: -32602 counts too
    async with an_end() as end:
        good = Submit(session_id="s", prompt_id="p", text="t")
        for number, asked in enumerate([{"text": 1}, {"text": 1}, good, {"text": 1}, {"text": 1}]):
            end.put(msgpack.request(number, "strict", asked))
        await settle()
        before = end.ws.close_code
        assert end.handler.answered == 1
        end.put(msgpack.request(9, "strict", {"text": 1}))
        await settle()
        assert (before, end.ws.close_code) == (None, 1002)
        assert [envelope.error.code for envelope in end.got() if envelope.error] == [-32602] * 5


async def test_the_wrong_kind_of_frame_is_a_bad_message() -> None:
    for codec, frame in ((msgpack, "{}"), (json, b"\x80")):
        async with an_end(codec) as end:
            for _ in range(BAD_MAX):
                end.put(frame)
            await settle()
            assert end.ws.close_code == 1002


async def test_nothing_is_done_for_a_connection_that_is_being_closed() -> None:
    async with an_end() as end:
        for _ in range(BAD_MAX):
            end.put(b"\xc1")
        end.put(msgpack.request(1, "say", Nothing()))
        end.put(msgpack.notification("news", Nothing()))
        await settle()
        assert (end.handler.answered, end.handler.heard) == (0, [])


def request_of(size: int, method: str = "say") -> bytes:
    """A request that fills a frame of so many bytes."""
    spare = len(msgpack.request(7, method, bytes(70_000))) - 70_000
    return msgpack.request(7, method, bytes(size - spare))


async def test_a_request_beyond_its_limit_is_refused_and_nothing_is_done() -> None:  # FACTS: 256 KiB in, 1 MiB out
    async with an_end() as end:
        end.put(request_of(REQUEST_MAX))
        end.put(request_of(REQUEST_MAX + 1))
        end.put(msgpack.notification("news", bytes(REQUEST_MAX)))
        await settle()
        told = {envelope.id: envelope for envelope in end.got()}
        assert code_of(told[None]) == TooLarge.code
        assert (end.handler.answered, end.handler.heard) == (1, [])
        before = end.ws.close_code
        end.put(request_of(REQUEST_MAX + 1))
        await settle()
        assert code_of(end.got()[0]) == TooLarge.code
        assert (before, end.ws.close_code) == (None, 1002)  # three bad ones in a row


async def test_what_was_asked_for_may_fill_a_frame() -> None:
    async with an_end() as end, asyncio.TaskGroup() as group:
        for method in LARGE:
            end.put(msgpack.notification(method, bytes(FRAME_OUT_MAX - 100)))
        asking = group.create_task(end.channel.request("x", Nothing(), seconds=5.0))
        await settle()
        end.put(msgpack.response(1, bytes(FRAME_OUT_MAX - 100)))
        assert len(await asking) > FRAME_OUT_MAX - 100
        assert set(end.handler.heard) == LARGE
        assert end.ws.close_code is None


async def test_errors_are_told_and_a_bug_of_ours_tells_nothing_of_itself() -> None:
    async with an_end() as end:
        for number, method in enumerate(("fail", "bug", "say")):
            end.put(msgpack.request(number, method, Nothing()))
        await settle()
        told = {envelope.id: envelope for envelope in end.got()}
        assert code_of(told[0]) == SessionNotFound.code
        assert code_of(told[1]) == AgentError.code
        assert told[1].error
        assert "KeyError" not in told[1].error.message
        assert told[2].result


@pytest.mark.parametrize("method", ["bug", "follow-bug"])
async def test_a_bug_costs_one_connection(method: str) -> None:
    async with an_end() as end:
        frame = msgpack.request(1, method, Nothing()) if "-" in method else msgpack.notification(method, Nothing())
        end.put(frame)
        await settle()
        assert (end.ws.close_code, end.done) == (1011, True)


@pytest.mark.parametrize(("device", "most"), [("peer", REQUESTS_MAX), (None, CLIENT_REQUESTS_MAX)])
async def test_so_many_requests_are_answered_side_by_side_and_no_more(device: str | None, most: int) -> None:
    async with an_end(device=device) as end:
        for number in range(most + 2):
            end.put(msgpack.request(number, "wait", Nothing()))
        await settle()
        refused = end.got()
        assert [envelope.id for envelope in refused] == [most, most + 1]
        assert all(error_of(envelope.error).retry_after > 0 for envelope in refused)  # type: ignore[arg-type]
        end.handler.go.set()
        await settle()
        assert end.handler.answered == most


async def test_what_follows_answers_is_no_request_that_waits_for_one() -> None:  # S4: many resume at once
    async with an_end(device="peer") as end:
        for number in range(3 * REQUESTS_MAX):
            end.put(msgpack.request(number, "session.attach", Nothing()))
            await turns(1)
        await settle()
        assert [envelope.error for envelope in end.got()] == [UNSET] * 3 * REQUESTS_MAX


async def test_what_is_watched_without_end_counts_for_the_limit() -> None:  # T11
    async with an_end(device="peer") as end:
        for number in range(REQUESTS_MAX + 2):
            end.put(msgpack.request(number, "session.watch", Nothing()))
        await settle()
        refused = [envelope.id for envelope in end.got() if envelope.error is not UNSET]
        assert refused == [REQUESTS_MAX, REQUESTS_MAX + 1]


async def test_large_answers_to_another_device_are_made_a_few_at_a_time() -> None:  # S5: its own burst cuts nobody off
    async with an_end(device="peer") as end:
        end.ws.other.stalled.clear()
        for number in range(40):
            end.put(msgpack.request(number, "session.history", Nothing()))
        await settle()
        assert not end.done
        assert end.handler.answered <= HEAVY_MAX + 1
        end.ws.other.stalled.set()
        await settle()
        assert len(end.got()) == 40


async def test_who_waits_for_an_answer_over_a_connection_that_is_closed_waits_no_longer() -> None:  # L9
    for end_it in (WebSocketChannel.close, WebSocketChannel.abort):
        async with an_end() as end, asyncio.TaskGroup() as group:
            end.ws.other.stalled.clear()  # the other side takes nothing, and says nothing
            asking = group.create_task(failing(end.channel.request("say", Nothing(), seconds=900.0)))
            await settle()
            end_it(end.channel)
            await settle()
            assert isinstance(asking.result(), PeerLost)


async def failing(work: Awaitable[object]) -> AgentError:
    with pytest.raises(AgentError) as told:
        await work
    return told.value


async def test_silence_is_pinged_and_then_means_lost() -> None:  # L3
    for attached, interval in ((False, PING_IDLE), (True, PING_ATTACHED)):
        async with an_end(pings=True) as end:
            end.channel.busy(attached=attached)
            await end.clock.advance(1.5 * interval - 0.1)
            seen = [end.ws.inbox.get_nowait().type for _ in range(end.ws.inbox.qsize())]
            assert seen == [WSMsgType.PING]
            assert not end.done
            await end.clock.advance(0.2)
            assert end.done


async def test_what_is_in_doubt_is_asked_at_once() -> None:  # L3
    async with an_end(pings=True) as end:
        end.channel.doubt()
        await settle()
        assert end.ws.inbox.get_nowait().type is WSMsgType.PING
        await end.clock.advance(PROBE - 0.1)
        await end.ws.pong()
        await end.clock.advance(PROBE)
        assert not end.done
        end.channel.doubt()
        await end.clock.advance(PROBE - 0.1)
        assert not end.done
        await end.clock.advance(0.2)
        assert end.done


async def test_a_doubt_that_comes_while_one_is_asked_about_is_asked_about_too() -> None:  # L3
    async with an_end(pings=True) as end:
        end.channel.doubt()
        await end.clock.advance(PROBE / 2)
        await end.ws.pong()
        await end.clock.advance(PROBE / 4)
        end.channel.doubt()
        await end.clock.advance(PROBE)
        assert not end.done
        await end.clock.advance(PROBE / 2)
        assert end.done


async def test_doubt_ends_although_nothing_can_be_written() -> None:  # L3
    async with an_end(pings=True) as end:
        end.ws.other.stalled.clear()
        end.channel.doubt()
        await end.clock.advance(PROBE)
        assert end.done


async def test_whoever_answers_pings_stays() -> None:  # L3
    async with an_end(pings=True) as end:
        for _ in range(40):
            await end.clock.advance(PING_IDLE / 2)
            while not end.ws.inbox.empty():
                if end.ws.inbox.get_nowait().type is WSMsgType.PING:
                    await end.ws.pong()
        await settle()
        assert not end.done


async def test_a_ping_is_answered() -> None:
    async with an_end() as end:
        await end.ws.ping(b"you?")
        await settle()
        assert end.ws.inbox.get_nowait() == WSMessage(WSMsgType.PONG, b"you?", None)


async def test_a_request_is_answered_times_out_or_is_lost() -> None:  # L5
    async with an_end() as end, asyncio.TaskGroup() as group:

        async def ask(seconds: float) -> Raw | type[AgentError]:
            try:
                return await end.channel.request("x", Nothing(), seconds=seconds)
            except AgentError as exc:
                return type(exc)

        first, second, late = (group.create_task(ask(30)), group.create_task(ask(30)), group.create_task(ask(0.01)))
        await settle()
        ids = [envelope.id for envelope in end.got()]
        assert ids == [1, 2, 3]
        end.put(msgpack.response(1, 42))
        end.put(msgpack.failure(2, SessionNotFound()))
        assert typed(await first, int) == 42  # type: ignore[arg-type]
        assert await second is SessionNotFound
        assert await late is TimedOut
        end.put(msgpack.response(3, "too late"))
        end.put(msgpack.response(3, "twice"))
        lost = group.create_task(ask(30))
        await settle()
        end.channel.abort()
        assert await lost is PeerLost
        assert await ask(30) is PeerLost
        assert not end.channel.open


async def test_what_is_queued_is_sent_before_the_close_with_its_reason() -> None:
    async with an_end() as end:
        for _ in range(10):
            end.channel.notify(PEER_CHANGED, PeersChanged())
        end.channel.close("that is all")
        assert not end.channel.open
        end.channel.notify(PEER_CHANGED, PeersChanged())
        await settle()
        kinds = [end.ws.inbox.get_nowait() for _ in range(end.ws.inbox.qsize())]
        assert [message.type for message in kinds] == [WSMsgType.BINARY] * 10 + [WSMsgType.CLOSE]
        assert kinds[-1].extra == "that is all"


async def test_a_long_reason_is_cut_between_characters() -> None:
    async with an_end() as end:
        end.channel.close("x" + "名" * 100)
        await settle()
        message = end.ws.inbox.get_nowait()
        assert message.extra is not None
        assert message.extra.startswith("x名名")
        assert len(message.extra.encode()) <= 120


async def test_the_other_side_learns_why_it_was_closed() -> None:
    async with connected(Handler(), FakeClock()) as viewer:
        await settle()
        viewer.socket.other.inbox.put_nowait(WSMessage(WSMsgType.CLOSED, None, None))
        viewer.socket.closed_by_peer(1000, "not needed now")
        await settle()
        assert viewer.channel.close_reason == "not needed now"


async def test_a_full_queue_cuts_the_connection() -> None:  # S5
    async with an_end() as end:
        end.ws.other.stalled.clear()
        big = bytes(QUEUE_MAX // 4)
        for _ in range(4):
            end.channel.send(big)
        end.channel.send(b"x")
        await settle()
        assert not end.channel.open
        assert end.done


async def test_drained_waits_until_most_is_sent() -> None:
    async with an_end() as end, asyncio.TaskGroup() as group:
        end.ws.other.stalled.clear()
        end.channel.send(bytes(QUEUE_LOW))
        end.channel.send(b"x")
        waiting = group.create_task(end.channel.drained())
        await settle()
        assert not waiting.done()
        end.ws.other.stalled.set()
        await waiting


async def test_cut_before_it_runs_it_ends_at_once() -> None:
    near, _ = pair()
    cut = channel(near, FakeClock())
    cut.abort()
    handler = Handler()
    await cut.run(handler)
    assert handler.closed == 1


async def test_an_error_of_the_socket_ends_it() -> None:  # too large, bad masking, bad UTF-8: aiohttp gives ERROR
    async with an_end() as end:
        end.ws.other.inbox.put_nowait(WSMessage(WSMsgType.ERROR, None, None))
        await settle()
        assert end.done


async def test_a_reader_that_takes_nothing_is_cut_off_in_time() -> None:  # S5
    clock = FakeClock()
    async with connected(Viewer(), clock) as viewer:
        viewer.channel.notify(PEER_CHANGED, PeersChanged())
        await clock.advance(WRITE_STALL)  # the first write began and ended long before the one that hangs
        viewer.socket.stalled.clear()
        viewer.channel.notify(PEER_CHANGED, PeersChanged())
        await clock.advance(WRITE_STALL - 0.1)
        assert not viewer.gone.is_set()
        await clock.advance(0.1)
        assert viewer.gone.is_set()


async def test_a_slow_reader_that_goes_on_reading_stays() -> None:  # S5
    clock = FakeClock()
    async with connected(Viewer(), clock) as viewer:
        for _ in range(3):
            viewer.socket.stalled.clear()
            viewer.channel.notify(PEER_CHANGED, PeersChanged())
            await clock.advance(WRITE_STALL - 1)
            viewer.socket.stalled.set()
            await settle()
        await clock.advance(4 * WRITE_STALL)
        assert not viewer.gone.is_set()


async def test_of_frames_with_one_mark_a_slow_reader_is_sent_the_newest_in_its_place() -> None:  # S5
    clock = FakeClock()
    viewer = Viewer()
    async with connected(viewer, clock) as reader:
        reader.socket.stalled.clear()
        serving = reader.channel
        serving.notify(PEER_CHANGED, PeersChanged())  # is being written
        await turns(3)

        def rows(text: str, session: str = "a") -> bytes:
            told = TurnTail(session_id=SessionId(session), turn=1, after_seq=1, text=text)
            return msgpack.notification("turn.tail", told)

        for number in range(QUEUE_MAX // 1000):
            serving.send(rows(f"{number} {'x' * 4000}"), replaces="a")
        serving.send(rows("of another", "b"), replaces="b")
        serving.notify(PEER_CHANGED, PeersChanged())
        serving.send(rows("newest"), replaces="a")
        assert serving.open
        reader.socket.stalled.set()
        await settle()
        told = [getattr(each, "text", "") for _, each in viewer.told]
        assert told == ["", "of another", "", "newest"]
        serving.send(rows("the next"), replaces="a")  # none waits that it could replace
        await settle()
        assert getattr(viewer.told[-1][1], "text", "") == "the next"
