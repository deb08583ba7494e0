"""`agent demo`: three devices on this one machine, found over real multicast on loopback, paired, prompted across."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO

import click

import agent
from agent.client.control_socket import Client
from agent.client.terminal_text import clean
from agent.errors import AgentError
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.output import Printer
from agent.paths import control_socket_path

NAMES = ("desk", "laptop", "pi")
TITLE = "Count to three"
PROMPT = 'for i in 1 2 3; do echo "$i, from process $$"; sleep 0.4; done'
MORE = (
    ("pi", "A clock", "while date +%T; do sleep 1; done"),
    ("desk", "A question", 'read -p "What is your name? " name; echo "Hello, $name"'),
    ("laptop", "Here", "echo This session runs on the very device whose page you see."),
)
"""Sessions that the page shows besides: device, title, prompt."""
KIND = ("--backend", "commands")
"""Not the user's own shell: what the demo types must not stand in its history, and is no line of every shell."""
PATIENCE = 10.0
"""Seconds for each step; all of them take about six."""
LOOK = 0.1
TAIL = 15
"""Lines of a failing service's log that are shown."""


class DemoFailed(Exception):
    """A step of the demo did not come to its end."""

    def __init__(self, what: str, device: DemoDevice | None = None) -> None:
        super().__init__(what)
        self.device = device


class DemoDevice:
    """A device of the demo: a home of its own, and the service on it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.log = name, folder / f"{name}.log"
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("LAN_AGENT_", "_AGENT_"))}
        # The children run this very package, from whatever folder the demo was started in.
        self.environ = {
            **kept,
            "LAN_AGENT_HOME": str(folder / name),
            "LAN_AGENT_PAGE_PORT": "0",  # three on one machine
            "PYTHONPATH": str(Path(agent.__file__).parents[1]),
        }
        self.client = Client(control_socket_path(self.environ), seconds=5.0)
        with self.log.open("wb") as log:
            self.service = self.start("up", "--name", name, "--interface", "lo", out=log, err=log)

    def start(
        self, *argv: str, out: IO[bytes] | int | None = None, err: IO[bytes] | int | None = None
    ) -> subprocess.Popen[str]:
        """Begin a command on this device; without streams it prints where the demo does."""
        return subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-m", "agent", *argv],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,  # Ctrl-C is for the demo, which ends the services in its own order
            text=True,
        )

    def ask(self, method: str) -> list[dict[str, object]]:
        """A list that the device's service gives; empty while that is starting."""
        if self.service.poll() is not None:
            raise DemoFailed(f"the service on {self.name} ended with status {self.service.returncode}", self)
        try:
            found = self.client.call(method)
        except AgentError:
            return []
        return found if isinstance(found, list) else []


