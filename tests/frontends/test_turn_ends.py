"""How turns end, told by every front end: status, exit status, stop reason and the one line agree (S14)."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from agent.client.turn_ends import turn_end
from agent.client.view import LogEntry
from agent.errors import AgentError
from agent.frontends.cli.transcript import status_line
from agent.frontends.editors.turns import AwaitedTurns
from agent.frontends.editors.updates import EditorUpdates
from agent.frontends.hermes_ui.event_mapping import EventMapping
from agent.frontends.hermes_ui.session_info import info_of
from agent.ports import BackendEvent, Exited, Finished, Said
from agent.protocol.events import (
    Payload,
    TurnComplete,
    UserMessage,
    make_event,
    payload_of,
)
from agent.protocol.messages import Submitted
from agent.protocol.turn_causes import REASONS
from agent.sessions.rules.mapping import payloads_of
from agent.sessions.rules.state import SessionMachine
from tests.frontends.conftest import Agent
from tests.frontends.gateway import HERE, NOW, FakeGateway, _sender, session


class End(NamedTuple):
    """What a backend says at the end of a turn, and how that is to be told."""

    said: BackendEvent
    exit_status: int  # of `agent prompt`
    stop: str  # of an editor's prompt; "": an error
    line: str  # what a person reads of it


ENDS = {
    "success": End(Finished(status="complete"), 0, "end_turn", "done"),
    "command": End(Finished(status="complete", exit_status=0), 0, "end_turn", "done"),
    "failing-command": End(Finished(status="complete", exit_status=3), 1, "end_turn", "exit status 3"),
    "interrupted": End(Finished(status="interrupted", exit_status=130), 130, "cancelled", "interrupted"),
    "stopped-by-itself": End(Finished(status="interrupted", error="it stopped"), 1, "cancelled", "it stopped"),
    "error": End(Finished(status="error", error="no such model"), 1, "", "no such model"),
    "error-without-a-word": End(Finished(status="error"), 1, "", "failed"),
    "exit-3": End(Exited(status="ended", reason="exit status 3", exit_status=3), 1, "", "has ended: exit status 3"),
    "exit-0": End(Exited(status="ended", reason="exit status 0", exit_status=0), 0, "end_turn", "has ended with it"),
    "closed-elsewhere": End(Exited(status="ended", reason="it was closed"), 1, "", "it was closed"),
    "killed": End(Exited(status="failed", reason="bash was ended by SIGKILL"), 1, "", "ended by SIGKILL"),
    "complete-with-an-error": End(Finished(status="complete", error="cut off"), 1, "", "cut off"),
    **{
        cause: End(
            Finished(status="complete", cause=cause),  # type: ignore[arg-type]  # the table has no others
            1,
            cause if cause in {"max_tokens", "max_turn_requests", "refusal"} else "",
            sentence,
        )
        for cause, sentence in REASONS.items()
        if cause != "program_ended"
    },
}


def log_of(said: BackendEvent) -> list[Payload]:
    """The log of one turn that ends so, as the session's machine writes it."""
    machine = SessionMachine(HERE)
    payloads: list[Payload] = []

    def take(entries: tuple[Payload, ...]) -> None:
        for event in machine.number(entries, NOW):
            machine.apply(event)
            found = payload_of(event)
            assert found is not None
            payloads.append(found)

    take(machine.prompt("p1", "go", _sender())[0].payloads)
    for event in (Said("half\n"), said):
        take(payloads_of(machine, event).payloads)
    return payloads


def the_end(payloads: list[Payload]) -> TurnComplete:
    (end,) = [payload for payload in payloads if isinstance(payload, TurnComplete)]
    return end


def entries(payloads: list[Payload]) -> list[LogEntry]:
    return [LogEntry(make_event(seq, payload, NOW), payload) for seq, payload in enumerate(payloads, 1)]


cases = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())


@cases
def test_the_outcome_agrees_with_the_status_in_the_log(end: End) -> None:  # S14
    done = the_end(log_of(end.said))
    plain = done.status == "complete" and not done.exit_status
    assert plain == (end.exit_status == 0)
    assert (turn_end(done).outcome == "success") == plain
    assert not (plain and done.error)


