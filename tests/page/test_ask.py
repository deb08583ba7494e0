"""What the open session asks, in a browser and without a service: docked, answered once, everybody sees whose (S9)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from playwright.sync_api import Locator, Page, expect

from agent.adapters.backends.acp.questions import AgentQuestions
from agent.protocol.jsonrpc import Request
from tests.page.test_sidebar import answers, asked, session, tell

pytestmark = pytest.mark.device

Open = Callable[..., Page]
ROW = session("build", "Build the wire", 3, status="needs-input")
ALLOW = [
    {"id": "always", "name": "Always allow", "kind": "allow_always"},
    {"id": "once", "name": "Allow once", "kind": "allow_once"},
    {"id": "no", "name": "Deny", "kind": "reject_once"},
]
SETTLED = 500  # ms after which a click is meant


def request(name: str = "r1", kind: str = "choices", **more: Any) -> dict[str, Any]:
    return {"turn": 1, "request_id": name, "kind": kind, "prompt": "Run `rm -r build`?", **more}


def attached(*requests: Any, seq: int = 5, **more: Any) -> dict[str, Any]:
    snapshot = {"session": ROW, "events": [], "truncated": False}
    return {"session_id": "build", "epoch": "e", "seq": seq, "snapshot": snapshot, "requests": list(requests), **more}


def opened(open_page: Open, *requests: Any, told: Any = None, row: Any = ROW, **options: Any) -> Page:
    given = {"session.attach": attached(*requests), "request.answer": told or {"status": "accepted"}}
    page = open_page("#/s/build", answers(row, **given), **options)
    if requests:
        page.locator(".ask-card form").wait_for()
        page.wait_for_timeout(SETTLED)
    return page


def happens(page: Page, seq: int, what: str, **payload: Any) -> None:
    tell(
        page,
        "event",
        {"session_id": "build", "seq": seq, "type": what, "payload": payload, "at": "2026-01-01T00:00:00Z"},
    )


def dock(page: Page) -> Locator:
    return page.get_by_role("region", name="Question")


def given(page: Page) -> list[Any]:
    return [each["answer"] for each in asked(page, "request.answer")]


def test_choices_are_buttons_with_what_allows_once_first(open_page: Open) -> None:
    page = opened(open_page, request(choices=ALLOW, detail="rm -r build"))
    assert page.locator(".ask-choices button").all_inner_texts() == ["Allow once", "Always allow", "Deny"]
    expect(page.locator(".ask-detail")).to_have_text("rm -r build")
    page.get_by_role("button", name="Deny").click()
    expect(page.locator(".ask")).to_be_hidden()
    assert asked(page, "request.answer") == [
        {"session_id": "build", "request_id": "r1", "answer": "no", "client": "page"}
    ]


def test_a_click_that_was_meant_for_what_stood_there_before_answers_nothing(open_page: Open) -> None:
    page = opened(open_page)
    happens(page, 6, "request.open", **request(choices=ALLOW))
    page.locator(".ask-choices button").first.dispatch_event("click")
    assert given(page) == []
    page.wait_for_timeout(SETTLED)
    page.locator(".ask-choices button").first.dispatch_event("click")
    expect(page.locator(".ask")).to_be_hidden()
    assert given(page) == ["once"]


def test_long_choices_are_rows_that_say_what_they_mean_and_own_words_go_with_them(open_page: Open) -> None:
    many = [{"id": str(number), "name": f"{number}: " + "a long name " * 4} for number in range(20)]
    many[7]["description"] = "what it means"
    page = opened(open_page, request(choices=many, own_words=True))
    page.get_by_role("button", name="Answer").click()
    expect(page.get_by_role("alert").filter(has_text="Choose one")).to_be_visible()
    page.get_by_role("button", name="what it means").click()
    assert given(page) == ["7"]
    happens(page, 6, "request.closed", turn=1, request_id="r1", status="answered", answer="7")
    happens(page, 7, "request.open", **request("r2", choices=many, own_words=True))
    page.get_by_label("Your own words").fill("none of these")
    page.wait_for_timeout(SETTLED)
    page.keyboard.press("Enter")
    assert given(page) == ["7", "none of these"]


def test_a_question_says_with_what_and_where_it_would_be_done(open_page: Open) -> None:
    places = [{"path": f"src/{number}.py", "line": number} for number in range(7)]
    page = opened(open_page, request(choices=ALLOW, tool_name="Bash", cwd="/src/build", locations=places))
    expected = "Bash · /src/build · src/0.py · src/1.py:1 · src/2.py:2 · src/3.py:3 · src/4.py:4 · +2"
    expect(page.locator(".ask-scroll")).to_contain_text(expected)


def test_whoever_comes_too_late_is_told_who_was_first(open_page: Open) -> None:  # S9
    told = {"status": "already-answered", "by": {"device": "pi", "name": "pi-kitchen"}, "answer": "once"}
    page = opened(open_page, request(choices=ALLOW), told=told)
    page.get_by_role("button", name="Deny").click()
    expect(dock(page).get_by_text("pi-kitchen answered first: Allow once")).to_be_visible()


def test_everybody_sees_whose_answer_it_was_and_what_was_begun_is_not_lost(open_page: Open) -> None:  # S9
    page = opened(open_page, request(choices=ALLOW, own_words=True))
    page.get_by_label("Your own words").fill("only the folder dist")
    by = {"device": "pi", "name": "pi-kitchen", "client": "attach"}
    happens(page, 6, "request.closed", turn=1, request_id="r1", status="answered", answer="once", by=by)
    notice = page.locator(".ask-notice")
    expect(notice).to_contain_text("pi-kitchen (attach) answered: Allow once")
    expect(notice).to_contain_text("only the folder dist")
    notice.get_by_role("button", name="Close").click()
    expect(page.locator(".ask")).to_be_hidden()


def test_what_was_begun_is_given_back_though_another_session_was_open_when_it_ended(open_page: Open) -> None:  # S9
    page = opened(open_page, request(choices=ALLOW, own_words=True))
    page.get_by_label("Your own words").fill("only the folder dist")
    page.evaluate("location.hash = '#/settings'")
    expect(page.locator(".ask")).to_have_count(0)
    closed = {
        "turn": 1,
        "request_id": "r1",
        "status": "answered",
        "answer": "once",
        "by": {"device": "pi", "name": "pi"},
    }
    event = {"seq": 6, "type": "request.closed", "payload": closed, "at": "2026-01-01T00:00:00Z"}
    now = attached(seq=6)
    now["snapshot"]["events"] = [event]
    page.evaluate("(now) => { service.answers['session.attach'] = now }", now)
    page.go_back()
    expect(page.locator(".ask-notice")).to_contain_text("Yours was not sent: only the folder dist")


def test_the_own_answer_is_no_news_though_the_log_tells_it_first(open_page: Open) -> None:  # S9
    page = opened(open_page, request(choices=ALLOW, own_words=True))
    page.evaluate("""() => {
      const call = service.call.bind(service);
      service.call = async (method, params) => {
        if (method === "request.answer") await new Promise((resolve) => { globalThis.goOn = resolve; });
        return call(method, params);
      };
    }""")
    page.get_by_label("Your own words").fill("only dist")
    page.keyboard.press("Enter")
    by = {"device": "own", "name": "laptop", "client": "page"}
    happens(page, 6, "request.closed", turn=1, request_id="r1", status="answered", answer="only dist", by=by)
    expect(page.locator(".ask")).to_be_hidden()
    page.evaluate("goOn()")
    expect(page.locator(".unseen[aria-live]")).to_have_text("Answered")
    expect(page.locator(".ask")).to_be_hidden()


def test_an_answer_that_waits_for_a_device_out_of_reach_says_so(open_page: Open) -> None:
    page = opened(open_page, request(choices=ALLOW))
    page.evaluate("() => { service.insist = () => new Promise((resolve) => { globalThis.goOn = resolve; }); }")
    page.get_by_role("button", name="Deny").click()
    state = page.locator(".ask-card form > .ask-state")
    expect(state).to_have_text("Sending…")
    tell(page, "peer.lost", {"name": "desk", "sessions": ["build"]})
    expect(state).to_have_text("Sent as soon as desk is back.")
    tell(page, "peer.back", {"name": "desk", "sessions": ["build"]})
    expect(state).to_have_text("Sending…")
    tell(page, "session.changed", {"changed": [{**ROW, "stale": True}]})
    expect(state).to_have_text("Sent as soon as desk is back.")
    page.evaluate("goOn({status: 'accepted'})")
    expect(page.locator(".ask")).to_be_hidden()


def test_an_expired_question_says_why(open_page: Open) -> None:
    page = opened(open_page, request(choices=ALLOW))
    happens(page, 6, "request.closed", turn=1, request_id="r1", status="expired", reason="the turn was stopped")
    expect(dock(page).get_by_text("No longer asked: the turn was stopped")).to_be_visible()


def test_a_notice_gives_way_to_the_next_question(open_page: Open) -> None:
    page = opened(open_page, request(choices=ALLOW))
    happens(page, 6, "request.closed", turn=1, request_id="r1", status="expired")
    expect(page.locator(".ask-notice")).to_be_visible()
    happens(page, 7, "request.open", **request("r2", choices=ALLOW))
    expect(page.locator(".ask-notice")).to_be_hidden()


def test_a_refused_answer_can_be_given_again(open_page: Open) -> None:
    error = {"error": {"message": "the link broke", "hint": "try again", "kind": "peer-lost"}}
    page = opened(open_page, request(choices=ALLOW), told=error)
    page.get_by_role("button", name="Deny").click()
    expect(page.locator(".ask .wrong")).to_have_text("the link broke: try again")
    expect(page.get_by_role("button", name="Deny")).to_be_enabled()


def test_a_secret_is_hidden_and_kept_nowhere(open_page: Open) -> None:
    page = opened(open_page, request(kind="secret", prompt="Password:"))
    field = page.get_by_label("Secret")
    expect(field).to_have_attribute("type", "password")
    field.fill("hunter2")
    page.evaluate("service.onState('lost'); service.onState('ready')")
    assert "hunter2" not in page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
    page.keyboard.press("Enter")
    expect(page.locator(".ask")).to_be_hidden()
    assert given(page) == ["hunter2"]


def test_a_composition_answers_nothing(open_page: Open) -> None:
    page = opened(open_page, request(kind="line"))
    field = page.locator(".ask-line .field")
    field.fill("日本")
    enter = "new KeyboardEvent('keydown', {key: 'Enter', keyCode: 229, bubbles: true, cancelable: true})"
    assert not field.evaluate(f"(node) => node.dispatchEvent({enter})")  # Safari's, after the end; it would submit
    assert given(page) == []
    field.press("Enter")
    expect(page.locator(".ask-card")).to_be_hidden()
    assert given(page) == ["日本"]


def test_keys_are_typed_and_a_line_may_end_the_input(open_page: Open) -> None:
    page = opened(open_page, request(kind="keys"), request("r2", kind="line"))
    page.get_by_role("button", name="Esc").click()
    expect(page.get_by_role("button", name="End of input")).to_be_visible()
    page.wait_for_timeout(SETTLED)
    page.get_by_role("button", name="End of input").click()
    expect(page.locator(".ask")).to_be_hidden()
    assert given(page) == ["\x1b", "\x04"]


FORM = [
    {"name": "name", "title": "Name", "description": "As in the file", "required": True},
    {"name": "count", "type": "integer", "default": 3},
    {"name": "sure", "type": "boolean", "required": True},
    {"name": "fruit", "type": "choice", "choices": [{"id": "a", "name": "Apples"}, {"id": "b", "name": "Pears"}]},
    {
        "name": "more",
        "type": "choices",
        "choices": [{"id": "x", "name": "X"}, {"id": "y", "name": "Y"}],
        "own_words": True,
    },
    {
        "name": "way",
        "type": "choice",
        "choices": [{"id": "p", "name": "This", "description": "the short one"}, {"id": "q", "name": "That"}],
        "own_words": True,
    },
]


def test_a_form_is_checked_beside_its_fields_before_it_is_sent(open_page: Open) -> None:
    page = opened(open_page, request(kind="form", fields=FORM))
    page.get_by_role("button", name="Answer").click()
    name = page.get_by_role("textbox", name="Name")
    expect(name).to_be_focused()
    expect(name).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".ask-field").first).to_contain_text("This is needed.")
    name.fill("wire")
    expect(name).not_to_have_attribute("aria-invalid", "true")
    page.get_by_label("count").fill("7.5")
    page.get_by_role("button", name="Answer").click()
    expect(page.locator(".ask-field").nth(1)).to_contain_text("whole number")
    page.get_by_label("count").fill("7")
    page.get_by_label("sure").check()
    page.get_by_label("fruit").select_option("Pears")
    page.get_by_label("Y", exact=True).check()
    page.get_by_label("more: Your own words").fill("z")
    page.get_by_role("radio", name="This the short one").check()
    page.get_by_role("button", name="Answer").click()
    expect(page.locator(".ask")).to_be_hidden()
    assert given(page) == [{"name": "wire", "count": 7, "sure": True, "fruit": "b", "more": ["y", "z"], "way": "p"}]


def test_a_form_can_be_declined_as_it_is(open_page: Open) -> None:
    page = opened(open_page, request(kind="form", fields=FORM))
    page.get_by_role("button", name="Decline").click()
    expect(page.locator(".ask")).to_be_hidden()
    assert given(page) == ["decline"]


def test_an_address_to_be_opened_is_a_link_and_nothing_else_is(open_page: Open) -> None:
    page = opened(open_page, request(choices=ALLOW, detail="https://example.org/x?y=1"))
    link = page.locator("a.ask-detail")
    expect(link).to_have_attribute("href", "https://example.org/x?y=1")
    expect(link).to_have_attribute("rel", "noreferrer")
    for seq, detail in enumerate(("javascript:alert(1)", "https://example.org/ and more", "file:///etc/passwd"), 3):
        happens(page, 2 * seq, "request.closed", turn=1, request_id=f"r{seq - 2}", status="expired")
        happens(page, 2 * seq + 1, "request.open", **request(f"r{seq - 1}", choices=ALLOW, detail=detail))
        expect(page.locator("pre.ask-detail")).to_have_text(detail)


def test_of_several_questions_each_keeps_what_is_filled_in(open_page: Open) -> None:
    page = opened(open_page, request("r1", kind="line", prompt="One?"), request("r2", kind="line", prompt="Two?"))
    expect(page.locator(".ask-pager")).to_contain_text("1 of 2")
    page.get_by_label("Answer").fill("first")
    page.get_by_role("button", name="Next question").click()
    expect(page.locator(".ask h2")).to_have_text("Two?")
    page.get_by_role("button", name="Next question").click()
    expect(page.get_by_label("Answer")).to_have_value("first")


@pytest.mark.parametrize(
    ("row", "more", "words"),
    [({"share": "read-only"}, {}, "You may watch this session"), ({}, {"local": True}, "answered on desk only")],
)
def test_who_may_not_answer_is_told_so(open_page: Open, row: Any, more: Any, words: str) -> None:
    page = opened(open_page, request(choices=ALLOW, **more), row={**ROW, **row})
    expect(page.locator(".ask")).to_contain_text(words)
    assert page.get_by_role("button", name="Allow once").count() == 0


def test_the_focus_is_not_taken_and_a_key_leads_to_the_question(open_page: Open) -> None:
    page = opened(open_page)
    page.locator("#message").fill("half a mess")
    happens(page, 6, "request.open", **request(choices=ALLOW))
    page.locator(".ask-card form").wait_for()
    expect(page.locator("#message")).to_be_focused()
    page.keyboard.press("Alt+a")
    expect(page.get_by_role("button", name="Allow once")).to_be_focused()


def test_typing_goes_on_into_the_message_box_while_a_question_comes_up(open_page: Open) -> None:
    page = opened(open_page)
    box = page.locator("#message")
    expect(box).to_be_focused()
    happens(page, 6, "request.open", **request(kind="secret"))
    page.locator(".ask-card form").wait_for()
    expect(box).to_have_attribute("placeholder", "Answer above, or a message for later")
    page.keyboard.type("then")
    expect(box).to_have_value("then")


@pytest.mark.parametrize("kind", ["line", "secret", "keys"])
def test_who_answers_in_the_dock_goes_on_with_what_the_program_reads_next(open_page: Open, kind: str) -> None:
    page = opened(open_page, request(kind=kind))
    field = page.locator(".ask-line .field")
    page.keyboard.press("Alt+a")
    expect(field).to_be_focused()
    page.keyboard.type("Ada\n")
    expect(page.locator("#message")).to_be_focused()
    happens(page, 7, "request.open", **request("r2", kind=kind))
    expect(field).to_be_focused()
    page.locator("#message").click()
    happens(page, 8, "request.closed", turn=1, request_id="r2", status="expired")
    happens(page, 9, "request.open", **request("r3", kind=kind))
    expect(page.locator("#message")).to_be_focused()  # a person put it there
    assert given(page) == ["Ada"]


@pytest.mark.parametrize(
    ("width", "height", "more"),
    [
        (320, 480, ""),
        (320, 568, ""),
        (360, 640, " for all that follows, too"),
        (1280, 720, " words" * 20),
        (2560, 1440, ""),
    ],
)
def test_what_is_asked_and_the_ways_to_answer_are_always_in_sight(
    open_page: Open, width: int, height: int, more: str
) -> None:
    detail = "\n".join(f"line {number} " + "x" * 300 for number in range(300))
    choices = [{**choice, "name": choice["name"] + more} for choice in ALLOW]
    asks = request(choices=choices, prompt="A question", detail=detail, own_words=True)
    page = opened(open_page, asks, viewport={"width": width, "height": height})
    parts = ["#message", ".send", ".ask h2", ".head h1", ".ask-ways button >> nth=0", ".ask-ways button >> nth=1"]
    for part in (*parts, ".ask-ways button >> nth=2", ".ask-ways button >> nth=3", ".ask-line .field"):
        expect(page.locator(part)).to_be_in_viewport(ratio=1)
    scroll = page.locator(".ask-scroll")
    assert scroll.evaluate("(node) => node.scrollHeight > node.clientHeight")
    assert page.evaluate("document.documentElement.scrollWidth") == width


RECORDINGS = Path(__file__).parents[1] / "adapters" / "backends" / "acp" / "recordings"


def recorded(agent: str) -> list[dict[str, Any]]:
    """The questions that a real agent asked, as the service tells them; each one once."""
    questions = AgentQuestions()
    rows = [json.loads(line).get("<", {}) for line in (RECORDINGS / f"{agent}.jsonl").read_text().splitlines()]
    found = {}
    for row in rows:
        if row.get("method") == "session/request_permission":
            sent = Request(id=row["id"], method=row["method"], params=Raw(json.dumps(row["params"]).encode()))
            question = questions.ask(sent)
            assert question is not None
            found[question.asked.prompt] = {"turn": 1, **msgspec.to_builtins(question.asked)}
    return list(found.values())


@pytest.mark.parametrize("agent", ["claude", "codex", "gemini", "hermes", "opencode"])
def test_what_real_agents_ask_is_answered_at_one_glance(open_page: Open, agent: str) -> None:
    page = opened(open_page, viewport={"width": 360, "height": 640})
    questions = recorded(agent)
    assert questions
    for number, asks in enumerate(questions):
        happens(page, 6 + 2 * number, "request.open", **asks)
        expect(page.locator(".ask h2")).to_have_text(asks["prompt"])
        buttons = page.locator(".ask-choices button")
        names = [choice["name"] for choice in asks["choices"]]
        assert sorted(buttons.all_inner_texts()) == sorted(names)
        assert asks["choices"][names.index(buttons.first.inner_text())]["kind"] == "allow_once"
        for button in buttons.all():
            expect(button).to_be_in_viewport(ratio=1)
            assert button.evaluate("(node) => node.scrollHeight <= node.clientHeight")
        happens(page, 7 + 2 * number, "request.closed", turn=1, request_id=asks["request_id"], status="expired")
