"""The line that is typed in `agent attach`: its keys, its history, and what of it is seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.client.terminal_text import clean, width
from agent.frontends.cli.line_editor import LineChanged, LineEditor, TakeBackPressed, Typed
from agent.frontends.cli.screen import window

LEFT, RIGHT, UP, DOWN = "\x1b[D", "\x1b[C", "\x1b[A", "\x1b[B"


def typed(*keys: str) -> LineEditor:
    editor = LineEditor()
    for key in keys:
        editor.feed(key.encode())
    return editor


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (["ac", LEFT, "b"], "ab|c"),
        (["bc", "\x01", "a"], "a|bc"),
        (["bc", "\x1b[H", "a", "\x1b[F", "d"], "abcd|"),
        (["bc", "\x1bOH", "a", "\x05"], "abc|"),
        (["abc", "\x02\x02", "\x0b"], "a|"),
        (["abc", LEFT, "\x15"], "|c"),
        (["one two-three", "\x17"], "one |"),
        (["one two-three", "\x1b\x7f"], "one two-|"),
        (["one two", "\x1bb", "\x1bb", "\x1bf"], "one| two"),
        (["one two", "\x1b[1;5D", "\x1b[1;5D", "\x1b[1;5C", "\x1bd"], "one|"),
        (["abc", "\x01", "\x1b[3~", "\x04"], "|c"),
        (["abc", "\x01", LEFT, "\x7f"], "|abc"),
        (["abc", RIGHT, "\x06", "\x1b[3~"], "abc|"),
        (["日本語", LEFT, "x"], "日本x|語"),
        (["e\u0301o", LEFT, LEFT, "x"], "x|e\u0301o"),  # a mark stays with its character
        (["ae\u0301", "\x7f"], "a|"),
        (["a", "\x1b[99;99~", "\x1bq", "\x1b[24~"], "a|"),  # keys without a meaning here
    ],
)
def test_the_cursor_moves_and_cuts_as_in_other_line_editors(keys: list[str], line: str) -> None:
    editor = typed(*keys)
    assert editor.text[: editor.cursor] + "|" + editor.text[editor.cursor :] == line


def test_the_history_keeps_what_was_being_typed() -> None:
    editor = typed("one\r", "two\r", "two\r", "dra", UP)
    assert editor.text == "two"
    editor.feed(f"{UP}{UP}".encode())
    assert editor.text == "one"
    editor.feed(f"{DOWN}\x0e{DOWN}".encode())
    assert (editor.text, editor.cursor) == ("dra", 3)
    editor.feed(b"\x10\x10!")
    assert editor.feed(b"\r") == [Typed("one!"), LineChanged()]


def test_an_emptied_line_is_no_draft() -> None:
    editor = typed("one\r", "half")
    assert editor.clear()
    assert not editor.clear()
    editor.feed(f"{UP}{DOWN}".encode())
    assert editor.text == ""


def test_a_line_that_was_cleared_is_kept_by_the_history() -> None:
    editor = typed("one\r", "half")
    editor.clear()
    editor.feed(f"{UP}".encode())
    assert editor.text == "half"
    editor.secret = True
    editor.clear()
    editor.feed(b"hunter2")
    editor.clear()
    editor.secret = False
    editor.feed(f"{UP}{UP}".encode())
    assert editor.text == "one"


def waits_after(editor: LineEditor, key: str) -> bool:
    editor.feed(key.encode())
    return editor.escape_waits


def test_up_and_esc_on_an_empty_line_take_back_what_waits_and_are_the_history_otherwise() -> None:  # S12
    editor = typed("one\r")
    editor.takes_back = True
    assert editor.feed(UP.encode()) == [TakeBackPressed(), LineChanged()]
    assert waits_after(editor, "\x1b")
    assert editor.escape() == [TakeBackPressed()]
    assert not waits_after(editor, "draft")
    editor.feed(UP.encode())
    assert editor.text == "one"
    assert waits_after(editor, "\x1b")  # Alt-Enter, or Esc, Enter steers
    assert editor.feed(b"\r") == [Typed("one", steer=True), LineChanged()]
    editor.takes_back = False
    editor.feed(b"\x1b")
    assert editor.escape() == []
    assert editor.feed(UP.encode()) == [LineChanged()]


def test_esc_with_something_on_the_line_swallows_no_key_and_enter_steers_after_it() -> None:
    editor = typed("half typed")
    editor.takes_back = True
    assert waits_after(editor, "\x1b")
    assert editor.escape() == []
    editor.feed(b"\x15")
    assert editor.text == ""
    for keys, steer in (("\r", True), ("!\r", False)):
        editor.feed(b"stop\x1b")
        assert editor.escape() == []
        assert editor.feed(keys.encode())[0] == Typed("stop" + keys.strip(), steer=steer)


def test_several_pasted_lines_are_one_prompt_where_the_cursor_is() -> None:
    editor = typed("ad", LEFT, "\x1b[200~b\r\nc\x04\x1b[D\x7f\r\x1b[201~")
    assert editor.text == "ab\nc\nd"
    assert editor.feed(b"\r") == [Typed("ab\nc\nd"), LineChanged()]


def test_alt_enter_sends_what_is_to_go_first() -> None:
    editor = LineEditor()
    assert editor.feed(b"now\x1b\r") == [Typed("now", steer=True), LineChanged()]
    assert editor.feed(b"\x1b[200~a\x1b\rb\x1b[201~\r") == [Typed("ab"), LineChanged()]


def test_a_large_paste_is_taken_at_once() -> None:
    editor = LineEditor()
    for _ in range(20):
        editor.feed(b"\x1b[200~" + b"line of text\n" * 500 + b"\x1b[201~")
    assert len(editor.text) == 13 * 500 * 20


@given(st.text(max_size=60), st.integers(0, 60), st.integers(1, 30))
def test_the_cursor_is_always_in_view(text: str, cursor: int, room: int) -> None:
    text = clean(text)
    cursor = min(cursor, len(text))
    shown, behind = window(text, cursor, room)
    assert width(shown) <= room
    assert 0 <= behind <= width(shown)
    if width(text) <= room:
        assert (shown, behind) == (text, width(text[cursor:]))


def test_a_long_line_shows_both_sides_of_its_cursor() -> None:
    assert window("abcdefghij", 10, 5) == ("…ghij", 0)
    assert window("abcdefghij", 0, 5) == ("abcd…", 5)
    assert window("abcdefghijkl", 6, 6) == ("…def" + "g…", 2)
    assert window("日本語日本語", 6, 5) == ("…本語", 0)
