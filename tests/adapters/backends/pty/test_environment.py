"""adapters.backends.pty.environment: what programs on a terminal of their own are told of the world."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent.adapters.backends.pty.environment import dead_ssh_agent, terminal_environment
from agent.protocol.model import SessionId

SESSION = SessionId("one")


@pytest.mark.parametrize(
    "name",
    [
        *("TMUX", "TMUX_PANE", "STY", "WINDOW", "ZELLIJ", "ZELLIJ_SESSION_NAME"),  # multiplexers
        *("SSH_TTY", "SSH_CONNECTION", "SSH_CLIENT"),
        *("WINDOWID", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "VTE_VERSION", "KITTY_WINDOW_ID", "VSCODE_INJECTION"),
        *("GHOSTTY_BIN_DIR", "WEZTERM_PANE", "ITERM_SESSION_ID", "LC_TERMINAL", "COLORFGBG", "COLUMNS", "LINES"),
        *("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC", "INVOCATION_ID", "JOURNAL_STREAM"),
        *("SHLVL", "OLDPWD", "LAN_AGENT_BOX"),
    ],
)
def test_what_tells_of_another_terminal_or_another_time_is_left_out(name: str) -> None:
    assert name not in terminal_environment({name: "x"}, SESSION)


def test_all_else_is_kept_and_the_terminal_is_told() -> None:
    mine = {
        "HOME": "/home/me",
        "LANG": "cs_CZ.UTF-8",
        "SSH_AUTH_SOCK": "/s",
        "TERMINFO_DIRS": "/t",
        "LAN_AGENT_HOME": "/l",
    }
    told = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LAN_AGENT_SESSION": "one"}
    assert terminal_environment(mine | {"TERM": "dumb"}, SESSION) == mine | told


def test_an_ssh_agent_that_answers_is_no_news(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        assert dead_ssh_agent({"SSH_AUTH_SOCK": path}) == ""
    assert path in dead_ssh_agent({"SSH_AUTH_SOCK": path})  # it has ended: the file is there, and nobody listens


def test_an_ssh_agent_that_is_gone_is_told_and_none_is_not(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    assert dead_ssh_agent({"SSH_AUTH_SOCK": gone}) == (
        f"SSH_AUTH_SOCK={gone}: no ssh-agent answers there any more, so ssh has no keys of one\n"
    )
    assert dead_ssh_agent({"SSH_AUTH_SOCK": "/tmp/" + "long/" * 50}) != ""  # longer than a socket's path can be
    assert dead_ssh_agent({}) == dead_ssh_agent({"SSH_AUTH_SOCK": ""}) == ""


IGNORED = """
import asyncio, os, signal, sys
from agent.adapters.backends.terminal.launch import start_on_terminal
from pathlib import Path
async def main():
    running = await start_on_terminal(("sh", "-c", "grep SigIgn /proc/self/status; exec cat"), Path("/"), os.environ)
    told = b""
    while b"SigIgn" not in told or not told.endswith(b"\\n"):
        told += running.terminal.read(1000)[0]
        await asyncio.sleep(0.001)
    os.kill(os.getpid(), signal.SIGHUP)  # the service lives on, as `nohup` wants
    await asyncio.sleep(0)
    os.kill(running.process.pid, signal.SIGKILL)
    await running.process.wait()
    print(int(told.split(b"SigIgn:")[1].split()[0], 16))
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which signals are ignored")
def test_a_program_ignores_no_signal_that_its_terminal_may_send_whatever_the_service_ignores() -> None:
    told = subprocess.run([sys.executable, "-c", IGNORED], capture_output=True, text=True, timeout=60, check=True)
    ignored = int(told.stdout)
    numbers = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP, signal.SIGPIPE)
    assert [number.name for number in numbers if ignored >> (number - 1) & 1] == []
