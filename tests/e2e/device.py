"""A device of an end-to-end test: a home of its own, `agent up` in it, and commands as a person types them.

    desk = Device(host, folder, "desk")
    desk.up()
    session = desk.line("new", "--title", "Build")
    until(lambda: session in laptop.sessions(), "the session on the laptop")

Commands and questions go to the control socket, a file: they need not run in the host's network namespace.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import aiohttp
import pytest

from agent.client.control_socket import Client
from agent.errors import AgentError
from agent.paths import control_socket_path
from tests.e2e.lab import Host
from tests.fakes.waiting import FACTOR

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-P", "-m", "agent"]
PATIENCE = 15.0
"""Seconds for a step that has no deadline of its own, times FACTOR: a loaded machine must not fail a test."""

Row = dict[str, Any]
T = TypeVar("T")


def now() -> float:
    """Monotonic seconds."""
    return time.monotonic()  # noqa: TID251 - a test's watch


def until(true: Callable[[], T], what: str | Callable[[], str], *, seconds: float = PATIENCE) -> T:
    """Ask again and again until the answer is true; that answer. Fails the test after `seconds`, times FACTOR."""
    end = now() + seconds * FACTOR
    while not (found := true()):
        if now() > end:
            pytest.fail(f"waited {seconds * FACTOR:g} s for {what if isinstance(what, str) else what()}")
        time.sleep(0.02)
    return found


class Lines:
    """A running command; its output is read as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.out: list[str] = []
        self.err: list[str] = []
        self._readers = []
        for stream, kept in ((process.stdout, self.out), (process.stderr, self.err)):
            reader = threading.Thread(target=self._read, args=(stream, kept), daemon=True)
            reader.start()
            self._readers.append(reader)

    @staticmethod
    def _read(stream: Any, kept: list[str]) -> None:
        for line in stream:
            text = line.rstrip("\n")
            kept.append(text)

    def wait_for(self, text: str, *, seconds: float = PATIENCE) -> str:
        """The first line, of stdout or stderr, that contains the text."""

        def found() -> str:
            return next((line for line in [*self.out, *self.err] if text in line), "")

        return until(found, lambda: f"{text!r} in {self.out} {self.err}", seconds=seconds)

    def end(self, *, seconds: float = 30.0) -> int:
        """Its exit status, and all of its output."""
        status = self.process.wait(seconds)
        for reader in self._readers:
            reader.join(5.0)
        return status

    def close(self) -> None:
        """Kill it if it still runs."""
        self.process.kill()
        self.end()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                stream.close()


