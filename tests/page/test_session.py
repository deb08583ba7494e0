"""`session.js`: a log gives the same in the page as in `agent/client/view.py`, however it arrives (S1, S4, S9, S12)."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.adapters.backends.acp.options import SessionOptions
from agent.adapters.backends.acp.schema import Updated, decode
from agent.adapters.backends.acp.updates import UpdateMapper
from agent.client.follow import Hydrated
from agent.client.reading import event_json
from agent.client.view import SessionView
from agent.ports import (
    Asked,
    BackendEvent,
    Described,
    Exited,
    Finished,
    Planned,
    Said,
    Thought,
    ToolFinished,
    ToolProgressed,
    ToolStarted,
    Withdrew,
)
from agent.protocol.events import (
    Choice,
    Diff,
    Event,
    MessageComplete,
    MessageDelta,
    MessageStart,
    Other,
    Payload,
    PlanEntry,
    PlanUpdate,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    ThoughtDelta,
    ToolComplete,
    ToolStart,
    ToolUpdate,
    TurnComplete,
    TurnStatus,
    UserMessage,
    make_event,
    payload_of,
)
from agent.protocol.jsonrpc import Request
from agent.protocol.messages import Attached, Snapshot
from agent.protocol.model import Sender, SessionRow
from agent.protocol.snapshot import LogTail, compact
from agent.sessions.rules.effects import Decision
from agent.sessions.rules.mapping import payloads_of
from agent.sessions.rules.state import SessionMachine
from tests.adapters.backends import acp
from tests.frontends.gateway import DESK, HERE, OWN, session

pytestmark = pytest.mark.device

Run = Callable[..., Any]
LAPTOP = Sender(device=OWN, name="laptop")
DESKS = Sender(device=DESK, name="desk")
FACTS = """
  const facts = (log) => ({
    turn: log.turn, running: log.running, ended: log.ended, queue: log.queue.map((each) => [each.turn, each.prompt_id]),
    requests: [...log.requests.keys()], seq: log.seq, epoch: log.epoch,
  });
