"""The commands of the README and of docs/commands.md, run one after another as they stand there."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.agents.fixtures import RealAgent
from tests.e2e.conftest import MakeNetwork
from tests.e2e.device import Device, pair, until
from tests.e2e.shown import ALONE, DESK, LAPTOP, OF_AN_AGENT, PAIRING, PI, SESSIONS, TRUST, Shown
from tests.models import ModelProcess

MODES = {"codex": "read-only", "opencode": "plan"}
"""A mode of each that only reads."""


class Reader:
    """Somebody who types what the pages show, and looks whether it says what it should."""

    def __init__(self, devices: Iterable[Device], **known: str) -> None:
        self._devices = {device.name: device for device in devices}
        self._known = dict(known)

    def follow(self, lines: Iterable[Shown]) -> None:
        """Run them in order."""
        for line in lines:
            self._run(line)

    def _run(self, shown: Shown) -> None:
        device = self._devices[shown.device]
        words = shlex.split(self._filled(shown.line))
        if shown.waits:
            device.wait_for_session(self._build(device), status=shown.waits)
        if shown.stays:
            self._stay(device, words, shown)
            return
        given = {} if shown.typed is None else {"input": shown.typed}
        done = device.run(*words, status=shown.status, cwd=device.home.parent, **given)
        assert self._filled(shown.says) in done.stdout + done.stderr, (shown, done.stdout, done.stderr)
        if shown.gives:
            self._known[shown.gives] = done.stdout.splitlines()[0]

    def _stay(self, device: Device, words: list[str], shown: Shown) -> None:
        running = device.begin(*words)
        if shown.gives:
            self._known[shown.gives] = until(lambda: running.out, f"what {shown.line} prints first")[0]
            return  # it ends when it was used
        running.wait_for(shown.says)
        running.process.send_signal(signal.SIGINT)
        assert running.end() in {0, 130}

    def _build(self, device: Device) -> str:
        return next(each for each, row in device.sessions().items() if row["title"] == "Build")

    def _filled(self, line: str) -> str:
        for name, value in self._known.items():
            line = line.replace(f"{{{name}}}", value)
        return line


@pytest.mark.device
def test_every_command_of_the_pages_does_what_it_says(network: MakeNetwork) -> None:
    devices = network(DESK, LAPTOP, PI)
    desk, laptop, pi = devices
    reader = Reader(devices)
    desk.up("--port", "7471")
    reader.follow(ALONE)
    laptop.up()
    pi.up()
    reader.follow(PAIRING)
    laptop.wait_to_see(desk, linked=True)
    reader.follow(SESSIONS)
    reader.follow(TRUST)
    assert "Traceback" not in desk.said() + laptop.said() + pi.said()


@pytest.fixture
def models() -> Iterator[ExitStack]:
    """Keeps the model servers of one test."""
    with ExitStack() as stack:
        yield stack


@pytest.mark.agents
@pytest.mark.parametrize("agent", ["codex", "opencode"])
def test_those_that_involve_an_agent_do_so_in_two_dialects(
    agent: str, network: MakeNetwork, real_agent: RealAgent, models: ExitStack, tmp_path: Path
) -> None:
    desk, laptop = network(DESK, LAPTOP)
    server = models.enter_context(ModelProcess(desk.host.popen))
    recipe = real_agent(agent, tmp_path / "home", tmp_path / "work", server.url)
    desk.configure(configured(agent, recipe.argv, recipe.env))
    for device in (desk, laptop):
        device.up()
    pair(desk, laptop)
    asking = recipe.asking("touch ./made")
    Reader((desk, laptop), backend=agent, work=str(recipe.work), asking=asking, mode=MODES[agent]).follow(OF_AN_AGENT)


def configured(name: str, argv: Iterable[str], env: Mapping[str, str]) -> str:
    """The settings of a backend, as TOML."""
    words = ", ".join(f'"{word}"' for word in argv)
    variables = ", ".join(f'{key} = "{value}"' for key, value in env.items())
    return f"[backends.{name}]\nargv = [{words}]\nenv = {{ {variables} }}\n"
