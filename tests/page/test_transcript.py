"""The transcript against real services: what streams from another device leaves the scroll to the reader."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from agent.ports import Finished, Planned, Said, Thought, ToolFinished, ToolProgressed, ToolStarted
from agent.protocol.events import Diff, PlanEntry
from tests.page.household import Agent, House, Visit

pytestmark = pytest.mark.device

DEVICES = ("desk", "laptop", "pi")
TURNS = 24
REPLY = "".join(
    f"Paragraph {number} with `code` and **weight**, long enough to be read.\n\n" for number in range(1, 41)
)
REST = """() => {
  const {scrollTop, scrollHeight, clientHeight} = document.querySelector(".transcript");
  return Math.round(scrollHeight - clientHeight - scrollTop);
}"""
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"


def begin(house: House, title: str = "Build the wire") -> Agent:
    """A session on desk with a reply that does not fit the window."""
    agent = house.begin("desk", title)
    ask(house, agent, "first")
    agent.reply(REPLY)
    return agent


def ask(house: House, agent: Agent, text: str, device: str = "pi") -> None:
    house[device].ask("prompt.submit", session_id=agent.id, prompt_id=text, text=text)
    assert agent.hear("prompt") == text


def say(agent: Agent, page: Page, word: str) -> None:
    """Have more of the reply come, and be shown."""
    agent.emit(Said(f"And then it says {word}.\n\n" * 5))
    expect(page.locator(".item").last.get_by_text(f"it says {word}.")).to_have_count(5)
    page.evaluate(DRAWN)


def still(page: Page, read: Callable[[], float]) -> float:
    """What is read once nothing moves any more."""
    before, now = None, read()
    while now != before:
        page.evaluate(DRAWN)
        before, now = now, read()
    return now


def rest(page: Page) -> float:
    """How far the end is from what is in sight."""
    return still(page, lambda: float(page.evaluate(REST)))


def place(page: Page, text: str) -> float:
    """Where a text is."""
    return still(page, lambda: (page.get_by_text(text).first.bounding_box() or {"y": -1.0})["y"])


def test_what_streams_is_followed_until_the_reader_goes_up_by_wheel_keys_or_a_selection(
    house: House, visit: Visit
) -> None:
    agent = begin(house)
    page = visit("laptop", f"#/s/{agent.id}")
    expect(page.get_by_text("Paragraph 40")).to_be_in_viewport()
    end = page.locator(".to-end")
    ask(house, agent, "go on")
    say(agent, page, "one")
    assert rest(page) == 0

    page.locator(".transcript").hover()
    page.mouse.wheel(0, -400)
    expect(end).to_be_visible()
    before = place(page, "Paragraph 38")
    say(agent, page, "two")
    assert place(page, "Paragraph 38") == before
    page.mouse.wheel(0, 20_000)
    expect(end).to_be_hidden()
    say(agent, page, "three")
    assert rest(page) == 0

    page.locator(".transcript").focus()
    page.keyboard.press("PageUp")
    expect(end).to_be_visible()
    expect(page.get_by_text("Paragraph 37")).to_be_in_viewport()
    before = place(page, "Paragraph 37")
    say(agent, page, "four")
    assert place(page, "Paragraph 37") == before
    page.keyboard.press("End")
    expect(end).to_be_hidden()

    page.locator(".item").last.locator("p").last.dblclick(position={"x": 8, "y": 8})
    expect(end).to_be_visible()
    chosen = page.evaluate("getSelection().toString()")
    assert chosen.strip() == "And"
    say(agent, page, "five")
    assert page.evaluate("getSelection().toString()") == chosen
    assert rest(page) > 0
    end.click()
    expect(end).to_be_hidden()
    say(agent, page, "six")
    assert rest(page) == 0
    agent.emit(Finished(status="complete"))


def test_a_finger_that_drags_down_lets_go_of_the_end(house: House, visit: Visit) -> None:
    agent = begin(house)
    page = visit("laptop", f"#/s/{agent.id}", viewport={"width": 360, "height": 700}, has_touch=True, is_mobile=True)
    expect(page.get_by_text("Paragraph 40")).to_be_in_viewport()
    ask(house, agent, "go on")
    finger = page.context.new_cdp_session(page)
    for kind, y in [("touchStart", 200), *(("touchMove", y) for y in range(210, 400, 20))]:
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": 180, "y": y}]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator(".to-end")).to_be_visible()
    before = place(page, "Paragraph 39")
    say(agent, page, "one")
    assert place(page, "Paragraph 39") == before
    page.locator(".to-end").tap()
    say(agent, page, "two")
    assert rest(page) == 0
    agent.emit(Finished(status="complete"))


def test_a_question_and_a_longer_message_leave_the_end_in_sight(house: House, visit: Visit) -> None:
    agent = begin(house)
    page = visit("laptop", f"#/s/{agent.id}")
    expect(page.get_by_text("Paragraph 40")).to_be_in_viewport()
    page.locator("#message").fill("line\n" * 8)
    assert rest(page) == 0
    page.set_viewport_size({"width": 360, "height": 500})
    assert rest(page) == 0


def test_a_long_log_is_read_to_its_beginning_and_each_word_is_there_once(house: House, visit: Visit) -> None:
    agent = house.begin("desk", "Long")
    for turn in range(1, TURNS + 1):
        ask(house, agent, f"Prompt {turn}.")
        tools = (
            event
            for number in range(8)
            for event in (
                ToolStarted(tool_id=f"{turn} {number}", title=f"Tool {number}"),
                ToolFinished(tool_id=f"{turn} {number}", status="complete", output="done\n"),
            )
        )
        agent.emit(Thought("Hm. "), *tools, Said(f"Reply {turn}.\n"), Finished(status="complete"))
    page = visit("laptop", f"#/s/{agent.id}")
    expect(page.get_by_text(f"Reply {TURNS}.", exact=True)).to_be_in_viewport()
    assert rest(page) == 0
    assert page.locator(".item.user").count() < TURNS
    above = page.locator(".item.user .said").first
    while (text := above.text_content() or "") != "Prompt 1.":
        shown = page.get_by_text(text, exact=True)  # that one, though an older one may be first by now
        shown.scroll_into_view_if_needed()
        expect(above).not_to_have_text(text)
        expect(shown).to_be_in_viewport()  # it stays where it was
    expect(page.locator(".older")).to_be_hidden()
    expect(page.locator(".item.user .said")).to_have_text([f"Prompt {turn}." for turn in range(1, TURNS + 1)])
    expect(page.locator(".item.reply")).to_have_text([f"Reply {turn}." for turn in range(1, TURNS + 1)])
    assert page.locator(".work > summary", has_text="8 tools").count() == TURNS


def test_work_plans_changes_and_colours_are_shown_as_they_come(house: House, visit: Visit) -> None:
    agent = house.begin("desk", "Work")
    page = visit("laptop", f"#/s/{agent.id}")
    ask(house, agent, "work")
    expect(page.locator(".item.user .who")).to_contain_text("pi")
    agent.emit(Thought("I look at the *tests*."), ToolStarted(tool_id="a", title="`pytest`", input="pytest -q"))
    summary = page.locator(".work > summary")
    expect(summary).to_have_text("Working: pytest")
    summary.click()
    expect(page.locator(".thought em")).to_have_text("tests")
    page.locator(".tool > summary").click()
    expect(page.locator(".tool .input")).to_have_text("pytest -q")
    agent.emit(ToolProgressed(tool_id="a", text="\x1b[31m1 failed\x1b[0m\n"))
    expect(page.locator(".tool .output .ansi.fg")).to_have_text("1 failed")
    diff = Diff(path="/src/wire.py", patch="@@ -1,2 +1,2 @@\n-one\n+two\n three\n")
    agent.emit(
        ToolFinished(tool_id="a", status="error", output="\x1b[31m1 failed\x1b[0m in 2 s\n"),
        ToolStarted(tool_id="b", title="Edit wire.py"),
        ToolFinished(tool_id="b", status="complete", diffs=(diff,)),
        Planned((PlanEntry(text="Mend `wire.py`", status="completed"), PlanEntry(text="Test"))),
    )
    expect(summary).to_contain_text("2 tools, 1 failed")
    expect(page.locator(".tool[open] .output")).to_contain_text("1 failed in 2 s")  # the fold is as the reader left it
    expect(page.locator(".changes .line")).to_have_text(["", "-one", "+two", " three"])
    expect(page.locator(".plan li")).to_have_text(["done: Mend wire.py", "to do: Test"])
    agent.emit(Said("| a | b |\n| - | - |\n| 1 | 2 |\n\n```python\nx = 1\n```\n\n<b>not bold</b> [x](javascript:0)\n"))
    agent.emit(Finished(status="complete"))
    reply = page.locator(".item.reply")
    expect(reply.locator("td")).to_have_text(["1", "2"])
    expect(reply.locator("pre")).to_have_text("x = 1")
    expect(reply).to_contain_text("<b>not bold</b>")
    assert reply.locator("a, b").count() == 0
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    reply.get_by_role("button", name="Copy").click()
    expect(reply.get_by_role("button")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "x = 1"


def test_who_watches_is_told_as_they_come_and_go(house: House, visit: Visit) -> None:  # S8
    agent = house.begin("desk", "Watched")
    page = visit("laptop", f"#/s/{agent.id}")
    chips = page.locator(".participant")
    expect(page.locator("h1")).to_have_text("Watched")
    expect(chips).to_have_count(0)
    own = visit("desk", f"#/s/{agent.id}")
    expect(chips).to_have_text(["desk"])
    expect(own.locator(".participant")).to_have_text(["laptop"])
    other = visit.tab(page, f"#/s/{agent.id}")
    expect(own.locator(".participant")).to_have_text(["laptop \N{MULTIPLICATION SIGN}2"])
    expect(chips).to_have_count(2)  # in any order
    assert sorted(chips.all_text_contents()) == ["also open here", "desk"]
    other.close()
    expect(own.locator(".participant")).to_have_text(["laptop"])
    own.evaluate("location.hash = '#/'")
    expect(chips).to_have_count(0)
