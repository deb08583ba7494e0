"""`agent demo`: the whole walk with real services and real multicast on loopback; needs no root."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.device

PROGRAM = [sys.executable, "-m", "agent", "demo"]


@pytest.fixture
def temp() -> Iterator[Path]:
    """A short folder in which the demo makes its own, so that what it leaves behind is seen."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        yield Path(folder)


def left_behind(temp: Path) -> list[str]:
    """Files, and (on Linux) processes whose environment names the folder."""
    found = [str(path) for path in temp.iterdir()]
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"LAN_AGENT_HOME={temp}".encode() in environ.read_bytes():
                found.append(str(environ))
        except OSError:
            continue
    return found


def test_the_demo_plays_to_its_end_and_leaves_nothing(temp: Path) -> None:
    environ = {**os.environ, "TMPDIR": str(temp)}
    ran = subprocess.run(PROGRAM, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "paired with desk" in ran.stderr
    log = ran.stdout.partition("pi $ agent log")[2]
    assert "[laptop] for i in" in log  # S7: who said it, read on a third device
    assert ran.stdout.count("3, from process") == 2
    assert left_behind(temp) == []


def test_the_demo_stays_with_its_page_until_it_is_interrupted(temp: Path) -> None:
    environ = {**os.environ, "TMPDIR": str(temp), "BROWSER": "", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    with subprocess.Popen([*PROGRAM, "--page"], env=environ, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = []
        for line in child.stdout:
            said.append(line)
            if line.startswith("All three run until Ctrl-C"):
                break
        address = next(line for line in said if line.startswith("file://"))
        assert Path(address.strip().removeprefix("file://")).is_file()
        (laptop,) = temp.glob("*/laptop")
        sessions = [*PROGRAM[:-1], "sessions"]
        listed = subprocess.run(
            sessions, env=environ | {"LAN_AGENT_HOME": str(laptop)}, capture_output=True, text=True, check=True
        )
        assert {line.split("\t")[1] for line in listed.stdout.splitlines()} == {
            "Count to three",
            "A clock",
            "A question",
            "Here",
        }
        child.send_signal(signal.SIGINT)
        assert "All three have said goodbye" in child.stdout.read()
        assert child.wait(20) == 0
    assert left_behind(temp) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_takes_its_services_along(temp: Path, number: int) -> None:
    environ = {**os.environ, "TMPDIR": str(temp)}
    with subprocess.Popen(PROGRAM, env=environ, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("All have found each other"):
                break
        child.send_signal(number)
        child.stdout.read()
        assert child.wait(20) == 130
    assert left_behind(temp) == []
