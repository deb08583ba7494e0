"""Who is at the other end of a Unix socket (T7)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent.peercred import peer_pid, peer_uid


def test_t7_the_other_end_of_a_unix_socket_is_known() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert peer_uid(ours) == os.geteuid()
        assert peer_pid(ours) == os.getpid()


def test_t7_the_process_that_connected_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s"
    connect = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); sys.stdin.read()"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        with subprocess.Popen([sys.executable, "-c", connect, str(path)], stdin=subprocess.PIPE) as program:
            connection, _ = server.accept()
            with connection:
                assert peer_pid(connection) == program.pid
                assert peer_uid(connection) == os.geteuid()


@pytest.mark.parametrize("ask", [peer_uid, peer_pid])
def test_other_sockets_tell_nothing(ask: object) -> None:
    assert callable(ask)
    with socket.socket(socket.AF_INET) as inet:
        assert ask(inet) is None
    closed = socket.socket(socket.AF_UNIX)
    closed.close()
    assert ask(closed) is None
    assert ask(None) is None
