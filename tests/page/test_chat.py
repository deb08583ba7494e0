"""The open session in a browser: its end in sight, older pages above, a scroll that is never taken from the reader."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.device

Open = Callable[..., Page]
Event = dict[str, Any]
LAPTOP = {"device": "own", "name": "laptop"}
PI = {"device": "pi", "name": "pi-kitchen"}
ROW = {
    "id": "s1", "title": "Build the wire", "status": "idle", "device": {"id": "desk", "name": "desk"}, "local": False,
    "attachable": True, "backend": "codex", "model": "m1", "created_at": "2027-01-15T07:00:00.000Z",
    "updated_at": "2027-01-15T08:00:00.000Z", "participants": [],
}  # fmt: skip
MEASURE = """() => {
  const {scrollTop, scrollHeight, clientHeight} = document.querySelector(".transcript");
  return {rest: Math.round(scrollHeight - clientHeight - scrollTop), scrolls: scrollHeight > clientHeight};
}"""
FIRST_READ = """() => {
  const edge = document.querySelector(".transcript").getBoundingClientRect().top;
  return [...document.querySelectorAll(".item")].find((node) => node.getBoundingClientRect().top > edge).textContent;
}"""
FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 20))))"


class Log:
    """The log of a session, written by hand."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, kind: str, /, **payload: Any) -> Event:
        seq = len(self.events) + 1
        at = f"2027-01-15T08:{seq // 60 % 60:02d}:{seq % 60:02d}.000Z"
        self.events.append({"session_id": "s1", "seq": seq, "type": kind, "payload": payload, "at": at})
        return self.events[-1]

    def turns(self, count: int) -> Log:
        for turn in range(1, count + 1):
            self.add("message.user", turn=turn, prompt_id=f"p{turn}", text=f"Prompt {turn}", sender=PI)
            self.add("message.start", turn=turn)
            self.add("message.complete", turn=turn, text=f"Reply {turn}.\n" * (1 + turn % 7), status="complete")
            self.add("turn.complete", turn=turn, status="complete")
        return self

    def attached(self, newest: int = 200, **row: Any) -> dict[str, Any]:
        events = self.events[-newest:]
        snapshot = {"session": ROW | row, "events": events, "truncated": len(events) < len(self.events)}
        return {"session_id": "s1", "epoch": "e1", "seq": len(self.events), "snapshot": snapshot}


