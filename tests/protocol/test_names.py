"""Names are safe to show, whoever chose them (T10, R7)."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.characters import JOINERS, idle_joiner, unseen, unseen_but_joiners
from agent.protocol.model import DeviceId, Endpoint
from agent.protocol.names import (
    CUT,
    MARKS_MAX,
    address,
    clean,
    clean_title,
    display_name,
    first_words,
    instance_name,
    meant,
    own_name,
    short_id,
    truncate_bytes,
)

DEN = DeviceId("abcdefghijklmnop")
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("den", "den"),
        ("  den\r\nof\tlions ", "den  of lions"),
        ("\x1b[31mred\x07", "[31mred"),
        ("safe\u202egnp.exe", "safegnp.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("line\u2028para\u2029", "linepara"),
        ("e\u0301", "é"),
        ("a" + "\u0316" * 40, "a" + "\u0316" * 3),
        ("\ud800lone", "lone"),
        ("Café 2.0 ☕", "Café 2.0 ☕"),
        ("\x00\x01", ""),
    ],
)
def test_t10_what_a_peer_names_is_cleaned(said: str, shown: str) -> None:
    assert clean(said, 63) == shown


@given(ANY_TEXT, st.integers(0, 80))
def test_t10_cleaning_leaves_nothing_that_moves_the_cursor(text: str, limit: int) -> None:
    shown = clean(text, limit)
    assert len(shown) <= limit
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert clean(shown, limit) == shown


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("👩\u200d👩\u200d👧\u200d👦 trip", "👩\u200d👩\u200d👧\u200d👦 trip"),
        ("نمی\u200cشود PDF\u200cی", "نمی\u200cشود PDF\u200cی"),
        ("ക\u0d4d\u200dഷ", "ക\u0d4d\u200dഷ"),
        ("\u200d👩 \u200c 👧\u200d", "👩  👧"),
        ("👩\u200d\u200c👧", "👩👧"),
        ("de\u200dsk", "desk"),
        ("👩\u200d\u3164👧", "👩\u200d👧"),
        ("क" + "\u094d\u200d" * 9 + " x", "क\u094d\u200d\u094d x"),
        ("safe\u202egnp.exe\u200b", "safegnp.exe"),
    ],
)
def test_t10_a_title_keeps_the_joiners_that_hold_something_together(said: str, shown: str) -> None:
    assert clean_title(said) == shown
    assert not set(clean(said, 63)) & set(JOINERS)  # a name has none


@given(
    st.text(
        st.one_of(st.characters(codec=None, exclude_categories=()), st.sampled_from("\u200c\u200d \u0301\u0d4da👩"))
    ),
    st.integers(0, 80),
)
def test_t10_what_a_title_keeps_is_seen_or_stands_between_what_is(text: str, limit: int) -> None:
    shown = clean_title(text, limit)
    assert len(shown) <= limit
    assert clean_title(shown, limit) == shown
    assert not unseen_but_joiners.search(shown)
    assert not idle_joiner.search(shown)
    assert all(word.strip(JOINERS) == word for word in shown.split())
    kinds = {unicodedata.category(char) for char in shown if char not in JOINERS}
    assert not kinds & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_what_a_session_is_called_after_its_first_prompt_keeps_them_too() -> None:
    assert first_words("نمی\u200cشود", 60) == "نمی\u200cشود"


@given(ANY_TEXT, st.integers(3, 80), st.sampled_from(["", "…"]))
def test_a_cut_falls_between_characters(text: str, limit: int, mark: str) -> None:
    cut = truncate_bytes(text, limit, mark)
    assert len(cut.encode()) <= limit
    if len(text.encode("utf-8", "replace")) <= limit:
        assert cut == text.encode("utf-8", "replace").decode()


def test_a_short_id_is_the_first_forty_bits() -> None:
    assert short_id(DEN) == "abcd-efgh"


def test_r7_a_device_shows_its_name_else_where_it_is() -> None:
    assert display_name("den", Endpoint("10.0.0.2", 7777)) == "den"
    assert display_name("\u200b", Endpoint("10.0.0.2", 7777)) == "10.0.0.2:7777"
    assert display_name("", Endpoint("fe80::1%eth0", 7777)) == "[fe80::1%eth0]:7777"
    assert display_name("", None, DEN) == "abcd-efgh"
    assert address(Endpoint("::1", 1)) == "[::1]:1"


def test_this_device_is_never_without_a_name() -> None:
    assert own_name("Study", "den.local", DEN) == "Study"
    assert own_name(" \n", "den.local", DEN) == "den"
    assert own_name("", "localhost.localdomain", DEN) == "abcd-efgh"
    assert own_name("", "den.local", DEN, "ann") == "den-ann"
    assert own_name("Study", "den.local", DEN, "ann") == "Study"


@given(ANY_TEXT)
def test_an_instance_name_is_one_dns_label_that_avahi_can_read(name: str) -> None:
    instance = instance_name(name, DEN)
    assert len(instance.encode()) <= 63
    assert "." not in instance
    assert instance.endswith("abcd")


def test_an_instance_name_reads_as_the_device_is_called() -> None:
    assert instance_name("Mac 2.0", DEN) == "Mac 2 0 abcd"
    assert instance_name("", DEN) == "abcd"
    assert instance_name("ü" * 63, DEN) == "ü" * 29 + " abcd"


@pytest.mark.parametrize(
    "filler", ["\u3164", "\u115f\u1160", "\uffa0", "\u2800", "\U000e0041\U000e007f", "\ufe0f\U000e0101"]
)
def test_t10_a_name_of_what_nobody_sees_is_no_name(filler: str) -> None:
    assert clean(filler, 63) == ""
    assert clean(f"den{filler}", 63) == "den"


@given(st.text(st.characters(categories=["Cf", "Mn", "Lo", "Zs"]), max_size=40))
def test_t10_nothing_that_is_not_seen_is_left(text: str) -> None:
    assert not unseen.search(clean(text, 63))


@pytest.mark.parametrize("unit", ["\u0301", "\u0316\u0301", "\U0001d165", "a\u0301", "\u1100", "e"])
def test_t11_a_text_is_cut_before_it_is_normalised(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: NFC takes time that grows with the square of a run of marks; 64 KB of them stood still for 1.15 s."""
    looked_at: list[str] = []

    def counting(form: str, text: str) -> str:
        looked_at.append(text)
        return unicodedata.normalize(form, text)  # type: ignore[arg-type]  # the form that was asked for

    monkeypatch.setattr("agent.protocol.names.unicodedata", _Counted(counting))
    clean("e" + unit * 200_000, 120)
    assert sum(map(len, looked_at)) <= CUT * 120
    assert all(longest_run_of_marks(text) <= MARKS_MAX for text in looked_at)


def longest_run_of_marks(text: str) -> int:
    runs = "".join("m" if unicodedata.combining(char) else " " for char in text).split()
    return max(map(len, runs), default=0)


class _Counted:
    category, combining = staticmethod(unicodedata.category), staticmethod(unicodedata.combining)

    def __init__(self, normalize: Callable[[str, str], str]) -> None:
        self.normalize = normalize


@pytest.mark.parametrize(
    ("word", "told"),
    [("dek", "did you mean desk? "), ("NIGHTLY BULD", "did you mean 'nightly build'? "), ("xyzzy", ""), ("", "")],
)
def test_a_word_that_is_no_name_is_answered_with_the_nearest_one(word: str, told: str) -> None:
    assert meant(word, ["desk", "nightly build", "", "laptop"]) == told


def test_a_suggested_name_can_be_pasted_and_drives_no_terminal() -> None:  # T10
    assert meant("desk; rm -r", ["desk; rm -rf"]) == "did you mean 'desk; rm -rf'? "
    assert "\x1b" not in meant("desk\x1b[2J", ["desk\x1b[2J!"])
