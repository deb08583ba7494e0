"""Transcripts in memory: the little that is its own."""

from __future__ import annotations

import pytest

from agent.errors import StoreFull
from agent.ports import SessionMeta
from agent.protocol.events import MessageDelta, make_event
from agent.protocol.model import SessionId
from tests.fakes.transcripts import MemoryTranscripts


async def test_without_room_nothing_is_half_written_and_room_mends_it() -> None:  # S2
    store, session = MemoryTranscripts(room=150), SessionId("one")
    await store.put(SessionMeta(id=session, epoch="e", backend="shell", created_at=1.0))
    events = [make_event(seq, MessageDelta(turn=1, text="x" * 80), 1.0) for seq in (1, 2)]
    with pytest.raises(StoreFull):
        await store.append(session, events)
    assert await store.last_seq(session) == 0
    store.room = 1000
    await store.append(session, events)
    assert await store.last_seq(session) == 2
    store.room = 0
    with pytest.raises(StoreFull):
        await store.put(SessionMeta(id=SessionId("two"), epoch="e", backend="shell", created_at=1.0))
