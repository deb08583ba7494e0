"""The backend `shell`, with real shells on real terminals: what people and programs do to them."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from agent.adapters.backends.launching import NEW_SHELL
from agent.adapters.backends.pty.hangup import members
from agent.adapters.backends.shell import ShellBackend
from agent.adapters.backends.shell.questions import LOOK_MAX, WENT_ON
from agent.adapters.backends.shell.session import IGNORED, NUL, ShellSession
from agent.adapters.backends.shell.states import NOT_RUN
from agent.errors import BackendFailed, BadParams, TooLarge
from agent.ports import Asked, BackendEvent, Described, Exited, Finished, Prompted, Said, Start, Tail, Withdrew
from agent.protocol.model import SessionId
from tests.fakes.listener import Listener, finished, run, said
from tests.fakes.waiting import until

Starter = Callable[..., Awaitable[ShellSession]]
SHELLS = ("bash", "zsh", "fish")
HALF = ("cat <<EOF", "cat <<EOF\nhello", "cat <<-'E O'\n\tE\n", "echo a; cat <<A <<B\n1\nA\n2", "cat <<A\n)")
"""Here-documents that are not ended."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / ".config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / ".local"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return folder


@pytest.fixture(params=SHELLS)
def name(request: pytest.FixtureRequest) -> str:
    assert shutil.which(request.param), f"{request.param} is not installed: these tests are about it"
    return str(request.param)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
async def start(listener: Listener) -> AsyncIterator[Starter]:
    started: list[ShellSession] = []

    async def make(shell: str, cwd: str = "", restored: bool = False) -> ShellSession:
        wanted = Start(session=SessionId("one"), cwd=cwd, restored=restored, shell=shell)
        backend = await ShellBackend().start(wanted, listener.emit)
        assert isinstance(backend, ShellSession)
        started.append(backend)
        return backend

    yield make
    for backend in started:
        await backend.close()


@pytest.fixture
async def shell(start: Starter, name: str) -> ShellSession:
    return await start(name)


@pytest.fixture
async def bash(start: Starter) -> ShellSession:
    return await start("bash")


def plain(events: list[BackendEvent]) -> str:
    """What was said, without colours."""
    return re.sub(r"\x1b\[[0-9;:]*m", "", said(events))


# --- turns ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [10, 1900, 3900])
async def test_what_the_line_editor_writes_is_neither_text_nor_shown_rows_of_a_command(
    shell: ShellSession, listener: Listener, length: int
) -> None:
    for number in range(5):
        events = await run(shell, listener, f"echo go {number}; : {'y' * length}")
        shown = [event.text for event in events if isinstance(event, Said | Tail)]
        assert "".join(shown).count("yy") == 0
        assert plain(events) == f"go {number}\n"


@pytest.mark.parametrize("left", [r"\033[?1049h\033[Hvim", r"\033[3;6r", r"\033[4h\033(0", r"\033]0;title", r"\033P"])
async def test_a_program_that_leaves_the_screen_as_it_was_takes_no_words_from_the_next_one(
    shell: ShellSession, listener: Listener, left: str
) -> None:  # as one that was killed, or a binary file that was shown
    await run(shell, listener, f"printf '{left}'")
    for _ in range(2):
        assert plain(await run(shell, listener, "seq 30")) == "".join(f"{number}\n" for number in range(1, 31))


async def test_the_shells_of_the_device_are_told_with_their_versions_ones_own_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHELL", str(shutil.which("zsh")))
    backend = ShellBackend()
    assert backend.shells() == ("zsh", "bash", "fish")
    found = await backend.inspect()
    assert (found.missing, re.sub(r"\d[\d.]*", "N", found.detail)) == ("", "zsh N, bash N, fish N")


