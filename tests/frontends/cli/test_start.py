"""Starting: exit statuses without a service, wrong use, and what the fast path imports."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent import paths
from agent.client.control_socket import Client
from agent.errors import KINDS, AgentError, NotRunning, TooLarge
from agent.frontends.cli.main import COMMANDS, STATUS_OF
from agent.paths import SOCKET, SOCKET_PATH_MAX, control_socket_path, runtime_folder
from agent.protocol.model import SessionId
from tests.frontends.conftest import Agent
from tests.frontends.gateway import HERE, FakeGateway, session


def test_without_a_service_the_status_is_3(agent: Agent) -> None:
    for argv in (["peers"], ["sessions", "--watch"], ["attach", "x"], ["prompt", "x", "y"], ["pair"], ["status"]):
        assert agent(*argv) == (3, "", "agent: the service is not running\n  hint: start it with `agent up`\n")


@pytest.mark.parametrize("argv", [["peers", "--nope"], ["nope"], ["attach"], ["prompt", "x"], ["prompt", "x", " "]])
def test_wrong_use_is_status_2_in_two_lines(agent: Agent, argv: list[str], gateway: FakeGateway) -> None:
    ran = agent(*argv)
    assert (ran.status, ran.out) == (2, "")
    first, second = ran.err.splitlines()
    assert first.startswith("agent: ")
    assert re.match("  hint: .*`agent", second)


@pytest.mark.parametrize(("argv", "command"), [(["backends", "--on"], "agent backends"), (["--color"], "agent")])
def test_an_option_without_its_value_leads_to_the_help_that_has_it(agent: Agent, argv: list[str], command: str) -> None:
    ran = agent(*argv)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"agent: {argv[-1]} needs a value: ")
    assert ran.err.endswith(f"  hint: see `{command} --help`\n")


def test_help_names_every_command_and_each_has_its_own(agent: Agent) -> None:
    text = agent("--help").out
    for name, (_, about) in COMMANDS.items():
        assert f"  {name} " in text
        own = agent(name, "--help")
        assert own.status == 0
        assert " ".join(about.split()[:2]).rstrip(",.") in " ".join(own.out.split())


def test_a_dead_socket_is_no_service(home: Path, agent: Agent) -> None:
    path = control_socket_path(os.environ)
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    ran = agent("peers")
    assert (ran.status, ran.err.splitlines()[0]) == (3, "agent: the service is not running (it left its socket behind)")
    assert agent("sessions", "--watch").status == 3


def test_a_foreign_file_at_the_sockets_path_is_named(home: Path, agent: Agent) -> None:
    path = control_socket_path(os.environ)
    path.parent.mkdir()
    path.write_text("mine")
    ran = agent("peers")
    assert (ran.status, ran.err.splitlines()[0]) == (3, f"agent: {path} is not the service's socket")
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    "reply",
    [b"", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nhi", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}x"],
)
def test_something_else_behind_the_socket_is_told(home: Path, agent: Agent, reply: bytes) -> None:
    path = control_socket_path(os.environ)
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        ran = agent("peers")
        thread.join()
    assert ran.status == (1 if reply else 3)
    assert ran.err.startswith("agent: ")
    assert len(ran.err.splitlines()) == 2


def test_every_kind_with_a_status_exists() -> None:
    assert set(STATUS_OF) <= set(KINDS)


def test_the_fast_path_imports_nothing_heavy(gateway: FakeGateway) -> None:  # DESIGN §9, budgets
    program = (
        "import sys\nfrom agent.frontends.cli.main import main\n"
        "status = main(['peers', '--wait', '0']) + main(['sessions', '--on', 'laptop'])\n"
        "status += main(['backends']) + main(['audit'])\n"
        "heavy = {'aiohttp', 'zeroconf', 'msgspec', 'asyncio', 'platformdirs', 'http.client', 'ssl'}\n"
        "sys.exit(f'{status} {heavy & set(sys.modules)}')"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.stderr.splitlines()[-1] == "0 set()"


def test_a_long_home_gets_a_short_socket(tmp_path: Path) -> None:
    long = str(tmp_path / ("x" * 120))
    path = control_socket_path({"LAN_AGENT_HOME": long})
    assert len(os.fsencode(path)) <= SOCKET_PATH_MAX
    assert path != control_socket_path({"LAN_AGENT_HOME": long + "y"})
    assert control_socket_path({"LAN_AGENT_HOME": "/h"}) == Path("/h/run/control.sock")


@pytest.mark.skipif(sys.platform != "linux", reason="the runtime folder of systemd's logins")
def test_the_runtime_folder_is_this_users_own_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(named: Path | str) -> Path:
        return control_socket_path({"XDG_RUNTIME_DIR": str(named)}).parent

    assert found(tmp_path) == tmp_path / "lan-agent"
    user = os.getuid() + 1000
    monkeypatch.setattr(os, "getuid", lambda: user)  # after `su`: the folder is the one that was left
    spare = Path(f"/tmp/lan-agent-{user}/run")
    assert [found(tmp_path), found(tmp_path / "none"), found("")] == [spare] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="as above")
def test_a_service_that_was_there_before_the_first_login_is_found_where_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, spare = Path(f"/run/user/{os.getuid()}"), Path(f"/tmp/lan-agent-{os.getuid()}/run")
    there = {usual}
    monkeypatch.setattr(paths, "_is_ours", lambda path: Path(path) in there)
    for environ in ({}, {"XDG_RUNTIME_DIR": str(usual)}):
        assert runtime_folder(environ) == usual / "lan-agent"
        there.add(spare / SOCKET)
        assert runtime_folder(environ) == spare
        there.add(usual / "lan-agent" / SOCKET)
        assert runtime_folder(environ) == usual / "lan-agent"
        there = {usual}


@pytest.mark.parametrize(
    ("environ", "command", "status", "told"),
    [
        ({}, "up --interface lo", 78, "this user has no home directory"),
        ({"LAN_AGENT_HOME": "~/x"}, "up", 78, "cannot tell where ~/x is: this user has no home directory"),
        ({"LAN_AGENT_HOME": "~/x"}, "peers", 78, "cannot tell where ~/x is: this user has no home directory"),
        ({"LAN_AGENT_HOME": "/nowhere"}, "new --cwd '~/x'", 78, "cannot tell where ~/x is"),
        ({"HOME": "/proc/self"}, "up --interface lo", 78, "cannot use /proc/self/"),
    ],
)
def test_a_user_without_a_home_is_told_what_to_set(
    environ: dict[str, str], command: str, status: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "LAN_AGENT_HOME"):
        monkeypatch.delenv(name, raising=False)
    nobody = (
        "import pwd, sys\nfrom agent.frontends.cli.main import main\n"
        "def nobody(user): raise KeyError(user)\npwd.getpwuid = nobody\nsys.exit(main(sys.argv[1:]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", nobody, *shlex.split(command)],
        env={**os.environ, **environ}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    first, hint = ran.stderr.splitlines()
    assert (ran.returncode, first[: len(told) + 7]) == (status, f"agent: {told}")
    assert "HOME" in hint


def test_completion_offers_names_and_is_silent_without_a_service(gateway: FakeGateway, home: Path) -> None:
    def complete(words: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "_AGENT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "2"}
        return subprocess.run([sys.executable, "-m", "agent"], env=environ, capture_output=True, text=True, check=False)

    assert "Build" in complete("agent attach ").stdout
    gateway.stop()
    ran = complete("agent attach ")
    assert (ran.stdout.strip(), ran.stderr) == ("", "")


@pytest.mark.parametrize(
    ("announced", "error", "said"), [(1 << 40, TooLarge, "larger than"), (100, NotRunning, "broke off in the middle")]
)
def test_an_answer_that_is_cut_is_called_so(announced: int, error: type[AgentError], said: str, tmp_path: Path) -> None:
    path = tmp_path / "s"

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\n\r\n{{".encode())

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        service = threading.Thread(target=answer, args=(listener,))
        service.start()
        with pytest.raises(error, match=said):
            Client(path).call("session.list")
        service.join()


def test_completion_offers_a_title_that_means_one_session_and_that_a_shell_takes_whole(
    gateway: FakeGateway, home: Path
) -> None:
    def complete(word: str) -> list[str]:
        words = {"_AGENT_COMPLETE": "bash_complete", "COMP_WORDS": f"agent log {word}", "COMP_CWORD": "2"}
        ran = subprocess.run(
            [sys.executable, "-m", "agent"], env={**os.environ, **words}, capture_output=True, text=True, check=False
        )
        return [line.removeprefix("plain,") for line in ran.stdout.splitlines()]

    gateway.sessions += [session(SessionId("two0"), "twin"), session(SessionId("two1"), "Twin")]
    gateway.sessions += [session(SessionId("spaced"), "my plan"), session(SessionId("dashed"), "-x")]
    assert complete("bu") == ["Build"]
    assert complete("s3") == [HERE]
    assert complete("tw") == ["two0", "two1"]
    assert complete("") == ["Build", "two0", "two1", "spaced", "dashed"]
