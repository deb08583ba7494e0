"""Three hosts on a network: the desk, which is attacked, its paired laptop, and a stranger."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import networks
from tests.e2e.device import ROOT, Device, pair
from tests.e2e.lab import Host

PORT = "7471"


class Scene:
    """Who is there. The laptop's key can be stolen: its PEM file."""

    def __init__(self, desk: Device, laptop: Device, stranger: Device) -> None:
        self.desk, self.laptop, self.stranger = desk, laptop, stranger
        self.stolen = str(laptop.home / "state" / "identity.pem")
        self.foreign = str(stranger.home / "state" / "identity.pem")

    def attack(self, what: str, *words: str, sent: list[bytes] = [], host: Host | None = None) -> Any:  # noqa: B006 - read
        """Run the rogue program on the stranger's host against the desk."""
        done = (host or self.stranger.host).run(
            [sys.executable, "-P", "-m", "tests.attacks.rogue", what, self.desk.host.ipv4, PORT, *words],
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            input="".join(f"{part.hex()}\n" for part in sent),
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def rss(self) -> int:
        """Bytes of memory of the desk's service."""
        assert self.desk.service
        status = Path(f"/proc/{self.desk.service.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) * 1024


@pytest.fixture(scope="module")
def everyone() -> Iterator[Scene]:
    """Desk and laptop are paired; the stranger runs the same program and is not."""
    with networks() as network:
        desk, laptop, stranger = network("desk", "laptop", "stranger")
        for device in (desk, laptop, stranger):
            device.start()
        for device in (desk, laptop, stranger):
            device.wait_until_up()
        pair(desk, laptop)
        yield Scene(desk, laptop, stranger)


@pytest.fixture
def scene(everyone: Scene) -> Iterator[Scene]:
    """After each attack the desk must be as well as before, and its paired device linked."""
    yield everyone
    everyone.desk.assert_healthy()
    everyone.laptop.wait_to_see(everyone.desk, linked=True)
