"""The message box in a browser and without a service: keys, drafts, what waits, commands and options."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import CDPSession, Page, expect

from tests.page.test_ask import attached, happens, request
from tests.page.test_sidebar import answers, asked, session, tell

pytestmark = pytest.mark.device

Open = Callable[..., Page]
ROW = session("build", "Build the wire", 3, status="working")
OWN = {"device": "own", "name": "laptop", "client": "page"}
OTHER = {"device": "pi", "name": "pi-kitchen"}
LOST = {"error": {"kind": "not-running", "message": "the service does not answer"}}
COMMANDS = [
    {"name": "compact", "description": "Make room"},
    {"name": "clear"},
    {"name": "review", "description": "Look"},
]
MODEL = {
    "id": "model",
    "name": "Model",
    "value": "big",
    "choices": [{"id": "big", "name": "Big"}, {"id": "small", "name": "Small"}],
}


def queued(turn: int, text: str, sender: Any = OWN) -> dict[str, Any]:
    return {"turn": turn, "prompt_id": f"p{turn}", "text": text, "sender": sender}


def opened(open_page: Open, *, row: Any = ROW, told: Any = None, options: Any = None, **more: Any) -> Page:
    submitted = {"status": "started", "turn": 9, "session_id": "build"}
    given = {"session.attach": attached(**more), "prompt.submit": submitted, **(told or {})}
    page = open_page("#/s/build", answers(row, **given), **(options or {}))
    page.locator("#message").wait_for(state="attached")
    return page


def sent(page: Page) -> list[str]:
    return [each["text"] for each in asked(page, "prompt.submit")]


def reload(page: Page) -> None:
    page.reload()
    page.locator("#message").wait_for()


def test_enter_sends_and_other_enters_are_lines(open_page: Open) -> None:
    page = opened(open_page)
    box = page.locator("#message")
    expect(box).to_be_focused()
    box.press_sequentially("one")
    box.press("Shift+Enter")
    box.press_sequentially("two")
    box.press("Enter")
    expect(box).to_have_value("")
    box.press("Enter")
    box.fill("three")
    box.press("Control+Enter")
    assert sent(page) == ["one\ntwo", "three"]
    first = asked(page, "prompt.submit")[0]
    assert (first["session_id"], first["client"], first["steer"], len(first["prompt_id"])) == (
        "build",
        "page",
        False,
        32,
    )


def ime(page: Page) -> CDPSession:
    return page.context.new_cdp_session(page)


def test_a_composition_never_sends(open_page: Open) -> None:
    page = opened(open_page)
    box = page.locator("#message")
    keyboard = ime(page)
    keyboard.send("Input.imeSetComposition", {"text": "にほん", "selectionStart": 3, "selectionEnd": 3})
    box.dispatch_event("keydown", {"key": "Enter", "keyCode": 229, "isComposing": True, "bubbles": True})
    box.dispatch_event("keydown", {"key": "Process", "bubbles": True})
    keyboard.send("Input.insertText", {"text": "日本"})
    box.dispatch_event("keydown", {"key": "Enter", "keyCode": 229, "bubbles": True})  # Safari's, after the end
    expect(box).to_have_value("日本")
    assert sent(page) == []
    box.press("Enter")
    assert sent(page) == ["日本"]


def test_on_touch_enter_is_a_line_and_the_button_sends(open_page: Open) -> None:
    page = opened(open_page, options={"has_touch": True, "is_mobile": True, "viewport": {"width": 360, "height": 640}})
    box = page.locator("#message")
    expect(box).not_to_be_focused()  # no keyboard that nobody asked for
    box.fill("one")
    box.press("Enter")
    expect(box).to_have_value("one\n")
    page.get_by_role("button", name="Send", exact=True).tap()
    assert sent(page) == ["one\n"]


def test_a_draft_survives_another_session_and_a_reload(open_page: Open) -> None:
    page = opened(open_page)
    page.locator("#message").fill("half a message")
    page.evaluate("location.hash = '#/s/other'")
    expect(page.locator("#message")).to_have_value("")
    page.go_back()
    expect(page.locator("#message")).to_have_value("half a message")
    reload(page)
    expect(page.locator("#message")).to_have_value("half a message")


def test_two_tabs_leave_each_other_what_was_typed_in_them(open_page: Open) -> None:  # L8
    page = opened(open_page)
    tab = page.context.new_page()
    tab.add_init_script(f"globalThis.answers = {json.dumps(answers(ROW, **{'session.attach': attached()}))}")
    tab.goto("/#/s/build")
    page.locator("#message").fill("long thought")
    box = tab.locator("#message")
    expect(box).to_have_value("long thought")  # nothing was typed there yet
    box.fill("other text")
    tab.wait_for_timeout(200)
    expect(page.locator("#message")).to_have_value("long thought")
    box.fill("")
    tab.wait_for_timeout(200)
    expect(page.locator("#message")).to_have_value("long thought")
    expect(box).to_have_value("")
    reload(tab)
    expect(box).to_have_value("long thought")


def test_what_is_sent_while_a_secret_is_read_is_asked_about_first(open_page: Open) -> None:
    page = opened(open_page, requests=[request(kind="secret", prompt="Password:")])
    box = page.locator("#message")
    box.fill("hunter2")
    box.press("Enter")
    question = page.get_by_role("dialog", name="Send this as a message?")
    expect(question).to_contain_text("desk reads a secret.")
    expect(question.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(question).to_have_count(0)
    expect(box).to_have_value("hunter2")
    expect(box).to_be_focused()
    assert sent(page) == []
    assert "hunter2" not in page.evaluate("JSON.stringify(localStorage)")
    assert "hunter2" not in page.evaluate("JSON.stringify(service.asked)")
    box.press("Enter")
    question.get_by_role("button", name="Send").click()
    expect(box).to_have_value("")
    assert sent(page) == ["hunter2"]


def test_what_waits_is_seen_with_whose_it_is_and_taken_back(open_page: Open) -> None:  # S12
    told = {"prompt.withdraw": {"status": "withdrawn", "text": "then commit, all of it"}}
    page = opened(open_page, told=told, queue=[queued(2, "then commit…"), queued(3, "and push", OTHER)])
    rows = page.get_by_role("list", name="Waiting prompts").get_by_role("listitem")
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text("pi-kitchen")
    assert rows.nth(1).get_by_role("button").count() == 0  # not ours, and not our session
    page.locator("#message").fill("later")
    rows.nth(0).get_by_role("button", name="Withdraw").click()
    expect(page.locator("#message")).to_have_value("then commit, all of it\nlater")
    assert asked(page, "prompt.withdraw") == [{"session_id": "build", "prompt_id": "p2", "client": "page"}]
    happens(page, 6, "turn.complete", turn=2, status="interrupted", withdrawn_by=OWN)
    expect(rows).to_have_count(1)


def test_a_prompt_that_has_begun_is_not_taken_back(open_page: Open) -> None:  # S12
    told = {"prompt.withdraw": {"status": "started", "turn": 2}}
    page = opened(open_page, told=told, queue=[queued(2, "then commit")])
    page.get_by_role("button", name="Withdraw").click()
    expect(page.locator(".compose .wrong")).to_have_text("It has begun already.")


def test_a_running_turn_is_stopped_and_steered(open_page: Open) -> None:
    page = opened(open_page, told={"session.interrupt": {"turn": 1}})
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_hidden()
    happens(page, 6, "message.user", turn=1, prompt_id="p1", text="go", sender=OTHER)
    stop = page.get_by_role("button", name="Stop", exact=True)
    expect(stop).to_be_visible()
    page.locator("#message").fill("no, this way")
    page.keyboard.press("Control+.")
    expect(stop).to_be_enabled()
    stop.click()  # shells take a second one harder
    assert asked(page, "session.interrupt") == [{"session_id": "build", "all": False}] * 2
    page.get_by_role("button", name="Send now").click()
    assert asked(page, "prompt.submit")[0]["steer"] is True
    happens(page, 7, "turn.complete", turn=1, status="interrupted")
    happens(page, 8, "turn.complete", turn=9, status="complete")
    expect(stop).to_be_hidden()


def test_what_waits_can_be_stopped_with_what_runs(open_page: Open) -> None:  # S12
    dropped = [queued(2, "b…"), queued(3, "theirs", OTHER), queued(4, "c")]
    told = {"session.interrupt": {"turn": 1, "dropped": dropped}}
    page = opened(open_page, told=told, queue=[queued(2, "b, all of it"), *dropped[1:]])
    page.get_by_role("button", name="Stop all").click()
    expect(page.locator(".unseen[aria-live]")).to_have_text("3 waiting prompts taken back")
    assert asked(page, "session.interrupt") == [{"session_id": "build", "all": True}]
    expect(page.locator("#message")).to_have_value("b, all of it\n\nc")
    page.locator("#message").fill("something else")
    expect(page.get_by_role("button", name="Stop all")).to_be_enabled()
    page.get_by_role("button", name="Stop all").click()
    expect(page.get_by_role("button", name="Stop all")).to_be_enabled()
    expect(page.locator("#message")).to_have_value("something else")


def test_what_could_not_be_sent_says_so_and_is_sent_once_later(open_page: Open) -> None:  # L8
    page = opened(open_page, told={"prompt.submit": LOST})
    page.locator("#message").fill("one")
    page.keyboard.press("Enter")
    unsent = page.get_by_role("list", name="Not sent")
    expect(unsent).to_contain_text("sent, not confirmed")
    assert unsent.get_by_role("button").count() == 0 or not unsent.get_by_role("button").first.is_visible()
    page.evaluate("service.answers['prompt.submit'] = {status: 'duplicate', turn: 1}")
    page.evaluate("service.onState('lost'); service.onState('ready')")
    expect(unsent).to_be_hidden()
    first, second = asked(page, "prompt.submit")
    assert first["prompt_id"] == second["prompt_id"]


def test_what_is_typed_while_the_service_is_away_waits_and_can_be_edited(open_page: Open) -> None:  # L8
    page = opened(open_page)
    page.evaluate("service.onState('lost', {since: Date.now()})")
    page.locator("#message").fill("one")
    page.keyboard.press("Enter")
    unsent = page.get_by_role("list", name="Not sent")
    expect(unsent).to_contain_text("not sent yet")
    unsent.get_by_role("button", name="Edit").click()
    expect(page.locator("#message")).to_have_value("one")
    page.keyboard.press("Enter")
    page.evaluate("service.onState('ready')")
    expect(unsent).to_be_hidden()
    assert sent(page) == ["one"]


def test_what_is_refused_says_why_and_can_be_sent_again(open_page: Open) -> None:
    refused = {"error": {"kind": "store-full", "message": "the disk is full", "hint": "make room with `agent forget`"}}
    page = opened(open_page, told={"prompt.submit": refused})
    page.locator("#message").fill("one")
    page.keyboard.press("Enter")
    unsent = page.get_by_role("list", name="Not sent")
    expect(unsent).to_contain_text("the disk is full: make room with agent forget")
    expect(unsent.locator("code")).to_have_text("agent forget")
    page.evaluate("service.answers['prompt.submit'] = {status: 'started', turn: 1}")
    unsent.get_by_role("button", name="Send again").click()
    expect(unsent).to_be_hidden()
    assert sent(page) == ["one", "one"]


def test_commands_are_found_by_a_slash_and_keys(open_page: Open) -> None:
    page = opened(open_page, commands=COMMANDS)
    box = page.locator("#message")
    box.press_sequentially("/c")
    found = page.get_by_role("option")
    expect(found).to_have_count(2)
    box.press("ArrowDown")
    expect(found.nth(1)).to_have_attribute("aria-selected", "true")
    expect(box).to_have_attribute("aria-activedescendant", found.nth(1).get_attribute("id") or "")
    box.press("Enter")
    expect(box).to_have_value("/clear ")
    expect(found).to_have_count(0)
    assert sent(page) == []
    box.fill("")
    box.press_sequentially("/rev")
    box.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    box.press("i")
    page.get_by_role("option", name="/review").click()
    expect(box).to_have_value("/review ")
    expect(box).to_be_focused()
    box.press("Enter")
    assert sent(page) == ["/review "]


def test_a_whole_command_is_sent_by_enter_though_longer_ones_begin_so(open_page: Open) -> None:
    longer = {"name": "compact all of it", "hint": "how far"}
    page = opened(open_page, commands=[*COMMANDS, longer])
    box = page.locator("#message")
    box.press_sequentially("/compact")
    page.keyboard.press("Enter")
    box.press_sequentially("/compact al")
    expect(page.get_by_role("option")).to_have_text(["/compact all of ithow far"])
    page.keyboard.press("Tab")
    expect(box).to_have_value("/compact all of it ")
    page.keyboard.press("Enter")
    assert sent(page) == ["/compact", "/compact all of it "]


def test_options_are_set_in_place(open_page: Open) -> None:
    page = opened(open_page, told={"session.configure": {}})
    happens(page, 6, "session.info", options=[MODEL])
    model = page.get_by_role("combobox", name="Model")
    expect(model).to_have_value("big")
    model.select_option("Small")
    expect(model).to_be_enabled()
    assert asked(page, "session.configure") == [{"session_id": "build", "option": "model", "value": "small"}]
    happens(page, 7, "session.info", options=[{**MODEL, "value": "huge", "description": "Who thinks"}])
    expect(model).to_have_value("huge")  # one that it does not name as a choice
    expect(model).to_have_attribute("title", "Model: Who thinks")
    page.evaluate("service.answers['session.configure'] = {error: {message: 'not now'}}")
    happens(page, 8, "session.info", options=[{**MODEL, "value": "small"}])
    model.select_option("Big")
    expect(page.locator(".compose .wrong")).to_have_text("not now")
    expect(model).to_have_value("small")


@pytest.mark.parametrize(
    ("row", "words"), [({"share": "read-only"}, "You may watch"), ({"status": "ended"}, "The session has ended")]
)
def test_where_nothing_can_be_sent_it_says_why(open_page: Open, row: Any, words: str) -> None:
    page = opened(open_page, row={**ROW, **row})
    expect(page.locator(".compose .over")).to_contain_text(words)
    expect(page.locator("#message")).to_be_hidden()


def test_a_session_that_does_not_exist_has_no_message_box(open_page: Open) -> None:
    page = opened(open_page)
    page.locator("#message").fill("half a message")
    lost = {"session_id": "build", "kind": "not-paired", "reason": "desk is not paired"}
    tell(page, "session.lost", lost)
    expect(page.locator(".compose .over")).to_contain_text("half a message")
    expect(page.locator("#message")).to_be_hidden()
    expect(page.locator("#stop")).to_be_hidden()
    expect(page.locator(".stands")).to_have_text("desk is not paired")
    nothing = {"error": {"kind": "session-not-found", "message": "no session none"}}
    page = open_page("#/s/none", answers(**{"session.attach": nothing}))
    expect(page.locator(".stands")).to_have_text("no session none")
    expect(page.locator("#message")).to_be_hidden()
    expect(page.locator(".compose .over")).to_be_hidden()


def test_a_session_that_has_ended_gives_back_what_was_typed_and_can_be_started_again(open_page: Open) -> None:
    page = opened(open_page, row={**ROW, "local": True}, told={"session.restart": {"session_id": "next"}})
    page.locator("#message").fill("half a message")
    over = page.locator(".compose .over")
    expect(over).to_be_hidden()
    tell(page, "session.changed", {"changed": [{**ROW, "local": True, "status": "ended"}]})
    expect(over).to_contain_text("half a message")
    expect(over.get_by_role("button", name="Copy")).to_be_visible()
    over.get_by_role("button", name="Start again").click()
    page.get_by_role("dialog").get_by_role("button", name="Start again").click()
    page.wait_for_url("**/#/s/next")
    assert [each["session_id"] for each in asked(page, "session.restart")] == ["build"]


def test_a_session_that_was_closed_can_be_started_again(open_page: Open) -> None:
    page = opened(open_page, row={**ROW, "local": True}, told={"session.restart": {"session_id": "next"}})
    again = page.locator(".compose .over").get_by_role("button", name="Start again")
    expect(again).to_be_hidden()
    happens(page, 6, "session.info", status="ended")
    tell(page, "session.changed", {"changed": [], "removed": ["build"]})
    again.click()
    page.get_by_role("dialog").get_by_role("button", name="Start again").click()
    page.wait_for_url("**/#/s/next")
    assert [each["session_id"] for each in asked(page, "session.restart")] == ["build"]


def test_a_message_that_is_too_long_is_told_before_it_is_sent(open_page: Open) -> None:
    page = opened(open_page)
    page.locator("#message").fill("x" * 100_001)
    expect(page.locator(".compose .wrong")).to_contain_text("100,001 characters")
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_disabled()
    page.keyboard.press("Enter")
    assert sent(page) == []


@pytest.mark.parametrize(("width", "height"), [(320, 480), (360, 640), (1280, 720), (2560, 1440)])
def test_the_box_grows_and_stays_in_sight(open_page: Open, width: int, height: int) -> None:
    waiting = [queued(turn, "a long text " * 20) for turn in range(2, 30)]
    page = opened(open_page, options={"viewport": {"width": width, "height": height}}, queue=waiting)
    page.locator("#message").fill("line\n" * 200)
    happens(page, 6, "session.info", options=[MODEL, {**MODEL, "id": "mode", "name": "Mode"}])
    page.get_by_role("combobox", name="Mode", exact=True).wait_for()
    for part in (page.locator("#message"), page.locator(".send"), page.locator("#stop")):
        box = part.bounding_box()
        assert box is not None
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= height
        assert box["x"] + box["width"] <= width
    assert page.locator("#message").evaluate("(node) => node.scrollHeight > node.clientHeight")
    assert page.evaluate("document.documentElement.scrollWidth") == width
