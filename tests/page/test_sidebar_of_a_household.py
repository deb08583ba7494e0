"""The sidebar of one device against three real services: what is there, what is not, and what is done from its rows."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from agent.ports import Asked, Finished
from agent.protocol.events import Choice
from tests.page.household import House, Visit

pytestmark = pytest.mark.device

DEVICES = ("laptop", "desk", "pi")
CHOICES = (Choice(id="once", name="Allow once", kind="allow_once"),)


def row(page: Page, session: str) -> Locator:
    return page.locator(f'#side li[data-id="{session}"]')


def section(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name).locator("li:visible .title")


def act(page: Page, session: str, name: str) -> None:
    """Choose from the menu of a row, and say yes where that is asked."""
    row(page, session).click(button="right")
    page.get_by_role("menuitem", name=name).click()
    if page.get_by_role("dialog").count():
        page.get_by_role("dialog").get_by_role("button", name=name).click()
        expect(page.get_by_role("dialog")).to_have_count(0)


def offered(page: Page, session: str) -> list[str]:
    row(page, session).click(button="right")
    found = page.get_by_role("menuitem").all_text_contents()
    page.keyboard.press("Escape")
    return found


def test_rows_follow_what_happens_on_other_devices(house: House, visit: Visit) -> None:  # R4, R6, R10, S10
    page = visit("laptop")
    expect(page.locator(".fresh a")).to_have_text(["New session", "New session on desk", "New session on pi"])
    expect(page.get_by_role("heading", level=2)).to_have_count(0)
    build = house.begin("desk", "Build the wire")
    logs = house.begin("pi", "Logs")
    expect(page.get_by_role("heading", level=2)).to_have_text(["Live on other devices"])
    expect(section(page, "Live on other devices")).to_have_text(["Logs", "Build the wire"])
    expect(row(page, build.id).locator(".under")).to_have_text("desk · scripted")
    house["pi"].ask("prompt.submit", session_id=build.id, prompt_id="one", text="Go")
    expect(section(page, "Live on other devices")).to_have_text(["Build the wire", "Logs"])
    expect(row(page, build.id).get_by_role("img", name="working")).to_be_visible()
    build.hear("prompt")
    build.emit(Asked(request_id="r", kind="choices", prompt="Run `rm -r build`?", choices=CHOICES))
    expect(row(page, build.id).get_by_role("img", name="needs input")).to_be_visible()
    expect(row(page, build.id)).to_contain_text("Run `rm -r build`?")
    waiting = page.get_by_role("button", name="1 waits for you")
    waiting.click()
    expect(page.locator("li[data-id]:visible")).to_have_count(1)
    house["pi"].ask("request.answer", session_id=build.id, answer="once")
    expect(page.get_by_text("Nothing waits for you.")).to_be_visible()
    page.locator(".waiting").click()
    build.hear("answer")
    build.emit(Finished(status="complete"))
    expect(row(page, build.id).get_by_role("img", name="idle")).to_be_visible()
    house["pi"].ask("session.rename", session_id=logs.id, title="日志")
    expect(row(page, logs.id).locator(".title")).to_have_text("日志")
    for each, device in ((build, "desk"), (logs, "pi")):
        house[device].ask("session.close", session_id=each.id)
    expect(page.get_by_role("heading", level=2)).to_have_count(0)


def test_a_device_that_leaves_folds_with_its_sessions_until_it_is_back(house: House, visit: Visit) -> None:  # R10, R12
    agent = house.begin("pi", "Logs")
    page = visit("laptop")
    expect(section(page, "Live on other devices")).to_have_text(["Logs"])
    house["pi"].leave()
    away = page.locator(".away")
    expect(away.locator("summary")).to_have_text(re.compile(r"^pi is offline since \d\d:\d\d: 1 session$"))
    expect(page.get_by_role("heading", name="Live on other devices")).to_have_count(0)
    expect(page.get_by_role("link", name="New session on pi")).to_have_count(0)
    away.locator("summary").click()
    assert offered(page, agent.id) == ["Pin"]
    page.get_by_role("searchbox").fill("pi")
    row(page, agent.id).locator(".row").click()
    expect(page.locator(".stands")).to_contain_text("pi is out of reach since")
    house["pi"].up()
    page.get_by_role("searchbox").fill("")
    expect(section(page, "Live on other devices")).to_have_text(["Logs"])
    expect(away.locator("li")).to_have_count(0)
    expect(page.locator(".stands")).to_be_empty()
    expect(page.get_by_role("link", name="New session on pi")).to_be_visible()


def test_a_session_is_pinned_renamed_shared_closed_and_started_again_from_its_row(house: House, visit: Visit) -> None:
    build = house.begin("desk", "Build")
    page, owner = visit("laptop"), visit("desk")
    act(page, build.id, "Pin")
    expect(section(page, "Pinned")).to_have_text(["Build"])
    expect(section(visit("laptop"), "Pinned")).to_have_text(["Build"])
    row(page, build.id).click(button="right")
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_label("Title").fill("Build the wire")
    page.keyboard.press("Enter")
    expect(row(owner, build.id).locator(".title")).to_have_text("Build the wire")
    for share, left in (("read-only", ["Unpin"]), ("may use it", ["Unpin", "Rename", "Close session"])):
        row(owner, build.id).click(button="right")
        owner.get_by_role("menuitem", name="Share").click()
        owner.get_by_role("radio", name=share).check()
        owner.get_by_role("button", name="Save").click()
        marks = "" if share == "may use it" else share
        expect(row(page, build.id).locator(".marks")).to_have_text(marks)
        assert offered(page, build.id) == left
    for only_watch, left in ((True, ["Unpin"]), (False, ["Unpin", "Rename", "Close session"])):
        house["desk"].ask("device.limit", device=house["laptop"].id, read_only=only_watch)
        expect(row(page, build.id).locator(".marks")).to_have_text("read-only" if only_watch else "")
        assert offered(page, build.id) == left
    act(page, build.id, "Close session")
    expect(row(owner, build.id)).to_have_count(0)
    for each in (page, owner):
        each.get_by_text("Ended sessions").click()
        expect(row(each, build.id)).to_be_visible()
    page.evaluate("session => { location.hash = `#/s/${session}` }", build.id)
    page.get_by_role("main").get_by_role("button", name="Actions for Build the wire").click()
    expect(page.get_by_role("menuitem")).to_have_text(["Start again"])
    page.keyboard.press("Escape")
    act(page, build.id, "Start again")
    expect(page.get_by_role("heading", level=1)).to_have_text("Build the wire")
    again = page.url.rpartition("/")[2]
    assert again != build.id
    expect(row(page, again).locator(".row")).to_have_attribute("aria-current", "page")
    act(owner, build.id, "Delete transcript")
    expect(row(owner, build.id)).to_have_count(0)


def test_what_was_said_in_a_closed_session_is_found_and_read(house: House, visit: Visit) -> None:
    agent = house.begin("desk", "Plans")
    house["desk"].ask("prompt.submit", session_id=agent.id, prompt_id="one", text="Where is the marmalade?")
    agent.hear("prompt")
    agent.reply("Behind the porridge.")
    house["desk"].ask("session.close", session_id=agent.id)
    page = visit("laptop")
    page.get_by_role("searchbox").fill("porridge")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Behind the porridge.").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Plans")
    for _ in range(2):
        expect(page.get_by_role("main")).to_contain_text("Where is the marmalade?")
        expect(page.get_by_role("main")).to_contain_text("Behind the porridge.")
        expect(page.locator(".stands")).to_be_empty()
        page.reload()


def test_a_session_is_started_on_another_device(house: House, visit: Visit) -> None:  # R8
    page = visit("laptop")
    page.get_by_role("link", name="New session on desk").click()
    page.get_by_label("Program").select_option("scripted")
    page.get_by_label("Folder").fill("/nowhere")
    page.get_by_label("Title (optional)").fill("From the laptop")
    page.get_by_label("Folder").fill("/tmp")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("From the laptop")
    session = page.url.rpartition("/")[2]
    assert house["desk"].sessions()[session]["cwd"] == "/tmp"
    expect(section(page, "Live on other devices")).to_have_text(["From the laptop"])
    house["desk"].ask("session.close", session_id=session)