@pytest.mark.parametrize(
    ("command", "output", "status"),
    [
        ("printf 'no line feed'", "no line feed", 0),
        ("echo one; ls /no/such 2>&1 | wc -l; false", "one\n1\n", 1),
        ("printf '%s\\n' a b 'c  d'", "a\nb\nc  d\n", 0),
        ("echo 'two\nlines'\necho three", "two\nlines\nthree\n", 0),
        ("", "", 0),
        (" \n ", "", 0),
        ("sh -c 'exit 7'", "", 7),
        ("tty | cut -c1-5; printenv TERM PAGER", "/dev/\nxterm-256color\ncat\n", 0),
        ("printf 'a\\rb\\n'", "b\n", 0),
        ("printf '1%%\\r50%%\\r100%%\\n'", "100%\n", 0),
        ("echo 'history! it'\"'\"'s !1 !!'", "history! it's !1 !!\n", 0),
        ("echo 'žluťoučký 漢字 🐎'", "žluťoučký 漢字 🐎\n", 0),
    ],
)
async def test_a_command_gives_its_output_and_status(
    shell: ShellSession, listener: Listener, command: str, output: str, status: int
) -> None:
    events = await run(shell, listener, command)
    assert plain(events) == output
    assert (finished(events).status, finished(events).exit_status) == ("complete", status)


@pytest.mark.parametrize("command", ["echo 'unfinished", "echo (", 'echo "', "echo $("])
async def test_an_unfinished_command_is_an_error_and_no_trap(
    shell: ShellSession, listener: Listener, command: str
) -> None:
    end = finished(await run(shell, listener, command))
    assert end.status == "error" or end.exit_status not in {0, None}
    assert plain(await run(shell, listener, "echo fine")) == "fine\n"


@pytest.mark.parametrize("name", ["bash", "zsh"])  # fish has none
@pytest.mark.parametrize("command", [*HALF, f"cat <<EOF {'x' * 2100}"])
async def test_a_here_document_without_its_end_is_refused_and_nothing_of_it_runs(
    name: str, start: Starter, listener: Listener, command: str
) -> None:
    shell = await start(name)
    events = await run(shell, listener, command)
    assert (said(events), finished(events).error) == ("", NOT_RUN["unfinished"])
    assert plain(await run(shell, listener, "echo fine")) == "fine\n"


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("cat <<EOF\nhello\nEOF", "hello\n"),
        ("cat <<A; cat <<-'B'; echo $((1<<2))\n(1\nA\n\t2)\n\tB\necho 3 # <<C", "(1\n2)\n4\n3\n"),
        ("cat <<<'one\ntwo'", "one\ntwo\n"),
        ("echo $((1<<2))\necho 'x <<EOF'", "4\nx <<EOF\n"),
        ("shopt -s extglob\n", ""),
        ("cat <<EOF; echo !(*)\nhello\nEOF", "hello\n!(*)\n"),
    ],
)
async def test_what_only_looks_like_a_here_document_without_its_end_runs(
    bash: ShellSession, listener: Listener, command: str, output: str, tmp_path: Path
) -> None:
    await run(bash, listener, f"cd {tmp_path}; shopt -s extglob; export BASH_ENV={tmp_path}/none; set -eu")
    events = await run(bash, listener, command)
    assert (plain(events), finished(events).exit_status) == (output, 0)


async def test_fish_itself_says_what_is_wrong_with_the_syntax(start: Starter, listener: Listener) -> None:
    fish = await start("fish")
    for text, told in (
        ("echo a; end", "'end' outside of a block"),
        ("a | | b\n", "Expected a command, but found a pipe"),
    ):
        end = finished(await run(fish, listener, text))
        assert (end.status, end.error) == ("error", f"not run: {told}")
    assert plain(await run(fish, listener, "echo next")) == "next\n"


async def test_what_the_shell_says_about_an_error_in_the_syntax_is_the_reply(
    name: str, start: Starter, listener: Listener
) -> None:
    shell = await start(name)
    events = await run(shell, listener, "echo )")
    end = finished(events)
    assert end.error or ")" in plain(events)
    assert "echo )\n" not in plain(events).partition("error")[0]  # not the echo of the line
    assert end.exit_status != 0


