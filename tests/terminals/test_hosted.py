"""terminals.hosted and services.remote_terminals: terminals of sessions, watched here and through a link."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from msgspec import Raw

from agent.errors import (
    AgentError,
    BackendFailed,
    BadParams,
    Busy,
    Forbidden,
    PeerLost,
    ReadOnly,
    SessionEnded,
    SessionNotFound,
)
from agent.ports import TURN_OVER, Asked, Finished, MessageHandler, Prompted, Withdrew
from agent.protocol.codec import json, typed
from agent.protocol.events import RequestClosed, UserMessage, payload_of
from agent.protocol.messages import Created, CreateSession, OnSession, PeerLink, ShareSession
from agent.protocol.methods import TERMINAL_TAKEN, NotificationKind, P
from agent.protocol.model import DeviceId, Sender, SessionId
from agent.protocol.terminal import (
    CHUNK,
    TAKEN_EVERY,
    WINDOW,
    Size,
    TerminalAttach,
    TerminalAttached,
    TerminalClosed,
    TerminalDetach,
    TerminalInput,
    TerminalOutput,
    TerminalResize,
    TerminalResized,
    TerminalTaken,
)
from tests.fakes.clock import settle
from tests.fakes.gateways import Device, Net, network, started
from tests.fakes.terminal import FakeTerminal
from tests.fakes.viewer import Viewer, connected


class Eye:
    """What a client does: keeps what it is shown, says what it took (unless it is `slow`), attaches again at a gap."""

    def __init__(self, viewer: Viewer, session: SessionId, *, slow: bool = False) -> None:
        self.viewer, self.session, self.slow = viewer, session, slow
        self.shown, self.first, self.next = b"", 0, 0
        self.attached: list[TerminalAttached] = []
        self._read = self._told = 0

    async def attach(self, rows: int = 24, cols: int = 80) -> TerminalAttached:
        last = self.attached[-1] if self.attached else None
        asked = TerminalAttach(
            session_id=self.session,
            rows=rows,
            cols=cols,
            after=self.next if last else None,
            epoch=last.epoch if last else "",
        )
        raw = await self.viewer.channel.request("terminal.attach", asked, seconds=900.0)
        self.attached.append(attached := typed(raw, TerminalAttached))
        if not attached.resumed:
            self.shown, self.first = b"", attached.offset
        self.shown += attached.data
        self.next = self._told = attached.offset + len(attached.data)
        await self.look()
        return attached

    async def look(self) -> None:
        """Take what came."""
        for _ in range(200):
            await settle()
            outputs = self._outputs()
            if not outputs:
                return
            for output in outputs:
                if output.offset > self.next:
                    await self.attach()
                    break
                self.shown += output.data[self.next - output.offset :]
                self.next = max(self.next, output.offset + len(output.data))
            if not self.slow and self.next - self._told >= TAKEN_EVERY:
                self.take()

    def take(self) -> None:
        self._told = self.next
        self.viewer.channel.notify(TERMINAL_TAKEN, TerminalTaken(session_id=self.session, offset=self.next))

    def _outputs(self) -> list[TerminalOutput]:
        told, self._read = self.viewer.told[self._read :], len(self.viewer.told)
        return [
            params for _, params in told if isinstance(params, TerminalOutput) and params.session_id == self.session
        ]

    def told(self, kind: type[msgspec.Struct]) -> list[msgspec.Struct]:
        return [params for _, params in self.viewer.told if isinstance(params, kind)]

    async def type(self, data: bytes) -> None:
        asked = TerminalInput(session_id=self.session, data=Raw(msgspec.msgpack.encode(data)))
        await self.viewer.channel.request("terminal.input", asked, seconds=900.0)

    async def resize(self, rows: int, cols: int, *, repaint: bool = False) -> None:
        asked = TerminalResize(session_id=self.session, rows=rows, cols=cols, repaint=repaint)
        await self.viewer.channel.request("terminal.resize", asked, seconds=900.0)
        await settle()


async def create(device: Device, backend: str = "terminal") -> SessionId:
    async with device.client() as viewer:
        asked = CreateSession(backend=backend, command=("vim", "notes.md"))
        created = await viewer.ask("session.create", asked, Created)
    assert isinstance(created, Created)
    await settle()
    return created.session_id


@asynccontextmanager
async def eye(device: Device, session: SessionId, rows: int = 24, cols: int = 80) -> AsyncIterator[Eye]:
    async with device.client() as viewer:
        watching = Eye(viewer, session)
        await watching.attach(rows, cols)
        yield watching


def screen(device: Device) -> FakeTerminal:
    return device.screens.sessions[-1].terminal


def numbered(size: int) -> bytes:
    """Bytes of which every part tells where it belongs."""
    return b"".join(b"%07d\n" % number for number in range(size // 8))


@pytest.mark.parametrize("where", [0, 1])
async def test_what_the_program_writes_is_shown_here_and_elsewhere(where: int) -> None:
    async with network("desk", "pi") as (_, devices):
        session = await create(devices[0])
        screen(devices[0]).print(b"before ")
        async with eye(devices[where], session) as one:
            assert one.shown == b"before "
            screen(devices[0]).print(b"and after")
            await one.look()
            assert one.shown == b"before and after"
        await settle()
        assert not screen(devices[0]).watched  # S6: the last viewer leaving ends nothing
        screen(devices[0]).print(b", alone")
        async with eye(devices[where], session) as one:
            assert one.shown == b"before and after, alone"


@pytest.mark.parametrize("where", [0, 1])
async def test_what_is_typed_arrives_once_and_is_noted_once_without_text(where: int) -> None:
    async with network("desk", "pi") as (_, devices):
        desk = devices[0]
        session = await create(desk)
        async with eye(devices[where], session) as one:
            for key in (b"secret", b"\x03", b"\xff\x00"):
                await one.type(key)
            assert screen(desk).typed == b"secret\x03\xff\x00"
        await settle()
        noted = [(entry.action, entry.device, entry.length) for entry in desk.log.entries if entry.session == session]
        who = devices[where].id
        expected = [("attached", who, 0), ("typed", who, 0), ("detached", who, 0)]
        assert [entry for entry in noted if entry[0] != "created"] == expected
        assert len(desk.notices) == where  # another device's first key, as its first prompt


async def test_a_typed_line_is_of_the_device_whose_viewer_pressed_enter_last() -> None:  # S7
    async with network("desk", "pi") as (_, (desk, pi)):
        session = await create(desk)
        emit = desk.screens.sessions[-1].emit
        async with eye(desk, session) as here, eye(pi, session) as there:

            async def runs(text: str) -> None:
                await emit(Prompted(text=text, typed=True))
                await emit(Finished(status="complete"))

            await runs("before anybody typed")
            await there.type(b"make\r")
            await here.type(b"half a line, and pasted \x1b[200~another\rone\x1b[201~")
            await emit(Prompted(text="make", typed=True))
            await here.type(b"\r")  # meant for what runs: too late to be the one who said "make"
            await emit(Finished(status="complete"))
            await runs("half a line")
            await settle()
            log = [payload_of(event) for event in await desk.store.read(session, 0, 100)]
        said = [(each.text, each.sender) for each in log if isinstance(each, UserMessage)]
        assert said == [
            ("before anybody typed", Sender(device=desk.id, name="desk")),
            ("make", Sender(device=pi.id, name="pi", client="terminal")),
            ("half a line", Sender(device=desk.id, name="desk", client="terminal")),
        ]


@pytest.mark.parametrize(
    ("typed", "why", "told"),
    [
        (True, "the command went on", "pi answered at the terminal"),
        (False, "the command went on", "the command went on"),
        (True, TURN_OVER["interrupted"], TURN_OVER["interrupted"]),
    ],
)
async def test_a_question_that_was_answered_at_the_terminal_says_by_whom(
    typed: bool, why: str, told: str
) -> None:  # S7
    async with network("desk", "pi") as (_, (desk, pi)):
        session = await create(desk)
        emit = desk.screens.sessions[-1].emit
        async with eye(pi, session) as there:
            await there.type(b"before it was asked")
            await emit(Prompted(text="read x", typed=True))
            await emit(Asked(request_id="one", kind="line", prompt="x? "))
            if typed:
                await there.type(b"y")
            await emit(Withdrew("one", why))
            await settle()
            log = [payload_of(event) for event in await desk.store.read(session, 0, 100)]
        assert [each.reason for each in log if isinstance(each, RequestClosed)] == [told]


async def test_who_watches_a_terminal_counts_among_those_who_watch_the_session() -> None:  # S8
    async with network("desk", "pi") as (_, devices):
        desk, pi = devices
        session = await create(desk)

        def watching(device: Device) -> list[tuple[str, int]]:
            (row,) = device.registry.sessions()
            return [(each.device, each.count) for each in row.participants]

        async with eye(desk, session), eye(pi, session):
            await settle()
            assert watching(desk) == watching(pi) == sorted([(desk.id, 1), (pi.id, 1)])
        await settle()
        assert watching(desk) == watching(pi) == []


async def test_the_smallest_viewer_gives_the_size_and_all_are_told() -> None:
    async with network("desk", "pi") as (_, (desk, pi)):
        session = await create(desk)
        async with eye(desk, session, 40, 120) as large:
            assert (large.attached[0].rows, large.attached[0].cols) == screen(desk).size == Size(40, 120)
            async with eye(pi, session, 50, 100), eye(pi, session, 30, 200):
                assert screen(desk).size == Size(30, 100)
                assert large.told(TerminalResized)[-1] == TerminalResized(session_id=session, rows=30, cols=100)
            await settle()
            assert screen(desk).size == Size(40, 120)
            await large.resize(20, 70)
            assert screen(desk).size == Size(20, 70)
        assert screen(desk).size == Size(20, 70)  # as the last one left it


async def test_a_client_elsewhere_that_resizes_or_leaves_changes_the_size_for_those_beside_it() -> None:
    async with network("desk", "pi") as (_, (desk, pi)):
        session = await create(desk)
        async with eye(pi, session, 40, 120) as stays:
            async with eye(pi, session, 20, 80) as other:
                await other.resize(25, 90)
                assert screen(desk).size == Size(25, 90)
            await settle()
            assert screen(desk).size == Size(40, 120)
            assert stays.told(TerminalResized)[-1] == TerminalResized(session_id=session, rows=40, cols=120)


@pytest.mark.parametrize("where", [0, 1])
async def test_a_late_viewer_gets_what_is_kept_in_the_state_it_was_written_in_and_a_new_drawing(where: int) -> None:
    async with network("desk", "pi") as (_, devices):
        devices[0].screens.room = 1000
        session = await create(devices[0])
        terminal = screen(devices[0])
        terminal.print(b"\x1b[?1049h\x1b[?2004h" + numbered(2000))
        async with eye(devices[where], session, 30, 80):
            repaints = terminal.repaints
            async with eye(devices[where], session, 30, 80) as late:
                assert numbered(2000).endswith(late.shown)
                assert 900 < len(late.shown) <= 1000
                assert late.shown.startswith(b"\n")  # it begins with a line, not in the middle of one
                assert late.attached[0].modes == b"\x1b[?1049h\x1b[?2004h"
                assert not late.attached[0].resumed
                assert terminal.repaints == repaints + 1


async def test_who_returns_with_its_place_gets_the_rest_and_nothing_is_drawn_anew() -> None:
    async with network("desk") as (_, (desk,)):
        session = await create(desk)
        async with eye(desk, session) as one:
            screen(desk).print(b"one ")
            await one.look()
            repaints = screen(desk).repaints
            await one.viewer.channel.request("terminal.detach", TerminalDetach(session_id=session), seconds=9.0)
            screen(desk).print(b"two")
            assert (await one.attach()).resumed
            assert one.shown == b"one two"
            assert screen(desk).repaints == repaints


@pytest.mark.parametrize("where", [0, 1])
async def test_a_lone_viewer_that_takes_nothing_holds_the_program(where: int) -> None:
    async with network("desk", "pi") as (_, devices):
        session = await create(devices[0])
        async with eye(devices[where], session) as one:
            one.slow = True
            screen(devices[0]).print(numbered(2_000_000))
            await one.look()
            assert WINDOW <= len(one.shown) <= WINDOW + CHUNK
            assert screen(devices[0]).waiting >= 2_000_000 - WINDOW - 3 * CHUNK
            one.slow = False
            one.take()
            await one.look()
            assert one.shown == numbered(2_000_000)
            assert len(one.attached) == 1
            assert screen(devices[0]).waiting == 0


@pytest.mark.parametrize("where", [(0, 0), (0, 1), (1, 0), (1, 1)])
async def test_a_slow_viewer_delays_nobody_and_starts_anew(where: tuple[int, int]) -> None:
    # S5, with the fast one here or elsewhere and the slow one beside it or not.
    async with network("desk", "pi") as (_, devices):
        session = await create(devices[0])
        async with eye(devices[where[0]], session) as fast, eye(devices[where[1]], session) as slow:
            slow.slow = True
            for _ in range(30):
                screen(devices[0]).print(numbered(100_000))
                await fast.look()
            await slow.look()
            assert fast.shown == numbered(100_000) * 30
            assert len(fast.attached) == 1
            assert len(slow.shown) < 2_000_000
            slow.slow = False
            slow.take()
            await slow.look()
            screen(devices[0]).print(b"the end")
            await slow.look()
            assert len(slow.attached) == 2
            assert slow.shown.endswith(b"the end")
            assert (numbered(100_000) * 30 + b"the end").endswith(slow.shown)


async def test_a_viewer_elsewhere_that_is_a_little_behind_goes_on_from_its_place() -> None:
    async with network("desk", "pi") as (_, (desk, pi)):
        session = await create(desk)
        async with eye(pi, session) as fast, eye(pi, session) as slow:
            slow.slow = True
            for _ in range(12):
                screen(desk).print(numbered(100_000))
                await fast.look()
            await slow.look()
            slow.slow = False
            slow.take()
            screen(desk).print(b"the end")
            await slow.look()
            await fast.look()
            assert fast.shown == slow.shown == numbered(100_000) * 12 + b"the end"
            assert all(each.resumed for each in slow.attached[1:])


async def test_nothing_is_lost_with_a_lost_link() -> None:
    async with network("desk", "pi") as (net, (desk, pi)):
        session = await create(desk)
        async with eye(pi, session) as one, eye(pi, session) as other:
            screen(desk).print(b"before, ")
            await one.look()
            net.cut(desk, pi)
            await settle()
            screen(desk).print(b"meanwhile, ")
            assert [link.sessions for link in one.told(PeerLink) if isinstance(link, PeerLink)] == [(session,)]
            net.heal(desk, pi)
            await net.clock.advance(30.0)
            screen(desk).print(b"after")
            for each in (one, other):
                await each.look()
                assert each.shown == b"before, meanwhile, after"
                assert len(each.attached) == 1
                assert [method for method, _ in each.viewer.told if method.startswith("peer.")] == [
                    "peer.lost",
                    "peer.back",
                ]
            await one.type(b"x")
            assert screen(desk).typed == b"x"


async def test_after_a_long_loss_each_client_gets_a_replay() -> None:
    async with network("desk", "pi") as (net, (desk, pi)):
        desk.screens.room = 1000
        session = await create(desk)
        async with eye(pi, session) as one:
            screen(desk).print(b"before")
            await one.look()
            net.cut(desk, pi)
            await settle()
            screen(desk).print(numbered(5000))
            net.heal(desk, pi)
            await net.clock.advance(30.0)
            await one.look()
            screen(desk).print(b"after")
            await one.look()
            assert one.shown.endswith(numbered(5000)[-900:] + b"after")
            assert not one.attached[-1].resumed


async def test_a_device_that_stays_away_lets_its_viewers_go() -> None:
    async with network("desk", "pi") as (net, (desk, pi)):
        session = await create(desk)
        async with eye(pi, session) as one:
            assert pi.proxy.protected(desk.id)  # L4
            net.cut(desk, pi)
            await net.clock.advance(599.0)
            told = len(one.told(TerminalOutput))
            await net.clock.advance(2.0)
            (gap,) = one.told(TerminalOutput)[told:]
            assert isinstance(gap, TerminalOutput)
            assert gap.offset > one.next  # it attaches anew, and is told then
            assert not one.viewer.gone.is_set()
            assert not pi.proxy.protected(desk.id)


async def test_a_terminal_protects_its_link_until_it_is_left() -> None:
    async with network("desk", "pi") as (_, (desk, pi)):
        session = await create(desk)
        async with eye(pi, session) as one:
            assert pi.proxy.protected(desk.id)
            assert desk.sessions.attachments.protects(pi.id, desk.sessions.index.rows)
            await one.viewer.channel.request("terminal.detach", TerminalDetach(session_id=session), seconds=9.0)
            await settle()
            assert not pi.proxy.protected(desk.id)
            assert not desk.sessions.attachments.protects(pi.id, desk.sessions.index.rows)
            assert not screen(desk).watched


async def test_what_is_typed_while_a_link_breaks_is_never_typed_twice() -> None:
    async with network("desk", "pi") as (net, (desk, pi)):
        session = await create(desk)
        async with eye(pi, session) as one:
            for socket in net.sockets(pi, desk):
                socket.other.mute = True  # the key arrives, the answer does not
            asked = TerminalInput(session_id=session, data=Raw(msgspec.msgpack.encode(b"rm")))
            async with pi.client():
                failed: list[AgentError] = []

                async def type_it() -> None:
                    try:
                        await one.viewer.channel.request("terminal.input", asked, seconds=900.0)
                    except AgentError as exc:
                        failed.append(exc)

                net.group.create_task(type_it(), name="types")
                await settle()
                assert screen(desk).typed == b"rm"
                net.cut(desk, pi)
                net.heal(desk, pi)
                await net.clock.advance(60.0)
            assert [exc.kind for exc in failed] == ["peer-lost"]
            assert screen(desk).typed == b"rm"


async def test_a_device_that_may_only_watch_neither_types_nor_counts() -> None:
    async with network("desk", "pi") as (_, (desk, pi)):
        session = await create(desk)
        desk.limit(pi, read_only=True)
        async with eye(desk, session, 40, 120), eye(pi, session, 10, 20) as watching:
            assert screen(desk).size == Size(40, 120)
            with pytest.raises(ReadOnly):
                await watching.type(b"x")
            with pytest.raises(ReadOnly):
                await watching.resize(10, 20)
            assert screen(desk).typed == b""
            assert screen(desk).size == Size(40, 120)
            screen(desk).print(b"look")
            await watching.look()
            assert watching.shown == b"look"


@pytest.mark.parametrize("where", [1, 2])
async def test_who_may_only_watch_holds_no_program_back(where: int) -> None:
    # T11: attached alone, or beside the owner, and taking nothing; on its own device, or behind one that may type.
    async with network("desk", "pi", "box") as (_, devices):
        desk, pi, box = devices
        session = await create(desk)
        desk.limit(box, read_only=True)
        async with eye(devices[where] if where == 2 else pi, session) as stuck:
            if where == 1:
                desk.limit(pi, read_only=True)  # while it watches
                await stuck.viewer.channel.request("session.list", {}, seconds=5.0)
                desk.router.terminals.rights_changed()
            stuck.slow = True
            screen(desk).print(numbered(2_000_000))
            await settle()
            assert screen(desk).waiting == 0
            async with eye(desk, session) as owner:
                screen(desk).print(numbered(1_000_000))
                await owner.look()
                assert owner.shown.endswith(numbered(1_000_000))
            await stuck.look()
            assert len(stuck.shown) <= WINDOW + CHUNK
            stuck.slow = False
            stuck.take()
            await stuck.look()
            screen(desk).print(b"the end")
            await stuck.look()
            assert len(stuck.attached) == 2
            assert stuck.shown.endswith(b"the end")


async def test_a_program_inside_a_session_that_only_watches_elsewhere_holds_none_back() -> None:
    async with network("desk", "pi") as (_, (desk, pi)):
        session = await create(desk)
        async with eye(pi, session) as stuck:
            relay = pi.proxy.terminals._relays[session]
            next(iter(relay.clients.values())).steers = False  # as `attach` has it for one inside (T9)
            stuck.slow = True
            for _ in range(30):
                screen(desk).print(numbered(100_000))
                await settle()
            await stuck.look()
            assert screen(desk).waiting == 0


async def test_a_private_terminal_is_not_there_and_who_watches_is_cut_off() -> None:
    async with network("desk", "pi") as (_, (desk, pi)):
        session = await create(desk)
        async with eye(pi, session) as watching, desk.client() as owner:
            await owner.ask("session.share", ShareSession(session_id=session, share="private"))
            await settle()
            screen(desk).print(b"private")
            await watching.viewer.gone.wait() if not watching.viewer.channel.open else await settle()
            assert b"private" not in watching.shown
            assert not screen(desk).watched
        async with pi.client() as viewer:
            with pytest.raises(SessionNotFound):
                await Eye(viewer, session).attach()


class Full:
    """A connection whose other side takes nothing, so that it is waited for. `ports.Channel`."""

    open = True

    def __init__(self, device: DeviceId) -> None:
        self.device: DeviceId | None = device
        self.codec = json
        self.close_reason = ""
        self.empty = asyncio.Event()
        self.sent = 0

    def send(self, frame: bytes, *, replaces: str = "") -> None:
        self.sent += 1

    def notify(self, kind: NotificationKind[P], params: P) -> None:
        self.sent += 1

    async def request(self, method: str, params: object, *, seconds: float) -> Raw:
        raise PeerLost

    async def run(self, handler: MessageHandler) -> None:
        """Nothing comes but what the test asks."""

    def close(self, reason: str = "") -> None:
        """It was not attached yet: nobody closes it."""

    def abort(self) -> None:
        """Nor cuts it."""

    def doubt(self) -> None:
        """Nor doubts it."""

    def busy(self, *, attached: bool) -> None:
        self.sent += attached

    async def drained(self) -> None:
        await self.empty.wait()


async def test_who_asked_before_a_session_became_private_and_was_waited_for_is_not_shown_it() -> None:
    """Attack: a device keeps its connection full, asks to attach, and takes what waits once the session is private."""
    async with network("desk", "pi") as (_, (desk, pi)):
        session = await create(desk)
        full = Full(pi.id)
        asked = Raw(msgspec.msgpack.encode(TerminalAttach(session_id=session)))
        refused: list[str] = []

        async def attach() -> None:
            try:
                await desk.router.on_request(full, "terminal.attach", asked)
            except SessionNotFound as exc:
                refused.append(exc.kind)

        async with desk.client() as owner, asyncio.TaskGroup() as tasks:
            tasks.create_task(attach(), name="test.attach")
            await settle()
            await owner.ask("session.share", ShareSession(session_id=session, share="private"))
            full.empty.set()
        assert refused == ["session-not-found"]
        screen(desk).print(b"private")
        await settle()
        assert full.sent == 0
        assert not screen(desk).watched


async def test_a_program_inside_a_session_may_watch_elsewhere_and_not_type() -> None:
    # T9
    async with network("desk", "pi") as (_, (desk, pi)):
        session = await create(desk)
        async with eye(desk, session, 40, 120), pi.client() as viewer:
            pi.router.guard.note(viewer.serving, SessionId("inside"))
            inside = Eye(viewer, session)
            await inside.attach(10, 20)
            assert screen(desk).size == Size(40, 120)
            with pytest.raises(Forbidden):
                await inside.type(b"x")
            with pytest.raises(Forbidden):
                await inside.resize(10, 20)
            assert screen(desk).typed == b""


@pytest.mark.parametrize("where", [0, 1])
async def test_only_one_terminal_answers_the_program(where: int) -> None:
    async with network("desk", "pi") as (_, devices):
        session = await create(devices[0])
        terminal = screen(devices[0])
        told = [terminal.by_viewers]
        async with eye(devices[where], session) as first:
            told.append(terminal.by_viewers)
            async with eye(devices[where], session) as other:
                await first.type(b"\x1b[12;40R")
                await other.type(b"a\x1b[1;1Rb\x1b[?62;22cc")
                assert terminal.typed == b"\x1b[12;40Rabc"
        await settle()
        assert [*told, terminal.by_viewers] == [False, True, False]


@pytest.mark.parametrize("where", [0, 1])
async def test_the_end_is_told_after_the_last_byte(where: int) -> None:
    async with network("desk", "pi") as (_, devices):
        session = await create(devices[0])
        async with eye(devices[where], session) as one:
            screen(devices[0]).print(b"bye")
            await devices[0].screens.sessions[-1].exit(3)
            await one.look()
            assert one.shown == b"bye"
            assert one.told(TerminalClosed) == [TerminalClosed(session_id=session, offset=3, exit_status=3)]
            with pytest.raises(SessionEnded):
                await one.attach()


@pytest.mark.parametrize("where", [0, 1])
async def test_closing_a_session_is_told_to_who_watches_its_terminal(where: int) -> None:
    async with network("desk", "pi") as (_, devices):
        session = await create(devices[0])
        async with eye(devices[where], session) as one, devices[1 - where].client() as other:
            await other.ask("session.close", OnSession(session_id=session))
            await one.look()
            assert one.told(TerminalClosed) == [TerminalClosed(session_id=session, offset=0)]
            with pytest.raises((SessionEnded, SessionNotFound)):
                await one.attach()


@pytest.mark.parametrize("where", [0, 1])
async def test_what_has_no_terminal_says_so(where: int) -> None:
    async with network("desk", "pi") as (_, devices):
        session = await create(devices[0], "echo")
        async with devices[where].client() as viewer:
            with pytest.raises(BadParams, match="has no terminal"):
                await Eye(viewer, session).attach()
            with pytest.raises(BadParams, match="not attached"):
                await Eye(viewer, session).type(b"x")


@pytest.mark.parametrize("where", [0, 1])
async def test_a_program_that_does_not_read_is_named(where: int) -> None:
    async with network("desk", "pi") as (_, devices):
        session = await create(devices[0])
        async with eye(devices[where], session) as one:
            screen(devices[0]).full = True
            with pytest.raises(Busy):
                await one.type(b"x")


async def test_terminals_of_one_connection_are_counted() -> None:
    async with network("desk") as (_, (desk,)), desk.client() as viewer:
        for _ in range(16):
            await Eye(viewer, await create(desk)).attach()
        with pytest.raises(Busy):
            await Eye(viewer, await create(desk)).attach()


async def test_a_client_that_speaks_json_gets_and_gives_base64() -> None:
    async with network("desk") as (net, (desk,)):
        session = await create(desk)
        screen(desk).print(b"\x1b[1mx")
        async with connected(desk.router, net.clock, codec=json) as viewer:
            raw = await viewer.channel.request("terminal.attach", TerminalAttach(session_id=session), seconds=9.0)
            assert msgspec.msgpack.decode(raw)["data"] == "G1sxbXg="
            params = {"session_id": session, "data": "AQID"}
            await viewer.channel.request("terminal.input", params, seconds=9.0)
            assert screen(desk).typed == b"\x01\x02\x03"
            with pytest.raises(BadParams):
                await viewer.channel.request("terminal.input", {**params, "data": "not base64!"}, seconds=9.0)


async def test_a_terminal_does_not_outlive_the_service() -> None:
    # Nobody knows what a program does that is run again: its session has ended, for whoever looks.
    net = Net()
    desk = Device(net, "desk")
    async with started(net, [desk]):
        session = await create(desk)
    again = Device(net, "desk", desk.store)
    async with started(net, [again]), again.client() as viewer:
        with pytest.raises(BackendFailed):
            await Eye(viewer, session).attach()
        await settle()
        with pytest.raises(SessionEnded):
            await Eye(viewer, session).attach()
        assert again.screens.sessions == []


async def test_without_a_title_it_is_called_after_its_program_and_tells_no_argument() -> None:
    async with network("desk", "pi") as (_, (desk, pi)):
        session = await create(desk)
        row = pi.registry.session(session)
        assert row is not None
        assert (row.title, row.backend) == ("vim", "terminal")


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_every_viewer_ends_with_the_same_bytes_in_order(seed: int) -> None:
    # Slow and fast ones, here and elsewhere, links that break, a ring that is short.
    dice = random.Random(seed)
    async with network("desk", "pi") as (net, (desk, pi)):
        desk.screens.room = dice.choice((60_000, 300_000, 720_896))
        session = await create(desk)
        everything, linked = b"", True
        async with (
            eye(desk, session) as one,
            eye(desk, session) as two,
            eye(pi, session) as three,
            eye(pi, session) as four,
        ):
            eyes = [one, two, three, four]
            for _ in range(40):
                what = dice.random()
                if what < 0.6:
                    piece = b"%07d\n" % dice.randrange(10**7) * dice.choice((1, 100, 10_000, 30_000))
                    everything += piece
                    screen(desk).print(piece)
                elif what < 0.75:
                    each = dice.choice(eyes)
                    each.slow = not each.slow
                    if not each.slow:
                        each.take()
                elif what < 0.85:
                    linked = not linked
                    (net.heal if linked else net.cut)(desk, pi)
                    await net.clock.advance(30.0 if linked else 0.0)
                for each in eyes[: 4 if linked else 2]:
                    await each.look()
            if not linked:
                net.heal(desk, pi)
                await net.clock.advance(60.0)
            for _ in range(5):
                for each in eyes:
                    each.slow = False
                    each.take()
                    await each.look()
            screen(desk).print(b"the end")
            for each in eyes * 2:
                each.take()
                await each.look()
                assert each.next == screen(desk).end
            assert screen(desk).waiting == 0
            for each in eyes:
                assert each.shown.endswith(b"the end")
                assert (everything + b"the end")[each.first :] == each.shown
