"""How soon devices know of each other, between network namespaces: run as root, `python -m tests.bench.bench_reach`.

Targets (issue 2): a paired device is online on its peers 1.0 s after exec, an unpaired one is listed after 2 s, a
session change is visible on a paired peer after 20 ms (median).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.e2e.device import Device, Row, Wire, now, pair, until
from tests.e2e.lab import Lab, missing


class Reach:
    """The figures, gathered in one lab of two hosts."""

    def __init__(self, lab: Lab, folder: Path, rounds: int) -> None:
        self._hosts, self._folder, self._rounds = lab.hosts, folder, rounds

    def _device(self, number: int, name: str) -> Device:
        home = self._folder / name
        home.mkdir()
        return Device(self._hosts[number], home / "home", name)

    def unpaired(self) -> list[float]:
        """Seconds from exec of an unpaired device until another one lists it."""
        here = self._device(0, "here").up()
        seconds = []
        for number in range(self._rounds):
            with Wire(here) as wire:
                wire.call("peer.watch")
                began = now()
                stranger = self._device(1, f"stranger{number}").start()
                seconds.append(told(wire, "peer.changed", began, partial(is_named, stranger.name)))
                stranger.wait_until_up()
                stranger.leave()
        here.leave()
        return seconds

    def paired(self) -> tuple[list[float], list[float], list[float]]:
        """Of a paired device: exec until online, seconds of a status change, kill until offline."""
        here, there = self._device(0, "desk").up(), self._device(1, "laptop").up()
        here.wait_to_see(there)
        pair(here, there)
        online, offline = [], []
        there.leave()
        for _ in range(self._rounds):
            here.wait_to_see(there, "offline")
            with Wire(here) as wire:
                wire.call("peer.watch")
                began = now()
                there.start()
                online.append(told(wire, "peer.changed", began, is_linked))
                there.wait_until_up()
                time.sleep(2.5)  # a link that lasted less counts as a failed attempt
                began = now()
                there.kill()
                offline.append(told(wire, "peer.changed", began, is_offline))
        there.up()
        here.wait_to_see(there, linked=True)
        changes = self._changes(here, there)
        there.leave()
        here.leave()
        return online, changes, offline

    def _changes(self, here: Device, there: Device) -> list[float]:
        # The moment of a change is when its own device tells a local watcher of it: not the time that bash takes.
        session = there.create("changes")
        here.wait_for_session(session, status="idle")
        with Wire(here) as remote, Wire(there) as local:
            for wire in (remote, local):
                wire.call("session.watch", scope="all")
            for number in range(15):
                there.ask("prompt.submit", session_id=session, prompt_id=f"p{number}", text="read x")
                there.wait_for_session(session, status="needs-input")
                there.ask("session.interrupt", session_id=session)
                there.wait_for_session(session, status="idle")
            here.wait_for_session(session, status="idle")
            time.sleep(0.2)
            first, then = statuses(local, session), statuses(remote, session)
        seconds = []
        for at, stamp in first:
            arrived = next((moment for moment, other in then if other == stamp), None)
            if arrived is not None:
                seconds.append(max(arrived - at, 0.0))
        return seconds


def is_named(name: str, row: Row) -> bool:
    return bool(row["name"] == name)


def is_linked(row: Row) -> bool:
    return bool(row["state"] == "online" and row["linked"])


def is_offline(row: Row) -> bool:
    return bool(row["state"] == "offline")


def told(wire: Wire, method: str, began: float, matches: Callable[[Row], bool]) -> float:
    """Seconds until a row that matches was told."""

    def found() -> float | None:
        for at, message in list(wire.told):
            if at >= began and message.get("method") == method and any(map(matches, message["params"]["changed"])):
                return at - began
        return None

    return until(found, method, seconds=30.0) or 0.0


def statuses(wire: Wire, session: str) -> list[tuple[float, tuple[str, str]]]:
    """When each state of the session was told: by its status and time of update."""
    rows = []
    for at, message in list(wire.told):
        if message.get("method") == "session.changed":
            rows += [(at, (r["status"], r["updated_at"])) for r in message["params"]["changed"] if r["id"] == session]
    return rows


def show(what: str, seconds: list[float], target: str) -> None:
    median, most = statistics.median(seconds), max(seconds)
    unit, factor = ("ms", 1000.0) if median < 0.2 else ("s", 1.0)
    figures = f"median {median * factor:7.2f} {unit}   max {most * factor:7.2f} {unit}   n {len(seconds)}"
    print(f"{what:<44} {figures}   target {target}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="starts and kills of each kind")
    rounds = parser.parse_args().rounds
    if reason := missing():
        sys.exit(reason)
    with tempfile.TemporaryDirectory(prefix="reach-") as folder, Lab(2) as lab:
        reach = Reach(lab, Path(folder), rounds)
        show("unpaired: exec until listed", reach.unpaired(), "2 s")
        online, changes, offline = reach.paired()
        show("paired: exec until online and linked", online, "1.0 s")
        show("paired: a session's change, there to here", changes, "20 ms")
        show("paired: kill -9 until offline", offline, "a few s")


if __name__ == "__main__":
    main()
