"""adapters.backends.terminal.prompts: what a terminal shows of what was typed, and which of it is a prompt."""

from __future__ import annotations

import pytest

from agent.adapters.backends.terminal.prompts import TypedLines, without_mark
from agent.protocol.terminal_lines import TerminalLines


@pytest.mark.parametrize(
    ("before", "behind", "shown"),
    [
        ("$ ", "", "make all\nok\n"),
        ("$ ", "", "$ make all\nok\n"),
        ("% ", "      [10:20]", "make all      [10:20]\nok\n"),
        ("% ", "      [10:20]", "make all\nok\n"),  # it makes room for a long line
        ("% ", "", "\x1b[32mmake\x1b[0m all\nok\n"),
    ],
)
def test_the_echo_is_known_by_the_text_and_what_stands_behind_the_cursor(before: str, behind: str, shown: str) -> None:
    lines = TypedLines()
    lines.type("make all", before, behind, edits=True)
    assert lines.without_echo(shown) == "ok\n"
    assert lines.without_echo("make all\n") == "make all\n"  # and only once


def test_rows_that_may_still_change_are_shown_without_the_echo_which_may_come_yet() -> None:
    lines = TypedLines()
    lines.type("make all", "$ ", "", edits=True)
    assert lines.shown("mak") == ""
    assert lines.shown("make all\n50%") == "50%"
    assert lines.without_echo("make all\n100%\n") == "100%\n"


def test_a_shell_that_does_not_edit_asks_for_each_further_line_behind_them_all() -> None:
    for edits, reply in ((False, "1\n> 2\n"), (True, "> 1\n> 2\n")):
        lines = TypedLines()
        lines.type("if true\nthen", "$ ", "", edits=edits)
        assert lines.without_echo("if true\nthen\n> 1\n> 2\n") == reply


@pytest.mark.parametrize(
    ("stood", "before", "shell", "edits", "prompt"),
    [
        ("$ ", "$ ", "dash", False, "$ "),
        ("$ ", "half$ ", "dash", False, "$ "),
        ("$ ", "Name? ", "dash", False, ""),  # `read` asks
        ("", "# ", "dash", False, "# "),
        ("", "Name? ", "dash", False, ""),
        ("me@here:~$ ", "me@here:/tmp$ ", "bash", True, "me@here:/tmp$ "),
        ("me@here:~$ ", "halfme@here:/tmp$ ", "bash", True, ""),
        ("me@here:~$ ", "me@here:/tmp$ ", "dash", False, ""),
        ("~ % ", "/tmp % ", "zsh", True, "/tmp % "),
        ("~> ", "/tmp> ", "fish", True, "/tmp> "),
        ("~ % ", "Name? ", "zsh", False, ""),
    ],
)
def test_a_prompt_is_known_by_what_stood_there_or_by_the_shell(
    stood: str, before: str, shell: str, edits: bool, prompt: str
) -> None:
    lines = TypedLines()
    lines.type("true", stood, "", edits=edits)
    assert lines.prompt(before, shell, edits=edits) == len(prompt)


def test_what_shells_write_behind_a_line_without_end_goes_with_the_prompt() -> None:
    assert without_mark("half\x1b[1;7m%\x1b[0m      ") == "half"
    assert without_mark("half\x1b[2m⏎\x1b[0m      ") == "half"
    assert without_mark("50%  ") == "50%  "


@pytest.mark.parametrize(("output", "text"), [("one\r\n", "one\n"), ("half", "half"), ("", "")])
def test_a_turn_ends_before_the_prompt_and_what_stands_at_its_right(output: str, text: str) -> None:
    lines = TerminalLines(5, 40)
    lines.begin()
    lines.feed(f"{output}\x1b[31m~ %\x1b[m ".encode() + b"\x1b7\x1b[30G[10:20]\x1b8")
    before, behind = lines.at_cursor
    assert before.endswith("~ % ")
    assert behind.strip() == "[10:20]"
    assert lines.end(len("~ % ")) == text
    lines.begin()
    lines.feed(b"\r\x1b[Kover\r\n")  # what is written there then is news
    assert lines.end() == "over\n"
