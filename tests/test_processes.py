"""processes: what the kernel tells of real processes, a few at a time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent import processes
from agent.processes import (
    ListeningSocket,
    _listed_owner,
    _socket_at,
    ancestors,
    catches,
    children,
    command_line,
    connection_owner,
    descendants,
    environment,
    find_process,
    ignores,
    listening,
    listening_of,
    of_session,
    of_this_user,
    process_table,
    tells_reads,
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
NOBODY = 2**22 + 1
"""A number above the largest process id."""
# A program that starts another, prints that one's id once both are there, and waits for its input to end.
PARENT = """
import signal, subprocess, sys
signal.signal(signal.SIGUSR1, lambda *_: None)
child = subprocess.Popen([sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
child.communicate()
"""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def started(stack: ExitStack) -> tuple[int, int]:
    """Process ids of a program in a session of its own and of the one that it has started."""
    environ = {**os.environ, "LAN_AGENT_TEST": "mine"}
    program = subprocess.Popen(
        [sys.executable, "-c", PARENT], env=environ, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    stack.callback(program.communicate, "", 10)
    assert program.stdout
    return program.pid, int(program.stdout.readline())


@linux
def test_a_row_tells_where_a_process_belongs(stack: ExitStack) -> None:
    pid, child = started(stack)
    row = find_process(pid)
    assert row is not None
    assert row[:4] == (pid, os.getpid(), pid, pid)
    below = find_process(child)
    assert below is not None
    assert (below.parent, below.session, below.zombie) == (pid, pid, False)
    assert below.started >= row.started > 0
    assert process_table()[child][:4] == below[:4]


@linux
def test_a_process_that_has_ended_is_a_zombie_until_it_is_reaped() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    row = find_process(process.pid)
    assert row is not None
    assert row.zombie
    assert not row.running
    assert command_line(process.pid) == []
    process.wait()
    assert find_process(process.pid) is None


@linux
def test_families_are_told_in_both_directions(stack: ExitStack) -> None:
    pid, child = started(stack)
    assert [row.pid for row in ancestors(child)][:3] == [child, pid, os.getpid()]
    assert {row.pid for row in descendants(pid)} == {child}
    assert {pid, child} <= {row.pid for row in descendants(os.getpid())}
    assert children(pid) == {child}
    assert pid in children(os.getpid())


@linux
def test_those_of_a_session_are_told_and_of_the_others_nothing_is_read(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid, child = started(stack)
    other, _ = started(stack)
    read: list[int] = []

    def note(process: int) -> processes.Process | None:
        read.append(process)
        return find_process(process)

    monkeypatch.setattr(processes, "find_process", note)
    assert {row.pid for row in of_session(pid)} == {pid, child} == set(read)
    assert other not in read
    assert of_session(NOBODY) == []


@linux
def test_what_a_process_was_started_with_is_told(stack: ExitStack) -> None:
    pid, child = started(stack)
    assert environment(child, "LAN_AGENT_TEST") == ["mine"]
    assert environment(child, "LAN_AGENT_TES") == []
    assert command_line(pid) == [sys.executable, "-c", PARENT]
    assert {pid, child} <= set(of_this_user())
    assert catches(pid, signal.SIGUSR1)
    assert not catches(pid, signal.SIGUSR2)


@linux
def test_the_sockets_of_a_process_that_listen_are_told() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as four,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
    ):
        every = listening()
        assert every is not None
        for server in (four, six):
            address, port = server.getsockname()[:2]
            inode = str(os.fstat(server.fileno()).st_ino)
            row = ListeningSocket(address, port, os.geteuid(), inode)
            assert row in every
            assert row in listening_of(os.getpid())


def test_of_a_process_that_is_gone_nothing_is_told_and_nothing_is_raised(tmp_path: Path) -> None:
    assert find_process(NOBODY) is None
    assert ancestors(NOBODY) == []
    assert descendants(NOBODY) == []
    assert children(NOBODY) == set()
    assert command_line(NOBODY) == []
    assert environment(NOBODY, "PATH") == []
    assert listening_of(NOBODY) == []
    assert not catches(NOBODY, signal.SIGINT)
    assert not ignores(NOBODY, signal.SIGINT)
    assert not tells_reads(NOBODY)
    assert of_this_user(tmp_path / "none") == []
    assert listening(tmp_path / "none") is None


def test_without_proc_the_table_is_that_of_ps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stack: ExitStack
) -> None:
    pid, child = started(stack)
    program = tmp_path / "ps"
    listed = f"  {pid}  {os.getpid()} {pid} Ss+\n{child} {pid} {pid} R\n{NOBODY} 1 {NOBODY} Z"
    program.write_text(f'#!/bin/sh\n[ "$*" = "-A -o pid=,ppid=,pgid=,stat=" ] && echo "{listed}"')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("agent.processes._LINUX", False)
    rows = process_table()
    assert rows[pid] == (pid, os.getpid(), pid, pid, "S", 0)
    assert rows[child] == (child, pid, pid, pid, "R", 0)
    assert rows[NOBODY] == (NOBODY, 1, NOBODY, 0, "Z", 0)
    assert [row.pid for row in ancestors(child)] == [child, pid]
    assert [row.pid for row in descendants(os.getpid())] == [pid, child]
    program.unlink()
    assert process_table() == {}


TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1D38 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1
   1: 0100007F:1D38 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 2
   2: 0100007F:C350 0100007F:1D38 01 00000000:00000000 00:00000000 00000000  1001        0 3
   3: 0100007F:C351 0100007F:1D38 05 00000000:00000000 00:00000000 00000000     0        0 0
   4: 0100007F:C352 0100007F:1D38 01 00000000:00000000 00:00000000 00000000     0        0 4
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the table above is of such a machine")
def test_the_user_at_the_other_end_of_a_connection_is_told_and_a_closed_end_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "tcp").write_text(TCP)
    own = ("127.0.0.1", 7480)
    told = [_listed_owner(own, ("127.0.0.1", port), tmp_path) for port in (50000, 50001, 50002, 50003)]
    assert told == [1001, -1, 0, -1]
    assert _listed_owner(own, ("127.0.0.1", 50000), tmp_path / "none") is None


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_a_connection_of_this_process_is_of_this_user(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        own = server.getsockname()[:2]
        with socket.create_connection(own) as client, server.accept()[0]:
            other = client.getsockname()[:2]
            assert connection_owner(own, other) == os.geteuid()
            assert _socket_at(other, own) == (1, os.geteuid())  # without the table
            client.close()
            assert connection_owner(own, other) == -1
        assert connection_owner(own, other) == -1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_a_connection_by_ipv4_from_a_socket_of_ipv6_is_of_this_user() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_INET6) as client:
        client.connect((f"::ffff:{server.getsockname()[0]}", server.getsockname()[1]))
        with server.accept()[0] as accepted:
            assert connection_owner(accepted.getsockname(), accepted.getpeername()) == os.geteuid()


def test_where_the_kernel_cannot_be_asked_of_one_socket_its_table_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_socket_at", lambda *_: None)
    monkeypatch.setattr(processes, "_listed_owner", lambda *_: 1001)
    assert connection_owner(("127.0.0.1", 1), ("127.0.0.1", 2)) == 1001


@linux
def test_a_signal_that_a_process_ignores_is_told_from_others() -> None:
    with subprocess.Popen(["sh", "-c", "trap '' USR1; echo on; read x"], stdin=-1, stdout=-1) as sh:
        assert sh.stdout is not None
        assert sh.stdout.readline() == b"on\n"
        assert ignores(sh.pid, signal.SIGUSR1)
        assert not ignores(sh.pid, signal.SIGUSR2)
        sh.kill()
