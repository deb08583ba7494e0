"""The backend `commands`, with the real bash: what people and programs do to a terminal."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from agent.adapters.backends.commands import CommandsBackend
from agent.adapters.backends.commands.driver import CommandEnded, CommandStarted, ReportReader, ShellReady
from agent.adapters.backends.commands.session import BACKGROUND_MAX, WENT_ON, Background, CommandsSession
from agent.adapters.backends.pty.hangup import members
from agent.errors import BackendFailed, BadParams, TooLarge
from agent.ports import Asked, Described, Exited, Finished, Said, Start, Withdrew
from agent.processes import find_process
from agent.protocol.model import SessionId
from tests.fakes.listener import Listener, finished, run, said
from tests.fakes.waiting import until

Starter = Callable[..., Awaitable[CommandsSession]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
async def start(listener: Listener) -> AsyncIterator[Starter]:
    started: list[CommandsSession] = []

    async def make(cwd: str = "", restored: bool = False) -> CommandsSession:
        wanted = Start(session=SessionId("one"), cwd=cwd, restored=restored)
        backend = await CommandsBackend().start(wanted, listener.emit)
        assert isinstance(backend, CommandsSession)
        started.append(backend)
        return backend

    yield make
    for backend in started:
        await backend.close()


@pytest.fixture
async def shell(start: Starter) -> CommandsSession:
    return await start()


@pytest.mark.parametrize(
    ("command", "output", "status"),
    [
        ("printf 'no line feed'", "no line feed", 0),
        ("echo one; echo two >&2; false", "one\ntwo\n", 1),
        ("cat <<E\n$((6*7))\nE\n", "42\n", 0),
        ("for i in 1 2; do\n  echo $i\ndone", "1\n2\n", 0),
        ("", "", 0),
        ("# only a remark", "", 0),
        ("(exit 7)", "", 7),
        ("tty | cut -c1-5; echo $TERM $PAGER", "/dev/\ndumb cat\n", 0),
        ("printf 'a\\r\\nb\\033[1m\\007'", "a\r\nb\x1b[1m\x07", 0),
        ("ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 ", 0),
        ("env | grep -c ^LAN_AGENT_SHELL", "0\n", 1),
        ("history | wc -l", "0\n", 0),
    ],
)
async def test_a_command_gives_its_output_and_status(
    shell: CommandsSession, listener: Listener, command: str, output: str, status: int
) -> None:
    events = await run(shell, listener, command)
    assert said(events) == output
    assert (finished(events).status, finished(events).exit_status) == ("complete", status)


@pytest.mark.parametrize("command", ["echo 'unfinished", "echo $(", "if true", 'echo "'])
async def test_an_unfinished_command_is_an_error_and_no_trap(
    shell: CommandsSession, listener: Listener, command: str
) -> None:
    assert finished(await run(shell, listener, command)).exit_status in {1, 2}
    assert said(await run(shell, listener, "echo fine")) == "fine\n"


@pytest.mark.parametrize(
    "command",
    [
        "break 9",
        "continue 9",
        "return 1",
        "set -u",
        "IFS=x",
        "PROMPT_COMMAND=",
        "alias read=false",
        "shift 9",
        "set -o posix; shopt -s xpg_echo",
    ],
)
async def test_no_command_breaks_the_loop_that_runs_it(
    shell: CommandsSession, listener: Listener, command: str
) -> None:
    await run(shell, listener, command)
    for word in ("one", "two"):
        assert said(await run(shell, listener, f"echo {word}")).endswith(f"{word}\n")


async def test_state_stays_between_commands(shell: CommandsSession, listener: Listener) -> None:
    await run(shell, listener, "x='a b'; declare -a list=(1 2); f() { echo f$1; }; alias hi='echo hello'; (exit 5)")
    assert said(await run(shell, listener, 'echo $? "$x" ${list[1]}; f 3')) == "5 a b 2\nf3\n"
    assert said(await run(shell, listener, "hi")) == "hello\n"


async def test_the_directory_is_kept_and_told(shell: CommandsSession, listener: Listener, tmp_path: Path) -> None:
    odd = tmp_path / "two words\nand a line \\n \\\\0"
    odd.mkdir()
    events = await run(shell, listener, f"cd '{odd}'")
    assert Described(cwd=str(odd)) in events
    assert finished(events).cwd == str(odd)
    events = await run(shell, listener, "true")
    assert finished(events).cwd == str(odd)
    assert Described(cwd=str(odd)) not in events  # told once


async def test_it_starts_at_home_or_where_it_is_told(start: Starter, listener: Listener, home: Path) -> None:
    (home / "work").mkdir()
    for cwd, place in (("", home), ("~/work", home / "work"), ("work", home / "work"), (str(home), home)):
        events = await run(await start(cwd), listener, "pwd")
        assert said(events) == f"{place}\n"


async def test_where_it_starts_is_told_before_the_first_turn_and_not_again(
    start: Starter, listener: Listener, home: Path
) -> None:
    (home / "work").mkdir()
    (home / "link").symlink_to("work")
    for cwd, place in (("", home), ("link", home / "work")):
        backend = await start(cwd)
        assert not listener.silent()
        told = await listener.next()
        assert isinstance(told, Described)
        assert told.cwd == str(place)
        assert re.fullmatch(r"bash \d+\.\d+", told.program or "")
        assert listener.silent()
        events = await run(backend, listener, "pwd")
        assert said(events) == f"{place}\n"
        assert not [event for event in events if isinstance(event, Described)]


async def test_a_restored_session_whose_directory_is_gone_starts_at_home_and_says_so(
    start: Starter, listener: Listener, home: Path
) -> None:
    backend = await start("/gone/away", restored=True)
    events = await run(backend, listener, "pwd")
    assert said(events) == f"no such directory: /gone/away: the shell starts in your home directory\n{home}\n"
    assert [event.cwd for event in events if isinstance(event, Described)] == [str(home)]
    with pytest.raises(BackendFailed, match="/gone/away"):
        await start("/gone/away")


async def test_a_users_start_up_file_is_read_and_its_noise_dropped(
    start: Starter, listener: Listener, home: Path
) -> None:
    home.joinpath(".bashrc").write_text(
        "echo noise; alias hi='echo hello'; cd /; PS1='$ '; PROMPT_COMMAND='echo prompt'; TMOUT=1\n"
        "trap 'echo debug' DEBUG\n"
    )
    backend = await start()
    assert said(await run(backend, listener, "hi")) == "hello\n"
    assert said(await run(backend, listener, "pwd")) == f"{home}\n"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("exec sh", "it starts another program (sh)"),
        ("exec bash --norc", "it starts another program (bash)"),
        ("exec true", "it ends the shell"),
        ("exit 3", "it ends the shell"),
        ("ulimit -n 12", "fewer than 20 files may be open in it (ulimit -n)"),
        ("read -p 'name? ' name", "it asks “name?”"),
        ("read", "it waits for somebody to type"),
    ],
)
async def test_a_start_up_file_that_gives_no_prompt_is_left_out_and_the_first_reply_says_why(
    start: Starter, listener: Listener, home: Path, lines: str, reason: str
) -> None:
    home.joinpath(".bashrc").write_text(f"{lines}\n")
    shell = await start()
    events = await run(shell, listener, "echo fine")
    assert said(events) == f"~/.bashrc is left out: {reason}\nfine\n"
    (program,) = [event.program for event in events if isinstance(event, Described)]
    assert (program or "").endswith(f", without ~/.bashrc: {reason}")
    assert said(await run(shell, listener, "echo fine")) == "fine\n"


async def test_so_is_one_that_never_ends(
    start: Starter, listener: Listener, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.adapters.backends.commands.START_SECONDS", 0.5)
    home.joinpath(".bashrc").write_text("while :; do sleep 1; done\n")
    told = "~/.bashrc is left out: it did not come to its end within 0.5 s\n"
    assert said(await run(await start(), listener, "echo fine")) == f"{told}fine\n"


@pytest.mark.parametrize(
    "line",
    [
        "exec >/dev/null",
        "exec </dev/null 2>/dev/null",
        "exec > >(cat > log) 2>&1",
        "stty sane",
        "enable -n echo read eval trap",
        "readonly PROMPT_COMMAND='echo theirs'",
        "PROMPT_COMMAND=(a b)",
        "trap 'echo D' DEBUG; set -eETu",
        "IFS=1; PS1='$ '",
        "echo() { false; }; read() { :; }; alias eval=false",
    ],
)
async def test_a_start_up_file_for_people_is_read_and_spoils_no_reply(
    start: Starter, listener: Listener, home: Path, line: str
) -> None:
    home.joinpath(".bashrc").write_text(f"mark=yes\n{line}\n")
    shell = await start()
    for word in ("one", "two"):
        events = await run(shell, listener, f"printf '%s\\n' $mark {word}; tty; read -t 0 || :")
        assert said(events) == f"yes\n{word}\n{shell._terminal.name}\n"
        assert finished(events).exit_status == 0
        await shell.prompt("printf go; sleep 600")
        await listener.until_said("go")
        await shell.interrupt()
        assert finished(await listener.turn()).status == "interrupted"
        if "set -e" in line:
            return  # the interrupt is a failure, at which it ends


@pytest.mark.parametrize(
    ("line", "output"),
    [("set -x", "+++ echo hi\nhi\n"), ("set -v", "echo hi\nhi\n"), ("trap 'echo E' ERR", "hi\n"), ("set -a", "hi\n")],
)
async def test_a_start_up_file_that_traces_shows_nothing_of_the_driver(
    start: Starter, listener: Listener, home: Path, line: str, output: str
) -> None:
    home.joinpath(".bashrc").write_text(f"{line}\n")
    shell = await start()
    for _ in range(2):
        assert said(await run(shell, listener, "echo hi")) == output


@pytest.mark.parametrize("line", ["readonly TMOUT=1; export TMOUT", "TMOUT=1", "readonly IFS=:"])
async def test_a_start_up_file_for_idle_people_cuts_no_command(
    start: Starter, listener: Listener, home: Path, line: str
) -> None:
    home.joinpath(".bashrc").write_text(f"{line}\n")
    shell = await start()
    for _ in range(2):
        events = await run(shell, listener, "for i in 1 2 3 4; do echo tick $i; sleep 0.4; done; cd /; printf 'a  '")
        assert said(events) == "tick 1\ntick 2\ntick 3\ntick 4\na  "
        assert events[-1] == Finished(status="complete", exit_status=0, cwd="/")


async def test_an_alarm_for_idle_people_in_the_services_environment_cuts_no_command(
    start: Starter, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMOUT", "1")
    assert said(await run(await start(), listener, "sleep 1.5; echo whole")) == "whole\n"


@pytest.mark.parametrize(
    ("before", "command", "output"),
    [
        ("set -x", "echo hi", "+++ echo hi\nhi\n"),
        ("set -v", "echo hi", "echo hi\nhi\n"),
        ("trap 'echo D' DEBUG", "echo hi; echo ho", "D\nhi\nD\nho\n"),
        ("set -T; trap 'echo D' DEBUG", "echo hi", "D\nhi\n"),
        ("trap 'echo E' ERR", "false; echo $?; false", "E\n1\nE\n"),
        ("trap 'echo E' ERR", "true", ""),
        ("trap 'echo \"it is\n\"' DEBUG; set -x; set +x; trap - DEBUG", "echo $-", "himBHs\n"),
        ("trap 'echo D' DEBUG", "trap -p", "D\ntrap -- 'echo D' DEBUG\n"),
        ("(exit 3)", "echo $?", "3\n"),
    ],
)
async def test_what_is_to_happen_at_each_command_happens_at_those_of_the_user_only(
    shell: CommandsSession, listener: Listener, before: str, command: str, output: str
) -> None:
    await run(shell, listener, before)
    for _ in range(2):
        assert said(await run(shell, listener, command)) == output
        if before == "(exit 3)":
            return


async def test_exported_variables_are_those_of_the_user_only(shell: CommandsSession, listener: Listener) -> None:
    await run(shell, listener, "set -a")
    for _ in range(2):
        events = await run(shell, listener, f"x=5; env | grep -E '^(x|__agent)'; : {'y' * 200_000}")
        assert said(events) == "x=5\n"


async def test_the_table_of_jobs_holds_what_runs(shell: CommandsSession, listener: Listener) -> None:
    await run(shell, listener, "sleep 600 & true; (exit 7) & ended=$!; wait $ended; sleep 0; ls / | cat > /dev/null")
    assert said(await run(shell, listener, "jobs")) == "[1]+  Running                 sleep 600 &\n"
    assert said(await run(shell, listener, "wait $ended; echo $?")) == "7\n"
    assert said(await run(shell, listener, "sleep 601 & jobs %2")).endswith("sleep 601 &\n")
    assert finished(await run(shell, listener, "kill %1; wait %1")).exit_status == 128 + signal.SIGTERM


async def test_what_the_driver_did_last_is_no_last_argument(shell: CommandsSession, listener: Listener) -> None:
    assert said(await run(shell, listener, "echo $_")) == "\n"


async def test_what_the_environment_tells_of_another_terminal_is_not_handed_on(
    start: Starter, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TMUX", "SSH_TTY", "NOTIFY_SOCKET", "COLORTERM"):
        monkeypatch.setenv(name, "other")
    assert said(await run(await start(), listener, "echo $TMUX $SSH_TTY $NOTIFY_SOCKET $COLORTERM")) == "\n"


@pytest.mark.parametrize(
    "command",
    [
        "PROMPT_COMMAND='echo theirs'; PS1='$ '",
        "PROMPT_COMMAND=; PS1=",
        "readonly PROMPT_COMMAND='echo theirs'",
        "unset PROMPT_COMMAND; PROMPT_COMMAND=(a b)",
    ],
)
async def test_a_command_that_brings_a_prompt_of_its_own_can_be_interrupted(
    shell: CommandsSession, listener: Listener, command: str
) -> None:
    for number in range(3):
        await shell.prompt(f"{command}; echo go; sleep 600" if not number else "echo go; sleep 600")
        await listener.until_said("go\n")
        await shell.interrupt()
        assert finished(await listener.turn()).exit_status == 130
        assert said(await run(shell, listener, f"echo {number}; read -t 0.05 x; echo $x")) == f"{number}\n\n"


async def test_a_read_only_prompt_command_keeps_no_loop_from_being_broken(
    shell: CommandsSession, listener: Listener
) -> None:
    await run(shell, listener, "readonly PROMPT_COMMAND='echo theirs'")
    await run(shell, listener, "break 9")
    assert said(await run(shell, listener, "echo fine")) == "fine\n"


async def test_a_shell_that_was_stopped_goes_on_when_it_is_interrupted(
    shell: CommandsSession, listener: Listener
) -> None:
    await shell.prompt("echo go; suspend -f; echo on")
    await listener.until_said("go\n")
    await until(lambda: (row := find_process(pid_of(shell))) is not None and row.state == "T")
    await shell.interrupt()
    assert finished(await listener.turn()).status == "interrupted"
    assert said(await run(shell, listener, "echo fine")) == "fine\n"


async def test_a_shell_that_can_have_no_more_commands_says_why_and_fails(
    shell: CommandsSession, listener: Listener
) -> None:  # S14
    events = await run(shell, listener, "ulimit -n 8")
    assert "too few files allowed to be open (ulimit -n)" in said(events)
    assert events[-1] == Exited(status="ended", reason="exit status 1", exit_status=1)


async def test_an_interrupt_leaves_the_users_traps_and_traces_as_they_are(
    shell: CommandsSession, listener: Listener
) -> None:
    await run(shell, listener, "trap 'echo D' DEBUG; set -x")
    for _ in range(20):
        await shell.prompt("sleep 30")
        await listener.next()  # the trap or the trace of it: it runs
        await shell.interrupt()
        await listener.turn()
        await shell.interrupt()  # one that comes too late throws bash to the top of the driver, whatever it was doing
        assert said(await run(shell, listener, "echo hi")) == "++++ echo D\nD\n+++ echo hi\nhi\n"


async def test_no_terminal_left_is_told_with_a_remedy(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> tuple[int, int]:
        raise OSError("out of pty devices")

    monkeypatch.setattr("pty.openpty", none_left)
    with pytest.raises(BackendFailed, match="all terminals of that device are in use") as refused:
        await start()
    assert "kernel.pty.max" in refused.value.hint


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EMFILE, "too many files are open"),
        (errno.EAGAIN, "no more processes may run"),
        (errno.ENOMEM, "no memory is left"),
        (errno.EINVAL, "too few files may be open"),
        (errno.EACCES, "Permission denied"),
    ],
)
async def test_what_the_system_refuses_is_told_in_words(
    start: Starter, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("asyncio.create_subprocess_exec", refuse)
    with pytest.raises(BackendFailed, match=f"bash could not be started: {reason}"):
        await start()


async def test_twenty_megabytes_arrive_whole_while_the_loop_runs_on(shell: CommandsSession, listener: Listener) -> None:
    async def count() -> tuple[int, int]:
        size = longest = 0
        while not isinstance(event := await listener.next(), Finished):
            if isinstance(event, Said):
                size, longest = size + len(event.text), max(longest, len(event.text))
        return size, longest

    loop, stalls = asyncio.get_running_loop(), []

    async def watch() -> None:
        while True:
            before = loop.time()
            await asyncio.sleep(0)
            stalls.append(loop.time() - before)

    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch())
        await shell.prompt("yes 0123456789abcde | head -c 20000000")
        size, longest = await count()
        watching.cancel()
    assert size == 20_000_000
    assert longest <= 16_384
    assert sorted(stalls)[int(len(stalls) * 0.99)] < 0.1


async def test_output_cut_within_characters_is_put_together(shell: CommandsSession, listener: Listener) -> None:
    events = await run(shell, listener, r"for b in '\342' '\202' '\254'; do printf $b; sleep 0.02; done; printf '\377'")
    assert said(events) == "€\ufffd"


async def test_all_output_is_there_when_the_turn_ends(shell: CommandsSession, listener: Listener) -> None:
    for number in range(200):
        assert said(await run(shell, listener, f"seq {number} {number + 50} | tail -1")) == f"{number + 50}\n"


async def test_a_line_is_asked_for_and_answered(shell: CommandsSession, listener: Listener) -> None:
    await shell.prompt("read -p 'Name? ' n; read m; echo $n-$m")
    for prompt, word in (("Name? ", "Ada"), ("", "Lovelace")):
        asked = await listener.until_asked()
        assert (asked.kind, asked.prompt) == ("line", prompt)
        await shell.answer(asked.request_id, word)
    assert said(await listener.turn()).endswith("Ada-Lovelace\n")


async def test_a_secret_is_asked_for_and_never_shown(shell: CommandsSession, listener: Listener) -> None:
    await shell.prompt("read -s -p 'Password: ' p; echo; echo ${#p}")
    asked = await listener.until_asked()
    assert (asked.kind, asked.prompt) == ("secret", "Password: ")
    await shell.answer(asked.request_id, "hunter2")
    assert said(await listener.turn()) == "\n7\n"


async def test_a_secret_that_comes_too_late_is_not_typed_where_it_would_show(
    shell: CommandsSession, listener: Listener, home: Path
) -> None:
    await shell.prompt("stty -echo; until [ -e go ]; do sleep 0.02; done; stty echo; cat")
    asked = await listener.until_asked()
    assert asked.kind == "secret"
    (home / "go").touch()
    await until(lambda: shell._terminal.mode() == "lines")
    await shell.answer(asked.request_id, "hunter2")
    asked = await listener.until_asked()
    await shell.answer(asked.request_id, "\x04")
    events = await listener.turn()
    assert "hunter2" not in said(events)


def pid_of(shell: CommandsSession) -> int:
    return shell._process.pid


@pytest.mark.parametrize(
    "case",
    [
        ("python3 -c 'print(input(\"q: \") * 2)'", "line", "ab", "abab\n"),
        ("python3 -c 'import getpass; print(len(getpass.getpass()))'", "secret", "12345", "\n5\n"),
        ("read -e -p '> ' x; echo =$x", "keys", "ab\n", "=ab\n"),
        ("cat | tr a b", "line", "aa\n\x04", "bb\n"),
    ],
)
async def test_programs_that_wait_are_noticed(
    shell: CommandsSession, listener: Listener, case: tuple[str, str, str, str]
) -> None:
    command, kind, answer, output = case
    await shell.prompt(command)
    asked = await listener.until_asked()
    assert asked.kind == kind
    await shell.answer(asked.request_id, answer)
    assert said(await listener.turn()).endswith(output)


async def test_a_full_screen_program_asks_what_stands_before_its_cursor(
    shell: CommandsSession, listener: Listener
) -> None:
    # An editor draws its lines and ends where one types: neither they nor half a sequence is a question.
    drawn = r"\e[?1049h\e[1;1Htext" + r"\e[2;1H~" * 200
    await shell.prompt(f"stty raw; printf '{drawn}\\e[9;1H: '; head -c 1 > /dev/null; stty sane")
    asked = await listener.until_asked()
    assert (asked.kind, asked.prompt) == ("keys", ": ")
    await shell.answer(asked.request_id, "q")
    await listener.turn()


@pytest.mark.parametrize("command", ["sleep 0.5", "sleep 0.5 | cat", "printf half; sleep 0.5", "sleep 0.5 & wait"])
async def test_a_program_that_does_not_wait_asks_nothing(
    shell: CommandsSession, listener: Listener, command: str
) -> None:
    assert not [event for event in await run(shell, listener, command) if isinstance(event, Asked)]


async def test_a_program_that_stops_waiting_withdraws_its_question(
    shell: CommandsSession, listener: Listener, home: Path
) -> None:
    await shell.prompt("sh -c 'echo $$ > pid; exec cat'; until [ -e go ]; do sleep 0.02; done; echo done")
    asked = await listener.until_asked()
    os.kill(int((home / "pid").read_text()), signal.SIGTERM)
    while (event := await listener.next()) != Withdrew(asked.request_id, WENT_ON):
        assert not isinstance(event, Finished), event
    (home / "go").touch()
    assert said(await listener.turn()).endswith("done\n")


async def test_an_answer_that_a_terminal_cannot_take_is_refused(shell: CommandsSession, listener: Listener) -> None:
    await shell.prompt("read x; echo ${#x}")
    asked = await listener.until_asked()
    with pytest.raises(TooLarge, match="4,000 bytes"):
        await shell.answer(asked.request_id, "x" * 5000)
    with pytest.raises(BadParams):
        await shell.answer(asked.request_id, {"a": 1})
    await shell.answer(asked.request_id, "x" * 3999)
    assert said(await listener.turn()).endswith("3999\n")


async def test_what_was_typed_and_not_read_is_not_for_the_next_command(
    shell: CommandsSession, listener: Listener
) -> None:
    await shell.prompt("read x")
    asked = await listener.until_asked()
    await shell.answer(asked.request_id, "one\ntwo\nthree")
    await listener.turn()
    assert finished(await run(shell, listener, "read -t 0.1 y")).exit_status != 0


@pytest.mark.parametrize(
    "command",
    [
        "echo go; sleep 600",
        "echo go; while :; do :; done",
        "echo go; cat",
        "echo go; sleep 600 | cat; echo no",
        "echo go; x=$(sleep 600); echo no",
        "echo go; sleep 600 & wait",
        # It says itself that it is ready: a Python that is still starting ends with status 1.
        "python3 -c 'print(\"go\", flush=True)\nwhile True: pass'",
        "echo go; for i in 1 2 3; do sleep 600; done",
        "echo go; read x",
    ],
)
async def test_an_interrupt_stops_anything_and_keeps_the_shell(
    shell: CommandsSession, listener: Listener, command: str
) -> None:
    await run(shell, listener, "kept=kept; declare y=too")
    await shell.prompt(command)
    await listener.until_said("go\n")
    await shell.interrupt()
    events = await listener.turn()
    assert (finished(events).status, finished(events).exit_status) == ("interrupted", 130)
    assert "no" not in said(events)
    assert said(await run(shell, listener, "echo $kept $y")) == "kept too\n"


async def test_a_service_that_a_script_put_in_the_background_interrupts_too(start: Starter, listener: Listener) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        shell = await start()
        await shell.prompt("echo go; sleep 600")
        await listener.until_said("go\n")
        await shell.interrupt()
        assert finished(await listener.turn()).exit_status == 130
    finally:
        signal.signal(signal.SIGINT, before)


async def test_an_interrupt_at_any_moment_runs_no_half_command(
    shell: CommandsSession, listener: Listener, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    for number in range(60):
        await shell.prompt(f"echo {number} >> {log}; : {'x' * 2000} {number}")
        for _ in range(number % 12):
            await asyncio.sleep(0)
        await shell.interrupt()
        assert isinstance((await listener.turn())[-1], Finished)
        events = await run(shell, listener, f"echo next {number}")
        assert said(events) == f"next {number}\n"
    ran = [int(line) for line in log.read_text().split()] if log.exists() else []
    assert ran == sorted(set(ran))  # none twice


async def test_an_interrupt_that_comes_after_the_end_leaves_nothing_in_the_next_reply(
    shell: CommandsSession, listener: Listener
) -> None:
    for number in range(200):
        assert said(await run(shell, listener, f"echo {number}")) == f"{number}\n"
        os.kill(pid_of(shell), signal.SIGINT)


async def test_a_child_interrupted_while_it_starts_leaves_nothing_in_the_next_reply(
    shell: CommandsSession, listener: Listener
) -> None:
    for number in range(60):
        await shell.prompt("echo go; sleep 600 & wait")
        await listener.until_said("go\n")
        await shell.interrupt()
        assert finished(await listener.turn()).exit_status == 130
        assert said(await run(shell, listener, f"kill %% 2>/dev/null; echo {number}")) == f"{number}\n"


async def test_a_flood_is_interrupted_while_nobody_reads(start: Starter) -> None:
    listener = Listener(room=1)
    backend = await CommandsBackend().start(Start(session=SessionId("one")), listener.emit)
    assert isinstance(await listener.next(), Described)
    await backend.prompt("yes")
    await listener.until_said("y\n")
    await backend.interrupt()
    assert finished(await listener.turn()).status == "interrupted"
    await backend.close()


async def test_who_does_not_listen_to_an_interrupt_is_ended_by_the_next(
    shell: CommandsSession, listener: Listener
) -> None:
    await shell.prompt("bash -c 'trap \"echo ouch\" INT; echo go; while :; do sleep 0.05; done'")
    await listener.until_said("go\n")
    await shell.interrupt()
    await listener.until_said("ouch\n")
    await shell.interrupt()
    assert finished(await listener.turn()).status == "interrupted"


async def test_output_cannot_forge_an_end(shell: CommandsSession, listener: Listener) -> None:
    forged = r"printf 'end 1 0 /\0'; printf 'end 1 0 /\0' >&8; printf 'end 1 0 /\0' > /proc/self/fd/8; echo real"
    events = await run(shell, listener, forged)
    assert said(events).endswith("real\n")
    assert "Bad file descriptor" in said(events)


async def test_a_command_with_nul_is_refused_and_the_shell_stays(shell: CommandsSession, listener: Listener) -> None:
    end = finished(await run(shell, listener, "echo a\0echo b"))
    assert (end.status, end.error) == ("error", "a command cannot hold NUL characters")
    assert said(await run(shell, listener, "printf '\x01%s\x7f' ok")) == "\x01ok\x7f"


async def test_a_job_goes_on_after_the_turn_and_is_heard_in_the_next(
    shell: CommandsSession, listener: Listener
) -> None:
    await run(shell, listener, "mkfifo gate; (read < gate; echo late) & ")
    assert said(await run(shell, listener, "jobs -r | wc -l")).strip() == "1"
    assert said(await run(shell, listener, "echo > gate; wait; echo next")).endswith("late\nnext\n")


async def test_exit_ends_the_session(shell: CommandsSession, listener: Listener) -> None:
    events = await run(shell, listener, "sleep 600 & echo bye; exit 3")
    assert said(events).startswith("bye\n")
    assert events[-1] == Exited(status="ended", reason="exit status 3", exit_status=3)
    assert await members(pid_of(shell)) == []


async def test_exec_ends_the_session_when_its_program_ends(shell: CommandsSession, listener: Listener) -> None:
    events = await run(shell, listener, "exec echo replaced")
    assert said(events) == "replaced\n"
    assert isinstance(events[-1], Exited)


async def test_a_killed_shell_has_failed(shell: CommandsSession, listener: Listener) -> None:
    await shell.prompt("echo go; sleep 600")
    await listener.until_said("go\n")
    os.kill(pid_of(shell), signal.SIGKILL)
    assert (await listener.turn())[-1] == Exited(status="failed", reason="bash was ended by SIGKILL")
    assert await members(pid_of(shell)) == []


async def test_close_ends_every_process_of_the_terminal(shell: CommandsSession, listener: Listener) -> None:
    await run(shell, listener, "sleep 600 & nohup sleep 600 >/dev/null 2>&1 & (trap '' HUP TERM INT; sleep 600) &")
    await shell.prompt("sleep 600 | sleep 600")
    pid = pid_of(shell)
    async with asyncio.timeout(10):
        while len(await members(pid)) < 6:
            pass
    await shell.close()
    assert await members(pid) == []


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


async def test_fifty_rounds_leave_no_process_and_no_descriptor(listener: Listener) -> None:
    async def one() -> int:
        backend = await CommandsBackend().start(Start(session=SessionId("one")), listener.emit)
        pid = int(said(await run(backend, listener, "sleep 600 & echo $$")))
        await backend.close()
        return pid

    await one()
    gc.collect()
    before = descriptors()
    pids = [await one() for _ in range(50)]
    gc.collect()
    assert descriptors() == before
    assert [await members(pid) for pid in pids] == [[]] * 50


async def test_without_bash_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, listener: Listener, home: Path
) -> None:
    monkeypatch.setenv("PATH", str(home))
    assert CommandsBackend().missing() == "bash is not installed"
    with pytest.raises(BackendFailed, match="bash is not installed"):
        await CommandsBackend().start(Start(session=SessionId("one")), listener.emit)


def test_the_background_keeps_the_newest_and_counts_the_rest() -> None:
    background = Background()
    assert not background
    background.add("a" * 10 + "b" * BACKGROUND_MAX)
    assert background.take() == "… 10 characters left out\n" + "b" * BACKGROUND_MAX
    assert not background
    background.add("c")
    assert background.take() == "c"


def test_reports_cut_anywhere_are_put_together_and_nonsense_is_skipped() -> None:
    data = "ready /a\0\nstart 3\0\nst\0\nend x\0\nend 3 130 /a b\n/ü\0\n".encode()
    expected = [ShellReady("/a"), CommandStarted(3), CommandEnded(3, 130, "/a b\n/ü")]
    for cut in range(len(data)):
        reader = ReportReader()
        assert reader.feed(data[:cut]) + reader.feed(data[cut:]) == expected
