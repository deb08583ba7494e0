"""What pip, npm, apt, git, curl, cargo and others wrote on a terminal becomes what a person saw there."""

from __future__ import annotations

import pytest

from agent.protocol.terminal_lines import TerminalLines, plain
from tests.protocol.streams import COLS, ROWS, names, pieces, seen


def without_blanks(text: str) -> str:
    """Nobody sees the blanks at the end of a line."""
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip()


@pytest.mark.parametrize("name", names())
def test_a_recorded_stream_reads_as_a_person_saw_it(name: str) -> None:
    lines = TerminalLines(ROWS, COLS)
    lines.begin()
    text = ""
    for piece in pieces(name):
        lines.feed(piece)
        text += lines.take()
        lines.tail()
    assert without_blanks(plain(text + lines.end())) == without_blanks(seen(name))


@pytest.mark.parametrize("name", names())
def test_at_most_a_frame_of_it_is_said_twice_if_it_pauses_all_the_time(name: str) -> None:
    lines = TerminalLines(ROWS, COLS)
    lines.begin()
    text = ""
    for piece in pieces(name):
        lines.feed(piece)
        lines.settle()
        text += lines.take()
    said = without_blanks(plain(text + lines.end())).splitlines()
    expected = without_blanks(seen(name)).splitlines()
    assert set(expected) <= set(said)
    assert len(said) <= 2 * len(expected)
