"""Standard streams that are closed, full or nobody's: one line and a status, and never a traceback (DESIGN §9)."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frontends.gateway import HERE, FakeGateway

AGENT = f'"{sys.executable}" -m agent'
CLOSED = "agent: standard output is closed"
FULL = "agent: cannot write to standard output: No space left on device"


def shell(line: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line], env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", ["sessions", "peers --json", "--help", "sessions --watch", "schema"])
@pytest.mark.parametrize(("to", "told"), [(">&-", CLOSED), (">/dev/full", FULL)])
def test_data_that_cannot_be_written_is_an_error_in_one_line(
    gateway: FakeGateway, command: str, to: str, told: str
) -> None:
    ran = shell(f"{AGENT} {command} {to}")
    first, hint = ran.stderr.splitlines()
    assert (ran.returncode, first) == (1, told)
    assert hint.startswith("  hint: ")


ACTING = [f"prompt {HERE} echo x", f"prompt {HERE} --no-wait echo x", "new --title Closed", f"withdraw {HERE}", "pair"]


@pytest.mark.parametrize("command", ACTING)
@pytest.mark.parametrize(("to", "told"), [(">&-", CLOSED), (">/dev/full", FULL)])
def test_where_nothing_can_be_printed_nothing_is_done(gateway: FakeGateway, command: str, to: str, told: str) -> None:
    ran = shell(f"{AGENT} {command} {to}")
    assert (ran.returncode, ran.stderr.splitlines()[0]) == (1, told)
    assert not any(gateway.called(method) for method in ("prompt.submit", "session.create", "prompt.withdraw"))


@pytest.mark.parametrize(
    ("command", "done"),
    [
        (ACTING[0], f"; the prompt was sent, and `agent log {HERE}` shows what comes of it"),
        (ACTING[1], f"; the prompt was sent, and `agent log {HERE}` shows what comes of it"),
        (ACTING[2], " was started"),
    ],
)
def test_on_a_disk_that_becomes_full_it_is_told_what_was_done(
    gateway: FakeGateway, tmp_path: Path, command: str, done: str
) -> None:
    ran = shell(f"ulimit -f 0; {AGENT} {command} >{tmp_path / 'out'}")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[0].startswith("agent: cannot write to standard output: File too large; ")
    assert ran.stderr.splitlines()[0].endswith(done)


@pytest.mark.parametrize("command", ["peers", "sessions", "--help"])
@pytest.mark.parametrize("to", ["2>&-", "2>/dev/full", "<&-", "2>&- <&-"])
def test_talk_that_cannot_be_written_is_lost_and_the_data_is_not(gateway: FakeGateway, command: str, to: str) -> None:
    assert shell(f"{AGENT} {command} {to}").stdout == shell(f"{AGENT} {command} 2>/dev/null").stdout != ""


@pytest.mark.parametrize(("command", "status"), [("peers", 1), ("nonsense", 2), ("log nope", 4), ("answer nope x", 4)])
def test_with_no_stream_at_all_the_status_is_what_it_would_be(gateway: FakeGateway, command: str, status: int) -> None:
    assert shell(f"{AGENT} {command} >&- 2>&- <&-").returncode == status


def test_a_terminal_that_does_not_wait_gets_everything_all_the_same(gateway: FakeGateway) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with subprocess.Popen([sys.executable, "-m", "agent", "schema"], stdout=writer) as program:
        os.close(writer)
        whole = b""
        while select.select([reader], [], [], 10.0)[0] and (part := os.read(reader, 4096)):
            whole += part
    os.close(reader)
    assert program.returncode == 0
    assert whole.endswith(b"}\n")


def test_a_directory_that_is_gone_is_told(gateway: FakeGateway, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    ran = shell(f"cd {gone} && rmdir {gone} && {AGENT} new")
    assert ran.stderr.endswith("agent: the current directory is gone\n  hint: change to one that exists\n")
