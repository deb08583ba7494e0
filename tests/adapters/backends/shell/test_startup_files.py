"""Start-up files of all kinds, each with what a session makes of it: the first line of each file in `startup/` says it.

usable                  a prompt has its output, exit status and directory, and nothing of ours
usable until WORDS      the same, but it ends as WORDS say
usable with our lines   the same, but it shows some of ours, as whoever sets that may expect
asks QUESTION: ANSWER   the question is asked of a person, then usable
guessed                 the shell is not what it was, and its session says that ends of commands are guessed
ends STATUS             it is over before the first prompt, with that status (-9: by SIGKILL)
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from agent.adapters.backends.shell import ShellBackend
from agent.errors import BackendFailed
from agent.ports import Asked, Backend, BackendEvent, Exited, Finished, Start
from agent.protocol.model import SessionId
from tests.fakes.listener import Listener, finished, run, said

STARTUP = Path(__file__).with_name("startup")
PLACES = {
    ".bashrc": ("bash", ".bashrc"),
    ".zshrc": ("zsh", ".zshrc"),
    ".zshenv": ("zsh", ".zshenv"),
    ".fish": ("fish", ".config/fish/config.fish"),
}
"""Suffix of a file here, its shell, and where that reads it."""
FILES = sorted(path for path in STARTUP.iterdir() if path.suffix in PLACES)
Starter = Callable[[Path], Awaitable[Backend]]


def expected(path: Path) -> str:
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def of(kind: str) -> pytest.MarkDecorator:
    """All files of which that is expected."""
    return pytest.mark.parametrize(
        "path", [pytest.param(path, id=path.name) for path in FILES if expected(path).startswith(kind)]
    )


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("SHLVL", "1")  # a shell is above: PATH is as it should be
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "ZDOTDIR", "ENV", "PAGER"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
async def start(home: Path, listener: Listener) -> AsyncIterator[Starter]:
    started: list[Backend] = []

    async def make(path: Path) -> Backend:
        shell, place = PLACES[path.suffix]
        assert shutil.which(shell), f"{shell} is not installed: these tests are about it"
        (home / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, home / place)
        started.append(await ShellBackend().start(Start(session=SessionId("one"), shell=shell), listener.emit))
        return started[-1]

    yield make
    for backend in started:
        await backend.close()


def plain(events: list[BackendEvent]) -> str:
    return re.sub(r"\x1b\[[0-9;:]*m", "", said(events))


async def is_usable(backend: Backend, listener: Listener) -> bool:
    """Fail unless a shell is; whether it shows nothing of ours, too."""
    end = await run(backend, listener, "echo one; cd /; pwd")
    assert (finished(end).status, finished(end).exit_status, finished(end).cwd) == ("complete", 0, "/")
    lines = plain(end).splitlines()
    assert lines.count("one") == lines.count("/") == 1
    clean = "__lan_agent" not in plain(end)
    end = await run(backend, listener, """sh -c 'printf "no line feed"; exit 3'""")
    assert re.search("^no line feed", plain(end), re.MULTILINE)
    assert (finished(end).status, finished(end).exit_status) == ("complete", 3)
    return clean


def test_there_are_start_up_files_of_every_kind() -> None:
    shells = [PLACES[path.suffix][0] for path in FILES]
    assert [shells.count(shell) for shell in ("bash", "zsh", "fish")] >= [40, 30, 10]
    for path in FILES:
        assert re.fullmatch(r"usable( until .+| with our lines)?|asks .+: .+|guessed|ends -?\d+", expected(path)), (
            path.name
        )


@of("usable")
async def test_a_shell_is_usable_whatever_its_start_up_file_sets(
    start: Starter, listener: Listener, path: Path
) -> None:
    backend = await start(path)
    if "until" in expected(path):
        assert plain(await run(backend, listener, "echo one")).endswith("one\n")
        ended = await run(backend, listener, "sh -c 'exit 3'")  # as its owner wanted it
        assert ended[-1] == Exited(status="ended", reason="exit status 3", exit_status=3)
    else:
        assert await is_usable(backend, listener) == ("with our lines" not in expected(path))


@of("asks")
async def test_what_a_start_up_file_asks_is_asked_of_a_person(start: Starter, listener: Listener, path: Path) -> None:
    question, _, answer = expected(path).removeprefix("asks ").rpartition(": ")
    backend = await start(path)
    await backend.prompt("echo one")
    asked = await listener.until_asked()
    assert asked.prompt.rstrip().endswith(question)
    await backend.answer(asked.request_id, answer)
    assert plain(await listener.turn()).endswith("one\n")
    assert await is_usable(backend, listener)


@of("ends")
async def test_a_shell_that_its_start_up_file_ends_says_how(start: Starter, listener: Listener, path: Path) -> None:
    status = int(expected(path).removeprefix("ends "))
    with contextlib.suppress(BackendFailed):  # it has ended already
        backend = await start(path)
        await backend.prompt("echo one")
    events = [await listener.next()]
    while not isinstance(events[-1], Exited):
        assert not isinstance(events[-1], Finished | Asked), events[-1]
        events.append(await listener.next())
    assert events[-1].exit_status == (status if status >= 0 else None)
