"""Floods of connects against the real service: its memory, and what a paired device gets meanwhile.

Silent connects, half-open handshakes, and a whole ClientHello followed by silence.

Of a link that is there: requests. Of a device that comes: TLS, WebSocket, `gateway.ready`, and `session.attach` over
it, each time anew; the same without a flood stands beside it. Targets: < 20 MiB, each attach < 1 s; else it ends with
status 1.

Needs root and Linux (network namespaces). Run: `python -m tests.bench.bench_attacks`. Figures: docs/performance.md.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import threading
import time
from typing import NamedTuple

from msgspec import Raw

from agent.adapters.net.dial import TlsDialer
from agent.adapters.net.tls import pairing_client_context
from agent.clock import SystemClock
from agent.errors import AgentError, Forbidden
from agent.ports import Channel
from agent.protocol.codec import typed
from agent.protocol.messages import Attach, Attached, Ready
from agent.protocol.methods import GATEWAY_READY
from agent.protocol.model import DeviceId, Endpoint
from tests.attacks.conftest import PORT, Scene
from tests.attacks.rogue import context
from tests.e2e.conftest import networks
from tests.e2e.device import ROOT, now, pair

PER_SECOND, SECONDS = 800, 10
CALM, TRIES = 8, 15
"""Links opened without and during the flood: a device may open 30 a minute."""
APART = 0.6
"""Seconds between the starts of two tries."""
PAUSE = 50.0
"""Seconds in which a device may open its links again."""
MEMORY, ATTACH = 20.0, 1.0
"""MiB, seconds."""


class Took(NamedTuple):
    """Seconds from the first packet."""

    ready: float
    attached: float
    tries: int  # dials it took


class Guest:
    """The laptop's key in a program that does nothing but attach."""

    def __init__(self, device: str, session: str) -> None:
        self._device, self._session = DeviceId(device), session
        self._ready = asyncio.Event()

    def on_notification(self, channel: Channel, method: str, params: Raw, frame: bytes) -> None:
        if method == "gateway.ready":
            self._ready.set()

    async def on_request(self, channel: Channel, method: str, params: Raw) -> object:
        raise Forbidden

    def on_closed(self, channel: Channel) -> None:
        pass

    async def attach(self, dialer: TlsDialer, endpoint: Endpoint) -> Took:
        """Come, attach, go."""
        began, tries = time.perf_counter(), 0
        while True:
            tries += 1
            try:
                channel, _ = await dialer.dial(self._device, [endpoint])
            except AgentError:
                if tries == 8:
                    raise
            else:
                break
        async with asyncio.TaskGroup() as group:
            running = group.create_task(channel.run(self), name="bench.link")
            channel.notify(GATEWAY_READY, Ready(device=self._device, name="laptop"))
            await self._ready.wait()
            ready = time.perf_counter() - began
            raw = await channel.request("session.attach", Attach(session_id=self._session), seconds=10.0)
            assert typed(raw, Attached).snapshot
            attached = time.perf_counter() - began
            channel.close("not needed now")
            await running
        return Took(ready, attached, tries)


async def attach(host: str, pem: str, device: str, session: str, count: int) -> list[Took]:
    """So many attachments, each over a link of its own."""
    dialer = TlsDialer(
        context_for=lambda _: context(pem),  # whoever answers: a pin costs nothing
        probe_context=pairing_client_context,
        clock=SystemClock(),
    )
    took = []
    for _ in range(count):
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(APART), name="bench.pace")
            took.append(await Guest(device, session).attach(dialer, Endpoint(host, int(PORT))))
    return took


