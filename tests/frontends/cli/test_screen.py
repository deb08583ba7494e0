"""What a session says above the rows that are ours: nothing of it is lost, nothing of ours is left behind."""

from __future__ import annotations

import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.frontends.cli.output import Printer
from agent.frontends.cli.screen import SplitScreen
from tests.frontends.cli.emulator import Emulator

SAID = st.lists(
    st.sampled_from(["a", "bc ", "word " * 3, "\n", "日本", "x" * 20, "\x1b[31mred", "\x1b[0m", "\tb", "z\n"])
)
ROWS = st.tuples(st.sampled_from(["", "-- working 3 s", "-- working " * 5]), st.sampled_from(["", "> "]),
                 st.sampled_from(["", "draft", "a long draft " * 4]))  # fmt: skip


class Shown:
    """A screen on a terminal of so many columns."""

    def __init__(self, columns: int, rows: int = 8) -> None:
        self.printer = Printer(color="always", environ={})
        self.printer.out = io.StringIO()
        self.printer.tty = True
        self.resize(columns)
        self.screen = SplitScreen(self.printer, lively=True)
        self.terminal = Emulator(columns, rows)

    def resize(self, columns: int) -> None:
        self.printer._environ = {"COLUMNS": str(columns)}

    def lines(self) -> list[str]:
        assert isinstance(self.printer.out, io.StringIO)
        self.terminal.feed(self.printer.out.getvalue())
        self.printer.out.seek(0)
        self.printer.out.truncate()
        return self.terminal.lines()


@given(st.lists(st.tuples(SAID, ROWS), max_size=6), st.sampled_from([20, 23, 80]))
@example([(["x" * 20, "x"], ("-- working 3 s", "> ", "draft")), (["\n", "z\n"], ("", "", ""))], 20)
def test_rows_at_the_bottom_leave_what_is_said_as_it_is(
    steps: list[tuple[list[str], tuple[str, str, str]]], columns: int
) -> None:
    shown, plain = Shown(columns), Shown(columns)
    for said, (live, prompt, text) in steps:
        for piece in said:
            shown.screen.text(piece)
            plain.screen.text(piece)
        shown.screen.bottom(live, prompt, text, len(text))
    shown.screen.bottom("", "", "")
    assert shown.lines() == plain.lines()


MOVING = st.lists(st.sampled_from(["50 %", "\x1b[32mgreen", "日本" * 20, "a\x1b[2Jb", "", "x" * 90]), max_size=4)


@given(st.lists(st.tuples(SAID, MOVING, ROWS), max_size=5), st.sampled_from([20, 80]))
def test_rows_that_move_leave_what_is_said_as_it_is(
    steps: list[tuple[list[str], list[str], tuple[str, str, str]]], columns: int
) -> None:
    shown, plain = Shown(columns), Shown(columns)
    for said, moving, (live, prompt, text) in steps:
        shown.screen.moving(moving)
        for piece in said:
            shown.screen.text(piece)
            plain.screen.text(piece)
        shown.screen.bottom(live, prompt, text, len(text))
    shown.screen.close()
    plain.screen.close()
    assert shown.lines() == plain.lines()


def test_rows_that_move_are_drawn_in_place_above_what_runs_and_what_is_typed() -> None:
    shown = Shown(40)
    shown.screen.text("one\n")
    shown.screen.bottom("-- working 3 s", "> ", "draft", 5)
    for percent in (10, 50, 99):
        shown.screen.moving(["\x1b[32mlayer 1\x1b[0m", f"{percent} %\x1b[2J " + "#" * 50])
    assert shown.lines() == ["one", "layer 1", "99 % " + "#" * 33 + "…", "-- working 3 s", "> draft"]
    assert shown.terminal.cursor == (4, 7)
    shown.screen.moving([])
    shown.screen.text("two\n")
    assert shown.lines() == ["one", "two", "-- working 3 s", "> draft"]