async def test_one_hundred_kilobytes_and_a_thousand_lines_are_one_command(
    shell: ShellSession, listener: Listener
) -> None:
    assert plain(await run(shell, listener, f"echo {'x' * 100_000} | wc -c")).strip() == "100001"
    many = "\n".join(f"echo {number}" for number in range(1000))
    assert plain(await run(shell, listener, many)) == "".join(f"{number}\n" for number in range(1000))


async def test_state_stays_between_commands(bash: ShellSession, listener: Listener) -> None:
    await run(bash, listener, "x='a b'; declare -a list=(1 2); f() { echo f$1; }; alias hi='echo hello'; (exit 5)")
    assert said(await run(bash, listener, 'echo $? "$x" ${list[1]}; f 3')) == "5 a b 2\nf3\n"
    assert said(await run(bash, listener, "hi")) == "hello\n"


async def test_what_a_prompt_declares_is_not_local(bash: ShellSession, listener: Listener) -> None:
    await run(bash, listener, "declare one=1\ndeclare two=2")
    assert said(await run(bash, listener, "echo $one $two")) == "1 2\n"


async def test_the_directory_is_kept_and_told(shell: ShellSession, listener: Listener, tmp_path: Path) -> None:
    odd = tmp_path / "two words; it's\nand a line \\n %41 ž"
    odd.mkdir()
    (tmp_path / "link").symlink_to(odd)
    await run(shell, listener, f"cd {tmp_path}")
    events = await run(shell, listener, "cd ./two*")
    assert Described(cwd=str(odd)) in events
    assert finished(events).cwd == str(odd)
    events = await run(shell, listener, "true")
    assert finished(events).cwd == str(odd)
    assert not [event for event in events if isinstance(event, Described)]  # told once


async def test_where_it_starts_and_what_runs_are_told_before_the_first_turn(
    start: Starter, name: str, listener: Listener, home: Path
) -> None:
    (home / "work").mkdir()
    for cwd, place in (("", home), ("~/work", home / "work"), ("work", home / "work"), (str(home), home)):
        backend = await start(name, cwd)
        described = await listener.next()
        assert isinstance(described, Described)
        assert described.cwd == str(place)
        assert re.fullmatch(rf"{name} \d+\.\d+", described.program or "")
        assert listener.silent()
        assert plain(await run(backend, listener, "pwd")) == f"{place}\n"


async def test_a_restored_session_whose_directory_is_gone_starts_at_home_and_says_so(
    start: Starter, listener: Listener, home: Path
) -> None:
    backend = await start("bash", "/gone/away", restored=True)
    events = await run(backend, listener, "pwd")
    gone = "no such directory: /gone/away: the shell starts in your home directory\n"
    assert said(events) == f"{NEW_SHELL}\n{gone}{home}\n"
    with pytest.raises(BackendFailed, match="/gone/away"):
        await start("bash", "/gone/away")


async def test_a_restored_session_says_on_its_screen_and_in_its_first_turn_that_the_shell_is_a_new_one(
    start: Starter, name: str, listener: Listener, home: Path
) -> None:
    backend = await start(name, str(home), restored=True)
    screen = backend.terminal
    assert screen.read(0, screen.end).decode().startswith(f"-- {NEW_SHELL}\r\n")
    assert plain(await run(backend, listener, "echo one")) == f"{NEW_SHELL}\none\n"
    assert plain(await run(backend, listener, "echo two")) == "two\n"
    assert screen.read(0, screen.end).decode().count(NEW_SHELL) == 1


async def test_a_new_session_says_nothing_of_another_shell(start: Starter, name: str, listener: Listener) -> None:
    backend = await start(name)
    assert plain(await run(backend, listener, "echo one")) == "one\n"
    assert NEW_SHELL not in backend.terminal.read(0, backend.terminal.end).decode()


