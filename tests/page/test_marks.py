"""Title, icon and notification say that a session waits, and never what it asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.page.test_sidebar import answers, session, tell

pytestmark = pytest.mark.device

Open = Callable[..., Page]
ICON = "document.querySelector('link[rel=icon]').getAttribute('href')"
LISTEN = """
  globalThis.shown = [];
  globalThis.Notification = class {
    static permission = "granted";
    constructor(title, options) { shown.push({title, ...options}); }
    close() {}
  };
  Document.prototype.hasFocus = () => false;
"""


def row(name: str, status: str = "needs-input", **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = session(name, f"Title of {name}", 1, status=status, question="secret words", **more)
    return found


def test_the_title_and_the_icon_count_what_waits(open_page: Open) -> None:
    page = open_page(answers=answers(row("a"), row("b", "idle"), row("c", away=True)))
    expect(page).to_have_title("(1) lan-agent")
    assert "stroke='%23fff'" not in page.evaluate(ICON)
    page.evaluate("location.hash = '#/s/b'")
    expect(page).to_have_title("(1) Title of b · lan-agent")
    tell(page, "session.changed", {"changed": [row("a", "idle")]})
    expect(page).to_have_title("Title of b · lan-agent")
    assert "stroke='%23fff'" in page.evaluate(ICON)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_notification_tells_title_and_device_and_only_who_wants_it(open_page: Open, wanted: bool) -> None:
    kept = {"page.keep": {"values": {"settings": {"notify": wanted}}}}
    page = open_page(answers=answers(row("a"), row("b", "idle"), **kept))
    expect(page).to_have_title("(1) lan-agent")
    page.evaluate(LISTEN)
    page.evaluate("service.answers['session.watch'] = []")
    tell(page, "session.changed", {"changed": [row("a"), row("b")]})
    expect(page).to_have_title("(2) lan-agent")
    told = [{"title": "“Title of b” waits for you", "body": "desk", "tag": "b"}]
    assert page.evaluate("shown") == (told if wanted else [])


def test_who_wants_notifications_is_asked_anew_at_a_new_address(open_page: Open) -> None:
    page = open_page(answers=answers(row("a"), **{"page.keep": {"values": {"settings": {"notify": True}}}}))
    page.evaluate("""() => {
      globalThis.times = 0;
      globalThis.Notification = { permission: "default", requestPermission: () => (times += 1) };
    }""")
    page.locator("body").click()
    page.locator("body").click()
    assert page.evaluate("times") == 1
