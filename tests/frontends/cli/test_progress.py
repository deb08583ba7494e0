"""The line that tells what runs: what it says, and what gives way where there is no room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.client.terminal_text import width
from agent.client.view import LogEntry
from agent.frontends.cli.progress import TurnProgress
from agent.protocol.events import (
    MessageDelta,
    MessageStart,
    Payload,
    ThoughtDelta,
    ToolComplete,
    ToolStart,
    ToolUpdate,
    TurnComplete,
    UserMessage,
    make_event,
)
from agent.protocol.model import DeviceId, Sender

NOW = 1_800_000_000.0
BEGAN = (
    UserMessage(turn=1, prompt_id="p1", text="make\nall", sender=Sender(device=DeviceId("d"), name="desk")),
    MessageStart(turn=1),
)
CARGO = ToolStart(turn=1, tool_id="t1", title="cargo build")


def running(*payloads: Payload, live: bool = True, at: float = NOW) -> TurnProgress:
    progress = TurnProgress()
    for payload in payloads:
        progress.take(LogEntry(make_event(1, payload, at), payload), NOW, live=live)
    return progress


def told(
    progress: TurnProgress, after: float = 12.0, columns: int = 100, *, backend: str = "acp", asked: bool = False,
    waiting: int = 0, unsent: int = 0, newest: str = "",
) -> str:  # fmt: skip
    return progress.line(
        NOW + after, columns, backend=backend, asked=asked, waiting=waiting, unsent=unsent, newest=newest
    )


@pytest.mark.parametrize(
    ("payloads", "backend", "what"),
    [
        (BEGAN, "shell", "make all · "),
        (BEGAN, "acp", ""),
        ((*BEGAN, ThoughtDelta(turn=1, text="hm")), "acp", "thinking · "),
        ((*BEGAN, MessageDelta(turn=1, text="hm")), "acp", "replying · "),
        ((*BEGAN, CARGO), "acp", "cargo build · "),
        ((*BEGAN, CARGO, ToolUpdate(turn=1, tool_id="t1", title="cargo\x1b test")), "acp", "cargo\ufffd test · "),
        ((*BEGAN, ToolStart(turn=1, tool_id="t0", title="x"), CARGO), "acp", "cargo build (+1) · "),
        ((*BEGAN, CARGO, ToolComplete(turn=1, tool_id="t1", status="complete")), "acp", ""),
        ((MessageDelta(turn=1, text="its beginning is too long ago"),), "acp", "replying · "),
    ],
)
def test_it_says_what_runs_for_how_long_and_what_interrupts(
    payloads: tuple[Payload, ...], backend: str, what: str
) -> None:
    assert told(running(*payloads), backend=backend) == f"-- working 12 s · {what}Ctrl-C interrupts"


def test_there_is_none_for_a_short_turn_or_without_one() -> None:
    assert told(running(*BEGAN), 0.9) == ""
    assert told(running()) == ""
    assert told(running(*BEGAN, TurnComplete(turn=1, status="complete")), waiting=1) == ""


def test_the_end_of_a_turn_that_waited_does_not_end_the_one_that_runs() -> None:  # S12
    assert told(running(*BEGAN, TurnComplete(turn=2, status="interrupted")))


def test_what_waits_and_what_was_not_sent_is_counted_with_the_key_that_takes_it_back() -> None:  # S12, L8
    progress = running(*BEGAN)
    assert ' · 1 waiting; Up takes back "two" · ' in told(progress, waiting=1, newest="two")
    assert " · 2 waiting · " in told(progress, waiting=2)
    assert " · 2 waiting, 1 not sent yet; Up takes back" in told(progress, waiting=2, unsent=1, newest="x")
    assert told(running(), unsent=3, newest="x") == '-- 3 not sent yet; Up takes back "x"'
    assert told(progress, asked=True) == "-- waits for an answer 12 s · Ctrl-C interrupts"


def test_time_is_told_as_a_clock_counts_and_the_clock_of_another_device_does_not_matter() -> None:
    assert told(running(*BEGAN), 3725.0).startswith("-- working 1 h 2 min ")
    assert told(running(*BEGAN), 185.0).startswith("-- working 3 min 5 s ")
    assert told(running(*BEGAN, at=NOW - 9000)).startswith("-- working 12 s ")
    assert told(running(*BEGAN, live=False, at=NOW - 60)).startswith("-- working 1 min 12 s ")
    assert told(running(*BEGAN, live=False, at=NOW + 9000)).startswith("-- working 12 s ")


@given(st.integers(12, 120), st.text("abc 日", max_size=80), st.integers(0, 3), st.text(max_size=60))
def test_it_fits_and_the_time_stays(columns: int, title: str, waiting: int, newest: str) -> None:
    progress = running(*BEGAN, ToolStart(turn=1, tool_id="t", title=title))
    line = told(progress, 7.0, columns, waiting=waiting, newest=newest)
    assert width(line) <= columns
    assert "working 7" in line or columns < len("-- working 7 s")


def test_what_gives_way_where_there_is_no_room() -> None:
    progress = running(*BEGAN, CARGO)
    lines = [told(progress, columns=columns, waiting=2, newest="a third one") for columns in (100, 64, 48, 32, 16)]
    assert lines == [
        '-- working 12 s · cargo build · 2 waiting; Up takes back "a third one" · Ctrl-C interrupts',
        "-- working 12 s · cargo build · 2 waiting · Ctrl-C interrupts",
        "-- working 12 s · cargo build · 2 waiting",
        "-- working 12 s · cargo build",
        "-- working 12 s",
    ]


def test_where_nothing_can_be_drawn_it_is_said_seldom() -> None:
    progress = running(*BEGAN)
    assert [after for after in range(4000) if progress.due(NOW + after)] == [10, 60, 600, 3600]
