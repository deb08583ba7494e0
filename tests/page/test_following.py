"""`following.js`: the open session stays attached, whatever is lost (S4, S15)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.device

Run = Callable[..., Any]
WANTED = {"colours": True, "tail": True}
SETTING = """async ({following}, _) => {
  const asked = [];
  const waiting = [];
  const wire = {
    call: (method, params) => new Promise((resolve, reject) => {
      asked.push([method, params]);
      if (method === "session.attach") waiting.push({resolve, reject});
      else resolve({});
    }),
    notify: (method, params) => asked.push([method, params]),
  };
  const touched = new Set();
  const touch = (...keys) => keys.forEach((key) => touched.add(key));
  const app = {wire, state: "ready", session: null, open: null, touch};
  const makeLog = (id) => ({
    id, seq: 0, epoch: "", gap: false,
    moves(rows) { asked.push(["moves", rows]); },
    hydrate(attached) { this.epoch = attached.epoch; this.seq = attached.seq; this.gap = false; },
    apply(event) {
      if (event.seq !== this.seq + 1) { this.gap = true; return new Set(); }
      this.seq = event.seq;
      return new Set([`t${event.seq}`]);
    },
  });
  const {follow, notified, resume} = following(app, makeLog);
  const settled = () => new Promise((resolve) => setTimeout(resolve));
  const answer = async (attached) => { waiting.shift().resolve(attached); await settled(); };
  const refuse = async (error) => { waiting.shift().reject(error); await settled(); };
  %s
}"""


def run(module: Run, steps: str) -> Any:
    return module("following.js", SETTING.replace("%s", steps))


def test_of_a_session_that_was_closed_its_log_is_shown(module: Run) -> None:
    steps = """
      const row = {id: "a", status: "ended", title: "A"};
      app.actions = {past: async () => ({sessions: [{id: "b"}, row]})};
      wire.call = async (method, params) => {
        asked.push([method, params]);
        if (method === "session.attach") throw {kind: "session-ended", message: "that session has ended"};
        return {epoch: "e", seq: 9, events: [{seq: 9}], more: true};
      };
      let told = null;
      const log = makeLog("a");
      const made = following(app, () => ({...log, hydrate: (attached) => { told = attached; }}));
      made.follow("a");
      await settled();
      return [app.open.state, told.snapshot, asked.map(([method]) => method)];
    """
    state, snapshot, asked = run(module, steps)
    assert (state, asked) == ("attached", ["session.attach", "session.history"])
    assert snapshot == {
        "session": {"id": "a", "status": "ended", "title": "A"},
        "events": [{"seq": 9}],
        "truncated": True,
    }


def test_a_session_that_is_shown_is_attached_and_the_one_before_is_left(module: Run) -> None:
    steps = """
      follow("a");
      follow("a");
      await answer({epoch: "e", seq: 7});
      const [state, seq] = [app.open.state, app.session.seq];
      follow("b");
      follow(null);
      return [state, seq, app.session, asked];
    """
    state, seq, session, asked = run(module, steps)
    assert (state, seq, session) == ("attached", 7, None)
    assert asked == [
        ["session.attach", {"session_id": "a", "call_id": "attach-1", **WANTED}],
        ["session.detach", {"session_id": "a"}],
        ["session.attach", {"session_id": "b", "call_id": "attach-2", **WANTED}],
        ["request.cancel", {"call_id": "attach-2"}],
    ]


def test_an_answer_that_comes_after_leaving_is_let_go_of(module: Run) -> None:
    steps = """
      follow("a");
      follow("b");
      await answer({epoch: "e", seq: 7});
      return [app.session.id, app.session.seq, asked.at(-1)];
    """
    assert run(module, steps) == ["b", 0, ["session.detach", {"session_id": "a"}]]


def test_after_a_reconnect_it_goes_on_from_its_last_event(module: Run) -> None:  # S4
    steps = """
      follow("a");
      await answer({epoch: "e", seq: 7});
      notified("event", {session_id: "a", seq: 8, type: "message.delta"});
      notified("event", {session_id: "other", seq: 1, type: "message.delta"});
      app.state = "lost";
      app.state = "ready";
      resume();
      return [asked.at(-1)[1], [...touched].sort()];
    """
    params, touched = run(module, steps)
    assert params == {"session_id": "a", "call_id": "attach-2", "after": 8, "epoch": "e", **WANTED}
    assert touched == ["i:t8", "items", "session"]


def test_a_gap_is_filled_by_attaching_again(module: Run) -> None:  # S4
    steps = """
      follow("a");
      await answer({epoch: "e", seq: 7});
      notified("event", {session_id: "a", seq: 9, type: "message.delta"});
      await settled();
      return asked.slice(1);
    """
    assert run(module, steps) == [
        ["session.detach", {"session_id": "a"}],
        ["session.attach", {"session_id": "a", "call_id": "attach-2", "after": 7, "epoch": "e", **WANTED}],
    ]


def test_what_stands_in_the_way_is_told(module: Run) -> None:  # L5, L8
    steps = """
      follow("a");
      notified("request.waiting", {call_id: "attach-1", name: "desk"});
      const seen = [app.open.waiting.name];
      await answer({epoch: "e", seq: 7, stalled: "the disk is full"});
      seen.push(app.open.waiting, app.open.stalled);
      notified("session.stalled", {session_id: "a"});
      notified("peer.lost", {sessions: ["a"], name: "desk"});
      seen.push(app.open.stalled, app.open.away.name);
      notified("peer.back", {sessions: ["a"], name: "desk"});
      seen.push(app.open.away);
      notified("session.lost", {session_id: "a", kind: "not-paired", reason: "unpaired"});
      return [...seen, app.open.state, app.open.error.kind];
    """
    told = ["desk", None, "the disk is full", "", "desk", None, "failed", "not-paired"]
    assert run(module, steps) == told


def test_a_session_that_cannot_be_attached_says_why(module: Run) -> None:
    steps = """
      follow("a");
      await refuse({kind: "session-not-found", message: "no session a"});
      return [app.open.state, app.open.error.message];
    """
    assert run(module, steps) == ["failed", "no session a"]
