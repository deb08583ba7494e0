"""A household for tests of the page: real services, each in a namespace with a browser of its own.

    def test_a_reply_is_shown_as_it_comes(house: House, visit: Visit) -> None:
        agent = house.begin("desk", "Build the wire")
        page = visit("laptop", f"#/s/{agent.id}")
        house["desk"].ask("prompt.submit", session_id=agent.id, prompt_id="one", text="Go")
        assert agent.hear("prompt") == "Go"
        agent.emit(Said("Half of it"))
        expect(page.locator(".reply")).to_have_text("Half of it")

A module says which devices it wants: `DEVICES = ("desk", "laptop", "pi")` (the first two, if it does not say), and
`STRANGERS = ("den",)`, which nobody has paired.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Request, expect

from agent.ports import BackendEvent, Finished, Said
from tests.e2e.conftest import networks
from tests.e2e.device import PATIENCE, ROOT, Device, pair, until
from tests.fakes.waiting import FACTOR
from tests.page.scripted_backend import FOLDER

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
PORT = "7480"
"""Of the page on every device: each has a loopback of its own, and after a restart the page is found again."""
NAMES = ["--host-resolver-rules=MAP *.test 127.0.0.1"]
"""What a name server could tell a browser."""
FORGET = """async () => {
    const { Wire } = await import("/wire.js");
    await new Promise((done) => {
        const wire = new Wire({ async onState(state) {
            if (state !== "ready") return;
            const { values = {} } = await wire.call("page.keep");
            for (const name of Object.keys(values)) await wire.call("page.keep", { name, value: null });
            done();
        } });
        wire.start();
    });
}"""
WAIT = PATIENCE * FACTOR

expect.set_options(timeout=WAIT * 1000)


class Complaints:
    """Whatever pages complain of: errors on the console, violations of the policy, exceptions, failed requests."""

    def __init__(self) -> None:
        self._heard: list[str] = []
        self._allowed: list[str] = []

    def allow(self, pattern: str) -> None:
        """Let pass, in this test, what the pattern is found in: what the test itself brings about."""
        self._allowed.append(pattern)

    def watch(self, context: BrowserContext) -> None:
        """Note what all pages of a context complain of."""
        context.on("console", self._console)
        context.on("weberror", lambda error: self.add(str(error.error)))
        context.on("requestfailed", self._failed)

    def add(self, text: str) -> None:
        """Note one."""
        self._heard.append(text)

    def left(self) -> list[str]:
        """What was complained of and not allowed."""
        return [text for text in self._heard if not any(re.search(pattern, text) for pattern in self._allowed)]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.add(message.text)

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # by whoever left the page
            self.add(f"{request.failure} {request.url}")


class Agent:
    """The test's end of a scripted session: what its program says, and what it is told."""

    def __init__(self, session: str, path: Path) -> None:
        self.id = session
        self._socket = until(lambda: _connected(path), f"the program of {session}") or socket.socket()
        self._socket.settimeout(WAIT)
        self._lines = self._socket.makefile("rb")
        self._heard: deque[list[Any]] = deque()

    def emit(self, *events: BackendEvent) -> None:
        """Have the program say that; returns when the service has taken it."""
        lines = [json.dumps([type(event).__name__, msgspec.to_builtins(event)]) for event in events]
        self._socket.sendall("".join(f"{line}\n" for line in lines).encode())
        for _ in events:
            self._next("emitted")

    def reply(self, text: str) -> None:
        """Say that, and end the turn."""
        self.emit(Said(text), Finished(status="complete"))

    def hear(self, kind: str) -> Any:
        """What it is told next of that kind: the text of a `prompt`, `[id, answer]`, `[option, value]`, `interrupt`."""
        told = self._next(kind)
        return told[0] if len(told) == 1 else told

    def close(self) -> None:
        """Let it go; the session stays."""
        self._lines.close()
        self._socket.close()

    def _next(self, kind: str) -> list[Any]:
        earlier = next((told for told in self._heard if told[0] == kind), None)
        if earlier:
            self._heard.remove(earlier)
            return earlier[1:]
        for line in self._lines:
            told: list[Any] = json.loads(line)
            if told[0] == kind:
                return told[1:]
            self._heard.append(told)
        raise AssertionError(f"the program of {self.id} has ended, and no {kind} came")


