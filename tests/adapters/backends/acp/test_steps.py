"""Agents that lose step after a cancel: what the table says of them, and what is noticed of those it does not name."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.adapters.backends.acp.turn import LOST_STEP
from tests.adapters.backends.acp.agents import odd
from tests.adapters.backends.acp.conftest import Begin
from tests.fakes.listener import Listener, finished, run, said


async def cancelled(begin: Begin, listener: Listener, prompt: str, *options: str) -> bool:
    """Whether the agent was started anew after a cancelled turn, which it then went on from."""
    session = await begin(odd(*options))
    await run(session, listener, "say x")
    first = session.processes()
    await session.prompt(prompt)
    if prompt == "ask":
        await listener.until_asked()
    else:
        await listener.until_said("la ")
    await session.interrupt()
    assert finished(await listener.turn()).status == "interrupted"
    assert said(await run(session, listener, "memory")).split()[-1] == "memory"
    return session.processes() != first


@pytest.mark.parametrize(
    ("name", "prompt", "anew"),
    [
        ("odd", "wait", False),
        ("odd", "ask", False),
        ("@zed-industries/claude-agent-acp", "wait", True),
        ("hermes-agent", "wait", False),
        ("hermes-agent", "ask", True),
    ],
)
async def test_those_that_are_known_are_started_anew(
    begin: Begin, listener: Listener, tmp_path: Path, *, name: str, prompt: str, anew: bool
) -> None:
    options = ("--name", name, "--version", "0.19.0", "--state", str(tmp_path / "state"))
    assert await cancelled(begin, listener, prompt, *options) is anew


async def test_an_error_after_a_cancel_is_an_interrupt_and_the_agent_is_started_anew(
    begin: Begin, listener: Listener, tmp_path: Path
) -> None:
    assert await cancelled(begin, listener, "wait", "--cancel-fails", "--state", str(tmp_path / "state"))


async def test_an_agent_that_answers_nothing_after_a_cancel_is_started_anew(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    assert finished(await run(session, listener, "silent")).cause == "empty"
    first = session.processes()
    await session.prompt("wait")
    await listener.until_said("la ")
    await session.interrupt()
    await listener.turn()
    end = finished(await run(session, listener, "silent"))
    assert (end.status, end.error) == ("error", LOST_STEP)
    assert finished(await run(session, listener, "silent")).cause == "empty"
    assert session.processes() != first


async def test_a_prompt_that_is_only_queued_was_not_worked_on(begin: Begin, listener: Listener) -> None:
    session = await begin(odd("--name", "hermes-agent"))
    first = session.processes()
    end = finished(await run(session, listener, "queue"))
    assert (end.status, end.error) == ("error", LOST_STEP)
    assert finished(await run(session, listener, "say x")).status == "complete"
    assert session.processes() != first