async def test_a_shell_that_is_not_there_is_named(start: Starter) -> None:
    with pytest.raises(BackendFailed, match="nosuchshell is not installed"):
        await start("nosuchshell")


async def test_all_output_is_there_when_the_turn_ends(shell: ShellSession, listener: Listener) -> None:
    for number in range(50):
        assert plain(await run(shell, listener, f"seq {number} {number + 50} | tail -1")) == f"{number + 50}\n"


async def test_output_cut_within_characters_is_put_together(bash: ShellSession, listener: Listener) -> None:
    events = await run(bash, listener, r"for b in '\342' '\202' '\254'; do printf $b; sleep 0.02; done; printf '\377'")
    assert said(events) == "€\ufffd"


async def test_what_does_not_change_any_more_is_told_while_the_command_runs(
    shell: ShellSession, listener: Listener
) -> None:
    await shell.prompt("echo first; sleep 600")
    assert await listener.until_said("first\n") == "first\n"
    await shell.interrupt()
    await listener.turn()


async def test_ten_megabytes_arrive_whole_while_the_loop_runs_on(bash: ShellSession, listener: Listener) -> None:
    async def count() -> tuple[int, int]:
        size = longest = 0
        while not isinstance(event := await listener.next(), Finished):
            if isinstance(event, Said):
                size, longest = size + len(event.text), max(longest, len(event.text))
        return size, longest

    await bash.prompt("yes 0123456789abcde | head -c 10000000")
    assert await count() == (10_000_000, 16_384)


async def test_a_long_command_is_looked_at_rarely(bash: ShellSession, listener: Listener) -> None:
    await bash.prompt("echo go; sleep 600")
    await listener.until_said("go\n")
    await until(lambda: bash._next_look() == LOOK_MAX)
    await bash.interrupt()
    await listener.turn()


# --- people who type --------------------------------------------------------------------------------------------------


async def test_a_line_that_a_person_types_is_a_turn_of_the_same_session(
    shell: ShellSession, listener: Listener
) -> None:
    await run(shell, listener, "true")
    await shell.terminal.write(b"echo 'by hand'\r")
    assert await listener.next() == Prompted(text="echo 'by hand'", typed=True)
    events = await listener.turn()
    assert plain(events) == "by hand\n"
    assert (finished(events).status, finished(events).exit_status) == ("complete", 0)
    assert plain(await run(shell, listener, "echo prompt")) == "prompt\n"


async def test_half_a_line_survives_a_prompt(shell: ShellSession, listener: Listener) -> None:
    await run(shell, listener, "true")
    await shell.terminal.write(b"echo half")
    await until(lambda: b"half" in shell.terminal.read(shell.terminal.begin, 100_000))
    assert plain(await run(shell, listener, "echo prompt")) == "prompt\n"
    await until(lambda: b"half" in shell.terminal.read(0, 100_000).rpartition(b"prompt\r\n")[2])  # on the new prompt
    await shell.terminal.write(b" a line\r")
    prompted = await listener.next()
    assert prompted == Prompted(text="echo half a line", typed=True)
    assert plain(await listener.turn()) == "half a line\n"


async def test_viewers_see_no_marks(shell: ShellSession, listener: Listener) -> None:
    await run(shell, listener, "echo hi")
    shown = shell.terminal.read(shell.terminal.begin, 1_000_000)
    assert b"hi\r\n" in shown
    assert b"7717" not in shown


# --- questions --------------------------------------------------------------------------------------------------------


async def test_a_line_is_asked_for_and_answered(bash: ShellSession, listener: Listener) -> None:
    await bash.prompt("read -p 'Name? ' n; read m; echo $n-$m")
    for prompt, word in (("Name? ", "Ada"), ("", "Lovelace")):
        asked = await listener.until_asked()
        assert (asked.kind, asked.prompt.strip()) == ("line", prompt.strip())
        await bash.answer(asked.request_id, word)
    assert said(await listener.turn()).endswith("Ada-Lovelace\n")


