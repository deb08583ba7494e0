"""Text from the network on a terminal: cleaned, measured, fitted; and the line that is being typed."""

from __future__ import annotations

import io
import json
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.client.reading import ReplyText
from agent.client.terminal_text import TerminalText, clean, fit, fit_painted, width
from agent.frontends.cli.line_editor import InputEnded, LineChanged, LineEditor, Typed
from agent.frontends.cli.output import Printer, age, short_ids
from agent.protocol.characters import unseen
from agent.protocol.times import rfc3339

DANGEROUS = set("\x1b\x07\x08\r\n\x7f\x9b\u202e\u2066\u200b\u2028")


@given(st.text())
def test_clean_text_is_one_line_that_moves_nothing(text: str) -> None:  # T10
    shown = clean(text)
    assert not DANGEROUS & set(shown)
    assert clean(shown) == shown


@given(st.text(max_size=40), st.integers(1, 20))
def test_a_fitted_text_is_never_wider(text: str, columns: int) -> None:
    assert width(fit(clean(text), columns)) <= columns


def test_wide_and_combining_characters_are_measured() -> None:
    assert width("日本") == 4
    assert width("e\u0301") == 1
    assert width("\u1112\u1161\u11ab\u1100\u1173\u11af") == width("한글") == 4
    assert fit("日本語", 5) == "日本…"
    assert clean("a" + "\u0301" * 50) == "a\u0301\u0301"


