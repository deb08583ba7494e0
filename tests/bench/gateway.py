"""`agent up` for benchmarks: the real service with a backend that keeps time, and a store that notes when it was done.

Run: `python -m tests.bench.gateway NAME [LOOP]`; `LOOP` is `asyncio` or `uvloop`. Prompt `COUNT GAP` of the backend
`tick` says COUNT lines, GAP seconds apart, each beginning with the monotonic nanoseconds at which it was said. When
the turn ends, `published.json` in the home tells for every event the nanoseconds at which the store was done with it.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from agent import daemon
from agent.adapters.backends import InstalledBackends, find_backends
from agent.adapters.storage.sqlite import SqliteTranscripts
from agent.ports import BackendConfig, Emit, Finished, Installed, Said, Start
from agent.protocol.events import Answer, Event
from agent.protocol.model import SessionId

WIDTH = 80
"""Characters of one delta: what an agent usually sends."""


class TickBackend:
    """`ports.BackendType`."""

    name: ClassVar[str] = "tick"
    description: ClassVar[str] = "says what time it is"
    takes_command: ClassVar[bool] = False

    def missing(self) -> str:
        return ""

    async def start(self, start: Start, emit: Emit) -> Ticking:
        return Ticking(emit)


class Ticking:
    """`ports.Backend`."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._turn: asyncio.Task[None] | None = None

    async def prompt(self, text: str) -> None:
        count, gap = text.split()
        self._turn = asyncio.get_running_loop().create_task(self._run(int(count), float(gap)), name="bench.tick")

    async def _run(self, count: int, gap: float) -> None:
        for _ in range(count):
            await asyncio.sleep(gap)
            await self._emit(Said(f"{time.perf_counter_ns()} ".ljust(WIDTH)))
        await self._emit(Finished(status="complete"))

    async def answer(self, request_id: str, answer: Answer) -> None:
        pass

    async def interrupt(self) -> None:
        pass

    async def close(self) -> None:
        if self._turn is not None:
            self._turn.cancel()


class NotingTranscripts(SqliteTranscripts):
    """The real store; notes when each event was on disk, the moment before it is published."""

    def __init__(self, path: Path, **given: Any) -> None:
        super().__init__(path, **given)
        self._file = path.parents[1] / "published.json"
        self._at: dict[int, int] = {}

    async def append(self, session: SessionId, events: Sequence[Event]) -> None:
        await super().append(session, events)
        now = time.perf_counter_ns()
        self._at.update((event.seq, now) for event in events)
        if any(event.type == "turn.complete" for event in events):
            self._file.write_bytes(msgspec.json.encode(self._at))
            self._at.clear()


def backends(configured: Mapping[str, BackendConfig]) -> InstalledBackends:
    tick = Installed(name="tick", entry="tick", type=TickBackend())
    return InstalledBackends({**find_backends(configured).installed, "tick": tick})


def main(name: str, loop: str = "asyncio") -> int:
    if loop != "asyncio":
        importlib.import_module(loop).install()  # tried, not a dependency
    adapters = vars(daemon)
    adapters["SqliteTranscripts"], adapters["find_backends"] = NotingTranscripts, backends
    return daemon.run(name, None, ["lo"])


if __name__ == "__main__":
    os.environ.setdefault("LAN_AGENT_HOME", str(Path.cwd()))
    sys.exit(main(*sys.argv[1:]))
