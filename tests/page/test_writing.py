"""Writing and answering against real services: what one browser, another one and the command line do to one session."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from agent.ports import Asked, Described, Finished, Said
from agent.protocol.events import Choice, Command, Field, Option
from tests.page.household import Agent, House, Visit, ready

pytestmark = pytest.mark.device

ALLOW = (
    Choice(id="always", name="Always allow", kind="allow_always"),
    Choice(id="once", name="Allow once", kind="allow_once"),
    Choice(id="no", name="Deny", kind="reject_once", description="and say why"),
)
FIELDS = (
    Field(name="name", title="Name", required=True),
    Field(name="count", type="integer", default=3),
    Field(name="sure", type="boolean", required=True),
    Field(name="fruit", type="choice", choices=(Choice(id="a", name="Apples"), Choice(id="b", name="Pears"))),
    Field(name="more", type="choices", choices=(Choice(id="x", name="X"), Choice(id="y", name="Y")), own_words=True),
)
MODELS = (Choice(id="big", name="Big"), Choice(id="small", name="Small"))


def on_both(house: House, visit: Visit, **options: Any) -> tuple[Agent, Page, Page]:
    """A session of the desk, open on its own page and on that of the laptop."""
    agent = house.begin("desk", "Build the wire")
    house["laptop"].wait_for_session(agent.id)
    pages = [visit(name, f"#/s/{agent.id}", **options) for name in ("laptop", "desk")]
    for page in pages:
        expect(page.locator(".chips")).not_to_be_empty()  # each sees the other
    return agent, pages[0], pages[1]


def send(page: Page, text: str, key: str = "Enter") -> None:
    page.locator("#message").fill(text)
    page.locator("#message").press(key)


def queue(page: Page) -> Locator:
    return page.get_by_role("list", name="Waiting prompts").get_by_role("listitem")


CLICK_AT = """([name, at]) => void setTimeout(() => {
  const buttons = [...document.querySelectorAll(".ask-choices button")];
  const button = buttons.find((each) => each.textContent.startsWith(name));
  globalThis.clicked = Boolean(button);
  button?.click();
}, at - Date.now())"""


def settled(page: Page) -> None:
    """Until a click on what a question shows is meant."""
    page.locator(".ask-card form").wait_for()
    page.wait_for_timeout(500)


def test_the_first_answer_wins_and_everybody_sees_whose_it_was(house: House, visit: Visit) -> None:  # S9
    agent, laptop, desk = on_both(house, visit)
    send(laptop, "Clean up")
    agent.hear("prompt")
    agent.emit(Asked(request_id="q1", kind="choices", prompt="Run `rm -r build`?", choices=ALLOW, cwd="/src"))
    for page in (laptop, desk):
        expect(page.locator(".ask-scroll")).to_contain_text("/src")
        expect(page).to_have_title("(1) Build the wire · lan-agent")
        settled(page)
    # Both click at once, before either is told: the service decides.
    at = laptop.evaluate("Date.now() + 500")
    for page, name in ((laptop, "Deny"), (desk, "Allow once")):
        page.evaluate(CLICK_AT, [name, at])
    request, answer = agent.hear("answer")
    assert request == "q1"
    who, what = {"no": ("laptop", "Deny"), "once": ("desk", "Allow once")}[answer]
    for page in (laptop, desk):
        expect(page.locator(".item.answer")).to_contain_text(f"{who} answered: {what}")
        expect(page.locator(".ask-card")).to_be_hidden()
        expect(page).to_have_title("Build the wire · lan-agent")
    late = desk if who == "laptop" else laptop
    first = " first" if late.evaluate("clicked") else ""  # under load one may come too late to click
    expect(late.locator(".ask-notice")).to_have_text(f"{who} answered{first}: {what}")
    agent.emit(Asked(request_id="q2", kind="choices", prompt="And the cache?", choices=ALLOW, own_words=True))
    laptop.get_by_label("Your own words").fill("only what is old")
    house["desk"].run("answer", agent.id, "once")
    assert agent.hear("answer") == ["q2", "once"]
    for page in (laptop, desk):
        expect(page.locator(".item.answer").last).to_contain_text("desk answered: Allow once")
    expect(laptop.locator(".ask-notice")).to_contain_text("Yours was not sent: only what is old")


def test_every_kind_of_question_is_answered_from_another_device(house: House, visit: Visit) -> None:  # S9
    agent, laptop, desk = on_both(house, visit)
    send(laptop, "Go")
    agent.hear("prompt")
    agent.emit(Asked(request_id="q1", kind="form", prompt="Which?", fields=FIELDS))
    settled(laptop)
    laptop.get_by_role("button", name="Answer").click()
    expect(laptop.get_by_role("textbox", name="Name")).to_be_focused()
    laptop.keyboard.type("wire")
    laptop.get_by_label("sure").check()
    laptop.get_by_label("fruit").select_option("Pears")
    laptop.get_by_label("Y", exact=True).check()
    laptop.get_by_label("more: Your own words").fill("z")
    laptop.keyboard.press("Enter")
    form = {"name": "wire", "count": 3, "sure": True, "fruit": "b", "more": ["y", "z"]}
    assert agent.hear("answer") == ["q1", form]
    expect(desk.locator(".item.answer")).to_contain_text(
        "Name: wire · count: 3 · sure: yes · fruit: Pears · more: Y and z"
    )
    agent.emit(Asked(request_id="q2", kind="line", prompt="Name?"))
    settled(laptop)
    laptop.get_by_role("textbox", name="Answer").fill("Ada")
    laptop.keyboard.press("Enter")
    assert agent.hear("answer") == ["q2", "Ada"]
    agent.emit(Asked(request_id="q3", kind="secret", prompt="Password:"))
    settled(laptop)
    expect(laptop.get_by_label("Secret")).to_be_focused()  # what is typed next is for the program
    laptop.keyboard.type("hunter2\n")
    assert agent.hear("answer") == ["q3", "hunter2"]
    expect(desk.locator(".item.answer").last).to_contain_text("laptop answered: (hidden)")
    assert "hunter2" not in str(house["desk"].events(agent.id))
    assert "hunter2" not in laptop.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
    agent.emit(Asked(request_id="q4", kind="keys", prompt="Continue?"))
    settled(laptop)
    laptop.get_by_role("button", name="Ctrl+C").click()
    assert agent.hear("answer") == ["q4", "\x03"]


def test_what_waits_is_seen_everywhere_and_taken_back_by_its_sender_or_the_owner(
    house: House, visit: Visit
) -> None:  # S12
    agent, laptop, desk = on_both(house, visit)
    send(laptop, "first")
    assert agent.hear("prompt") == "first"
    for place, text in enumerate(("second, which is taken back", "third", "fourth"), 1):
        send(laptop, text)
        expect(queue(laptop)).to_have_count(place)
    expect(queue(desk)).to_have_text(
        [f"waits{text}laptopWithdraw" for text in ("second, which is taken back", "third", "fourth")]
    )
    laptop.locator("#message").fill("typed meanwhile")
    queue(laptop).first.get_by_role("button", name="Withdraw").click()
    expect(laptop.locator("#message")).to_have_value("second, which is taken back\ntyped meanwhile")
    expect(queue(desk)).to_have_count(2)
    queue(desk).first.get_by_role("button", name="Withdraw").click()
    expect(queue(laptop)).to_have_count(1)
    expect(desk.locator("#message")).to_have_value("")  # it was not the desk's
    agent.reply("done")
    assert agent.hear("prompt") == "fourth"
    expect(queue(laptop)).to_have_count(0)


def test_a_turn_is_stopped_and_steered_from_another_device(house: House, visit: Visit) -> None:
    agent, laptop, desk = on_both(house, visit)
    send(desk, "first")
    assert agent.hear("prompt") == "first"
    send(laptop, "later")
    expect(queue(laptop)).to_have_count(1)
    send(laptop, "no, this way", "Control+Shift+Enter")
    agent.hear("interrupt")
    agent.emit(Finished(status="interrupted"))
    assert agent.hear("prompt") == "no, this way"
    expect(desk.locator(".item.user").last).to_contain_text("went first")
    stop = laptop.get_by_role("button", name="Stop", exact=True)
    stop.click()
    agent.hear("interrupt")
    expect(stop).to_be_enabled()
    laptop.keyboard.press("Control+.")
    agent.hear("interrupt")
    desk.get_by_role("button", name="Stop all").click()
    agent.hear("interrupt")
    agent.emit(Finished(status="interrupted"))
    expect(queue(laptop)).to_have_count(0)
    expect(stop).to_be_hidden()
    send(laptop, "and now")
    assert agent.hear("prompt") == "and now"  # "later" never ran


def test_commands_and_options_of_the_program_are_there_and_set_in_place(house: House, visit: Visit) -> None:
    agent, laptop, desk = on_both(house, visit)

    def describe(value: str) -> None:
        option = Option(id="model", name="Model", value=value, choices=MODELS, description="Who thinks")
        commands = (Command(name="review", description="Look", hint="branch"), Command(name="review all"))
        agent.emit(Described(options=(option,), commands=commands))

    describe("big")
    model = laptop.get_by_role("combobox", name="Model")
    expect(model).to_have_value("big")
    model.select_option("Small")
    assert agent.hear("choose") == ["model", "small"]
    describe("small")
    expect(desk.get_by_role("combobox", name="Model")).to_have_value("small")
    laptop.locator("#message").press_sequentially("/rev")
    expect(laptop.get_by_role("listbox").get_by_role("option")).to_have_text(["/reviewbranch · Look", "/review all"])
    laptop.keyboard.press("Tab")
    laptop.keyboard.type("main\n")
    assert agent.hear("prompt") == "/review main"


def test_a_draft_survives_another_session_a_reload_and_a_restart(house: House, visit: Visit) -> None:
    agent, other = house.begin("desk", "One"), house.begin("desk", "Two")
    page = visit("desk", f"#/s/{agent.id}")
    page.locator("#message").press_sequentially("half a message 日本語")
    page.evaluate("(id) => { location.hash = `#/s/${id}` }", other.id)
    expect(page.get_by_role("heading", level=1)).to_have_text("Two")
    expect(page.locator("#message")).to_have_value("")
    page.go_back()
    expect(page.locator("#message")).to_have_value("half a message 日本語")
    page.keyboard.type("!")
    page.reload()
    ready(page)
    expect(page.locator("#message")).to_have_value("half a message 日本語!")
    visit.allow("WebSocket connection .* failed")
    house["desk"].kill()
    expect(page.locator("body")).to_have_attribute("data-wire", "lost")
    page.locator("#message").press("End")
    page.keyboard.type(" And more, while it is away.")
    house["desk"].up()
    ready(page)
    expect(page.locator("#message")).to_have_value("half a message 日本語! And more, while it is away.")
    page.close()
    fresh = visit("desk", f"#/s/{agent.id}")  # of another origin, in another browser
    expect(fresh.locator("#message")).to_have_value("half a message 日本語! And more, while it is away.")


def test_what_was_just_sent_runs_once_whatever_is_reloaded(house: House, visit: Visit) -> None:  # S3, L8
    agent, laptop, desk = on_both(house, visit)
    laptop.locator("#message").fill("Count to three")
    laptop.evaluate("document.querySelector('.compose form').requestSubmit(); location.reload()")
    assert agent.hear("prompt") == "Count to three"
    expect(laptop.locator("#message")).to_have_value("")
    agent.emit(Said("three"), Finished(status="complete"))
    send(desk, "Thanks")
    assert agent.hear("prompt") == "Thanks"  # nothing came in between
    expect(laptop.locator(".item.user")).to_have_count(2)
