"""Pages of a browser, for tests of what runs in it: Debian's Chromium by Playwright, under the policy of the door."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Route, sync_playwright

from agent.gateway.page import POLICY
from tests.page.household import CHROMIUM, Complaints, House, Visit, households

FILES = Path(__file__).parents[2] / "agent" / "frontends" / "page"
SCRIPTED = Path(__file__).parent / "scripted"
"""Modules that take the place of the page's own of the same name."""
ORIGIN = "http://page.test"
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
}
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """What drives browsers. Without Chromium or Chrome the test is skipped, except in CI.

    For one module: as long as it is there its event loop runs in this thread, and no other one can.
    """
    if not CHROMIUM:
        if os.environ.get("CI"):
            pytest.fail("tests of the page must run in CI: install chromium")
        pytest.skip("not installed: chromium")
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    chromium = playwright.chromium.launch(executable_path=CHROMIUM)
    yield chromium
    chromium.close()


@pytest.fixture(scope="module")
def module_house(playwright: Playwright, request: pytest.FixtureRequest) -> Iterator[House]:
    """The devices that the module names; its tests take `house`."""
    paired = getattr(request.module, "DEVICES", ("desk", "laptop"))
    with households(playwright, paired, getattr(request.module, "STRANGERS", ())) as made:
        yield made


@pytest.fixture
def house(module_house: House) -> Iterator[House]:
    """Real services that know each other, without sessions. See household.py."""
    module_house.make_whole()
    yield module_house
    module_house.end_test()


@pytest.fixture
def visit(house: House) -> Iterator[Visit]:
    """Opens pages of `house`; at the end none may have complained."""
    visits = Visit(house)
    yield visits
    visits.close()


def serve(context: BrowserContext, complaints: Complaints) -> None:
    """Have a context get its files from the folder, and note whatever its pages complain of."""

    def answer(route: Route) -> None:
        name = route.request.url.removeprefix(ORIGIN).partition("?")[0].lstrip("/") or "index.html"
        path = next((at for at in (SCRIPTED / name, FILES / name) if at.is_file()), None)
        if path is None:
            route.fulfill(status=404)
            return
        headers = {"Content-Type": f"{TYPES[path.suffix]}; charset=utf-8", "Content-Security-Policy": POLICY}
        route.fulfill(status=200, body=path.read_bytes(), headers=headers)

    context.route("**/*", answer)
    complaints.watch(context)


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open the page without a service: `answers` are what its methods give, by name.

    At the end nothing may have been complained of: no error, no violation of the policy, no file that is missing.
    """
    complaints = Complaints()
    contexts = []

    def opened(route: str = "#/", answers: dict[str, Any] | None = None, **options: Any) -> Page:
        context = browser.new_context(locale="en-GB", timezone_id="UTC", base_url=ORIGIN, **options)
        contexts.append(context)
        serve(context, complaints)
        page = context.new_page()
        page.add_init_script(f"globalThis.answers = {json.dumps(answers or {})}")
        page.goto(f"/{route}")
        page.wait_for_selector("#side ~ main:not([aria-busy])", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints.left() == []


@pytest.fixture(scope="module")
def empty_page(browser: Browser) -> Iterator[Page]:
    """A document with nothing in it, from which modules can be imported."""
    complaints = Complaints()
    context = browser.new_context(locale="en-GB", timezone_id="UTC", base_url=ORIGIN)
    serve(context, complaints)
    page = context.new_page()
    page.goto("/empty.html")
    yield page
    context.close()
    assert complaints.left() == []


@pytest.fixture
def module(empty_page: Page) -> Callable[..., Any]:
    """Run a function of JavaScript with a module of the page: `module("store.js", "({Store}) => …", argument)`."""

    def run(name: str, function: str, argument: Any = None) -> Any:
        script = f"async ([name, argument]) => ({function})(await import(name), argument)"
        return empty_page.evaluate(script, [f"/{name}", argument])

    return run