"""


class Log:
    """The log of a session, of what its backend says and people do."""

    def __init__(self) -> None:
        self.machine = SessionMachine(HERE, epoch="e1")
        self.log: list[Event] = []
        self.tools: list[str] = []  # that run

    def take(self, decision: Decision) -> None:
        for event in self.machine.number(decision.payloads, 1_800_000_000.0 + len(self.log)):
            self.machine.apply(event)
            self.log.append(event)
            payload = payload_of(event)
            if isinstance(payload, ToolStart):
                self.tools.append(payload.tool_id)
            elif isinstance(payload, ToolComplete):
                self.tools.remove(payload.tool_id)

    def hear(self, *events: BackendEvent) -> None:
        for event in events:
            self.take(payloads_of(self.machine, event))


def recorded(path: Path) -> list[Event]:
    """The log of what a real agent said, and was told, in a recording."""
    log, mapper = Log(), UpdateMapper(SessionOptions())
    for number, row in enumerate(map(json.loads, path.read_text(encoding="utf-8").splitlines())):
        if "life" in row and log.machine.running:
            log.take(log.machine.recovered("the service was restarted"))
        told, heard = row.get(">", {}), decode(json.dumps(row.get("<", {})).encode())
        if told.get("method") == "session/prompt":
            text = told["params"]["prompt"][0]["text"]
            log.take(log.machine.prompt(f"p{number}", text, LAPTOP)[0])
        elif "outcome" in told.get("result", {}) and log.machine.requests:
            asked, chosen = next(iter(log.machine.requests)), told["result"]["outcome"].get("optionId")
            if chosen:
                log.take(log.machine.answer(asked, chosen, DESKS)[0])
            else:
                log.hear(Withdrew(asked, "the turn was interrupted"))
        elif isinstance(heard, Updated):
            mapper.take(heard.update)
            log.hear(*mapper.events())
        elif isinstance(heard, Request) and heard.method == "session/request_permission":
            options = row["<"]["params"]["options"][:64]
            choices = tuple(Choice(id=each["optionId"], name=each["name"]) for each in options)
            log.hear(Asked(request_id=f"r{number}", kind="choices", prompt="Go?", choices=choices))
        elif reason := row.get("<", {}).get("result", {}).get("stopReason"):
            mapper.end_turn("complete")
            log.hear(*mapper.events(), Finished(status="interrupted" if reason == "cancelled" else "complete"))
        elif "error" in row.get("<", {}):
            log.hear(Finished(status="error", error=row["<"]["error"]["message"][:4096]))
    return log.log


class Life(Log):
    """A session of which random things are told."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.dice = random.Random(seed)
        self.prompts = 0
        self.asked = 0

    def live(self, steps: int) -> None:
        """Have so many things happen."""
        for _ in range(steps):
            self.take(self._next())

    def _next(self) -> Decision:
        machine, dice = self.machine, self.dice
        waiting = list(machine.queue)
        match dice.randrange(16):
            case 0 | 1:
                self.prompts += 1
                sender = dice.choice((LAPTOP, DESKS))
                return machine.prompt(f"p{self.prompts}", f"prompt {self.prompts}", sender, steer=dice.random() < 0.3)[
                    0
                ]
            case 2 if waiting:
                return machine.withdraw(dice.choice(waiting).prompt_id, LAPTOP, owner=True)[0]
            case 3 if machine.requests:
                return machine.answer(dice.choice(list(machine.requests)), "yes", DESKS)[0]
            case 4 if dice.random() < 0.1:
                return machine.recovered("the service was restarted")
            case _:
                return payloads_of(machine, self._told())

    def _told(self) -> BackendEvent:  # noqa: PLR0911 - one return a kind of event
        dice = self.dice
        tool = dice.choice(self.tools) if self.tools else ""
        diffs = (Diff(path="a.py", patch=f"@@ -1 +1 @@\n-{dice.randrange(3)}\n+b\n"),)
        match dice.randrange(12):
            case 0 | 1 | 2:
                return Said(dice.choice(("one ", "**two** ", "\n\n", "three")))
            case 3 | 4:
                return Thought(dice.choice(("hm ", "well ")))
            case 5:
                tool = f"tool{len(self.log)}"
                return ToolStarted(tool_id=tool, title=f"Run {tool}", tool="execute", input="ls")
            case 6 if tool:
                return ToolProgressed(
                    tool_id=tool, text=f"line {len(self.log)}\n", title=dice.choice(("", "Other")), diffs=diffs
                )
            case 7 if tool:
                output = dice.choice(("", "all\n"))
                return ToolFinished(tool_id=tool, status=dice.choice(("complete", "error")), output=output, diffs=diffs)
            case 8:
                return Planned((PlanEntry(text="a", status="completed"), PlanEntry(text=f"b{dice.randrange(9)}")))
            case 9:
                self.asked += 1
                choices = (Choice(id="yes", name="Yes"), Choice(id="no", name="No"))
                return Asked(request_id=f"r{self.asked}", kind="choices", prompt="Go?", choices=choices)
            case 10:
                if self.machine.requests and dice.random() < 0.5:
                    return Withdrew(next(iter(self.machine.requests)), "the turn is over")
                return Described(title=f"Title {dice.randrange(9)}", note=dice.choice(("", "a note")))
            case _:
                ends: tuple[TurnStatus, ...] = ("complete", "complete", "interrupted", "error")
                how = dice.choice(ends)
                return Finished(status=how, exit_status=dice.choice((None, 0, 3)) if how == "complete" else None)

    def end(self) -> None:
        """Have the program end."""
        self.hear(Exited(status="failed", reason="it broke", exit_status=3))


def attached(log: Sequence[Event], size: int) -> Attached:
    """What an attaching client gets after the events of a log, of which a snapshot holds so many."""
    machine = SessionMachine(HERE, epoch="e1")
    tail = LogTail(events=size)
    for event in log:
        machine.apply(event)
        tail.apply(event)
    row: SessionRow = session(status=machine.status)
    return Attached(
        session_id=HERE, epoch="e1", seq=len(log),
        snapshot=Snapshot(session=row, events=tuple(tail), truncated=tail.truncated),
        requests=tuple(machine.requests.values()), queue=tuple(each.shortened() for each in machine.queue),
    )  # fmt: skip


