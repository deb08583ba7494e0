"""Sessions of an agent that works as it should: turns, options, interrupts, rest and return."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.errors import BackendFailed, BadParams
from agent.ports import Described, Finished, HasOptions, Rests, RunsPrograms, Said, Thought, ToolFinished, ToolStarted
from tests.adapters.backends.acp.agents import QUICK, odd
from tests.adapters.backends.acp.conftest import SESSION, Begin, described
from tests.fakes.listener import Listener, finished, run, said


async def test_what_is_known_at_the_start_is_told_at_once(begin: Begin, listener: Listener, tmp_path: Path) -> None:
    session = await begin(odd(), cwd=str(tmp_path))
    known = await described(listener)
    assert listener.silent()
    assert (known.cwd, known.model, known.note) == (str(tmp_path), "Small", "")
    assert [(o.id, o.value, [c.id for c in o.choices]) for o in known.options or ()] == [
        ("model", "small", ["small", "large"]),
        ("mode", "ask", ["ask", "auto"]),
    ]
    assert len(known.lineage) == 1
    assert known.lineage[0].startswith("odd-")
    assert isinstance(session, HasOptions)
    assert isinstance(session, Rests)
    assert isinstance(session, RunsPrograms)
    assert len(session.processes()) == 1


async def test_options_are_set_by_the_request_that_the_agent_takes(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await described(listener)
    await session.choose("model", "large")
    assert (await described(listener)).model == "Large"
    await session.choose("mode", "auto")
    options = (await described(listener)).options or ()
    assert [(o.id, o.value) for o in options] == [("model", "large"), ("mode", "auto")]
    with pytest.raises(BadParams, match="'huge' is not one of the choices"):
        await session.choose("model", "huge")
    with pytest.raises(BadParams, match="no option 'wings'"):
        await session.choose("wings", "two")
    events = await run(session, listener, "mode ask")
    assert [o.value for e in events if isinstance(e, Described) for o in e.options or ()] == ["large", "ask"]


async def test_what_people_have_set_is_set_again_in_a_new_process(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await session.choose("mode", "auto")
    await run(session, listener, "die")
    events = await run(session, listener, "say x")
    (known,) = (e for e in events if isinstance(e, Described))
    assert [(o.id, o.value) for o in known.options or ()] == [("model", "small"), ("mode", "auto")]


async def test_thoughts_and_tools_are_told_apart_from_the_reply(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await described(listener)
    assert await run(session, listener, "think hm") == [Thought("hm"), Finished(status="complete")]
    events = await run(session, listener, "tool ls -l")
    assert events == [
        ToolStarted(tool_id="t1", title="ls -l", tool="execute", input="ls -l"),
        ToolFinished(tool_id="t1", status="complete", output="ran ls -l"),
        Finished(status="complete"),
    ]


async def test_an_id_of_a_tool_may_come_again(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    for _ in range(2):
        events = await run(session, listener, "tool ls")
        assert [type(e) for e in events if not isinstance(e, Described)] == [ToolStarted, ToolFinished, Finished]


async def test_what_is_said_after_the_turn_is_told(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await run(session, listener, "late 2")
    assert await listener.until_said("late 1 ") == "late 0 late 1 "


async def test_a_second_interrupt_ends_an_agent_that_does_not_listen(
    begin: Begin, listener: Listener, tmp_path: Path
) -> None:
    session = await begin(odd("--state", str(tmp_path / "state")))
    await session.prompt("ignore")
    await listener.until_said("la la la")
    (first,) = session.processes()
    await session.interrupt()
    await session.interrupt()
    end = finished(await listener.turn())
    assert (end.status, end.error) == ("interrupted", "odd was ended")
    assert said(await run(session, listener, "memory")).split() == ["ignore", "memory"]
    assert session.processes() != (first,)


async def test_a_turn_that_never_ends_after_a_cancel_is_ended(begin: Begin, listener: Listener, tmp_path: Path) -> None:
    hasty = replace(QUICK, cancel=0.1)
    session = await begin(odd("--state", str(tmp_path / "state"), timeouts=hasty))
    await run(session, listener, "say x")
    await session.prompt("ignore")
    await listener.until_said("la la la")
    await session.interrupt()
    end = finished(await listener.turn())
    assert (end.status, end.error) == ("interrupted", "odd did not stop and was ended")
    assert said(await run(session, listener, "memory")).split()[-1] == "memory"


async def test_a_restored_session_goes_on_and_its_replay_is_not_told(
    begin: Begin, listener: Listener, tmp_path: Path
) -> None:
    for late in ((), ("--replay-late",)):
        agent = odd("--state", str(tmp_path / f"state{late}"), *late)
        first = await begin(agent)
        (lineage,) = (await described(listener)).lineage
        await run(first, listener, "say one")
        await first.close()
        again = await begin(agent, lineage=lineage, restored=True)
        assert (await described(listener)).lineage == (lineage,)
        events = await run(again, listener, "memory")
        assert said(events) == "say one memory "
        assert not [event for event in events if isinstance(event, ToolStarted)]
        await again.close()


async def test_resume_is_used_where_there_is_no_load(begin: Begin, listener: Listener, tmp_path: Path) -> None:
    agent = odd("--state", str(tmp_path / "state"), "--resume")
    first = await begin(agent)
    (lineage,) = (await described(listener)).lineage
    await run(first, listener, "say one")
    assert first.may_rest()
    await first.close()
    again = await begin(agent, lineage=lineage, restored=True)
    assert said(await run(again, listener, "memory")) == "say one memory "


@pytest.mark.parametrize(
    ("option", "why"), [("--no-load", "it cannot open older sessions"), ("--version", "no such session")]
)
async def test_an_agent_that_has_forgotten_says_so(begin: Begin, listener: Listener, option: str, why: str) -> None:
    agent = odd(*((option, "2.0") if option == "--version" else (option,)))
    session = await begin(agent, lineage="odd-of-before", restored=True)
    known = await described(listener)
    assert known.note == f"odd has forgotten what was said before: {why}"
    assert known.lineage != ("odd-of-before",)
    assert finished(await run(session, listener, "say x")).status == "complete"


async def test_a_new_session_has_nothing_to_forget(begin: Begin, listener: Listener) -> None:
    await begin(odd("--no-load"))
    assert (await described(listener)).note == ""


async def test_it_rests_only_when_it_comes_back(begin: Begin, listener: Listener) -> None:
    forgetful = await begin(odd("--no-load"), session=f"{SESSION}-2")
    assert not forgetful.may_rest()
    session = await begin(odd())
    assert session.may_rest()
    await session.prompt("hold")
    assert not session.may_rest()
    await session.interrupt()
    while not isinstance(await listener.next(), Finished):
        pass
    assert session.may_rest()


async def test_a_directory_that_is_gone_is_left_for_the_home(begin: Begin, listener: Listener) -> None:
    await begin(odd(), cwd="/no/such/directory", restored=True)
    known = await described(listener)
    assert known.cwd == str(Path.home())
    assert "no such directory: /no/such/directory: it goes on in your home directory" in known.note


async def test_agents_know_which_session_they_are_in(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    assert said(await run(session, listener, "environ LAN_AGENT_SESSION")) == SESSION


async def test_a_prompt_during_the_end_of_a_process_waits_for_the_next(begin: Begin, listener: Listener) -> None:
    session = await begin(odd("--deaf"))
    await described(listener)
    (pid,) = session.processes()
    await run(session, listener, "die")
    assert said(await run(session, listener, "say hello")) == "hello "
    assert session.processes() != (pid,)


async def test_a_session_that_is_closed_takes_no_prompts(begin: Begin) -> None:
    session = await begin(odd())
    await session.close()
    assert session.processes() == ()
    with pytest.raises(BackendFailed, match="closed"):
        await session.prompt("say x")


async def test_a_long_reply_comes_whole_in_bounded_pieces(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    events = [e for e in await run(session, listener, "many 40") if isinstance(e, Said)]
    assert len(said(list(events))) == 200_000
    assert max(len(event.text) for event in events) <= 16_384


@pytest.mark.parametrize(
    ("prompt", "status", "cause"),
    [
        ("stop max_tokens", "error", "max_tokens"),
        ("stop max_turn_requests", "error", "max_turn_requests"),
        ("stop refusal", "error", "refusal"),
        ("silent", "error", "empty"),
        ("/silent", "complete", ""),
        ("say x", "complete", ""),
    ],
)
async def test_a_turn_that_was_cut_refused_or_empty_names_its_cause(
    begin: Begin, listener: Listener, prompt: str, status: str, cause: str
) -> None:  # S14
    session = await begin(odd())
    end = finished(await run(session, listener, prompt))
    assert (end.status, end.cause) == (status, cause)