class Device:
    """One device. `environ` is added to the environment of its service."""

    def __init__(self, host: Host, folder: Path, name: str, *, environ: Mapping[str, str] | None = None) -> None:
        self.host, self.name, self.home = host, name, folder
        kept = {key: value for key, value in os.environ.items() if not key.startswith("LAN_AGENT_")}
        self.environ = {
            **kept,
            "LAN_AGENT_HOME": str(folder),
            "LAN_AGENT_PAGE_PORT": "0",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder.parent),
            "SHELL": shutil.which("bash") or "/bin/sh",  # whatever shell whoever runs the tests has
        }
        self._more = dict(environ or {})
        self._begun: list[Lines] = []
        self.socket = control_socket_path(self.environ)
        self.client = Client(self.socket, seconds=10.0)
        self.log = folder.parent / f"{folder.name}.log"
        self.service: subprocess.Popen[str] | None = None
        self._id = ""

    # --- the service -------------------------------------------------------------------------------------------------

    def configure(self, text: str) -> None:
        """Write its config.toml."""
        self.home.mkdir(exist_ok=True, mode=0o700)
        (self.home / "config.toml").write_text(text)

    def add_environ(self, **more: str) -> None:
        """Add to the environment of its service, from its next start on."""
        self._more.update(more)

    def start(self, *options: str) -> Self:
        """Start `agent up`; does not wait."""
        with self.log.open("ab") as log:
            self.service = self.host.popen(
                [*PROGRAM, "up", "--name", self.name, *options],
                env={**self.environ, **self._more},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def up(self, *options: str) -> Self:
        """Start `agent up` and wait until it answers."""
        self.start(*options)
        self.wait_until_up()
        return self

    def wait_until_up(self) -> None:
        """Return once it answers."""

        def answers() -> bool:
            assert self.runs(), f"{self.name} ended: {self.said()}"
            return bool(self.ask("peer.list", default=None))

        until(answers, lambda: f"{self.name} to answer: {self.said()}")

    def runs(self) -> bool:
        """Whether the service's process is there."""
        return self.service is not None and self.service.poll() is None

    def leave(self) -> None:
        """SIGTERM, and wait for its end with status 0."""
        assert self.service
        self.service.send_signal(signal.SIGTERM)
        assert self.service.wait(10) == 0, self.said()

    def kill(self) -> None:
        """SIGKILL."""
        assert self.service
        self.service.kill()
        self.service.wait(10)

    def said(self) -> str:
        """What the service has told so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def assert_healthy(self) -> None:
        """It runs, answers, and has logged no trouble of its own."""
        assert self.runs(), self.said()
        assert self.ask("gateway.status")["id"] == self.id
        assert "Traceback" not in self.said(), self.said()

    # --- commands ----------------------------------------------------------------------------------------------------

    def run(self, *argv: str, status: int | None = 0, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run `agent ARGV…`, which must end with that status (None: with any)."""
        settings: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 60, "check": False, **options}
        if "input" not in settings:
            settings["stdin"] = subprocess.DEVNULL
        done: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: PLW1510 - in there
            [*PROGRAM, *argv], env=self.environ, **settings
        )
        assert status is None or done.returncode == status, (argv, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def line(self, *argv: str) -> str:
        """The one line that the command prints."""
        return self.run(*argv).stdout.strip()

    def json(self, *argv: str) -> Any:
        """What the command prints as JSON; a list of values for JSON lines."""
        printed = self.run(*argv, "--json").stdout.splitlines()
        return json.loads(printed[0]) if len(printed) == 1 else [json.loads(line) for line in printed]

    def begin(self, *argv: str) -> Lines:
        """Start a command that stays, with its input open."""
        process = subprocess.Popen(
            [*PROGRAM, *argv],
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._begun.append(Lines(process))
        return self._begun[-1]

    def end_commands(self) -> None:
        """End what was begun and still runs."""
        for command in self._begun:
            command.close()

    def create(self, title: str, *argv: str) -> str:
        """A new session's id. Its commands end exactly, unless `argv` names another backend than that."""
        where = ("--cwd", str(self.home.parent), "--backend", "commands")
        return self.line("new", "--title", title, *where, *argv)

    def events(self, session: str) -> list[Row]:
        """The transcript."""
        printed = self.run("log", session, "--json").stdout
        return [json.loads(line) for line in printed.splitlines()]

    # --- questions, without the cost of a process --------------------------------------------------------------------

    def ask(self, method: str, *, default: Any = ..., **params: Any) -> Any:
        """Ask the service; `default`, if given, stands for any error."""
        try:
            return self.client.call(method, params)
        except AgentError:
            if default is ...:
                raise
            return default

    @property
    def id(self) -> str:
        """The device id."""
        if not self._id:
            self._id = next(row["id"] for row in self.ask("peer.list") if row["self"])
        return self._id

    def forget_id(self) -> None:
        """The next question asks for it again: the device has another key now."""
        self._id = ""

    def peers(self) -> dict[str, Row]:
        """What it lists of others, by id."""
        return {row["id"]: row for row in self.ask("peer.list", default=[]) if not row["self"]}

    def sessions(self) -> dict[str, Row]:
        """All sessions it lists, by id."""
        return {row["id"]: row for row in self.ask("session.list", default=[])}

    def status_of(self, session: str) -> str:
        """A session's status here; empty if it is not listed."""
        return str(self.sessions().get(session, {}).get("status", ""))

    def sees(self, other: Device, state: str = "online", **wanted: Any) -> bool:
        """Whether it lists the other device so."""
        row = self.peers().get(other.id)
        return row is not None and row["state"] == state and all(row[key] == value for key, value in wanted.items())

    def wait_to_see(self, other: Device, state: str = "online", *, seconds: float = PATIENCE, **wanted: Any) -> Row:
        """Wait until it lists the other device so; the row."""
        until(
            lambda: self.sees(other, state, **wanted),
            lambda: f"{self.name} to list {other.name} as {state} {wanted}, not {self.peers().get(other.id)}",
            seconds=seconds,
        )
        return self.peers()[other.id]

    def wait_for_session(self, session: str, **wanted: Any) -> Row:
        """Wait until it lists the session so; the row."""

        def listed() -> bool:
            row = self.sessions().get(session)
            return row is not None and all(row[key] == value for key, value in wanted.items())

        until(listed, lambda: f"{self.name} to list {session} with {wanted}, not {self.sessions().get(session)}")
        return self.sessions()[session]


def pair(host: Device, guest: Device, *, address: bool = False) -> None:
    """`agent pair` on one, `agent join` on the other; returns when both have a link."""
    window = host.begin("pair")
    code = until(lambda: window.out, "a code")[0]
    more = []
    if address:
        more = ["--address", window.wait_for(f"{code} --address ").rpartition(" ")[2]]
    joined = guest.run("join", code, *more)
    assert f"paired with {host.name}" in joined.stderr
    assert window.end(seconds=10) == 0
    assert window.out == [code]  # the code alone on stdout
    assert f"paired with {guest.name}" in "\n".join(window.err)
    host.wait_to_see(guest, paired=True, linked=True)
    guest.wait_to_see(host, paired=True, linked=True)


class Wire:
    """A client of the control socket that speaks the JSON subprotocol; what it is told is kept with its time."""

    def __init__(self, device: Device) -> None:
        self.told: list[tuple[float, Row]] = []
        self._path = str(device.socket)
        self._loop = asyncio.new_event_loop()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._ids = 0
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._read(),), daemon=True)
        self._thread.start()
        until(lambda: self.told, "gateway.ready")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._socket
        closing = asyncio.run_coroutine_threadsafe(self._socket.close(), self._loop)
        self._thread.join(5)  # it ends when either side has closed; the service may have been first
        closing.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _read(self) -> None:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(self._path)) as session,
            session.ws_connect("http://localhost/v1/ws", protocols=["lan-agent.v1.json"]) as self._socket,
        ):
            async for frame in self._socket:
                self.told.append((now(), json.loads(frame.data)))

    def call(self, method: str, **params: Any) -> Any:
        """Ask, and wait for the result."""
        self._ids += 1
        asked = self._ids
        assert self._socket
        frame = json.dumps({"jsonrpc": "2.0", "id": asked, "method": method, "params": params})
        asyncio.run_coroutine_threadsafe(self._socket.send_str(frame), self._loop).result(5)
        answer = self.wait_for(lambda message: message.get("id") == asked, f"an answer to {method}")
        assert "result" in answer, answer
        return answer["result"]

    def wait_for(self, matches: Callable[[Row], bool], what: str, *, seconds: float = PATIENCE) -> Row:
        """The first message so far, or still to come, that matches."""
        return until(lambda: next((m for _, m in list(self.told) if matches(m)), None), what, seconds=seconds) or {}

    def notes(self, method: str) -> list[Row]:
        """The parameters of all notifications of that method so far."""
        return [message["params"] for _, message in list(self.told) if message.get("method") == method]
