"""`python -m tests.faults.frames --minutes 10`: fuzzed frames from a paired guest, and how the service bears them.

Three devices: the desk, which is fuzzed; a guest, whose key the fuzzer has; the pi, of the desk's household. Meanwhile
the desk must answer, and go on serving the pi.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.device import ROOT, Device, pair, until
from tests.e2e.lab import Lab, missing
from tests.faults.clients import now
from tests.faults.scene import nap, patience, rss, write_backend

PORT = "7471"
EVERY = 0.25
"""Seconds between two questions whether all is well."""
COMMAND_EVERY = 20
"""Of these, how many lie between two runs of the command itself."""
DEAF = """trap "" INT QUIT TSTP; while :; do cat > /dev/null; sleep 0.1; done"""


class Outcome(NamedTuple):
    """What came of it."""

    said: dict[str, int]  # by the guest: frames, links, …
    answered: list[float]  # seconds that `gateway.status` took
    commands: list[float]  # seconds that `agent status` took, its start included
    grown: dict[str, float]  # MiB, by device
    problems: list[str]

    def __str__(self) -> str:
        lines = [
            f"the guest             {self.said}",
            _times("gateway.status", self.answered),
            _times("agent status", self.commands),
            f"memory, MiB more      {self.grown}",
            *(f"problem               {problem}" for problem in self.problems),
        ]
        return "\n".join(lines)


def _times(what: str, seconds: list[float]) -> str:
    return f"{what:22}{len(seconds)} times, median {statistics.median(seconds):.3f} s, worst {max(seconds):.3f} s"


def let_in(host: Device, guest: Device) -> None:
    """Pair as a guest."""
    window = host.begin("pair", "--guest")
    guest.run("join", until(lambda: window.out, "a code")[0])
    assert window.end(seconds=10) == 0
    guest.wait_to_see(host, linked=True)


def fuzz(seed: int, seconds: float) -> Outcome:
    """Build the scene, let the guest talk for so long, and tell."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="frames-", ignore_cleanup_errors=True)))
        lab = stack.enter_context(Lab(3))
        devices = [
            Device(host, folder / f"d{number}", name)
            for number, (host, name) in enumerate(zip(lab.hosts, ("desk", "guest", "pi"), strict=True))
        ]
        desk, guest, pi = devices
        site = folder / "site"
        write_backend(site)
        desk.environ["PYTHONPATH"] = f"{ROOT}:{site}"
        for device in devices:
            stack.callback(device.end_commands)
            device.start(*(("--port", PORT) if device is desk else ()))
        for device in devices:
            device.wait_until_up()
        pair(desk, pi)
        let_in(desk, guest)
        sessions = [desk.create(f"shown {number}", "--backend", "asking") for number in range(2)]
        # Not a shell: whatever is typed there would be run.
        sessions.append(desk.create("screen", "--backend", "terminal", "--", "sh", "-c", DEAF))
        for session in sessions:
            pi.wait_for_session(session)
        assert guest.id
        guest.leave()
        nap(2.0)  # what was done to pair is over
        return _watched(_talk(seed, seconds, desk, guest, sessions), desk, pi, sessions)


def _watched(talking: subprocess.Popen[str], desk: Device, pi: Device, sessions: list[str]) -> Outcome:
    problems: list[str] = []
    before = {device.name: rss(device.service) for device in (desk, pi)}
    most = dict(before)
    answered: list[float] = []
    commands: list[float] = []
    while talking.poll() is None:
        for device in (desk, pi):
            most[device.name] = max(most[device.name], rss(device.service))
        began = now()
        row = desk.ask("gateway.status", default=None)
        answered.append(now() - began)
        if row is None or not desk.runs():
            problems.append(f"the desk does not answer: {desk.said()[-800:]}")
            break
        if len(answered) % COMMAND_EVERY == 1:
            began = now()
            desk.run("status", "--json")
            commands.append(now() - began)
            if pi.run("log", sessions[0], status=None).returncode:
                problems.append("the pi cannot read a session of the desk")
        nap(EVERY)
    out, err = talking.communicate(timeout=30)
    said = json.loads(out) if out else {}
    if not said.get("frames"):
        problems.append(f"the guest said nothing: {err[-800:]}")
    for device in (desk, pi):
        if not device.runs():
            problems.append(f"{device.name} has ended: {device.said()[-800:]}")
        if "Traceback" in device.said():
            problems.append(f"traceback of {device.name}: {device.said().partition('Traceback')[2][:2000]}")
    grown = {name: round((most[name] - before[name]) / 1024, 1) for name in before}
    return Outcome(said, answered, commands, grown, problems)


def _talk(seed: int, seconds: float, desk: Device, guest: Device, sessions: list[str]) -> subprocess.Popen[str]:
    pem = str(guest.home / "state" / "identity.pem")
    words: list[Any] = [desk.host.ipv4, PORT, pem, guest.id, seed, seconds, *sessions]
    return guest.host.popen(
        [sys.executable, "-P", "-m", "tests.faults.guest", *map(str, words)],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


MORE = 20.0
"""MiB of memory that a service may grow by."""
AT_ONCE = 0.5
"""Seconds in which `agent status` must be answered; times `patience`."""


def main() -> int:
    """Fuzz; 0 if everything held."""
    asked = argparse.ArgumentParser(prog="python -m tests.faults.frames", description="Fuzzed frames.")
    asked.add_argument("--minutes", type=float, default=10.0)
    asked.add_argument("--seed", type=int, default=None)
    given = asked.parse_args()
    if reason := missing():
        print(reason, file=sys.stderr)
        return 2
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    print(f"seed {seed}", file=sys.stderr, flush=True)
    outcome = fuzz(seed, 60 * given.minutes)
    print(outcome)
    held = not outcome.problems and max(outcome.grown.values()) <= MORE
    return 0 if held and max(outcome.answered) <= AT_ONCE * patience() else 1


if __name__ == "__main__":
    sys.exit(main())
