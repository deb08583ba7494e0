"""Tools in the log of a session: none stays open after its turn, and much output keeps its beginning and its end."""

from __future__ import annotations

import re

import pytest

from agent.ports import Asked, Exited, Finished, Planned, Said, ToolFinished, ToolProgressed, ToolStarted
from agent.protocol.events import (
    TEXT_MAX,
    Choice,
    Diff,
    Payload,
    PlanEntry,
    PlanUpdate,
    RequestOpen,
    ToolComplete,
    ToolStart,
    ToolUpdate,
    TurnStatus,
    payload_of,
)
from agent.protocol.excerpts import GAP
from agent.protocol.model import SessionId
from agent.sessions.rules.state import SessionMachine
from agent.sessions.rules.tools import HEAD_MAX, KNOWN_MAX, TAIL_MAX
from tests.sessions.rules.test_state import Log

START, MORE = ToolStarted(tool_id="t", title="make"), ToolProgressed(tool_id="t", text="line\n")


def running() -> Log:
    log = Log()
    log.prompt("go")
    log.says(START, MORE)
    return log


def tools(log: Log) -> list[Payload]:
    found = [payload_of(event) for event in log.events]
    return [each for each in found if isinstance(each, ToolStart | ToolUpdate | ToolComplete)]


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (Finished(status="complete"), "interrupted"),
        (Finished(status="interrupted"), "interrupted"),
        (Finished(status="error", error="it broke"), "error"),
        (Finished(status="complete", cause="max_tokens"), "error"),
        (Exited(status="ended", reason="exit status 0", exit_status=0), "interrupted"),
        (Exited(status="failed", reason="killed"), "error"),
    ],
)
def test_a_tool_that_is_open_ends_with_its_turn(end: Finished | Exited, status: TurnStatus) -> None:  # S14
    log = running()
    log.says(end)
    assert tools(log)[-1] == ToolComplete(turn=1, tool_id="t", status=status)
    kinds = [event.type for event in log.events]
    assert kinds.index("tool.complete") < kinds.index("turn.complete")


def test_a_tool_that_is_open_ends_at_a_restart_too() -> None:  # S14
    before = running()
    again = SessionMachine(SessionId("s"))
    for event in before.events:
        again.apply(event)
    recovered = again.recovered("the service was restarted").payloads
    assert ToolComplete(turn=1, tool_id="t", status="interrupted") in recovered


def test_a_tool_between_two_turns_ends_with_the_next_one() -> None:
    log = Log()
    log.says(START)
    log.prompt("go")
    assert tools(log) == [ToolStart(turn=0, tool_id="t", title="make"),
                          ToolComplete(turn=0, tool_id="t", status="interrupted")]  # fmt: skip


def test_a_tool_that_ends_after_its_turn_begins_anew_so_that_readers_know_it() -> None:
    log = running()
    log.says(Finished(status="complete"), MORE, ToolFinished(tool_id="t", status="complete", output="built\n"))
    assert tools(log)[-3:] == [
        ToolUpdate(turn=0, tool_id="t", text="line\n"),
        ToolStart(turn=0, tool_id="t", title="make"),
        ToolComplete(turn=0, tool_id="t", status="complete", output="built\n"),
    ]
    log.prompt("next")
    assert isinstance(tools(log)[-1], ToolComplete)
    assert len(tools(log)) == 6  # nothing of it is open


def test_a_tool_that_streams_without_end_keeps_its_beginning_and_its_end() -> None:
    log = running()
    said = "line\n"
    for number in range(4000):
        said += f"{number:099}\n"
        log.says(ToolProgressed(tool_id="t", text=f"{number:099}\n"))
    log.says(ToolFinished(tool_id="t", status="error"))
    updates = "".join(each.text for each in tools(log) if isinstance(each, ToolUpdate))
    found = re.search(GAP + r"… ([\d,]+) characters left out\n", updates)
    assert found is not None
    head, tail = updates[: found.start()], updates[found.end() :]
    assert (len(head), len(tail)) == (HEAD_MAX, TAIL_MAX)
    assert said.startswith(head)
    assert said.endswith(tail)
    assert int(found[1].replace(",", "")) == len(said) - HEAD_MAX - TAIL_MAX
    assert tools(log)[-1] == ToolComplete(turn=1, tool_id="t", status="error")


def test_a_viewer_is_told_while_it_streams_that_something_is_left_out() -> None:
    log = running()
    log.says(ToolProgressed(tool_id="t", text="x" * (HEAD_MAX + TAIL_MAX)))
    assert not isinstance(tools(log)[-1], ToolComplete)
    assert GAP in "".join(each.text for each in tools(log) if isinstance(each, ToolUpdate))
    log.says(Said("y" * 98_304), Said("z" * 20_000))
    deltas = [payload_of(event) for event in log.events if event.type == "message.delta"]
    assert deltas[-1].text == GAP  # type: ignore[union-attr]  # a delta


