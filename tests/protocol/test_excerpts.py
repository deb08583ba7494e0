"""What there is no room for: the beginning and the end stay, and at its place stands how much was left out."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.events import Diff
from agent.protocol.excerpts import Excerpt, changed_lines, lines_of_patch, shortened, shortened_diff

MARK = re.compile(r"\n… ([\d,]+) characters left out\n")
texts = st.text(alphabet="ab\n", max_size=2000)
limits = st.integers(200, 2500)


@given(texts, limits)
def test_a_text_keeps_its_ends_and_says_how_much_is_missing(text: str, limit: int) -> None:
    short = shortened(text, limit)
    assert len(short) <= limit
    if len(text) <= limit:
        assert short == text
        return
    found = MARK.search(short)
    assert found is not None
    head, tail = short[: found.start()], short[found.end() :]
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(head) + len(tail) + int(found[1].replace(",", "")) == len(text)
    assert len(tail) > limit // 5


@given(texts, limits, st.integers(1, 300))
def test_pieces_are_shortened_as_the_whole_is(text: str, limit: int, size: int) -> None:
    excerpt = Excerpt(limit)
    for at in range(0, len(text), size):
        excerpt.add(text[at : at + size])
    whole = Excerpt(limit)
    whole.add(text)
    assert excerpt.text == whole.text
    assert len(excerpt.text) <= limit
    found = MARK.search(excerpt.text)
    if found is None:
        assert excerpt.text == text
    else:
        kept = len(excerpt.text) - len(found[0])
        assert kept + int(found[1].replace(",", "")) == len(text)


def test_a_limit_without_room_for_a_mark_cuts() -> None:
    assert shortened("x" * 500, 100) == "x" * 100


@given(st.lists(st.sampled_from(["+a", "-b", " c", "@@ -1 +1 @@"]), max_size=200), st.integers(0, 900))
def test_a_diff_that_is_cut_counts_all_its_lines(lines: list[str], limit: int) -> None:
    whole = Diff(path="a", patch="".join(f"{line}\n" for line in lines))
    short = shortened_diff(shortened_diff(whole, limit + 400), limit)  # by who makes it, and by the log
    assert changed_lines(short) == changed_lines(whole)
    assert len(lines_of_patch(short)) + short.cut == len(lines)
    assert len(short.patch) <= limit or not short.cut
    if short.patch and short.cut:
        assert short.patch.endswith(f"\\ … {short.cut:,} lines left out\n")
