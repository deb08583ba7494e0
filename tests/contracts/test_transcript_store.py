"""What every `ports.TranscriptStore` promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.adapters.storage.sqlite import SqliteTranscripts
from agent.ports import SessionMeta, TranscriptStore
from agent.protocol.events import Event, MessageComplete, MessageDelta, MessageStart, make_event
from agent.protocol.model import SessionId
from tests.fakes.transcripts import MemoryTranscripts

NOW = 1_800_000_000.0
ONE, TWO = SessionId("one"), SessionId("two")


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TranscriptStore]:
    made: TranscriptStore = (
        MemoryTranscripts() if request.param == "memory" else SqliteTranscripts(tmp_path / "transcripts.db")
    )
    await made.put(meta(ONE))
    yield made
    await made.close()


def meta(session: SessionId, created_at: float = NOW, title: str = "") -> SessionMeta:
    return SessionMeta(id=session, epoch="e1", backend="shell", created_at=created_at, title=title, lineage=("a", "b"))


def deltas(first: int, last: int) -> list[Event]:
    return [make_event(seq, MessageDelta(turn=1, text=f"piece {seq} ü"), NOW) for seq in range(first, last + 1)]


def numbers(events: list[Event]) -> list[int]:
    return [event.seq for event in events]


async def test_what_was_appended_is_read_back_whole(store: TranscriptStore) -> None:
    written = deltas(1, 5)
    await store.append(ONE, written)
    assert await store.read(ONE, 0, 100) == written


async def test_reading_after_a_number_pages_oldest_first(store: TranscriptStore) -> None:  # S4
    await store.append(ONE, deltas(1, 10))
    assert numbers(await store.read(ONE, 3, 4)) == [4, 5, 6, 7]
    assert numbers(await store.read(ONE, 8, 4)) == [9, 10]
    assert await store.read(ONE, 10, 4) == []
    assert await store.read(ONE, 0, 0) == []


async def test_reading_before_a_number_gives_the_newest_oldest_first(store: TranscriptStore) -> None:
    await store.append(ONE, deltas(1, 10))
    assert numbers(await store.read_before(ONE, None, 3)) == [8, 9, 10]
    assert numbers(await store.read_before(ONE, 8, 3)) == [5, 6, 7]
    assert numbers(await store.read_before(ONE, 3, 9)) == [1, 2]
    assert numbers(await store.read_before(ONE, 99, 2)) == [9, 10]
    assert await store.read_before(ONE, 1, 3) == []
    assert await store.read_before(ONE, None, 0) == []


async def test_an_unknown_session_is_empty(store: TranscriptStore) -> None:
    assert await store.read(TWO, 0, 10) == []
    assert await store.read_before(TWO, None, 10) == []
    assert await store.outline(TWO) == []
    assert await store.last_seq(TWO) == 0


async def test_an_outline_leaves_out_what_only_adds_to_a_later_event(store: TranscriptStore) -> None:
    written = [
        make_event(1, MessageStart(turn=1), NOW),
        *deltas(2, 4),
        make_event(5, MessageComplete(turn=1, text="all", status="complete"), NOW),
    ]
    await store.append(ONE, written)
    assert await store.outline(ONE) == [written[0], written[4]]


async def test_an_event_of_a_later_version_is_kept(store: TranscriptStore) -> None:
    later = Event(1, "message.sung", deltas(1, 1)[0].payload, "2030-01-01T00:00:00.000Z")
    await store.append(ONE, [later])
    assert await store.outline(ONE) == [later]


@pytest.mark.parametrize("seqs", [[3], [2], [5, 4], [4, 4], [4, 6], [0]])
async def test_events_must_continue_the_log(store: TranscriptStore, seqs: list[int]) -> None:
    await store.append(ONE, deltas(1, 3))
    wrong = [make_event(seq, MessageDelta(turn=1, text="x"), NOW) for seq in seqs]
    with pytest.raises(ValueError, match="was due"):
        await store.append(ONE, wrong)
    assert await store.last_seq(ONE) == 3  # all of them or none
    await store.append(ONE, deltas(4, 4))
    assert await store.last_seq(ONE) == 4


async def test_a_log_needs_its_session(store: TranscriptStore) -> None:
    with pytest.raises(ValueError, match="never put"):
        await store.append(TWO, deltas(1, 1))


async def test_appending_nothing_changes_nothing(store: TranscriptStore) -> None:
    await store.append(ONE, [])
    assert await store.last_seq(ONE) == 0


async def test_one_wrong_append_does_not_hurt_those_beside_it(store: TranscriptStore) -> None:
    await store.put(meta(TWO))
    outcome = await asyncio.gather(
        store.append(ONE, deltas(1, 2)),
        store.append(TWO, deltas(7, 7)),
        store.append(ONE, deltas(3, 4)),
        store.append(TWO, deltas(1, 1)),
        return_exceptions=True,
    )
    assert [type(each) for each in outcome] == [type(None), ValueError, type(None), type(None)]
    assert numbers(await store.read(ONE, 0, 10)) == [1, 2, 3, 4]
    assert numbers(await store.read(TWO, 0, 10)) == [1]


async def test_calls_on_one_session_take_effect_in_their_order(store: TranscriptStore) -> None:
    async with asyncio.TaskGroup() as tasks:
        for seq in range(1, 101):
            tasks.create_task(store.append(ONE, deltas(seq, seq)))
        seen = tasks.create_task(store.read(ONE, 0, 1000))
    assert numbers(seen.result()) == list(range(1, 101))


async def test_sessions_are_apart(store: TranscriptStore) -> None:
    await store.put(meta(TWO))
    await asyncio.gather(store.append(ONE, deltas(1, 2)), store.append(TWO, deltas(1, 5)))
    assert (await store.last_seq(ONE), await store.last_seq(TWO)) == (2, 5)


async def test_sessions_are_listed_oldest_first_and_replaced(store: TranscriptStore) -> None:
    await store.put(meta(TWO, NOW - 5))
    await store.append(ONE, deltas(1, 1))
    renamed = meta(ONE, title="fix the pump")
    await store.put(renamed)
    assert await store.sessions() == [meta(TWO, NOW - 5), renamed]
    assert await store.last_seq(ONE) == 1  # its log stays


async def test_what_is_removed_is_gone_and_the_others_stay(store: TranscriptStore) -> None:
    await store.put(meta(TWO))
    await asyncio.gather(store.append(ONE, deltas(1, 3)), store.append(TWO, deltas(1, 2)))
    await store.remove(ONE)
    assert await store.sessions() == [meta(TWO)]
    assert (await store.read(ONE, 0, 10), await store.outline(ONE), await store.last_seq(ONE)) == ([], [], 0)
    assert numbers(await store.read(TWO, 0, 10)) == [1, 2]
    with pytest.raises(ValueError, match="never put"):
        await store.append(ONE, deltas(4, 4))
    await store.remove(ONE)  # an unknown one
    await store.append(TWO, deltas(3, 3))
    assert await store.last_seq(TWO) == 3


async def test_removing_takes_its_place_among_the_calls(store: TranscriptStore) -> None:
    outcome = await asyncio.gather(
        store.append(ONE, deltas(1, 3)),
        store.remove(ONE),
        store.append(ONE, deltas(4, 4)),
        store.put(meta(ONE, title="again")),
        store.append(ONE, deltas(1, 2)),
        return_exceptions=True,
    )
    assert [type(each) for each in outcome] == [type(None), type(None), ValueError, type(None), type(None)]
    assert await store.sessions() == [meta(ONE, title="again")]
    assert numbers(await store.read(ONE, 0, 10)) == [1, 2]


async def test_closing_twice_is_once(store: TranscriptStore) -> None:
    await store.close()
    await store.close()
