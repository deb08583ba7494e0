"""What is lost and found: the own service, other devices, the machine's sleep, windows and logins (L5, L8, S4)."""

from __future__ import annotations

import re
import signal

import pytest
from playwright.sync_api import Dialog, Page, expect

from agent.ports import Finished, Said
from tests.page.household import Agent, House, Visit, ready

pytestmark = pytest.mark.device

DOWN = "The service on this device does not answer. Trying again."
REFUSED = "WebSocket connection .* failed"


def prompted(house: House, device: str, title: str) -> Agent:
    """A session whose turn has begun: its program may speak."""
    agent = house.begin(device, title)
    house[device].ask("prompt.submit", session_id=agent.id, prompt_id=f"begin-{agent.id}", text="Begin")
    assert agent.hear("prompt") == "Begin"
    return agent


def words(first: int, last: int) -> list[str]:
    return [f"word-{number:03}" for number in range(first, last)]


def says(agent: Agent, first: int, last: int) -> None:
    agent.emit(*[Said(f"{word} ") for word in words(first, last)])


def shows(page: Page, first: int, last: int) -> None:
    """Each word once, in order, and no other."""
    expect(page.locator(".items")).to_contain_text(words(first, last)[-1])
    assert re.findall(r"word-\d{3}", page.locator(".items").inner_text()) == words(first, last)


def send(page: Page, text: str) -> None:
    page.locator("#message").fill(text)
    page.locator("#message").press("Enter")


def mark(page: Page) -> None:
    """The document is another one, should it be without this later: it was loaded anew."""
    page.evaluate("globalThis.marked = true")


def test_a_restart_of_the_own_service_loses_nothing_and_doubles_nothing(house: House, visit: Visit) -> None:  # S4, L8
    agent = prompted(house, "desk", "Count")
    page = visit("laptop", f"#/s/{agent.id}")
    visit.allow(REFUSED)
    mark(page)
    says(agent, 0, 20)
    shows(page, 0, 20)
    house["laptop"].kill()
    expect(page.get_by_text(DOWN)).to_be_visible()
    send(page, "And then?")
    expect(page.locator(".unsent")).to_contain_text("not sent yet")
    page.locator("#message").fill("a draft")
    says(agent, 20, 40)
    house["laptop"].up()
    ready(page)
    says(agent, 40, 60)
    agent.emit(Finished(status="complete"))
    assert agent.hear("prompt") == "And then?"
    agent.reply("That was all.")
    expect(page.locator(".items")).to_contain_text("That was all.")
    shows(page, 0, 60)
    assert page.locator(".user .said").all_inner_texts() == ["Begin", "And then?"]
    expect(page.locator(".unsent li")).to_have_count(0)
    assert page.locator("#message").input_value() == "a draft"
    expect(page.get_by_text(DOWN)).to_have_count(0)
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate("globalThis.marked")


def test_a_device_that_is_cut_off_is_named_and_goes_on_where_it_was(house: House, visit: Visit) -> None:  # L5, L8
    agent = prompted(house, "desk", "Count")
    page = visit("laptop", f"#/s/{agent.id}")
    says(agent, 0, 10)
    shows(page, 0, 10)
    house["desk"].host.unplug()
    expect(page.locator(".stands")).to_contain_text(re.compile(r"desk is out of reach since \d\d:\d\d"))
    send(page, "taken back")
    expect(page.locator(".unsent")).to_contain_text(
        re.compile(r"not sent yet.*out of reach since \d\d:\d\d", re.DOTALL)
    )
    page.get_by_role("button", name="Edit").click()
    expect(page.locator("#message")).to_have_value("taken back")
    send(page, "And then?")
    says(agent, 10, 30)
    house["desk"].host.plug()
    shows(page, 0, 30)
    expect(page.locator(".stands")).to_have_text("")
    agent.emit(Finished(status="complete"))
    assert agent.hear("prompt") == "And then?"
    agent.reply("That was all.")
    expect(page.locator(".items")).to_contain_text("That was all.")
    assert page.locator(".user .said").all_inner_texts() == ["Begin", "And then?"]


def test_a_device_that_stops_says_so_and_a_prompt_waits_for_it(house: House, visit: Visit) -> None:  # L8
    agent = house.begin("desk", "Count")
    page = visit("laptop", f"#/s/{agent.id}")
    ready(page)
    expect(page.locator("#message")).to_be_editable()
    house["desk"].leave()
    # Which of the two depends on whether its goodbye outran the end of the link.
    expect(page.locator(".stands")).to_contain_text(
        re.compile(r"desk (has stopped at|is out of reach since) \d\d:\d\d")
    )
    send(page, "Are you there?")
    expect(page.locator(".unsent")).to_contain_text("not sent yet")
    house["desk"].up()
    after = house.agent(agent.id)
    assert after.hear("prompt") == "Are you there?"
    after.reply("Yes.")
    expect(page.locator(".items")).to_contain_text("Yes.")
    assert page.locator(".user .said").all_inner_texts() == ["Are you there?"]
    expect(page.locator(".stands")).to_have_text("")


