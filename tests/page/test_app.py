"""What holds for the page as a whole, in a browser and without a service."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.conftest import ORIGIN, serve
from tests.page.household import Complaints
from tests.page.test_sidebar import NOTES, answers, session

pytestmark = pytest.mark.device

Open = Callable[..., Page]
LONG = "Find out why the nightly build fails on the kitchen Raspberry Pi and nowhere else"


def test_text_that_is_cut_is_whole_in_its_tooltip(open_page: Open) -> None:
    page = open_page(
        "#/s/long", {"session.watch": [NOTES, session("long", title=LONG)]}, viewport={"width": 320, "height": 568}
    )
    title = page.get_by_role("heading", level=1)
    title.hover()
    expect(title).to_have_attribute("title", LONG)
    page.set_viewport_size({"width": 2000, "height": 568})
    page.mouse.move(0, 400)
    title.hover()
    expect(title).to_have_attribute("title", "")


def test_views_that_did_not_come_are_fetched_with_the_next_connection(browser: Browser) -> None:
    complaints = Complaints()
    with browser.new_context(locale="en-GB", base_url=ORIGIN) as context:
        serve(context, complaints)
        page = context.new_page()
        page.add_init_script(f"globalThis.answers = {json.dumps(answers(NOTES))}")
        page.route("**/settings.js", lambda route: route.abort())
        page.goto("/#/settings")
        expect(page.get_by_role("button", name="Notes").first).to_be_visible()
        expect(page.locator("main")).to_contain_text("On this device, run agent page")
        page.unroute("**/settings.js")
        page.evaluate("service.onState('lost'); service.onState('ready')")
        expect(page.get_by_role("heading", level=1)).to_have_text("Settings")
    complaints.allow("ERR_FAILED")
    assert complaints.left() == []
