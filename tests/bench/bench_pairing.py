"""The work of one pairing, beside a bare exchange of the same library. Run: `python -m tests.bench.bench_pairing`.

Both sides run in this process, so a figure is the sum of two devices. No discovery, and no start of a program: from the
first connect of the one who joins to trust on both sides. Target: 200 ms. Ends with status 1 when it is missed.
"""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from agent.adapters.net.pairing import TlsPairing
from agent.adapters.storage.identity import load_or_create_identity
from agent.clock import SystemClock
from agent.protocol.identity import Identity
from agent.trust.devices import TrustedDevices
from agent.trust.pairing import Pairing
from agent.trust.rules.handshake import Bundle, Host, Joiner
from tests.fakes.pairing import NoHousehold, PairingNet, WindowDiscovery
from tests.fakes.trust import MemoryTrust

ROUNDS = 30
TARGET = 0.2
SECRET = "913577"

Spent = tuple[float, float]
"""Wall and CPU seconds."""


def now() -> Spent:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), usage.ru_utime + usage.ru_stime


def since(began: Spent) -> Spent:
    wall, cpu = now()
    return wall - began[0], cpu - began[1]


def bare() -> None:
    """SPAKE2 as the library has it, both sides, bound to nothing."""
    from spake2 import SPAKE2_A, SPAKE2_B

    here, there = SPAKE2_A(SECRET.encode()), SPAKE2_B(SECRET.encode())
    first, second = here.start(), there.start()
    assert here.finish(second) == there.finish(first)


def messages(host: Identity, guest: Identity) -> None:
    """The five messages of a pairing, from hand to hand."""
    there = Host(host, SECRET, Bundle(name="den", port=7001), os.urandom)
    here = Joiner(guest, SECRET, host.certificate, Bundle(name="lab", port=7002), os.urandom)
    there.finish(here.thank(there.grant(here.prove(there.reply(here.hello())))))
    assert there.partner
    assert here.partner


class Side:
    """One device as far as it pairs."""

    def __init__(self, folder: Path, name: str) -> None:
        self.identity, self.trust = load_or_create_identity(folder / name), MemoryTrust()
        self.pairing = Pairing(
            identity=self.identity,
            trusted=TrustedDevices(self.trust, SystemClock()),
            discovery=WindowDiscovery(PairingNet(), "127.0.0.1"),
            transport=TlsPairing(self.identity, SystemClock(), ["127.0.0.1"]),
            clock=SystemClock(),
            about=lambda: Bundle(name=name, port=7000),
            membership=NoHousehold(),
        )


async def whole(den: Side, lab: Side) -> Spent:
    """A window, a join over TLS on loopback, and trust on both sides."""
    async with asyncio.TaskGroup() as group:
        services = [group.create_task(side.pairing.run(), name="bench.pairing") for side in (den, lab)]
        await asyncio.sleep(0)
        window = await den.pairing.open_window(60.0, lambda news: None)
        port = await window.listening
        began = now()
        await lab.pairing.join(window.code, f"127.0.0.1:{port}")
        await window.over.wait()
        spent = since(began)
        assert len(den.trust.devices()) == len(lab.trust.devices()) == 1
        for service in services:
            service.cancel()
    return spent


def show(what: str, spent: list[Spent], floor: float = 0.0) -> None:
    wall, cpu = (statistics.median(each) * 1e3 for each in zip(*spent, strict=True))
    slowest = max(each[0] for each in spent) * 1e3
    ratio = f"   {wall / floor:4.1f} x bare" if floor else ""
    print(f"{what:<44} wall {wall:6.1f} ms, slowest {slowest:6.1f}   CPU {cpu:6.1f} ms   n {len(spent)}{ratio}")


def main() -> None:
    """Print one line each."""
    with tempfile.TemporaryDirectory(prefix="lan-agent-bench-") as folder:
        den, lab = Side(Path(folder), "den"), Side(Path(folder), "lab")
        first = asyncio.run(whole(den, lab))  # the library is imported in it, once for both sides
        floors: list[Spent] = []
        hands: list[Spent] = []
        runs: list[Spent] = []
        for _ in range(ROUNDS):
            began = now()
            bare()
            floors.append(since(began))
            began = now()
            messages(den.identity, lab.identity)
            hands.append(since(began))
            for side in (den, lab):
                for device in side.trust.devices():
                    side.trust.remove(device.id)
            runs.append(asyncio.run(whole(den, lab)))
    floor = statistics.median(wall for wall, _ in floors) * 1e3
    show("bare SPAKE2", floors)
    show("the five messages", hands, floor)
    show("over TLS on loopback, to trust on both sides", runs, floor)
    show("the same, the first time, with the import", [first], floor)
    if max(first[0], *(wall for wall, _ in runs)) > TARGET:
        sys.exit(f"target missed: {TARGET * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
