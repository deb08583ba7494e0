"""Appending to and reading from the transcript file: `python tests/bench/bench_transcript.py [FOLDER]`.

FOLDER (default: the system's temporary folder) decides which disk is measured. `fsync` is the floor: what one
write and fsync of 4 KiB takes there.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter

from agent.adapters.storage.sqlite import SqliteTranscripts
from agent.ports import SessionMeta
from agent.protocol.events import Event, MessageComplete, MessageDelta, make_event
from agent.protocol.model import SessionId

DELTA = "about eighty characters of a streamed reply, the size that an agent usually sends"


def show(what: str, seconds: list[float], events: int, whole: float) -> None:
    ordered = sorted(seconds)
    median, late = statistics.median(ordered) * 1000, ordered[int(len(ordered) * 0.99)] * 1000
    print(f"{what:32} {events / whole:10,.0f} events/s   median {median:7.3f} ms   p99 {late:7.3f} ms")


def floor(folder: Path) -> None:
    times = []
    with (folder / "floor").open("wb", buffering=0) as file:
        for _ in range(200):
            start = perf_counter()
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
            times.append(perf_counter() - start)
    show("fsync", times, len(times), sum(times))


async def append(store: SqliteTranscripts, *, sessions: int, appends: int, batch: int) -> None:
    times: list[float] = []

    async def one(name: SessionId) -> None:
        await store.put(SessionMeta(id=name, epoch="e", backend="shell", created_at=1.0))
        seq = 0
        for _ in range(appends):
            events = [make_event(seq + n + 1, MessageDelta(turn=1, text=DELTA), 1.0) for n in range(batch)]
            seq += batch
            start = perf_counter()
            await store.append(name, events)
            times.append(perf_counter() - start)

    begin = perf_counter()
    await asyncio.gather(*(one(SessionId(f"{sessions}-{batch}-{n}")) for n in range(sessions)))
    show(f"{sessions} sessions, {batch} events each time", times, sessions * appends * batch, perf_counter() - begin)


async def read(store: SqliteTranscripts) -> None:
    name = SessionId("long")
    await store.put(SessionMeta(id=name, epoch="e", backend="shell", created_at=1.0))
    for first in range(1, 100_001, 1000):
        await store.append(
            name,
            [
                make_event(seq, MessageDelta(turn=1, text=DELTA), 1.0)
                if seq % 1000
                else make_event(seq, MessageComplete(turn=1, text=DELTA, status="complete"), 1.0)
                for seq in range(first, first + 1000)
            ],
        )
    jobs: list[tuple[str, Callable[[], Awaitable[list[Event]]]]] = [
        ("outline of 100,000 events", lambda: store.outline(name)),
        ("newest 200 of 100,000", lambda: store.read_before(name, None, 200)),
        ("1,000 in the middle", lambda: store.read(name, 50_000, 1000)),
    ]
    for what, job in jobs:
        times, events = [], 0
        for _ in range(20):
            start = perf_counter()
            events += len(await job())
            times.append(perf_counter() - start)
        show(what, times, events, sum(times))


async def main(folder: Path) -> None:
    floor(folder)
    store = SqliteTranscripts(folder / "transcripts.db")
    await append(store, sessions=1, appends=500, batch=1)
    await append(store, sessions=1, appends=200, batch=20)
    await append(store, sessions=10, appends=200, batch=1)
    await append(store, sessions=100, appends=50, batch=5)
    await read(store)
    await store.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as temporary:
        asyncio.run(main(Path(temporary)))
