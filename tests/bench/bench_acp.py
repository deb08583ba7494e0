"""Updates of an agent through the whole client, beside bare msgspec decoding of the same lines; memory per session.

Run: `python -m tests.bench.bench_acp [UPDATES]`. An agent floods us with prepared lines; events are taken at once.
The rate is wall time from the prompt to the end of the turn, the ratio to decoding each line and doing nothing with
it; medians of interleaved rounds. Memory is what our process keeps for itself for each of `SESSIONS` idle sessions
with one turn each. 1 if a budget is missed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from agent.adapters.backends.acp import AcpAgent
from agent.adapters.backends.acp.orphans import Orphans
from agent.adapters.backends.acp.schema import Updated, decode
from agent.ports import BackendConfig, BackendEvent, Finished, Start
from agent.protocol.model import SessionId

RATE, MEMORY = 100_000.0, 2.0
"""Updates a second, and MiB for each session."""
SESSIONS = 20
ROUNDS = 3
AGENT = Path(__file__).parents[1] / "adapters" / "backends" / "acp" / "flood.py"


def message(number: int) -> object:
    return {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": f"piece {number} "}}


def tool(number: int) -> object:
    content = [{"type": "content", "content": {"type": "text", "text": f"line {number}\n"}}]
    told = {"toolCallId": f"call_{number % 50}", "status": "in_progress", "content": content}
    return {"sessionUpdate": "tool_call_update", **told}


MADE = {"message": message, "tool": tool}


def lines(kind: str) -> list[bytes]:
    params = ({"sessionId": "flood", "update": MADE[kind](number)} for number in range(1000))
    return [json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": each}).encode() for each in params]


def bare(kind: str, updates: int) -> float:
    """Updates a second, only decoded."""
    made = lines(kind)
    begun = time.perf_counter()
    for _ in range(updates // len(made)):
        for line in made:
            assert isinstance(decode(line), Updated)
    return updates / (time.perf_counter() - begun)


async def through(kind: str, updates: int, folder: Path) -> float:
    """Updates a second, from the agent's pipe to events."""
    prepared = folder / f"{kind}.jsonl"
    prepared.write_bytes(b"".join(line + b"\n" for line in lines(kind)))
    argv = (sys.executable, "-I", str(AGENT), str(prepared), str(updates // 1000))
    over = asyncio.Event()
    told = 0

    async def emit(event: BackendEvent) -> None:
        nonlocal told
        told += 1
        if isinstance(event, Finished):
            over.set()

    agent = AcpAgent("flood", BackendConfig(argv=argv), Orphans())
    session = await agent.start(Start(session=SessionId(f"bench-{os.getpid()}")), emit)
    begun = time.perf_counter()
    await session.prompt("flood")
    await over.wait()
    took = time.perf_counter() - begun
    await session.close()
    assert told > 1
    return updates / took


def own_memory() -> float:
    """MiB that ending this process would free."""
    gc.collect()
    rows = (line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return sum(int(row[1]) for row in rows if row[0].startswith("Private")) / 1024


async def memory(folder: Path) -> float:
    """MiB of ours for each session."""
    prepared = folder / "few.jsonl"
    prepared.write_bytes(b"".join(line + b"\n" for line in lines("message")[:100]))
    argv = (sys.executable, "-I", str(AGENT), str(prepared), "1")
    over = asyncio.Semaphore(0)

    async def emit(event: BackendEvent) -> None:
        if isinstance(event, Finished):
            over.release()

    agent = AcpAgent("few", BackendConfig(argv=argv), Orphans())
    sessions = []
    before = 0.0
    for number in range(SESSIONS + 1):
        sessions.append(await agent.start(Start(session=SessionId(f"bench-{os.getpid()}-{number}")), emit))
        await sessions[-1].prompt("few")
        await over.acquire()
        if number == 0:
            before = own_memory()  # with what every session shares
    taken = own_memory() - before
    await asyncio.gather(*(session.close() for session in sessions))
    return taken / SESSIONS


def main(updates: int = 200_000) -> int:
    worst = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        each = asyncio.run(memory(Path(folder)))
        print(f"memory   {each:6.2f} MiB a session")
        for kind in MADE:
            rounds = [(bare(kind, updates), asyncio.run(through(kind, updates, Path(folder)))) for _ in range(ROUNDS)]
            decoded, whole = (statistics.median(figures) / 1000 for figures in zip(*rounds, strict=True))
            print(f"{kind:8} {whole:6.0f} k/s   only decoded {decoded:6.0f} k/s   ratio {whole / decoded:.2f}")
            worst = min(worst, whole * 1000)
    return int(worst < RATE or each > MEMORY)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
