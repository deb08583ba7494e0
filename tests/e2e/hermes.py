"""Hermes as its owner has it on a device of an end-to-end test: a gateway started by hand, and windows on it.

gateway = Gateway(desk, recipe, grace=1.0)
with Window(gateway) as window:  # a plain client, which knows nothing of this project
    live = window.call("session.create", cols=100)["session_id"]
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tests.agents import Recipe
from tests.e2e.device import ROOT, Device, Lines, Row, until

READY = "HERMES_BACKEND_READY port="
"""What a gateway prints when it is."""
START = 60.0
"""Seconds for a gateway to get ready: the first start after an installation compiles a lot."""


def program(recipe: Recipe) -> str:
    """`hermes` itself, beside the ACP program that the recipe is for."""
    return str(Path(recipe.argv[0]).with_name("hermes"))


def settings(recipe: Recipe, **more: str) -> str:
    """`[backends.hermes]` with a gateway of our own."""
    env = ", ".join(f"{name} = {json.dumps(value)}" for name, value in recipe.env.items())
    words = "".join(f"{name} = {json.dumps(value)}\n" for name, value in more.items())
    return f'[backends.hermes]\nkind = "hermes"\nargv = [{json.dumps(program(recipe))}]\nenv = {{ {env} }}\n{words}'


def processes(device: Device, word: str = "hermes") -> dict[int, str]:
    """What of Hermes, or with another word in it, runs on the device: process id -> command line."""
    listing = ["ip", "netns", "pids", device.host.namespace]
    found = {}
    for pid in subprocess.run(listing, capture_output=True, text=True, check=True, timeout=30).stdout.split():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        command = b" ".join(words).decode(errors="replace").strip()
        if word in command.lower() and "tests.e2e" not in command:
            found[int(pid)] = command
    return found


def token(process: int) -> str:
    """The token that a gateway was started with: a test may look where the program must not."""
    named = b"HERMES_DASHBOARD_SESSION_TOKEN="
    entries = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    return next((each.removeprefix(named).decode() for each in entries if each.startswith(named)), "")


class Gateway:
    """`hermes serve`, as started in a terminal of the device; its token is in a file of its owner's."""

    def __init__(self, device: Device, recipe: Recipe, *, grace: float = 20.0) -> None:
        """`grace`: seconds that it keeps a session which no connection has."""
        self.device, self.token = device, secrets.token_urlsafe(32)
        self.token_file = device.home.parent / "hermes-token"
        self.token_file.write_text(self.token + "\n")
        self.token_file.chmod(0o600)
        self._argv = [program(recipe), "serve", "--host", "127.0.0.1", "--port"]
        self._environ = {
            **recipe.environ(),
            "HERMES_DASHBOARD_SESSION_TOKEN": self.token,
            "HERMES_TUI_WS_ORPHAN_REAP_GRACE_S": str(grace),
        }
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it, at the port that it had before; returns when it is ready."""
        argv = [*self._argv, str(self.port)]
        self.process = self.device.host.popen(
            argv, env=self._environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        said = Lines(self.process).wait_for(READY, seconds=START)
        self.port = int(said.rpartition("=")[2])

    def kill(self) -> None:
        """SIGKILL for it and its helpers."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def settings(self, port: int = 0) -> str:
        """`[backends.hermes]` that joins it, or what stands before it at another port."""
        url = f"http://127.0.0.1:{port or self.port}"
        return f'[backends.hermes]\nkind = "hermes"\nmode = "join"\nurl = "{url}"\ntoken_file = "{self.token_file}"\n'


class Window:
    """A plain client of a gateway. It ends when it is left."""

    def __init__(self, gateway: Gateway) -> None:
        url = f"ws://127.0.0.1:{gateway.port}/api/ws?token={gateway.token}"
        words = [sys.executable, "-P", "-m", "tests.e2e.hermes_socket", url]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = gateway.device.host.popen(words, env=environ, **pipes)
        self._lines = Lines(self.process)
        self._numbers = itertools.count(1)
        self._lines.wait_for("gateway.ready")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up. Idempotent."""
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
            self._lines.end(seconds=10)

    def call(self, method: str, **params: Any) -> Row:
        """Ask, and wait for the result."""
        number = f"w{next(self._numbers)}"
        assert self.process.stdin
        frame = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        self.process.stdin.write(json.dumps(frame) + "\n")
        self.process.stdin.flush()

        def answer() -> Row | None:
            return next((frame for frame in self.frames() if frame.get("id") == number), None)

        told = until(answer, lambda: f"an answer to {method}: {self._lines.err}", seconds=30.0) or {}
        assert "result" in told, told
        result: Row = told["result"]
        return result

    def frames(self) -> list[Row]:
        """All that it was told."""
        return [json.loads(line) for line in list(self._lines.out)]

    def events(self, live: str, kind: str) -> list[Row]:
        """The payloads of a session's events of that type."""
        told = (frame["params"] for frame in self.frames() if frame.get("method") == "event")
        return [each.get("payload") or {} for each in told if each.get("session_id") == live and each["type"] == kind]

    def row(self, live: str) -> Row:
        """How the gateway lists the session; empty if it does not."""
        rows: list[Row] = self.call("session.active_list")["sessions"]
        return next((row for row in rows if row["id"] == live), {})

    def wait_for(self, live: str, kind: str, matches: Callable[[Row], bool] = bool) -> Row:
        """The first event of that type that matches."""

        def found() -> Row | None:
            return next(filter(matches, self.events(live, kind)), None)

        return until(found, lambda: f"{kind} among {self.frames()[-5:]}") or {}
