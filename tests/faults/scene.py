"""Three paired machines, the sessions on them, and the clients that watch all of these."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from agent.errors import AgentError
from tests.e2e.device import ROOT, Device, pair
from tests.e2e.lab import Host, Lab
from tests.fakes.waiting import FACTOR
from tests.faults.clients import Client, Refused, now
from tests.faults.model import Json, Model
from tests.faults.schedule import NAMES
from tests.faults.service import FILE

SERVICE = [sys.executable, "-P", "-m", "tests.faults.service", "up"]
DISK = 48
"""Mebibytes that a state folder has."""
TERMINAL = """
stty -echo
line=0
while printf '%08d\\n' $line; do
    line=$((line + 1))
    if read -r -t 0.25 typed; then echo "$typed" >> LEDGER; fi
done
"""
"""Writes what `model.written` says, and notes every line that is typed."""
NOT_STATE = shutil.ignore_patterns("lock", "filler", "*.sock")
"""What is in the folder and belongs to a process, or to the driver."""


def patience() -> float:
    """By what everything that has a limit is multiplied: how many want each core of this machine; 1 at least.

    The variable PATIENCE, if it is set, is the least.
    """
    return max(1.0, FACTOR, os.getloadavg()[0] / (os.cpu_count() or 1))


class Machine(Device):
    """A device whose state folder is a small disk of its own, and whose clock follows a file."""

    def __init__(self, host: Host, folder: Path, name: str, number: int, site: Path) -> None:
        super().__init__(host, folder, name)
        self.environ["PYTHONPATH"] = f"{ROOT}:{site}"
        self.number, self.site = number, site
        self.state, self.copy = folder / "state", folder.parent / f"{folder.name}.copy"
        self.ledger = folder.parent / f"{folder.name}.ledger"
        self.offset = 0.0
        self.addresses = 0  # how many it has had
        self.sessions_here: dict[str, str] = {}  # what for -> id
        self._clock = folder.parent / f"{folder.name}.clock"
        self.add_environ(**{FILE: str(self._clock)})
        self.tell_time(0.0)
        self.home.mkdir(mode=0o700)
        self.state.mkdir(mode=0o700)
        options = f"size={DISK}m,mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.state)], check=True)

    def unmount(self) -> None:
        """Take the disk away."""
        subprocess.run(["umount", "--lazy", str(self.state)], check=False)

    def start(self, *options: str) -> Machine:
        """Start the service; does not wait."""
        with self.log.open("ab") as log:
            self.service = self.host.popen(
                [*SERVICE, "--name", self.name, *options],
                env={**self.environ, **self._more},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def tell_time(self, wrong: float) -> None:
        """Let its clock be wrong by so many seconds, beside what it is wrong by for good."""
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(str(self.offset + wrong))
        fresh.rename(self._clock)

    def answers(self) -> bool:
        """Whether its service does."""
        try:
            self.client.call("gateway.status", {})
        except (AgentError, OSError):
            return False
        return True

    def started(self, model: Model) -> None:
        """Start the service, and return once it answers."""
        self.start()
        end = now() + 30.0 * patience()
        while not self.answers():
            if not self.runs():
                model.wrong("ended", f"the service of {self.name} did not start: {self.said()[-800:]}")
                self.start()
            if now() > end:
                model.wrong("unanswered", f"the service of {self.name} does not answer after its start")
                return
            nap(0.05)

    def stopped(self, model: Model) -> None:
        """SIGTERM; return once it has ended."""
        assert self.service is not None
        self.service.send_signal(signal.SIGTERM)
        try:
            status = self.service.wait(15.0 * patience())
        except subprocess.TimeoutExpired:
            model.wrong("unstopped", f"the service of {self.name} did not end after SIGTERM")
            self.kill()
        else:
            if status:
                model.wrong("ended", f"the service of {self.name} ended with {status}: {self.said()[-800:]}")

    def keep_copy(self) -> None:
        """Copy the state folder, to be put back later; its service must not run, or be stopped."""
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.state, self.copy, ignore=NOT_STATE)

    def keep_copy_of_running(self) -> None:
        """The same of one that runs: it stands still meanwhile."""
        assert self.service is not None
        self.service.send_signal(signal.SIGSTOP)
        self.keep_copy()
        self.service.send_signal(signal.SIGCONT)

    def rss(self) -> int:
        """Kibibytes of memory of its service; 0: it does not run."""
        return rss(self.service) if self.runs() else 0

    def tracebacks(self) -> list[str]:
        """Those in its log, shortened."""
        parts = self.said().split("Traceback (most recent call last):")
        return [part[:1500] for part in parts[1:]]


def nap(seconds: float) -> None:
    """Block this thread."""
    time.sleep(seconds)


def rss(service: subprocess.Popen[str] | None) -> int:
    """Kibibytes of memory of a process; 0: it is not there."""
    with suppress(OSError, StopIteration):
        status = Path(f"/proc/{service.pid if service else 0}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
    return 0


class Scene:
    """Everything there is. Made by `scene`."""

    def __init__(self, machines: list[Machine], model: Model, folder: Path) -> None:
        self.machines, self.model, self.folder = machines, model, folder
        self.by_name = {machine.name: machine for machine in machines}
        self.asking: dict[str, Client] = {}  # device -> a client that watches nothing, for the driver's own questions
        self.watching: dict[str, list[Client]] = {}  # device -> clients that watch every session
        self.terminals: dict[str, str] = {}  # device -> its terminal session

    def clients(self) -> list[Client]:
        """All that watch."""
        return [client for clients in self.watching.values() for client in clients]

    def host_of(self, session: str) -> Machine:
        """Where a session is."""
        return next(machine for machine in self.machines if session in machine.sessions_here.values())

    async def ask(self, device: str, method: str, *, seconds: float = 10.0, **params: Any) -> Any:
        """Ask a service over its control socket; None if it does not answer in time, or refuses."""
        try:
            async with asyncio.timeout(seconds * patience()):
                return await self.asking[device].insist(method, **params)
        except (TimeoutError, Refused):
            return None

    async def make_terminal(self, machine: Machine) -> None:
        """A terminal session on a machine, shown by all clients."""
        program = TERMINAL.replace("LEDGER", str(machine.ledger))
        params: Json = {"backend": "terminal", "title": f"screen of {machine.name}", "command": ["bash", "-c", program]}
        made = await self.ask(machine.name, "session.create", cwd=str(self.folder), **params)
        if made is not None:
            self.terminals[machine.name] = made["session_id"]
            for client in self.clients():
                client.show(made["session_id"])

    def ran(self) -> Counter[str]:
        """How often each prompt ran, by its name in the ledgers."""
        lines = (machine.ledger.read_text().split() for machine in self.machines if machine.ledger.exists())
        return Counter(line for ledger in lines for line in ledger)

    async def read_logs(self) -> None:
        """Read what the hosts have stored since the last time, and compare it with what was shown."""
        for machine in self.machines:
            for purpose, session in machine.sessions_here.items():
                if purpose != "spare":
                    await self._read_log(machine, session)

    async def _read_log(self, machine: Machine, session: str) -> None:
        log = self.model.log_now(session)
        while True:
            shown = self.model.newest_shown(log)
            after = self.model.stored_up_to(log)
            page: Json | None = await self.ask(
                machine.name, "session.history", session_id=session, after=after, limit=500
            )
            if page is None:
                return
            self.model.stored(log, page["events"])
            self.model.ends_at(log, page["seq"], shown)
            if not page["more"]:
                return


def write_backend(site: Path) -> None:
    """Install the backend of the end-to-end tests that asks, into the folder `site`."""
    package = site / "asking-1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: asking\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[lan_agent.backends]\nasking = tests.e2e.asking_backend:AskingBackend\n")


def build(lab: Lab, folder: Path, model: Model) -> list[Machine]:
    """Three machines that run and are paired."""
    site = folder / "site"
    write_backend(site)
    machines: list[Machine] = []
    for number, (host, name) in enumerate(zip(lab.hosts, NAMES, strict=True), 1):
        machines.append(Machine(host, folder / f"d{number}", name, number, site))
        machines[-1].start()
    for machine in machines:
        machine.wait_until_up()
    first, second, third = machines
    pair(first, second)
    pair(first, third)
    second.wait_to_see(third, paired=True, linked=True)
    for machine in machines:
        for purpose, backend in (("ticks", "commands"), ("work", "shell"), ("asks", "asking"), ("front", "shell")):
            title = f"{purpose} of {machine.name}"
            made = machine.ask("session.create", backend=backend, title=title, cwd=str(folder))
            machine.sessions_here[purpose] = made["session_id"]
    for machine in machines:
        for other in machines:
            for session in other.sessions_here.values():
                machine.wait_for_session(session)
    return machines


@asynccontextmanager
async def scene(folder: Path, say: Callable[[str], None]) -> AsyncIterator[Scene]:
    """Build it, connect the clients, and take it down at the end."""
    model = Model()
    machines: list[Machine] = []
    with Lab(3) as lab:
        try:
            began = now()
            machines = await asyncio.to_thread(build, lab, folder, model)
            made = Scene(machines, model, folder)
            async with asyncio.TaskGroup() as group:
                tasks = []
                for machine in machines:
                    made.asking[machine.name] = Client(f"driver-{machine.name}", machine.socket, model)
                    made.watching[machine.name] = [
                        Client(f"{machine.name}-{number}", machine.socket, model) for number in (1, 2)
                    ]
                    for client in (made.asking[machine.name], *made.watching[machine.name]):
                        tasks += [group.create_task(client.run(), name=f"faults.{client.name}")]
                for machine in machines:
                    for session in machine.sessions_here.values():
                        for client in made.clients():
                            client.watch(session)
                    await made.make_terminal(machine)
                say(f"three machines are paired after {now() - began:.1f} s")
                yield made
                for task in tasks:
                    task.cancel()
        finally:
            for machine in machines:
                machine.end_commands()
            lab.close()
            for machine in machines:
                machine.unmount()
