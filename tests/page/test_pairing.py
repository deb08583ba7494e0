"""Pairing, the devices' view and settings against real services, each with the page in a browser of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import segno
from playwright.sync_api import Locator, Page, expect

from agent.ports import Said
from tests.page.household import House, Visit

pytestmark = pytest.mark.device

STRANGERS = ("den",)


@pytest.fixture(autouse=True)
def den_is_nobody(house: House) -> Iterator[None]:
    """Part the stranger from the household again, whatever a test has made of it."""
    yield
    house["den"].ask("device.leave")
    for name in ("desk", "laptop"):
        house[name].ask("device.unpair", default=None, device=house["den"].id)
        for host in (row for row in house["den"].ask("device.list") if not row["self"]):
            house["den"].ask("device.unpair", default=None, device=host["id"])
    for name in ("desk", "laptop"):
        house[name].wait_to_see(house["den"], paired=False)


def part(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name)


def card(page: Page, name: str) -> Locator:
    return page.locator(".card").filter(has=page.get_by_role("heading", name=name))


def show_code(page: Page) -> str:
    page.get_by_role("button", name="Show a code").click()
    page.locator(".big").wait_for()
    return page.locator(".big").inner_text()


def enter(page: Page, code: str) -> Locator:
    """Enter a code; what is said of it, once something is."""
    box = part(page, "Enter a code")
    box.get_by_label("Code", exact=True).fill(code)
    box.get_by_role("button", name="Pair").click()
    expect(box.locator("form")).not_to_have_attribute("aria-busy", "true")
    return box.locator(".wrong, .good").filter(has_text=re.compile("."))


def squares(drawn: str) -> list[tuple[int, int]]:
    """The dark modules of a drawn QR code."""
    runs = re.findall(r"M(\d+) (\d+)h(\d+)v1h-\3z", drawn)
    return sorted((int(x) + step, int(y)) for x, y, width in runs for step in range(int(width)))


def choose(page: Page, name: str, entry: str) -> None:
    page.get_by_role("main").get_by_role("button", name=f"Actions for {name}").click()
    page.get_by_role("menuitem", name=entry).click()
    page.get_by_role("dialog").get_by_role("button", name=entry).click()
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_two_pages_pair_and_part_their_devices(house: House, visit: Visit) -> None:  # T3, T4
    host, joiner, third = visit("laptop", "#/pair"), visit("den", "#/pair"), visit("desk", "#/devices")
    expect(part(third, "Not paired").get_by_role("heading", name="den")).to_be_visible()
    code = show_code(host)
    drawn = host.get_by_role("img", name="QR code").locator("path").get_attribute("d") or ""
    made = [list(row) for row in segno.make(code, error="l", micro=False).matrix]
    assert squares(drawn) == sorted((x, y) for y, row in enumerate(made) for x, dark in enumerate(row) if dark)
    expect(enter(joiner, f" {code} ")).to_have_text(re.compile(r"Paired with laptop \(\w{4}-\w{4}\)\."))
    expect(host.get_by_text("Paired with den")).to_be_visible()
    expect(host.locator(".big")).to_be_hidden()
    expect(joiner.get_by_role("navigation").get_by_role("link", name="New session on laptop")).to_be_visible()
    expect(card(third, "den")).to_contain_text("Let in bylaptop")
    expect(card(third, "den").locator(".state")).to_have_text("online · linked")
    choose(third, "den", "Unpair")
    expect(part(third, "Not paired").get_by_role("heading", name="den")).to_be_visible()
    joiner.evaluate("location.hash = '#/devices'")
    expect(card(joiner, "desk").locator(".state")).to_contain_text("does not accept this device")
    choose(joiner, "den", "Leave the household")
    expect(joiner.get_by_text("No other device is paired yet.")).to_be_visible()


def test_a_guest_by_the_command_reaches_what_the_page_let_it(house: House, visit: Visit) -> None:
    agent = house.begin("laptop", "For the guest")
    house.begin("laptop", "Not for the guest")
    host, guest = visit("laptop", "#/pair"), visit("den")
    host.get_by_label("As a guest").check()
    host.get_by_role("combobox", name="Session").select_option("For the guest")
    host.get_by_label("read-only").check()
    code = show_code(host)
    expect(host.get_by_text("As a guest · read-only · only “For the guest”")).to_be_visible()
    house["den"].run("join", code)
    expect(host.get_by_text("den", exact=False).filter(has_text="is a guest now")).to_be_visible()
    rows = guest.get_by_role("navigation").locator(".row")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("For the guest")
    expect(guest.get_by_role("link", name="New session on laptop")).to_be_hidden()  # R8: it may not
    expect(host.get_by_role("link", name="New session on den")).to_be_hidden()
    rows.click()
    agent.emit(Said("Seen by the guest"))
    expect(guest.get_by_role("main")).to_contain_text("Seen by the guest")
    host.evaluate("location.hash = '#/devices'")
    expect(card(host, "den")).to_contain_text(
        "guest: it uses sessions here, and none of its own is shown · read-only · only “For the guest” · until"
    )
    choose(host, "den", "Allow everything")
    expect(card(host, "den")).not_to_contain_text("read-only")
    choose(host, "den", "Unpair")
    expect(rows).to_have_count(0)  # R14: at once


def test_codes_that_serve_no_more_are_told_apart(house: House, visit: Visit) -> None:
    page = visit("den", "#/pair")
    own = show_code(page)
    expect(enter(page, own)).to_contain_text("that code is shown by this device itself")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("The code is no longer valid.")).to_be_visible()
    expect(enter(page, "12")).to_contain_text("a code has eight digits")

    short = house["laptop"].begin("pair", "--ttl", "1")
    short.wait_for("nobody used the code in time")
    expect(enter(page, short.out[0])).to_contain_text("has expired")
    expect(part(page, "Enter a code").locator(".wrong code")).to_have_text("agent pair")

    host = visit("laptop", "#/pair")
    code = show_code(host)
    wrong = code[:3] + "".join(str((int(digit) + 1) % 10) if digit.isdigit() else digit for digit in code[3:])
    for left in ("2 tries left", "1 try left", "Tried wrongly too often"):
        expect(enter(page, wrong)).to_contain_text("the other device does not take this code")
        expect(part(host, "Let a device in").get_by_role("status").last).to_contain_text(left)
    expect(enter(page, code)).to_contain_text("was tried wrongly too often")

    used = show_code(host)
    expect(enter(page, used)).to_contain_text("Paired with laptop")
    expect(enter(page, used)).to_contain_text("that code was used by this device already, to pair with laptop")


def test_a_window_ends_with_its_page(house: House, visit: Visit) -> None:
    first = visit("laptop", "#/pair")
    other = visit.tab(first, "#/pair")
    show_code(first)
    other.get_by_role("button", name="Show a code").click()
    expect(other.get_by_role("alert").first).to_contain_text("this device shows a pairing code already")
    first.close()
    show_code(other)
    expect(other.get_by_role("alert").first).to_be_hidden()


def test_a_device_that_goes_and_comes_back_says_so(house: House, visit: Visit) -> None:  # R10, R12
    house.begin("desk", "Left behind")
    page = visit("laptop", "#/devices")
    desk = card(page, "desk")
    expect(desk.locator(".state")).to_have_text("online · linked")
    for fact in ("Rolemember", "Sessions1", f"Address{house['desk'].host.ipv4}", "Version0.", "Heard", "Paired"):
        expect(desk).to_contain_text(fact)
    house["desk"].leave()
    expect(desk.locator(".state")).to_have_text(re.compile(r"offline since \d\d:\d\d: \w+"))
    expect(desk).to_contain_text("Sessions1")
    house["desk"].up()
    expect(desk.locator(".state")).to_have_text("online · linked")


def test_what_others_did_is_in_the_audit_as_it_happens(house: House, visit: Visit) -> None:
    agent = house.begin("desk", "Watched")
    page = visit("desk", "#/devices")
    page.get_by_text("What devices did here").click()
    house["laptop"].run("prompt", agent.id, "hello", "--no-wait")
    expect(page.locator(".audit li").filter(has_text="laptop prompted Watched")).to_contain_text("5 characters")


def test_a_language_is_spoken_at_once_and_by_all_pages_of_the_device(house: House, visit: Visit) -> None:
    house.begin("desk", "設計 <b>メモ</b>")
    page = visit("desk", "#/settings", locale="ja-JP")
    expect(page.locator("html")).to_have_attribute("lang", "ja")
    expect(page.get_by_role("heading", level=1)).to_have_text("設定")
    page.get_by_role("combobox").first.select_option("繁體中文")
    for opened in (page, visit("desk", "#/settings", locale="ja-JP"), visit.tab(page, "#/settings")):
        expect(opened.locator("html")).to_have_attribute("lang", "zh-Hant")
        expect(opened.get_by_role("heading", level=1)).to_have_text("設定")
        expect(opened.get_by_role("navigation", name="工作階段")).to_contain_text("設計 <b>メモ</b>")
    page.get_by_role("combobox").first.select_option("")
    expect(page.get_by_role("navigation", name="セッション")).to_be_visible()
    other = visit("laptop", locale="fr-FR")
    expect(other.get_by_role("navigation", name="Sessions")).to_be_visible()


def test_notifications_and_keys_are_kept_as_far_as_the_browser_allows(house: House, visit: Visit) -> None:
    page = visit("desk", "#/settings", permissions=["notifications"])
    page.get_by_label("Notifications").check()
    page.get_by_label("Single-key shortcuts").uncheck()
    page.get_by_label("Enter key").select_option("new line")
    tab = visit.tab(page, "#/settings")
    expect(tab.get_by_label("Notifications")).to_be_checked()
    expect(tab.get_by_label("Single-key shortcuts")).not_to_be_checked()
    expect(tab.get_by_label("Enter key")).to_have_value("line")
    elsewhere = visit("desk", "#/settings")
    expect(elsewhere.get_by_label("Single-key shortcuts")).not_to_be_checked()
    expect(elsewhere.get_by_label("Notifications")).not_to_be_checked()  # this browser was not asked
