"""terminal.output: text once it cannot change any more, rows while they may, and both together."""

from __future__ import annotations

import pytest

from agent.adapters.backends.terminal.output import PACE, SETTLED, CommandOutput
from agent.protocol.moving_rows import rows_after
from agent.protocol.terminal import Size


class Shown:
    """What a client shows of the output, and each thing that it was told."""

    def __init__(self) -> None:
        self.output = CommandOutput(Size(24, 80))
        self.output.begin()
        self.now = 100.0
        self.told: list[str] = []
        self.text = self.rows = ""

    def write(self, text: str, seconds: float = 0.0) -> Shown:
        self.output.feed(text.replace("\n", "\r\n").encode(), self.now)
        self._tell()
        return self.wait(seconds)

    def wait(self, seconds: float) -> Shown:
        self.now += seconds
        self.output.settle(self.now)
        self._tell()
        return self

    def _tell(self) -> None:
        text = self.output.take(self.now)
        if text:
            self.text += text
            self.rows = rows_after(self.rows, text)
            self.told.append(text)
        moving = self.output.moving(self.now)
        if moving is not None:
            self.rows = moving
            self.told.append(f"[{moving}]")


def test_a_bar_moves_at_its_pace_and_becomes_text_once_it_is_done() -> None:
    shown = Shown()
    for percent in range(100):
        shown.write(f"\r{percent:3} %", PACE / 10)
    assert shown.text == ""
    assert 10 <= len(shown.told) <= 12
    shown.write("\r100 %\n", SETTLED)
    assert (shown.text, shown.rows) == ("100 %\n", "")


def test_a_bar_below_lines_of_a_log_stays_in_sight_and_comes_with_them() -> None:
    shown = Shown().write("\r####  50 %", PACE)
    for number in range(50):
        shown.write(f"\r\x1b[KCompiling {number}\n####  50 %", PACE / 5)
        assert shown.rows.endswith("####  50 %")
    shown.wait(SETTLED)
    assert shown.text == "".join(f"Compiling {number}\n" for number in range(50))
    assert shown.rows == "####  50 %"
    assert len(shown.told) <= 30


@pytest.mark.parametrize("rows", ["", "half a line"])
def test_nothing_is_due_once_it_is_quiet_and_told(rows: str) -> None:
    shown = Shown().write(f"one\n{rows}", SETTLED).wait(PACE)
    assert (shown.text, shown.rows) == ("one\n", rows)
    assert shown.output.due(shown.now) is None
