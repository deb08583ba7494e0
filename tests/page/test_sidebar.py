"""The sidebar, a session's menu and the form for a new one, in a browser and without a service."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.device

Open = Callable[..., Page]


def session(name: str, title: str, at: int = 0, *, device: str = "desk", local: bool = False, **more: Any) -> Any:
    return {
        "id": name,
        "title": title,
        "status": "idle",
        "device": {"id": device, "name": device},
        "local": local,
        "attachable": True,
        "backend": "shell",
        "updated_at": f"2026-01-01T00:00:{at:02}.000Z",
        **more,
    }


def peer(name: str, **more: Any) -> dict[str, Any]:
    told = {"self": False, "state": "online", "paired": True, "addresses": [], "port": 0, "reason": ""}
    role = "member" if more.get("paired", not more.get("self")) else ""
    return {"id": name, "name": name, "role": role, **told, **more}


NOTES = session("notes", "Notes", 1, device="laptop", local=True)
BUILD = session("build", "Build the wire", 3, status="needs-input", question="Run `rm -r build`?")
LOGS = session("logs", "", 2, status="dreaming", share="read-only", device="pi")
OLD = session("old", "Old plans", 0, device="office", away=True)
PEERS = [
    peer("laptop", self=True),
    peer("desk"),
    peer("pi"),
    peer("office", state="offline", since="2026-01-01T14:02:00.000Z"),
    peer("den", reason="does not accept this device (unpaired or revoked)"),
]
BACKENDS = [
    {"name": "shell", "kind": "shell", "description": "a shell", "ready": True, "default": True},
    {"name": "codex", "kind": "acp", "description": "Codex", "ready": False, "default": False},
]


def answers(*rows: Any, peers: Any = PEERS, **more: Any) -> dict[str, Any]:
    return {"session.watch": list(rows), "peer.watch": peers, "gateway.status": {}, "page.keep": {}, **more}


def titles(part: Locator) -> list[str]:
    # Not `inner_text`: that of a row is empty until its first frame (`content-visibility: auto`).
    return part.locator("li:visible .title").all_text_contents()


def tell(page: Page, method: str, params: Any) -> None:
    page.evaluate("([method, params]) => service.tell(method, params)", [method, params])


def asked(page: Page, method: str) -> list[Any]:
    found: list[Any] = page.evaluate(
        "(method) => service.asked.filter((each) => each.method === method).map((each) => each.params)", method
    )
    return found


def entries(page: Page, title: str) -> list[str]:
    page.get_by_role("button", name=f"Actions for {title}").focus()
    page.keyboard.press("Enter")
    return page.get_by_role("menuitem").all_inner_texts()


def test_sessions_of_other_devices_have_a_section_of_their_own(open_page: Open) -> None:  # R4, R7
    page = open_page(answers=answers(LOGS, BUILD, NOTES))
    expect(page.get_by_role("heading", level=2)).to_have_text(["On this device", "Live on other devices"])
    assert titles(page.get_by_role("region", name="On this device")) == ["Notes"]
    remote = page.get_by_role("region", name="Live on other devices")
    assert titles(remote) == ["Build the wire", "Untitled session"]
    expect(remote.get_by_role("button", name="Build the wire").first).to_contain_text("Run `rm -r build`?")
    expect(remote.locator("li[data-id=logs] .under")).to_have_text("pi · shell")
    expect(remote.locator("li[data-id=logs]").get_by_role("img", name="idle")).to_be_visible()


def test_without_a_session_elsewhere_there_is_no_section(open_page: Open) -> None:  # R6
    page = open_page(answers=answers(NOTES, peers=[peer("laptop", self=True)]))
    expect(page.get_by_role("heading", level=2)).to_have_text(["On this device"])
    tell(page, "session.changed", {"changed": [BUILD]})
    expect(page.get_by_role("heading", level=2)).to_have_text(["On this device", "Live on other devices"])
    tell(page, "session.changed", {"removed": ["build"]})
    expect(page.get_by_role("heading", level=2)).to_have_text(["On this device"])


def test_a_device_that_is_away_folds_with_its_sessions_and_says_since_when(open_page: Open) -> None:  # R12, R14
    page = open_page(answers=answers(NOTES, OLD))
    away = page.locator(".away")
    expect(away.locator("summary")).to_have_text("office is offline since 1 Jan, 14:02: 1 session")
    expect(away.get_by_text("Old plans")).to_be_hidden()
    away.locator("summary").click()
    expect(away.get_by_text("Old plans")).to_be_visible()
    expect(page.get_by_text("den does not accept this device")).to_be_visible()


def test_a_new_session_is_offered_on_each_device_that_can_have_one(open_page: Open) -> None:  # R8
    page = open_page(answers=answers())
    links = page.locator(".fresh a")
    expect(links).to_have_text(["New session", "New session on desk", "New session on pi"])
    expect(page.locator("#side").get_by_text("No sessions yet")).to_be_visible()


def test_a_filter_leaves_what_fits_and_says_when_nothing_does(open_page: Open) -> None:
    page = open_page(answers=answers(NOTES, BUILD, LOGS, OLD))
    expect(page.get_by_text("Notes")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("wire")
    assert titles(page.locator("#side")) == ["Build the wire"]
    page.get_by_role("searchbox").fill("plans")
    assert titles(page.locator("#side")) == ["Old plans"]
    page.get_by_role("searchbox").fill("<b>")
    expect(page.get_by_text("Nothing here is called “<b>”.")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="1 waits for you").click()
    assert titles(page.locator("#side")) == ["Build the wire"]
    expect(page.get_by_text("office is offline")).to_have_count(0)


def test_the_arrows_move_from_row_to_row_and_one_row_is_in_the_order_of_tab(open_page: Open) -> None:
    page = open_page(answers=answers(NOTES, BUILD, LOGS))
    expect(page.locator("li[data-id]")).to_have_count(3)
    page.get_by_role("searchbox").focus()
    reached = []
    for key in ("ArrowDown", "ArrowDown", "End", "ArrowUp", "Home", "ArrowRight"):
        page.keyboard.press(key)
        reached.append(page.evaluate("document.activeElement.parentNode.dataset.id"))
    assert reached == ["notes", "build", "logs", "build", "notes", "notes"]
    expect(page.locator('li .row[tabindex="0"]')).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.get_by_role("menu", name="Actions for Notes")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Actions for Notes")).to_be_focused()


def test_a_menu_offers_what_the_rights_allow(open_page: Open) -> None:
    page = open_page(answers=answers({**NOTES, "status": "ended"}, BUILD, LOGS))
    assert entries(page, "Notes") == ["Pin", "Rename", "Share", "Start again", "Close session", "Delete transcript"]
    page.keyboard.press("Escape")
    assert entries(page, "Build the wire") == ["Pin", "Rename", "Close session"]
    page.keyboard.press("Escape")
    assert entries(page, "Untitled session") == ["Pin"]


def test_a_rename_that_is_refused_stays_open_and_says_why(open_page: Open) -> None:
    refused = {"error": {"kind": "read-only", "message": "desk may be watched only", "hint": "ask its owner"}}
    page = open_page(answers=answers(BUILD, **{"session.rename": refused}))
    assert "Rename" in entries(page, "Build the wire")
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_label("Title").fill("Wire")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("desk may be watched only: ask its owner")
    assert asked(page, "session.rename") == [{"session_id": "build", "title": "Wire", "wait": 5}]


def test_a_title_that_is_too_long_is_not_cut_without_a_word(open_page: Open) -> None:
    page = open_page(
        answers=answers(
            BUILD, **{"session.rename": {}, "backend.list": BACKENDS, "session.create": {"session_id": "s2"}}
        )
    )
    page.get_by_role("button", name="Actions for Build the wire").click()
    page.get_by_role("menuitem", name="Rename").click()
    for title, dialog in (("\N{BUG}" * 121, page.get_by_role("dialog")), ("x" * 500, page.locator("main form"))):
        field = dialog.get_by_label("Title")
        field.fill(title)
        assert field.input_value() == title
        said = field.evaluate("(node) => node.validationMessage")
        assert said == f"{len(title)} characters: there is room for 120."
        dialog.locator(".primary").click()
        expect(field).to_be_focused()
        page.keyboard.press("Escape")
        page.evaluate("location.hash = '#/new'")
    assert asked(page, "session.rename") == asked(page, "session.create") == []
    page.get_by_label("Title (optional)").fill("\N{BUG}" * 120)
    page.get_by_role("button", name="Start session").click()
    page.wait_for_url("**/#/s/s2")
    assert asked(page, "session.create")[0]["title"] == "\N{BUG}" * 120


def test_ones_own_windows_are_not_counted_as_somebody_who_watches(open_page: Open) -> None:
    own = {"device": "own", "name": "laptop", "count": 2}
    rows = [
        session("alone", "Alone", participants=[own]),
        session("two", "Two", participants=[own, {"device": "pi", "name": "pi", "count": 1}]),
    ]
    page = open_page(answers=answers(*rows))
    expect(page.get_by_role("button", name="Alone").first.locator(".marks")).to_have_text("")
    expect(page.get_by_role("button", name="Two").first.locator(".marks")).to_have_text("\N{MULTIPLICATION SIGN}3")


def test_a_session_that_has_ended_is_started_again_as_another_one(open_page: Open) -> None:
    ended = {**BUILD, "status": "ended"}
    page = open_page(answers=answers(ended, **{"session.restart": {"session_id": "again"}}))
    assert entries(page, "Build the wire") == ["Pin", "Rename", "Start again", "Close session"]
    page.get_by_role("menuitem", name="Close session").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()  # what destroys is meant
    page.keyboard.press("Enter")
    assert asked(page, "session.close") == []
    entries(page, "Build the wire")
    page.get_by_role("menuitem", name="Start again").click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Start again")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/#/s/again")
    assert asked(page, "session.restart") == [{"session_id": "build", "wait": 0}]


def test_sessions_that_were_closed_are_asked_for_when_somebody_looks(open_page: Open) -> None:
    mine = session("mine", "Mine", 1, local=True, status="ended", closed=True, attachable=False)
    past = {"sessions": [mine, {**BUILD, "status": "ended", "attachable": False, "closed": True}]}
    unreached = [{"device": {"id": "pi", "name": "pi"}, "reason": "no answer"}]
    page = open_page(answers=answers(NOTES, **{"session.past": {**past, "unreached": unreached}}))
    expect(page.get_by_text("Notes")).to_be_visible()
    assert asked(page, "session.past") == []
    page.get_by_text("Ended sessions").click()
    over = page.locator(".past details")
    expect(over.locator(".title")).to_have_text(["Mine", "Build the wire"])
    expect(over.get_by_role("status")).to_have_text("Incomplete without pi.")
    assert entries(page, "Mine") == ["Share", "Start again", "Delete transcript"]
    page.keyboard.press("Escape")
    assert entries(page, "Build the wire") == ["Start again"]
    page.keyboard.press("Escape")
    tell(page, "session.changed", {"removed": ["notes"]})
    expect(page.get_by_text("Notes")).to_have_count(0)
    assert len(asked(page, "session.past")) == 2  # it may be the one that was closed


def test_what_was_said_is_searched_on_all_devices(open_page: Open) -> None:
    desk = {"id": "desk", "name": "desk"}
    found = {"excerpt": "🦀 the wire <b>", "marks": [[6, 10]], "at": "2026-01-01T00:00:00.000Z"}
    hit = {"session_id": "old", "title": "Old plans", "device": desk, "seq": 3, "type": "message.user", **found}
    page = open_page(answers=answers(NOTES, **{"session.search": {"hits": [hit], "indexing": ["pi"]}}))
    expect(page.get_by_text("Notes")).to_be_visible()
    page.get_by_role("searchbox").fill("wire")
    expect(page.get_by_text("Nothing here is called “wire”.")).to_be_visible()
    page.keyboard.press("Enter")  # no row fits
    shown = page.get_by_role("button", name="Old plans")
    expect(shown.locator(".excerpt")).to_have_text("🦀 the wire <b>")
    expect(shown.locator("mark")).to_have_text("wire")
    expect(page.get_by_text("Incomplete without pi.")).to_be_visible()
    assert asked(page, "session.search") == [{"text": "wire", "scope": "all", "limit": 50}]
    page.get_by_role("searchbox").fill("wires")
    expect(shown).to_have_count(0)
    page.get_by_role("searchbox").fill("wire")
    page.get_by_role("button", name="Search transcripts for “wire”").click()
    shown.click()
    page.wait_for_url("**/#/s/old/3")  # where it was said


def test_a_search_that_finds_nothing_or_fails_says_so(open_page: Open) -> None:
    refused = {"error": {"kind": "bad-params", "message": "nothing to search for", "hint": "give a word"}}
    page = open_page(answers=answers(NOTES, **{"session.search": refused}))
    page.get_by_role("searchbox").fill("?")
    page.keyboard.press("Enter")
    expect(page.get_by_text("nothing to search for: give a word")).to_be_visible()
    page.evaluate("service.answers['session.search'] = {hits: []}")
    page.get_by_role("searchbox").fill("wire")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Found nowhere.")).to_be_visible()


def test_a_pinned_session_stands_above_the_others_and_is_kept(open_page: Open) -> None:
    page = open_page(answers=answers(NOTES, BUILD))
    assert entries(page, "Build the wire")[0] == "Pin"
    page.get_by_role("menuitem", name="Pin").click()
    expect(page.get_by_role("heading", level=2)).to_have_text(["Pinned", "On this device"])
    assert titles(page.get_by_role("region", name="Pinned")) == ["Build the wire"]
    assert asked(page, "page.keep")[1:] == [{"name": "pins", "value": ["build"]}]
    assert entries(page, "Build the wire")[0] == "Unpin"
    page.get_by_role("menuitem", name="Unpin").click()
    expect(page.get_by_role("heading", level=2)).to_have_text(["On this device", "Live on other devices"])
    assert titles(page.locator("#side")) == ["Notes", "Build the wire"]


def test_a_new_session_on_a_device_is_started_there_and_opened(open_page: Open) -> None:
    made = {"session_id": "fresh"}
    page = open_page("#/new/desk", answers(NOTES, **{"backend.list": BACKENDS, "session.create": made}))
    expect(page.get_by_label("Program")).to_have_value("shell")
    expect(page.get_by_role("combobox", name="Device", exact=True)).to_have_value("desk")
    page.get_by_label("Folder", exact=True).fill("~/src")
    page.get_by_label("Title").fill("Try it")
    page.get_by_role("button", name="Start session").click()
    page.wait_for_url("**/#/s/fresh")
    wanted = {"device": "desk", "backend": "shell", "title": "Try it", "cwd": "~/src"}
    assert asked(page, "session.create") == [wanted]


@pytest.mark.parametrize(("chosen", "wanted"), [("zsh", None), ("bash", "bash")])
def test_a_shell_may_be_another_one_than_ones_own(open_page: Open, chosen: str, wanted: str | None) -> None:
    shell = {**BACKENDS[0], "shells": ["zsh", "bash"]}
    made = {"backend.list": [shell, {**BACKENDS[1], "ready": True}], "session.create": {"session_id": "fresh"}}
    page = open_page("#/new", answers(NOTES, **made))
    shells = page.get_by_role("combobox", name="Shell", exact=True)
    expect(shells).to_have_value("")  # one's own, which stands first
    page.get_by_label("Program").select_option("codex")
    expect(shells).to_be_hidden()
    page.get_by_label("Program").select_option("shell")
    shells.select_option(label=chosen)
    page.get_by_label("Title").fill("Try it")
    page.get_by_role("button", name="Start session").click()
    page.wait_for_url("**/#/s/fresh")
    assert asked(page, "session.create")[0].get("shell") == wanted


def test_another_device_can_be_chosen_for_what_was_typed(open_page: Open) -> None:
    # Back then leads out of the form, however many devices were looked at.
    there = session("there", "There", device="desk", short_cwd="~/src")
    made = {"session_id": "fresh"}
    page = open_page(answers=answers(NOTES, there, **{"backend.list": BACKENDS, "session.create": made}))
    page.get_by_role("link", name="New session", exact=True).last.click()
    page.get_by_label("Title (optional)").fill("Typed")
    expect(page.get_by_role("combobox", name="Other devices")).to_be_visible()
    for device in ("pi", "desk"):
        page.get_by_role("combobox", name="Device", exact=True).select_option(label=device)
        expect(page).to_have_url(re.compile(f"#/new/{device}$"))
    expect(page.get_by_role("combobox", name="Other devices")).to_be_hidden()
    expect(page.get_by_label("Title (optional)")).to_have_value("Typed")
    assert page.locator("datalist").evaluate("(node) => [...node.options].map((each) => each.value)") == ["~/src"]
    assert [each["device"] for each in asked(page, "backend.list")] == ["", "pi", "desk"]
    page.go_back()
    expect(page.get_by_role("heading", name="Choose a session")).to_be_visible()
    page.go_forward()
    expect(page.get_by_label("Title (optional)")).to_have_value("Typed")
    page.get_by_role("button", name="Start session").click()
    expect(page).to_have_url(re.compile("#/s/fresh$"))
    page.go_back()
    expect(page.get_by_role("heading", name="Choose a session")).to_be_visible()


def test_a_program_that_is_not_ready_says_why(open_page: Open) -> None:
    lacking = {**BACKENDS[1], "missing": "codex is not installed", "hint": "npm install -g @openai/codex"}
    page = open_page("#/new", answers(NOTES, **{"backend.list": [BACKENDS[0], lacking]}))
    page.get_by_label("Program").select_option("codex")
    expect(page.get_by_text("codex is not installed: npm install -g @openai/codex")).to_be_visible()
    expect(page.get_by_role("button", name="Start session")).to_be_disabled()


@pytest.mark.parametrize("width", [320, 360, 1280, 2560])
def test_nothing_overflows_the_window_and_the_list_scrolls_in_itself(open_page: Open, width: int) -> None:
    long = "Refactor a very long title that must not break the layout of the sidebar at any width 修复登录问题"
    rows = [session(f"s{each}", long, each, participants=[{"device": "x", "count": 30}]) for each in range(40)]
    page = open_page(answers=answers(*rows), viewport={"width": width, "height": 700})
    expect(page.locator("li[data-id]")).to_have_count(40)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.documentElement.scrollHeight") == 700
    high, shown = page.locator(".rows").evaluate("(node) => [node.scrollHeight, node.clientHeight]")
    assert high > shown
    foot = page.get_by_role("link", name="Settings").bounding_box()
    assert foot is not None
    assert foot["y"] + foot["height"] <= 700


def test_on_a_narrow_window_list_and_pane_are_two_screens(open_page: Open) -> None:
    page = open_page("#/new", answers(NOTES, **{"backend.list": BACKENDS}), viewport={"width": 360, "height": 700})
    expect(page.locator("#side")).to_be_hidden()
    expect(page.get_by_role("heading", level=1)).to_have_text("New session")
    page.get_by_role("link", name="Back to the sessions").click()
    expect(page.get_by_text("Notes", exact=True)).to_be_visible()
    page.go_back()
    expect(page.locator("#side")).to_be_hidden()


def test_the_way_back_on_a_narrow_window_is_the_way_one_came(open_page: Open) -> None:
    rows = [session(f"s{each}", f"Row {each}", each) for each in range(30)]
    page = open_page(answers=answers(*rows), viewport={"width": 360, "height": 700})
    row = page.locator("li[data-id=s3] .row")
    row.click()
    expect(page.locator("#side")).to_be_hidden()
    length = page.evaluate("history.length")
    for _ in range(2):
        page.get_by_role("link", name="Back to the sessions").click()
        expect(row).to_be_focused()
        expect(row).to_be_in_viewport()
        row.click()
        expect(page.locator("#side")).to_be_hidden()
    assert page.evaluate("history.length") == length
    page.locator("main").focus()
    page.keyboard.press("k")  # the row above, though the list is out of sight
    expect(page.get_by_role("heading", level=1)).to_have_text("Row 4")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()


def test_who_is_alone_is_offered_to_pair(open_page: Open) -> None:
    page = open_page(answers=answers(peers=[peer("laptop", self=True), peer("den", paired=False)]))
    expect(page.locator(".fresh a")).to_have_text(["New session", "Pair a device"])
    expect(page.locator("main")).to_be_focused()  # there is no row
    expect(page.locator("main").get_by_role("link", name="Pair a device")).to_be_visible()
    tell(page, "peer.changed", {"changed": [peer("desk")]})
    expect(page.locator(".fresh a")).to_have_text(["New session", "New session on desk"])
    expect(page.locator("main").get_by_role("link", name="Pair a device")).to_be_hidden()


def test_shortcuts_are_listed_and_never_work_in_a_field(open_page: Open) -> None:
    page = open_page(answers=answers(NOTES))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("searchbox").focus()
    page.keyboard.type("n?")
    expect(page.get_by_role("searchbox")).to_have_value("n?")
    assert page.evaluate("location.hash") in {"", "#/"}


def test_sessions_are_walked_through_and_one_is_opened_to_write(open_page: Open) -> None:
    page = open_page(answers=answers(NOTES, BUILD, LOGS))
    expect(page.locator("li[data-id]")).to_have_count(3)
    row = page.locator("li[data-id=logs] .row")
    for _ in range(3):
        page.keyboard.press("j")
    expect(row).to_have_attribute("aria-current", "page")
    expect(row).to_be_focused()
    box = page.locator("#message")
    expect(box).to_have_value("")
    page.keyboard.press("k")
    expect(page).to_have_url(re.compile("#/s/build$"))
    page.keyboard.press("j")
    expect(page).to_have_url(re.compile("#/s/logs$"))
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(box).to_be_focused()
    page.locator("li[data-id=notes] .row").click()
    expect(box).to_be_focused()


def test_a_title_from_right_to_left_stays_beside_its_symbol(open_page: Open) -> None:
    page = open_page(answers=answers({**NOTES, "title": "שלום עולם"}, BUILD))
    gap = """(node) => {
      const text = document.createRange();
      text.selectNodeContents(node);
      return text.getBoundingClientRect().left - node.getBoundingClientRect().left;
    }"""
    assert page.locator("li[data-id=notes] .title").evaluate(gap) == pytest.approx(0, abs=1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("vim  notes.md ", ["vim", "notes.md"]),
        ("tail -f 'a b' | less", ["sh", "-c", "tail -f 'a b' | less"]),
        ("~/bin/run", ["sh", "-c", "~/bin/run"]),
        (" ", None),
    ],
)
def test_a_terminal_is_given_a_command(open_page: Open, line: str, words: list[str] | None) -> None:
    terminal = {**BACKENDS[1], "name": "tty", "kind": "terminal", "description": "any: `agent attach`", "ready": True}
    made = {"backend.list": [BACKENDS[0], terminal], "session.create": {"session_id": "fresh"}}
    page = open_page("#/new", answers(NOTES, **made))
    command = page.get_by_label("Command (optional)")
    expect(page.get_by_label("Program")).to_have_value("shell")
    expect(command).to_be_hidden()
    page.get_by_label("Program").select_option("tty")
    expect(page.locator(".about code")).to_have_text(["agent attach", "vim notes.md"])
    command.fill(line)
    page.get_by_role("button", name="Start session").click()
    page.wait_for_url("**/#/s/fresh")
    assert asked(page, "session.create")[0].get("command") == words
