"""What holds for the page as a whole, in a browser and without a service."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.page.test_sidebar import NOTES, session

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
