"""`tree.js`: nodes of trees, of known tags and attributes alone, which stay what they are while a text grows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.adapters.rendering.markdown import MarkdownTrees

pytestmark = pytest.mark.device

Run = Callable[..., Any]
TREES = MarkdownTrees()
SHOWN = """({build}, tree) => {
  const node = document.createElement("div");
  node.append(...build(tree));
  return node.innerHTML;
}"""
GROWN = """({build, grow}, [trees, from]) => {
  const node = document.createElement("div");
  node.append(...build(trees[0]));
  const seen = new Set();
  const all = (parent) => [...parent.childNodes].flatMap((each) => [each, ...all(each)]);
  all(node).forEach((each) => seen.add(each));
  const kept = [];
  for (let at = 1; at < trees.length; at++) {
    grow(node, trees[at - 1].slice(from), trees[at].slice(from), from);
    const now = all(node);
    kept.push(now.filter((each) => seen.has(each)).length);
    now.forEach((each) => seen.add(each));
  }
  const fresh = document.createElement("div");
  fresh.append(...build(trees.at(-1)));
  const plain = (html) => html.replace(/<button.*?<[/]button>/g, "");
  return [plain(node.innerHTML) === plain(fresh.innerHTML), kept];
}"""


def shown(module: Run, text: str) -> str:
    html: str = module("tree.js", SHOWN, TREES.tree(text))
    return html


def test_headings_stand_below_those_of_the_page(module: Run) -> None:
    assert shown(module, "# a\n\n#### b\n\n###### c") == "<h3>a</h3><h6>b</h6><h6>c</h6>"


def test_lists_tables_and_marks_are_what_they_are_called(module: Run) -> None:
    assert shown(module, "3. *a*\n4. b  \nc") == '<ol start="3"><li><em>a</em></li><li>b<br>c</li></ol>'
    assert shown(module, "|a|b|\n|-|-:|\n|1|2|") == (
        '<div class="table" tabindex="0" role="group" aria-label="code.table"><table><thead><tr><th>a</th>'
        '<th class="align-right">b</th></tr></thead><tbody><tr><td>1</td><td class="align-right">2</td></tr></tbody>'
        "</table></div>"
    )
    assert shown(module, "- [x] a") == (
        '<ul><li class="task"><span class="box" role="img" aria-label="code.task.done">☑</span><div>a</div></li></ul>'
    )


def test_code_scrolls_in_itself_and_can_be_copied(module: Run) -> None:
    html = shown(module, "```sh\nls <b>\n```")
    assert '<pre tabindex="0" role="group" aria-label="sh" dir="ltr"><code>ls &lt;b&gt;</code></pre>' in html
    assert '<button type="button" class="copy">' in html


def test_links_lead_to_the_web_and_say_nothing_of_here(module: Run) -> None:
    assert shown(module, "<https://a.b/c>") == (
        '<p><a href="https://a.b/c" target="_blank" rel="noopener noreferrer">https://a.b/c</a></p>'
    )
    assert shown(module, "[a](src/b.py)") == '<p><span class="path" title="src/b.py">a</span></p>'


@pytest.mark.parametrize(
    "tree",
    [
        [["script", {}, ["a"]]],
        [["img", {"src": "x", "onerror": "alert(1)"}, ["a"]]],
        [["iframe", {"srcdoc": "x"}, ["a"]]],
        [["a", {"href": "javascript:alert(1)"}, ["a"]]],
        [["a", {"href": "data:text/html,x"}, ["a"]]],
        [["a", {"href": "//evil.example"}, ["a"]]],
        [["__proto__", {}, ["a"]]],
        [["constructor", {}, ["a"]]],
        [["p", {"onclick": "alert(1)", "style": "x", "id": "message"}, ["a"]]],
        [["ol", {"start": "1 onclick=x", "class": "x"}, ["a"]]],
        [["td", {"align": "x onclick=y"}, ["a"]]],
    ],
)
def test_what_the_service_never_sends_is_no_more_than_its_text(module: Run, tree: Any) -> None:
    html = module("tree.js", SHOWN, tree)
    assert html in {"<span>a</span>", "<p>a</p>", "<ol>a</ol>", "<td>a</td>"} or (
        html.startswith('<span class="path" title="') and html.endswith(">a</span>")
    )


REPLY = (Path(__file__).parents[2] / "docs" / "design" / "page.md").read_text(encoding="utf-8")[:6_000]
STEPS = """\
# A *reply*

1. one
2. [ ] two

   - deep

|a|b|
|-|-|
|1|2|

```python
if x:
    pass

    y
```
> end
"""


@pytest.mark.parametrize(("text", "step"), [(STEPS, 1), (REPLY, 97)], ids=["steps", "reply"])
def test_a_tree_that_grows_is_the_same_as_one_that_is_built(module: Run, text: str, step: int) -> None:
    trees = [TREES.tree(text[:end]) for end in range(0, len(text) + step, step)]
    same, kept = module("tree.js", GROWN, [trees, 0])
    assert same
    assert sum(kept) > 0


def test_what_is_the_same_is_not_touched(module: Run) -> None:
    trees = [TREES.tree(text) for text in ("a\n\n```\nb", "a\n\n```\nb\nc", "a\n\n```\nb\nc\n```\nd")]
    same, kept = module("tree.js", GROWN, [trees, 0])
    assert same
    # a: element and text; code: block, head, its label and text, the button and its text, pre, code, text
    assert kept == [11, 11]
    assert module("tree.js", GROWN, [trees, 1])[0]


def test_a_selection_in_text_that_grows_stays(module: Run) -> None:
    script = """({build, grow}, [before, after]) => {
      const node = document.createElement("div");
      document.body.append(node);
      node.append(...build(before));
      getSelection().setBaseAndExtent(node.firstChild.firstChild, 2, node.firstChild.firstChild, 6);
      grow(node, before, after);
      const selected = String(getSelection());
      node.remove();
      return selected;
    }"""
    assert module("tree.js", script, [TREES.tree("I changed"), TREES.tree("I changed `wire.py` so")]) == "chan"


def test_the_words_of_a_large_reply_are_all_there(module: Run) -> None:
    script = """({build}, tree) => {
      const node = document.createElement("div");
      node.append(...build(tree));
      for (const each of node.querySelectorAll("button, .code-head")) each.remove();
      return node.textContent;
    }"""
    text = "\n\n".join(f"word{number} **bold{number}** `code{number}`" for number in range(500))
    words = set(module("tree.js", script, json.loads(json.dumps(TREES.tree(text)))).replace("`", " ").split())
    assert {f"bold{number}" for number in range(500)} <= words