SPOKEN = (
    "plain \x1b[31mred\x1b[0m \x1b]0;title\x07\x1b]8;;x:\x1b\\link\x1b[2J\x1b[10;10H\x1bc\x90q\x1b\\ \tend\r\n\u202e"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_only_lines_and_colours_of_a_programs_output_reach_the_terminal(size: int) -> None:
    for color, wanted in ((True, "plain \x1b[31mred\x1b[0m linkq \tend\n"), (False, "plain red linkq \tend\n")):
        text = TerminalText(color=color)
        assert "".join(text.feed(SPOKEN[i : i + size]) for i in range(0, len(SPOKEN), size)) == wanted
        assert text.end() == ("\x1b[0m" if color else "")


@pytest.mark.parametrize(
    "sent",
    [
        "\x1b[8mhidden",
        "\x1b[0;8mhidden",
        "\x1b[8;31mhidden",
        "\x1b[08mhidden",
        "\x1b[1;008;4mhidden",
        "\x1b[38;5;1;8mhidden",
        "\x1b[48;2;1;2;3;8mhidden",
        "\x1b[58;5;8;8mhidden",
        "\x1b[38:5:1;8mhidden",
        "\x1b[38;5;1;48;5;2;8mhidden",
        "\x1b[8:1mhidden",
        "\x1b[4:3;8mhidden",
        "\x1b[38;8mhidden",
        "\x1b[38;2;8mhidden",
        "\x1b[38;;8mhidden",
        "\x1b[" + "9" * 9000 + "mhidden",
    ],
)
def test_text_is_not_hidden_by_a_colour(sent: str) -> None:  # T10
    assert TerminalText(color=True).feed(sent) == "hidden"


def test_colours_with_an_eight_in_them_stay() -> None:
    for sent in (
        "\x1b[38;5;8mgrey",
        "\x1b[48;2;8;8;8mdark",
        "\x1b[38m8",
        "\x1b[18;28m",
        "\x1b[38:5:8mgrey",
        "\x1b[38:2::8:8:8;4:3;58;5;8mdark",
        "\x1b[mplain",
    ):
        assert TerminalText(color=True).feed(sent) == sent


def _conceals(parameters: list[list[int]]) -> bool:
    # What a terminal does that reads each parameter in turn, and the arguments of a colour as what they are.
    return any(codes[0] == 8 for codes in parameters)


_parameter = st.one_of(
    st.sampled_from([0, 1, 4, 7, 8, 31, 48 - 8, 108]).map(lambda code: ([code], str(code))),
    st.tuples(st.sampled_from([38, 48, 58]), st.integers(0, 9)).map(lambda c: ([c[0]], f"{c[0]};5;{c[1]}")),
    st.tuples(st.sampled_from([38, 48, 58]), st.integers(0, 9)).map(lambda c: ([c[0]], f"{c[0]}:5:{c[1]}")),
    st.tuples(st.sampled_from([38, 48]), st.integers(7, 9)).map(lambda c: ([c[0]], f"{c[0]};2;{c[1]};8;{c[1]}")),
)


@given(st.lists(_parameter, min_size=1, max_size=5))
def test_a_colour_passes_exactly_if_nothing_in_it_hides(chosen: list[tuple[list[int], str]]) -> None:  # T10
    sent = f"\x1b[{';'.join(text for _, text in chosen)}m"
    assert TerminalText(color=True).feed(sent) == ("" if _conceals([codes for codes, _ in chosen]) else sent)


UNSEEN = "\U000e0001\U000e0041\U000e007f\U000e0101\u3164\u115f\uffa0\u00ad\u2060\ufeff\u034f\u202e\u180e"


def test_what_nobody_sees_is_in_no_reply_and_no_line(capsys: pytest.CaptureFixture[str]) -> None:  # T10
    assert TerminalText(color=True).feed(f"rm{UNSEEN} -rf \u2764\ufe0f") == "rm -rf \u2764\ufe0f"
    assert clean(f"a{UNSEEN}b") == "a" + "\ufffd" * len(UNSEEN) + "b"
    Printer(environ={}).json([UNSEEN])
    shown = capsys.readouterr().out
    assert shown.isascii()
    assert json.loads(shown) == [UNSEEN]


@given(st.text())
def test_json_shows_all_that_it_carries(text: str) -> None:  # T10
    out = io.StringIO()
    printer = Printer(environ={})
    printer.out = out
    printer.json_line(text)
    assert not unseen.search(out.getvalue())
    assert json.loads(out.getvalue()) == text


def test_nothing_printed_is_painted_over() -> None:  # T10: a return of the carriage begins a line
    text = TerminalText(color=True)
    sent = ("rm -rf ~\rls", "\r", "\nnext\r\r", "\n")
    assert [text.feed(part) for part in sent] == ["rm -rf ~\nls", "", "\nnext", "\n"]


def test_json_carries_no_character_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:  # T10
    told = {"name": "de\x9b2Jsk\u202e\u2028\x1b[2J\x7f日"}
    Printer(environ={}).json(told)
    shown = capsys.readouterr().out
    assert not DANGEROUS & set(shown.rstrip("\n"))
    assert json.loads(shown) == told


@given(st.text(alphabet="\x1b[]P0;m\x07\\ab\x9c"), st.integers(1, 5))
def test_no_escape_but_a_colour_passes_however_it_is_cut(text: str, size: int) -> None:
    shown = TerminalText(color=False)
    assert "\x1b" not in "".join(shown.feed(text[i : i + size]) for i in range(0, len(text), size)) + shown.end()


@pytest.mark.parametrize("unit", ["\x1b]", "\x1bP\x1b", "\x1b[?", "\x1b]8;;x\x1b", "\x1b "])
def test_no_text_costs_more_than_its_length(unit: str) -> None:
    """Attack: a reply of strings that never end, of which each took as long as the rest."""
    text, begun = TerminalText(color=True), time.process_time()
    shown = text.feed(unit * (262_144 // len(unit)))
    assert "\x1b" not in shown
    assert time.process_time() - begun < 4.0  # 0.1 s, and was many minutes


class _Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def _on_terminal(monkeypatch: pytest.MonkeyPatch, **environ: str) -> Printer:
    monkeypatch.setattr(sys, "stdout", _Tty())
    return Printer(environ={key.upper(): value for key, value in environ.items()})


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _on_terminal(monkeypatch, term="xterm").paint("x", "red") == "\x1b[0;31mx\x1b[0m"
    assert _on_terminal(monkeypatch, no_color="1").paint("x", "red") == "x"
    assert _on_terminal(monkeypatch, term="dumb").paint("x", "red") == "x"
    monkeypatch.undo()
    assert Printer(environ={}).paint("x", "red") == "x"
    assert Printer(color="always", environ={"NO_COLOR": "1"}).paint("x", "red") == "\x1b[0;31mx\x1b[0m"


def test_times_are_ages_on_a_terminal() -> None:
    for seconds, shown in ((0, "now"), (59, "59s ago"), (60, "1m ago"), (7200, "2h ago"), (200_000, "2d ago")):
        assert age(rfc3339(1e9), 1e9 + seconds) == shown
    assert age("yester\x1bday", 0.0) == "yester�day"


@given(st.lists(st.text(alphabet="ab", min_size=8, max_size=8), min_size=1, max_size=20))
def test_short_ids_are_unique_prefixes(ids: list[str]) -> None:
    short = short_ids(ids)
    for one, prefix in short.items():
        assert len(prefix) >= 4
        assert [other for other in short if other.startswith(prefix)] == [one]


def test_the_editor_gives_whole_lines() -> None:
    editor = LineEditor()
    assert editor.feed("hé".encode()[:2]) == [LineChanged()]
    assert editor.feed("hé".encode()[2:] + b"\x7fey\x17go\x15one two\x17\x17three\r") == [Typed("three"), LineChanged()]
    assert editor.feed(b"\x1b[A") == [LineChanged()]
    assert editor.text == "three"
    assert editor.feed(b"\x1b[B\x04") == [InputEnded(), LineChanged()]
    assert editor.feed(b"\x1b[200~a\r\x04b\x1b[20") == [LineChanged()]
    assert editor.feed(b"1~\x1b[1;5C\r") == [Typed("a\nb"), LineChanged()]  # pasted lines are one prompt


def test_a_secret_is_not_remembered() -> None:
    editor = LineEditor()
    editor.secret = True
    assert editor.feed(b"pass\r") == [Typed("pass"), LineChanged()]
    editor.secret = False
    editor.feed(b"\x1b[A")
    assert editor.text == ""


def test_a_reply_is_printed_once_however_it_comes() -> None:
    reply = ReplyText()
    assert reply.more(1, 1, "ab") == "ab"
    assert reply.whole(1, 1, "abcd") == "cd"  # a merged delta after a reconnect
    assert reply.whole(1, 1, "abcd\n") == "\n"
    assert reply.whole(1, 1, "abcd\n") == ""
    assert reply.whole(1, 2, "other") == "other"
    assert reply.whole(1, 2, "else") == "\nelse"  # the final text is authoritative


def test_a_painted_line_is_cut_like_any_other_and_its_colours_end_with_it() -> None:  # T10
    red = "\x1b[31mred\x1b[0m"
    assert fit_painted(f"a {red} b", 20, color=True) == f"a {red} b\x1b[0m"
    assert fit_painted(f"a {red} b", 20, color=False) == "a red b"
    assert fit_painted(f"a {red} b", 4, color=True) == "a \x1b[31mr…\x1b[0m"
    assert fit_painted("a\x1b[2Jb\rc\x07d", 20, color=True) == "ab cd"
    assert fit_painted("日本日本", 5, color=True) == "日本…"
    assert fit_painted("abcd", 4, color=True) == "abcd"
    assert fit_painted("abcd", 0, color=True) == "…"
