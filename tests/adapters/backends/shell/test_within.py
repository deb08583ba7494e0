"""adapters.backends.shell.within: shells that commands start, and how the marks get in: offered, never forced."""

from __future__ import annotations

import pytest

from agent.adapters.backends.shell.within import LEAVE, MARKS, ShellWithin
from agent.adapters.backends.terminal.launch import words_of
from agent.ports import Described
from agent.protocol.terminal_lines import plain
from tests.adapters.backends.shell.conftest import Starter
from tests.fakes.listener import Listener, finished, run, said

SHELLS = ("bash", "zsh", "fish")
QUIET = {"bash": "bash --norc", "zsh": "zsh -f", "fish": "fish -N"}
"""A shell within, without the files of the machine that runs the tests."""


@pytest.mark.parametrize("outer", SHELLS)
@pytest.mark.parametrize("inner", SHELLS)
async def test_marks_are_offered_to_a_shell_within_and_make_its_commands_turns(
    outer: str, inner: str, start: Starter, listener: Listener
) -> None:
    shell = await start(outer)
    await shell.prompt(QUIET[inner])
    asked = await listener.until_asked()
    assert (asked.kind, asked.own_words, [choice.id for choice in asked.choices]) == ("choices", True, [MARKS, LEAVE])
    assert asked.prompt == f"{inner} runs within, and waits for a line"
    assert all(len(choice.description) < 80 for choice in asked.choices)
    await shell.answer(asked.request_id, MARKS)
    events = await listener.turn()
    assert finished(events).exit_status is None  # what started it has not ended
    assert "LAN_AGENT" not in said(events)
    assert "integration" not in said(events)
    (named,) = (event for event in events if isinstance(event, Described) and event.program)
    assert (named.program or "").startswith(f"{inner}, within {outer} ")
    assert "its commands are turns" in named.note
    events = await run(shell, listener, "echo inner; sh -c 'exit 3'")
    assert (plain(said(events)), finished(events).exit_status) == ("inner\n", 3)
    events = await run(shell, listener, "echo one\necho two\nfalse")
    assert (plain(said(events)), finished(events).exit_status) == ("one\ntwo\n", 1)
    events = await run(shell, listener, "exit 4")
    events += await run(shell, listener, "echo outer; sh -c 'exit 5'")
    programs = [event.program for event in events if isinstance(event, Described) and event.program]
    assert [program.partition(" ")[0] for program in programs] == [outer]
    events = await run(shell, listener, "echo outer; sh -c 'exit 5'")
    assert (plain(said(events)), finished(events).exit_status) == ("outer\n", 5)


@pytest.mark.parametrize("kind", SHELLS)
async def test_a_shell_in_the_place_of_the_sessions_own_is_offered_the_marks(
    kind: str, start: Starter, listener: Listener
) -> None:
    shell = await start(kind)
    await shell.prompt(f"exec {QUIET[kind]}")
    asked = await listener.until_asked()
    await shell.answer(asked.request_id, MARKS)
    await listener.turn()
    events = await run(shell, listener, "echo again; false")
    assert (plain(said(events)), finished(events).exit_status) == ("again\n", 1)


async def test_marks_that_do_not_get_in_are_asked_for_again(
    start: Starter, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ShellWithin, "_line", lambda *_: " cat /no/such/file")
    shell = await start("bash")
    await shell.prompt("bash --norc")
    await shell.answer((await listener.until_asked()).request_id, MARKS)
    asked = await listener.until_asked()
    await shell.answer(asked.request_id, "echo typed $((40+2))")
    assert "typed 42\n" in plain(await listener.until_said("typed 42"))


async def test_a_shell_whose_start_is_seen_half_done_is_known_before_another_takes_its_place(
    start: Starter, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def half_done(pid: int) -> list[str]:
        looks.append(pid)
        return words_of(pid) if len(looks) > 1 else []

    monkeypatch.setattr("agent.adapters.backends.shell.within.words_of", half_done)
    shell = await start("zsh")
    await shell.prompt(f"exec {QUIET['zsh']}")
    assert (await listener.until_asked()).kind == "choices"


async def test_nothing_is_typed_into_a_shell_within_unasked_and_a_person_may_type(
    start: Starter, listener: Listener
) -> None:
    shell = await start("bash")
    await shell.prompt("bash --norc")
    asked = await listener.until_asked()
    assert b"LAN_AGENT" not in shell.terminal.read(shell.terminal.begin, 100_000)
    await shell.answer(asked.request_id, "echo typed $((40+2))")
    assert "typed 42\n" in plain(await listener.until_said("typed 42"))
    asked = await listener.until_asked()
    await shell.answer(asked.request_id, LEAVE)
    assert finished(await listener.turn()).status == "complete"
    assert plain(said(await run(shell, listener, "echo next"))) == "next\n"


@pytest.mark.parametrize("inner", SHELLS)
async def test_a_shell_of_another_user_takes_lines_as_answers(
    inner: str, start: Starter, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ShellWithin, "_reaches", lambda *_: False)  # nobody may see what it has
    shell = await start("bash")
    await shell.prompt(QUIET[inner])
    for line, seen in (("echo one | tr o O", "One"), ("true\necho two | tr t T", "Two")):
        asked = await listener.until_asked()
        assert (asked.kind, asked.choices) == ("line", ())
        await shell.answer(asked.request_id, line)
        await listener.until_said(seen)
    await shell.answer((await listener.until_asked()).request_id, "exit")
    assert finished(await listener.turn()).exit_status == 0


async def test_a_program_that_takes_keys_is_no_shell_within(start: Starter, listener: Listener) -> None:
    shell = await start("bash")
    await shell.prompt("python3 -iq")
    asked = await listener.until_asked()
    assert (asked.kind, asked.choices) in {("keys", ()), ("line", ())}
    await shell.answer(asked.request_id, "exit()\n")
    await listener.turn()


async def test_an_interrupt_in_a_shell_within_leaves_both(start: Starter, listener: Listener) -> None:
    shell = await start("bash")
    await shell.prompt("bash --norc")
    await shell.answer((await listener.until_asked()).request_id, MARKS)
    await listener.turn()
    await shell.prompt("echo go; sleep 600")
    await listener.until_said("go")
    await shell.interrupt()
    assert finished(await listener.turn()).status == "interrupted"
    assert plain(said(await run(shell, listener, "echo within"))) == "within\n"