def answers(log: Log, attached: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    result = attached or log.attached()
    return {
        "session.watch": [result["snapshot"]["session"]], "peer.watch": [], "gateway.status": {"id": "own"},
        "session.attach": result, "session.detach": {}, "page.keep": {"values": {}},
        "page.render": {"trees": []}, **more,
    }  # fmt: skip


def tell(page: Page, *events: Event) -> None:
    page.evaluate("(events) => events.forEach((event) => globalThis.service.tell('event', event))", list(events))
    page.evaluate(FRAMES)


def place_of(page: Page, text: str) -> float:
    script = """(text) => [...document.querySelectorAll(".item")].find((node) => node.textContent.includes(text))
      .getBoundingClientRect().top"""
    return float(page.evaluate(script, text))


def measured(page: Page) -> dict[str, Any]:
    page.evaluate(FRAMES)
    told: dict[str, Any] = page.evaluate(MEASURE)
    return told


def test_the_end_is_in_sight_at_once_and_stays_there_while_a_reply_is_written(open_page: Open) -> None:
    log = Log().turns(40)
    page = open_page("#/s/s1", answers(log))
    expect(page.locator("h1")).to_have_text("Build the wire")
    expect(page.locator(".item").last).to_contain_text("Reply 40.")
    assert measured(page) == {"rest": 0, "scrolls": True}
    tell(page, log.add("message.start", turn=41))
    for number in range(30):
        tell(page, log.add("message.delta", turn=41, text=f"word {number}\n"))
    assert measured(page)["rest"] == 0
    expect(page.locator(".item").last).to_contain_text("word 29")


def test_a_reader_who_went_up_is_not_moved_by_what_comes_and_is_told_how_much(open_page: Open) -> None:
    log = Log().turns(40)
    page = open_page("#/s/s1", answers(log))
    expect(page.locator(".item").last).to_contain_text("Reply 40.")
    page.locator(".transcript").hover()
    page.mouse.wheel(0, -900)
    expect(page.locator(".to-end")).to_have_text("To the end")
    page.evaluate(FRAMES)
    before = place_of(page, "Prompt 36")
    for number in range(20):
        tell(page, log.add("message.delta", turn=41, text=f"word {number}\n"))
    tell(page, log.add("message.complete", turn=41, text="words\n" * 40, status="complete"))
    assert place_of(page, "Prompt 36") == before
    expect(page.locator(".to-end")).to_have_text("1 new, to the end")
    page.locator(".to-end").click()
    assert measured(page)["rest"] == 0
    expect(page.locator(".to-end")).to_be_hidden()


def test_who_sends_a_prompt_is_at_the_end(open_page: Open) -> None:
    log = Log().turns(40)
    submitted = {"turn": 41, "status": "started", "position": 0}
    page = open_page("#/s/s1", answers(log, **{"prompt.submit": submitted}))
    page.locator(".transcript").hover()
    page.mouse.wheel(0, -900)
    expect(page.locator(".to-end")).to_be_visible()
    page.locator("#message").fill("And now?")
    page.locator("#message").press("Enter")
    expect(page.locator(".to-end")).to_be_hidden()
    assert measured(page)["rest"] == 0


def test_a_selection_lets_go_of_the_end(open_page: Open) -> None:
    log = Log().turns(40)
    page = open_page("#/s/s1", answers(log))
    page.locator(".item", has_text="Reply 40.").locator("pre").dblclick(position={"x": 10, "y": 10})
    expect(page.locator(".to-end")).to_be_visible()
    before = place_of(page, "Reply 40.")
    tell(page, log.add("message.complete", turn=41, text="words\n" * 40, status="complete"))
    assert place_of(page, "Reply 40.") == before


def test_older_items_and_then_older_pages_come_above_without_moving_what_is_read(open_page: Open) -> None:
    log = Log().turns(60)
    attached = log.attached(newest=160)
    history = {"epoch": "e1", "seq": 240, "first": 1, "more": False, "events": log.events[:-160]}
    page = open_page("#/s/s1", answers(log, attached, **{"session.history": history}))
    expect(page.locator(".item").last).to_contain_text("Reply 60.")
    assert page.locator(".item").count() == 60
    for known in ("Prompt 31", "Prompt 21"):
        page.locator(".item", has_text=known).scroll_into_view_if_needed()
        page.evaluate(FRAMES)
        page.evaluate(FRAMES)
        assert 0 <= place_of(page, known) < 720
    page.evaluate("document.querySelector('.transcript').scrollTop = 0")
    expect(page.locator(".item", has_text="Prompt 1").first).to_be_attached()
    page.evaluate("document.querySelector('.transcript').scrollTop = 0")
    expect(page.locator(".older")).to_be_hidden()
    assert page.locator(".item").count() == 120
    asked = page.evaluate("globalThis.service.asked.filter(({method}) => method === 'session.history')")
    assert [each["params"] for each in asked] == [{"session_id": "s1", "before": 81, "limit": 200, "colours": True}]


def test_a_hit_of_the_search_opens_the_session_where_it_is(open_page: Open) -> None:
    log = Log().turns(60)
    attached = log.attached(newest=160)
    history = {"epoch": "e1", "seq": 240, "first": 1, "more": False, "events": log.events[:-160]}
    page = open_page("#/s/s1/19", answers(log, attached, **{"session.history": history}))
    hit = page.locator(".item[aria-current]")
    expect(hit).to_contain_text("Reply 5.")
    expect(hit).to_be_in_viewport()
    before = place_of(page, "Reply 5.")
    tell(page, log.add("message.complete", turn=61, text="words\n" * 40, status="complete"))
    assert place_of(page, "Reply 5.") == before
    page.locator(".to-end").click()
    assert measured(page)["rest"] == 0
    page.evaluate("location.hash = '#/s/s1/237'")
    expect(hit).to_contain_text("Prompt 60")
    expect(page.locator("#side .row[aria-current]")).to_contain_text("Build the wire")


def test_a_hit_in_a_prompt_that_waited_is_where_it_ran(open_page: Open) -> None:
    log = Log()
    log.add("message.user", turn=1, prompt_id="p1", text="First", sender=PI)
    log.add("message.start", turn=1)
    log.add("message.user", turn=2, prompt_id="p2", text="Second", sender=PI, queued=True)
    log.add("message.complete", turn=1, text="Done.", status="complete")
    log.add("turn.complete", turn=1, status="complete")
    log.add("message.start", turn=2)
    page = open_page("#/s/s1/3", answers(log))
    expect(page.locator(".item[aria-current]")).to_contain_text("Second")
    expect(page.locator(".to-end")).to_be_hidden()  # all of it is in sight


def test_a_hit_in_what_a_tool_gave_is_unfolded(open_page: Open) -> None:
    log = Log()
    log.add("message.start", turn=1)
    log.add("tool.start", turn=1, tool_id="a", title="Run the tests")
    log.add("tool.complete", turn=1, tool_id="a", status="complete", output="all green")
    page = open_page("#/s/s1/3", answers(log))
    expect(page.locator(".tool .output")).to_have_text("all green")
    expect(page.locator(".tool .output")).to_be_visible()


def test_a_selection_in_what_a_tool_gives_stays_as_more_comes(open_page: Open) -> None:
    log = Log()
    log.add("message.start", turn=1)
    log.add("tool.start", turn=1, tool_id="a", title="Run the tests", input="pytest")
    log.add("tool.update", turn=1, tool_id="a", text="first passed\nsecond ")
    page = open_page("#/s/s1", answers(log))
    page.locator(".work > summary").click()
    page.locator(".tool > summary").click()
    output = page.locator(".tool .output")
    output.dblclick(position={"x": 20, "y": 14})
    assert page.evaluate("String(getSelection())") == "first"
    tell(page, log.add("tool.update", turn=1, tool_id="a", text="passed\n"))
    tell(page, log.add("tool.complete", turn=1, tool_id="a", status="complete", output="first passed\nsecond passed\n"))
    expect(output).to_have_text("first passed\nsecond passed\n")
    assert page.evaluate("String(getSelection())") == "first"


def test_a_transcript_that_does_not_fill_the_window_asks_for_more(open_page: Open) -> None:
    log = Log().turns(4)
    history = {"epoch": "e1", "seq": 16, "first": 1, "more": False, "events": log.events[:12]}
    page = open_page("#/s/s1", answers(log, log.attached(newest=4), **{"session.history": history}))
    expect(page.locator(".item")).to_have_count(8)


def test_what_was_worked_is_folded_and_its_diffs_are_in_sight(open_page: Open) -> None:
    log = Log()
    log.add("message.user", turn=1, prompt_id="p", text="Go", sender=LAPTOP)
    log.add("message.start", turn=1)
    log.add("thought.delta", turn=1, text="Well.")
    log.add("tool.start", turn=1, tool_id="a", title="Run the tests", tool="execute", input="pytest")
    page = open_page("#/s/s1", answers(log, log.attached(status="working")))
    expect(page.locator(".work summary").first).to_have_text("Working: Run the tests")
    patch = "@@ -1,2 +1,2 @@\n-one\n+two\n three\n"
    tell(
        page,
        log.add("tool.complete", turn=1, tool_id="a", status="error", output="1 failed"),
        log.add("tool.start", turn=1, tool_id="b", title="Edit a.py"),
        log.add("tool.complete", turn=1, tool_id="b", status="complete", diffs=[{"path": "a.py", "patch": patch}]),
        log.add("message.complete", turn=1, text="Done.", status="complete"),
        log.add("turn.complete", turn=1, status="complete"),
    )
    expect(page.locator(".work > summary")).to_have_text("Worked 6s, 2 tools, 1 failed")
    assert page.locator(".changes .line").evaluate_all("(lines) => lines.map((line) => line.className)") == [
        "line hunk", "line remove", "line add", "line same",
    ]  # fmt: skip
    assert page.get_by_text("1 failed", exact=True).count() == 0
    page.locator(".work > summary").click()
    page.locator(".tool summary", has_text="Run the tests").click()
    expect(page.locator(".tool .input")).to_have_text("pytest")
    expect(page.locator(".tool .output")).to_have_text("1 failed")
    expect(page.locator(".thought")).to_have_text("Well.")


def test_work_stays_one_and_open_when_its_beginning_is_loaded(open_page: Open) -> None:
    log = Log()
    log.add("message.user", turn=1, prompt_id="p", text="Go", sender=PI)
    for number in range(90):
        log.add("tool.start", turn=1, tool_id=f"t{number}", title=f"`test {number}`", input=f"test {number}")
        log.add("tool.complete", turn=1, tool_id=f"t{number}", status="complete", output=f"output {number}")
    log.add("message.complete", turn=1, text="Done.\n" * 400, status="complete")
    log.add("turn.complete", turn=1, status="complete")
    history = {"epoch": "e1", "seq": 183, "first": 1, "more": False, "events": log.events[:-142]}
    page = open_page("#/s/s1", answers(log, log.attached(newest=142), **{"session.history": history}))
    expect(page.locator(".item")).to_have_count(2)
    summary = page.locator(".work > summary")
    expect(summary).to_have_text("Worked 2m, 70 tools")
    summary.evaluate("(node) => node.click()")
    page.locator(".tool > summary", has_text="test 25").evaluate("(node) => node.click()")
    page.evaluate("document.querySelector('.transcript').scrollTop = 0")
    expect(summary).to_have_text("Worked 3m, 90 tools")
    expect(page.locator(".tool")).to_have_count(90)
    expect(page.locator(".tool").first).to_have_text("test 0")
    expect(page.locator(".tool[open] .output")).to_have_text("output 25")
    expect(page.locator(".tool[open] .input")).to_have_count(0)  # the title says it


def test_many_items_that_are_folded_are_few_to_see_and_all_shown(open_page: Open) -> None:
    log = Log()
    for turn in range(1, 9):
        log.add("message.user", turn=turn, prompt_id=f"p{turn}", text=f"Prompt {turn}", sender=PI)
        for number in range(40):
            log.add("tool.complete", turn=turn, tool_id=f"{turn} {number}", status="complete")
        log.add("turn.complete", turn=turn, status="complete")
    page = open_page("#/s/s1", answers(log, log.attached(newest=10_000)))
    expect(page.locator(".work > summary")).to_have_text([re.compile("Worked .*, 40 tools")] * 8)
    assert measured(page)["rest"] == 0


def test_what_is_far_above_in_a_session_that_is_open_for_long_is_asked_for_again(open_page: Open) -> None:
    log = Log().turns(1)
    page = open_page("#/s/s1", answers(log))
    expect(page.locator(".item")).to_have_count(2)
    for batch in range(13):
        known = len(log.events)
        for turn in range(2 + batch * 100, 102 + batch * 100):
            log.add("message.user", turn=turn, prompt_id=f"p{turn}", text=f"Prompt {turn}\n" * 5, sender=PI)
            log.add("message.complete", turn=turn, text=f"Reply {turn}.\n" * 5, status="complete")
        tell(page, *log.events[known:])
        assert measured(page)["rest"] == 0
    assert page.locator(".item").count() <= 500
    history = {"epoch": "e1", "seq": len(log.events), "first": 1, "more": False, "events": log.turns(1).events[:2]}
    page.evaluate("(history) => { service.answers['session.history'] = history; }", history)
    asked = "service.asked.filter(({method}) => method === 'session.history').map(({params}) => params.before)"
    while not (before := page.evaluate(asked)):
        page.evaluate("document.querySelector('.transcript').scrollTop = 0")
        page.evaluate(FRAMES)
    assert before[0] > 200


def test_plans_and_paths_read_well_and_a_plan_that_goes_on_takes_no_time_from_the_work(open_page: Open) -> None:
    log = Log()
    log.add("message.user", turn=1, prompt_id="p", text="Go", sender=PI)
    log.add("plan.update", turn=1, entries=[{"text": "Mend `wire.py`", "status": "in_progress"}, {"text": "Test"}])
    diff = {"path": "/src/agent/wire.py", "patch": "@@ -1 +1 @@\n-a\n+b\n"}
    log.add("tool.start", turn=1, tool_id="a", title="Edit")
    log.add("tool.complete", turn=1, tool_id="a", status="complete", diffs=[diff])
    for number in range(20):
        log.add("thought.delta", turn=1, text=f"**Well**, {number}. ")
    log.add("plan.update", turn=1, entries=[{"text": "Mend `wire.py`", "status": "completed"}, {"text": "Test"}])
    log.add("message.complete", turn=1, text="Done.", status="complete")
    log.add("turn.complete", turn=1, status="complete")
    rendered = {"trees": [[["p", {}, [["strong", {}, ["read"]]]]]]}
    page = open_page("#/s/s1", answers(log, log.attached(cwd="/src"), **{"page.render": rendered}))
    expect(page.locator(".work > summary")).to_have_text("Worked 21s, 1 tool")
    expect(page.locator(".plan h2")).to_have_text("Plan: 1 of 2 done")
    expect(page.locator(".plan li.completed code")).to_have_text("wire.py")
    expect(page.locator(".changes .path")).to_have_text("agent/wire.py")
    page.locator(".work > summary").click()
    expect(page.locator(".thought strong")).to_have_text("read")  # as Markdown


def test_ends_that_are_no_success_and_answers_say_who_and_why(open_page: Open) -> None:  # S9, S12, S14
    log = Log()
    log.add("message.user", turn=1, prompt_id="p", text="Go", sender=LAPTOP)
    log.add("message.user", turn=2, prompt_id="q", text="then commit", sender=PI, queued=True)
    choice = {"id": "y", "name": "Allow once"}
    log.add("request.open", turn=1, request_id="r", kind="choices", prompt="Run it?", choices=[choice])
    log.add("request.closed", turn=1, request_id="r", status="answered", answer="y", by=PI)
    log.add("turn.complete", turn=2, status="interrupted", withdrawn_by=PI)
    log.add("turn.complete", turn=1, status="error", cause="max_tokens")
    log.add("session.info", status="failed", note="it broke")
    page = open_page("#/s/s1", answers(log, log.attached(status="failed")))
    expect(page.locator(".item")).to_have_text(
        [
            "laptop15 Jan, 08:00Go",
            "pi-kitchen answered: Allow onceRun it?",
            "Taken back by pi-kitchen, never ran: “then commit”",
            "Failed: the reply was cut at the model\N{RIGHT SINGLE QUOTATION MARK}s limit of tokens",
            "The session has failed: it broke",
        ]
    )


def test_an_interruption_is_no_error(open_page: Open) -> None:  # S14
    log = Log()
    log.add("turn.complete", turn=1, status="interrupted", exit_status=130)
    log.add("turn.complete", turn=2, status="complete", exit_status=3)
    page = open_page("#/s/s1", answers(log))
    expect(page.locator(".end")).to_have_text(["Interrupted", "Exit status 3"])
    expect(page.locator(".end.bad")).to_have_text(["Exit status 3"])


ENDS: list[tuple[dict[str, Any], str, dict[str, Any], list[str]]] = [
    # how the turn ended, why its question is asked no more, what is said of the session, what is shown
    (
        {"status": "error", "error": "the session has ended: exit status 3", "exit_status": 3},
        "the session has ended",
        {"status": "ended", "note": "exit status 3"},
        ["No longer asked: the session has ended", "Failed: exit status 3"],
    ),
    (
        {"status": "interrupted", "error": "the service was restarted"},
        "the service was restarted",
        {"status": "idle", "note": "the service was restarted"},
        ["No longer asked: the service was restarted", "Interrupted"],
    ),
    (
        {"status": "error", "error": "it broke"},
        "the session has failed",
        {"status": "failed", "note": "it broke"},
        ["No longer asked: the session has failed", "Failed: it broke", "The session has failed"],
    ),
    (
        {"status": "error", "error": "exit status 3", "exit_status": 3},
        "the session has failed",
        {"status": "failed", "note": "exit status 3"},
        ["No longer asked: the session has failed", "Failed", "The session has failed: exit status 3"],
    ),
    (
        {"status": "interrupted", "exit_status": 130},
        "the turn is over",
        {"note": "another thing"},
        ["No longer asked: the turn is over", "Interrupted", "another thing"],
    ),
]


@pytest.mark.parametrize(("end", "expired", "info", "shown"), ENDS)
def test_a_reason_is_said_once_and_an_interruption_is_no_error(
    open_page: Open, end: dict[str, Any], expired: str, info: dict[str, Any], shown: list[str]
) -> None:  # S14
    log = Log()
    log.add("message.user", turn=1, prompt_id="p", text="Go", sender=LAPTOP)
    log.add("request.open", turn=1, request_id="r", kind="line")
    page = open_page("#/s/s1", answers(log, log.attached(status="needs-input")))
    tell(
        page,
        log.add("request.closed", turn=1, request_id="r", status="expired", reason=expired),
        log.add("turn.complete", turn=1, **end),
        log.add("session.info", **info),
    )
    expect(page.locator(".item:not(.user)")).to_have_text(shown)
    expect(page.locator(".end.bad")).to_have_count(0 if end["status"] == "interrupted" else 1)


def test_who_else_is_here_and_how_the_session_stands(open_page: Open) -> None:  # S8, L5
    log = Log().turns(1)
    page = open_page("#/s/s1", answers(log))
    told = {"session_id": "s1", "participants": [{**LAPTOP, "count": 1}, {**PI, "count": 2}]}
    page.evaluate("(told) => globalThis.service.tell('session.participants', told)", told)
    expect(page.locator(".participant")).to_have_text(["pi-kitchen \N{MULTIPLICATION SIGN}2"])
    page.evaluate("globalThis.service.tell('peer.lost', {name: 'desk', sessions: ['s1']})")
    expect(page.locator(".stands")).to_have_text(
        re.compile(r"^desk is out of reach since \d\d:\d\d\. It goes on by itself\.$")
    )
    expect(page.locator(".stands")).to_be_visible()
    page.evaluate("globalThis.service.tell('peer.back', {name: 'desk', sessions: ['s1']})")
    expect(page.locator(".stands")).to_be_hidden()
    page.evaluate("globalThis.service.tell('peer.lost', {name: 'desk', sessions: ['s1'], reason: 'it has stopped'})")
    expect(page.locator(".stands")).to_have_text(re.compile(r"^desk has stopped at \d\d:\d\d\. "))


def test_a_terminal_is_text_and_says_how_its_screen_is_reached(open_page: Open) -> None:
    log = Log().turns(1)
    page = open_page("#/s/s1", answers(log, log.attached(backend="terminal")))
    expect(page.locator(".raw code")).to_have_text("agent attach --raw s1")
    expect(page.locator("pre.output")).to_contain_text("Reply 1.")


def test_rows_that_move_stand_in_their_colours_below_the_reply_until_they_are_said(open_page: Open) -> None:
    log = Log()
    log.add("message.user", turn=1, prompt_id="p1", text="make", sender=PI)
    log.add("message.start", turn=1)
    page = open_page("#/s/s1", answers(log, log.attached(backend="shell", status="working")))
    moving = page.locator(".moving")
    expect(page.locator(".item.user")).to_contain_text("make")
    expect(moving).to_be_hidden()
    asked = page.evaluate("globalThis.service.asked.find(({method}) => method === 'session.attach').params")
    assert (asked["colours"], asked["tail"]) == (True, True)

    def tail(text: str) -> None:
        told = {"session_id": "s1", "turn": 1, "after_seq": 2, "text": text}
        page.evaluate("(told) => globalThis.service.tell('turn.tail', told)", told)

    tail("\x1b[31mlayer 1\x1b[0m\n 10 %<b>")
    expect(moving).to_have_text("layer 1\n 10 %<b>")
    expect(moving.locator(".ansi.fg")).to_have_text("layer 1")
    tell(page, log.add("message.delta", turn=1, text="\x1b[31mlayer 1\x1b[0m\n"))
    expect(moving).to_have_text(" 10 %<b>")
    expect(page.locator(".item.reply .ansi.fg")).to_have_text("layer 1")
    tail(" 99 %")
    expect(moving).to_have_text(" 99 %")
    tell(page, log.add("message.delta", turn=1, text="100 %\n"), log.add("turn.complete", turn=1, status="complete"))
    expect(moving).to_be_hidden()
    expect(page.locator(".item.reply")).to_contain_text("100 %")


def test_rows_that_move_keep_the_end_in_sight_and_do_not_move_who_went_up(open_page: Open) -> None:
    log = Log().turns(40)
    log.add("message.user", turn=41, prompt_id="p", text="make", sender=PI)
    page = open_page("#/s/s1", answers(log, log.attached(backend="shell")))
    expect(page.locator(".item").last).to_contain_text("make")
    many = {"session_id": "s1", "turn": 41, "after_seq": 161, "text": "\n".join(f"layer {row}" for row in range(30))}
    show = "(told) => globalThis.service.tell('turn.tail', told)"
    page.evaluate(show, many)
    expect(page.locator(".moving")).to_contain_text("layer 29")
    page.evaluate(FRAMES)
    assert measured(page)["rest"] <= 1
    page.locator(".transcript").hover()
    page.mouse.wheel(0, -3000)
    page.evaluate(FRAMES)
    read = page.evaluate(FIRST_READ)
    page.evaluate(show, many | {"text": ""})
    expect(page.locator(".moving")).to_be_hidden()
    page.evaluate(FRAMES)
    assert page.evaluate(FIRST_READ) == read


def test_a_program_that_has_the_whole_screen_is_named_while_it_has(open_page: Open) -> None:
    log = Log()
    log.add("message.user", turn=1, prompt_id="p1", text="vim notes", sender=PI)
    log.add("session.info", screen="vim")
    page = open_page("#/s/s1", answers(log, log.attached(backend="shell", status="working", screen="vim")))
    expect(page.locator(".raw")).to_contain_text("vim has the whole screen. To see it, in a terminal: agent attach")
    tell(page, log.add("turn.complete", turn=1, status="complete"))
    expect(page.locator(".raw")).to_be_hidden()


def test_another_life_of_the_log_takes_the_place_of_the_one_before(open_page: Open) -> None:  # S15
    log = Log().turns(2)
    page = open_page("#/s/s1", answers(log))
    expect(page.locator(".item")).to_have_count(4)
    other = Log()
    other.add("message.user", turn=1, prompt_id="x", text="Another one", sender=PI)
    attached = {**other.attached(), "epoch": "e2"}
    page.evaluate("(attached) => { globalThis.service.answers['session.attach'] = attached; }", attached)
    page.evaluate("globalThis.service.onState('lost'); globalThis.service.onState('ready')")
    expect(page.locator(".item")).to_have_text(["pi-kitchen15 Jan, 08:00Another one"])


def test_a_reader_who_went_up_is_not_moved_by_what_is_lost_and_found(open_page: Open) -> None:  # L5, S15
    log = Log().turns(40)
    page = open_page("#/s/s1", answers(log))
    page.locator(".transcript").hover()
    page.mouse.wheel(0, -1500)
    expect(page.locator(".to-end")).to_be_visible()
    page.evaluate(FRAMES)
    read = page.evaluate(FIRST_READ)
    before = pytest.approx(place_of(page, read), abs=1)
    page.evaluate("globalThis.service.tell('peer.lost', {name: 'desk', sessions: ['s1']})")
    expect(page.locator(".stands")).to_be_visible()
    page.evaluate(FRAMES)
    assert place_of(page, read) == before
    page.evaluate("globalThis.service.tell('peer.back', {name: 'desk', sessions: ['s1']})")
    tell(page, log.add("message.start", turn=41), log.add("message.delta", turn=41, text="word"))
    expect(page.locator(".stands")).to_be_hidden()
    assert place_of(page, read) == before
    page.evaluate("globalThis.service.onState('lost', {since: 0})")
    expect(page.locator("#lines")).to_contain_text("does not answer")
    page.evaluate(FRAMES)
    older = Log().turns(38)  # restored from an older copy
    attached = {**older.attached(), "epoch": "e2"}
    page.evaluate("(attached) => { globalThis.service.answers['session.attach'] = attached; }", attached)
    page.evaluate("globalThis.service.onState('ready')")
    expect(page.locator(".item", has_text="Reply 38.")).to_be_attached()
    expect(page.locator(".item", has_text="Reply 39.")).to_have_count(0)
    page.evaluate(FRAMES)
    assert place_of(page, read) == before


@pytest.mark.parametrize("width", [320, 360, 1280, 2560])
def test_nothing_overflows(open_page: Open, width: int) -> None:
    log = Log().turns(2)
    log.add("message.complete", turn=3, text="x" * 400 + "\n" + "漢字" * 200, status="complete")
    path = "agent/" + "long/" * 40 + "wire.py"
    diff = {"path": path, "patch": "@@ -1 +1 @@\n-" + "y" * 400 + "\n"}
    log.add("tool.complete", turn=3, tool_id="a", status="complete", output="z" * 400, diffs=[diff])
    page = open_page("#/s/s1", answers(log, log.attached(title="T" * 200)), viewport={"width": width, "height": 700})
    expect(page.locator(".changes")).to_be_visible()
    measure = """() => [document.documentElement.scrollWidth, document.querySelector(".transcript").scrollWidth
      - document.querySelector(".transcript").clientWidth]"""
    assert page.evaluate(measure) == [width, 0]


def test_a_scroll_that_was_not_told_yet_is_not_undone_by_what_comes(module: Callable[..., Any]) -> None:
    script = """async ({follow}) => {
      const scroller = document.createElement("div");
      const content = document.createElement("div");
      scroller.append(content);
      document.body.append(scroller);
      scroller.style.cssText = "height: 100px; overflow: auto; overflow-anchor: none";
      const style = "height: 50px; margin: 0";
      const row = () => Object.assign(document.createElement("p"), {textContent: "row", style});
      content.append(...Array.from({length: 40}, row));
      const follower = follow(scroller, content);
      follower.toEnd();
      const end = scroller.scrollTop;
      scroller.scrollTop = 500; // by find in page, a reader of the screen, Tab: the event comes with the next frame
      follower.keep(() => content.prepend(row(), row()));
      const first = scroller.scrollTop;
      scroller.scrollTop = 300;
      follower.keep(() => content.prepend(row()));
      const second = scroller.scrollTop;
      scroller.remove();
      return [end, first, second, follower.following];
    }"""
    assert module("follow.js", script) == [1900, 600, 350, False]
