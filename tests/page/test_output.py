"""`patch.js` and `ansi.js`: changes of files line by line, and what programs print with its colours alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.adapters.backends.acp.diffs import diff_of
from agent.client.terminal_text import plain

pytestmark = pytest.mark.device

Run = Callable[..., Any]
LINES = "({lines}, patch) => lines(patch).map(({kind, old, now, text}) => [kind, old ?? 0, now ?? 0, text])"
RUNS = "({runs}, text) => runs(text).map(({text, style}) => [text, style])"
TEXT = "({runs}, text) => runs(text).map((run) => run.text).join('')"


def test_lines_have_their_kinds_and_numbers(module: Run) -> None:
    diff = diff_of("a.py", "a\nb\nc\n--d\n", "a\nB\nc\n++d\n\n")
    assert module("patch.js", LINES, diff.patch) == [
        ["hunk", 0, 0, ""],
        ["same", 1, 1, "a"],
        ["remove", 2, 0, "b"],
        ["add", 0, 2, "B"],
        ["same", 3, 3, "c"],
        ["remove", 4, 0, "--d"],
        ["add", 0, 4, "++d"],
        ["add", 0, 5, ""],
    ]


def test_names_of_files_are_no_lines_and_functions_are_named(module: Run) -> None:
    names = "diff --git a/x b/x\nindex 1..2\n--- a/x\n+++ b/x\n"
    patch = f"{names}@@ -7 +7,2 @@ def f():\n-x\n+y\n+z\n\\ No newline at end of file\n"
    assert module("patch.js", LINES, patch) == [
        ["hunk", 0, 0, "def f():"],
        ["remove", 7, 0, "x"],
        ["add", 0, 7, "y"],
        ["add", 0, 8, "z"],
        ["note", 0, 0, "No newline at end of file"],
    ]


@pytest.mark.parametrize(("patch", "shown"), [("", []), ("+a\n b", [["add", 0, 1, "a"], ["same", 1, 2, "b"]])])
def test_a_patch_without_hunks_is_lines(module: Run, patch: str, shown: list[Any]) -> None:
    assert module("patch.js", LINES, patch) == shown


def test_a_diff_shows_its_path_its_counts_and_what_is_left_out(module: Run) -> None:
    script = """({patchNode}, diff) => {
      const node = patchNode(diff);
      const text = (query) => [...node.querySelectorAll(query)].map((each) => each.textContent);
      return [text(".path"), text("summary [aria-hidden]"), text(".line"), text(".cut")];
    }"""
    diff = {"path": "src/<b>.py", "patch": "@@ -1 +1 @@\n-a <i>\n+b\n", "cut": 30, "added": 16, "removed": 16}
    shown = [["src/<b>.py"], ["+16", "\N{MINUS SIGN}16"], ["", "-a <i>", "+b"], ["diff.cut"]]
    assert module("patch.js", script, diff) == shown


def test_the_lines_of_a_folded_diff_are_made_when_it_is_unfolded(module: Run) -> None:
    script = """async ({patchNode}) => {
      const node = patchNode({path: "a", patch: "@@ -1 +1 @@\\n-a\\n+b\\n"}, false);
      const count = () => node.querySelectorAll(".line").length;
      const folded = count();
      document.body.append(node);
      const toggled = new Promise((resolve) => node.addEventListener("toggle", resolve, {once: true}));
      node.open = true;
      await toggled;
      node.remove();
      return [folded, count()];
    }"""
    assert module("patch.js", script) == [0, 3]


@pytest.mark.parametrize(
    ("codes", "style"),
    [
        ("31", {"fg": "#cd3131"}),
        ("1;92", {"bold": True, "fg": "#23d18b"}),
        ("44;107", {"bg": "#ffffff"}),
        ("38;5;196", {"fg": "#ff0000"}),
        ("48;5;244", {"bg": "#808080"}),
        ("38;5;9", {"fg": "#f14c4c"}),
        ("38;2;1;2;255", {"fg": "#0102ff"}),
        ("38:2::1:2:255", {"fg": "#0102ff"}),
        ("38:5:196;4", {"fg": "#ff0000", "underline": True}),
        ("4:3", {"underline": True}),
        ("4:0", {}),
        ("58;2;1;2;3;3", {"italic": True}),
        ("38;5;999", {}),
        ("38;2;1;2", {}),
        ("38", {}),
        ("8", {}),  # text that is hidden is shown
        ("1;0", {}),
        ("1;2;22;7;27;9;29;3;23;31;39;41;49", {}),
        ("", {}),
        ("99;48;1000", {}),
        ("31;0;32", {"fg": "#0dbc79"}),
    ],
)
def test_colours_and_styles_of_terminals(module: Run, codes: str, style: dict[str, Any]) -> None:
    assert module("ansi.js", RUNS, f"\x1b[{codes}ma") == [["a", style]]


def test_a_style_lasts_until_it_ends(module: Run) -> None:
    red = {"fg": "#cd3131"}
    told = [["a", {}], ["b\n", red], ["c", red | {"bold": True}], ["d", {}]]
    assert module("ansi.js", RUNS, "a\x1b[31mb\n\x1b[1mc\x1b[md") == told


@pytest.mark.parametrize(
    "text",
    [
        "a\x1b[2J\x1b[Hb\x1b[3Ac",
        "a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c\x1b]8;;\x1b\\",
        "a\x1bPq#0\x1b\\b\x1b(Bc\x1b#8d\x1b7e\x1b=f",
        "50 %\r100 %\r\nend\r\r\n",
        "a\x07\x08\x00b\x7f\x9b31mc\x1b",
        "a\u202eb\u2066c\u200bd\ufeffe",
        "a\x1b[31",
        "a\x1b]0;never ends",
        "a\x1b[31\x00mb",
        "日本\x1b[0m語\ttab",
    ],
)
def test_of_all_else_what_it_says_is_shown_as_the_command_line_does(module: Run, text: str) -> None:  # T10
    assert module("ansi.js", TEXT, text) == plain(text)


def test_nodes_have_text_and_their_own_look_alone(module: Run) -> None:
    script = """({ansiNodes}, text) => {
      const node = document.createElement("div");
      node.append(...ansiNodes(text));
      return node.innerHTML;
    }"""
    assert module("ansi.js", script, "<b>\x1b[1;31m<i>\x1b[0m") == (
        '&lt;b&gt;<span class="ansi fg bold" style="--fg: #cd3131;">&lt;i&gt;</span>'
    )


def test_very_many_colours_are_a_few_nodes(module: Run) -> None:
    text = "".join(f"\x1b[{31 + number % 6}m{number} " for number in range(20_000))
    script = "({runs}, text) => { const all = runs(text); return [all.length, all.map((run) => run.text).join('')]; }"
    count, same = module("ansi.js", script, text)
    assert count == 5_000
    assert same == "".join(f"{number} " for number in range(20_000))


GROWS = """({outputNode}, parts) => {
  const {node, add, finish} = outputNode();
  const shown = parts.map((part) => {
    add(part);
    return node.textContent;
  });
  finish(parts.join(""));
  return [...shown, node.textContent, [...node.querySelectorAll(".ansi")].map((each) => each.textContent)];
}"""


def test_output_that_grows_has_its_colours_at_once_wherever_it_is_cut(module: Run) -> None:
    parts = ["one \x1b[3", "1mred\x1b[0", "m\n\x1b[32mgr", "een\nmore", "\x1b]0;title", "\x07.\n"]
    *shown, whole, coloured = module("ansi.js", GROWS, parts)
    end = "one red\ngreen\nmore.\n"
    assert shown == ["one ", "one red", "one red\ngr", "one red\ngreen\nmore", "one red\ngreen\nmore", end]
    assert whole == end
    assert coloured == ["red", "green\nmore.\n"]
    live = """({outputNode}, parts) => {
      const {node, add} = outputNode();
      parts.forEach(add);
      return [...node.querySelectorAll(".ansi")].map((each) => each.textContent).join("|");
    }"""
    assert module("ansi.js", live, parts) == "red|green\n|more.\n"


def test_a_line_that_is_written_over_is_one_line(module: Run) -> None:
    *shown, whole, _ = module("ansi.js", GROWS, ["get\r\n", " 10 %\r", " 20 %\r 30", " %\rdone\r\n"])
    assert shown == ["get\n", "get\n 10 %\n", "get\n 30", "get\ndone\n"]
    assert whole == "get\ndone\n"


def test_what_a_program_draws_elsewhere_on_the_screen_is_another_line(module: Run) -> None:
    *_, whole, _ = module("ansi.js", GROWS, ["\x1b[?1049h\x1b[2J\x1b[1;1Hfirst\x1b[2;1", "H~\x1b[3;1H\x1b[K~"])
    assert whole == "\nfirst\n~\n~"


def test_output_is_bounded_in_the_nodes_that_it_takes(module: Run) -> None:  # T11
    script = """({outputNode}, part) => {
      const {node, add} = outputNode();
      for (let at = 0; at < 200; at++) add(part);
      return node.querySelectorAll("*").length;
    }"""
    assert module("ansi.js", script, "\x1b[31ma\x1b[32mb\n" * 100) < 6_000
