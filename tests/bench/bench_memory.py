"""Memory of the service: idle, and with a link and ten sessions (DESIGN §9: at most 64 MiB idle).

Run: `python -m tests.bench.bench_memory [LOOP]` as root on Linux (else on this machine's own loopback). MiB of two
devices: `RSS` is what `ps` shows, `PSS` counts shared pages by share, `own` what ending it would free. The floor is a
Python that has imported the four largest libraries and does nothing. 1 if the budget is missed.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.bench.devices import UP, Device, alone, devices, pair, until

BUDGET = 64.0
IDLE = 10.0
"""Seconds after which a service that has started counts as idle."""
SESSIONS = 10
FLOOR = "import aiohttp.web, zeroconf.asyncio, msgspec, cryptography.x509"
SHOW = "\nprint(open('/proc/self/smaps_rollup').read())"


def floor(environ: dict[str, str]) -> dict[str, float]:
    argv = [sys.executable, "-c", FLOOR + SHOW]
    told = subprocess.run(argv, check=True, capture_output=True, text=True, env=environ).stdout
    words = [line.split() for line in told.strip().splitlines()[1:]]
    return {each[0].rstrip(":"): int(each[1]) / 1024 for each in words}


def show(what: str, taken: Sequence[dict[str, float]]) -> float:
    rss, pss, own = (statistics.median(each[key] for each in taken) for key in ("Rss", "Pss", "Private_Dirty"))
    print(f"{what:34} {rss:6.1f} RSS   {pss:6.1f} PSS   {own:6.1f} own")
    return rss


def sessions(device: Device, number: int) -> list[str]:
    return [device.client.call("session.create", {"cwd": "/"})["session_id"] for _ in range(number)]


def main(loop: str = "") -> int:
    program, more = (("tests.bench.gateway",), (loop,)) if loop else (UP, ())
    with devices("desk", "den", program=program, more=more) as (desk, den):
        show("the libraries alone", [floor(desk.environ) for _ in range(3)])
        time.sleep(IDLE)
        idle = show(f"idle for {IDLE:g} s", [desk.memory(), den.memory()])
        pair(desk, den)
        time.sleep(2)
        show("and paired, with a link", [desk.memory(), den.memory()])
        for each in sessions(desk, SESSIONS):
            desk.client.call("prompt.submit", {"session_id": each, "prompt_id": f"{each}-1", "text": "seq 100"})
        until(lambda: all(row["status"] == "idle" for row in den.client.call("session.list")))
        time.sleep(2)
        show(f"and {SESSIONS} sessions here, one turn each", [desk.memory()])
        show(f"and {SESSIONS} sessions there", [den.memory()])
    return int(idle > BUDGET)


if __name__ == "__main__":
    alone("tests.bench.bench_memory")
    sys.exit(main(*sys.argv[1:]))
