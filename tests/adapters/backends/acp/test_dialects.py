"""The dialects of real agents, from recordings: what they say becomes the same events.

The recordings were made by `recorder` with each agent against a model server, driven by this package. claude's is an
excerpt of one made with another client; hermes-queued is of a client that answers and cancels back to back, and goes on
with the same process. `replay` fails the turn if a message to the agent is not the recorded one.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.adapters.backends.acp import AcpAgent
from agent.adapters.backends.acp.quirks import TABLE, QuirkRow
from agent.adapters.backends.acp.session import AcpSession
from agent.adapters.backends.acp.timeouts import Timeouts
from agent.adapters.backends.acp.turn import LOST_STEP
from agent.ports import Asked, BackendConfig, BackendEvent, Described, Finished, ToolFinished, ToolStarted, Withdrew
from tests.adapters.backends.acp.agents import HERE, ORPHANS, QUICK
from tests.adapters.backends.acp.conftest import Begin, described
from tests.fakes.listener import Listener, finished, run, said

Play = Callable[..., AcpAgent]
ALL = ("codex", "gemini", "opencode", "hermes")


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """An agent that plays a recording; each of its processes goes on with the next life."""

    def agent(recording: str, timeouts: Timeouts = QUICK, folder: Path = HERE / "recordings", *how: str) -> AcpAgent:
        files = (folder / f"{recording}.jsonl", tmp_path / "life")
        argv = (sys.executable, "-I", str(HERE / "replay.py"), *map(str, files), *how)
        return AcpAgent(recording, BackendConfig(argv=argv, cwd=str(tmp_path)), ORPHANS, timeouts)

    return agent


TOOL_NAMES = {"claude": "Bash"}
"""The one agent that tells what it calls its tools."""
TELL_CWD = {"codex", "opencode"}
"""With the permission, or with the tool call that it is for; gemini has it in the text."""


def command(agent: str, words: str) -> str:
    return f"model: tool {'rm -rf ./nothing && ' if agent == 'hermes' else ''}{words}"


async def answered(session: AcpSession, listener: Listener, text: str, kind: str) -> tuple[Asked, list[BackendEvent]]:
    """A turn in which the first choice of that kind is taken; the question, and what came before and after it."""
    await session.prompt(text)
    events = [await listener.next()]
    while not isinstance(events[-1], Asked):
        events.append(await listener.next())
    asked = events.pop()
    assert isinstance(asked, Asked)
    await session.answer(asked.request_id, next(c.id for c in asked.choices if c.kind.startswith(kind)))
    return asked, events + await listener.turn()


@pytest.mark.parametrize("agent", ALL)
async def test_a_conversation_with(agent: str, play: Play, begin: Begin, listener: Listener) -> None:
    session = await begin(play(agent))
    known = await described(listener)
    assert known.model
    assert {option.id for option in known.options or ()} == {"mode", "model"}

    events = await run(session, listener, "model: say 2")
    assert "piece 1 piece 2 " in said(events)
    assert finished(events).status == "complete"
    assert finished(events).usage

    asked, events = await answered(
        session, listener, command(agent, "echo made > made.txt && cat made.txt"), "allow_once"
    )
    assert "echo made > made.txt && cat made.txt" in asked.prompt
    assert (asked.tool, asked.tool_name, bool(asked.cwd)) == ("execute", TOOL_NAMES.get(agent, ""), agent in TELL_CWD)
    (tool,) = (event for event in events if isinstance(event, ToolStarted))
    (done,) = (event for event in events if isinstance(event, ToolFinished))
    assert (tool.tool, done.tool_id, done.status) == ("execute", tool.tool_id, "complete")
    assert "made" in done.output
    assert finished(events).status == "complete"

    asked, events = await answered(session, listener, command(agent, "echo refused > refused.txt"), "reject")
    assert "echo refused" in asked.prompt
    # Codex ends the turn; the others tell the model.
    assert finished(events).status == ("interrupted" if agent == "codex" else "complete")
    assert all(event.status == "error" for event in events if isinstance(event, ToolFinished))

    await session.prompt(command(agent, "echo held > held.txt"))
    asked = await listener.until_asked()
    await session.interrupt()
    events = await listener.turn()
    assert Withdrew(asked.request_id, "the turn was interrupted") in events
    assert finished(events).status == "interrupted"

    events = await run(session, listener, "model: say 2")
    assert "piece 1 piece 2 " in said(events)
    assert finished(events).status == "complete"

    events = await run(session, listener, "model: error 400")
    told = said(events) if agent == "hermes" else finished(events).error  # hermes says it
    assert "refused, as the prompt asked" in told


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.names[0])
def test_each_quirk_is_of_an_agent_that_was_recorded_in_that_version(row: QuirkRow) -> None:
    version = row.seen.partition(":")[0]
    recorded = "".join(each.read_text() for each in (HERE / "recordings").iterdir())
    told = re.findall(r'"agentInfo": ({[^}]*})', recorded)
    assert [each for each in map(json.loads, told) if each["name"] in row.names and each["version"] == version]


async def test_claude_is_started_anew_after_a_cancel(play: Play, begin: Begin, listener: Listener) -> None:
    session = await begin(play("claude"))
    first = session.processes()
    text = "@@tool echo made-by-agent > made.txt && cat made.txt"
    _, events = await answered(session, listener, text, "allow_once")
    (tool,) = (event for event in events if isinstance(event, ToolStarted))
    (done,) = (event for event in events if isinstance(event, ToolFinished))
    assert tool.title == "Terminal"
    assert done.output == "```console\nmade-by-agent\n```"
    await session.prompt("@@slow")
    await listener.until_said("slow 1 ")
    await session.interrupt()
    assert finished(await listener.turn()).status == "interrupted"
    events = await run(session, listener, "@@say 3")
    assert said(events) == "piece 0 piece 1 piece 2 "  # its own, and not the replay's
    assert finished(events).status == "complete"
    assert session.processes() != first


async def test_hermes_is_started_anew_when_a_cancel_is_answered_by_an_error(
    play: Play, begin: Begin, listener: Listener
) -> None:
    session = await begin(play("hermes-queued"))
    first = session.processes()
    await session.prompt(command("hermes", "echo held > held.txt"))
    asked = await listener.until_asked()
    await session.interrupt()
    events = await listener.turn()
    assert Withdrew(asked.request_id, "the turn was interrupted") in events
    assert finished(events).status == "interrupted"
    events = await run(session, listener, "model: say 2")
    assert said(events) == "piece 1 piece 2 "
    assert finished(events).status == "complete"
    assert session.processes() != first


@pytest.mark.parametrize("how", [(), ("at-once",)], ids=["alone", "behind other updates"])
async def test_a_prompt_that_hermes_has_only_queued_was_not_worked_on(
    play: Play, begin: Begin, listener: Listener, tmp_path: Path, how: tuple[str, ...]
) -> None:
    """The same hermes, as it went on for the client that did not start it anew: what wedged it is left out."""
    rows = (HERE / "recordings" / "hermes-queued.jsonl").read_text().splitlines(keepends=True)
    wedged = next(at for at, row in enumerate(rows) if '"session/prompt"' in row)
    queued = next(at for at, row in enumerate(rows) if '"model: say 2"' in row)
    opened = wedged - 2 if how else wedged  # what it told right after it had opened the session arrives as late
    rows = [*rows[:opened], rows[queued], *rows[opened:wedged], *rows[queued + 1 :]]
    (tmp_path / "queued.jsonl").write_text("".join(rows))
    session = await begin(play("queued", QUICK, tmp_path, *how))
    first = session.processes()
    events = await run(session, listener, "model: say 2")
    assert said(events).startswith("Queued for the next turn")
    assert (finished(events).status, finished(events).error) == ("error", LOST_STEP)
    events = await run(session, listener, "model: say 2")
    assert said(events) == "piece 1 piece 2 "
    assert finished(events).status == "complete"
    assert session.processes() != first


async def test_gemini_is_not_made_to_load_a_session_in_the_minute_of_its_start(
    play: Play, begin: Begin, listener: Listener
) -> None:
    agent = play("gemini-minute", replace(QUICK, minute=3.0))
    session = await begin(agent)
    (lineage,) = (await described(listener)).lineage
    await run(session, listener, "model: say 2")
    await session.close()
    again = await begin(agent, lineage=lineage, restored=True)
    assert again._supervisor.agent
    assert not again._supervisor.agent.session  # it was not asked to
    while not listener.silent():
        await listener.next()
    events = await run(again, listener, "model: say 1")
    told = [event for event in events if isinstance(event, Described)]
    assert told[0].note == "gemini-minute can go on with this session within a minute"
    assert told[1].lineage == (lineage,)
    assert said(events) == "piece 1 "


async def test_a_session_that_gemini_has_destroyed_is_forgotten(
    play: Play, begin: Begin, listener: Listener, tmp_path: Path
) -> None:
    """What became of one that was loaded in that minute: the recording that the rule above comes from."""
    (tmp_path / "life").write_text("1")
    rows = (HERE / "recordings" / "gemini.jsonl").read_text().split('{"life"')[-1]
    lineage = rows.partition('"sessionId": "')[2].partition('"')[0]
    await begin(play("gemini"), lineage=lineage, restored=True)
    why = "Internal error: No previous sessions found for this project."
    assert (await described(listener)).note == f"gemini has forgotten what was said before: {why}"


@pytest.mark.parametrize("agent", [each for each in ALL if each != "gemini"])
async def test_its_session_is_loaded_again_and_the_replay_is_not_told(
    agent: str, play: Play, begin: Begin, listener: Listener, tmp_path: Path
) -> None:
    lives = (HERE / "recordings" / f"{agent}.jsonl").read_text().count('{"life"')
    (tmp_path / "life").write_text(str(lives - 1))
    rows = (HERE / "recordings" / f"{agent}.jsonl").read_text().split('{"life"')[-1]
    lineage = rows.partition('"sessionId": "')[2].partition('"')[0]
    session = await begin(play(agent), lineage=lineage, restored=True)
    assert (await described(listener)).lineage == (lineage,)
    events = await run(session, listener, "model: say 1")
    assert said(events).endswith("piece 1 ")
    assert "piece 2" not in said(events)
    assert not [event for event in events if isinstance(event, ToolStarted)]
    assert finished(events).status == "complete"
    assert isinstance(events[-1], Finished)
