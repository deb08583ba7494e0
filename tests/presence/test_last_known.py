"""R12 over a restart of this service: what links told is saved, and put back before any link is there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec import structs

from agent.adapters.storage.last_known import LAST_KNOWN, LastKnownFile
from agent.errors import AgentError, PeerUnreachable, SessionNotFound, StateError
from agent.links.patience import QUICK
from agent.presence.last_known import ROWS_MAX, ROWS_MIN, SAVE_EVERY, LastKnown
from agent.presence.rules.registry import Registry
from agent.protocol.messages import Submit
from agent.protocol.model import DeviceId, DeviceRef, SessionRow
from agent.protocol.waiting import Waiting
from tests.fakes.clock import FakeClock, LoopClock, settle
from tests.fakes.gateways import IN_LETTERS, Device, Net, network, started
from tests.links.test_patience import told
from tests.links.test_peers import create
from tests.presence.rules.registry_facts import BOX, DEN, NOW, link_up, paired, registry
from tests.presence.rules.registry_facts import row as listed


class Store:
    def __init__(self) -> None:
        self.rows: list[SessionRow] = []
        self.saved = 0
        self.full = False

    def load(self) -> list[SessionRow]:
        return self.rows

    def save(self, rows: Sequence[SessionRow]) -> None:
        if self.full:
            raise StateError("no space left")
        self.rows, self.saved = list(rows), self.saved + 1


class Recalling:
    def __init__(self, view: Registry) -> None:
        self._view = view

    def recall(self, device: DeviceId, rows: Sequence[SessionRow]) -> None:
        self._view.recall(device, rows, NOW)


def keeping(net: Net, device: Device, store: Store) -> asyncio.Task[None]:
    last_known = LastKnown(device.registry, device.presence, store, net.clock)
    last_known.recall()
    return net.group.create_task(last_known.run(), name="test.last-known")


async def test_a_session_of_a_device_that_is_away_is_found_after_a_restart_here() -> None:
    store = Store()
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        saving = keeping(net, laptop, store)
        await net.clock.advance(SAVE_EVERY)
        saving.cancel()
        await settle()
    assert [row.id for row in store.rows] == [session]
    net = Net()
    desk, laptop = Device(net, "desk"), Device(net, "laptop")
    net.cut(desk, laptop)
    async with started(net, [desk, laptop]):
        desk.pair(laptop)
        keeping(net, laptop, store).cancel()
        async with laptop.client() as viewer:
            asked = Submit(session_id="desk/work", prompt_id="p", text="hello", wait=0)
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(told(viewer, "prompt.submit", asked), name="test.prompt")
                await settle()
                await LoopClock().advance(QUICK)
            assert isinstance(asking.result(), PeerUnreachable)
            assert [row.id for row in laptop.registry.sessions(away=True)] == [session]
            assert laptop.registry.sessions() == []


async def test_nothing_is_written_while_nothing_changes_and_a_full_disk_is_no_error() -> None:
    store = Store()
    async with network("desk", "laptop") as (net, (desk, laptop)):
        await create(desk)
        saving = keeping(net, laptop, store)
        store.full = True
        await net.clock.advance(SAVE_EVERY)
        store.full = False
        await net.clock.advance(SAVE_EVERY * 20)
        assert store.saved == 1
        saving.cancel()
        await settle()


async def test_a_row_is_kept_under_the_device_that_told_it() -> None:
    # Whoever names another device in its rows must not speak for that one after our restart.
    store = Store()
    async with network("desk", "laptop", "pi") as (net, (desk, laptop, pi)):
        session = await create(desk)
        row = laptop.registry.session(session)
        assert row is not None
        known = laptop.registry._known[desk.id]
        known._link_rows[session] = structs.replace(row, device=DeviceRef(pi.id, "pi"))
        saving = keeping(net, laptop, store)
        await net.clock.advance(SAVE_EVERY)
        saving.cancel()
        assert {row.device.id for row in store.rows} == {desk.id}


async def test_just_after_the_start_a_session_that_nobody_knows_yet_is_waited_for() -> None:  # L8
    net = Net()
    desk, laptop = Device(net, "desk"), Device(net, "laptop")
    async with started(net, [desk]):
        session = await create(desk)
        ready = asyncio.Event()
        net.gateways[laptop.id] = laptop
        running = net.group.create_task(laptop.run(ready), name="laptop.run")
        await ready.wait()
        async with laptop.client() as viewer:
            asked = Submit(session_id=session, prompt_id="p", text="hello", call_id="c")
            sent = net.group.create_task(told(viewer, "prompt.submit", asked))
            desk.pair(laptop)
            await net.clock.advance(5.0)
            assert not isinstance(await sent, AgentError)
            assert not [note for _, note in viewer.told if isinstance(note, Waiting) and note.sent]
            missing = Submit(session_id="no such", prompt_id="q", text="hello")
            assert isinstance(await told(viewer, "prompt.submit", missing), SessionNotFound)
        running.cancel()


def test_the_file_gives_back_what_was_saved_and_a_damaged_one_nothing(tmp_path: Path) -> None:
    file = LastKnownFile(tmp_path / "state")
    assert file.load() == []
    row = listed()
    file.save([row])
    assert LastKnownFile(tmp_path / "state").load() == [row]
    (tmp_path / "state" / LAST_KNOWN).write_text("{")
    assert file.load() == []
    file.save([row] * ROWS_MAX)
    assert len(file.load()) == ROWS_MAX


@pytest.mark.parametrize("linked", [True, False])
async def test_a_link_that_has_told_is_not_overruled(linked: bool) -> None:
    store = Store()
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        if not linked:
            net.cut(desk, laptop)
            await net.clock.advance(10.0)
        row = laptop.registry.session(session)
        assert row is not None
        store.rows = [structs.replace(row, title="older")]
        keeping(net, laptop, store).cancel()
        now = laptop.registry.session(session)
        assert now is not None
        assert now.title == "work"


def test_r13_however_much_one_device_tells_the_sessions_of_others_stay_theirs_over_a_restart(
    tmp_path: Path,
) -> None:
    view = registry()
    view.paired([paired(DEN, "Den"), paired(BOX, "Box", read_only=True)], NOW)
    for device in (DEN, BOX):
        link_up(view, device)
    view.link_sessions(DEN, [listed(title="build")], [], NOW, whole=True)
    marks = ("\U0001f600" * 32,) * 16
    for lineage in ((), marks):
        many = [listed(f"{n:0>16}".translate(IN_LETTERS), at=NOW + 60, lineage=lineage) for n in range(1000)]
        view.link_sessions(BOX, many, [], NOW + 60, whole=True)
        LastKnown(view, Recalling(view), LastKnownFile(tmp_path), FakeClock())._save()
        kept = LastKnownFile(tmp_path).load()
        assert [row.id for row in kept if row.device.id == DEN] == ["abcdefghijklmnop"]
        assert ROWS_MIN < len(kept) <= ROWS_MAX
    later = registry()
    later.paired([paired(DEN, "Den"), paired(BOX, "Box", read_only=True)], NOW)
    LastKnown(later, Recalling(later), LastKnownFile(tmp_path), FakeClock()).recall()
    link_up(later, BOX)
    later.link_sessions(BOX, [listed(title="mine")], [], NOW + 90, whole=True)
    assert later.find_session("abcdefghijklmnop").device == DEN
