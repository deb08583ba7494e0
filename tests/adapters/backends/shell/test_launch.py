"""adapters.backends.shell.launch: which shell is started, with which words and in which environment."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from agent.adapters.backends.shell import launch as module
from agent.adapters.backends.shell.box import Box
from agent.adapters.backends.shell.launch import (
    INTEGRATION,
    Shell,
    argv_of,
    find_shell,
    launch,
    login_path,
    merged,
    shell_environment,
)
from agent.adapters.backends.terminal.launch import RunningProgram, login_shell
from agent.protocol.model import SessionId
from tests.fakes.waiting import until

GUESSED = "ends of commands are guessed"
SESSION = SessionId(f"launch-{os.getpid()}")


def program(folder: Path, name: str, says: str = "") -> str:
    """A program that prints something."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return str(path)


# --- which shell -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_the_shells_of_this_machine_have_marks(kind: str) -> None:
    shell = find_shell(kind)
    assert (shell.kind, shell.path, shell.missing, shell.unmarked) == (kind, shutil.which(kind), "", "")
    assert shell.program == f"{kind} {shell.version}"
    assert find_shell(shell.path) == shell


@pytest.mark.parametrize(
    ("name", "says", "kind", "told"),
    [
        ("bash", "GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)", "bash", "bash 5.2"),
        ("bash-5.3", "GNU bash, version 5.3.0(1)-release (x)", "bash", "bash-5.3 5.3"),
        ("zsh", "zsh 5.8.1 (x86_64-apple-darwin21.0)", "zsh", "zsh 5.8"),
        ("zsh-5.9", "zsh 5.9.0.3-test (x86_64)", "zsh", "zsh-5.9 5.9"),
        ("fish", "fish, version 4.0.2", "fish", "fish 4.0"),
        ("bash", "GNU bash, version 3.2.57(1)-release", "", f"bash 3.2: {GUESSED}, marks need bash 4.4 or later"),
        ("zsh", "zsh 5.7.1 (x)", "", f"zsh 5.7: {GUESSED}, marks need zsh 5.8 or later"),
        ("fish", "fish, version 3.1.2", "", f"fish 3.1: {GUESSED}, marks need fish 3.4 or later"),
        ("zsh", "a wrapper", "", f"zsh: {GUESSED}, it does not tell the version of zsh"),
        ("ksh", "", "", f"ksh: {GUESSED}, ksh has no marks"),
        ("rbash", "GNU bash, version 5.2.15(1)", "", f"rbash: {GUESSED}, rbash has no marks"),
        ("fishy", "fish, version 4.0.2", "", f"fishy: {GUESSED}, fishy has no marks"),
    ],
)  # fmt: skip
def test_a_shell_is_what_its_name_and_version_say(name: str, says: str, kind: str, told: str, tmp_path: Path) -> None:
    shell = find_shell(program(tmp_path, name, says))
    assert (shell.kind, shell.program, shell.missing) == (kind, told, "")


def test_a_link_is_what_it_leads_to_but_for_sh_which_is_another_shell_by_that_name(tmp_path: Path) -> None:
    real = program(tmp_path, "bash", "GNU bash, version 5.2.15(1)-release")
    (tmp_path / "mine").symlink_to(real)
    (tmp_path / "sh").symlink_to(real)
    assert find_shell(str(tmp_path / "mine")).kind == "bash"
    posix = find_shell(str(tmp_path / "sh"))
    assert (posix.kind, posix.program) == ("", "bash: ends of commands are guessed, bash has no marks")


def test_a_shell_that_is_not_there_says_so(tmp_path: Path) -> None:
    assert find_shell("no-such-shell").missing == "no-such-shell is not installed"
    assert find_shell(str(tmp_path / "zsh")).missing == f"there is no program {tmp_path}/zsh"
    (tmp_path / "table").write_text("root:x:0:0\n")
    assert find_shell(str(tmp_path / "table")).missing == f"{tmp_path}/table is no program"
    assert find_shell(str(tmp_path)).missing == f"{tmp_path} is no program"


def test_the_users_own_shell_is_that_of_the_environment_or_of_the_table_of_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, none = program(tmp_path, "mine"), program(tmp_path, "nologin")
    assert login_shell({"SHELL": mine}) == mine
    for entry, told, expected in [
        (mine, "", mine),
        (mine, "/bin/sh", mine),  # cron says that to everybody
        ("/bin/sh", "/bin/sh", "/bin/sh"),
        (mine, str(tmp_path / "gone"), mine),
        (none, none, shutil.which("bash")),  # an account that nobody logs in to still runs a service
    ]:
        monkeypatch.setattr("pwd.getpwuid", lambda _, entry=entry: type("Row", (), {"pw_shell": entry}))
        assert login_shell({"SHELL": told}) == expected


# --- its words and environment ---------------------------------------------------------------------------------------


