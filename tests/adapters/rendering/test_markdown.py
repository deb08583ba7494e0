"""adapters.rendering.markdown: trees hold every word of a text, a few tags, and no address that could do harm."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.adapters.rendering.markdown import GROWTH, SPARE, MarkdownTrees
from agent.ports.rendering import Tree

TREES = MarkdownTrees()
ALLOWED = {
    "a": {"href", "to"}, "ol": {"start"}, "li": {"task"}, "th": {"align"}, "td": {"align"}, "pre": {"lang"},
    **{tag: set() for tag in ("h1", "h2", "h3", "h4", "h5", "h6", "p", "em", "strong", "s", "code", "br", "hr")},
    **{tag: set() for tag in ("blockquote", "ul", "table", "thead", "tbody", "tr")},
}  # fmt: skip
"""What `tree.js` knows."""
PIECES = st.sampled_from(
    ["a", "word ", "\n", "\n\n", "- ", "1. ", "> ", "# ", "|", "|-|\n", "`", "```\n", "*", "**", "~~", "[", "](", ")",
     "!", "<b>", "https://a.b/c", "javascript:", "[ ] ", "    ", "\t", "&lt;", "\\", "é", "文", "\x00", "\x1b"]
)  # fmt: skip


def elements(tree: Tree) -> Iterator[tuple[str, dict[str, Any], Tree]]:
    for each in tree:
        if not isinstance(each, str):
            tag, attributes, children = each
            yield tag, attributes, children
            yield from elements(children)


def words(tree: Tree) -> str:
    return "".join(each if isinstance(each, str) else words(each[2]) for each in tree)


def test_blocks_and_marks_are_elements() -> None:
    assert TREES.tree("# A *b*\n\n> `c`\n\n---\n\nd  \ne\nf ~~g~~") == [
        ["h1", {}, ["A ", ["em", {}, ["b"]]]],
        ["blockquote", {}, [["p", {}, [["code", {}, ["c"]]]]]],
        ["hr", {}, []],
        ["p", {}, ["d", ["br", {}, []], "e\nf ", ["s", {}, ["g"]]]],
    ]


def test_lists_keep_their_numbers_and_say_which_tasks_are_done() -> None:
    assert TREES.tree("3. a\n4. b\n\n\n- [x] c [ ]\n- [ ] **d**\n\n  e") == [
        ["ol", {"start": 3}, [["li", {}, ["a"]], ["li", {}, ["b"]]]],
        [
            "ul",
            {},
            [
                ["li", {"task": "done"}, [["p", {}, ["c [ ]"]]]],
                ["li", {"task": "open"}, [["p", {}, ["", ["strong", {}, ["d"]]]], ["p", {}, ["e"]]]],
            ],
        ],
    ]


def test_a_table_says_how_its_columns_are_aligned() -> None:
    assert TREES.tree("|a|b|\n|-|-:|\n|1|2|") == [
        [
            "table",
            {},
            [
                ["thead", {}, [["tr", {}, [["th", {}, ["a"]], ["th", {"align": "right"}, ["b"]]]]]],
                ["tbody", {}, [["tr", {}, [["td", {}, ["1"]], ["td", {"align": "right"}, ["2"]]]]]],
            ],
        ]
    ]


def test_code_is_one_text_with_the_first_word_of_what_it_is() -> None:
    assert TREES.tree("```python title=x\na <b>\n\n*c*\n```\n\n    d") == [
        ["pre", {"lang": "python"}, [["code", {}, ["a <b>\n\n*c*"]]]],
        ["pre", {}, [["code", {}, ["d"]]]],
    ]


def test_html_is_text() -> None:
    assert TREES.tree("<script>x</script>\n\na <img src=x onerror=y> &lt;b&gt;") == [
        ["p", {}, ["<script>x</script>"]],
        ["p", {}, ["a <img src=x onerror=y> <b>"]],
    ]


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("[a](https://b.c/d?e=f)", {"href": "https://b.c/d?e=f"}),
        ("[a](HTTP://b)", {"href": "HTTP://b"}),
        ("[a](mailto:b@c.d)", {"href": "mailto:b@c.d"}),
        ("<https://b.c>", {"href": "https://b.c"}),
        ("[a](src/wire.py#L3)", {"to": "src/wire.py#L3"}),
        ("[a](//evil.example)", {"to": "//evil.example"}),
        ("[a](blob:https://b.c/d)", {"to": "blob:https://b.c/d"}),
        ("![a](https://b.c/d.png)", {"href": "https://b.c/d.png"}),
        (f"[a](https://b/{'c' * 2_048})", {}),
    ],
)
def test_a_link_leads_to_the_web_or_nowhere(text: str, link: dict[str, str]) -> None:
    ((_, attributes, _),) = [each for each in elements(TREES.tree(text)) if each[0] == "a"]
    assert attributes == link


@pytest.mark.parametrize("scheme", ["javascript", "JaVaScRiPt", "vbscript", "data", "java\tscript", "&#106;avascript"])
def test_no_address_is_code(scheme: str) -> None:
    tree = TREES.tree(f"[a]({scheme}:alert(1)) <{scheme}:alert(1)> [b]\n\n[b]: {scheme}:alert(1)")
    assert [attributes for tag, attributes, _ in elements(tree) if "href" in attributes] == []


@pytest.mark.parametrize(
    ("text", "before", "address", "after"),
    [
        ("see https://a.b/c_d_e.", "see ", "https://a.b/c_d_e", "."),
        ("(https://a.b/c(d))", "(", "https://a.b/c(d)", ")"),
        ("在https://a.b/c。", "在", "https://a.b/c", "。"),
        ("http://[::1]:7480/, or", "", "http://[::1]:7480/", ", or"),
    ],
)
def test_a_bare_address_is_a_link(text: str, before: str, address: str, after: str) -> None:
    parts = [before, ["a", {"href": address}, [address]], after]
    assert TREES.tree(text) == [["p", {}, [part for part in parts if part]]]


@pytest.mark.parametrize(
    "text", ["[https://a.b](https://c.d)", "`https://a.b`", "https://", "https://...", "xhttps://a"]
)
def test_what_is_none_or_has_its_own_link_is_not_made_one(text: str) -> None:
    assert [each[2] for each in elements(TREES.tree(text)) if each[1].get("href") == "https://a.b"] == []
    assert text.startswith("[") or "href" not in str(TREES.tree(text))


def test_what_is_not_seen_turns_text_around_or_is_a_terminals_is_left_out() -> None:  # T10
    assert TREES.tree("a\x1b[31m b\x1b[0m\u202ec \U000e0041`d\u2066`\x07 👩\u200d🔧") == [
        ["p", {}, ["a bc ", ["code", {}, ["d"]], " 👩\u200d🔧"]]
    ]


@pytest.mark.parametrize(
    "text", [">" * 60 + " deep", "- " * 40 + "deep", "|a" * 200 + "|\n" + "|-" * 200 + "|\n" * 200]
)
def test_what_would_be_cut_or_become_too_large_stays_as_it_is(text: str) -> None:
    assert TREES.tree(text) == [["pre", {}, [["code", {}, [text]]]]]


def test_a_fault_of_the_library_costs_the_marks_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trees = MarkdownTrees()
    trees.tree("")

    def broken(text: str) -> None:
        raise IndexError(text)

    monkeypatch.setattr(trees._parser, "parse", broken)
    with caplog.at_level(logging.WARNING):
        assert trees.tree("*a*") == [["pre", {}, [["code", {}, ["*a*"]]]]]
    assert "could not be read" in caplog.text


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join))
def test_whatever_the_text_its_tree_is_small_and_of_what_is_allowed(text: str) -> None:
    tree = TREES.tree(text)
    for tag, attributes, _ in elements(tree):
        assert set(attributes) <= ALLOWED[tag], tag
    for _, attributes, _ in elements(tree):
        assert attributes.get("href", "https://a").lower().startswith(("http://", "https://", "mailto:"))
    assert len(msgspec.json.encode(tree)) <= max(GROWTH * len(text) + SPARE, 6 * len(text) + 64)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["word ", "another", "\n", "\n\n", "- ", "> ", "**", "`b` ", "\n\n```\n", "~~c~~ "])).map(
        "".join
    )
)
def test_no_word_is_lost(text: str) -> None:
    assert words(TREES.tree(text)).count("word") == text.count("word")
    assert words(TREES.tree(text)).count("another") == text.count("another")


def test_the_library_is_imported_with_the_first_text() -> None:  # start-up and idle memory stay as they are
    loaded = "import sys, agent.daemon; print('markdown_it' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", loaded], capture_output=True, check=True, text=True)
    assert ran.stdout == "False\n"