async def test_a_secret_is_asked_for_and_never_shown(shell: ShellSession, listener: Listener) -> None:
    await shell.prompt("python3 -c 'import getpass; print(len(getpass.getpass()))'")
    asked = await listener.until_asked()
    assert (asked.kind, asked.prompt) == ("secret", "Password: ")
    await shell.answer(asked.request_id, "hunter2")
    assert plain(await listener.turn()).endswith("\n7\n")
    assert b"hunter2" not in shell.terminal.read(shell.terminal.begin, 1_000_000)


@pytest.mark.parametrize(
    "case",
    [
        ("python3 -c 'print(input(\"q: \") * 2)'", "line", "ab", "abab\n"),
        ("cat | tr a b", "line", "aa\n\x04", "bb\n"),
        (
            "python3 -c 'import sys, tty; tty.setraw(0); print(sys.stdin.read(1) * 2); tty.setcbreak(0)'; stty sane",
            "keys",
            "k",
            "kk\n",
        ),
    ],
)
async def test_programs_that_wait_are_noticed(
    shell: ShellSession, listener: Listener, case: tuple[str, str, str, str]
) -> None:
    command, kind, answer, output = case
    await shell.prompt(command)
    asked = await listener.until_asked()
    assert asked.kind == kind
    await shell.answer(asked.request_id, answer)
    assert plain(await listener.turn()).endswith(output)


@pytest.mark.parametrize("command", ["sleep 0.5", "sleep 0.5 | cat", "printf half; sleep 0.5"])
async def test_a_program_that_does_not_wait_asks_nothing(shell: ShellSession, listener: Listener, command: str) -> None:
    assert not [event for event in await run(shell, listener, command) if isinstance(event, Asked)]


async def test_a_program_that_stops_waiting_withdraws_its_question(
    bash: ShellSession, listener: Listener, home: Path
) -> None:
    await bash.prompt("sh -c 'echo $$ > pid; exec cat'; until [ -e go ]; do sleep 0.02; done; echo done")
    asked = await listener.until_asked()
    os.kill(int((home / "pid").read_text()), signal.SIGTERM)
    while (event := await listener.next()) != Withdrew(asked.request_id, WENT_ON):
        assert not isinstance(event, Finished), event
    (home / "go").touch()
    assert said(await listener.turn()).endswith("done\n")


async def test_an_answer_that_a_terminal_cannot_take_is_refused(bash: ShellSession, listener: Listener) -> None:
    await bash.prompt("read x; echo ${#x}")
    asked = await listener.until_asked()
    with pytest.raises(TooLarge, match="4,000 bytes"):
        await bash.answer(asked.request_id, "x" * 5000)
    with pytest.raises(BadParams):
        await bash.answer(asked.request_id, {"a": 1})
    await bash.answer(asked.request_id, "x" * 3999)
    assert said(await listener.turn()).endswith("3999\n")


async def test_what_was_answered_and_not_read_is_no_command(bash: ShellSession, listener: Listener) -> None:
    await bash.prompt("read x")
    asked = await listener.until_asked()
    await bash.answer(asked.request_id, "one\ntouch danger\ntouch danger\n")
    await listener.turn()
    assert said(await run(bash, listener, "sleep 0.2; ls")) == ""


async def test_a_program_on_the_whole_screen_is_named_and_asks_nothing(
    shell: ShellSession, listener: Listener, home: Path
) -> None:
    (home / "notes").write_text("text\n" * 100)
    await shell.prompt("less notes")
    told: BackendEvent = Described()
    while not isinstance(told, Described) or not told.screen:
        told = await listener.next()
        assert not isinstance(told, Asked)
    assert told.screen == "less"
    await shell.terminal.write(b"q")
    events = await listener.turn()
    assert not [event for event in events if isinstance(event, Asked)]
    assert plain(events).strip() == ""


