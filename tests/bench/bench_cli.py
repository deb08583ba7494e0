"""`agent peers` and `agent sessions` against a running service, beside `python -c "import aiohttp"`.

`agent peers` may take half of it (DESIGN §9), a list of 2,000 sessions as long, in a pipe and on a terminal: less than
0.2 s on the machine of docs/performance.md.

Run: `python -m tests.bench.bench_cli [RUNS]`. Interleaved, so that all meet the same load; prints the medians.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from agent.protocol.model import SessionId, SessionRow
from tests.bench.devices import compiled

ROWS = 2_000
RUNS = 25
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


class Measured(NamedTuple):
    """A command that is measured, and the most that it may take, as a multiple of `import aiohttp`."""

    argv: Sequence[str]
    budget: float = float("inf")
    terminal: bool = False


FEW = {
    "agent peers": Measured(["peers"], budget=0.5),
    "agent peers --json": Measured(["peers", "--json"]),
    "agent sessions": Measured(["sessions"]),
}
MANY = {
    f"agent sessions, {ROWS:,} rows": Measured(["sessions"], budget=1.0),
    "  on a terminal": Measured(["sessions"], budget=1.0, terminal=True),
    "  --json": Measured(["sessions", "--json"], budget=1.0),
}


def seconds(argv: Sequence[str], *, terminal: bool = False) -> float:
    """Wall time of one run."""
    if not terminal:
        began = time.perf_counter()
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - began
    outer, inner = os.openpty()
    drain = threading.Thread(target=_drain, args=(outer,))
    drain.start()
    began = time.perf_counter()
    try:
        subprocess.run(argv, check=True, stdin=inner, stdout=inner, stderr=inner)
        return time.perf_counter() - began
    finally:
        os.close(inner)
        drain.join()
        os.close(outer)


def _drain(terminal: int) -> None:
    try:
        while os.read(terminal, 65_536):
            pass
    except OSError:  # what Linux says when nobody has it open any more
        return


def measure(runs: int, commands: Mapping[str, Measured]) -> tuple[float, dict[str, float]]:
    """Medians: of `import aiohttp`, and of each command by its name."""
    program = [sys.executable, "-c", "import sys; from agent.frontends.cli.main import main; sys.exit(main())"]
    base: list[float] = []
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs + 1):
        base.append(seconds([sys.executable, "-c", "import aiohttp"]))
        for name, command in commands.items():
            taken[name].append(seconds([*program, *command.argv], terminal=command.terminal))
    first = 1  # it filled the caches
    return statistics.median(base[first:]), {name: statistics.median(each[first:]) for name, each in taken.items()}


def many(row: SessionRow) -> list[SessionRow]:
    """Rows as they are in a large household: ids at random, one title in five in wide characters, folders."""
    chance = random.Random(1)
    return [
        msgspec.structs.replace(
            row,
            id=SessionId("".join(chance.choices(ALPHABET, k=16))),
            title="日本語のタイトル" * 2 if number % 5 == 0 else f"mend what breaks in part {number}",
            local=number % 2 == 0,
            cwd=f"/home/ada/src/project-{number % 40}/agent",
            short_cwd=f"~/src/project-{number % 40}/agent",
        )
        for number in range(ROWS)
    ]


def main(runs: int = RUNS) -> int:
    """Print the table; 1 if a budget is missed."""
    missed = False
    with tempfile.TemporaryDirectory(prefix="lan-agent-bench-") as home:
        os.environ["LAN_AGENT_HOME"] = home
        os.environ.update(compiled(Path(home)))  # as an installed program finds it
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        from agent.paths import control_socket_path
        from tests.frontends.gateway import DESK, FakeGateway, device, session

        gateway = FakeGateway(control_socket_path(os.environ))
        gateway.devices = [device(), *[device(DESK, f"device {n}") for n in range(20)]]
        try:
            for commands, rows in ((FEW, [session()]), (MANY, many(session()))):
                gateway.sessions = rows
                base, medians = measure(runs, commands)
                print(f"{'import aiohttp':28} {base * 1000:7.1f} ms")
                for name, median in medians.items():
                    print(f"{name:28} {median * 1000:7.1f} ms   {median / base:.2f} x")
                    missed |= median > commands[name].budget * base
        finally:
            gateway.close()
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
