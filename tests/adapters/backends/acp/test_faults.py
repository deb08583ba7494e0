"""Agents that do not work as they should: nothing is lost, nothing hangs, and it is said what was wrong."""

from __future__ import annotations

import os
import signal

import pytest
from msgspec.structs import replace

from agent.adapters.backends.acp import AcpAgent
from agent.adapters.backends.acp.orphans import Orphans
from agent.errors import BackendFailed
from agent.ports import BackendConfig, BackendEvent, Described, Finished, Start, ToolFinished, ToolStarted, Unknown
from agent.protocol.model import SessionId
from tests.adapters.backends.acp.agents import QUICK, odd
from tests.adapters.backends.acp.conftest import SESSION, Begin, described
from tests.fakes.clock import settle
from tests.fakes.listener import Listener, finished, run, said


async def test_garbage_is_noted_once_and_the_rest_is_heard(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await described(listener)
    events = await run(session, listener, "garbage")
    assert said(events) == "fine"
    assert finished(events).status == "complete"
    notes = [e.note for e in events if isinstance(e, Described) and e.note]
    assert notes == ["odd wrote what is no message: npm WARN deprecated"]
    assert not [e for e in await run(session, listener, "garbage") if isinstance(e, Described)]


async def test_a_banner_before_the_first_message_is_no_fault(begin: Begin, listener: Listener) -> None:
    session = await begin(odd("--banner", "Welcome!"))
    assert (await described(listener)).note == "odd wrote what is no message: Welcome!"
    assert said(await run(session, listener, "say hello")) == "hello "


async def test_a_line_of_8_mb_is_named_at_its_place_each_time(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await described(listener)
    for _ in range(2):
        events = await run(session, listener, "long 8000000")
        assert said(events) == "\n[a line of 8.0 MB left out]\nafter"
        assert finished(events).status == "complete"


async def test_an_image_that_is_too_large_is_named_and_its_tool_ends(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await described(listener)
    events = await run(session, listener, "picture 6000000")
    (end,) = [e for e in events if isinstance(e, ToolFinished)]
    assert (end.status, end.output) == ("complete", "[image/png of 6.0 MB left out: file:///shot.png]")
    assert finished(events).status == "complete"


async def test_a_line_of_3_mb_is_heard(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    assert len(said(await run(session, listener, "long 3000000"))) == 3_000_005


async def test_an_answer_of_8_mb_ends_the_turn_all_the_same(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    end = finished(await run(session, listener, "long-reply 8000000"))
    assert (end.status, end.error) == ("error", "the answer was a line of 8.0 MB, more than is read")
    assert said(await run(session, listener, "say x")) == "x "


async def test_an_agent_that_dies_in_a_turn_is_started_again_by_the_next(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await described(listener)
    events = await run(session, listener, "die 3")
    end = finished(events)
    assert said(events) == "so "
    assert end.status == "error"
    assert end.error == "odd ended with exit status 3: panic: out of cheese"
    events = await run(session, listener, "say again")
    assert said(events) == "again "
    (known,) = (e for e in events if isinstance(e, Described))
    assert known.note == "odd has forgotten what was said before: no such session"


async def test_an_agent_that_is_killed_between_turns_is_said_to_be(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await described(listener)
    os.kill(session.processes()[0], signal.SIGKILL)
    assert (await described(listener)).note == "odd was ended by SIGKILL; the next prompt starts it again"
    assert said(await run(session, listener, "say again")) == "again "


async def test_stderr_is_drained_and_its_end_kept(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    assert said(await run(session, listener, "noise 2000000")) == "done"
    end = finished(await run(session, listener, "die"))
    assert end.error.endswith("the last words / panic: out of cheese")
    assert len(end.error) < 600


async def test_what_has_no_name_is_kept_and_shown_to_nobody(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await described(listener)
    events = await run(session, listener, "strange")
    unknown = {event.kind: event.data for event in events if isinstance(event, Unknown)}
    assert list(unknown) == ["hologram", "session/dance", "agent_message_chunk"]
    assert "cube" in unknown["hologram"]
    assert unknown["session/dance"] == '{"steps": 3}'
    assert said(events) == "still here"
    assert [e.title for e in events if isinstance(e, ToolStarted)] == ["odd"]
    assert not [e for e in events if isinstance(e, ToolFinished)]
    assert finished(events).status == "complete"  # an unknown reason to stop is one


async def test_a_second_answer_ends_nothing(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    assert finished(await run(session, listener, "twice")).status == "complete"
    events = await run(session, listener, "say next")
    assert said(events) == "next "
    assert finished(events) == Finished(status="complete")


async def test_an_agent_that_cancels_itself_was_not_interrupted_by_us(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    end = finished(await run(session, listener, "stop"))
    assert (end.status, end.error) == ("interrupted", "the agent stopped by itself")


async def test_an_error_instead_of_an_answer_is_told(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    end = finished(await run(session, listener, "fail"))
    assert (end.status, end.error) == ("error", "Internal error: out of cheese")
    assert finished(await run(session, listener, "fail -32000")).error == (
        "odd needs a login: Log in with the web (opens a page); log in on that device"
    )
    assert said(await run(session, listener, "say x")) == "x "


async def test_what_is_not_offered_is_refused(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    for method in ("fs/read_text_file", "terminal/create", "odd/thing"):
        assert said(await run(session, listener, f"request {method}")) == "error -32601"


async def test_a_login_that_is_needed_is_named(begin: Begin) -> None:
    with pytest.raises(BackendFailed, match=r"odd needs a login: Log in with the web \(opens a page\)") as raised:
        await begin(odd("--needs-login"))
    assert raised.value.hint == "log in on that device"


async def test_an_agent_that_does_not_start_says_why(begin: Begin) -> None:
    with pytest.raises(BackendFailed, match="odd ended with exit status 7: cannot find the thing"):
        await begin(odd("--no-start"))


async def test_an_agent_of_another_version_is_refused(begin: Begin) -> None:
    with pytest.raises(BackendFailed, match="odd speaks version 2 of the Agent Client Protocol, and not 1"):
        await begin(odd("--wrong-version"))


async def test_an_agent_that_never_answers_is_given_up(begin: Begin) -> None:
    mute = AcpAgent("mute", BackendConfig(argv=("sleep", "600")), Orphans(), replace(QUICK, start=0.1, eof=0.05))
    with pytest.raises(BackendFailed, match=r"mute did not answer initialize within 0.1 s"):
        await begin(mute)


async def test_a_slow_reader_loses_nothing_of_an_agent_that_has_ended() -> None:
    listener = Listener(room=1)
    session = await odd(timeouts=replace(QUICK, silence=0.001)).start(Start(session=SessionId(SESSION)), listener.emit)
    await described(listener)
    await session.prompt("pour 100")
    events: list[BackendEvent] = []
    while not events or not isinstance(events[-1], Finished):
        await settle()
        events.append(await listener.next())
    assert len(said(events)) == 500_000
    assert finished(events).error == "odd ended with exit status 0"
    await session.close()