# --- interrupts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "echo go; sleep 600",
        "echo go; cat",
        "echo go; sleep 600 | cat",
        # It says itself that it is ready: a Python that is still starting ends with status 1.
        "python3 -c 'print(\"go\", flush=True)\nwhile True: pass'",
        "python3 -c 'print(\"go\", flush=True); input()'",
    ],
)
async def test_an_interrupt_stops_anything_and_keeps_the_shell(
    shell: ShellSession, listener: Listener, command: str
) -> None:
    await run(shell, listener, "export kept=kept")
    await shell.prompt(command)
    await listener.until_said("go\n")
    await shell.interrupt()
    events = await listener.turn()
    assert (finished(events).status, finished(events).exit_status) == ("interrupted", 130)
    assert plain(await run(shell, listener, "echo $kept")) == "kept\n"


@pytest.mark.parametrize(
    "command",
    [
        "echo go; while :; do :; done",
        "echo go; x=$(sleep 600); echo no",
        "echo go; sleep 600 & wait",
        "echo go; for i in 1 2 3; do sleep 600; done",
        "echo go; read x",
    ],
)
async def test_an_interrupt_stops_what_bash_does_itself(bash: ShellSession, listener: Listener, command: str) -> None:
    await bash.prompt(command)
    await listener.until_said("go\n")
    await bash.interrupt()
    events = await listener.turn()
    assert (finished(events).status, finished(events).exit_status) == ("interrupted", 130)
    assert "no" not in said(events)
    assert said(await run(bash, listener, "echo next")) == "next\n"


@pytest.mark.parametrize("status", [0, 3])
async def test_what_a_shell_that_ignores_interrupts_did_wholly_is_no_interrupted_command(
    bash: ShellSession, listener: Listener, home: Path, status: int
) -> None:
    await bash.prompt(f"trap '' INT; echo go; until [ -e stop ]; do :; done; echo whole; (exit {status})")
    await listener.until_said("go\n")
    await bash.interrupt()
    while (event := await listener.next()) != Described(note=IGNORED):
        assert not isinstance(event, Finished), event
    await until(lambda: b"^C" in bash.terminal.read(bash.terminal.begin, 100_000))  # until then output may be dropped
    (home / "stop").touch()
    events = await listener.turn()
    assert said(events).endswith("whole\n")
    assert (finished(events).status, finished(events).exit_status) == ("complete", status)
    await run(bash, listener, "trap - INT")
    await bash.prompt("echo go; sleep 600")
    await listener.until_said("go\n")
    await bash.interrupt()
    assert finished(await listener.turn()).status == "interrupted"


IGNORES = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("go", flush=True)
while not os.path.exists("stop"):
    time.sleep(0.02)
