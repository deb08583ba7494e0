"""From the exec of `agent up` to the answer of its control socket, beside `python -c "import aiohttp"`.

Run: `python -m tests.bench.bench_start [RUNS] [LOOP]`. Interleaved, so that both meet the same load; medians. `whole`
is the second start of a home and the later ones: the first makes a key. What a peer sees of it is in bench_reach.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.devices import UP, Device, alone, until

RUNS = 15
IMPORTS = {
    "python -c pass": "pass",
    "import aiohttp": "import aiohttp",
    "import agent.daemon": "import agent.daemon",
}


def seconds(code: str, environ: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environ)
    return time.perf_counter() - began


def whole(device: Device) -> float:
    device.start()
    try:
        return until(device.answers, pause=0.002) - device.went_up
    finally:
        device.stop()


def main(runs: int = RUNS, loop: str = "") -> None:
    program, more = (("tests.bench.gateway",), (loop,)) if loop else (UP, ())
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="lan-agent-bench-") as folder:
        device = Device("desk", Path(folder), program, more)
        whole(device)
        for code in IMPORTS.values():
            seconds(code, device.environ)
        for _ in range(runs):
            for name, code in IMPORTS.items():
                taken.setdefault(name, []).append(seconds(code, device.environ))
            taken.setdefault("agent up answers", []).append(whole(device))
    base = statistics.median(taken["import aiohttp"])
    for name, all_of in taken.items():
        median = statistics.median(all_of)
        print(f"{name:20} {median * 1000:7.1f} ms   {median / base:.2f} x   (best {min(all_of) * 1000:.1f} ms)")


if __name__ == "__main__":
    alone("tests.bench.bench_start")
    main(*(kind(word) for kind, word in zip((int, str), sys.argv[1:], strict=False)))
