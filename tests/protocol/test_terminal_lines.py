"""What a program writes on a terminal becomes the text that a person saw there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.terminal_lines import PENDING_MAX, TAIL_MAX, TerminalLines, plain

RED, NONE = "\x1b[31m", "\x1b[0m"


def text_of(output: bytes, *, rows: int = 24, cols: int = 80, colours: bool = False, piece: int = 1 << 20) -> str:
    """The text of one turn that wrote that."""
    lines = TerminalLines(rows, cols, colours=colours)
    lines.begin()
    parts = []
    for at in range(0, len(output), piece):
        lines.feed(output[at : at + piece])
        parts.append(lines.take())
    return "".join(parts) + lines.end()


SEEN = {
    "plain": (b"one\r\ntwo\r\n", "one\ntwo\n"),
    "the last line has no end": (b"one\r\ntwo", "one\ntwo"),
    "empty lines are lines": (b"\r\none\r\n\r\n\r\n", "\none\n\n\n"),
    "blanks at the end of a line stay": (b"one  \r\n\ttwo\t\r\n", "one  \n\ttwo\t\n"),
    "colours": (b"\x1b[1;31mred\x1b[0m\r\n", "red\n"),
    "titles and links": (b"\x1b]0;title\x07shown\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\r\n", "shownlink\n"),
    "a counter": (b"10%\r20%\r100%\r\n", "100%\n"),
    "a shorter line over a longer one": (b"long line\rshort\x1b[K\r\n", "short\n"),
    "a line wiped with blanks": (b"working ...\r           \rdone\r\n", "done\n"),
    "backspace": (b"abc\b\bX\r\n", "aXc\n"),
    "overstrike": (b"N\bNA\bAM\bME\bE\r\n", "NAME\n"),
    "a column": (b"a\x1b[5Gb\r\n", "a   b\n"),
    "a number without end": (b"\x1b[" + b"9" * 5000 + b"Cx\x1b[" + b"9" * 5000 + b"Dy\r\n", "y" + " " * 78 + "x\n"),
    "a place": (b"one\x1b[3;1Htwo\r\n", "one\n\ntwo\n"),
    "a device string": (b"\x1bPq#0;2\x1b\\after\r\n", "after\n"),
    "shifts and keypads": (b"\x1b(Bx\x0e\x0fy\x1b=\x1b>\x07z\r\n", "xyz\n"),
    "UTF-8": ("kůň 漢字 👍🏽 e\u0301\r\n".encode(), "kůň 漢字 👍🏽 e\u0301\n"),
    "no UTF-8": (b"a\xff\xfeb\r\n", "a\ufffd\ufffdb\n"),
    "boxes": (b"\x1b(0lqk\x1b(B\r\n", "┌─┐\n"),
    "rows that are drawn again": (b"a 1%\r\nb 1%\r\n\x1b[2Aa 9%\r\nb 9%\r\n", "a 9%\nb 9%\n"),
    "a frame that is erased": (b"frame\r\nframe\r\n\x1b[2A\x1b[Jdone\r\n", "done\n"),
    "a screen that is wiped": (b"before\r\n\x1b[H\x1b[2J\x1b[3Jafter\r\n", "before\nafter\n"),
    "the cursor goes to the bottom": (b"one\r\n\x1b[24;1H\x1b[K", "one\n"),
    "a whole screen of another program": (
        b"$ vim\r\n\x1b[?1049h\x1b[2J\x1b[5;5Hvim\x1b[?1049lback\r\n",
        "$ vim\nback\n",
    ),
    "a bar below rows that scroll": (
        b"\n\x1b7\x1b[1;23r\x1b8\x1b[1A\x1b7\x1b[24;1H[##  ]\x1b8get\r\nunpack\r\n"
        b"\x1b7\x1b[24;1H[####]\x1b8done\r\n\x1b7\x1b[1;24r\x1b8\x1b[1A\x1b[J",
        "get\nunpack\n",
    ),
    "no wrapping": (b"\x1b[?7l" + b"x" * 85 + b"y\r\n\x1b[?7hz\r\n", "x" * 79 + "y\nz\n"),
    "a repeated character": (b"-\x1b[9b\r\n", "-" * 10 + "\n"),
    "a bare line feed stays in its column": (b"ab\ncd\r\n", "ab\n  cd\n"),
    "lines over two terminals": (b"one\r\r\ntwo\r\r\n", "one\ntwo\n"),
    "inserted and deleted characters": (b"held\x1b[3D\x1b[2@XY\x1b[2P!\r\n", "hXY!\n"),
    "a line that is inserted": (b"one\r\nthree\r\n\x1b[1A\x1b[Ltwo\r\n\x1b[1B", "one\ntwo\nthree\n"),
}


@pytest.mark.parametrize(("output", "text"), SEEN.values(), ids=SEEN)
def test_the_text_is_what_a_person_saw(output: bytes, text: str) -> None:
    assert text_of(output) == text
    assert text_of(output, piece=1) == text


def test_a_line_longer_than_the_screen_is_wide_is_one_line() -> None:
    line = "漢" + "abc " * 300
    assert text_of(line.encode() + b"\r\nnext\r\n") == line + "\nnext\n"
    assert text_of(line.encode() + b"\b!\r\nnext\r\n") == line[:-1] + "!\nnext\n"


def test_each_line_begins_and_ends_without_colours() -> None:
    text = text_of(b"\x1b[31mone\r\n\r\ntwo\x1b[39m end\r\n", colours=True)
    assert text == f"{RED}one{NONE}\n\n{RED}two{NONE} end\n"
    flood = text_of(b"\x1b[31mone\r\n" + b"two\r\n" * 500 + b"\x1b[mend\r\n", colours=True)
    assert all(line.startswith(RED) and line.endswith(NONE) for line in flood.splitlines()[:-1])
    assert flood.endswith("end\n")


@pytest.mark.parametrize(
    ("changes", "style"),
    [
        (b"\x1b[1m\x1b[31m", "1;31"),
        (b"\x1b[1;31m\x1b[22m", "31"),
        (b"\x1b[38;5;196;4m", "38;5;196;4"),
        (b"\x1b[38;2;1;2;3m\x1b[94m", "94"),
        (b"\x1b[38:2::1:2:3m", "38:2::1:2:3"),
        (b"\x1b[4:3m\x1b[4:0;3m", "3"),
        (b"\x1b[8m", ""),  # hides what is said
        (b"\x1b[31;0m", ""),
        (b"\x1b[>4;1m\x1b[?4m\x1b[1<2m", ""),
        (b"\x1b[;;;999999;38m", ""),
    ],
)
def test_colours_are_kept_in_their_shortest_form(changes: bytes, style: str) -> None:
    expected = f"\x1b[{style}mx{NONE}" if style else "x"
    assert text_of(changes + b"x\ry\bx\r\n", colours=True) == expected + "\n"


def test_text_is_never_hidden() -> None:  # T10
    for hides in (b"\x1b[8m", b"\x1b[1;08m", b"\x1b[1;8;31m"):
        assert "8" not in text_of(hides + b"secret\r\n" * 500, colours=True)
    assert "\x1b[38;5;8m" in text_of(b"\x1b[38;5;8mgrey\r\n" * 500, colours=True)


def test_a_row_is_given_when_it_scrolls_out_or_when_it_was_quiet() -> None:
    lines = TerminalLines(3, 80)
    lines.begin()
    lines.feed(b"one\r\ntwo\r\nthree\r\nfour")
    assert (lines.take(), lines.tail()) == ("one\n", "two\nthree\nfour")
    lines.settle()
    assert (lines.take(), lines.tail(), lines.half_line) == ("two\nthree\n", "four", True)
    lines.feed(b"\r\n")
    assert (lines.end(), lines.end(), lines.half_line) == ("four\n", "", False)


def test_rows_wait_while_a_program_goes_up_again_and_again() -> None:
    lines = TerminalLines(24, 80)
    lines.begin()
    lines.feed(b"a 1%\r\nb 1%\r\n\x1b[2Aa 2%\r\nb 2%\r\n")
    lines.settle()
    assert (lines.take(), lines.tail()) == ("", "a 2%\nb 2%")
    assert lines.end() == "a 2%\nb 2%\n"


def test_what_was_given_is_not_given_again_unless_it_has_changed() -> None:
    lines = TerminalLines(24, 80)
    lines.begin()
    lines.feed(b"same\r\nother\r\n")
    lines.settle()
    assert lines.take() == "same\nother\n"
    lines.feed(b"\x1b[2Asame\r\nchanged\r\n\x1b[1A\x1b[2K\x1b[1Bnew\r\n")
    assert lines.end() == "new\n"  # and what was erased is no empty line


def test_what_stood_on_the_screen_before_a_turn_is_not_its_own() -> None:
    lines = TerminalLines(24, 80)
    lines.feed(b"old\r\n$ true\r\n$ ")
    lines.begin()
    assert lines.tail() == ""
    lines.feed(b"mine\r\nmine too\r\n")
    assert lines.end() == "mine\nmine too\n"


def test_a_prompt_before_a_turn_is_no_half_line_of_it() -> None:
    lines = TerminalLines(24, 80)
    lines.feed(b"$ ")
    lines.begin()
    before = lines.half_line
    lines.feed(b"password: ")
    assert (before, lines.half_line, lines.end()) == (False, True, "password: ")


def test_whoever_has_the_whole_screen_is_told() -> None:
    lines = TerminalLines(24, 80)
    told = []
    for data in (b"\x1b[?1049", b"h\x1b[Hrow\r\n", b"\x1b[?1049l"):
        lines.feed(data)
        told.append(lines.full)
    assert (told, lines.end()) == ([False, True, False], "")


LEFT = [
    b"\x1b[?1049h\x1b[Hvim",
    b"\x1b[2;3r",
    b"\x1b[4h",
    b"\x1b(0",
    b"\x1b[?7l",
    b"\x1b]0;title",
    b"\x1b[",
    b"\xe6\xbc",
]


@pytest.mark.parametrize("left", LEFT)
def test_nothing_that_a_program_leaves_on_holds_for_the_next_one(left: bytes) -> None:
    lines = TerminalLines(4, 20, colours=False)
    lines.begin()
    lines.feed(b"one\r\n" + left)
    lines.end()
    lines.calm()
    lines.feed(b"\r\n$ ")
    lines.begin()
    lines.feed(b"\r\n" + b"".join(b"line q %d\r\n" % number for number in range(9)) + b"x" * 30 + b"\r\n")
    given = lines.take() + lines.end()
    assert given.lstrip("\n") == "".join(f"line q {number}\n" for number in range(9)) + "x" * 30 + "\n"


def test_a_smaller_screen_gives_the_rows_that_have_no_room() -> None:
    lines = TerminalLines(24, 80)
    lines.begin()
    lines.feed(b"one\r\ntwo\r\nthree\r\nfour")
    lines.resize(2, 40)
    assert (lines.take(), lines.tail()) == ("one\ntwo\n", "three\nfour")
    lines.feed(b"\x1b[1;1Hthird\r\n\x1b[Kend")
    assert lines.end() == "third\nend"


@pytest.mark.parametrize(
    "unit", [b"\x1b]", b"\x1bP\x1b", b"\x1b[?", b"\x1b[500C", b"\x1b[9", b"\x1b]8;;x\x1b", b"x", b"\x1b[9999b"]
)
def test_no_output_costs_more_than_its_length(unit: bytes) -> None:  # T11
    lines = TerminalLines(24, 80)
    lines.begin()
    size = 0
    for _ in range(8):
        lines.feed((unit * 65_536)[:65_536])
        size += len(lines.take())
        assert len(lines.tail()) <= TAIL_MAX
    assert size + len(lines.end()) <= 8 * 65_536 * (2400 if unit.endswith(b"b") else 1)


@pytest.mark.parametrize(
    "unit", ["\x1b[2J", "\x1b[1J", "\x1b[99S", "\x1b[99T", "\x1b[99L", "\x1b[99M", "x\x1b[999Bx\x1b[2J"]
)
def test_what_moves_whole_screens_is_obeyed_a_few_hundred_times_in_one_piece(unit: str) -> None:  # T11
    """Attack: four bytes wipe a screen of 500 rows; 64 kB of them took three seconds."""
    lines = TerminalLines(500, 500)
    lines.feed(b"x\r\n" * 500)
    lines.feed(unit.encode() * (65_536 // len(unit)))
    assert lines._grid.screen.work == 0
    lines.begin()
    lines.feed(b"\x1b[2J\x1b[Hgoes on")
    assert lines.end() == "goes on"


def test_a_line_without_end_is_given_in_parts() -> None:  # T11
    lines = TerminalLines(24, 80)
    lines.begin()
    lines.feed(b"x" * (2 * PENDING_MAX))
    first = lines.take()
    assert len(first) >= PENDING_MAX
    assert first + lines.end() == "x" * (2 * PENDING_MAX)


MOVES = "A 2B 3C D H 3;4H 5G 2d E F I Z s u"
EDITS = "K 1K 2K J 1J 2J 2L M 2P 2@ 3X 2;4r r 2S T 3b 4h 4l ?7l ?7h ?1049h ?1049l 31m m 1;4m"
PIECES = st.sampled_from(
    [f"\x1b[{each}".encode() for each in f"{MOVES} {EDITS}".split()]
    + [f"\x1b{each}".encode() for each in ("7", "8", "M", "D", "E", "c", "(0", "(B", "]0;t\x07", "]8;;u\x1b\\")]
    + [each.encode() for each in ("\r\n", "\r", "\n", "\b", "\t", "abc", "abcdefghijklm", "漢字", "e\u0301", " ")]
)


@given(st.lists(PIECES | st.binary(max_size=6), max_size=60), st.integers(1, 9))
def test_whatever_is_written_in_whatever_pieces_only_text_and_colours_come_out(
    output: list[bytes], piece: int
) -> None:  # T10
    whole = b"".join(output)
    text = text_of(whole, rows=5, cols=10, colours=True)
    assert all(character >= " " or character in "\n\t" for character in plain(text))
    assert plain(text) == text_of(whole, rows=5, cols=10)
    assert text_of(whole, rows=5, cols=10, piece=piece) == plain(text)
    for line in text.split("\n"):
        assert "\x1b" not in line or line.rindex("\x1b[0m") == line.rindex("\x1b")


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Mn", "Me", "Cf"]) | st.sampled_from("\n\t")),
    st.integers(1, 99),
)
def test_text_without_control_characters_comes_out_as_it_is(text: str, piece: int) -> None:
    assert text_of(text.replace("\n", "\r\n").encode(), rows=3, cols=7, piece=piece) == text


@given(
    st.lists(
        st.sampled_from(["one\r\n", "two", " ", "\r\n", "漢字\r\n", "a longer line\r\n", "\x1b[31mred\x1b[0m\r\n"])
    )
)
def test_text_that_pauses_anywhere_is_said_once(pieces: list[str]) -> None:
    lines = TerminalLines(4, 9, colours=False)
    lines.begin()
    said = ""
    for piece in pieces:
        lines.feed(piece.encode())
        lines.settle()
        lines.tail()
        said += lines.take()
    assert said + lines.end() == plain("".join(pieces).replace("\r\n", "\n"))