def attach_from(scene: Scene, session: str, count: int) -> list[Took]:
    """The same, from the laptop's host."""
    words = ("attach", scene.desk.host.ipv4, scene.stolen, scene.laptop.id, session, str(count))
    done = scene.laptop.host.run(
        [sys.executable, "-P", "-m", "tests.bench.bench_attacks", *words],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    if done.returncode:
        sys.exit(done.stderr)
    return [Took(*each) for each in json.loads(done.stdout)]


class Flood:
    """The stranger at work, and the desk's memory meanwhile, above what it was."""

    def __init__(self, scene: Scene, what: str = "flood") -> None:
        self._scene = scene
        self._before = self._highest = scene.rss()
        self._thread = threading.Thread(target=lambda: scene.attack(what, str(PER_SECOND), str(SECONDS)))
        self._thread.start()

    def goes_on(self) -> bool:
        """Whether it does; looks at the memory."""
        self._highest = max(self._highest, self._scene.rss())
        return self._thread.is_alive()

    def end(self) -> float:
        """Wait for its end; the MiB it took."""
        while self.goes_on():
            time.sleep(0.05)
        self._thread.join()
        return (self._highest - self._before) / 2**20


def over_the_link(scene: Scene, session: str) -> float:
    """A link that is there during a flood; the MiB."""
    flood = Flood(scene)
    took: list[float] = []
    while flood.goes_on():
        began = now()
        scene.laptop.ask("session.history", session_id=session, limit=1)
        took.append(now() - began)
        time.sleep(0.2)  # what one device may ask for is limited
    memory = flood.end()
    print(f"over a link: request {statistics.median(took) * 1e3:.1f} ms, worst {max(took) * 1e3:.0f} ms", end="")
    print(f" (n {len(took)}), memory +{memory:.1f} MiB")
    return memory


def anew(scene: Scene, session: str, what: str) -> tuple[float, float]:
    """Links opened before and during a flood; the MiB, and the slowest attachment in seconds."""
    print(what)
    calm = attach_from(scene, session, CALM)
    flood = Flood(scene, what)
    time.sleep(0.5)
    took = attach_from(scene, session, TRIES)
    during = flood.goes_on()
    memory = flood.end()
    floor = statistics.median(each.attached for each in calm)
    for when, each in (("calm", calm), ("flooded", took)):
        ready, attached = ([getattr(one, name) * 1e3 for one in each] for name in ("ready", "attached"))
        print(f"{when:<8} ready {statistics.median(ready):6.1f} ms, worst {max(ready):6.1f}", end="   ")
        print(f"attached {statistics.median(attached):6.1f} ms, worst {max(attached):6.1f}", end="   ")
        dials = f"dials {sum(one.tries for one in each)} for {len(each)}"
        print(f"{statistics.median(attached) / 1e3 / floor:.1f} x   {dials}")
    print(f"memory +{memory:.1f} MiB; the flood {'went on' if during else 'had ended'} when the last one had attached")
    if not during:
        sys.exit("the flood was too short")
    return memory, max(each.attached for each in took)


def main() -> None:
    """Print the figures."""
    if sys.argv[1:2] == ["attach"]:
        host, pem, key, session, count = sys.argv[2:]
        print(json.dumps(asyncio.run(attach(host, pem, key, session, int(count)))))
        return
    with networks() as network:
        desk, laptop, stranger = network("desk", "laptop", "stranger")
        for device in (desk, laptop, stranger):
            device.up()
        pair(desk, laptop)
        session = desk.create("flooded")
        laptop.wait_for_session(session)
        scene = Scene(desk, laptop, stranger)
        assert laptop.id  # asked for while it runs
        linked = over_the_link(scene, session)
        laptop.leave()  # its key is used by the bench now, and a device has one link
        floods = []
        for what in ("flood", "half-open", "whole-hello"):
            floods.append(anew(scene, session, what))
            time.sleep(PAUSE)
    if max(linked, *(memory for memory, _ in floods)) > MEMORY or max(slowest for _, slowest in floods) > ATTACH:
        sys.exit(f"target missed: {MEMORY:g} MiB, {ATTACH:g} s")


if __name__ == "__main__":
    main()
