"""Devices at work while a stranger sends malformed multicast; what they say of it, and what it costs them."""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.conftest import networks
from tests.e2e.device import ROOT, Device, now, pair

STATUS_MAX = 0.5
"""Seconds in which `gateway.status` is answered throughout."""
MEMORY_MAX = 20.0
"""MiB that a service may grow."""


@dataclass
class Report:
    """What was seen."""

    seed: int
    seconds: float
    sent: int = 0
    grown: dict[str, float] = field(default_factory=dict)  # MiB at most, by device
    slowest: float = 0.0  # seconds to answer `gateway.status`
    asked: int = 0
    prompts: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Whether nothing went wrong. How long an answer took is told, not judged: the machine may be busy."""
        return not self.wrong and all(each <= MEMORY_MAX for each in self.grown.values())

    def in_words(self) -> str:
        """For people."""
        grown = ", ".join(f"{name} {mib:+.1f} MiB" for name, mib in self.grown.items())
        lines = [
            f"seed {self.seed}, {self.seconds:.0f} s, {self.sent:,} packets",
            f"memory: {grown}",
            f"gateway.status: {self.asked} times, slowest {self.slowest * 1000:.0f} ms",
            f"prompts answered: {self.prompts}",
            *self.wrong,
        ]
        return "\n".join(lines) + "\n"


def rss(device: Device) -> float:
    """MiB of a device's service."""
    assert device.service
    status = Path(f"/proc/{device.service.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024


def soak(seed: int, seconds: float) -> Report:
    """Two paired devices and a stranger who sends for so long."""
    report = Report(seed, seconds)
    with networks() as network:
        desk, laptop, stranger = devices = network("desk", "laptop", "stranger")
        for device in devices:
            device.start()
        for device in devices:
            device.wait_until_up()
        pair(desk, laptop)
        laptop.wait_to_see(desk, linked=True)
        session = desk.create("goes on")
        laptop.wait_for_session(session)
        names = [f"{each.name} {each.id[:4]}" for each in (desk, laptop)] + [each.id for each in (desk, laptop)]
        words = ["send", stranger.host.ipv4, str(seed), str(seconds), *names]
        told: list[str] = []

        def attack() -> None:
            done = stranger.host.run(
                [sys.executable, "-P", "-m", "tests.attacks.dns_fuzz", *words],
                env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
                timeout=seconds + 60,
            )
            told.append(done.stdout or done.stderr)

        before = {device.name: rss(device) for device in devices}
        attacking = threading.Thread(target=attack)
        attacking.start()
        while attacking.is_alive():
            _look(report, devices, before)
            _use(report, desk, laptop, session)
            time.sleep(0.5)
        attacking.join()
        _look(report, devices, before)
        report.sent = json.loads(told[0])["sent"]
        for device in devices:
            report.wrong += [f"{device.name}: {line}" for line in device.said().splitlines() if _is_trouble(line)]
    return report


def _look(report: Report, devices: list[Device], before: dict[str, float]) -> None:
    for device in devices:
        if not device.runs():
            report.wrong.append(f"{device.name} ended")
            continue
        began = now()
        status = device.ask("gateway.status", default=None)
        report.slowest, report.asked = max(report.slowest, now() - began), report.asked + 1
        if status is None:
            report.wrong.append(f"{device.name} does not answer")
        grown = rss(device) - before[device.name]
        report.grown[device.name] = max(report.grown.get(device.name, 0.0), grown)


def _use(report: Report, desk: Device, laptop: Device, session: str) -> None:
    """The paired device stays online, and its sessions work."""
    state = laptop.peers().get(desk.id, {}).get("state")
    if state != "online":
        report.wrong.append(f"the laptop says that the desk is {state}")
    done = laptop.run("prompt", session, f"echo {report.prompts}", status=None)
    if done.returncode or str(report.prompts) not in done.stdout:
        report.wrong.append(f"prompt {report.prompts}: {done.returncode} {done.stdout!r} {done.stderr!r}")
    report.prompts += 1


def _is_trouble(line: str) -> bool:
    return any(word in line for word in ("Traceback", "ERROR", "again and again", "Exception"))