def in_json(result: Attached) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(result, snapshot=None))
    if result.snapshot is not None:
        row = msgspec.to_builtins(result.snapshot.session)
        told["snapshot"] = {
            "session": row, "events": events_json(result.snapshot.events), "truncated": result.snapshot.truncated,
        }  # fmt: skip
    return told


def events_json(events: Iterable[Event]) -> list[dict[str, Any]]:
    return [event_json(HERE, event) for event in events]


def facts(view: SessionView, seq: int) -> dict[str, Any]:
    return {
        "turn": view.turn, "running": view.running, "ended": view.ended,
        "queue": [[each.turn, each.prompt_id] for each in view.queue],
        "requests": list(view.requests), "seq": seq, "epoch": "e1",
    }  # fmt: skip


def pages(log: Sequence[Event], before: int, limit: int) -> Iterator[dict[str, Any]]:
    """The pages of history before an event, newest first, as `session.history` gives them."""
    while before > 1:
        raw = log[max(0, before - 1 - limit) : before - 1]
        first = raw[0].seq
        yield {"epoch": "e1", "seq": len(log), "events": events_json(compact(raw)), "more": first > 1, "first": first}
        before = first


LIVES = range(12)
RECORDINGS = sorted((Path(acp.__file__).parent / "recordings").glob("*.jsonl"))


def folds_alike(module: Run, log: Sequence[Event], from_event: int) -> None:
    """Attach at an event and take those that follow: after each of them the same stands here and in the page."""
    result = attached(log[:from_event], 200)
    view = SessionView(OWN)
    assert result.snapshot is not None
    view.take(Hydrated(result, result.snapshot.events))
    wanted = [facts(view, from_event)]
    closed = []
    for event in log[from_event:]:
        entry = view.entry(event)
        wanted.append(facts(view, event.seq))
        if isinstance(entry.payload, RequestClosed):
            closed.append(entry.closes and entry.closes.prompt)
    script = f"""({{SessionLog}}, [attached, events]) => {{
      {FACTS}
      const log = new SessionLog("s");
      log.hydrate(attached);
      const told = [facts(log)];
      for (const event of events) {{ log.apply(event); told.push(facts(log)); }}
      const closed = log.items.filter(({{kind, seq}}) => kind === "answer" && seq > attached.seq);
      return [told, closed.map(({{request}}) => request && (request.prompt ?? ""))];
    }}"""
    assert module("session.js", script, [in_json(result), events_json(log[from_event:])]) == [wanted, closed]


def words_of(log: Sequence[Event]) -> dict[str, Any]:
    """Every word of a log that is to be shown, once: by its kind and in its order."""
    replies: dict[tuple[int, int], str] = {}
    thoughts: dict[int, str] = {}
    tools: list[dict[str, Any]] = []
    notes = []
    for event in log:
        payload = payload_of(event)
        match payload:
            case MessageDelta():
                key = (payload.turn, payload.part)
                replies[key] = replies.get(key, "") + payload.text
            case MessageComplete() if payload.text or (payload.turn, payload.part) in replies:
                replies[payload.turn, payload.part] = payload.text
            case ThoughtDelta():
                thoughts[payload.turn] = thoughts.get(payload.turn, "") + payload.text
            case ToolStart():
                tools.append({"id": payload.tool_id, "title": payload.title, "output": "", "status": ""})
            case ToolUpdate():
                tool = next(each for each in reversed(tools) if each["id"] == payload.tool_id)
                tool["title"] = payload.title or tool["title"]
                tool["output"] += payload.text
            case ToolComplete():
                tool = next(each for each in reversed(tools) if each["id"] == payload.tool_id)
                tool["output"] = payload.output or tool["output"]
                tool["status"] = payload.status
            case SessionInfo() if payload.note or payload.status in {"ended", "failed"}:
                notes.append(payload.note)
            case _:
                pass
    return {
        "replies": [[*key, text] for key, text in sorted(replies.items())],
        "thoughts": {str(turn): "".join(text.split()) for turn, text in thoughts.items() if text.strip()},
        "tools": [[each["title"], each["output"]] for each in tools],
        "notes": notes,
    }