@click.command()
@click.option("--page", is_flag=True, help="Then open the page of one of them in the browser, and stay until Ctrl-C.")
@click.pass_obj
def demo(app: App, *, page: bool) -> int:
    """Watch three devices find, pair with and prompt each other, all on this machine; ends by itself."""
    with _ended_by_signals(), tempfile.TemporaryDirectory(prefix="lan-agent-demo-") as folder:
        play = _Demo(app.printer, Path(folder))
        try:
            play.run()
            if page:
                play.stay_with_page()
        except DemoFailed as exc:
            app.printer.error(f"the demo failed: {exc}")
            play.show_logs(exc.device)
            return Exit.FAILED
        finally:
            play.end()
    who = "The others have" if play.ended else "All three have"
    app.printer.line(app.printer.paint(f"{who} said goodbye; nothing is left behind.", "dim"))
    return Exit.OK


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    # So that SIGTERM and a closed terminal take the services along, as Ctrl-C does.
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Demo:
    def __init__(self, printer: Printer, folder: Path) -> None:
        self._printer, self._folder = printer, folder
        self._devices: list[DemoDevice] = []
        self.ended: list[DemoDevice] = []  # by somebody else, while the page was shown
        self._running: list[subprocess.Popen[str]] = []

    def run(self) -> None:
        """Play it. Raises: DemoFailed."""
        began = self._printer.now()
        self._say(f"Three devices on this machine: {', '.join(NAMES)}. Each runs `agent up` with a home of its own;")
        self._say("they find each other by real multicast on the loopback interface.")
        for name in NAMES:
            self._devices.append(DemoDevice(name, self._folder))
        desk, laptop, pi = self._devices
        for device in self._devices:
            self._until(f"{device.name} to see the two others", partial(self._sees_all, device), device)
        self._say(f"All have found each other, {self._printer.now() - began:.1f} s after the start.")
        self._show(desk, "peers")

        self._say("Seen is not trusted. Pair once, with a code that is valid once:")
        for other in (laptop, pi):
            self._pair(desk, other)
        self._show(desk, "devices")

        self._say("A session on the desk that runs commands, visible from the laptop:")
        self._show(desk, "new", *KIND, "--title", TITLE)
        self._until("laptop to list the session", lambda: self._attachable(laptop), laptop)
        self._until("pi to list the session", lambda: self._attachable(pi), pi)
        self._show(laptop, "sessions")

        self._say("Prompt it from the laptop. The reply streams as the desk produces it:")
        self._show(laptop, "prompt", TITLE, PROMPT)
        self._say("The desk keeps the transcript, with who said what. Read from the pi:")
        self._show(pi, "log", TITLE)
        self._say(
            f"That was it, in {self._printer.now() - began:.0f} s. Now for real: `agent up` on two of your machines."
        )

    def stay_with_page(self) -> None:
        """Open the page of the laptop, and leave all devices running until Ctrl-C. Raises: DemoFailed."""
        devices = dict(zip(NAMES, self._devices, strict=True))
        laptop = devices["laptop"]
        self._say("A session that works, one that asks and one on the laptop itself:")
        for name, title, prompt in MORE:
            self._show(devices[name], "new", *KIND, "--title", title)
            self._show(devices[name], "prompt", "--no-wait", title, prompt)
        self._say("And the page of the laptop, with the others' sessions under “Live on other devices”:")
        self._show(laptop, "page")
        self._printer.talk(f"once more: `agent page` with LAN_AGENT_HOME={laptop.environ['LAN_AGENT_HOME']}", "dim")
        self._say("All three run until Ctrl-C.")
        try:
            self._watch(laptop)
        except KeyboardInterrupt:
            self._printer.line()

    def _watch(self, host: DemoDevice) -> None:
        # Who ends one of the others wants to see what the page makes of that; without its host there is no page.
        while True:
            for device in self._devices:
                if device in self.ended or device.service.poll() is None:
                    continue
                if device is host:
                    raise DemoFailed(f"the service on {device.name} has ended, and the page with it", device)
                self.ended.append(device)
                self._say(f"The service on {device.name} has ended: the page shows how that looks.")
            time.sleep(LOOK)

    @staticmethod
    def _sees_all(device: DemoDevice) -> bool:
        return {row["name"] for row in device.ask("peer.list")}.issuperset(NAMES)  # others may be on this machine, too

    @staticmethod
    def _attachable(device: DemoDevice) -> bool:
        return any(row["title"] == TITLE and row["attachable"] for row in device.ask("session.list"))

    def _say(self, text: str) -> None:
        lead = "" if text.startswith(("they ", "Three")) else "\n"
        self._printer.line(lead + self._printer.paint(text, "bold"))
        self._printer.out.flush()

    def _type(self, device: DemoDevice, argv: Sequence[str]) -> None:
        words = " ".join(word if word.replace("-", "").isalnum() else f"'{word}'" for word in ("agent", *argv))
        self._printer.line(f"{self._printer.paint(f'{device.name} $', 'cyan')} {words}")
        self._printer.out.flush()

    def _until(self, what: str, true: Callable[[], bool], device: DemoDevice) -> None:
        until = self._printer.now() + PATIENCE
        while not true():
            if self._printer.now() > until:
                raise DemoFailed(f"waited {PATIENCE:g} s for {what}", device)
            time.sleep(LOOK)

    def _show(self, device: DemoDevice, *argv: str) -> None:
        self._type(device, argv)
        self._finish(device, device.start(*argv), argv)

    def _finish(self, device: DemoDevice, command: subprocess.Popen[str], argv: Sequence[str]) -> None:
        self._running.append(command)
        try:
            status = command.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise DemoFailed(f"agent {argv[0]} on {device.name} took more than {PATIENCE:g} s", device) from None
        self._running.remove(command)
        if status:
            raise DemoFailed(f"agent {argv[0]} on {device.name} ended with status {status}", device)

    def _pair(self, host: DemoDevice, guest: DemoDevice) -> None:
        self._type(host, ["pair"])
        window = host.start("pair", out=subprocess.PIPE, err=subprocess.DEVNULL)
        self._running.append(window)
        assert window.stdout is not None
        with window.stdout:
            code = window.stdout.readline().strip()
            if not code:
                raise DemoFailed(f"`agent pair` on {host.name} showed no code", host)
            self._printer.line(clean(code))
            self._show(guest, "join", code)
            self._running.remove(window)
            self._finish(host, window, ["pair"])

    def show_logs(self, device: DemoDevice | None) -> None:
        """The last lines of the failing service's log; of all, if none is known to be it."""
        for one in [device] if device else self._devices:
            lines = one.log.read_text(errors="replace").splitlines()[-TAIL:]
            self._printer.talk("\n".join([f"the log of {one.name} ends:", *(f"  {line}" for line in lines)]))

    def end(self) -> None:
        """End whatever still runs, the services by a request first: they say goodbye."""
        running = [*self._running, *(device.service for device in self._devices)]
        for process in running:
            if process.poll() is None:
                process.terminate()
        for process in running:
            try:
                process.wait(3.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
