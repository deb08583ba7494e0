"""What people have set up in their shells and do in them, in a session as in a terminal window."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.adapters.backends.shell.session import ShellSession
from agent.ports import Asked, BackendEvent, Described, Exited, Prompted
from tests.fakes.listener import Listener, finished, run, said

Starter = Callable[..., Awaitable[ShellSession]]
SHELLS = ("bash", "zsh", "fish")


def plain(events: list[BackendEvent]) -> str:
    """What was said, without colours."""
    return re.sub(r"\x1b\[[0-9;:]*m", "", said(events))


@pytest.mark.parametrize(
    ("lines", "command", "output"),
    [
        ("set -x", "echo hi", "+ echo hi\nhi\n"),
        (
            "PS4='trace '; set -x",
            "echo one\necho two",
            "trace builtin eval 'echo one\necho two'\nttrace echo one\none\nttrace echo two\ntwo\n",
        ),
        ("trap 'echo debug' DEBUG", "echo hi; echo ho", "debug\nhi\ndebug\nho\n"),
        ("trap 'echo failed' ERR", "false; echo $?", "failed\n1\n"),
        ("readonly IFS", "echo a b", "a b\n"),
        ("set -u", 'echo "${nothing-unset}"', "unset\n"),
        ("alias hi='echo hello'", "hi", "hello\n"),
        ('f() { echo "f $1"; }', "f 3", "f 3\n"),
        ("shopt -s histappend cmdhist; HISTSIZE=5", "echo !$", "!$\n"),
        ("set -o vi", "echo vi", "vi\n"),
        ("PROMPT_COMMAND='echo prompted'", "echo hi", "hi\n"),
        ("PROMPT_COMMAND=(true 'printf a'); PROMPT_DIRTRIM=2", "echo hi", "hi\n"),
        ("PS1='two\\nlines \\$ '", "echo hi", "hi\n"),
        ("printf() { echo mine; }; read() { echo mine; }; local() { echo mine; }", "echo hi", "hi\n"),
        ("alias echo='echo aliased'; alias printf=false", "echo hi", "aliased hi\n"),
        ("exec > /dev/null", "echo hi", ""),
        ("echo noise; echo more >&2", "echo hi", "hi\n"),
        ('stty -ixon; bind \'"\\C-o": "x"\'', "echo hi", "hi\n"),
        ("LC_ALL=C", "echo žluť", "žluť\n"),
    ],
)
async def test_what_people_set_up_in_bash_is_as_at_home(
    start: Starter, listener: Listener, lines: str, command: str, output: str
) -> None:
    bash = await start("bash", lines)
    for _ in range(2):
        assert plain(await run(bash, listener, command)) == output


@pytest.mark.parametrize(
    ("shell", "lines", "case"),
    [
        ("zsh", "PS4='+ '; setopt xtrace", ("echo hi", "+ echo hi\nhi\n")),
        ("zsh", "alias hi='echo hello'", ("hi", "hello\n")),
        ("zsh", "precmd() { echo prompted }", ("echo hi", "hi\n")),
        ("zsh", "bindkey -v; RPS1='right'", ("echo hi", "hi\n")),
        ("zsh", "setopt nopromptsp", ("printf half", "half")),
        ("zsh", "setopt extendedglob ksharrays shwordsplit noclobber", ("echo hi", "hi\n")),
        ("zsh", "TRAPDEBUG() { : }", ("echo hi", "hi\n")),
        ("fish", "alias hi 'echo hello'", ("hi", "hello\n")),
        ("fish", "function fish_right_prompt; echo right; end", ("echo hi", "hi\n")),
        ("fish", "function fish_prompt; echo two; echo lines; end", ("echo hi", "hi\n")),
        ("fish", "fish_vi_key_bindings", ("echo hi", "hi\n")),
    ],
)
async def test_what_people_set_up_in_other_shells_is_as_at_home(
    start: Starter, listener: Listener, shell: str, lines: str, case: tuple[str, str]
) -> None:
    command, output = case
    session = await start(shell, lines)
    for _ in range(2):
        assert plain(await run(session, listener, command)) == output


@pytest.mark.parametrize(
    ("shell", "command"),
    [
        ("bash", "PROMPT_COMMAND=x"),
        ("bash", "unset PROMPT_COMMAND"),
        ("bash", "PS0="),
        ("bash", "PS1='$ '"),
        ("bash", "PS1='$ ' PS2= PS0="),
        ("bash", "enable -n printf"),
        ("bash", "ulimit -n 8"),
        ("bash", "set -o posix; shopt -s xpg_echo"),
        ("bash", "IFS=x; shopt -u promptvars"),
        ("zsh", "precmd_functions=()"),
        ("zsh", "PS1='$ '"),
        ("zsh", "preexec_functions=(); unset PROMPT_EOL_MARK"),
        ("fish", "function fish_prompt; echo '$ '; end"),
        ("fish", "functions -e fish_prompt"),
    ],
)
async def test_a_command_that_replaces_what_tells_the_marks_ends_and_so_do_those_after_it(
    start: Starter, listener: Listener, shell: str, command: str
) -> None:
    session = await start(shell)
    assert finished(await run(session, listener, command)).status == "complete"
    for word in ("one", "two"):
        events = await run(session, listener, f"echo {word}")
        assert plain(events) == f"{word}\n"
        assert finished(events).exit_status == 0


async def test_jobs_are_those_of_the_shell(start: Starter, listener: Listener) -> None:
    bash = await start("bash")
    assert re.fullmatch(r"\[1\] \d+\n", plain(await run(bash, listener, "sleep 600 &")))
    assert re.match(r"\[1\]\+ +Running +sleep 600 &\n$", plain(await run(bash, listener, "jobs")))
    await bash.prompt("fg %1")
    await listener.until_said("sleep 600\n")
    await bash.interrupt()
    assert finished(await listener.turn()).exit_status == 130
    assert plain(await run(bash, listener, "jobs")) == ""


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_prompt_is_in_the_history_as_if_it_was_typed(start: Starter, listener: Listener, shell: str) -> None:
    session = await start(shell)
    await run(session, listener, "echo remembered")
    await run(session, listener, "echo 'of two\nlines'")
    history = "history" if shell != "zsh" else "fc -l 1"
    listed = plain(await run(session, listener, history))
    assert "echo remembered" in listed
    assert "of two" in listed
    assert "lan_agent" not in listed


@pytest.mark.parametrize("shell", SHELLS)
async def test_pagers_are_off_for_prompts_only(start: Starter, listener: Listener, shell: str) -> None:
    lines = {"bash": "export PAGER=less", "zsh": "export PAGER=less", "fish": "set -gx PAGER less"}[shell]
    session = await start(shell, lines)
    assert plain(await run(session, listener, "printenv PAGER GIT_PAGER")) == "cat\ncat\n"
    await session.terminal.write(b"printenv PAGER GIT_PAGER\r")
    assert await listener.next() == Prompted(text="printenv PAGER GIT_PAGER", typed=True)
    assert plain(await listener.turn()) == "less\n"
    assert plain(await run(session, listener, "echo kept")) == "kept\n"


@pytest.mark.parametrize(
    ("shell", "lines"),
    [
        ("bash", "read -p 'Your name? ' name; export name"),
        ("zsh", "read 'name?Your name? '; export name"),
    ],
)
async def test_what_a_start_up_file_asks_is_asked_and_answered(
    start: Starter, listener: Listener, shell: str, lines: str
) -> None:
    session = await start(shell, lines)
    await session.prompt("echo hello $name")
    asked = await listener.until_asked()
    assert (asked.kind, asked.prompt) == ("line", "Your name? ")
    await session.answer(asked.request_id, "Ada")
    assert plain(await listener.turn()) == "hello Ada\n"


async def test_a_start_up_file_that_takes_for_ever_can_be_interrupted(
    start: Starter, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.adapters.backends.shell.START_SECONDS", 0.3)
    session = await start("bash", "sleep 600")
    await session.prompt("echo waited")
    await session.interrupt()  # them, and not the prompt that waits for them
    events = await listener.turn()
    assert (finished(events).status, finished(events).exit_status) == ("complete", 0)
    assert plain(events).endswith("waited\n")
    events = await run(session, listener, "echo next")
    assert "next\n" in plain(events)
    assert not [event for event in events if isinstance(event, Asked)]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
async def test_tmout_ends_no_command_and_an_idle_shell_as_at_home(
    start: Starter, listener: Listener, shell: str
) -> None:
    session = await start(shell, "TMOUT=1")
    events = await run(session, listener, "sleep 1.5; echo whole")
    assert plain(events) == "whole\n"
    async with asyncio.timeout(20):
        end = await listener.next()
    assert isinstance(end, Exited)


@pytest.mark.parametrize("shell", SHELLS)
async def test_what_draws_the_screen_again_and_again_is_named_and_asks_nothing(
    start: Starter, listener: Listener, home: Path, shell: str
) -> None:
    drawing = r"printf '\033[?1h\033=\033[H\033[2Jlike top'"
    home.joinpath("draw").write_text(f"{drawing}; stty raw -echo; head -c 1 >/dev/null; stty sane\n")
    session = await start(shell)
    await session.prompt("sh draw")
    told: BackendEvent = Described()
    while not isinstance(told, Described) or not told.screen:
        told = await listener.next()
        assert not isinstance(told, Asked)
    assert told.screen == "sh"
    await session.terminal.write(b"q")
    events = await listener.turn()
    assert not [event for event in events if isinstance(event, Asked)]
    assert plain(events).strip() == "like top"  # what stands there at the end


@pytest.mark.parametrize("answer", ["ab", "ab\n"])
@pytest.mark.parametrize(
    ("shell", "command"),
    [
        ("bash", "read -e -p '> ' x; echo got=$x"),
        ("zsh", "x=; vared -p '> ' x; echo got=$x"),
        ("fish", "read -p 'echo \\> ' x; echo got=$x"),
        ("bash", 'python3 -c \'import readline; print("got=" + input("> "))\''),
    ],
)
async def test_an_editor_of_lines_within_a_command_asks_for_a_line(
    start: Starter, listener: Listener, shell: str, command: str, answer: str
) -> None:
    session = await start(shell)
    await session.prompt(command)
    asked = await listener.until_asked()
    assert asked.kind == "line"
    await session.answer(asked.request_id, answer)  # with Enter or without
    assert plain(await listener.turn()).endswith("=ab\n")


@pytest.mark.parametrize(
    ("shell", "command"),
    [("bash", "read -n1 -p 'k? ' x; echo got=$x"), ("zsh", "read -k1 'x?k? '; echo got=$x")],
)
async def test_a_single_key_is_asked_for_as_one(start: Starter, listener: Listener, shell: str, command: str) -> None:
    session = await start(shell)
    await session.prompt(command)
    asked = await listener.until_asked()
    assert asked.kind == "keys"
    await session.answer(asked.request_id, "k")
    assert plain(await listener.turn()).endswith("=k\n")
