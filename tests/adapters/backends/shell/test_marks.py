"""Marks of shells: found wherever reads cut them, and dropped if they are not ours."""

from __future__ import annotations

import pytest

from agent.adapters.backends.shell.marks import HELD_MAX, MarkReader, ShellMark, directory

STREAM = (
    b"a\x1b[31mb\x1b]7717;n0;C;12;1;t6c73\x07out\r\n\x1b]7717;n0;D;12;1;0;/a;b\x07\x1b]0;title\x07"
    b"\x1b]7717;n0;A;12;0\x1b\\$ \x1b]7717;n0;B;12\x07\x1b]7717"
)
PARTS = [
    b"a\x1b[31mb",
    ShellMark("C", 12, ("1", "t6c73")),
    b"out\r\n",
    ShellMark("D", 12, ("1", "0", "/a", "b")),
    b"\x1b]0;title\x07",
    ShellMark("A", 12, ("0",)),
    b"$ ",
    ShellMark("B", 12),
]


def joined(parts: list[bytes | ShellMark]) -> list[bytes | ShellMark]:
    """Neighbouring bytes as one."""
    out: list[bytes | ShellMark] = []
    for part in parts:
        if isinstance(part, bytes) and out and isinstance(out[-1], bytes):
            out[-1] += part
        else:
            out.append(part)
    return out


def test_marks_are_cut_out_wherever_reads_cut_them() -> None:
    for size in range(1, len(STREAM) + 1):
        reader = MarkReader("n0")
        parts = [part for at in range(0, len(STREAM), size) for part in reader.feed(STREAM[at : at + size])]
        assert joined(parts) == PARTS
        assert joined(parts + list(reader.feed(b"x"))) == [*PARTS, b"\x1b]7717x"]  # it was none after all


def test_a_forged_mark_is_dropped_and_counted() -> None:
    reader = MarkReader("n0")
    assert reader.feed(b"a\x1b]7717;n1;D;12;1;0;/\x07b\x1b]7717;n0\x07\x1b]7717;;D;1\x07c") == [b"a", b"b", b"c"]
    assert reader.forged == 3


@pytest.mark.parametrize("broken", [b"\x1b]7717;n0;D\nx\x07", b"\x1b]7717;n0;D\x1b[m\x07", b"\x1b]7717;n0;\x1b]7717;"])
def test_what_is_cut_by_other_control_characters_is_no_mark(broken: bytes) -> None:
    assert joined(MarkReader("n0").feed(broken + b"\x1b]7717;n0;B;7\x07"))[-1] == ShellMark("B", 7)
    assert joined(MarkReader("n0").feed(broken + b"rest."))[0].startswith(b"\x1b]7717;n0;")  # type: ignore[union-attr]


def test_what_never_ends_is_held_back_in_part_only() -> None:
    # T11
    reader = MarkReader("n0")
    endless = b"\x1b]7717;n0;C;1;1;t" + b"6" * HELD_MAX
    given = b"".join(part for at in range(0, len(endless), 100) for part in reader.feed(endless[at : at + 100]))  # type: ignore[misc]
    assert given == endless


@pytest.mark.parametrize(
    ("quoted", "path"),
    [
        ("/plain", "/plain"),
        (r"/two\ words\;\ \'x\'", "/two words; 'x'"),  # bash, %q
        (r"$'/a\nb\E\302\240\'c'", "/a\nb\x1b\u00a0'c"),  # bash, %q
        (r"$'/a b\n\M'", "/a b\nM"),
        ("/žluť", "/žluť"),
        ("$'/žluť a'", "/žluť a"),  # zsh, (qqqq)
        ("%2Fa%20b/%C5%BE%0A%25", "/a b/ž\n%"),  # fish
        (r"/100%\ x", "/100% x"),
        ("/odd'", "/odd'"),
        ("", ""),
    ],
)
def test_a_directory_is_read_as_each_shell_quotes_it(quoted: str, path: str) -> None:
    assert directory(quoted) == path


def test_numbers_of_marks_are_numbers_or_nothing() -> None:
    mark = ShellMark("D", 1, ("7", "x", "", "99999999999999999999", "²"))
    assert [mark.number(at) for at in range(6)] == [7, None, None, None, None, None]
