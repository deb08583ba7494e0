"""adapters.backends.shell.guessed: shells that tell nothing by marks, or do not hear the key. They say so, and work."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from agent.adapters.backends.shell import guessed as module
from agent.adapters.backends.shell.launch import find_shell
from agent.adapters.backends.shell.performer import LATE
from agent.adapters.backends.shell.session import SPARED
from agent.ports import Asked, BackendEvent, Described, Exited, Finished, Tail
from agent.protocol.terminal_lines import plain
from tests.adapters.backends.shell.conftest import Starter
from tests.fakes.listener import Listener, finished, run, said
from tests.fakes.waiting import until

GUESSED = "ends of commands are guessed"


def text(events: list[BackendEvent]) -> str:
    return plain(said(events))


def programs(events: list[BackendEvent]) -> list[str]:
    return [event.program for event in events if isinstance(event, Described) and event.program is not None]


async def first(listener: Listener) -> list[BackendEvent]:
    """What was told before the first turn."""
    events: list[BackendEvent] = []
    while not programs(events):
        events.append(await listener.next())
    return events


async def test_a_shell_without_marks_says_why_and_runs_what_is_typed(start: Starter, listener: Listener) -> None:
    shell = await start("dash")
    assert programs(await first(listener)) == [f"dash: {GUESSED}, dash has no marks"]
    events = await run(shell, listener, "echo one; false")
    assert text(events) == f"{GUESSED}, dash has no marks\none\n"  # 3.7: in the first turn, and only there
    assert finished(events) == Finished(status="complete", cwd=finished(events).cwd)  # and no exit status
    assert text(await run(shell, listener, "cd /; pwd")) == "/\n"
    assert text(await run(shell, listener, "printf half")) == "half"


async def test_a_program_in_such_a_shell_asks_and_is_answered(start: Starter, listener: Listener) -> None:
    shell = await start("dash")
    await shell.prompt("cat")
    asked = await listener.until_asked()
    assert asked.kind == "line"
    await shell.answer(asked.request_id, "typed\n\x04")
    assert "typed" in text(await listener.turn())
    assert text(await run(shell, listener, "echo next")) == "next\n"


@pytest.mark.parametrize(
    ("shell", "lines", "prompt"), [("dash", "", "> "), ("bash", "exec zsh -f", "dquote> "), ("bash", "exec dash", "> ")]
)
async def test_unfinished_text_in_such_a_shell_needs_the_rest_of_it(
    shell: str, lines: str, prompt: str, start: Starter, listener: Listener
) -> None:
    session = await start(shell, lines)
    await run(session, listener, "true")
    await session.prompt('echo "unf')
    asked = await listener.until_asked()
    assert (asked.kind, asked.prompt) == ("line", prompt)  # it has not run, and swallows no later prompt
    await session.answer(asked.request_id, 'inished"')
    assert "unf\ninished\n" in text(await listener.turn())
    assert "next\n" in text(await run(session, listener, "echo next"))


async def test_unfinished_text_in_such_a_shell_is_dropped_by_an_interrupt(start: Starter, listener: Listener) -> None:
    shell = await start("dash")
    await shell.prompt("cat <<END\none")
    assert (await listener.until_asked()).prompt == "> > "
    await shell.interrupt()
    assert finished(await listener.turn()).status == "interrupted"
    assert text(await run(shell, listener, "echo next")) == "next\n"


async def test_a_prompt_that_looks_as_if_more_were_wanted_is_one(start: Starter, listener: Listener) -> None:
    shell = await start("dash")
    await shell.prompt("PS1='> '")
    assert (await listener.until_asked()).prompt == "> "  # nobody can tell
    await shell.interrupt()
    await listener.turn()
    assert text(await run(shell, listener, "echo one")) == "one\n"
    assert text(await run(shell, listener, "echo two")) == "two\n"


async def test_such_a_shell_is_interrupted(start: Starter, listener: Listener) -> None:
    shell = await start("dash")
    await run(shell, listener, "true")
    await shell.prompt("echo go; sleep 600")
    await listener.until_said("go")
    await shell.interrupt()
    assert finished(await listener.turn()).status == "interrupted"
    assert text(await run(shell, listener, "echo next")) == "next\n"


@pytest.mark.parametrize(
    ("shell", "lines", "taker"),
    [
        ("bash", "exec dash", "dash"),
        ("bash", "exec zsh -f", "zsh"),
        ("zsh", "exec dash", "dash"),
        ("fish", "exec dash", "dash"),
        ("bash", "exec python3 -iq", "python3"),
    ],
)
async def test_a_program_that_start_up_files_put_in_the_place_of_the_shell_is_named(
    shell: str, lines: str, taker: str, start: Starter, listener: Listener
) -> None:
    session = await start(shell, lines)
    events = await first(listener)
    prompted = await run(session, listener, "print(40+2)" if taker == "python3" else "echo $((40+2))")
    (why,) = {program for program in programs(events + prompted) if GUESSED in program}
    assert why.endswith(f": {GUESSED}, {taker} took over in its start-up files")
    assert text(prompted).endswith("42\n")


@pytest.mark.parametrize(
    ("taker", "lines"),
    [
        ("zsh", "PROMPT='%n %~ %# '\nRPROMPT='[%T %?]'"),
        ("fish", "set -g fish_greeting; function fish_right_prompt; echo -n [right]; end"),
        ("dash", ""),
    ],
)
async def test_neither_what_was_typed_nor_the_next_prompt_is_a_reply(
    taker: str, lines: str, start: Starter, listener: Listener, home: Path
) -> None:
    file = home / (".zshrc" if taker == "zsh" else ".config/fish/config.fish")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(lines + "\n")
    shell = await start("bash")
    assert text(await run(shell, listener, f"exec {taker}")) == ""
    why = f"{GUESSED}, {taker} took over from bash\n"
    for command, reply in [
        ("echo hi; false", f"{why}hi\n"),
        ("cd /", ""),
        ("printf half", "half"),
        ("true", ""),
        ("echo 'a\nb'", "a\nb\n"),
        (f"echo {'x' * 300}", f"{'x' * 300}\n"),
        ("seq 40", "".join(f"{number}\n" for number in range(1, 41))),
    ]:
        events = await run(shell, listener, command)
        assert text(events) == reply, command
        assert not [event for event in events if isinstance(event, Tail) and command in plain(event.text)]


async def test_a_program_that_a_command_puts_in_the_place_of_the_shell_is_named(
    start: Starter, listener: Listener
) -> None:
    shell = await start("bash")
    events = await run(shell, listener, "echo before; exec dash")
    assert text(events).startswith("before\n")
    assert finished(events).exit_status is None
    assert programs(events)[-1].endswith(f": {GUESSED}, dash took over from bash")
    assert text(await run(shell, listener, "echo after")) == f"{GUESSED}, dash took over from bash\nafter\n"


@pytest.mark.parametrize(
    ("shell", "lines"), [("bash", "set +o emacs; set +o vi"), ("zsh", "setopt no_zle"), ("zsh", "unsetopt zle")]
)
async def test_a_shell_without_a_line_editor_is_typed_to_and_still_tells_its_ends(
    shell: str, lines: str, start: Starter, listener: Listener
) -> None:
    session = await start(shell, lines)
    events = await first(listener) + await run(session, listener, "echo one; sh -c 'exit 3'")
    why = "prompts are typed, its line editor is off"
    assert programs(events)[-1].endswith(f": {why}")
    assert text(events) == f"{why}\none\n"
    assert finished(events).exit_status == 3
    several = await run(session, listener, "echo 'it'\\''s'\nx='a\\b'\nprintf '%s\\n' \"$x\"\nfalse")
    assert (text(several), finished(several).exit_status) == ("it's\na\\b\n", 1)
    long = await run(session, listener, "echo " + "x" * 5000)
    assert finished(long).error == "not run: a terminal takes lines of up to 4,000 bytes"
    assert text(await run(session, listener, "echo next")) == "next\n"


async def test_a_line_editor_that_is_on_again_gets_prompts_as_usual(start: Starter, listener: Listener) -> None:
    shell = await start("bash", "set +o emacs")
    await run(shell, listener, "set -o emacs")
    # A prompt that comes before is typed, and as exact.
    await until(lambda: shell._states.state == "prompt" and shell._terminal.mode() == "raw")
    events = await run(shell, listener, "echo one\nfalse")
    assert (text(events), finished(events).exit_status) == ("one\n", 1)
    assert shell._performer.guessed.reason == ""


DEAF = r"""PROMPT_COMMAND='bind "\"\e[983041u\": \"\""'"""
"""Takes the key away from us at each prompt, as line editors in shell code do."""


async def test_a_line_editor_that_does_not_know_the_key_is_typed_to(start: Starter, listener: Listener) -> None:
    shell = await start("bash", DEAF)
    events = await run(shell, listener, "echo one >>ran; echo one; false")
    why = "prompts are typed, its line editor does not know our key"
    assert programs(events)[-1].endswith(f": {why}")
    assert (text(events), finished(events).exit_status) == (f"{why}\none\n", 1)
    events = await run(shell, listener, "echo two\ncat ran")
    assert (text(events), finished(events).exit_status) == ("two\none\n", 0)


async def test_a_shell_that_runs_within_the_start_up_files_is_named_and_left(
    start: Starter, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 1.5)  # on a busy machine dash is there by then, too
    monkeypatch.setattr("agent.adapters.backends.shell.START_SECONDS", 1.5)
    shell = await start("bash", "dash")
    events = await run(shell, listener, "echo within")
    assert text(events) == f"{GUESSED}, dash runs in its start-up files\nwithin\n"
    await run(shell, listener, "exit")
    events = await run(shell, listener, "echo at home; false")
    assert (text(events), finished(events).exit_status) == ("at home\n", 1)


async def test_start_up_files_that_take_long_are_waited_for_and_told(
    start: Starter, listener: Listener, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 0.3)
    monkeypatch.setattr("agent.adapters.backends.shell.START_SECONDS", 0.3)
    gate = home / "gate"
    os.mkfifo(gate)
    shell = await start("bash", 'read x <"$HOME/gate"')
    await shell.prompt("echo one >>ran; cat ran")
    await until(lambda: "start-up" in shell._performer.guessed.reason or shell._performer.guessed.late)
    await asyncio.to_thread(gate.write_text, "go on\n")
    events = await listener.turn()
    while programs(events)[-1] != find_shell("bash").program:  # it is at its prompt, as usual
        events.append(await listener.next())
    assert any(each.endswith(": its start-up files are not done after 0.3 s") for each in programs(events))
    assert text(events).endswith("\none\n")
    assert text(events).count("\none") == 1


@pytest.mark.parametrize(
    ("shell", "lines"),
    [("bash", "while :; do :; done"), ("zsh", "while :; do :; done"), ("fish", "while true; true; end")],
)
async def test_an_interrupt_stops_endless_start_up_files_and_not_the_prompt_that_waits_for_them(
    shell: str, lines: str, start: Starter, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 0.5)
    monkeypatch.setattr("agent.adapters.backends.shell.START_SECONDS", 0.5)
    session = await start(shell, lines)
    described = await listener.next()
    assert isinstance(described, Described)
    assert (described.program or "").endswith(": its start-up files are not done after 0.5 s")
    await session.prompt("echo ran")
    while not (isinstance(event := await listener.next(), Described) and LATE in event.note):
        pass
    await session.interrupt()
    events = await listener.turn()
    assert any(isinstance(event, Described) and event.note == SPARED for event in events)
    assert text(events).endswith("\nran\n")
    assert (finished(events).status, finished(events).exit_status) == ("complete", 0)


async def test_a_second_interrupt_of_start_up_files_drops_the_prompt(
    start: Starter, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 0.5)
    monkeypatch.setattr("agent.adapters.backends.shell.START_SECONDS", 0.5)
    session = await start("bash", "trap '' INT; while :; do :; done")
    await session.prompt("echo ran")
    await session.interrupt()
    await session.interrupt()
    assert finished(await listener.turn()).status == "interrupted"


@pytest.mark.parametrize(
    ("shell", "lines", "kind"),
    [
        ("bash", "read -p 'which one? ' x; echo \"got $x\"", "line"),
        ("zsh", "read 'x?which one? '; echo \"got $x\"", "line"),
        ("bash", "read -sp 'secret? ' x; echo \"got $x\"", "secret"),
        ("fish", "sh -c 'printf \"which one? \"; read x; echo got $x'", "line"),
    ],
)
async def test_a_question_of_start_up_files_is_asked(
    shell: str, lines: str, kind: str, start: Starter, listener: Listener
) -> None:
    session = await start(shell, lines)
    await session.prompt("echo done")
    asked: Asked = await listener.until_asked()
    assert (asked.kind, asked.prompt) == (kind, "which one? " if kind == "line" else "secret? ")
    await session.answer(asked.request_id, "this")
    events = await listener.turn()
    assert text(events).endswith("done\n")
    assert finished(events).exit_status == 0


@pytest.mark.parametrize("shell", ["bash", "zsh"])
async def test_a_shell_that_its_start_up_files_end_is_started_again_without_them(
    shell: str, start: Starter, listener: Listener
) -> None:
    session = await start(shell, "export FROM_FILE=1; exit 3")
    events = await first(listener)
    assert not any(isinstance(event, Exited) for event in events)
    prompted = await run(session, listener, 'echo "[$FROM_FILE]"; false')
    assert text(prompted) == (
        "the start-up files ended the shell: exit status 3: it is started again without them\n[]\n"
    )
    assert finished(prompted).exit_status == 1


@pytest.mark.parametrize(("shell", "status"), [("bash", 0), ("zsh", 14)])
async def test_a_shell_that_ends_itself_while_nobody_types_names_tmout(
    shell: str, status: int, start: Starter, listener: Listener
) -> None:
    await start(shell, "TMOUT=1")
    while not isinstance(event := await listener.next(), Exited):
        pass
    assert (event.status, event.exit_status) == ("ended", status)
    assert event.reason == f"the shell ended while nobody typed, as TMOUT has it: exit status {status}"


async def test_a_shell_that_a_person_ends_names_no_tmout(start: Starter, listener: Listener) -> None:
    shell = await start("bash")
    await shell.terminal.write(b"\x04")
    while not isinstance(event := await listener.next(), Exited):
        pass
    assert (event.reason, event.exit_status) == ("exit status 0", 0)


def test_the_shells_of_these_tests_are_here() -> None:
    assert [name for name in ("dash", "bash", "zsh", "fish", "python3") if shutil.which(name) is None] == []
