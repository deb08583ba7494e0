"""`agent up` for benchmarks: the real service with a backend that keeps time, and a store that notes when it was done.

Run: `python -m tests.bench.gateway NAME [LOOP]`; `LOOP` is `asyncio` or `uvloop`. Prompt `COUNT GAP` of the backend
`tick` says COUNT lines, GAP seconds apart, each beginning with the monotonic nanoseconds at which it was said; with
`words` behind them, the words of a reply in Markdown; with `tools`, what an agent does that works. When the turn ends,
`published.json` in the home tells for every event the nanoseconds at which the store was done with it.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from agent import daemon
from agent.adapters.backends import InstalledBackends, find_backends
from agent.adapters.storage.sqlite import SqliteTranscripts
from agent.ports import (
    BackendConfig,
    BackendEvent,
    Emit,
    Finished,
    Installed,
    Said,
    Start,
    Thought,
    ToolFinished,
    ToolProgressed,
    ToolStarted,
)
from agent.protocol.events import Answer, Diff, Event
from agent.protocol.model import SessionId

WIDTH = 80
"""Characters of one delta: what an agent usually sends."""


WORDS = re.findall(r"\S*\s+", Path(__file__).with_name("reply.md").read_text(encoding="utf-8"))
"""A reply as agents write them, word by word."""

CODE = re.findall(r"\S*\s+", Path(__file__).read_text(encoding="utf-8").replace("```", ""))


def tick(number: int) -> BackendEvent:
    return Said(f"{time.perf_counter_ns()} ".ljust(WIDTH))


def word(number: int) -> BackendEvent:
    """A word of the reply; every tenth with its number, so that a reader can be asked how far it is."""
    return Said(WORDS[number % len(WORDS)] + (f"#{number} " if number % 10 == 0 else ""))


def code(number: int) -> BackendEvent:
    """A block of code that does not end, word by word."""
    return Said(CODE[number % len(CODE)] if number else "```python\n")


def work(number: int) -> BackendEvent:
    """Tools with 2 kB of output, one in four with a change, and a paragraph now and then."""
    tool, step = f"tool{number // 5}", number % 5
    if step == 0:
        return Thought("Let me look at that. ")
    if step == 1:
        return ToolStarted(tool_id=tool, title=f"Run test {number}", tool="execute", input=f"pytest -k test_{number}")
    if step == 2:
        return ToolProgressed(tool_id=tool, text="collected 12 items\n")
    if step == 3:
        diff = Diff(path=f"agent/part{number}.py", patch="@@ -1,3 +1,3 @@\n import os\n-x = 1\n+x = 2\n y = 3\n")
        output = "tests/test_wire.py ............ passed\n" * 50
        return ToolFinished(tool_id=tool, status="complete", output=output, diffs=(diff,) if number % 20 == 3 else ())
    return Said(f"That was step {number}: **it works**, `wire.py` is mended.\n\n")


WAYS = {"ticks": tick, "words": word, "code": code, "tools": work}


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
        count, gap, *what = text.split()
        says = WAYS[what[0] if what else "ticks"]
        self._turn = asyncio.get_running_loop().create_task(self._run(int(count), float(gap), says), name="bench.tick")

    async def _run(self, count: int, gap: float, says: Callable[[int], BackendEvent]) -> None:
        begin = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(max(0.0, begin + (number + 1) * gap - time.perf_counter()))
            await self._emit(says(number))
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
