"""`dom.js`: nodes without HTML, lists that touch only what changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.device

Run = Callable[..., Any]


def test_an_element_takes_attributes_handlers_and_children(module: Run) -> None:
    script = """({el}) => {
      let clicked = 0;
      const node = el("button", {
        class: ["a", false, "b"], hidden: true, title: null, disabled: false, dataset: {id: "7"},
        onclick: () => clicked++,
      }, "<b>text</b>", null, false, [el("i"), ["more"]]);
      node.click();
      return [node.className, node.hidden, node.hasAttribute("title"), node.disabled, node.dataset.id, clicked,
              node.textContent, node.children.length];
    }"""
    assert module("dom.js", script) == ["a b", True, False, False, "7", 1, "<b>text</b>more", 1]


def test_an_element_refuses_what_the_policy_would(module: Run) -> None:
    script = """({el}) => {
      try {
        el("p", {style: "color: red"});
      } catch (error) {
        return error.name;
      }
    }"""
    assert module("dom.js", script) == "TypeError"


KEYED = """({el, keyed, say}, steps) => {
  const list = el("ul");
  document.body.append(list);
  let made = 0;
  const updated = [];
  const known = new Map();
  const item = (text) => {
    if (!known.has(text)) known.set(text, {id: text.split(" ")[0], text});
    return known.get(text);
  };
  const seen = [];
  for (const step of steps) {
    const moved = new MutationObserver(() => {});
    moved.observe(list, {childList: true});
    updated.length = 0;
    keyed(list, step.map(item), (each) => each.id, (each) => (made++, el("li", {}, each.text)),
      (node, each) => (updated.push(each.id), say(node, each.text)));
    const records = moved.takeRecords();
    const count = records.reduce((sum, each) => sum + each.addedNodes.length + each.removedNodes.length, 0);
    moved.disconnect();
    seen.push([[...list.children].map((node) => node.textContent), made, [...updated], count]);
  }
  return seen;
}"""


def test_a_list_makes_one_node_a_key_and_touches_only_what_changed(module: Run) -> None:
    steps = [["a", "b", "c"], ["a", "b", "c"], ["a", "b 2", "c"], ["c", "a", "b 2"], ["c", "b 2", "b 2"], []]
    assert module("dom.js", KEYED, steps) == [
        [["a", "b", "c"], 3, [], 3],
        [["a", "b", "c"], 3, [], 0],
        [["a", "b 2", "c"], 3, ["b"], 0],
        [["c", "a", "b 2"], 3, [], 2],  # one row is moved: removed once, added once
        [["c", "b 2"], 3, [], 1],
        [[], 3, [], 2],
    ]


def test_a_row_that_rises_keeps_the_focus(module: Run) -> None:
    script = """({el, keyed}) => {
      const list = el("ul");
      document.body.append(list);
      const items = ["a", "b", "c"];
      const draw = () => keyed(list, items, (each) => each, (each) => el("li", {}, el("button", {}, each)), () => {});
      draw();
      list.children[2].firstChild.focus();
      items.unshift(items.pop());
      draw();
      return [list.textContent, document.activeElement.textContent];
    }"""
    assert module("dom.js", script) == ["cab", "c"]


def test_a_dialog_is_named_closes_by_an_action_and_gives_the_focus_back(module: Run) -> None:
    script = """async ({el, dialog}) => {
      const from = el("button", {}, "from");
      document.body.append(from);
      from.focus();
      const runs = [];
      const node = dialog({title: "Close?", body: [], actions: [
        {label: "Not yet", run: async () => (runs.push("not yet"), false)},
        {label: "Yes", primary: true, run: () => runs.push("yes")},
      ]});
      const named = document.getElementById(node.getAttribute("aria-labelledby")).textContent;
      const [not, yes] = node.querySelectorAll("button");
      const settled = () => new Promise((resolve) => setTimeout(resolve));
      not.click();
      await settled();
      const stays = node.open;
      const over = new Promise((resolve) => node.addEventListener("close", resolve));
      yes.click();
      await over;
      return [named, stays, node.isConnected, document.activeElement === from, runs];
    }"""
    assert module("dom.js", script) == ["Close?", True, False, True, ["not yet", "yes"]]


def test_a_menu_stays_with_its_anchor_until_it_is_left(module: Run) -> None:
    script = """({el, menu}) => {
      const anchor = el("button");
      document.body.append(anchor);
      const node = menu(anchor, [{label: "Rename", run() {}}, {label: "Close", run() {}}], "Actions");
      document.dispatchEvent(new Event("scroll"));
      dispatchEvent(new Event("resize"));
      const seen = [node.isConnected, anchor.getAttribute("aria-expanded")];
      document.body.dispatchEvent(new Event("pointerdown", {bubbles: true}));
      return [...seen, node.isConnected, anchor.getAttribute("aria-expanded")];
    }"""
    assert module("dom.js", script) == [True, "true", False, "false"]
