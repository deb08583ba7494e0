"""Sessions of a real Hermes gateway on another device: run as root, `python -m tests.bench.bench_hermes`.

Targets (issue 5): a piece of a reply reaches a viewer on another device 10 ms (median) after the gateway sent it; 32
viewers get everything; 60 of 60 attachments into a fast reply are exact; the list is at most 2 s behind the gateway.
1 if one is missed. Needs hermes-agent, where `tests.agents` looks for it.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path

from tests.agents import missing as missing_agent
from tests.agents import recipe_for
from tests.e2e.device import ROOT, Device, Lines, Row, Wire, now, pair, until
from tests.e2e.hermes import Gateway, Window
from tests.e2e.lab import Lab, missing
from tests.e2e.test_hermes_attach import attach_in_the_middle
from tests.models import ModelProcess, ModelServer

PIECES, GAP = 100, 0.05
"""Pieces of a reply, and seconds between two of them."""
ROUNDS = 60
VIEWERS = 32
LISTINGS = 8
DELTA_MAX, LIST_MAX = 0.010, 2.0


class Figures:
    """A desk with a gateway, a window on it, and a laptop."""

    def __init__(self, lab: Lab, folder: Path, models: ModelProcess) -> None:
        for name in ("desk", "laptop"):
            (folder / name).mkdir()
        self.desk, self.laptop = (
            Device(host, folder / name / "home", name) for host, name in zip(lab.hosts, ("desk", "laptop"), strict=True)
        )
        recipe = recipe_for("hermes", folder / "desk", folder / "work", models.url)
        self.models, self.gateway = models, Gateway(self.desk, recipe)
        words = [sys.executable, "-P", "-m", "tests.bench.stamping", str(self.gateway.port)]
        environ = {**self.desk.environ, "PYTHONPATH": str(ROOT)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._stamping = Lines(self.desk.host.popen(words, env=environ, **pipes))
        port = json.loads(self._stamping.wait_for('"port"'))["port"]
        self.desk.configure(self.gateway.settings(port))
        for device in (self.desk, self.laptop):
            device.up()
        pair(self.desk, self.laptop)

    def deltas(self, viewers: int) -> tuple[list[float], int]:
        """Seconds that each piece took to a viewer on the laptop; how many viewers, of both, have got everything."""
        session = self.laptop.line("new", "--on", "desk", "--backend", "hermes", "--cwd", str(self.desk.home.parent))
        self.laptop.run("prompt", session, "model: text warm")
        with ExitStack() as stack:
            devices = [self.laptop if number % 2 == 0 else self.desk for number in range(viewers)]
            wires = [stack.enter_context(Wire(device)) for device in devices]
            for wire in wires:
                wire.call("session.attach", session_id=session)
            turns = len(self._stamping.out)
            self.laptop.run("prompt", session, f"model: slow {PIECES} {GAP}", timeout=120)
            sent: list[tuple[float, str]] = json.loads(until(lambda: self._stamping.out[turns:], "the stamps")[0])
            whole = "".join(text for _, text in sent)
            assert whole == self.models.turns[-1]["said"]
            for wire in wires:
                wire.wait_for(is_over, "the end")
            shown = [pieces(wire, session) for wire in wires]
        seconds = [late for got in shown[::2] for late in lateness(sent, got)]
        return seconds, sum("".join(text for _, text in got) == whole for got in shown)

    def listings(self) -> tuple[list[float], list[float]]:
        """Seconds until the laptop lists a session that was started at the window, and that a turn of it has begun."""
        listed, working = [], []
        with Window(self.gateway) as window:
            for number in range(LISTINGS):
                title = f"By hand {number}"
                began = now()
                live = window.call("session.create", cols=100, title=title)["session_id"]
                session = str(until(lambda: self._row(title), title)["id"])  # noqa: B023 - asked at once
                listed.append(now() - began)
                window.wait_for(live, "session.info")
                began = now()
                window.call("prompt.submit", session_id=live, text=f"model: wait turn{number}")
                self.laptop.wait_for_session(session, status="working")
                working.append(now() - began)
                self.models.release(f"turn{number}")
        return listed, working

    def _row(self, title: str) -> Row:
        return next((row for row in self.laptop.sessions().values() if row["title"] == title), {})


def is_over(told: Row) -> bool:
    return (told.get("params") or {}).get("type") == "turn.complete"


def pieces(wire: Wire, session: str) -> list[tuple[float, str]]:
    """Each piece of the reply, and when it came."""
    events = [(at, told["params"]) for at, told in list(wire.told) if told.get("method") == "event"]
    return [(at, each["payload"]["text"]) for at, each in events if each["type"] == "message.delta"]


def lateness(sent: Sequence[tuple[float, str]], got: Sequence[tuple[float, str]]) -> list[float]:
    """How long each piece took, whole: some come together."""
    ends = list(accumulate(len(text) for _, text in got))
    seconds = []
    for (at, _), end in zip(sent, accumulate(len(text) for _, text in sent), strict=True):
        seconds.append(next(came for (came, _), there in zip(got, ends, strict=True) if there >= end) - at)
    return seconds


def show(what: str, seconds: Sequence[float], target: float) -> None:
    median, most = statistics.median(seconds), max(seconds)
    unit, factor = ("ms", 1000.0) if target < 0.2 else ("s", 1.0)
    figures = f"median {median * factor:6.2f} {unit}   max {most * factor:6.2f} {unit}   n {len(seconds):4}"
    print(f"{what:<44} {figures}   target {target * factor:g} {unit}", flush=True)


def attachments(folder: Path) -> int:
    """How many attachments into a fast reply were exact."""

    async def attach() -> int:
        async with ModelServer() as models:
            recipe = recipe_for("hermes", folder / "home", folder / "work", models.url)
            return await attach_in_the_middle(models, recipe, folder, ROUNDS)

    return asyncio.run(attach())


def main() -> int:
    if reason := missing() or missing_agent("hermes"):
        sys.exit(reason)
    with tempfile.TemporaryDirectory(prefix="hermes-") as folder, Lab(2) as lab:
        (Path(folder) / "attach").mkdir()
        with ModelProcess(lab.hosts[0].popen) as models:
            figures = Figures(lab, Path(folder), models)
            one, _ = figures.deltas(1)
            show("gateway to one viewer on another device", one, DELTA_MAX)
            many, whole = figures.deltas(VIEWERS)
            show(f"the same with {VIEWERS} viewers on two devices", many, DELTA_MAX)
            print(f"viewers that got everything: {whole} of {VIEWERS}")
            listed, working = figures.listings()
            show("a session at another window, until listed", listed, LIST_MAX)
            show("a turn of it, until listed as working", working, LIST_MAX)
        exact = attachments(Path(folder) / "attach")
        print(f"attachments into a fast reply that were exact: {exact} of {ROUNDS}")
    late = statistics.median(one) > DELTA_MAX or max(*listed, *working) > LIST_MAX
    return int(late or whole < VIEWERS or exact < ROUNDS)


if __name__ == "__main__":
    sys.exit(main())
