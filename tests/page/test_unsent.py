"""`unsent.js`: what was typed is never lost and never sent twice (L8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.device

Run = Callable[..., Any]
SETTING = """async ({Unsent}, _) => {
  localStorage.clear();
  const asked = [];
  const cancelled = [];
  const inService = [];
  const waiting = [];
  let clock = 1_000_000;
  let ready = true;
  const does = {
    ready: () => ready,
    submit: (prompt) => new Promise((resolve, reject) => { asked.push(prompt); waiting.push({resolve, reject}); }),
    cancel: ({id}) => cancelled.push(id),
    keep: async (make) => inService.push(make()),
    touch() {},
  };
  const open = (from = localStorage) => new Unsent(does, {storage: from, now: () => clock});
  const settled = () => new Promise((resolve) => setTimeout(resolve));
  const answer = async (told = {}) => { waiting.shift().resolve(told); await settled(); };
  const refuse = async (kind) => { waiting.shift().reject({kind, message: kind}); await settled(); };
  const unsent = open();
  %s
}"""


def run(module: Run, steps: str) -> Any:
    return module("unsent.js", SETTING.replace("%s", steps))


def test_a_draft_survives_a_reload_and_keeps_its_id(module: Run) -> None:
    steps = """
      unsent.type("a", "h");
      unsent.type("a", "hello");
      const again = open();
      const text = again.draft("a");
      unsent.send("a", "hello");
      again.send("a", "hello");
      const ids = asked.map((prompt) => prompt.id);
      return [text, again.draft("b"), ids[0] === ids[1], ids[0].length, again.draft("a"), open().draft("a")];
    """
    assert run(module, steps) == ["hello", "", True, 32, "", ""]


def test_what_is_typed_while_a_secret_is_read_is_kept_nowhere(module: Run) -> None:  # S9, T7
    steps = """
      unsent.type("a", "fix");
      unsent.flush();
      unsent.type("a", "fixhunter2", true);
      const held = [unsent.draft("a"), JSON.stringify(localStorage).includes("hunter2"), open().draft("a")];
      unsent.type("b", "other");
      unsent.leave();
      unsent.stored("draft:a");
      localStorage.setItem("draft:a", JSON.stringify({text: "", id: "", at: clock}));
      unsent.stored("draft:a");
      const kept = JSON.stringify([localStorage, inService]).includes("hunter2");
      const [[, drafts]] = [inService];
      unsent.type("a", "fix it");
      return [held, kept, drafts.a.text, unsent.draft("a"), open().draft("a")];
    """
    assert run(module, steps) == [["fixhunter2", False, "fix"], False, "fix", "fix it", "fix it"]


def test_a_draft_survives_a_restart_in_the_service(module: Run) -> None:
    steps = """
      unsent.type("a", "hello");
      unsent.flush();
      const elsewhere = {getItem: () => null, setItem() {}};
      const fresh = open(elsewhere);
      fresh.merge(inService.at(-1));
      const came = fresh.draft("a");
      clock += 1;
      fresh.type("a", "hello, later");
      fresh.merge(inService.at(-1));
      return [came, fresh.draft("a")];
    """
    assert run(module, steps) == ["hello", "hello, later"]


def test_a_window_shows_what_another_has_typed_and_another_browser_replaces_none(module: Run) -> None:
    steps = """
      const other = open();
      unsent.type("a", "one");
      other.stored("draft:a");
      const shown = [other.draft("a")];
      clock += 1;
      unsent.merge({a: {text: "elsewhere", id: "x", at: clock}, b: {text: "new", id: "y", at: clock}});
      unsent.flush();
      const {id} = inService.at(-1).a;
      const fresh = open();
      fresh.merge({a: {text: "one, two", id, at: clock + 1}});
      return [...shown, unsent.draft("a"), unsent.draft("b"), Object.keys(inService.at(-1)).sort(), fresh.draft("a")];
    """
    assert run(module, steps) == ["one", "one", "new", ["a", "b"], "one, two"]


def test_no_window_changes_what_was_typed_in_another_one(module: Run) -> None:  # L8
    steps = """
      const other = open();
      unsent.type("a", "long thought");
      other.stored("draft:a");
      clock += 1;
      other.type("a", "other text");
      unsent.stored("draft:a");
      const shown = [unsent.draft("a"), open().draft("a")];
      unsent.flush();
      shown.push(inService.at(-1).a.text);
      clock += 1;
      other.type("a", "");
      unsent.stored("draft:a");
      other.stored("draft:a");
      shown.push(unsent.draft("a"), other.draft("a"), open().draft("a"));
      unsent.send("a", "long thought");
      other.send("a", "long thought");
      await answer();
      return [...shown, asked.map((prompt) => prompt.id).length, asked[0].id === asked[1].id];
    """
    kept = ["long thought", "other text", "other text", "long thought", "", "long thought"]
    assert run(module, steps) == [*kept, 2, False]


def test_what_another_window_has_sent_stands_in_no_message_box(module: Run) -> None:  # L8
    steps = """
      const other = open();
      unsent.type("a", "hello");
      other.stored("draft:a");
      other.send("a", "hello");
      unsent.stored("draft:a");
      return [unsent.draft("a"), open().draft("a")];
    """
    assert run(module, steps) == ["", ""]


def test_what_the_service_did_not_take_is_kept_with_the_next_connection(module: Run) -> None:
    steps = """
      const {keep} = does;
      does.keep = async () => { throw new Error("lost"); };
      unsent.type("a", "hello");
      unsent.flush();
      await settled();
      does.keep = keep;
      unsent.merge({});
      return inService.map((drafts) => drafts.a.text);
    """
    assert run(module, steps) == ["hello"]


def test_drafts_in_the_service_are_bounded(module: Run) -> None:  # T11
    steps = """
      for (let at = 0; at < 30; at++) { clock += 1; unsent.type(`s${at}`, "木".repeat(30_000)); }
      unsent.flush();
      const size = new TextEncoder().encode(JSON.stringify(inService.at(-1))).length;
      return [Object.keys(localStorage).length, unsent.draft("s29").length, size];
    """
    count, length, size = run(module, steps)
    assert (count, length) == (20, 20_000)
    assert size <= 64_000


def test_prompts_are_sent_one_after_the_other(module: Run) -> None:
    steps = """
      unsent.send("a", "one");
      unsent.send("a", "two");
      const first = asked.map((prompt) => prompt.text);
      await answer();
      return [first, asked.map((prompt) => prompt.text), unsent.prompts("a").length];
    """
    assert run(module, steps) == [["one"], ["one", "two"], 0]


def test_what_is_sent_while_the_service_is_away_waits_for_it(module: Run) -> None:  # L8
    steps = """
      ready = false;
      unsent.send("a", "one");
      const waits = unsent.prompts("a").map(({state, doubtful}) => [state, doubtful]);
      unsent.resume();
      const before = asked.length;
      ready = true;
      unsent.resume();
      await answer();
      return [waits, before, asked.length, unsent.prompts("a")];
    """
    assert run(module, steps) == [[["waiting", False]], 0, 1, []]


def test_what_went_out_before_the_connection_broke_is_asked_for_again_by_its_id(module: Run) -> None:  # L8
    steps = """
      unsent.send("a", "one");
      ready = false;
      await refuse("not-running");
      const [prompt] = unsent.prompts("a");
      const may = unsent.canTakeBack(prompt);
      ready = true;
      unsent.resume();
      await answer({status: "duplicate"});
      return [prompt.doubtful, may, asked[0].id === asked[1].id, asked.length, unsent.prompts("a")];
    """
    assert run(module, steps) == [True, False, True, 2, []]


def test_a_reload_sends_what_was_just_sent_and_nothing_that_is_old(module: Run) -> None:
    steps = """
      ready = false;
      unsent.send("a", "one");
      ready = true;
      clock += 599_000;
      open().resume();
      clock += 2_000;
      const late = open();
      late.resume();
      return [asked.length, late.prompts("a").map(({state, error}) => [state, error.kind])];
    """
    assert run(module, steps) == [1, [["failed", "late"]]]


def test_what_waited_too_long_is_not_sent_unasked_though_the_window_is_still_open(module: Run) -> None:  # L8
    steps = """
      ready = false;
      unsent.send("a", "one");
      clock += 601_000;
      ready = true;
      unsent.resume();
      const [{state, error, id}] = unsent.prompts("a");
      const before = asked.length;
      unsent.again(id);
      return [state, error.kind, before, asked.length];
    """
    assert run(module, steps) == ["failed", "late", 0, 1]


def test_what_is_not_sent_yet_can_be_taken_back(module: Run) -> None:  # L8, S12
    steps = """
      ready = false;
      unsent.send("a", "one");
      unsent.type("a", "two");
      unsent.takeBack(unsent.prompts("a")[0].id);
      const first = [unsent.draft("a"), unsent.prompts("a").length];
      ready = true;
      unsent.send("a", "three");
      unsent.takeBack(asked[0].id);
      await refuse("taken-back");
      return [...first, cancelled.length, unsent.draft("a"), open().prompts("a").length];
    """
    assert run(module, steps) == ["one\ntwo", 0, 1, "three", 0]


def test_what_is_refused_stays_and_can_be_sent_again(module: Run) -> None:
    steps = """
      unsent.send("a", "one");
      await refuse("busy");
      const [{state, error, id}] = unsent.prompts("a");
      unsent.again(id);
      await answer();
      return [state, error.kind, asked.length, unsent.prompts("a").length];
    """
    assert run(module, steps) == ["failed", "busy", 2, 0]


def test_a_prompt_is_told_of_as_not_sent_after_a_second_or_with_its_reason(module: Run) -> None:
    steps = """
      unsent.send("a", "one");
      const counts = [unsent.prompts("a").length];
      unsent.waits(asked[0].id, {name: "desk"});
      counts.push(unsent.prompts("a").length);
      unsent.waits(asked[0].id, null);
      clock += 1_000;
      counts.push(unsent.prompts("a").length);
      return counts;
    """
    assert run(module, steps) == [0, 1, 1]


def test_what_went_out_to_a_device_before_its_link_broke_is_not_told_of_as_not_sent(module: Run) -> None:  # L8
    steps = """
      unsent.send("a", "one");
      unsent.waits(asked[0].id, {name: "desk", sent: true});
      return unsent.prompts("a").map(({doubtful}) => doubtful);
    """
    assert run(module, steps) == [True]


def test_another_window_does_not_send_what_was_taken_back_in_this_one(module: Run) -> None:
    steps = """
      ready = false;
      unsent.send("a", "one");
      const other = open();
      const [{id}] = unsent.prompts("a");
      unsent.takeBack(id);
      other.stored(`sending:${id}`);
      ready = true;
      other.resume();
      return [asked.length, other.prompts("a").length];
    """
    assert run(module, steps) == [0, 0]


def test_an_empty_message_is_never_sent(module: Run) -> None:
    assert run(module, 'unsent.send("a", " \\n"); unsent.resume(); return asked.length;') == 0


def test_two_windows_keep_what_is_not_sent_each_for_itself(module: Run) -> None:  # L8
    steps = """
      const other = open();
      ready = false;
      unsent.send("a", "one");
      clock += 1;
      other.send("a", "two");
      for (const key of Object.keys(localStorage)) { unsent.stored(key); other.stored(key); }
      const each = [unsent, other].map((window) => window.prompts("a").map(({text}) => text));
      return [each, open().prompts("a").map(({text}) => text)];
    """
    assert run(module, steps) == [[["one"], ["two"]], ["one", "two"]]


def test_a_window_that_is_closed_leaves_what_is_not_sent_to_the_others(module: Run) -> None:  # L8
    steps = """
      const other = open();
      ready = false;
      unsent.send("a", "one");
      const key = Object.keys(localStorage).find((each) => each.startsWith("sending:"));
      other.stored(key);
      const before = other.prompts("a").length;
      unsent.leave();
      other.stored(key);
      ready = true;
      other.resume();
      await answer();
      return [before, asked.map(({text}) => text), open().prompts("a").length];
    """
    assert run(module, steps) == [0, ["one"], 0]


def test_a_browser_at_another_origin_finds_what_was_not_sent_in_the_message_box(module: Run) -> None:  # L8
    steps = """
      unsent.send("a", "one");
      unsent.waits(asked[0].id, {name: "desk"});
      unsent.type("a", "two");
      unsent.leave();
      const here = open();
      here.merge(inService.at(-1));
      localStorage.clear();
      const elsewhere = open();
      elsewhere.merge(inService.at(-1));
      return [here.draft("a"), here.prompts("a").length, elsewhere.draft("a"), elsewhere.prompts("a").length];
    """
    assert run(module, steps) == ["two", 1, "one\ntwo", 0]


def test_what_was_typed_while_the_service_was_away_is_kept_there_once_it_is_back(module: Run) -> None:  # L8
    steps = """
      ready = false;
      const seen = [unsent.atRisk];
      unsent.type("a", "hello");
      unsent.flush();
      seen.push(unsent.atRisk, inService.length);
      ready = true;
      unsent.merge({});
      return [...seen, unsent.atRisk, inService.at(-1).a.text];
    """
    assert run(module, steps) == [False, True, 0, False, "hello"]