def test_what_is_typed_in_two_windows_while_the_service_is_down_is_sent_of_both(
    house: House, visit: Visit
) -> None:  # L8
    agent = house.begin("desk", "Count")
    page = visit("laptop", f"#/s/{agent.id}")
    other = visit.tab(page, f"#/s/{agent.id}")
    visit.allow(REFUSED)
    expect(page.locator(".chips")).to_have_text("also open here")  # each sees the other one
    house["laptop"].kill()
    for window, text in ((page, "one"), (other, "two")):
        expect(window.get_by_text(DOWN)).to_be_visible()
        send(window, text)
        expect(window.locator(".unsent .text")).to_have_text(text)
    house["laptop"].up()
    heard = [agent.hear("prompt")]
    agent.reply("Done.")
    heard.append(agent.hear("prompt"))
    agent.reply("Done.")
    assert sorted(heard) == ["one", "two"]
    for window in (page, other):
        expect(window.locator("article.reply")).to_have_count(2)
        assert sorted(window.locator(".user .said").all_inner_texts()) == ["one", "two"]
        expect(window.locator(".unsent li")).to_have_count(0)


def test_a_window_that_is_closed_leaves_its_prompt_where_the_next_one_finds_it(
    house: House, visit: Visit
) -> None:  # L8
    agent = house.begin("desk", "Count")
    page = visit("laptop", f"#/s/{agent.id}")
    visit.allow(REFUSED)
    expect(page.locator("#message")).to_be_editable()
    house["desk"].host.unplug()
    send(page, "Do not lose this")
    expect(page.locator(".unsent")).to_contain_text("not sent yet")
    page.close()
    house["laptop"].leave()  # the next page has another origin, and an empty storage
    house["laptop"].up()
    after = visit("laptop", f"#/s/{agent.id}")
    expect(after.locator("#message")).to_have_value("Do not lose this")


def test_a_window_asks_before_it_takes_along_what_nobody_else_has(house: House, visit: Visit) -> None:  # L8
    agent = house.begin("laptop", "Count")
    page = visit("laptop", f"#/s/{agent.id}")
    visit.allow(REFUSED)
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    house["laptop"].kill()
    expect(page.get_by_text(DOWN)).to_be_visible()
    send(page, "Do not lose this")
    page.close(run_before_unload=True)
    expect(page.locator(".unsent")).to_contain_text("Do not lose this")
    assert asked == ["beforeunload"]
    house["laptop"].up()
    assert house.agent(agent.id).hear("prompt") == "Do not lose this"
    expect(page.locator(".unsent li")).to_have_count(0)
    page.close(run_before_unload=True)
    assert asked == ["beforeunload"]


def test_a_service_that_hangs_is_told_of_and_so_is_sleep(house: House, visit: Visit) -> None:
    agent = prompted(house, "desk", "Count")
    page = visit.context("laptop").new_page()
    page.clock.install()
    page.goto(house["laptop"].line("page", "--print"))
    ready(page)
    page.evaluate("route => { location.hash = route }", f"#/s/{agent.id}")
    says(agent, 0, 10)
    visit.allow(REFUSED)
    service = house["laptop"].service
    assert service
    service.send_signal(signal.SIGSTOP)
    try:
        page.clock.run_for(60_000)  # nothing comes, and what is asked is not answered
        expect(page.get_by_text(DOWN)).to_be_visible()
    finally:
        service.send_signal(signal.SIGCONT)
    says(agent, 10, 20)
    page.clock.run_for(30_000)
    ready(page)
    page.clock.run_for(1_000)
    shows(page, 0, 20)
    service.send_signal(signal.SIGSTOP)
    try:
        page.clock.fast_forward(60_000)  # no timer ran: the machine slept
        page.clock.run_for(6_000)
        expect(page.locator("body")).to_have_attribute("data-wire", "lost")
    finally:
        service.send_signal(signal.SIGCONT)
    page.clock.run_for(30_000)
    ready(page)


def test_two_logins_of_one_browser_both_come_back_after_a_restart(house: House, visit: Visit) -> None:
    page = visit("laptop")
    other = page.context.new_page()
    other.goto(house["laptop"].line("page", "--print"))
    ready(other)
    visit.allow(REFUSED)
    house["laptop"].kill()
    for window in (page, other):
        expect(window.get_by_text(DOWN)).to_be_visible()
    house["laptop"].up()
    ready(page)
    ready(other)


def test_a_window_that_was_logged_out_comes_back_with_a_login_in_another_one(house: House, visit: Visit) -> None:
    agent = house.begin("laptop", "Count")
    page = visit("laptop", f"#/s/{agent.id}")
    page.locator("#message").fill("Typed before")
    house["laptop"].run("page", "--logout")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    other = page.context.new_page()
    other.goto(house["laptop"].line("page", "--print"))
    ready(other)
    page.bring_to_front()
    page.evaluate("dispatchEvent(new Event('focus'))")
    ready(page)
    expect(page.get_by_role("heading", name="Log in")).to_be_hidden()
    expect(page.locator("#message")).to_have_value("Typed before")
    page.locator("#message").press("Enter")
    assert agent.hear("prompt") == "Typed before"
