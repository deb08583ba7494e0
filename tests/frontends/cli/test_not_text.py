"""Bytes that are not UTF-8, wherever the commands get them from: one line, and nothing is sent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.client.control_socket import Client
from agent.errors import BadRequest
from agent.frontends.cli.hermes import _making
from agent.frontends.cli.main import App, check_text
from agent.frontends.cli.output import Printer
from agent.paths import control_socket_path
from tests.frontends.gateway import FakeGateway

no_text = pytest.mark.skipif(sys.platform == "darwin", reason="its file systems have UTF-8 names only")


@pytest.fixture
def folder(home: Path) -> bytes:
    path = os.fsencode(home) + b"/d\xff\xfe"
    Path(os.fsdecode(path)).mkdir()
    return path


def ran(*argv: str, given: bytes = b"", cwd: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    words = [sys.executable, "-m", "agent", *argv]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(words, input=given, capture_output=True, check=False, timeout=30, cwd=cwd, env=env)


@no_text
def test_a_session_is_not_started_in_a_directory_whose_name_is_no_text(gateway: FakeGateway, folder: bytes) -> None:
    done = ran("new", "--title", "x", cwd=folder)
    told = b"agent: the name of the session's directory is not UTF-8 text\n  hint: see `agent new --help`\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", told)
    assert gateway.called("session.create") == []
    assert ran("new", "--cwd", "/", cwd=folder).returncode == 0


@no_text
def test_hermes_is_not_begun_there_either(gateway: FakeGateway, folder: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(os.fsdecode(folder))
    app = App(Printer(environ=os.environ))
    with pytest.raises(Exception, match="directory is not UTF-8 text"):
        _making(app, "", "shell")
    assert _making(app, "desk", "shell").cwd == ""


def test_a_code_that_is_no_text_is_told_and_not_sent(gateway: FakeGateway) -> None:
    done = ran("join", "-", given=b"12-\xff\n")
    told = b"agent: standard input is not UTF-8 text\n  hint: see `agent join --help`\n"
    assert (done.returncode, done.stderr) == (2, told)
    assert gateway.called("device.join") == []


def test_whatever_else_is_no_text_is_not_sent(gateway: FakeGateway) -> None:
    with pytest.raises(BadRequest, match="not UTF-8 text"):
        Client(control_socket_path(os.environ)).call("session.create", {"title": "\udcff"})
    assert gateway.called("session.create") == []
    check_text("日本語 é", "this")
