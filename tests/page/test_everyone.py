"""Whoever uses it: keys alone, a screen reader, large text, no motion, few colours, a finger (docs/page.md)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.page.test_chat import LAPTOP, Log, answers

pytestmark = pytest.mark.device

Open = Callable[..., Page]
CODE = ["pre", {"lang": "python"}, [["code", {}, ["print(1)\n"]]]]
BOXES = """(selector) => [...document.querySelectorAll(selector)].map((node) => {
  const {x, y, width, height} = node.getBoundingClientRect();
  return {x, y, width, height};
})"""


FOCUSED = """() => {
  const node = document.activeElement;
  const {outlineStyle, outlineWidth} = getComputedStyle(node);
  const card = node.closest(".compose form"); // has the ring of the message box
  const ring = outlineStyle !== "none" && outlineWidth === "2px";
  const cards = card !== null && getComputedStyle(card).boxShadow !== "none";
  return [node.tagName, node.ariaLabel || node.textContent, ring || cards];
}"""
LINES = """(rows) => rows.map((row) =>
  [...row.querySelectorAll(".title, .under, .question")].map((node) => node.getBoundingClientRect().y))"""


def session() -> dict[str, Any]:
    """A session that works, whose last reply has code, and another one that waits for a person."""
    log = Log()
    log.add("message.user", turn=1, prompt_id="p1", text="Run the tests", sender=LAPTOP)
    log.add("message.start", turn=1)
    log.add("message.complete", turn=1, text="```python\nprint(1)\n```", status="complete")
    log.add("tool.start", turn=1, tool_id="t1", title="Run the tests", tool="execute")
    attached = log.attached(status="working")
    rows = [
        attached["snapshot"]["session"],
        {
            **attached["snapshot"]["session"],
            "id": "s2",
            "title": "Log-in",
            "status": "needs-input",
            "question": "Go on?",
        },
        {**attached["snapshot"]["session"], "id": "s3", "title": "Logs", "status": "idle"},
    ]
    return answers(log, attached, **{"session.watch": rows, "page.render": {"trees": [[CODE]]}})


def shown(open_page: Open, **options: Any) -> Page:
    page = open_page("#/s/s1", session(), **options)
    expect(page.locator(".code .copy")).to_be_visible()
    return page


def test_with_keys_alone_each_stop_shows_that_it_has_the_focus(open_page: Open) -> None:
    page = shown(open_page)
    stops = []
    around = 0  # the window itself is a stop between the last one and the first
    while around < 2:
        page.keyboard.press("Tab")
        tag, name, ring = page.evaluate(FOCUSED)
        around += tag == "BODY"
        if around == 1 and tag != "BODY":
            stops.append((name, ring))
    assert [name for name, ring in stops if not ring] == []
    names = [name for name, _ in stops]
    assert names[:2] == ["Skip to the message box", "Find a session"]
    assert {"Devices", "Transcript", "Copy", "Message", "Stop"} <= set(names)
    rows = [name for name in names if name.startswith(("Build the wire", "Log-in", "Logs"))]
    assert len(rows) == 1  # arrows go on from there


def test_one_line_is_heard_and_says_what_is_copied(open_page: Open) -> None:
    page = shown(open_page)
    assert page.locator("[aria-live]:not([aria-live=off]), [role=log]").count() == 1
    page.locator(".code .copy").click()
    expect(page.locator("[aria-live]")).to_have_text("Not copied")  # the clipboard is for https and the loopback


def test_text_of_twice_the_size_has_room(open_page: Open) -> None:
    page = shown(open_page, viewport={"width": 1280, "height": 800})
    page.context.new_cdp_session(page).send("Page.setFontSizes", {"fontSizes": {"standard": 32, "fixed": 26}})
    expect(page.locator("h1")).to_have_css("font-size", "32px")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    box = page.locator(".compose").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 800
    page.evaluate("location.hash = '#/'")
    expect(page.locator("#side")).to_be_visible()
    for lines in page.locator(".row").evaluate_all(LINES):
        assert all(below - above >= 28 for above, below in pairwise(lines))


@pytest.mark.parametrize(("wish", "moves"), [("no-preference", True), ("reduce", False)])
def test_nothing_moves_for_whoever_wants_that(open_page: Open, wish: Any, moves: bool) -> None:
    page = shown(open_page, reduced_motion=wish)
    assert page.evaluate("document.getAnimations().length > 0") is moves


def test_with_few_colours_dots_and_the_open_session_are_told_apart(open_page: Open) -> None:
    page = shown(open_page, forced_colors="active")
    looks = page.locator(".row .dot").evaluate_all("""(dots) => dots.map((dot) => {
      const {backgroundColor, borderRadius, rotate} = getComputedStyle(dot);
      return [backgroundColor, borderRadius, rotate].join();
    })""")
    assert len(set(looks)) == len(looks) == 3
    outlined = page.locator(".row").evaluate_all("(rows) => rows.map((row) => getComputedStyle(row).outlineStyle)")
    assert sorted(outlined) == ["none", "none", "solid"]


def test_a_finger_hits_what_it_wants(open_page: Open) -> None:
    page = shown(open_page, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    wanted = "main :is(button, a, select, summary, textarea), #side :is(button, a, input)"
    for route in ("#/s/s1", "#/", "#/devices", "#/settings", "#/new", "#/pair"):
        page.evaluate("(route) => { location.hash = route }", route)
        boxes = [box for box in page.evaluate(BOXES, wanted) if box["width"] > 1]
        assert boxes
        assert [box for box in boxes if box["height"] < 36 or box["width"] < 32] == []


def test_on_the_smallest_phone_a_long_question_leaves_head_and_message_box_in_sight(open_page: Open) -> None:
    choices = [{"id": name, "name": name} for name in ("Allow once", "Always allow", "Deny")]
    asked: dict[str, Any] = {
        "turn": 1, "request_id": "q1", "kind": "choices", "prompt": "Run it?", "detail": "make\n" * 40,
        "choices": choices, "own_words": True,
    }  # fmt: skip
    option = {
        "id": "model",
        "name": "Model",
        "value": "a",
        "choices": [{"id": "a", "name": "A model with a long name"}],
    }
    told = session()
    told["session.attach"] |= {"requests": [asked], "options": [option, option | {"id": "mode", "name": "Mode"}]}
    page = open_page("#/s/s1", told, viewport={"width": 320, "height": 568})
    expect(page.get_by_role("button", name="Deny")).to_be_in_viewport(ratio=1)
    (head,) = page.evaluate(BOXES, ".chat > .head")
    (card,) = page.evaluate(BOXES, ".ask-card")
    (box,) = page.evaluate(BOXES, ".compose form")
    assert head["y"] + head["height"] <= card["y"]
    assert card["y"] + card["height"] <= box["y"]
    assert box["y"] + box["height"] <= 568
