"""Searching 100,000 events, and what the index costs: `python -m tests.bench.bench_search`.

Each search stands beside `import aiohttp` on the same machine. Ends with status 1 if one takes longer than 50 ms.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from agent.adapters.storage.sqlite import SqliteTranscripts
from agent.ports import SessionMeta
from agent.protocol.events import MessageDelta, UserMessage, make_event
from agent.protocol.model import DeviceId, Sender, SessionId
from agent.protocol.searching import terms_of

SESSIONS, EVENTS = 50, 2000
TARGET = 0.050
"""Seconds."""
LAPTOP = Sender(device=DeviceId("laptop"), name="laptop")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
HAN = "水泵坏了地下室漏维修阀门工具今天明昨后前左右上中大小多少开关"


def vocabulary(dice: random.Random) -> list[str]:
    words = ["".join(dice.choices(LETTERS, k=dice.randint(2, 9))) for _ in range(19_000)]
    return [*words, *("".join(dice.choices(HAN, k=4)) for _ in range(1000))]


async def fill(path: Path, dice: random.Random, words: list[str]) -> None:
    store = SqliteTranscripts(path, search="none")
    weights = [1 / (place + 5) for place in range(len(words))]
    for number in range(SESSIONS):
        session = SessionId(f"session{number:09}")
        await store.put(SessionMeta(id=session, epoch="e", backend="shell", created_at=float(number)))
        texts = (" ".join(dice.choices(words, weights, k=dice.choice([8, 20, 60, 120]))) for _ in range(EVENTS))
        events = [
            make_event(seq, UserMessage(turn=seq, prompt_id=f"p{seq}", text=text, sender=LAPTOP), 1.8e9 + number)
            for seq, text in enumerate(texts, 1)
        ]
        await store.append(session, events)
    await store.close()


async def index(store: SqliteTranscripts) -> tuple[float, list[float]]:
    """Seconds until all is indexed, and those that appends took meanwhile."""
    probe, waits, seq, begin = SessionId("probe"), list[float](), 0, perf_counter()
    await store.put(SessionMeta(id=probe, epoch="e", backend="shell", created_at=1.0))
    while store._writer.index.behind:
        seq += 1
        start = perf_counter()
        await store.append(probe, [make_event(seq, MessageDelta(turn=1, text="x"), 1.0)])
        waits.append(perf_counter() - start)
        await asyncio.sleep(0.01)
    return perf_counter() - begin, waits


def floor() -> float:
    """Seconds that a Python with `import aiohttp` takes."""
    times = []
    for _ in range(5):
        start = perf_counter()
        subprocess.run([sys.executable, "-c", "import aiohttp"], check=True)
        times.append(perf_counter() - start)
    return statistics.median(times)


async def main() -> int:
    dice = random.Random(1)
    words = vocabulary(dice)
    aiohttp, worst = floor(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "transcripts.db"
        await fill(path, dice, words)
        before = path.stat().st_size
        store = SqliteTranscripts(path)
        seconds, waits = await index(store)
        late = sorted(waits)[int(len(waits) * 0.99)]
        print(f"indexing {SESSIONS * EVENTS:,} events of {before / 1e6:.0f} MB: {seconds:.1f} s")
        print(f"appends meanwhile: median {statistics.median(waits) * 1000:.1f} ms, p99 {late * 1000:.1f} ms")
        print(f"size: {path.stat().st_size / before:.2f} x")
        common, rare = words[0], words[5000]
        queries = {
            "a common word": common,
            "a rare word": rare,
            "two common words": f"{common} {words[1]}",
            "a phrase": f'"{common} {words[1]}"',
            "a beginning": f"{words[7][:2]}*",
            "two Chinese characters": "水泵",
            "nothing": "nothingatall",
        }
        for what, query in queries.items():
            times = []
            for _ in range(20):
                start = perf_counter()
                await store.search(terms_of(query), 20)
                times.append(perf_counter() - start)
            median = statistics.median(times)
            worst = max(worst, median)
            print(f"{what:24} median {median * 1000:6.2f} ms  {median / aiohttp:.3f} x import aiohttp")
        start = perf_counter()
        await store.search(terms_of(common), 20, {SessionId("session000000000")})
        print(f"a common word, for a guest of the oldest session: {(perf_counter() - start) * 1000:.0f} ms")
        start = perf_counter()
        await store.remove(SessionId("session000000007"))
        removed = perf_counter()
        await store.purge()
        print(f"forgetting {EVENTS:,} events: {removed - start:.2f} s, and {perf_counter() - removed:.2f} s to purge")
        await store.close()
    print(f"import aiohttp: {aiohttp * 1000:.0f} ms")
    return 0 if worst <= TARGET else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
