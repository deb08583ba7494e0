from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.frontends.cli.main import main
from agent.paths import control_socket_path
from tests.frontends.gateway import FakeGateway


class Ran(NamedTuple):
    status: int
    out: str
    err: str


Agent = Callable[..., Ran]
Screen = Callable[..., str]


class Tty(io.StringIO):
    """An output that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own, short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="lan-agent-cli-") as folder:
        monkeypatch.setenv("LAN_AGENT_HOME", folder)
        for name in ("COLUMNS", "NO_COLOR"):
            monkeypatch.delenv(name, raising=False)
        yield Path(folder)


@pytest.fixture
def gateway(home: Path) -> Iterator[FakeGateway]:
    fake = FakeGateway(control_socket_path(os.environ))
    yield fake
    fake.close()


@pytest.fixture
def agent(home: Path, capfd: pytest.CaptureFixture[str]) -> Agent:
    """Run a command line in this process."""

    def run(*argv: str) -> Ran:
        status = main(argv)
        out, err = capfd.readouterr()
        return Ran(status, out, err)

    return run


@pytest.fixture
def screen(home: Path, monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Run a command line as on a terminal without colours; what it shows on stdout."""

    def run(*argv: str, columns: int = 120) -> str:
        shown = Tty()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", shown)
            patched.setenv("COLUMNS", str(columns))
            patched.setenv("NO_COLOR", "1")
            assert main(argv) == 0
        return shown.getvalue()

    return run
