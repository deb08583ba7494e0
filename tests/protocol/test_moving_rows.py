"""protocol.moving_rows: what of a turn's rows still stands once text was given."""

from __future__ import annotations

import pytest

from agent.protocol.events import MessageComplete, MessageDelta, Payload, SessionInfo, ToolUpdate, TurnComplete
from agent.protocol.messages import TAIL_MAX
from agent.protocol.moving_rows import MovingRows, bounded_rows


def rows() -> MovingRows:
    made = MovingRows()
    made.take(3, "one\n 50 %")
    return made


@pytest.mark.parametrize(
    ("given", "left"),
    [("one\n", " 50 %"), ("one\n 50 %\n", ""), ("else\n", ""), ("one\n 50 %", "")],
)
def test_text_that_is_given_takes_away_the_rows_that_it_begins_with_or_all(given: str, left: str) -> None:
    moving = rows()
    moving.apply(MessageDelta(turn=3, text=given))
    assert moving.text == left


@pytest.mark.parametrize(
    "payload", [TurnComplete(turn=3, status="complete"), SessionInfo(status="ended"), SessionInfo(status="failed")]
)
def test_nothing_moves_after_the_end_of_the_turn(payload: Payload) -> None:
    moving = rows()
    moving.apply(payload)
    assert (moving.text, moving.turn) == ("", 0)


@pytest.mark.parametrize(
    "payload",
    [
        MessageDelta(turn=0, text="of a job"),
        MessageComplete(turn=3, text="a part, as where a question is asked", status="complete"),
        TurnComplete(turn=4, status="interrupted"),  # of a prompt that was taken back
        ToolUpdate(turn=3, tool_id="t", text="x"),
        SessionInfo(title="other"),
        None,
    ],
)
def test_what_is_about_something_else_leaves_them(payload: Payload | None) -> None:
    moving = rows()
    moving.apply(payload)
    assert moving.text == "one\n 50 %"


def test_of_too_many_rows_the_last_ones_are_sent_whole() -> None:  # T11
    text = "".join(f"row {number}\n" for number in range(2000))
    kept = bounded_rows(text)
    assert len(kept) <= TAIL_MAX
    assert text.endswith(f"\n{kept}")
    assert bounded_rows("\x1b[31m" * 2000 + "x").removeprefix("\x1b[31m")[:1] in {"\x1b", "x"}
    assert bounded_rows("short") == "short"
