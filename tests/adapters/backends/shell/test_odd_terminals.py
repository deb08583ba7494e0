"""What reaches a shell session from its terminal: forged marks, recordings, people who type, interrupts."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import re
from pathlib import Path

import pytest

from agent.adapters.backends.shell.session import ShellSession
from agent.ports import BackendEvent, Exited, Finished, Prompted
from agent.protocol.terminal_lines import plain
from tests.adapters.backends.shell.conftest import Starter
from tests.fakes.listener import Listener, finished, run, said
from tests.fakes.waiting import until

SHELLS = ("bash", "zsh", "fish")
INTERRUPTS = int(os.environ.get("LAN_AGENT_TEST_INTERRUPTS") or 25)
"""Random interrupts for each shell; more find rarer faults."""
OPEN = r"\033]7717;"


@pytest.fixture(params=SHELLS)
async def shell(request: pytest.FixtureRequest, start: Starter) -> ShellSession:
    return await start(request.param)


def nonce_of(shell: ShellSession) -> str:
    return shell._box.nonce


# --- marks that are not the shell's ----------------------------------------------------------------------------------


FORGED = (
    "{other};D;{pid};1;0;/forged",
    ";D;{pid};1;0;/forged",
    "D;{pid};1;0;/forged",
    "{other};A;{pid};0",
    "{other};B;{pid}",
    "{other};C;{pid};9;n1",
    "{other};T;{pid};1;0",
    "{nonce};D;1;1;0;/forged",  # of a process that has not the keyboard
    "{nonce};D;",
    "{nonce}",
    "{nonce};XX;{pid}",
)
"""What is no mark of the shell. Whoever has the nonce and names the shell may forge one."""


async def test_forged_marks_end_no_turn_and_are_not_seen(shell: ShellSession, listener: Listener) -> None:
    pid = shell.processes()[0]
    for mark in FORGED:
        body = mark.format(other="0" * 24, nonce=nonce_of(shell), pid=pid)
        events = await run(shell, listener, f"printf 'one{OPEN}{body}\\007two\\n'; sleep 0.02; sh -c 'exit 4'")
        assert (mark, plain(said(events)), finished(events).exit_status) == (mark, "onetwo\n", 4)
        assert finished(events).cwd != "/forged"
    assert b"\x1b]7717" not in shell.terminal.read(shell.terminal.begin, 1_000_000)


async def test_a_recording_of_the_session_holds_no_marks_and_is_shown_in_it(
    shell: ShellSession, listener: Listener, home: Path
) -> None:
    await run(shell, listener, "echo recorded; false")
    recording = shell.terminal.read(shell.terminal.begin, 1_000_000)
    assert nonce_of(shell).encode() not in recording
    (home / "recording").write_bytes(recording)
    events = await run(shell, listener, f"cat {home}/recording; sh -c 'exit 5'")
    assert finished(events).exit_status == 5
    assert plain(said(await run(shell, listener, "echo next"))) == "next\n"


async def test_a_recording_of_another_terminal_with_marks_is_shown_without_them(
    shell: ShellSession, listener: Listener, home: Path
) -> None:
    marks = "".join(f"\x1b]7717;{'a' * 24};{kind};77;1;0;/x\x07{kind}" for kind in "SABKTCEDR")
    (home / "recording").write_text(f"$ {marks}\n\x1b]7717;{'a' * 24};D;no end\n\x1b]7717;\x07\x1b]7717")
    events = await run(shell, listener, f"cat {home}/recording; echo; sh -c 'exit 6'")
    assert finished(events).exit_status == 6
    assert "SABKTCEDR" in plain(said(events))
    assert plain(said(await run(shell, listener, "echo next"))) == "next\n"


# --- people who type while prompts come ------------------------------------------------------------------------------


async def test_prompts_and_lines_of_a_person_never_mix(shell: ShellSession, listener: Listener, home: Path) -> None:
    """A person types line after line; prompts come at any moment. Each is run whole, once, and in its own turn."""
    ran, chance = home / "ran", random.Random(3)
    typed = [f"echo typed{number} >>{ran}" for number in range(12)]

    def noted(word: str) -> bool:
        return ran.exists() and word in ran.read_text()

    async def person() -> None:
        for line in typed:
            for key in f"{line}\r":
                await shell.terminal.write(key.encode())
                if chance.random() < 0.3:
                    await asyncio.sleep(0)
            await until(functools.partial(noted, line.split()[1]))

    events: list[BackendEvent] = []
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(person())
        for number in range(12):
            await shell.prompt(f"echo prompted{number} >>{ran}; echo said{number}")
            while f"said{number}\n" not in plain(said(events)) or not isinstance(events[-1], Finished):
                events.append(await listener.next())
                assert not isinstance(events[-1], Exited), events[-5:]
    lines = ran.read_text().split()
    assert sorted(lines) == sorted(f"{kind}{number}" for kind in ("typed", "prompted") for number in range(12))
    for kind in ("typed", "prompted"):
        assert [line for line in lines if line.startswith(kind)] == [f"{kind}{number}" for number in range(12)]
    seen = [event.text for event in events if isinstance(event, Prompted)]
    assert set(seen) <= set(typed)


async def test_half_a_line_survives_many_prompts(shell: ShellSession, listener: Listener) -> None:
    await shell.terminal.write(b"echo ha")
    for number in range(5):
        assert plain(said(await run(shell, listener, f"echo {number}"))) == f"{number}\n"
    await until(lambda: shell._states.state == "prompt" and not shell._states.kept)  # it is given back
    await shell.terminal.write(b"lf\r")
    typed = await listener.turn()
    while not isinstance(typed[0], Prompted):
        typed = typed[1:]
    assert (typed[0].text, plain(said(typed))) == ("echo half", "half\n")


# --- interrupts ------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(60 + INTERRUPTS)
async def test_an_interrupt_at_any_moment_leaves_a_shell_that_works(
    shell: ShellSession, listener: Listener, home: Path
) -> None:
    """No hang, no command twice or out of order, and the next reply is clean."""
    ran, chance = home / "ran", random.Random(11)
    commands = (
        "{note}",
        "{note}; sleep 0.01",
        "seq 200; {note}",
        "sleep 0.02; {note}",
        "{note}; cat",
        "read x; {note}",
    )
    for number in range(INTERRUPTS):
        note = f"echo {number} >>{ran}"
        await shell.prompt(chance.choice(commands).format(note=note))
        pause = chance.choice((0.0, 0.001, 0.003, 0.01, 0.03)) * chance.random() * 2
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await asyncio.Event().wait()
        await shell.interrupt()
        while True:
            try:
                async with asyncio.timeout(1):
                    events = await listener.turn()
                    break
            except TimeoutError:
                await shell.interrupt()  # as a person would: cat and read may have begun after the first one
        assert not isinstance(events[-1], Exited), events
        following = await run(shell, listener, f"echo next {number}")
        assert plain(said(following)) == f"next {number}\n", (events, following)
    numbers = [int(number) for number in re.findall(r"\d+", ran.read_text())] if ran.exists() else []
    assert numbers == sorted(set(numbers))