class House:
    """The devices of a module, by name, and a browser on each that wants one."""

    def __init__(self, devices: Mapping[str, Device], paired: int, sockets: Path, playwright: Playwright) -> None:
        self.devices = dict(devices)
        self._paired = list(devices.values())[:paired]
        self._sockets, self._playwright = sockets, playwright
        self._browsers: dict[str, Browser] = {}
        self._agents: list[Agent] = []

    def __getitem__(self, name: str) -> Device:
        return self.devices[name]

    def begin(self, device: str, title: str, **params: Any) -> Agent:
        """A new scripted session on that device; `params` as of `session.create`."""
        asked = {"backend": "scripted", "title": title, "cwd": "/", **params}
        return self.agent(self[device].ask("session.create", **asked)["session_id"])

    def agent(self, session: str) -> Agent:
        """The program of a scripted session, which is another one after a restart of its service."""
        self._agents.append(Agent(session, self._sockets / session))
        return self._agents[-1]

    def browser(self, device: str) -> Browser:
        """The browser on that device; it starts with the first use."""
        if device not in self._browsers:
            program = self._sockets / f"chromium-{device}"
            program.write_text(f'#!/bin/sh\nexec ip netns exec {self[device].host.namespace} {CHROMIUM} "$@"\n')
            program.chmod(0o755)
            self._browsers[device] = self._playwright.chromium.launch(executable_path=program, args=NAMES)
        return self._browsers[device]

    def make_whole(self) -> None:
        """Undo what a test did: services run, cables are in, links stand; no session is left, and nothing kept."""
        for device in self.devices.values():
            device.host.plug()
            if not device.runs():
                device.start()
        for device in self.devices.values():
            device.wait_until_up()
        first, *others = self._paired
        trusted = {row["id"] for row in first.ask("device.list")}
        for other in others:
            if other.id not in trusted:
                pair(first, other)
        for device, other in permutations(self._paired, 2):
            device.wait_to_see(other, paired=True, linked=True)
        for name, device in self.devices.items():
            self._forget_sessions(device)
            if (device.home / "state" / "page-values.json").exists():
                self._forget_values(name)
        for device, other in permutations(self._paired, 2):
            until(lambda: not device.sessions(), f"{device.name} to forget the sessions of {other.name}")  # noqa: B023

    def end_test(self) -> None:
        """Let go of the programs of sessions; every service must have been sound."""
        for agent in self._agents:
            agent.close()
        self._agents.clear()
        for device in self.devices.values():
            assert "Traceback" not in device.said(), device.said()

    def _forget_sessions(self, device: Device) -> None:
        for session, row in device.sessions().items():
            if row["local"]:
                device.ask("session.close", default=None, session_id=session)
                device.ask("session.forget", default=None, session_id=session)

    def _forget_values(self, device: str) -> None:
        """Only pages may ask for what pages keep."""
        with self.browser(device).new_context() as context:
            page = context.new_page()
            page.goto(Path(self[device].ask("page.open")["file"]).as_uri())
            ready(page)
            page.evaluate(FORGET)

    def close(self) -> None:
        """Let go of the programs of sessions, and end the browsers."""
        for agent in self._agents:
            agent.close()
        for browser in self._browsers.values():
            browser.close()


class Visit:
    """Opens the page of a device, logged in, in a browser of its own: `visit("desk", "#/devices")`."""

    def __init__(self, house: House) -> None:
        self.complaints = Complaints()
        self._house = house
        self._contexts = ExitStack()

    def __call__(self, device: str, route: str = "#/", **options: Any) -> Page:
        """A page that is ready, by the file that `agent page --print` names. `options` are those of `new_context`."""
        page = self.context(device, **options).new_page()
        page.goto(Path(self._house[device].ask("page.open")["file"]).as_uri())
        ready(page)
        if route != "#/":
            page.evaluate("route => { location.hash = route }", route)
        return page

    def context(self, device: str, **options: Any) -> BrowserContext:
        """A browser on that device that is not logged in; nothing in it may be complained of."""
        settings: dict[str, Any] = {"locale": "en-GB", "timezone_id": "UTC", **options}
        context = self._contexts.enter_context(self._house.browser(device).new_context(**settings))
        self.complaints.watch(context)
        return context

    def tab(self, page: Page, route: str = "#/") -> Page:
        """One more tab beside a page."""
        other = page.context.new_page()
        other.goto(page.url.partition("#")[0] + route)
        ready(other)
        return other

    def allow(self, pattern: str) -> None:
        """Let pass, in this test, complaints in which the pattern is found: `visit.allow("WebSocket")`."""
        self.complaints.allow(pattern)

    def close(self) -> None:
        """Close what was opened; nothing may have been complained of."""
        self._contexts.close()
        assert not self.complaints.left(), self.complaints.left()


def _connected(path: Path) -> socket.socket | None:
    """A connection to whoever listens there; None, as long as nobody does."""
    made = socket.socket(socket.AF_UNIX)
    if made.connect_ex(str(path)) == 0:
        return made
    made.close()
    return None


def ready(page: Page) -> None:
    """Wait until the page is connected, shows the list and has all of its modules, whatever becomes of the service."""
    expect(page.locator("body")).to_have_attribute("data-wire", "ready")
    page.evaluate("import('/panes.js').then(() => true)")


@contextmanager
def households(playwright: Playwright, paired: tuple[str, ...], strangers: tuple[str, ...]) -> Iterator[House]:
    """A household of the devices of these names, and others that are not of it."""
    with networks() as network:
        names = (*paired, *strangers)
        devices = network(*names)
        folder = devices[0].home.parent
        package = folder / "scripted-1.dist-info"
        package.mkdir()
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: scripted\nVersion: 1\n")
        (package / "entry_points.txt").write_text(
            "[lan_agent.backends]\nscripted = tests.page.scripted_backend:ScriptedBackend\n"
        )
        for device in devices:
            device.add_environ(LAN_AGENT_PAGE_PORT=PORT, PYTHONPATH=f"{ROOT}:{folder}", **{FOLDER: str(folder)})
        house = House(dict(zip(names, devices, strict=True)), len(paired), folder, playwright)
        house.make_whole()
        try:
            yield house
        finally:
            house.close()
