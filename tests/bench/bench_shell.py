"""What a turn of a shell session costs: `true` in bash, zsh and fish, and in the backend `commands` beside them.

Run: `python -m tests.bench.bench_shell [TURNS]`. From the prompt to its end, as the backend tells it; medians, with a
home that has no start-up files, so that the prompt itself costs nothing. Interleaved, so that all meet the same load.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time

from agent.adapters.backends.commands import CommandsBackend
from agent.adapters.backends.shell import ShellBackend
from agent.ports import Backend, BackendEvent, Finished, Start
from agent.protocol.model import SessionId

TURNS = 200
ROUNDS = 10
TARGETS = {"bash": 5.0, "zsh": 5.0, "fish": 20.0}
"""Milliseconds that the median turn may take on a quiet machine."""


class Prompter:
    """Prompts one session, and waits for the end of each turn."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[BackendEvent] = asyncio.Queue()
        self.emit = self._events.put

    async def turn(self, backend: Backend) -> float:
        """Milliseconds from the prompt to its end."""
        began = time.perf_counter()
        await backend.prompt("true")
        while not isinstance(await self._events.get(), Finished):
            pass
        return (time.perf_counter() - began) * 1000


async def main(turns: int = TURNS) -> int:
    taken: dict[str, list[float]] = {}
    sessions: dict[str, tuple[Backend, Prompter]] = {}
    for name in ("commands", *(shell for shell in TARGETS if shutil.which(shell))):
        prompter = Prompter()
        start = Start(session=SessionId(f"bench-{name}"), shell="" if name == "commands" else name)
        kind = CommandsBackend() if name == "commands" else ShellBackend()
        sessions[name] = await kind.start(start, prompter.emit), prompter
    for _ in range(ROUNDS):
        for name, (backend, prompter) in sessions.items():
            taken.setdefault(name, []).extend([await prompter.turn(backend) for _ in range(turns // ROUNDS)])
    for backend, _ in sessions.values():
        await backend.close()
    missed = 0
    for name, all_of in taken.items():
        median, target = statistics.median(all_of), TARGETS.get(name)
        in_order = sorted(all_of)
        quickest, slowest = in_order[len(all_of) // 10], in_order[int(len(all_of) * 0.95)]
        verdict = "" if target is None else f"   target {target:g} ms{'' if median <= target else ': MISSED'}"
        print(f"{name:10} {median:6.2f} ms   (10 of 100 within {quickest:.2f} ms, 95 within {slowest:.1f} ms){verdict}")
        missed += target is not None and median > target
    return min(missed, 1)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="lan-agent-bench-") as home:
        os.environ["HOME"] = os.environ["XDG_CONFIG_HOME"] = os.environ["XDG_DATA_HOME"] = home
        sys.exit(asyncio.run(main(*map(int, sys.argv[1:]))))
