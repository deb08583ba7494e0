"""The page against real services: what one device shows of another, in the browser of each."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import url2pathname

import pytest
from playwright.sync_api import expect

from agent.ports import Finished, Said
from tests.page.household import House, Visit, ready

pytestmark = pytest.mark.device


def test_the_file_that_the_command_prints_logs_in_once(house: House, visit: Visit) -> None:
    address = house["desk"].line("page", "--print")
    page = visit.context("desk").new_page()
    page.goto(address)
    ready(page)
    assert not Path(url2pathname(address.removeprefix("file://"))).exists()


def test_each_request_is_sent_once(house: House, visit: Visit) -> None:
    sent: list[str | bytes] = []

    def note(frame: str | bytes) -> None:
        sent.append(frame)

    page = visit.context("desk").new_page()
    page.on("websocket", lambda socket: socket.on("framesent", note))
    page.goto(house["desk"].line("page", "--print"))
    page.get_by_role("heading", name="No sessions yet").wait_for()
    asked = [frame["id"] for frame in map(json.loads, sent) if "id" in frame]
    assert asked == list(range(1, 1 + len(asked))) != []


def test_a_session_of_another_device_is_prompted_and_answers(house: House, visit: Visit) -> None:
    agent = house.begin("desk", "Build the wire")
    page = visit("laptop")
    page.get_by_role("navigation").get_by_title("Build the wire").click()
    page.locator("#message").fill("Run the tests")
    page.locator("#message").press("Enter")
    assert agent.hear("prompt") == "Run the tests"
    agent.emit(Said("All of them"))
    expect(page.get_by_role("main")).to_contain_text("All of them")
    agent.emit(Said(" pass."), Finished(status="complete"))
    expect(page.get_by_role("main")).to_contain_text("All of them pass.")
    page.locator("#message").fill("a draft, which the next test must not find")
    own = visit("desk", f"#/s/{agent.id}")
    expect(own.get_by_role("main")).to_contain_text("All of them pass.")
    other = visit.tab(own, "#/devices")
    expect(other.get_by_role("heading", name="laptop")).to_be_visible()


def test_each_test_begins_with_nothing(house: House, visit: Visit) -> None:
    page = visit("laptop")
    expect(page.get_by_role("heading", name="No sessions yet")).to_be_visible()


def test_the_page_of_a_service_that_restarts_goes_on(house: House, visit: Visit) -> None:
    agent = house.begin("desk", "Before and after")
    page = visit("desk", f"#/s/{agent.id}")
    visit.allow("WebSocket connection .* failed")
    house["desk"].kill()
    house["desk"].up()
    ready(page)
    page.locator("#message").fill("Still there?")
    page.locator("#message").press("Enter")
    after = house.agent(agent.id)
    assert after.hear("prompt") == "Still there?"
    after.reply("Yes.")
    expect(page.get_by_role("main")).to_contain_text("Yes.")
