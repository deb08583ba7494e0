"""Devices, pairing, settings and what is lost, in a browser and without a service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.page.test_sidebar import NOTES, asked, peer, session, tell

pytestmark = pytest.mark.device

Open = Callable[..., Page]

PEERS = [
    {**peer("own", self=True, addresses=["192.168.1.2"], port=7471), "name": "laptop"},
    peer("desk", linked=True, source="link", version="0.1.0", addresses=["192.168.1.5", "fe80::1%eth0"], port=7471,
         sessions=2, heard_at="2026-01-01T14:02:00.000Z"),
    peer("office", role="guest", sessions=1,
         state="offline", since="2026-01-01T14:02:00.000Z", reason="it said goodbye"),
    peer("den", paired=False, source="mdns"),
]  # fmt: skip
TRUSTED = [
    {"id": "own", "name": "laptop", "self": True, "admitted_by": {"id": "own", "name": "laptop"}},
    {"id": "desk", "name": "desk", "self": False, "role": "member", "admitted_by": {"id": "own", "name": "laptop"},
     "paired_at": "2026-01-01T10:00:00.000Z"},
    {"id": "office", "name": "office", "self": False, "role": "guest", "read_only": True,
     "expires_at": "2026-01-02T10:00:00.000Z", "admitted_by": {"id": "desk", "name": "desk"}, "namesakes": []},
]  # fmt: skip
STATUS = {
    "problems": ["no network interface is up: connect one"], "notices": ["desk prompted here for the first time"],
    "version": "0.1.0", "started_at": "2026-01-01T10:00:00.000Z", "sessions": 3,
}  # fmt: skip
WINDOW = {
    "code": "42-913-577", "ttl": 300.0, "port": 4321, "addresses": ["192.168.1.2"], "tries": 3,
    "qr": ["101", "010", "111"],
}  # fmt: skip


def answers(**more: Any) -> dict[str, Any]:
    told = {"session.watch": [NOTES], "peer.watch": PEERS, "gateway.status": STATUS, "device.list": TRUSTED}
    return {**told, "page.keep": {}, **{name.replace("__", "."): value for name, value in more.items()}}


def card(page: Page, name: str) -> Any:
    return page.locator(".card").filter(has=page.get_by_role("heading", name=name))


def choose(page: Page, name: str, entry: str) -> None:
    page.get_by_role("main").get_by_role("button", name=f"Actions for {name}").click()
    page.get_by_role("menuitem", name=entry).click()


# --- devices ---------------------------------------------------------------------------------------------------------


def test_each_device_says_how_it_stands_and_how_it_is_reached(open_page: Open) -> None:  # R7, R10
    page = open_page("#/devices", answers())
    expect(page.get_by_role("heading", level=1)).to_have_text("Devices")
    expect(page.locator(".cards").first.get_by_role("heading", level=2)).to_have_text(
        ["laptop (this device)", "desk", "office"]
    )
    expect(card(page, "desk").locator(".state")).to_have_text("online · linked")
    expect(card(page, "desk")).to_contain_text("192.168.1.5:7471, [fe80::1%eth0]:7471")
    expect(card(page, "office")).to_contain_text("offline since 1 Jan, 14:02: it said goodbye")
    expect(card(page, "office")).to_contain_text(
        "guest: it uses sessions here, and none of its own is shown · read-only · until 2 Jan, 10:00"
    )
    expect(card(page, "office")).not_to_contain_text("Sessions")
    expect(page.locator(".cards").last.get_by_role("heading", level=3)).to_have_text(["den"])
    expect(card(page, "den").locator(".state")).to_have_text("online · heard on this network, no link")
    expect(card(page, "den").get_by_role("link", name="Pair")).to_have_attribute("href", "#/pair")


def test_what_is_wrong_stands_above_the_devices(open_page: Open) -> None:
    page = open_page("#/devices", answers())
    expect(page.locator(".problems li")).to_have_text(["no network interface is up: connect one"])
    expect(page.locator(".notices li")).to_have_text(["desk prompted here for the first time"])


@pytest.mark.parametrize("width", [1280, 320])
def test_the_menu_of_a_card_is_at_its_upper_end(open_page: Open, width: int) -> None:
    page = open_page("#/devices", answers(), viewport={"width": width, "height": 800})
    around = card(page, "desk").bounding_box()
    more = page.get_by_role("main").get_by_role("button", name="Actions for desk").bounding_box()
    assert around
    assert more
    assert 0 <= more["y"] - around["y"] < 16
    assert 0 <= around["x"] + around["width"] - more["x"] - more["width"] < 16


def test_a_device_that_changes_keeps_its_card(open_page: Open) -> None:
    page = open_page("#/devices", answers())
    page.evaluate("document.querySelectorAll('.card')[1].id = 'same'")
    tell(page, "peer.changed", {"changed": [peer("desk", state="stale", reason="missed pings")]})
    expect(page.locator("#same")).to_contain_text("not surely there: missed pings")
    tell(page, "peer.changed", {"removed": ["den"]})
    expect(page.get_by_role("heading", name="Not paired")).to_be_hidden()


def test_a_device_is_put_out_with_whom_it_let_in(open_page: Open) -> None:  # T4
    page = open_page("#/devices", answers(device__unpair={}))
    choose(page, "desk", "Unpair")
    page.get_by_label("also whom it let in: office").check()
    page.get_by_role("dialog").get_by_role("button", name="Unpair").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert asked(page, "device.unpair") == [{"device": "desk", "with_admitted": True}]


def test_what_the_service_refuses_is_said_where_it_was_asked(open_page: Open) -> None:
    refused = {"error": {"kind": "state", "message": "the disk is full", "hint": "make room"}}
    page = open_page("#/devices", answers(device__limit=refused))
    choose(page, "desk", "Only watch")
    page.get_by_role("dialog").get_by_role("button", name="Only watch").click()
    expect(page.get_by_role("alert")).to_have_text("the disk is full: make room")
    assert asked(page, "device.limit") == [{"device": "desk", "read_only": True}]


def test_what_devices_did_here_is_asked_for_when_it_is_looked_at(open_page: Open) -> None:
    entry = {"at": "2026-01-01T10:00:00.000Z", "device": "desk", "name": "desk", "action": "prompted",
             "session": "notes", "title": "Notes", "length": 12}  # fmt: skip
    page = open_page("#/devices", answers(audit__watch=[entry]))
    assert asked(page, "audit.watch") == []
    page.get_by_text("What devices did here").click()
    expect(page.locator(".audit li")).to_have_text(["1 Jan, 10:00desk prompted Notes12 characters"])
    later = {
        "at": "2026-01-01T10:01:00.000Z",
        "device": "pi",
        "name": "pi",
        "action": "refused",
        "detail": "not paired",
    }
    tell(page, "audit.noted", {"entries": [later]})
    expect(page.locator(".audit li").first).to_have_text("1 Jan, 10:01pi was refusednot paired")


# --- pairing ---------------------------------------------------------------------------------------------------------


def test_a_code_is_shown_with_its_qr_code_and_how_to_use_it(open_page: Open) -> None:  # T3
    page = open_page("#/pair", answers(device__pair=WINDOW))
    page.get_by_role("button", name="Show a code").click()
    expect(page.locator(".big")).to_have_text("42-913-577")
    expect(page.get_by_role("img", name="QR code").locator("path")).to_have_attribute(
        "d", "M0 0h1v1h-1zM2 0h1v1h-1zM1 1h1v1h-1zM0 2h3v1h-3z"
    )
    expect(page.locator(".left")).to_have_text("5:00 left")
    expect(page.get_by_text("agent join 42-913-577")).to_be_visible()
    assert asked(page, "device.pair") == [{"long": False, "qr": True}]


def test_a_guest_is_let_in_on_terms(open_page: Open) -> None:
    page = open_page("#/pair", answers(device__pair=WINDOW))
    page.get_by_label("As a guest").check()
    page.get_by_role("combobox", name="Session", exact=True).select_option("Notes")
    page.get_by_label("read-only").check()
    page.get_by_role("combobox", name="For", exact=True).select_option("1 hour")
    page.get_by_role("button", name="Show a code").click()
    expect(page.locator(".big")).to_be_visible()
    assert asked(page, "device.pair") == [
        {"long": False, "guest": True, "read_only": True, "session": "notes", "stay": 3600, "qr": True}
    ]


def test_what_happens_at_the_window_is_told_until_it_is_over(open_page: Open) -> None:
    page = open_page("#/pair", answers(device__pair=WINDOW))
    page.get_by_role("button", name="Show a code").click()
    tell(page, "device.pairing", {"what": "wrong-code", "failed": 1, "tries_left": 2})
    expect(page.get_by_text("A wrong code was tried. 2 tries left.")).to_be_visible()
    page.evaluate("location.hash = '#/'")
    page.evaluate("location.hash = '#/pair'")
    expect(page.locator(".big")).to_have_text("42-913-577")
    old = {"id": "olddesk12", "name": "desk", "seen_at": None}
    tell(page, "device.pairing", {"what": "paired", "device": "desk", "name": "desk", "namesakes": [old]})
    expect(page.get_by_text("Paired with desk (desk-).")).to_be_visible()
    expect(page.get_by_text("Another device is called desk")).to_be_visible()
    expect(page.locator(".big")).to_be_hidden()
    expect(page.get_by_role("button", name="Show a code")).to_be_visible()
    page.evaluate("location.hash = '#/'")
    expect(page.get_by_role("button", name="Show a code")).to_be_hidden()
    page.evaluate("location.hash = '#/pair'")
    expect(page.get_by_role("button", name="Show a code")).to_be_visible()
    expect(page.get_by_text("Paired with desk (desk-).")).to_be_hidden()


def test_how_a_window_ended_while_nobody_looked_is_said_once(open_page: Open) -> None:
    page = open_page("#/pair", answers(device__pair=WINDOW))
    page.get_by_role("button", name="Show a code").click()
    page.evaluate("location.hash = '#/'")
    expect(page.locator(".big")).to_be_hidden()
    tell(page, "device.pairing", {"what": "paired", "device": "desk", "name": "desk", "namesakes": []})
    page.evaluate("location.hash = '#/pair'")
    expect(page.get_by_text("Paired with desk (desk-).")).to_be_visible()


def test_a_window_is_closed_by_hand(open_page: Open) -> None:
    page = open_page("#/pair", answers(device__pair=WINDOW, device__close_window={}))
    page.get_by_role("button", name="Show a code").click()
    page.get_by_role("button", name="Cancel").press("Enter")
    tell(page, "device.pairing", {"what": "closed"})
    expect(page.locator(".big")).to_be_hidden()
    expect(page.get_by_text("The code is no longer valid.")).to_be_visible()
    expect(page.get_by_role("button", name="Show a code")).to_be_focused()
    assert asked(page, "device.close_window") == [{}]


def test_a_code_that_is_shown_has_the_focus_and_ends_with_its_connection(open_page: Open) -> None:
    page = open_page("#/pair", answers(device__pair=WINDOW))
    page.get_by_role("button", name="Show a code").press("Enter")
    expect(page.get_by_role("button", name="Copy")).to_be_focused()
    state(page, "lost")
    expect(page.locator(".big")).to_be_hidden()
    state(page, "ready")
    expect(page.get_by_text("The code is no longer valid.")).to_be_visible()
    expect(page.get_by_role("button", name="Show a code")).to_be_enabled()


def test_what_keeps_devices_from_finding_each_other_stands_above_pairing(open_page: Open) -> None:
    trouble = "no network interface is up: see `agent doctor`"
    page = open_page("#/pair", answers(gateway__status={**STATUS, "reach": [trouble]}))
    expect(page.locator(".problems li")).to_have_text(trouble.replace("`", ""))
    expect(page.locator(".problems code")).to_have_text("agent doctor")


def test_a_device_that_knows_the_code_and_is_not_paired_says_why(open_page: Open) -> None:
    page = open_page("#/pair", answers(device__pair=WINDOW))
    page.get_by_role("button", name="Show a code").click()
    told = {
        "what": "failed",
        "reason": "it is in another household",
        "hint": "`agent unpair --self` there",
        "failed": 1,
    }
    tell(page, "device.pairing", told)
    said = page.get_by_text("Somebody was not paired: it is in another household: agent unpair --self there")
    expect(said).to_be_visible()
    expect(page.locator(".big")).to_be_visible()


def test_a_code_is_entered(open_page: Open) -> None:
    page = open_page("#/pair", answers(device__join={"id": "desk", "name": "desk", "role": "member"}))
    page.get_by_label("Code", exact=True).fill(" 42-913-577 ")
    page.get_by_role("button", name="Pair", exact=True).click()
    expect(page.get_by_text("Paired with desk (desk-).")).to_be_visible()
    expect(page.get_by_role("main").get_by_role("link", name="New session on desk")).to_be_visible()
    assert asked(page, "device.join") == [{"code": "42-913-577", "address": ""}]


def test_of_two_windows_whose_codes_begin_alike_a_person_chooses(open_page: Open) -> None:
    windows = [{"name": "desk", "address": "10.0.0.1:7"}, {"name": "desk", "address": "10.0.0.2:7"}]
    several = {"error": {"kind": "ambiguous", "message": "several devices show it"}}
    page = open_page("#/pair", answers(device__join=several, device__windows=windows))
    page.get_by_label("Code", exact=True).fill("42-913-577")
    page.get_by_role("button", name="Pair", exact=True).click()
    page.get_by_label("10.0.0.2:7").check()
    page.get_by_role("button", name="Pair", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="several")).to_be_visible()
    assert asked(page, "device.join")[-1] == {"code": "42-913-577", "address": "10.0.0.2:7"}


def test_a_wrong_code_is_told_beside_the_field(open_page: Open) -> None:
    wrong = {"error": {"kind": "pairing-failed", "message": "the other device does not take this code", "hint": "look"}}
    page = open_page("#/pair", answers(device__join=wrong))
    page.get_by_label("Code", exact=True).fill("1")
    page.get_by_label("Code", exact=True).press("Enter")
    expect(page.get_by_text("the other device does not take this code: look")).to_be_visible()


def test_a_device_that_is_alone_is_offered_to_pair(open_page: Open) -> None:  # R6
    page = open_page("#/", answers(peer__watch=[peer("laptop", self=True)]))
    offered = page.get_by_role("main").get_by_role("link", name="Pair a device")
    expect(offered).to_be_visible()
    tell(page, "peer.changed", {"changed": [peer("desk")]})
    expect(offered).to_be_hidden()


# --- settings --------------------------------------------------------------------------------------------------------


def test_another_language_is_spoken_at_once_and_kept(open_page: Open) -> None:
    page = open_page("#/settings", answers())
    page.get_by_label("Language").select_option("日本語")
    expect(page.locator("html")).to_have_attribute("lang", "ja")
    expect(page.get_by_role("combobox").first).to_be_focused()
    assert asked(page, "page.keep")[-1] == {"name": "settings", "value": {"locale": "ja"}}
    page.get_by_role("combobox").first.select_option("")
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_a_language_that_another_tab_chose_is_spoken(open_page: Open) -> None:
    page = open_page("#/settings", answers(page__keep={"values": {"settings": {"locale": "en", "keys": False}}}))
    expect(page.get_by_role("checkbox").first).not_to_be_checked()
    page.evaluate("dispatchEvent(new StorageEvent('storage', {key: 'locale', newValue: 'ja'}))")
    expect(page.locator("html")).to_have_attribute("lang", "ja")
    page.get_by_role("checkbox").first.check()  # and is not taken back
    assert asked(page, "page.keep")[-1]["value"]["locale"] == "ja"
    expect(page.locator("html")).to_have_attribute("lang", "ja")


def test_single_keys_are_switched_off(open_page: Open) -> None:  # WCAG 2.1.4
    page = open_page("#/settings", answers())
    page.get_by_label("Single-key shortcuts").uncheck()
    page.get_by_role("heading", level=1).click()
    page.keyboard.press("n")
    expect(page.get_by_role("heading", level=1)).to_have_text("Settings")


def test_logging_out_is_asked_first(open_page: Open) -> None:
    page = open_page("#/settings", answers(page__logout={"logins": 1}))
    page.get_by_role("button", name="Log out").click()
    assert asked(page, "page.logout") == []
    page.get_by_role("dialog").get_by_role("button", name="Log out").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert asked(page, "page.logout") == [{}]


# --- lost and found --------------------------------------------------------------------------------------------------


def state(page: Page, name: str, detail: Any = None) -> None:
    page.evaluate("([name, detail]) => service.onState(name, detail)", [name, detail])


def stop_clock(page: Page) -> None:
    page.clock.install(time="2026-01-01T12:00:00Z")
    page.clock.pause_at("2026-01-01T12:00:30Z")


def test_a_service_that_does_not_answer_is_told_after_a_second_and_until_it_is_back(open_page: Open) -> None:
    page = open_page("#/", answers())
    stop_clock(page)
    state(page, "lost", {"since": 0, "impostor": False})
    line = page.locator(".lost .line")
    page.clock.run_for(900)
    expect(line).to_have_text("")
    page.clock.run_for(200)
    expect(line).to_have_text("The service on this device does not answer. Trying again.")
    state(page, "ready")
    page.clock.run_for(50)
    expect(line).to_have_text("")
    expect(page.locator("[aria-live=polite].unseen")).to_have_text("The service is back.")


def test_what_comes_back_at_once_is_not_told(open_page: Open) -> None:
    page = open_page("#/", answers())
    stop_clock(page)
    state(page, "lost")
    page.clock.run_for(500)
    state(page, "ready")
    page.clock.run_for(2000)
    expect(page.locator(".lost .line")).to_have_text("")


def test_something_else_at_the_port_is_called_that(open_page: Open) -> None:  # T8
    page = open_page("#/", answers())
    state(page, "lost", {"since": 0, "impostor": True})
    expect(page.locator(".lost .line")).to_contain_text("Something else answers in place of the service")


def test_whoever_is_not_logged_in_is_told_how(open_page: Open) -> None:
    page = open_page("#/", answers(), viewport={"width": 360, "height": 640})
    state(page, "refused")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    expect(page.get_by_text("agent page", exact=True)).to_be_visible()
    expect(page.get_by_label("Or a code")).to_be_visible()
    state(page, "ready")
    expect(page.get_by_role("heading", name="Log in")).to_be_hidden()


def test_on_a_phone_the_line_is_above_the_list(open_page: Open) -> None:
    page = open_page("#/", answers(), viewport={"width": 360, "height": 640})
    state(page, "lost")
    line = page.locator(".lost .line")
    expect(line).to_contain_text("does not answer")
    box, side = line.bounding_box(), page.locator("#side").bounding_box()
    assert box is not None
    assert side is not None
    assert side["y"] == pytest.approx(box["y"] + box["height"], abs=1)
    assert side["y"] + side["height"] == pytest.approx(640, abs=1)


def test_a_title_of_a_session_may_be_anything(open_page: Open) -> None:  # T10
    page = open_page("#/pair", answers(session__watch=[session("x", "<b>x</b>", local=True)]))
    expect(page.locator("option", has_text="<b>x</b>")).to_have_count(1)
