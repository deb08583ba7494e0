"""The grid of `terminal_lines` against an independent terminal emulator, avt: random streams leave the same screen.

Both read streams of whatever sequences programs use. Left out is where avt itself differs from xterm and from DEC's
manual: a line feed without a return or a tab behind the last column, a whole screen taken there, rows inserted outside
of the region that scrolls, a character repeated after the cursor has moved, and a line that breaks in insert mode.
"""

from __future__ import annotations

import os
import random

import avt
import pytest

from agent.protocol.terminal_cells import Row
from agent.protocol.terminal_lines import TerminalLines

ROWS, COLS = 6, 12
STREAMS = int(os.environ.get("LAN_AGENT_TEST_STREAMS", "150"))
"""Streams of each kind; more find rarer faults."""

TEXT = ["abc", "abcdefgh", "x", " ", "hello world", "é", "\r\n", "\r\n", "\r", "\b", "\b\n"]
MOVES = [f"\x1b[{count}{final}" for final in "ABCDEFa" for count in ("", "2", "3")] + [
    f"\x1b[{place}" for place in ("5G", "12G", "99G", "4`", "3d", "H", "3;4H", "6;12H", "2;99f")
]
ERASE = [f"\x1b[{which}{final}" for final in "KJ" for which in ("", "1", "2")] + ["\x1b[3X", "\x1b[X", "\x1b[3J"]
KINDS = {
    "text and motions": [*TEXT, *MOVES],
    "erased": [*TEXT, *MOVES, *ERASE, "\x1b[31m", "\x1b[1;4m", "\x1b[m"],
    "edited": [*TEXT, *MOVES, *ERASE, "\x1b[2P", "\x1b[P", "\x1b[2@", "\x1b[@", "\x1b[2;3H\x1b[4hab\x1b[4l"],
    "lines moved": [*TEXT, *MOVES, *(f"\r\x1b[{each}" for each in ("L", "2L", "M", "2M", "S", "2S", "T", "2T"))],
    "a region that scrolls": [
        *TEXT, *MOVES, *ERASE, "\x1b[2;4r", "\x1b[1;5r", "\x1b[r", "\x1bM", "\b\x1bD", "\x1bE", "\x1b[2S", "\x1b[T",
        "\x1b[3;1H\x1b[2L", "\x1b[3;1H\x1b[M",
    ],
    "noted and gone back to": [
        *TEXT, *MOVES, "\x1b7", "\x1b8", "\x1b[s", "\x1b[u",
        "\b\x1b[?1049h\x1b[2Jvim\x1b[?1049l",
    ],
    "without wrapping": [*TEXT, *MOVES, *ERASE, "\x1b[?7l", "\x1b[?7h"],
    "tabs": [*TEXT, *MOVES, *ERASE, "\b\t", "\x1b[I", "\x1b[2Z", "\x1b[2P", "\x1b[2@"],
    "wide": [*TEXT, *MOVES, *ERASE, "漢", "字漢字", "\x1b[2P", "\x1b[@"],
    "strings, boxes and resets": [
        *TEXT, *MOVES, "\x1b]0;t\x07", "\x1b]8;;u\x1b\\", "\x1b(0", "\x1b(B", "-\x1b[3b", "\x1bc",
    ],
}  # fmt: skip


def shown(row: Row) -> str:
    """The row as it is seen: what a tab and a wide character take stands there."""
    text, blank = "", ""
    for character in row.characters:
        if character:
            blank = " " if character[0] == "\t" else ""
        text += " " if character[:1] == "\t" else character.removesuffix("\t") or blank
    return text.rstrip()


@pytest.mark.parametrize("kind", KINDS)
def test_random_streams_leave_the_screen_of_another_emulator(kind: str) -> None:
    chance = random.Random(kind)
    for _ in range(STREAMS):
        stream = "".join(chance.choice(KINDS[kind]) for _ in range(chance.randrange(3, 60))) + "\x1b[m"
        emulator = avt.Vt(COLS, ROWS)
        emulator.feed_str(stream)
        lines = TerminalLines(ROWS, COLS)
        lines.feed(stream.encode())
        lines.tail()  # puts on the screen what went past it
        grid = lines._grid
        rows = [shown(row) for row in grid.screen.shown]
        assert rows + [""] * (ROWS - len(rows)) == [line.text.rstrip() for line in emulator.view()], stream
        assert (grid.y, grid.x) == (emulator.cursor.row, emulator.cursor.col), stream