def shows_every_word(module: Run, log: Sequence[Event]) -> None:
    script = """({SessionLog}, [attached, events]) => {
      const log = new SessionLog("s");
      log.hydrate(attached);
      for (const event of events) log.apply(event);
      const of = (kind) => log.items.filter((item) => item.kind === kind);
      const thoughts = {};
      for (const {turn, text} of of("thought")) thoughts[turn] = (thoughts[turn] ?? "") + text.replace(/\\s/g, "");
      return {
        replies: of("reply").map(({turn, part, text}) => [turn, part, text]).sort(([a, b], [c, d]) => a - c || b - d),
        thoughts, tools: of("tool").map(({title, output}) => [title, output]), notes: of("note").map(({text}) => text),
      };
    }"""
    assert module("session.js", script, [in_json(attached([], 200)), events_json(log)]) == words_of(log)


@pytest.mark.parametrize("seed", LIVES)
def test_a_log_gives_the_same_in_the_page_and_here(module: Run, seed: int) -> None:
    life = Life(seed)
    life.live(160)
    if seed % 3 == 0:
        life.end()
    folds_alike(module, life.log, life.dice.randrange(len(life.log)))
    shows_every_word(module, life.log)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_what_real_agents_said_gives_the_same_in_the_page_and_here(module: Run, path: Path) -> None:
    log = recorded(path)
    assert len(log) > 10
    for from_event in (0, len(log) // 2, len(log) - 1):
        folds_alike(module, log, from_event)
    shows_every_word(module, log)


SMALL = st.integers(0, 3)
IDS = st.sampled_from(("a", "b", ""))
TEXTS = st.sampled_from(("", "one", "\n", "two "))
STATUSES = st.sampled_from(("complete", "interrupted", "error"))
SENDERS = st.sampled_from((LAPTOP, DESKS))
LIVE = st.sampled_from(("", "starting", "idle", "ended", "failed"))
FLAG = st.booleans()
DIFFS = st.sampled_from(((), (Diff(path="a", patch="+b\n"),)))
PAYLOADS = st.one_of(
    st.builds(UserMessage, turn=SMALL, prompt_id=IDS, text=TEXTS, sender=SENDERS, queued=FLAG, steer=FLAG),
    st.builds(MessageStart, turn=SMALL, part=SMALL),
    st.builds(MessageDelta, turn=SMALL, part=SMALL, text=TEXTS),
    st.builds(MessageComplete, turn=SMALL, part=SMALL, text=TEXTS, status=STATUSES),
    st.builds(ThoughtDelta, turn=SMALL, text=TEXTS),
    st.builds(ToolStart, turn=SMALL, tool_id=IDS, title=TEXTS),
    st.builds(ToolUpdate, turn=SMALL, tool_id=IDS, text=TEXTS, diffs=DIFFS),
    st.builds(ToolComplete, turn=SMALL, tool_id=IDS, status=STATUSES, output=TEXTS, diffs=DIFFS),
    st.builds(PlanUpdate, turn=SMALL, entries=st.sampled_from(((), (PlanEntry(text="a"),)))),
    st.builds(RequestOpen, turn=SMALL, request_id=IDS, kind=st.just("line"), prompt=TEXTS),
    st.builds(RequestClosed, turn=SMALL, request_id=IDS, status=st.sampled_from(("answered", "expired"))),
    st.builds(TurnComplete, turn=SMALL, status=STATUSES, withdrawn_by=st.none() | SENDERS),
    st.builds(SessionInfo, status=LIVE, note=TEXTS, title=st.none() | TEXTS),
    st.builds(Other, turn=SMALL, kind=TEXTS),
)  # fmt: skip


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(payloads=st.lists(PAYLOADS, max_size=30))
def test_any_log_gives_the_same_in_the_page_and_here(module: Run, payloads: list[Payload]) -> None:
    log = [make_event(seq, payload, 1_800_000_000.0) for seq, payload in enumerate(payloads, 1)]
    strange = msgspec.structs.replace(log[0], type="of.later") if log else None
    folds_alike(module, [strange, *log[1:]] if strange else [], 0)


@pytest.mark.parametrize("seed", LIVES)
def test_pages_of_history_complete_what_a_snapshot_begins(module: Run, seed: int) -> None:
    life = Life(seed)
    life.live(160)
    result = attached(life.log, 30)
    assert result.snapshot is not None
    older = list(pages(life.log, result.snapshot.events[0].seq, 17))
    script = f"""({{SessionLog}}, [whole, attached, pages]) => {{
      {FACTS}
      const [first, second] = [new SessionLog("s"), new SessionLog("s")];
      first.hydrate(whole);
      second.hydrate(attached);
      const before = facts(second);
      for (const page of pages) second.prepend(page);
      const words = (log) => log.items.filter(({{kind}}) => kind !== "thought" && kind !== "plan")
        .map(({{id, kind, text, output, title, request, closed, end}}) =>
          JSON.stringify([id, kind, text, output, title, request?.prompt, closed, end]));
      return [
        [words(second).sort(), facts(second), second.more, second.first],
        [words(first).sort(), before, false, 1],
      ];
    }}"""
    told, wanted = module("session.js", script, [in_json(attached(life.log, 10_000)), in_json(result), older])
    assert (set(told[0]) - set(wanted[0]), set(wanted[0]) - set(told[0])) == (set(), set())
    assert told == wanted


@pytest.mark.parametrize("seed", LIVES)
def test_what_was_forgotten_comes_back_from_the_history(module: Run, seed: int) -> None:
    life = Life(seed)
    life.live(160)
    script = """({SessionLog}, [attached, events, pages]) => {
      const log = new SessionLog("s");
      log.hydrate(attached);
      for (const event of events) log.apply(event);
      const words = () => log.items.filter(({kind}) => kind !== "thought" && kind !== "plan")
        .map(({id, text, output, title, request, closed, end}) =>
          JSON.stringify([id, text, output, title, request?.prompt, closed, end])).sort();
      const before = words();
      const order = () => log.items.map(({id}) => id).filter((id) => /^[urt]/.test(id));
      const shown = order();
      const gone = log.trim(log.items.length >> 1);
      const first = log.first;
      for (const page of pages) log.prepend(page);
      return [gone, first, before, words(), log.more, shown, order()];
    }"""
    begin, events = in_json(attached([], 200)), events_json(life.log)
    gone, first, *_ = module("session.js", script, [begin, events, []])
    assert gone > 0
    told = module("session.js", script, [begin, events, list(pages(life.log, first, 17))])
    *_, before, after, more, shown, order = told
    assert (set(after) - set(before), set(before) - set(after), more) == (set(), set(), False)
    assert order == shown


def test_an_event_is_taken_once_and_none_is_passed_over(module: Run) -> None:  # S4
    script = """({SessionLog}) => {
      const log = new SessionLog("s");
      log.hydrate({session_id: "s", epoch: "e", seq: 0, snapshot: {session: {status: "idle"}, events: []}});
      const delta = (seq, text) => ({seq, type: "message.delta", at: "", payload: {turn: 1, text}});
      const told = [delta(1, "a"), delta(1, "a"), delta(2, "b"), delta(4, "d")];
      const changed = told.map((event) => [...log.apply(event)]);
      return [changed, log.items.map((item) => item.text), log.seq, log.gap];
    }"""
    assert module("session.js", script) == [[["r1.1"], [], ["r1.1"], []], ["ab"], 2, True]


def test_a_prompt_that_waited_is_shown_where_its_turn_begins(module: Run) -> None:  # S1, S12
    script = """({SessionLog}) => {
      const log = new SessionLog("s");
      log.hydrate({session_id: "s", epoch: "e", seq: 0, snapshot: {session: {status: "idle"}, events: []}});
      let seq = 0;
      const take = (type, payload) => log.apply({seq: ++seq, type, at: "", payload});
      const sender = {device: "d", name: "desk"};
      const ids = () => log.items.map((item) => item.id);
      take("message.user", {turn: 1, prompt_id: "a", text: "one", sender});
      take("message.start", {turn: 1});
      take("message.user", {turn: 2, prompt_id: "b", text: "text 2", sender, queued: true});
      take("message.user", {turn: 3, prompt_id: "c", text: "text 3", sender, queued: true});
      const seen = [ids(), log.queue.map((each) => each.text)];
      take("turn.complete", {turn: 2, status: "interrupted", withdrawn_by: sender});
      take("turn.complete", {turn: 1, status: "complete"});
      take("message.start", {turn: 3});
      return [...seen, ids(), log.item("end2").text, log.queue.length, log.turn];
    }"""
    told = module("session.js", script)
    assert told == [["u1"], ["text 2", "text 3"], ["u1", "end2", "u3"], "text 2", 0, 3]


def test_another_log_begins_with_nothing_of_the_one_before(module: Run) -> None:  # S15
    script = """({SessionLog}) => {
      const log = new SessionLog("s");
      const payload = {turn: 4, prompt_id: "a", text: "x", sender: {}};
      const events = [{seq: 5, type: "message.user", at: "", payload}];
      const session = {status: "working"};
      log.hydrate({session_id: "s", epoch: "e", seq: 5, snapshot: {session, events, truncated: true}});
      const before = [log.turn, log.first, log.more, log.items.length];
      log.hydrate({session_id: "s", epoch: "f", seq: 1, snapshot: {session: {status: "idle"}, events: []}});
      return [before, [log.turn, log.running, log.more, log.items.length, log.epoch]];
    }"""
    assert module("session.js", script) == [[4, 5, True, 1], [0, False, False, 0, "f"]]


def test_participants_are_those_besides_this_page(module: Run) -> None:  # S8
    script = """({SessionLog}, own) => {
      const log = new SessionLog("s");
      log.participants = [{device: own, name: "laptop", count: 2}, {device: "d", name: "desk", count: 1}];
      const alone = new SessionLog("s");
      alone.participants = [{device: own, name: "laptop", count: 1}];
      return [log.others(own).map(({name, count}) => [name, count]), alone.others(own)];
    }"""
    assert module("session.js", script, OWN) == [[["laptop", 1], ["desk", 1]], []]


MOVING = """({SessionLog}, steps) => {
  const log = new SessionLog("s1");
  log.hydrate({session_id: "s1", epoch: "e1", seq: 0, snapshot: {session: {status: "idle"}, events: []}});
  return steps.map(([method, told]) => {
    if (method === "turn.tail") log.moves(told);
    else if (method === "event") log.apply(told);
    else log.hydrate(told);
    return [log.rows, log.screen];
  });
}"""


def test_rows_that_may_still_change_stand_as_in_every_other_client(module: Run) -> None:  # `SessionView.rows`
    payloads: tuple[Payload, ...] = (
        UserMessage(turn=1, prompt_id="p", text="x", sender=LAPTOP),
        MessageDelta(turn=1, text="one\n"),
        RequestOpen(turn=1, request_id="r", kind="line", prompt="Name:"),
        RequestClosed(turn=1, request_id="r", status="answered", answer="y"),
        SessionInfo(screen="vim"),
        TurnComplete(turn=1, status="complete"),
    )
    events = [event_json(HERE, make_event(seq, payload, 0.0)) for seq, payload in enumerate(payloads, 1)]
    tails = [{"turn": 1, "text": text} for text in ("one\n 50 %\n", "two\n\x1b[1mName: \x1b[0m", "")]
    steps = [
        *(("event", each) for each in events[:1]),
        ("turn.tail", tails[0]),
        ("event", events[1]),
        ("turn.tail", tails[1]),
        *(("event", each) for each in events[2:5]),
        ("turn.tail", tails[0]),
        ("event", events[5]),
        ("turn.tail", tails[0]),
        ("turn.tail", tails[2]),
        ("turn.tail", tails[0]),
        ("hydrate", {"session_id": "s1", "epoch": "e1", "seq": 6, "resumed": True}),
    ]
    asked = ["two", "\x1b[1mName: \x1b[0m"]
    assert module("session.js", MOVING, steps) == [
        [[], ""],
        [["one", " 50 %"], ""],
        [[" 50 %"], ""],
        [asked, ""],
        [asked[:1], ""],
        [asked, ""],
        [asked, "vim"],
        [["one", " 50 %"], "vim"],
        [[], ""],
        [["one", " 50 %"], ""],
        [[], ""],
        [["one", " 50 %"], ""],
        [[], ""],
    ]
