"""`agent hermes`: the terminal UI of the real hermes-agent, on a tmux, on sessions that run on another device."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.agents.installed import missing, node_version, program_of
from tests.e2e.conftest import networks
from tests.e2e.device import PROGRAM, ROOT, Device, pair, until
from tests.e2e.tmux import Window, missing_tmux

pytestmark = pytest.mark.agents

NODE = 20
PROMPT, MARK = "\N{HEAVY RIGHT-POINTING ANGLE QUOTATION MARK ORNAMENT}", "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}"
"""What the UI shows before its input, and before the chosen row of a list."""
START = 60.0
"""Seconds: on a cold machine Python and Node take their time for the first look."""

Household = tuple[Device, Device]


@pytest.fixture(scope="module")
def hermes() -> Path:
    """Hermes's program. Skipped without it; in CI it must be there."""
    absent = missing("hermes") or missing_tmux()
    if not absent and node_version() < NODE:
        absent = f"the terminal UI of hermes needs node {NODE} or later on PATH"
    program = program_of("hermes")
    if absent or program is None:
        if os.environ.get("CI"):
            pytest.fail(f"the terminal UI of hermes must run in CI: {absent}")
        pytest.skip(absent)
    return program.with_name("hermes")


@pytest.fixture(scope="module")
def household(hermes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    """A desk, which has a backend of another package, and a laptop, at which the person sits."""
    package = tmp_path_factory.mktemp("package") / "asking-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: asking\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[lan_agent.backends]\nasking = tests.e2e.asking_backend:AskingBackend\n")
    with networks() as network:
        desk, laptop = network("desk", "laptop")
        desk.environ["PYTHONPATH"] = f"{ROOT}:{package.parent}"
        for device in (desk, laptop):
            device.start()
        for device in (desk, laptop):
            device.wait_until_up()
        pair(desk, laptop)
        yield desk, laptop


class Ui:
    """The UI in a window."""

    def __init__(self, window: Window) -> None:
        self.window = window

    def type(self, text: str) -> None:
        """A line of input. The UI takes Enter for part of a pasted text if it comes with it."""
        self.window.type(text)
        self.window.wait_for(f"{PROMPT} {text}")
        self.window.press("Enter")

    def switch(self, title: str) -> None:
        """To the session of that title, by the list."""
        self.window.press("C-x")
        self.window.wait_for("Ctrl+R refresh", title)
        for _ in range(20):
            rows = [line for line in self.window.text().splitlines() if line.strip().startswith("║")]
            marked = next(number for number, line in enumerate(rows) if MARK in line)
            wanted = next(number for number, line in enumerate(rows) if title in line)
            if marked == wanted:
                break
            self.window.press("Down" if wanted > marked else "Up")
            moved = rows[marked]
            until(lambda moved=moved: moved not in self.window.text(), "the mark to move")  # type: ignore[misc]
        self.window.press("Enter")
        until(lambda: "Ctrl+R refresh" not in self.window.text(), "the list to close")


@pytest.fixture
def started(hermes: Path, household: Household, tmp_path: Path) -> Iterator[Callable[..., Ui]]:
    """Start `agent hermes` on the laptop, in a window of its own."""
    laptop = household[1]
    with Window(laptop, tmp_path / "tmux", rows=50, cols=120) as window:

        def start(*argv: str) -> Ui:
            command = ["ip", "netns", "exec", laptop.host.namespace, *PROGRAM, "hermes", "--hermes", str(hermes), *argv]
            window.line(f"{shlex.join(command)}; echo status=$?")
            window.wait_for("ready", PROMPT, seconds=START)
            return Ui(window)

        yield start


def test_a_shell_of_another_device_is_listed_shown_prompted_and_interrupted(
    household: Household, started: Callable[..., Ui]
) -> None:
    desk, laptop = household
    session = desk.create("Build")
    desk.run("prompt", session, "echo before the $((1 + 1))nd look")
    laptop.wait_for_session(session)
    ui = started("--backend", "shell")
    before = set(laptop.sessions())
    ui.switch("Build · desk")
    ui.window.wait_for("[desk] echo before", "before the 2nd look")  # S7
    assert set(laptop.sessions()) == before  # what the UI made at its start is none until it is prompted

    ui.type("echo from the $((3 + 4))th")
    ui.window.wait_for("from the 7th")
    desk.run("prompt", session, "echo of the $((5 + 5))th")
    ui.window.wait_for("[desk] echo of the", "of the 10th")

    ui.type("echo begun; sleep 60")
    until(lambda: desk.status_of(session) == "working", "the turn")
    ui.window.wait_for("begun")
    ui.window.press("C-c")
    until(lambda: desk.status_of(session) == "idle", "its end")

    ui.type("exit 3")  # ends the shell, and so the session
    ui.window.wait_for("the session has ended")
    ui.window.press("C-d")
    ui.window.wait_for("status=0")
    senders = [e["payload"]["sender"]["name"] for e in desk.events(session) if e["type"] == "message.user"]
    assert senders == ["desk", "laptop", "desk", "laptop", "laptop"]


def test_the_ui_outlives_the_service_and_goes_on_with_its_session(
    household: Household, started: Callable[..., Ui]
) -> None:  # S4, L5
    desk, laptop = household
    session = desk.create("Long")
    laptop.wait_for_session(session)
    ui = started(session)  # shown first
    ui.window.wait_for("on desk")
    ui.type("for i in $(seq 12); do echo piece $i.; sleep 0.5; done; echo all done")
    ui.window.wait_for("piece 2.")
    laptop.kill()
    ui.window.wait_for("the service is away")
    laptop.up()
    laptop.wait_to_see(desk, linked=True)
    ui.window.wait_for("back; the log is whole")
    shown = ui.window.wait_for("piece 12.", seconds=30.0)
    assert [shown.count(f"piece {number}.") for number in range(1, 13)] == [1] * 12
    until(lambda: desk.status_of(session) == "idle", "the end of the turn")
    ui.type("echo $((6 * 7)) again")
    ui.window.wait_for("42 again")
    ui.window.press("C-d")
    ui.window.wait_for("status=0")
    assert desk.status_of(session) == "idle"  # S6
    prompts = [e for e in desk.events(session) if e["type"] == "message.user"]
    assert len(prompts) == 2  # S3


def test_an_approval_is_given_in_the_ui_and_goes_away_when_another_device_was_first(
    household: Household, started: Callable[..., Ui]
) -> None:  # S9
    desk, _ = household
    ui = started("--on", "desk", "--backend", "asking")
    ui.type("one")  # makes the session, over there
    ui.window.wait_for("approval required", "Allow once")
    (session,) = [row for row in desk.sessions().values() if row["backend"] == "asking"]
    until(lambda: desk.status_of(session["id"]) == "needs-input", "the question")
    ui.window.press("1")
    ui.window.wait_for("one: once")

    ui.type("two")
    ui.window.wait_for("approval required")
    desk.run("answer", session["id"], "no")
    shown = ui.window.wait_for("[desk] answered: Reject", "two: no")
    assert "approval required" not in shown
    ui.window.press("C-d")
    ui.window.wait_for("status=0")


def test_what_is_missing_is_told(household: Household, tmp_path: Path) -> None:
    laptop = household[1]
    with Window(laptop, tmp_path / "tmux", cols=160) as window:
        window.agent("hermes", "--hermes", "/nowhere/hermes")
        window.wait_for("there is no program '/nowhere/hermes'", "pipx install hermes-agent", "status=1")
    done = laptop.run("hermes", status=2)
    assert "needs a terminal" in done.stderr