def test_more_rows_than_the_terminal_has_room_for_leave_room_for_the_others() -> None:
    shown = Shown(40, rows=24)
    shown.screen.text("one\n")
    shown.screen.bottom("-- working 3 s", "> ", "draft", 5)
    shown.screen.moving([f"row {number}" for number in range(100)])
    lines = shown.lines()
    assert lines[:2] == ["one", "row 79"]
    assert lines[-3:] == ["row 99", "-- working 3 s", "> draft"]


def test_a_prompt_that_waits_until_all_is_said_does_not_come_back_for_rows_that_are_the_same() -> None:
    shown = Shown(40)
    shown.screen.bottom("", "> ", "")
    shown.screen.text("one\n")
    shown.screen.moving([])
    assert shown.lines() == ["one"]


def test_what_runs_and_what_is_typed_stand_below_a_line_that_is_not_finished() -> None:
    shown = Shown(40)
    shown.screen.text("one\nDownloading")
    shown.screen.bottom("-- working 3 s", "> ", "draft", 2)
    assert shown.lines() == ["one", "Downloading", "-- working 3 s", "> draft"]
    assert shown.terminal.cursor == (3, 4)
    shown.screen.text(" … done\ntwo")
    assert shown.lines() == ["one", "Downloading … done", "two", "-- working 3 s", "> draft"]
    shown.screen.bottom("", "", "")
    shown.screen.text(" three\n")
    assert shown.lines() == ["one", "Downloading … done", "two three"]


@pytest.mark.parametrize("said", ["whole\n", "begun", "\x1b[32mgreen\n", "x" * 60])
@pytest.mark.parametrize("to", [30, 20, 10])
def test_a_narrower_terminal_keeps_none_of_our_rows(said: str, to: int) -> None:
    shown = Shown(60)
    shown.screen.text("first\n" + said)
    shown.screen.bottom("-- working 12 s · make · Ctrl-C interrupts", "> ", "a draft that is rather long", 27)
    shown.lines()
    shown.terminal.resize(to)
    shown.resize(to)
    shown.screen.resized()
    lines = shown.lines()
    assert sum(line.startswith("-- working") or "…" in line for line in lines) <= 2
    shown.screen.bottom("", "", "")
    shown.screen.text("\nlast\n")
    text = "".join(shown.lines())
    assert "working" not in text
    assert "draft" not in text
    assert text.startswith("first")
    assert text.endswith("last")


def test_colours_of_the_output_go_on_after_rows_of_ours() -> None:
    shown = Shown(40)
    shown.screen.bottom("", "> ", "draft")
    shown.screen.text("\x1b[31mred\n")
    shown.screen.text("still red")
    assert isinstance(shown.printer.out, io.StringIO)
    assert "\x1b8still red" in shown.printer.out.getvalue()


def test_after_a_stop_the_rows_are_drawn_anew_and_the_line_goes_on() -> None:
    shown = Shown(40)
    shown.screen.text("begun")
    shown.screen.bottom("", "> ", "draft", 5)
    shown.lines()
    shown.screen.hide()
    shown.screen.bottom("-- working 3 s", "> ", "draft", 5)  # time goes on before it is known that we are back
    assert shown.lines() == ["begun"]
    shown.terminal.feed("\n[1]+ Stopped\n$ fg\n")
    shown.screen.come_back()
    shown.screen.text(" ended\n")
    assert shown.lines() == ["begun", "[1]+ Stopped", "$ fg", " ended", "-- working 3 s", "> draft"]


@pytest.mark.parametrize("skipped", [0, 1, 2, 3])
def test_lines_are_left_out_and_counted(skipped: int) -> None:
    shown = Shown(40)
    shown.screen.skip(skipped)
    for piece in ("on", "e\ntwo\n", "thr", "ee\n"):
        shown.screen.text(piece)
    shown.screen.notice("-- four")
    assert shown.lines() == ["one", "two", "three", "-- four"][skipped:]
    assert shown.screen.skipped == skipped