def test_an_output_that_comes_whole_and_too_long_keeps_its_end() -> None:
    log = running()
    log.says(ToolFinished(tool_id="t", status="error", output="first\n" + "x" * 300_000 + "\nerror: at the end"))
    end = tools(log)[-1]
    assert isinstance(end, ToolComplete)
    assert len(end.output) <= TEXT_MAX
    assert end.output.startswith("first\n")
    assert end.output.endswith("\nerror: at the end")
    assert " characters left out\n" in end.output


def test_changed_files_that_are_too_many_are_counted() -> None:
    log = running()
    diffs = tuple(Diff(path=str(number), patch="+x\n") for number in range(40))
    log.says(ToolFinished(tool_id="t", status="complete", output="done", diffs=diffs))
    end = tools(log)[-1]
    assert isinstance(end, ToolComplete)
    assert (len(end.diffs), end.output) == (32, "done\n… 8 changed files left out")


def test_tools_that_are_never_ended_are_bounded() -> None:  # T11
    log = running()
    for number in range(KNOWN_MAX + 10):
        log.says(ToolStarted(tool_id=f"{number}", title="make"))
    begun = [each for each in tools(log) if isinstance(each, ToolStart)]
    log.says(Finished(status="complete"))
    ended = {each.tool_id for each in tools(log) if isinstance(each, ToolComplete)}
    assert ended == {each.tool_id for each in begun}


def test_choices_fields_and_steps_that_are_too_many_are_counted() -> None:
    log = running()
    choices = tuple(Choice(id=str(number), name="x" * 4000) for number in range(70))
    log.says(
        Asked(request_id="r", kind="choices", prompt="Which?", choices=choices, detail="rm -rf build"),
        Planned(tuple(PlanEntry(text=str(number)) for number in range(200))),
    )
    found = [payload_of(event) for event in log.events]
    (request,) = [each for each in found if isinstance(each, RequestOpen)]
    assert request.detail == "rm -rf build\n… 6 choices left out"  # whole, however long the choices are
    (plan,) = [each for each in found if isinstance(each, PlanUpdate)]
    assert (len(plan.entries), plan.entries[-1].text) == (128, "… 73 steps left out")


def streamed(*pieces: str, kind: str = "execute") -> Log:
    log = Log()
    log.prompt("go")
    log.says(ToolStarted(tool_id="t", title="make", tool=kind))
    log.says(*(ToolProgressed(tool_id="t", text=piece) for piece in pieces))
    return log


def output(log: Log) -> str:
    return "".join(each.text for each in tools(log) if isinstance(each, ToolUpdate))


BAR = ["start\n", "\r 10%", "\r 50%\r", " 100%\r", "\ndone\n"]


def test_a_progress_bar_of_a_tool_reads_as_a_person_saw_it() -> None:
    log = streamed(*BAR)
    assert output(log) == "start\n 100%\ndone\n"
    log.says(ToolFinished(tool_id="t", status="complete", output="".join(BAR)))
    assert tools(log)[-1] == ToolComplete(turn=1, tool_id="t", status="complete", output="start\n 100%\ndone\n")


def test_text_that_is_only_text_passes_as_it_comes() -> None:
    pieces = ["half ", "a line", "\n\tnext\r", "\n\x1b[31mred\x1b[0m"]
    assert output(streamed(*pieces)) == "half a line\n\tnext\n\x1b[31mred\x1b[0m"


def test_what_was_given_of_a_line_stays_and_the_bar_begins_another() -> None:
    log = streamed("fetch: ", "\rfetch: 10%", "\rfetch: 100%")
    assert output(log) == "fetch: \n"
    log.says(Finished(status="complete"))
    assert output(log) == "fetch: \nfetch: 100%"


def test_frames_that_a_tool_erases_leave_the_last_one() -> None:
    log = streamed(*(f"\x1b[2A\x1b[Jtask {n}\nwait {n}\n" for n in range(9)))
    log.says(ToolFinished(tool_id="t", status="complete"))
    assert output(log) == "task 0\nwait 0\ntask 8\nwait 8\n"  # the first one was given before anything moved


def test_what_a_tool_reads_from_a_file_is_not_drawn() -> None:
    log = streamed("old\rMac\rlines\b", kind="read")
    assert output(log) == "old\rMac\rlines\b"
    log.says(ToolFinished(tool_id="t", status="complete", output="old\rMac"))
    assert tools(log)[-1] == ToolComplete(turn=1, tool_id="t", status="complete", output="old\rMac")