@cases
def test_agent_prompt_says_it_and_its_status_agrees(end: End, gateway: FakeGateway, agent: Agent) -> None:  # S14
    said, *rest = log_of(end.said)
    assert isinstance(said, UserMessage)
    gateway.emit(said, *rest)
    gateway._turns["p1"] = 1
    ran = agent("prompt", HERE, "--id", "p1", "go")
    assert (ran.status, ran.out) == (end.exit_status, "half\n")
    told = ran.err.replace("sent before; its reply follows\n", "")
    if end.line not in {"done", "exit status 3", "interrupted", "failed"}:  # what a pipe has as the status
        assert end.line in told
    as_json = agent("prompt", HERE, "--id", "p1", "--json", "go")
    last = json.loads(as_json.out.splitlines()[-1])
    assert as_json.status == end.exit_status
    assert (last["type"], last["payload"]["status"]) == ("turn.complete", the_end([*rest]).status)


@cases
def test_attach_and_log_say_it_in_one_line(end: End, gateway: FakeGateway, agent: Agent) -> None:  # S14
    payloads = log_of(end.said)
    line = status_line(the_end(payloads))
    assert end.line in line
    assert line.startswith("-- done") == (end.exit_status == 0)
    gateway.emit(*payloads)
    assert f"{line}\n" in agent("log", HERE).out


@cases
def test_an_editor_is_answered_with_it_and_shown_why(end: End) -> None:  # S14
    turns, updates = AwaitedTurns(), EditorUpdates("")
    shown: list[Any] = []

    async def run() -> str:
        waiting = turns.sent("p1")
        turns.accepted(waiting, Submitted(turn=1, status="started"))
        for entry in entries(log_of(end.said)):
            shown.extend(updates.take(entry, skip=turns.prompts))
            turns.see(entry.payload)
        try:
            return await waiting.done
        except AgentError as exc:
            shown.append(exc)
            return ""

    import asyncio

    assert asyncio.run(run()) == end.stop
    told = " ".join(str(each) for each in shown)
    assert end.line in told or end.line == "done" or (end.line == "failed" and "the turn failed" in told)


@cases
def test_hermes_ui_is_told_the_status_and_why(end: End) -> None:  # S14
    mapping = EventMapping(info_of(session()), local=True, verbatim=True)
    payloads = log_of(end.said)
    frames = [frame for entry in entries(payloads) for frame in mapping.take(entry)]
    (complete,) = [frame for frame in frames if frame.type == "message.complete"]
    assert complete.payload is not None
    assert complete.payload["status"] == the_end(payloads).status
    told = " ".join(str(frame.payload) for frame in frames)
    assert end.line in told or end.line == "done"


def test_an_end_that_an_older_device_told_as_complete_is_read_by_its_reason() -> None:  # S14
    ended = TurnComplete(turn=1, status="complete", exit_status=3, error="exit status 3")
    assert turn_end(ended).line == "exit status 3"
    closed = TurnComplete(turn=1, status="complete", error="it was closed at the Hermes gateway")
    assert (turn_end(closed).outcome, turn_end(closed).stop) == ("failure", None)
    left = TurnComplete(turn=1, status="complete", exit_status=0, error="exit status 0")
    assert turn_end(left).outcome == "success"


def test_a_prompt_that_was_taken_back_never_ran_and_that_is_no_failure() -> None:  # S12, S14
    taken_back = TurnComplete(turn=1, status="interrupted", error="for older readers", withdrawn_by=_sender())
    end = turn_end(taken_back)
    assert (end.outcome, end.stop, end.line) == ("interrupted", "cancelled", "never ran: taken back by laptop")


def test_a_reason_is_one_clean_line() -> None:  # T10
    end = turn_end(TurnComplete(turn=1, status="error", error="no \x1b[2Jmodel\nat all"))
    assert end.line == "failed: no \N{REPLACEMENT CHARACTER}[2Jmodel at all"
