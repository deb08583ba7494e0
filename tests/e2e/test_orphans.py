"""No process is left of a hundred sessions whose agents were killed and came back, nor when the service was killed."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.adapters.backends.process_owner import SESSION_MARK
from tests.e2e.conftest import MakeNetwork
from tests.e2e.device import ROOT, Device, until

pytestmark = [pytest.mark.device, pytest.mark.timeout(240)]

BATCHES, TOGETHER = 10, 10
ODD = ROOT / "tests" / "adapters" / "backends" / "acp" / "odd.py"


def running(device: Device) -> set[int]:
    """What runs in the device's network namespace, but for its service; zombies count."""
    listing = ["ip", "netns", "pids", device.host.namespace]
    found = subprocess.run(listing, capture_output=True, text=True, check=True, timeout=30).stdout.split()
    assert device.service
    return {int(pid) for pid in found} - {device.service.pid}


def agents(device: Device) -> list[int]:
    """Those of them that are agents."""
    return [pid for pid in running(device) if str(ODD).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]


def prompt(device: Device, sessions: Sequence[str], turn: int, text: str) -> None:
    """Prompt all of them, and wait for the ends of their turns."""
    for session in sessions:
        device.ask("prompt.submit", session_id=session, prompt_id=f"{session}-{turn}", text=text)
    until(lambda: not [s for s in sessions if device.status_of(s) != "idle"], f"the ends of {text!r}")


def kill_agents(device: Device, sessions: Sequence[str]) -> None:
    """Kill all, and wait until their sessions tell so: before, a prompt would still be theirs."""
    for pid in agents(device):
        os.kill(pid, signal.SIGKILL)

    def told(session: str) -> bool:
        return "SIGKILL" in json.dumps(device.ask("session.history", session_id=session)["events"])

    until(lambda: all(map(told, sessions)), "the news of their deaths")


def last_reply(device: Device, session: str) -> str:
    events = device.ask("session.history", session_id=session)["events"]
    return str([e["payload"]["text"] for e in events if e["type"] == "message.complete"][-1])


def test_a_hundred_sessions_killed_and_brought_back_leave_no_process(network: MakeNetwork, tmp_path: Path) -> None:
    (desk,) = network("desk")
    # This one does not end with its input, and `orphan` starts what outlives it, in a session of its own.
    command = [sys.executable, "-I", str(ODD), "--deaf", "--name", "codex-acp", "--state", f"{tmp_path}/"]
    argv = ["sh", "-c", f'exec {shlex.join(command)}"${SESSION_MARK}"']  # one file of state a session
    desk.configure(f"[backends.odd]\nargv = {json.dumps(argv)}\n")
    desk.up()
    assert running(desk) == set()
    with ThreadPoolExecutor(TOGETHER) as threads:
        for batch in range(BATCHES):
            created = threads.map(lambda _: desk.ask("session.create", backend="odd"), range(TOGETHER))
            sessions = [each["session_id"] for each in created]
            prompt(desk, sessions, 1, "orphan")
            assert len(agents(desk)) == TOGETHER
            kill_agents(desk, sessions)
            prompt(desk, sessions, 2, "orphan")
            assert len(agents(desk)) == TOGETHER
            if batch % 3 == 2:
                desk.kill()
                desk.up()
                until(lambda: not running(desk), lambda: f"the end of {running(desk)}")
                prompt(desk, sessions, 3, "memory")
                assert {last_reply(desk, session) for session in sessions} == {"orphan orphan memory "}
            list(threads.map(lambda session: desk.ask("session.close", session_id=session), sessions))
            until(lambda: not running(desk), lambda: f"the end of {running(desk)}")
    desk.assert_healthy()
