"""Hermes's program: found, told where to connect, waited for; and what is said where it cannot be started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.frontends.cli.main import Exit
from agent.frontends.hermes_ui.process import URL, HermesMissing, argv_of, run
from tests.frontends.conftest import Agent
from tests.frontends.gateway import FakeGateway

ADDRESS = "ws://127.0.0.1:1/tui?token=t"


def program(folder: Path, name: str, says: str = "") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def environ(folder: Path) -> dict[str, str]:
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_the_program_on_path_or_the_one_that_is_named(tmp_path: Path) -> None:
    program(tmp_path, "node", "v20.11.0")
    found = program(tmp_path, "hermes")
    named = program(tmp_path, "another")
    assert argv_of("hermes", environ(tmp_path)) == [str(found), "--tui"]
    assert argv_of(str(named), environ(tmp_path)) == [str(named), "--tui"]


def test_what_is_missing_is_said_with_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(HermesMissing, match="no program 'hermes'") as told:
        argv_of("hermes", {"PATH": str(tmp_path)})
    assert "pipx install hermes-agent" in told.value.hint
    program(tmp_path, "hermes")
    with pytest.raises(HermesMissing, match="Node 20 or later, and it is not on PATH"):
        argv_of("hermes", {"PATH": str(tmp_path)})


@pytest.mark.parametrize("version", ["v18.20.4", "nonsense"])
def test_a_node_that_is_too_old_is_named(version: str, tmp_path: Path) -> None:
    program(tmp_path, "hermes")
    old = program(tmp_path, "node", version)
    with pytest.raises(HermesMissing, match=f"{old} is older"):
        argv_of("hermes", environ(tmp_path))
    newer = program(tmp_path, "newer", "v24.1.0")
    assert argv_of("hermes", {**environ(tmp_path), "HERMES_NODE": str(newer)})  # which Hermes prefers


async def test_it_is_told_where_to_connect_and_its_status_is_ours() -> None:
    code = f"import os, sys; sys.exit(7 if os.environ[{URL!r}] == {ADDRESS!r} else 1)"
    assert await run([sys.executable, "-c", code], ADDRESS) == 7


async def test_its_terminal_ui_needs_no_model_here() -> None:
    code = "import os, sys; sys.exit(0 if os.environ['OPENAI_BASE_URL'] else 1)"
    assert await run([sys.executable, "-c", code], ADDRESS) == 0


def waiting(folder: Path) -> tuple[list[str], Path]:
    """A program that writes its pid into a pipe and stays."""
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    code = f"import os, pathlib, time; pathlib.Path({str(pipe)!r}).write_text(str(os.getpid())); time.sleep(60)"
    return [sys.executable, "-c", code], pipe


async def test_a_signal_is_passed_on(tmp_path: Path) -> None:
    argv, pipe = waiting(tmp_path)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run(argv, ADDRESS), name="test.child")
        await asyncio.to_thread(pipe.read_text)
        os.kill(os.getpid(), signal.SIGTERM)
    assert running.result() == -signal.SIGTERM


async def test_a_signal_is_for_the_ui_and_not_for_what_only_started_it(tmp_path: Path) -> None:
    argv, pipe = waiting(tmp_path)
    ui = tmp_path / "ui.py"
    ui.write_text(f"import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n{argv[-1]}\n")
    launcher = tmp_path / "launcher"
    launcher.write_text(f"#!/bin/sh\n{sys.executable} {ui}\nexit $?\n")
    launcher.chmod(0o755)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run([str(launcher)], ADDRESS), name="test.child")
        await asyncio.to_thread(pipe.read_text)
        os.kill(os.getpid(), signal.SIGTERM)
    assert running.result() == 5


async def test_it_ends_with_us(tmp_path: Path) -> None:
    argv, pipe = waiting(tmp_path)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run(argv, ADDRESS), name="test.child")
        pid = int(await asyncio.to_thread(pipe.read_text))
        running.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_without_a_terminal_it_is_not_started(agent: Agent) -> None:
    ran = agent("hermes")
    assert ran.status == Exit.USAGE
    assert "needs a terminal" in ran.err


class Ran(NamedTuple):
    status: int
    said: str
    terminal: list[Any]  # its settings afterwards
    before: list[Any]


def on_a_terminal(folder: Path, home: Path, *argv: str) -> Ran:
    """`agent hermes` on a terminal of its own, with whatever stands in `folder` as its programs."""
    ours, theirs = os.openpty()
    before = termios.tcgetattr(theirs)
    code = "import sys; from agent.frontends.cli.main import main; sys.exit(main(sys.argv[1:]))"
    with subprocess.Popen(
        [sys.executable, "-c", code, "hermes", *argv],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, **environ(folder), "LAN_AGENT_HOME": str(home)},
        start_new_session=True,
    ) as process:
        status = process.wait(30)
    settings = termios.tcgetattr(theirs)
    os.close(theirs)  # the last of that end: what was written is read to its end, however many pieces it comes in
    said = b""
    with contextlib.suppress(OSError):  # how Linux says that there is no more
        while piece := os.read(ours, 65_536):
            said += piece
    os.close(ours)
    return Ran(status, said.decode(), settings, before)


def test_without_a_service_it_is_not_started(home: Path, tmp_path: Path) -> None:
    program(tmp_path, "node", "v20.11.0")
    program(tmp_path, "hermes", "started")
    for more in ((), ("--backend", "shell")):
        ran = on_a_terminal(tmp_path, home, *more)
        assert ran.status == Exit.NOT_RUNNING
        assert "the service is not running" in ran.said
        assert "started" not in ran.said


def test_a_ui_that_is_killed_leaves_the_terminal_as_it_was(gateway: FakeGateway, home: Path, tmp_path: Path) -> None:
    program(tmp_path, "node", "v20.11.0")
    hermes = program(tmp_path, "hermes")
    hermes.write_text("#!/bin/sh\nprintf '\\033[?1049h\\033[?25l'\nstty raw -echo\nkill -9 $$\n")
    ran = on_a_terminal(tmp_path, home, "--backend", "shell")
    assert ran.status == 128 + signal.SIGKILL
    assert ran.terminal == ran.before
    assert ran.said.index("\x1b[?1049h") < ran.said.index("\x1b[?1049l") < ran.said.index("\x1b[?25h")


def test_a_ui_that_leaves_by_itself_is_left_alone(gateway: FakeGateway, home: Path, tmp_path: Path) -> None:
    program(tmp_path, "node", "v20.11.0")
    hermes = program(tmp_path, "hermes")
    hermes.write_text("#!/bin/sh\necho bye; exit 3\n")
    ran = on_a_terminal(tmp_path, home, "--backend", "shell")
    assert (ran.status, ran.said) == (3, "bye\r\n")
