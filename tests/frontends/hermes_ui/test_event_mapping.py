"""Our events in Hermes's words: each type, in the shapes that a real gateway was recorded with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from agent.client.reading import FENCE
from agent.client.view import SessionView
from agent.frontends.hermes_ui.event_mapping import INTERRUPTED, SILENT, EventMapping, MessageHistory
from agent.frontends.hermes_ui.outgoing import UiEvent
from agent.frontends.hermes_ui.session_info import info_of
from agent.protocol.events import (
    TYPES,
    Choice,
    Diff,
    MessageComplete,
    MessageDelta,
    MessageStart,
    Option,
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
    Usage,
    UserMessage,
    make_event,
)
from agent.protocol.model import DeviceId, Sender
from agent.protocol.snapshot import compact
from tests.frontends.gateway import NOW, OWN, THERE, session
from tests.frontends.hermes_ui.recorded import assert_shape

DESK = Sender(device=DeviceId("desk-id"), name="desk")
HERE = Sender(device=OWN, name="laptop")


class Told:
    """The frames of a log, event by event; every one is looked at."""

    def __init__(self, *, verbatim: bool = False, local: bool = True, mine: Iterable[str] = ()) -> None:
        row = session(cwd="/src") if local else session(THERE)
        self.events = EventMapping(info_of(row), local=local, verbatim=verbatim)
        self.view = SessionView()
        self._mine, self._seq = set(mine), 0

    def __call__(self, *payloads: Payload, merged: bool = False) -> list[tuple[str, Any]]:
        frames: list[UiEvent] = []
        for payload in payloads:
            self._seq += 1
            event = make_event(self._seq, payload, NOW + self._seq)
            frames += self.events.take(self.view.entry(event, merged=merged), mine=self._mine)
        return shown(frames)


def shown(frames: Iterable[UiEvent]) -> list[tuple[str, Any]]:
    told = []
    for frame in frames:
        assert_shape(frame.type, frame.payload)
        if frame.type != "session.info":
            told.append((frame.type, frame.payload))
    return told


def texts(frames: Iterable[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(kind, (payload or {}).get("text", "")) for kind, payload in frames]


def said(text: str, *, turn: int = 1, prompt_id: str = "p", sender: Sender = DESK, queued: bool = False) -> UserMessage:
    return UserMessage(turn=turn, prompt_id=prompt_id, text=text, sender=sender, queued=queued)


def reply(text: str, *, turn: int = 1, part: int = 1) -> MessageComplete:
    return MessageComplete(turn=turn, part=part, text=text, status="complete")


def done(turn: int = 1, **more: Any) -> TurnComplete:
    return TurnComplete(turn=turn, status=more.pop("status", "complete"), **more)


# --- message.user -------------------------------------------------------------------------------------------------


def test_a_prompt_of_another_device_is_a_line_and_ones_own_is_none() -> None:  # S7
    told = Told(mine=["mine"])
    assert texts(told(said("echo hi"))) == [("review.summary", "[desk] echo hi")]
    assert told(said("echo", prompt_id="mine", sender=HERE)) == []
    assert texts(told(said("by `agent prompt`", sender=HERE))) == [("review.summary", "[laptop] by `agent prompt`")]


def test_a_queued_prompt_is_told_when_it_comes_and_when_its_turn_begins() -> None:
    told = Told()
    told(said("first"), MessageStart(turn=1))
    assert texts(told(said("second", turn=2, queued=True))) == [("review.summary", "[desk] (queued) second")]
    told(reply("one"), done(1))
    assert texts(told(MessageStart(turn=2))) == [("review.summary", "[desk] second"), ("message.start", "")]


def test_a_prompt_that_is_taken_back_is_a_line_and_the_turn_that_runs_goes_on() -> None:  # S12
    told = Told(mine=["mine"])
    told(said("first"), MessageStart(turn=1), MessageDelta(turn=1, text="one"))
    waits = (said("fix it", turn=2, queued=True), said("by me", turn=3, prompt_id="mine", sender=HERE, queued=True))
    assert texts(told(*waits)) == [("review.summary", "[desk] (queued) fix it")]
    gone = [done(turn, status="interrupted", withdrawn_by=by) for turn, by in ((2, DESK), (3, HERE))]
    assert texts(told(*gone)) == [
        ("review.summary", '-- never ran: taken back by desk: [desk] "fix it"'),
        ("review.summary", "-- never ran: taken back by laptop: by me"),
    ]
    assert told.events.running
    assert told.events.info.running
    assert texts(told(MessageDelta(turn=1, text=" two"))) == [("message.delta", " two")]


def test_ones_own_prompt_that_is_taken_back_while_nothing_runs_lets_the_ui_go_on() -> None:  # S12
    told = Told(mine=["mine"])  # the program is still starting
    told(said("by me", prompt_id="mine", sender=HERE, queued=True))
    (end, about) = told(done(status="interrupted", withdrawn_by=HERE))
    assert (end[0], end[1]["status"]) == ("message.complete", "interrupted")
    assert about[1]["text"] == "-- never ran: taken back by laptop: by me"


# --- message.start, delta, complete; turn.complete ----------------------------------------------------------------


def test_a_turn_of_one_part() -> None:
    told = Told()
    frames = told(MessageStart(turn=1), MessageDelta(turn=1, text="a "), MessageDelta(turn=1, text="b"))
    assert texts(frames) == [("message.start", ""), ("message.delta", "a "), ("message.delta", "b")]
    assert told.events.streaming == "a b"
    assert told(reply("a b")) == []  # whether it is the last part is not known yet
    (frame,) = told(done(usage=Usage(used=50, size=200)))
    assert frame[0] == "message.complete"
    assert (frame[1]["text"], frame[1]["status"]) == ("a b", "complete")
    assert frame[1]["usage"]["context_percent"] == 25
    assert not told.events.running


def test_a_part_before_another_one_is_interim_as_recorded() -> None:
    told = Told()
    told(MessageStart(turn=1), MessageDelta(turn=1, text="Now."), reply("Now."))
    start = ToolStart(turn=1, tool_id="t", title="Running echo", tool="execute")
    assert texts(told(start)) == [("message.interim", "Now."), ("tool.start", "")]
    told(ToolComplete(turn=1, tool_id="t", status="complete"))
    frames = told(MessageStart(turn=1, part=2), MessageDelta(turn=1, part=2, text="Done."), reply("Done.", part=2))
    assert texts(frames) == [("message.delta", "Done.")]  # the turn was begun
    assert texts(told(done())) == [("message.complete", "Done.")]


def test_the_text_of_the_end_stands_above_the_deltas() -> None:
    told = Told()
    told(MessageStart(turn=1), MessageDelta(turn=1, text="abc"), reply("another"))
    assert texts(told(done())) == [("message.complete", "another")]


def test_what_an_agent_says_unasked_is_a_message_of_its_own() -> None:
    told = Told()
    frames = told(MessageStart(turn=0), MessageDelta(turn=0, text="By the way"), reply("By the way", turn=0))
    assert texts(frames) == [
        ("message.start", ""),
        ("message.delta", "By the way"),
        ("message.complete", "By the way"),
    ]
    assert not told.events.running


def test_an_interrupted_turn_keeps_what_it_said() -> None:
    told = Told()
    told(MessageStart(turn=1), MessageDelta(turn=1, text="half"))
    assert texts(told(done(status="interrupted"))) == [("message.complete", f"half\n\n{INTERRUPTED}")]


def test_a_turn_that_fails_says_why() -> None:
    told = Told()
    told(MessageStart(turn=1))
    frames = told(done(status="error", error="no\x1b[2J model"))
    assert [kind for kind, _ in frames] == ["message.complete", "error"]
    assert "\x1b" not in frames[1][1]["message"]  # T10


def test_a_turn_that_never_began_ends_for_whoever_waits_for_it() -> None:
    assert texts(Told()(done(status="interrupted"))) == [("message.start", ""), ("message.complete", INTERRUPTED)]


def test_what_comes_after_the_end_of_a_turn_does_not_begin_it_again() -> None:
    told = Told()
    told(MessageStart(turn=2), done(2))  # steered: it went first
    assert texts(told(ToolComplete(turn=2, tool_id="t", status="complete"))) == [("tool.complete", "")]
    assert not told.events.running
    assert texts(told(MessageStart(turn=1))) == [("message.start", "")]


def test_output_of_a_shell_is_shown_as_it_is() -> None:
    told = Told(verbatim=True)
    frames = told(MessageStart(turn=1), MessageDelta(turn=1, text="*a*\n"), MessageDelta(turn=1, text="\x1b[31m_b_\n"))
    assert texts(frames)[1:] == [("message.delta", f"{FENCE}\n*a*\n"), ("message.delta", "_b_\n")]
    frames = told(reply("*a*\n\x1b[31m_b_\n"), done(exit_status=3, cwd="/tmp"))
    assert texts(frames) == [("message.complete", f"{FENCE}\n*a*\n_b_\n{FENCE}"), ("review.summary", "exit status 3")]
    assert told.events.info.payload()["cwd"] == "/tmp"
    told(MessageStart(turn=2), reply("", turn=2))
    assert texts(told(done(2))) == [("message.complete", SILENT)]


def test_a_directory_of_another_device_is_not_shown_as_one_here() -> None:
    told = Told(local=False)
    told(MessageStart(turn=1), done(cwd="/home/them"))
    assert told.events.info.payload()["cwd"] == "on desk"


# --- thoughts, tools, plans ---------------------------------------------------------------------------------------


def test_thoughts() -> None:
    frames = Told()(ThoughtDelta(turn=1, text="hm "), ThoughtDelta(turn=1, text="yes"))
    assert texts(frames) == [("message.start", ""), ("reasoning.delta", "hm "), ("reasoning.delta", "yes")]


def test_a_tool_from_its_beginning_to_its_end() -> None:
    told = Told()
    (_, start) = told(ToolStart(turn=1, tool_id="t", title="make\x07 all", tool="execute"))
    assert start[0] == "tool.start"
    assert (start[1]["name"], start[1]["context"]) == ("execute", "make\N{REPLACEMENT CHARACTER} all")
    (progress,) = told(ToolUpdate(turn=1, tool_id="t", text="one\ntwo\n"))
    assert progress == ("tool.progress", {"name": "execute", "preview": "two"})
    diff = Diff(path="notes.txt", patch="@@ -0,0 +1 @@\n+one\n")
    ((kind, ended),) = told(ToolComplete(turn=1, tool_id="t", status="complete", output="one\ntwo\n", diffs=(diff,)))
    assert kind == "tool.complete"
    assert ended["tool_id"] == start[1]["tool_id"]
    assert (ended["duration_s"], ended["summary"], ended["result"]) == (2.0, "two", {"output": "one\ntwo\n"})
    assert ended["inline_diff"] == "--- notes.txt\n+++ notes.txt\n@@ -0,0 +1 @@\n+one"


@pytest.mark.parametrize(("status", "error"), [("error", "no such file"), ("interrupted", "interrupted")])
def test_a_tool_that_failed_says_so(status: Any, error: str) -> None:
    told = Told()
    told(ToolStart(turn=1, tool_id="t", title="read", tool="read"))
    ((_, ended),) = told(ToolComplete(turn=1, tool_id="t", status=status, output="no such file"))
    assert ended["error"] == error


def test_a_tool_whose_beginning_is_not_known_ends_all_the_same() -> None:
    told = Told()
    assert told(ToolUpdate(turn=1, tool_id="t", text="x")) == [("message.start", None)]
    ((kind, ended),) = told(ToolComplete(turn=1, tool_id="t", status="complete", output="x"))
    assert (kind, ended["name"], ended["duration_s"]) == ("tool.complete", "tool", 0.0)


def test_a_plan_is_a_list_of_todos() -> None:
    entries = (PlanEntry(text="write it", status="in_progress"), PlanEntry(text="test it"))
    frames = Told()(PlanUpdate(turn=1, entries=entries))
    assert [kind for kind, _ in frames] == ["message.start", "tool.start", "tool.complete"]
    assert frames[2][1]["todos"] == [
        {"id": "1", "content": "write it", "status": "in_progress"},
        {"id": "2", "content": "test it", "status": "pending"},
    ]


# --- the session, and what means nothing here ---------------------------------------------------------------------


def test_what_is_news_of_a_session_is_told() -> None:
    told = Told(local=False)
    (frame,) = told(SessionInfo(title="Re\x1bnamed"))
    assert frame == ("session.title", {"session_id": THERE, "title": "Re\N{REPLACEMENT CHARACTER}named · desk"})
    option = Option(id="m", name="Model", value="l", choices=(Choice(id="l", name="Large"),), category="model")
    told(SessionInfo(options=(option,)))
    assert told.events.info.payload()["model"] == "Large"
    told(SessionInfo(model="larger"))
    assert told.events.info.payload()["model"] == "larger"
    assert texts(told(SessionInfo(note="the service was restarted"))) == [
        ("review.summary", "-- the service was restarted")
    ]
    assert texts(told(SessionInfo(status="ended", note="the shell has gone"))) == [
        ("review.summary", "-- the session has ended: the shell has gone")
    ]
    (shown,) = texts(told(SessionInfo(screen="vim"), SessionInfo(screen="")))
    assert shown == ("review.summary", "-- vim is on the screen: in a terminal, `agent attach --raw` shows it")


def test_questions_are_left_to_those_who_ask_them_and_unknown_things_are_passed_over() -> None:
    told = Told()
    assert told(RequestOpen(turn=1, request_id="r", kind="line"), Other(turn=1, kind="x")) == []
    assert told(RequestClosed(turn=1, request_id="r", status="expired")) == []


def test_every_type_of_event_is_mapped_here() -> None:
    tested = {MessageStart, MessageDelta, MessageComplete, ThoughtDelta, ToolStart, ToolUpdate, ToolComplete,
              PlanUpdate, Other, RequestOpen, RequestClosed, TurnComplete, SessionInfo, UserMessage}  # fmt: skip
    assert set(TYPES.values()) == tested  # a new type of event needs a test above


# --- cut ----------------------------------------------------------------------------------------------------------


def test_a_message_that_was_cut_goes_on_without_repeating_itself() -> None:
    told = Told(verbatim=True)
    told(MessageStart(turn=1), MessageDelta(turn=1, text="Again? "))
    frames = shown(told.events.cut())
    assert [kind for kind, _ in frames] == ["message.complete", "message.start", "status.update"]
    assert frames[0][1]["text"] == f"{FENCE}\nAgain? "
    assert texts(told(MessageDelta(turn=1, text="seven\n"))) == [("message.delta", f"{FENCE}\nseven\n")]
    assert texts(told(reply("Again? seven\n"), done())) == [("message.complete", f"{FENCE}\nseven\n{FENCE}")]
    assert [kind for kind, _ in shown(told.events.cut())] == ["message.complete"]  # between turns


# --- the past -----------------------------------------------------------------------------------------------------


def past(*payloads: Payload, verbatim: bool = False) -> MessageHistory:
    found = MessageHistory(EventMapping(info_of(session()), local=True, verbatim=verbatim), OWN)
    log, view = compact(make_event(seq, payload, NOW) for seq, payload in enumerate(payloads, 1)), SessionView()
    found.read(view.entry(event, merged=True) for event in log)
    return found


def test_a_transcript_has_prompts_replies_tools_and_lines_in_their_order() -> None:
    found = past(
        said("of the desk"), MessageStart(turn=1), MessageDelta(turn=1, text="No"), reply("Now."),
        ToolStart(turn=1, tool_id="t", title="Running echo", tool="execute"),
        ToolComplete(turn=1, tool_id="t", status="complete", output="x"),
        MessageStart(turn=1, part=2), reply("Done.", part=2),
        said("mine", turn=2, sender=HERE, queued=True), done(1, exit_status=2), MessageStart(turn=2),
        done(2, status="error", error="no model"),
    )  # fmt: skip
    assert found.messages == [
        {"role": "user", "text": "[desk] of the desk"},
        {"role": "assistant", "text": "Now."},
        {"role": "tool", "name": "execute", "context": "Running echo"},
        {"role": "assistant", "text": "Done."},
        {"role": "system", "text": "exit status 2"},
        {"role": "user", "text": "mine"},
        {"role": "system", "text": "error: no model"},
    ]
    assert found.inflight() is None


def test_a_turn_that_runs_is_in_flight_and_goes_on_from_there() -> None:  # S4
    found = past(
        said("count"), MessageStart(turn=1), MessageDelta(turn=1, text="one "), MessageDelta(turn=1, text="two ")
    )
    assert found.inflight() == {"user": "[desk] count", "assistant": "one two ", "streaming": True}
    assert found.messages == []
    view = SessionView()
    more = found.events.take(view.entry(make_event(5, MessageDelta(turn=1, text="three"), NOW)))
    assert texts(shown(more)) == [("message.delta", "three")]
    ended = found.events.take(view.entry(make_event(6, reply("one two three"), NOW)))
    ended += found.events.take(view.entry(make_event(7, done(), NOW)))
    assert texts(shown(ended)) == [("message.complete", "one two three")]


def test_what_a_running_turn_did_before_is_not_in_flight() -> None:
    found = past(said("go"), MessageStart(turn=1), reply("First."),
                 ToolStart(turn=1, tool_id="t", title="echo", tool="execute"))  # fmt: skip
    assert found.inflight() == {"user": "", "assistant": "", "streaming": True}
    assert [message["role"] for message in found.messages] == ["user", "assistant", "tool"]


def test_after_a_restart_of_the_service_no_text_comes_twice() -> None:  # S4
    told = Told()
    told(MessageStart(turn=1), MessageDelta(turn=1, text="one "))
    assert texts(told(MessageDelta(turn=1, text="one two "), merged=True)) == [("message.delta", "two ")]


def test_a_prompt_that_still_waits_is_no_part_of_the_past() -> None:
    found = past(said("go"), MessageStart(turn=1), said("later", turn=2, queued=True))
    assert found.inflight() == {"user": "[desk] go", "assistant": "", "streaming": True}
    assert [message.text for message in found.events.queued] == ["later"]
