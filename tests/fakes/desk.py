"""One gateway's own sessions, with a store behind and clients in front."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count

from msgspec import Raw

from agent.errors import StoreFull
from agent.ports import BackendType, Channel, Followed, TranscriptStore
from agent.problems import Problems
from agent.protocol.audit import Action
from agent.protocol.codec import typed
from agent.protocol.events import Event
from agent.protocol.messages import Attach, Attached, Detach, History, Submit, Submitted
from agent.protocol.model import DeviceId, DeviceRef, Sender, SessionId, SessionRow, Status
from agent.sessions.archive import Retention
from agent.sessions.creation import Default
from agent.sessions.host import Sessions
from tests.fakes.clock import FakeClock, settle
from tests.fakes.echo import EchoBackend
from tests.fakes.transcripts import MemoryTranscripts
from tests.fakes.viewer import Viewer, connected

OWN, PHONE = DeviceId("own"), DeviceId("phone")
ME = Sender(device=OWN, name="desk")
NO_LIMITS = Retention()


class FullDisk(MemoryTranscripts):
    """A store that has no room while `full`."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False

    async def append(self, session: SessionId, events: Sequence[Event]) -> None:
        if self.full:
            raise StoreFull
        await super().append(session, events)


class Desk:
    """One gateway's sessions, and the methods that clients call."""

    def __init__(
        self,
        store: TranscriptStore,
        ids: count[int] | None = None,
        backends: Mapping[str, BackendType] | None = None,
        retention: Retention = NO_LIMITS,
    ) -> None:
        self.clock = FakeClock()
        self.echo = EchoBackend(self.clock)
        self.backends: dict[str, BackendType] = {"echo": self.echo, **(backends or {})}
        self.rows: dict[SessionId, SessionRow] = {}
        self.history: list[Status] = []
        self.notes: list[tuple[Action, DeviceId, SessionId, int]] = []
        self.problems = Problems(lambda line: None, self.clock.time)
        numbers = ids or count(1)
        self.sessions = Sessions(
            own=DeviceRef(OWN, "desk"),
            store=store,
            clock=self.clock,
            backends=self.backends,
            default=Default("echo"),
            name_of=lambda device: f"name of {device}",
            new_id=lambda: f"{next(numbers):a>16}",
            trusts=lambda device: True,
            problems=self.problems,
            retention=retention,
        )
        self.sessions.changed.subscribe(self._changed)
        self.sessions.noted.subscribe(self.noted)

    def noted(self, action: Action, device: DeviceId, session: SessionId, length: int) -> None:
        self.notes.append((action, device, session, length))

    def _changed(self, rows: Iterable[SessionRow], removed: Iterable[SessionId]) -> None:
        for row in rows:
            self.rows[row.id] = row
            self.history.append(row.status)
        for session in removed:
            del self.rows[session]

    async def on_request(self, channel: Channel, method: str, params: Raw) -> object:
        match method:
            case "session.attach":
                asked = typed(params, Attach)
                attached = await self.sessions.attach(channel, PHONE, asked)
                return Followed(attached, lambda: self.sessions.catch_up(channel, attached.session_id))
            case "session.detach":
                detach = typed(params, Detach)
                self.sessions.detach(channel, detach.session_id, detach.viewers)
            case "prompt.submit":
                return await self.sessions.prompting.submit(typed(params, Submit), ME)
        return None

    def on_closed(self, channel: Channel) -> None:
        self.sessions.drop(channel)

    def on_notification(self, channel: Channel, method: str, params: Raw, frame: bytes) -> None:
        raise AssertionError(method)

    @asynccontextmanager
    async def viewer(self) -> AsyncIterator[Viewer]:
        async with connected(self, self.clock) as viewer:
            yield viewer


@asynccontextmanager
async def running(
    store: TranscriptStore | None = None,
    ids: count[int] | None = None,
    backends: Mapping[str, BackendType] | None = None,
    retention: Retention = NO_LIMITS,
) -> AsyncIterator[Desk]:
    desk = Desk(store or MemoryTranscripts(), ids, backends, retention)
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(desk.sessions.run(ready.set), name="test.sessions")
        await ready.wait()
        try:
            yield desk
        finally:
            task.cancel()


async def attach(viewer: Viewer, session: str, after: int | None = None, epoch: str = "") -> Attached:
    asked = Attach(session_id=session, after=after, epoch=epoch)
    return typed(await viewer.channel.request("session.attach", asked, seconds=5.0), Attached)


async def submit(desk: Desk, session: str, text: str, prompt_id: str = "") -> Submitted:
    return await desk.sessions.prompting.submit(Submit(session_id=session, prompt_id=prompt_id or text, text=text), ME)


async def whole_log(desk: Desk, session: str) -> list[Event]:
    await settle()
    return list((await desk.sessions.archive.history(History(session_id=session, after=0, limit=1000))).events)