sys.exit(3)
"""


async def test_a_program_that_ignores_an_interrupt_and_ends_by_itself_is_done(
    shell: ShellSession, listener: Listener, home: Path
) -> None:
    (home / "ignores.py").write_text(IGNORES)
    await shell.prompt("python3 ignores.py")
    await listener.until_said("go\n")
    await shell.interrupt()
    (home / "stop").touch()
    end = finished(await listener.turn())
    assert (end.status, end.exit_status) == ("complete", 3)


async def test_an_interrupt_at_any_moment_runs_no_half_command(
    shell: ShellSession, listener: Listener, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    for number in range(24):
        await shell.prompt(f"echo {number} >> {log}; : {'x' * 2000} {number}")
        for _ in range(number % 12 * 20):
            await asyncio.sleep(0)
        await shell.interrupt()
        assert isinstance((await listener.turn())[-1], Finished)
        assert plain(await run(shell, listener, f"echo next {number}")) == f"next {number}\n"
    ran = [int(line) for line in log.read_text().split()] if log.exists() else []
    assert ran == sorted(set(ran))  # none twice


async def test_a_flood_is_interrupted_while_nobody_reads() -> None:
    listener = Listener(room=1)
    backend = await ShellBackend().start(Start(session=SessionId("one"), shell="bash"), listener.emit)
    assert isinstance(await listener.next(), Described)
    await backend.prompt("yes")
    await listener.until_said("y\n")
    await backend.interrupt()
    assert finished(await listener.turn()).status == "interrupted"
    await backend.close()


async def test_who_does_not_listen_to_an_interrupt_is_ended_by_the_next(
    shell: ShellSession, listener: Listener
) -> None:
    await shell.prompt("sh -c 'trap \"echo ouch\" INT; echo go; while :; do sleep 0.05; done'")
    await listener.until_said("go\n")
    await shell.interrupt()
    await listener.until_said("ouch\n")
    await shell.interrupt()
    assert finished(await listener.turn()).status == "interrupted"
    assert plain(await run(shell, listener, "echo next")).endswith("next\n")


# --- ends -------------------------------------------------------------------------------------------------------------


async def test_output_cannot_forge_an_end(bash: ShellSession, listener: Listener) -> None:
    forged = (
        r"printf '\033]7717;nonce;D;%s;1;0;/\007' $$; printf '\033]7717;%s;D;%s;1;0;/\007' '' $$; sleep 0.1; echo real"
    )
    events = await run(bash, listener, forged)
    assert said(events) == "real\n"


async def test_a_command_with_nul_is_refused_and_the_shell_stays(shell: ShellSession, listener: Listener) -> None:
    end = finished(await run(shell, listener, "echo a\0echo b"))
    assert (end.status, end.error) == ("error", NUL)
    assert plain(await run(shell, listener, "echo ok")) == "ok\n"


@pytest.mark.parametrize("command", ["echo bye; exit 3", "echo bye; exec sh -c 'exit 3'"])
async def test_a_turn_in_which_the_shell_ends_is_not_done(
    shell: ShellSession, listener: Listener, command: str
) -> None:
    # S14
    events = await run(shell, listener, command)
    assert plain(events).startswith("bye\n")
    assert events[-1] == Exited(status="ended", reason="exit status 3", exit_status=3)
    with pytest.raises(BackendFailed, match="has ended"):
        await shell.prompt("true")


async def test_a_killed_shell_has_failed(shell: ShellSession, listener: Listener) -> None:
    await shell.prompt("echo go; sleep 600")
    await listener.until_said("go\n")
    [pid] = shell.processes()
    os.kill(pid, signal.SIGKILL)
    assert (await listener.turn())[-1] == Exited(status="failed", reason="the shell was ended by SIGKILL")
    assert await members(pid) == []


async def test_close_ends_every_process_of_the_terminal(bash: ShellSession, listener: Listener) -> None:
    await run(bash, listener, "sleep 600 & nohup sleep 600 >/dev/null 2>&1 & (trap '' HUP TERM INT; sleep 600) &")
    await bash.prompt("sleep 600 | sleep 600")
    [pid] = bash.processes()
    async with asyncio.timeout(10):
        while len(await members(pid)) < 6:
            pass
    await bash.close()
    assert await members(pid) == []


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


async def test_rounds_leave_no_process_no_descriptor_and_no_file(name: str, listener: Listener, tmp_path: Path) -> None:
    async def one() -> int:
        backend = await ShellBackend().start(Start(session=SessionId("one"), shell=name), listener.emit)
        assert isinstance(backend, ShellSession)
        [pid] = backend.processes()
        await run(backend, listener, "sleep 600 &")
        await backend.close()
        return pid

    await one()
    gc.collect()
    before = descriptors()
    pids = [await one() for _ in range(8)]
    gc.collect()
    assert descriptors() == before
    assert [await members(pid) for pid in pids] == [[]] * 8
    assert not [name for name in os.listdir(tmp_path) if name.startswith("lan-agent")]  # noqa: PTH208 - no wait to speak of


def test_it_names_the_shells_that_there_are_the_users_own_first(monkeypatch: pytest.MonkeyPatch) -> None:
    zsh = shutil.which("zsh")
    assert zsh
    monkeypatch.setenv("SHELL", zsh)
    assert ShellBackend().shells() == ("zsh", "bash", "fish")
