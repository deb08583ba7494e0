"""S4, S5, L5: many sessions watched by one client, and many viewers of one session, over a cable that is pulled."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from agent.client.follow import Hydrated, Mark, NextEvent, follow
from agent.client.stream import ConnectionBack, ConnectionLost, Stream, streaming
from agent.protocol.events import Event, UserMessage, payload_of
from agent.protocol.messages import Attach, EventOf, SessionLost
from agent.protocol.methods import SESSION_ATTACH
from tests.e2e.conftest import MakeNetwork
from tests.e2e.device import ROOT, Device, pair, until

pytestmark = pytest.mark.device

MANY = 100
AWAY = 8.0
"""Seconds without the cable."""
BACK = 60.0
"""Seconds until everybody has everything, on a loaded machine."""


class Watcher:
    """What was asked in each session, as one client is told it, and whatever else it is told that should not be."""

    def __init__(self) -> None:
        self.asked: dict[str, list[str]] = {}
        self.attached = 0
        self.trouble: list[str] = []

    def see(self, session: str, event: Event) -> None:
        """Take an event."""
        payload = payload_of(event)
        if isinstance(payload, UserMessage):
            self.asked.setdefault(session, []).append(payload.text)

    def hear(self, note: object) -> None:
        """Take what else is told."""
        if isinstance(note, ConnectionLost | ConnectionBack | SessionLost):
            self.trouble.append(repr(note))


async def watch_all(stream: Stream, sessions: list[str], watcher: Watcher) -> None:
    """Attach to every session over one connection, and read."""
    for session in sessions:
        await stream.insist(SESSION_ATTACH, Attach(session_id=session))
        watcher.attached += 1
    async for note in stream.notes():
        watcher.hear(note)
        if isinstance(note, EventOf):
            watcher.see(note.session_id, Event(note.seq, note.type, note.payload, note.at))


async def view(stream: Stream, session: str, watcher: Watcher) -> None:
    """Follow one session over a connection of its own."""
    async for note in follow(stream, Mark(session)):
        watcher.hear(note)
        if isinstance(note, Hydrated):
            watcher.attached += 1
        elif isinstance(note, NextEvent):
            watcher.see(session, note.event)


def households(network: MakeNetwork, folder: Path) -> tuple[Device, Device]:
    """Two paired devices; the first has the backend that needs no process."""
    package = folder / "asking-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: asking\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[lan_agent.backends]\nasking = tests.e2e.asking_backend:AskingBackend\n")
    desk, laptop = network("desk", "laptop")
    desk.add_environ(PYTHONPATH=f"{ROOT}:{folder}")
    for device in (desk, laptop):
        device.start()
    for device in (desk, laptop):
        device.wait_until_up()
    pair(desk, laptop)
    return desk, laptop


def create(desk: Device) -> list[str]:
    """The ids of many sessions that answer without asking back."""
    made = []
    for number in range(MANY):
        made.append(desk.ask("session.create", title=f"s{number}", backend="asking", cwd="/")["session_id"])
        desk.ask("session.configure", session_id=made[-1], option="mode", value="auto")
    return made


def prompt_all(desk: Device, sessions: list[str], text: str) -> None:
    """Ask the same in each, on the device itself."""
    for session in sessions:
        desk.ask("prompt.submit", session_id=session, prompt_id=f"{text}-{session}", text=text)


async def test_everybody_goes_on_after_the_cable_was_pulled(network: MakeNetwork, tmp_path: Path) -> None:
    desk, laptop = await asyncio.to_thread(households, network, tmp_path)
    sessions = await asyncio.to_thread(create, desk)
    await asyncio.to_thread(until, lambda: set(sessions) <= set(laptop.sessions()), "all of them on the laptop")
    one, viewers = Watcher(), [Watcher() for _ in range(MANY)]

    def everybody_has(*texts: str) -> bool:
        wanted = list(texts)
        all_of_them = all(one.asked.get(session) == wanted for session in sessions)
        return all_of_them and all(each.asked.get(sessions[0]) == wanted for each in viewers)

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        stream = await stack.enter_async_context(streaming(laptop.socket))
        tasks = [group.create_task(watch_all(stream, sessions, one))]
        for viewer in viewers:
            stream = await stack.enter_async_context(streaming(laptop.socket))
            tasks.append(group.create_task(view(stream, sessions[0], viewer)))
        everybody = MANY + len(viewers)
        await asyncio.to_thread(
            until, lambda: sum(each.attached for each in (one, *viewers)) == everybody, "everybody", seconds=BACK
        )
        await asyncio.to_thread(prompt_all, desk, sessions, "before")
        await asyncio.to_thread(until, lambda: everybody_has("before"), "the first prompts", seconds=BACK)

        desk.host.unplug()
        begun = asyncio.get_running_loop().time()
        await asyncio.to_thread(prompt_all, desk, sessions, "while it was out")
        await asyncio.sleep(max(0.0, begun + AWAY - asyncio.get_running_loop().time()))
        assert everybody_has("before")  # the cable is out
        desk.host.plug()
        await asyncio.to_thread(prompt_all, desk, sessions, "after")
        everything = ("before", "while it was out", "after")
        await asyncio.to_thread(until, lambda: everybody_has(*everything), "everything", seconds=BACK)
        for task in tasks:
            task.cancel()
    assert [each.trouble for each in (one, *viewers) if each.trouble] == []
    for device in (desk, laptop):
        device.assert_healthy()
