"""Running services for benchmarks: homes of their own, on loopback, in a network namespace of their own if it can be.

    def main() -> None:
        with devices("desk", "den") as (desk, den):
            pair(desk, den)

`alone` must come first: it starts the script again where no other service of this machine is heard.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import agent
from agent.client.control_socket import Client
from agent.errors import AgentError
from agent.paths import control_socket_path

ROOT = Path(agent.__file__).parents[1]
UP = ("agent", "up", "--interface", "lo", "--name")
"""`python -m` this and a name: the service as it is."""
ALONE = "BENCH_ALONE"


def alone(module: str) -> None:
    """Go on in a network namespace where only loopback is, if this machine lets us make one."""
    unshare = shutil.which("unshare")
    if ALONE in os.environ or sys.platform != "linux" or unshare is None or os.geteuid() != 0:
        return
    os.environ[ALONE] = "1"
    script = 'ip link set lo up && exec "$@"'
    os.execv(unshare, [unshare, "-n", "sh", "-c", script, "sh", sys.executable, "-m", module, *sys.argv[1:]])


def compiled(folder: Path) -> dict[str, str]:
    """An environment in which Python keeps what it has compiled in this folder, as an installed program finds it."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "compiled"), "PYTHONPATH": str(ROOT)}


class Device:
    """One service. `went_up` is the monotonic time at which it was started."""

    def __init__(self, name: str, folder: Path, program: Sequence[str] = UP, more: Sequence[str] = ()) -> None:
        self.name, self.home = name, folder / name
        self.environ = {**compiled(folder), "LAN_AGENT_HOME": str(self.home), "LAN_AGENT_PAGE_PORT": "0"}
        self.socket = control_socket_path(self.environ)
        self.client = Client(self.socket, seconds=10.0)
        self._argv = [sys.executable, "-P", "-m", *program, name, *more]
        self._log = folder / f"{name}.log"
        self.home.mkdir(mode=0o700, exist_ok=True)

    def start(self) -> None:
        """Start it; does not wait."""
        with self._log.open("ab") as log:
            self.went_up = time.perf_counter()
            self.process = subprocess.Popen(self._argv, env=self.environ, stdin=subprocess.DEVNULL, stderr=log)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(15)

    def answers(self) -> bool:
        """Whether it answers; ends the benchmark if it has ended."""
        if self.process.poll() is not None:
            sys.exit(f"{self.name} ended: {self._log.read_text()}")
        try:
            self.client.call("peer.list")
        except AgentError:
            return False
        return True

    def peers(self) -> list[dict[str, Any]]:
        """The other devices that it lists."""
        return [row for row in self.client.call("peer.list") if not row["self"]]

    def linked(self) -> bool:
        """Whether it has a link to any of them."""
        return any(row["linked"] for row in self.peers())

    def command(self, *argv: str) -> subprocess.Popen[str]:
        """Begin a command of this device."""
        program = [sys.executable, "-P", "-m", "agent", *argv]
        return subprocess.Popen(program, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def memory(self) -> dict[str, float]:
        """MiB: `Rss` (what tools show), `Pss` (shared pages by share), `Private_Dirty` (its own)."""
        lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        words = [line.split() for line in lines[1:]]
        return {each[0].rstrip(":"): int(each[1]) / 1024 for each in words}


def until(true: Callable[[], object], *, seconds: float = 15.0, pause: float = 0.02) -> float:
    """Ask until it is true; the monotonic time at which it was."""
    end = time.perf_counter() + seconds
    while not true():
        if time.perf_counter() > end:
            sys.exit("waited in vain")
        time.sleep(pause)
    return time.perf_counter()


@contextmanager
def devices(*names: str, program: Sequence[str] = UP, more: Sequence[str] = ()) -> Iterator[list[Device]]:
    """Services that run and answer; ended at the end."""
    with tempfile.TemporaryDirectory(prefix="lan-agent-bench-") as folder, ExitStack() as stack:
        made = [Device(name, Path(folder), program, more) for name in names]
        for device in made:  # one after the other: the first one compiles for all
            device.start()
            stack.callback(device.stop)
            until(device.answers)
        made[0].stop()  # and runs from source no longer than that
        made[0].start()
        until(made[0].answers)
        yield made


def pair(host: Device, guest: Device) -> None:
    """`agent pair` and `agent join`; returns when both have a link."""
    window = host.command("pair")
    assert window.stdout is not None
    code = window.stdout.readline().strip()
    joined = guest.command("join", code)
    joined.communicate(timeout=30)
    window.communicate(timeout=30)
    for device in (host, guest):
        until(device.linked)