def test_each_shell_reads_our_file_beside_the_users_own() -> None:
    assert argv_of(Shell("bash", "/bin/bash")) == ("/bin/bash", "--rcfile", str(INTEGRATION / "bash.rc"), "-i")
    assert argv_of(Shell("zsh", "/bin/zsh"))[-1] == "-i"
    assert argv_of(Shell("fish", "/bin/fish"))[-2:] == ("-C", f"source '{INTEGRATION / 'config.fish'}'")
    assert argv_of(Shell("", "/bin/elvish")) == ("/bin/elvish",)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    return Box.make(folder)


async def made(environ: dict[str, str], kind: module.Kind, box: Box) -> dict[str, str]:
    return await shell_environment({"SHLVL": "1", "SHELL": "/bin/sh", **environ}, SESSION, Shell(kind, "/x"), box)


async def test_a_shell_with_marks_is_told_its_box_and_others_are_not(box: Box) -> None:
    assert (await made({}, "fish", box))["LAN_AGENT_BOX"] == str(box.path)
    assert "LAN_AGENT_BOX" not in await made({"LAN_AGENT_BOX": "/another"}, "", box)


async def test_bash_gets_posixly_correct_by_another_name_as_it_would_not_read_our_file(box: Box) -> None:
    environment = await made({"POSIXLY_CORRECT": "y"}, "bash", box)
    assert "POSIXLY_CORRECT" not in environment
    assert environment["LAN_AGENT_POSIX"] == "y"
    assert "LAN_AGENT_POSIX" not in await made({}, "bash", box)
    assert (await made({"POSIXLY_CORRECT": "y"}, "zsh", box))["POSIXLY_CORRECT"] == "y"


async def test_zsh_is_sent_to_our_folder_and_told_which_one_was_the_users(box: Box) -> None:
    environment = await made({"ZDOTDIR": "/home/me/.zsh"}, "zsh", box)
    assert environment["ZDOTDIR"] == str(INTEGRATION / "zsh")
    assert environment["LAN_AGENT_ZDOTDIR"] == "/home/me/.zsh"
    assert "LAN_AGENT_ZDOTDIR" not in await made({}, "zsh", box)
    assert (await made({"ZDOTDIR": "/home/me/.zsh"}, "bash", box))["ZDOTDIR"] == "/home/me/.zsh"


def test_two_paths_become_one_with_each_folder_once() -> None:
    assert merged("/mine:/usr/bin", "/usr/bin:/bin:") == "/mine:/usr/bin:/bin"
    assert merged("", "/usr/bin") == "/usr/bin"


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No login shell was asked yet."""
    monkeypatch.setattr(module, "_login_paths", {})


@pytest.mark.parametrize("name", ["bash", "zsh", "fish", "sh"])
@pytest.mark.usefixtures("unasked")
async def test_a_service_that_no_shell_has_started_takes_the_path_of_a_login(
    name: str, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOGIN", False)
    files = {"bash": ".bash_profile", "zsh": ".zprofile", "fish": ".config/fish/config.fish", "sh": ".profile"}
    file = tmp_path / files[name]
    file.parent.mkdir(parents=True, exist_ok=True)
    adds = "set -gx PATH $HOME/mine $PATH" if name == "fish" else 'export PATH="$HOME/mine:$PATH"'
    file.write_text(f"echo noise\nsleep 60 &\n{adds}\n")
    shell = shutil.which(name)
    assert shell
    environ = {"HOME": str(tmp_path), "PATH": "/only/here:/usr/bin:/bin", "SHELL": shell}
    environment = await shell_environment(environ, SESSION, Shell("", shell), box)
    folders = environment["PATH"].split(":")
    assert f"{tmp_path}/mine" in folders
    assert "/only/here" in folders
    from_a_shell = await shell_environment(environ | {"SHLVL": "1"}, SESSION, Shell("", shell), box)
    assert from_a_shell["PATH"] == environ["PATH"]


@pytest.mark.usefixtures("unasked")
async def test_login_files_that_never_end_are_given_up_and_not_asked_again(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATH_SECONDS", 0.2)
    (tmp_path / ".bash_profile").write_text(f"echo x >>{tmp_path}/asked\nsleep 60\n")
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "SHELL": str(shutil.which("bash"))}
    assert await login_path(environment, box) == await login_path(environment, box) == ""
    assert (tmp_path / "asked").read_text() == "x\n"


# --- started ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def started(box: Box) -> AsyncIterator[Callable[[Shell], Awaitable[RunningProgram]]]:
    begun: list[RunningProgram] = []

    async def start(shell: Shell) -> RunningProgram:
        begun.append(await launch(SESSION, Path("/"), shell, box))
        return begun[-1]

    yield start
    for running in begun:
        os.kill(running.process.pid, signal.SIGKILL)
        await running.process.wait()
        running.terminal.close()


async def test_a_shell_leads_its_terminal_and_the_box_is_its_own(
    started: Callable[[Shell], Awaitable[RunningProgram]], box: Box
) -> None:
    running = await started(Shell("", "/bin/sh"))
    await until(lambda: running.terminal.read(4096)[0], "its prompt")
    assert running.terminal.foreground() == running.process.pid
    assert os.getsid(running.process.pid) == running.process.pid
    assert (box.path / "owner").read_text().split()[0] == str(running.process.pid)
