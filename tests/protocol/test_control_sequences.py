"""What a program says between its control sequences: all of it is shown, however it is cut, and nothing else (T10)."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.control_sequences import ARGUMENTS_MAX, STRING_MAX, ControlSequences

VALID = (
    "\x1b[31m", "\x1b[m", "\x1b[2J", "\x1b[?25h", "\x1b[>4;2m", "\x1b[1 q", "\x1b]0;a title\x07", "\x1b]0;a\ttab\x07",
    "\x1b]8;;http://x\x1b\\", "\x1bPq#0;2\x1b\\", "\x1b_Ga=T\x1b\\", "\x1b^pm\x07", "\x1b(B", "\x1b)0", "\x1b#8",
    "\x1b%G", "\x1b F", "\x1b7", "\x1b=", "\x1bc", "\x1bM", "\x1b\\",
)  # fmt: skip
STRAY = (
    "\x1b", "\x1b\x1b", "\x1b\n", "\x1b\x1c", "\x1bé", "\x1b漢", "\x1bh", "\x1bl", "\x1b~",
    "\x1b]", "\x1bP", "\x1bX", "\x1b^", "\x1b_",
    "\x1b]0;no end", "\x1bPno end", "\x1b[", "\x1b[3", "\x1b[3\n1m", "\x1b[31é", "\x1b(", "\x1b%", "\x1b ",
    "\x1b(hello", "\x18", "\x1a", "\x00", "\x7fELF\x02\x01\x01", "\x9b31m", "\x9d0;x\x9c", "\x07", "\r", "\b", "\x0e",
    "\u202e", "\ud800",
)  # fmt: skip
output = st.lists(st.sampled_from([*VALID, *STRAY, "\n", "\t", " "]) | st.text(max_size=4), max_size=24).map("".join)
"""What a program may write: sequences, halves of them, controls, a binary's head, text."""
cuts = st.lists(st.integers(1, 9), min_size=1, max_size=8)


def chunks(text: str, sizes: list[int]) -> list[str]:
    """The text in pieces of these sizes, over and over."""
    found: list[str] = []
    at = number = 0
    while at < len(text):
        size = sizes[number % len(sizes)]
        found.append(text[at : at + size])
        at += size
        number += 1
    return found


def parts(pieces: list[str]) -> tuple[str, list[str]]:
    """The text in these pieces, and the sequences."""
    reader, said, sequences = ControlSequences(), "", []
    for piece in pieces:
        for part in reader.feed(piece):
            if isinstance(part, str):
                said += part
            else:
                sequences.append(part.group())
    return said + reader.end(), sequences


@given(output, cuts)
def test_the_parts_are_the_same_however_the_text_is_cut(text: str, sizes: list[int]) -> None:
    assert parts(chunks(text, sizes)) == parts([text])


@given(output, cuts)
def test_every_character_is_said_or_belongs_to_a_sequence(text: str, sizes: list[int]) -> None:
    reader, whole = ControlSequences(), ""
    for piece in chunks(text, sizes):
        for part in reader.feed(piece):
            whole += part if isinstance(part, str) else part.group().replace("\x1b", "")
    assert whole + reader.end() == text.replace("\x1b", "")


@given(output, cuts)
def test_no_escape_is_left_in_what_is_said(text: str, sizes: list[int]) -> None:  # T10
    assert "\x1b" not in parts(chunks(text, sizes))[0]


@pytest.mark.parametrize("sequence", VALID)
def test_a_sequence_is_taken_out_whole(sequence: str) -> None:
    assert parts(["one", *sequence, "two"]) == ("onetwo", [sequence])


@pytest.mark.parametrize("stray", STRAY)
def test_nothing_hides_what_stands_on_the_next_line(stray: str) -> None:
    for sizes in ([1], [2], [1000]):
        said, sequences = parts(chunks(f"one{stray}\ntwo", sizes))
        assert said == "one" + stray.replace("\x1b", "") + "\ntwo"
        assert sequences == []


def test_only_what_may_become_a_sequence_waits() -> None:
    reader = ControlSequences()

    def fed(text: str) -> list[str]:
        return [part if isinstance(part, str) else part.group() for part in reader.feed(text)]

    assert fed("a\x1b") == ["a"]
    assert fed("[3") == []
    assert fed("1") == []
    assert fed("mb\x1b") == ["\x1b[31m", "b"]
    assert fed("hello") == ["hello"]
    assert fed("\x1b]0;title") == []
    assert fed("\nnext") == ["]0;title\nnext"]


@pytest.mark.parametrize(
    ("begin", "most"), [("\x1b]", STRING_MAX), ("\x1bP", STRING_MAX), ("\x1b_", STRING_MAX), ("\x1b[", ARGUMENTS_MAX)]
)
def test_what_never_ends_is_said_once_it_is_too_long(begin: str, most: int) -> None:
    reader = ControlSequences()
    assert list(reader.feed(begin)) == []
    said = [part for _ in range(most + 1) for part in reader.feed("1") if isinstance(part, str)]
    assert "".join(said) == begin[1:] + "1" * (most + 1)


@pytest.mark.parametrize(
    "unit", ["\x1b]", "\x1bP\x1b", "\x1b[?", "\x1b]8;;x\x1b", "\x1b ", "\x1b(", "\x1b[9", "\x1b_a"]
)
@pytest.mark.parametrize("size", [1, 1000, 262_144])
def test_no_text_costs_more_than_its_length(unit: str, size: int) -> None:
    """Attack: sequences that never end, of which each took as long as the rest."""
    text, begun = unit * (262_144 // len(unit)), time.process_time()
    said, _ = parts([text[at : at + size] for at in range(0, len(text), size)])
    assert "\x1b" not in said
    assert time.process_time() - begun < 4.0


def test_the_grammar_takes_nothing_that_a_terminal_would_print() -> None:
    # ECMA-48: a control sequence has parameters, intermediates and one final character; a string may have tabs.
    grammar = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x00-\x08\x0a-\x1f]*(\x07|\x1b\\)|[ -/]+[0-~]|[0-~])")
    for sequence in VALID:
        assert grammar.fullmatch(sequence)
