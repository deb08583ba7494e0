"""Every state of the page, with real services: it fits from 320 px to 4 K, axe finds nothing, and a picture is taken.

The pictures are in `screenshots/`, for eyes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Page, expect

from tests.page.household import House, Visit
from tests.page.looks import barriers, misfits, shoot
from tests.page.states import State, come, furnish, leave, settle

pytestmark = [pytest.mark.device, pytest.mark.timeout(240)]

DEVICES = ("laptop", "desk", "pi")
STRANGERS = ("den",)


class Furnished(NamedTuple):
    """A household in which every state can be had."""

    house: House
    states: dict[str, State]


@pytest.fixture(scope="module")
def furnished(module_house: House) -> Furnished:
    module_house.make_whole()
    return Furnished(module_house, furnish(module_house))


@pytest.fixture
def house(furnished: Furnished) -> House:
    """Its sessions stay from test to test."""
    return furnished.house


def walk(page: Page, states: dict[str, State], look: Callable[[Page], list[str]], picture: str = "") -> str:
    """What a look finds in all states, a line each; nothing, if all is well."""
    found: list[str] = []
    for name, state in states.items():
        come(page, state)
        found += [f"{name}: {each}" for each in look(page)]
        if picture:
            shoot(page, f"{name} {picture}".replace(" ", "-"))
        leave(page, name)
    return "\n".join(found)


@pytest.mark.parametrize(("width", "height"), [(320, 568), (360, 740), (1280, 800), (2560, 1440)])
def test_every_state_fits_the_window(furnished: Furnished, visit: Visit, width: int, height: int) -> None:
    page = visit("laptop", viewport={"width": width, "height": height}, has_touch=width < 400)
    picture = str(width) if width < 2000 else ""
    assert walk(page, furnished.states, misfits, picture) == ""


@pytest.mark.parametrize("locale", ["zh-CN", "zh-TW", "ja-JP"])
def test_every_language_fits_the_narrowest_window(furnished: Furnished, visit: Visit, locale: str) -> None:
    page = visit("laptop", viewport={"width": 320, "height": 568}, locale=locale)
    assert walk(page, furnished.states, misfits, locale) == ""
    come(page, furnished.states["done"])
    expect(page.locator("main pre code")).to_have_css("font-family", re.compile("monospace"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier_in_any_state(furnished: Furnished, visit: Visit, scheme: Any) -> None:
    page = visit("laptop", color_scheme=scheme)
    assert walk(page, furnished.states, barriers, scheme if scheme == "dark" else "") == ""


def test_a_device_with_nothing_yet_and_one_whose_service_is_gone(furnished: Furnished, visit: Visit) -> None:
    page = visit("den", viewport={"width": 320, "height": 568})
    expect(page.get_by_role("navigation")).to_contain_text("No sessions yet")
    visit.allow("WebSocket")
    for name in ("empty", "lost"):
        settle(page)
        assert misfits(page) + barriers(page) == []
        shoot(page, f"{name}-320")
        if name == "empty":
            furnished.house["den"].kill()
            expect(page.locator(".lost .line")).to_be_visible()
