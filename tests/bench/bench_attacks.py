"""A flood of silent connects against the real service: its memory, and how long a paired device needs meanwhile.

Needs root and Linux (network namespaces). Run: `python -m tests.bench.bench_attacks`. Figures: docs/performance.md.
"""

from __future__ import annotations

import statistics
import threading
import time

from tests.attacks.conftest import Scene
from tests.e2e.conftest import networks
from tests.e2e.device import now, pair

PER_SECOND, SECONDS = 800, 10


def main() -> None:
    """Print one line."""
    with networks() as network:
        desk, laptop, stranger = network("desk", "laptop", "stranger")
        for device in (desk, laptop, stranger):
            device.up()
        pair(desk, laptop)
        session = desk.create("flooded")
        laptop.wait_for_session(session)
        scene = Scene(desk, laptop, stranger)
        before = highest = scene.rss()
        flooding = threading.Thread(target=lambda: scene.attack("flood", str(PER_SECOND), str(SECONDS)))
        flooding.start()
        took: list[float] = []
        while flooding.is_alive():
            began = now()
            laptop.ask("session.history", session_id=session, limit=1)
            took.append(now() - began)
            highest = max(highest, scene.rss())
            time.sleep(0.2)  # what one device may ask for is limited
        flooding.join()
        told = f"{PER_SECOND}/s for {SECONDS} s: memory +{(highest - before) / 2**20:.1f} MiB"
        print(f"{told}, request over the link {statistics.median(took) * 1e3:.1f} ms, worst {max(took) * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
