r"""Start-up files of all kinds, each with what a session makes of it, as the first line of each in `startup/` says.

usable                  a prompt has its output, exit status and directory, and nothing of ours
usable until WORDS      the same, but it ends as WORDS say
usable with our lines   the same, but it shows some of ours, as whoever sets that may expect
asks QUESTION: ANSWER   the question is asked of a person, then usable (of keys, \n is Enter)
silent                  it writes nothing to its terminal any more, but runs what it is told
typed                   its line editor is off: its session says that prompts are typed
guessed                 the shell is not what it was: its session says that ends of commands are guessed
late                    it never gets to a prompt: its session says so, and an interrupt is heard
left out                it ends the shell, which is started again without it, and says so
ends                    the shell ends at its first prompt
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.adapters.backends.shell import guessed
from agent.adapters.backends.shell.session import SPARED
from agent.errors import BackendFailed
from agent.ports import Asked, Backend, BackendEvent, Described, Exited, Finished
from agent.protocol.terminal_lines import plain
from tests.adapters.backends.shell.conftest import Starter
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
OTHERS = [Path(other) for other in os.environ.get("LAN_AGENT_TEST_SHELLS", "").split(":") if other]
"""Other versions of shells, which `.ci/run` has from other releases of Debian: `bash-5.1`."""
FOR_OTHERS = (
    "debian",
    "empty",
    "history",
    "no-promptvars",
    "nounset",
    "posix",
    "preexec",
    "prompt-command",
    "vi",
    "xtrace",
)
StarterWith = Callable[..., Awaitable[Backend]]


def expected(path: Path) -> str:
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def of(*kinds: str) -> pytest.MarkDecorator:
    """All files of which that is expected."""
    return pytest.mark.parametrize(
        "path", [pytest.param(path, id=path.name) for path in FILES if expected(path).startswith(kinds)]
    )


@pytest.fixture
def start_with(start: Starter, home: Path) -> StarterWith:
    """Start the shell of which that is a start-up file."""

    async def make(path: Path, other: Path | None = None) -> Backend:
        shell, place = PLACES[path.suffix]
        assert shutil.which(shell), f"{shell} is not installed: these tests are about it"
        (home / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, home / place)
        return await start(str(other or shell))

    return make


def text(events: list[BackendEvent]) -> str:
    return plain(said(events))


async def is_usable(backend: Backend, listener: Listener) -> bool:
    """Fail unless a shell is; whether it shows nothing of ours, too."""
    end = await run(backend, listener, "echo one; cd /; pwd")
    assert (finished(end).status, finished(end).exit_status, finished(end).cwd) == ("complete", 0, "/")
    lines = text(end).splitlines()
    assert lines.count("one") == lines.count("/") == 1
    clean = "__lan_agent" not in text(end)
    end = await run(backend, listener, """sh -c 'printf "no line feed"; exit 3'""")
    assert re.search("^no line feed", text(end), re.MULTILINE)
    assert (finished(end).status, finished(end).exit_status) == ("complete", 3)
    return clean


def test_there_are_start_up_files_of_every_kind() -> None:
    shells = [PLACES[path.suffix][0] for path in FILES]
    assert [shells.count(shell) for shell in ("bash", "zsh", "fish")] >= [40, 30, 10]
    for path in FILES:
        known = r"usable( until .+| with our lines)?|asks .+: .+|silent|typed|guessed|late|left out|ends"
        assert re.fullmatch(known, expected(path)), path.name


@of("usable")
async def test_a_shell_is_usable_whatever_its_start_up_file_sets(
    start_with: StarterWith, listener: Listener, path: Path
) -> None:
    backend = await start_with(path)
    if "until" in expected(path):
        assert text(await run(backend, listener, "echo one")).endswith("one\n")
        ended = await run(backend, listener, "sh -c 'exit 3'")  # as its owner wanted it
        assert ended[-1] == Exited(status="ended", reason="exit status 3", exit_status=3)
    else:
        assert await is_usable(backend, listener) == ("with our lines" not in expected(path))


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.name.startswith(FOR_OTHERS)], ids=lambda path: path.name
)
async def test_other_versions_of_shells_are_usable_as_well(
    start_with: StarterWith, listener: Listener, path: Path
) -> None:
    for other in OTHERS:
        if other.name.startswith(PLACES[path.suffix][0]):
            backend = await start_with(path, other)
            assert await is_usable(backend, listener), other


@of("asks")
async def test_what_a_start_up_file_asks_is_asked_of_a_person(
    start_with: StarterWith, listener: Listener, path: Path
) -> None:
    question, _, answer = expected(path).removeprefix("asks ").rpartition(": ")
    backend = await start_with(path)
    await backend.prompt("echo one")
    asked = await listener.until_asked()
    assert asked.prompt.rstrip().endswith(question)
    await backend.answer(asked.request_id, answer.replace("\\n", "\n"))
    assert text(await listener.turn()).endswith("one\n")
    assert await is_usable(backend, listener)


@of("silent", "typed", "guessed")
async def test_a_shell_that_is_not_as_it_was_says_so_and_runs_what_it_is_told(
    start_with: StarterWith, listener: Listener, home: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guessed, "START_SECONDS", 0.5)
    monkeypatch.setattr("agent.adapters.backends.shell.START_SECONDS", 0.5)
    backend = await start_with(path)
    events = await run(backend, listener, f"echo one; echo ran >{home}/ran")
    words, status = {
        "silent": ("", 0),
        "typed": ("prompts are typed, its line editor is off\none\n", 0),
        "guessed": ("ends of commands are guessed, ", None),
    }[expected(path)]
    assert words in text(events)
    assert finished(events).exit_status == status
    assert (home / "ran").read_text() == "ran\n"


@of("late")
async def test_a_shell_whose_start_up_files_do_not_end_says_so_and_an_interrupt_stops_them_and_not_the_prompt(
    start_with: StarterWith, listener: Listener, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guessed, "START_SECONDS", 0.5)
    monkeypatch.setattr("agent.adapters.backends.shell.START_SECONDS", 0.5)
    backend = await start_with(path)
    await backend.prompt("echo one")
    told = ""
    while "its start-up files are not done after 0.5 s" not in told:
        event = await listener.next()
        told = (event.program or "") if isinstance(event, Described) else ""
    await backend.interrupt()
    events = await listener.turn()
    assert [event.note for event in events if isinstance(event, Described) and event.note][-1:] == [SPARED]
    assert text(events).endswith("one\n")  # the prompt that waited
    assert (finished(events).status, finished(events).exit_status) == ("complete", 0)
    assert await is_usable(backend, listener)


@of("left out")
async def test_a_start_up_file_that_ends_the_shell_is_left_out_and_that_is_said(
    start_with: StarterWith, listener: Listener, path: Path
) -> None:
    backend = await start_with(path)
    assert "it is started again without them\n" in text(await run(backend, listener, "echo one"))
    assert await is_usable(backend, listener)


@of("ends")
async def test_a_shell_that_ends_at_its_first_prompt_says_how(
    start_with: StarterWith, listener: Listener, path: Path
) -> None:
    with contextlib.suppress(BackendFailed):  # it has ended already
        backend = await start_with(path)
        await backend.prompt("echo one")
    events = [await listener.next()]
    while not isinstance(events[-1], Exited):
        assert not isinstance(events[-1], Finished | Asked), events[-1]
        events.append(await listener.next())
    assert events[-1].exit_status == 0
