"""`agent peers` against a running service, beside `python -c "import aiohttp"` (DESIGN §9: at most half of it).

Run: `python -m tests.bench.bench_cli [RUNS]`. Interleaved, so that both meet the same load; prints the medians.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.devices import compiled

BUDGET = 0.5
RUNS = 25
BESIDE = [sys.executable, "-c", "import aiohttp"]
COMMANDS = {
    "agent peers": ["peers"],
    "agent peers --json": ["peers", "--json"],
    "agent sessions": ["sessions"],
}


def seconds(argv: Sequence[str]) -> float:
    """Wall time of one run."""
    began = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure(runs: int) -> dict[str, float]:
    """Medians, by command; the one of `import aiohttp` under its name."""
    program = [sys.executable, "-c", "import sys; from agent.frontends.cli.main import main; sys.exit(main())"]
    argvs = {"import aiohttp": BESIDE, **{name: [*program, *argv] for name, argv in COMMANDS.items()}}
    taken: dict[str, list[float]] = {name: [] for name in argvs}
    for _ in range(runs + 1):
        for name, argv in argvs.items():
            taken[name].append(seconds(argv))
    return {name: statistics.median(all_of[1:]) for name, all_of in taken.items()}  # the first filled the caches


def main(runs: int = RUNS) -> int:
    """Print the table; 1 if the budget is missed."""
    with tempfile.TemporaryDirectory(prefix="lan-agent-bench-") as home:
        os.environ["LAN_AGENT_HOME"] = home
        os.environ.update(compiled(Path(home)))  # as an installed program finds it
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        from agent.paths import control_socket_path
        from tests.frontends.gateway import DESK, FakeGateway, device

        gateway = FakeGateway(control_socket_path(os.environ))
        gateway.devices = [device(), *[device(DESK, f"device {n}") for n in range(20)]]
        try:
            medians = measure(runs)
        finally:
            gateway.close()
    base = medians["import aiohttp"]
    for name, median in medians.items():
        print(f"{name:20} {median * 1000:7.1f} ms   {median / base:.2f} x")
    return int(medians["agent peers"] > BUDGET * base)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
