"""A session's events in the words of the Agent Client Protocol: each type, as it happens and as it is replayed."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from agent.client.reading import FENCE
from agent.client.view import SessionView
from agent.errors import PeerLost
from agent.frontends.editors.options import changes, shown, state
from agent.frontends.editors.questions import elsewhere, form, permission
from agent.frontends.editors.turns import AwaitedTurns, Stop
from agent.frontends.editors.updates import TOOL_TEXT_MAX, EditorUpdates, sides
from agent.protocol.events import (
    TYPES,
    Choice,
    Command,
    Diff,
    Event,
    Field,
    Location,
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
from agent.protocol.messages import Submitted
from agent.protocol.model import DeviceId, Sender
from agent.protocol.snapshot import compact

Row = dict[str, Any]
OWN, DESK = Sender(device=DeviceId("laptopid"), name="laptop"), Sender(device=DeviceId("deskid"), name="desk")
CHOICES = (Choice(id="y", name="Yes", kind="allow_once"), Choice(id="n", name="No"))


def events(*payloads: Payload) -> list[Event]:
    return [make_event(seq, payload, 1_800_000_000.0) for seq, payload in enumerate(payloads, 1)]


def told(*payloads: Payload, verbatim: bool = False, skip: tuple[str, ...] = ()) -> list[Row]:
    """What an editor is told as it happens."""
    updates, view = EditorUpdates(OWN.device, verbatim=verbatim), SessionView()
    return [row for event in events(*payloads) for row in rows(updates.take(view.entry(event), skip=skip))]


def replayed(*payloads: Payload, verbatim: bool = False) -> list[Row]:
    """What it is told of the past, shortened as a snapshot is."""
    updates, view = EditorUpdates(OWN.device, verbatim=verbatim), SessionView()
    entries = [view.entry(event, merged=True) for event in compact(events(*payloads))]
    return [row for entry in entries for row in rows(updates.take(entry))]


def rows(updates: Any) -> list[Row]:
    found: list[Row] = as_sent(updates)
    return found


def as_sent(message: object) -> Any:
    return json.loads(msgspec.json.encode(message))


def said(kind: str, text: str, message: str) -> Row:
    return {"sessionUpdate": kind, "content": {"type": "text", "text": text}, "messageId": message}


def content(*texts: str) -> list[Row]:
    return [{"type": "content", "content": {"type": "text", "text": text}} for text in texts]


def text_of(found: list[Row], kind: str = "agent_message_chunk") -> str:
    return "".join(row["content"]["text"] for row in found if row["sessionUpdate"] == kind)


ASKED = RequestOpen(turn=1, request_id="r1", kind="choices", prompt="Sure?\x1b[2J", choices=CHOICES, detail="rm x")
CASES: dict[str, tuple[list[Payload], list[Row]]] = {
    "message.user": (
        [UserMessage(turn=1, prompt_id="p", text="make", sender=DESK)],
        [said("user_message_chunk", "[desk] make", "user-1")],
    ),
    "message.start": ([MessageStart(turn=1)], []),
    "message.delta": ([MessageDelta(turn=1, text="hi")], [said("agent_message_chunk", "hi", "reply-1-1")]),
    "message.complete": (
        [MessageComplete(turn=1, part=2, text="whole", status="complete")],
        [said("agent_message_chunk", "whole", "reply-1-2")],
    ),
    "thought.delta": ([ThoughtDelta(turn=1, text="hm\n")], [said("agent_thought_chunk", "hm\n", "thought-1-1")]),
    "tool.start": (
        [ToolStart(turn=1, tool_id="t", title="Edit\nx", tool="edit", input='{"path": "x"}')],
        [
            {
                "sessionUpdate": "tool_call",
                "toolCallId": "1-t",
                "title": "Edit x",
                "kind": "edit",
                "status": "in_progress",
                "rawInput": {"path": "x"},
            }
        ],
    ),
    "tool.update": (
        [ToolUpdate(turn=1, tool_id="t", text="a\x1b[31mb")],  # of a tool that began before what there is of the log
        [
            {
                "sessionUpdate": "tool_call",
                "toolCallId": "1-t",
                "title": "t",
                "status": "in_progress",
                "content": content("ab"),
            }
        ],
    ),
    "tool.complete": (
        [
            ToolStart(turn=1, tool_id="t", title="Run", tool="unheard-of"),
            ToolComplete(turn=1, tool_id="t", status="error", output="no"),
        ],
        [
            {"sessionUpdate": "tool_call", "toolCallId": "1-t", "title": "Run", "status": "in_progress"},
            {"sessionUpdate": "tool_call_update", "toolCallId": "1-t", "status": "failed", "content": content("no")},
        ],
    ),
    "plan.update": (
        [PlanUpdate(turn=1, entries=(PlanEntry(text="a", status="completed", priority="high"), PlanEntry(text="b")))],
        [
            {
                "sessionUpdate": "plan",
                "entries": [
                    {"content": "a", "priority": "high", "status": "completed"},
                    {"content": "b", "priority": "medium", "status": "pending"},
                ],
            }
        ],
    ),
    "other": ([Other(turn=1, kind="new", data="{}")], []),
    "request.open": (
        [ASKED],
        [
            {
                "sessionUpdate": "tool_call",
                "toolCallId": "request-r1",
                "title": "Sure?�[2J",
                "content": content("rm x"),
            }
        ],
    ),
    "request.closed": (
        [ASKED, RequestClosed(turn=1, request_id="r1", status="answered", answer="y", by=DESK)],
        [
            {
                "sessionUpdate": "tool_call",
                "toolCallId": "request-r1",
                "title": "Sure?�[2J",
                "content": content("rm x"),
            },
            {
                "sessionUpdate": "tool_call_update",
                "toolCallId": "request-r1",
                "status": "completed",
                "content": content("[desk] Yes"),
            },
        ],
    ),
    "turn.complete": (
        [TurnComplete(turn=1, status="complete", exit_status=3, usage=Usage(used=5, size=9, cost=0.5, currency="EUR"))],
        [
            said("agent_message_chunk", "[exit status 3]\n\n", "note-1"),
            {"sessionUpdate": "usage_update", "used": 5, "size": 9, "cost": {"amount": 0.5, "currency": "EUR"}},
        ],
    ),
    "session.info": (
        [SessionInfo(title="Bu\x07ild", status="ended", note="exit", commands=(Command(name="init"),))],
        [
            {"sessionUpdate": "session_info_update", "title": "Bu�ild"},
            {
                "sessionUpdate": "available_commands_update",
                "availableCommands": [{"name": "init", "description": ""}],
            },
            said("agent_message_chunk", "[the session has ended: exit]\n\n", "note-1"),
        ],
    ),
}


def test_every_type_of_event_has_a_case() -> None:
    assert set(CASES) == set(TYPES)


@pytest.mark.parametrize("kind", CASES)
def test_an_event_as_it_happens(kind: str) -> None:
    payloads, expected = CASES[kind]
    assert told(*payloads) == expected


@pytest.mark.parametrize("kind", CASES)
def test_an_event_of_the_past(kind: str) -> None:
    payloads, expected = CASES[kind]
    assert replayed(*payloads) == expected


def test_a_type_of_a_later_version_means_nothing() -> None:
    assert EditorUpdates("").take(SessionView().entry(Event(1, "hologram", msgspec.Raw(b"\x80"), ""))) == []


TURN: tuple[Payload, ...] = (
    UserMessage(turn=1, prompt_id="p", text="go", sender=OWN),
    MessageStart(turn=1),
    ThoughtDelta(turn=1, text="so"),
    ThoughtDelta(turn=1, text=" so"),
    MessageDelta(turn=1, text="one "),
    MessageDelta(turn=1, text="two"),
    MessageComplete(turn=1, text="one two", status="complete"),
    ToolStart(turn=1, tool_id="t", title="Run"),
    ToolUpdate(turn=1, tool_id="t", text="x"),
    ToolUpdate(turn=1, tool_id="t", text="y"),
    ToolComplete(turn=1, tool_id="t", status="complete"),
    MessageStart(turn=1, part=2),
    MessageDelta(turn=1, part=2, text="three"),
    MessageComplete(turn=1, part=2, text="three!", status="complete"),
    TurnComplete(turn=1, status="complete"),
)


@pytest.mark.parametrize("cut", range(len(TURN) + 1))
def test_a_snapshot_continued_live_reads_as_the_whole(cut: int) -> None:  # S4
    log = events(*TURN)
    updates, view = EditorUpdates(OWN.device), SessionView()
    entries = [view.entry(event, merged=True) for event in compact(log[:cut])]
    entries += [view.entry(event) for event in log[cut:]]
    found = [row for entry in entries for row in rows(updates.take(entry))]
    assert text_of(found) == "one twothree!"
    assert text_of(found, "agent_thought_chunk") == "so so"
    assert text_of(found, "user_message_chunk") == "go"  # of this device: no name in front
    tools = [row for row in found if row["sessionUpdate"].startswith("tool_call")]
    assert tools[-1] == {
        "sessionUpdate": "tool_call_update", "toolCallId": "1-t", "status": "completed", "content": content("xy"),
    }  # fmt: skip


@pytest.mark.parametrize("cut", range(len(TURN) + 1))
def test_pages_of_a_log_read_as_the_whole(cut: int) -> None:
    log = events(*TURN)
    updates, view = EditorUpdates(OWN.device), SessionView()
    entries = [view.entry(event) for page in (log[:cut], log[cut:]) for event in compact(page)]
    found = [row for entry in entries for row in rows(updates.take(entry))]
    assert text_of(found) == "one twothree!"
    assert text_of(found, "agent_thought_chunk") == "so so"


def test_the_editors_own_prompt_is_not_told_and_its_failure_neither() -> None:
    own = UserMessage(turn=1, prompt_id="mine", text="go", sender=OWN)
    failed = TurnComplete(turn=1, status="error", error="no model")
    assert told(own, failed, skip=("mine",)) == []  # it is the answer to the prompt
    assert text_of(told(own, failed)) == "[failed: no model]\n\n"


def test_a_queued_prompt_is_told_when_its_turn_begins() -> None:
    waiting = UserMessage(turn=2, prompt_id="p", text="next", sender=DESK, queued=True)
    found = told(
        MessageStart(turn=1), MessageDelta(turn=1, text="a"), waiting, MessageDelta(turn=1, text="b"),
        TurnComplete(turn=1, status="interrupted"), MessageStart(turn=2), MessageDelta(turn=2, text="c"),
    )  # fmt: skip
    assert [row["content"]["text"] for row in found] == ["a", "b", "[interrupted]\n\n", "[desk] next", "c"]


def test_a_prompt_that_is_taken_back_while_a_turn_runs_ends_nothing_of_it() -> None:  # S12
    theirs = UserMessage(turn=2, prompt_id="p", text="next", sender=DESK, queued=True)
    mine = UserMessage(turn=3, prompt_id="mine", text="mine", sender=OWN, queued=True)
    begun = (MessageStart(turn=1), ToolStart(turn=1, tool_id="t", title="make"), theirs, mine)
    went = tuple(TurnComplete(turn=turn, status="interrupted", withdrawn_by=OWN) for turn in (2, 3))
    more = ToolUpdate(turn=1, tool_id="t", text="built")
    found = told(*begun, *went, more, skip=("mine",))
    assert [row["sessionUpdate"] for row in found] == ["tool_call", "tool_call_update"]
    by_another = TurnComplete(turn=3, status="interrupted", withdrawn_by=DESK)
    assert text_of(told(*begun, by_another, skip=("mine",))) == "[never ran: taken back by desk]\n\n"


def test_a_prompt_that_is_dropped_while_a_turn_runs_is_shown_with_why() -> None:  # T4
    theirs = UserMessage(turn=2, prompt_id="p", text="next", sender=DESK, queued=True)
    dropped = TurnComplete(turn=2, status="error", error="unpaired")
    tool = ToolStart(turn=1, tool_id="t", title="make")
    found = told(MessageStart(turn=1), tool, theirs, dropped, ToolUpdate(turn=1, tool_id="t", text="built"))
    assert [row["sessionUpdate"] for row in found] == [
        "tool_call", "user_message_chunk", "agent_message_chunk", "tool_call_update"
    ]  # fmt: skip
    assert text_of(found) == "[failed: unpaired]\n\n"


def test_output_of_a_shell_is_a_block_that_is_closed_before_anything_else() -> None:
    found = told(
        MessageDelta(turn=1, text="Name? "), RequestOpen(turn=1, request_id="r", kind="line"),
        MessageDelta(turn=1, text="ok\r\n"), MessageComplete(turn=1, text="Name? ok\r\n", status="complete"),
        verbatim=True,
    )  # fmt: skip
    assert text_of(found) == f"{FENCE}\nName? \n{FENCE}\n{FENCE}\nok\n{FENCE}\n"
    assert [row["sessionUpdate"] for row in found][2] == "tool_call"


def test_text_of_programs_carries_no_control_sequences() -> None:  # T10
    hostile = "a\x1b]0;title\x07b\x1b[2Jc\u202ed"
    found = told(
        MessageDelta(turn=1, text=hostile[:4]), MessageDelta(turn=1, text=hostile[4:]),
        ThoughtDelta(turn=1, text=hostile), UserMessage(turn=2, prompt_id="p", text=hostile, sender=DESK),
        ToolStart(turn=2, tool_id="t", title=hostile),
        ToolComplete(turn=2, tool_id="t", status="complete", output=hostile),
        SessionInfo(title=hostile, note=hostile),
    )  # fmt: skip
    assert text_of(found[:2]) == "abcd"
    everything = msgspec.json.encode(found).decode()
    assert "u001b" not in everything
    assert "\u202e" not in everything


def test_a_running_tools_output_is_bounded_and_its_end_is_whole() -> None:
    start = ToolStart(turn=1, tool_id="t", title="Run")
    many = [ToolUpdate(turn=1, tool_id="t", text="x" * 10_000) for _ in range(5)]
    found = told(start, *many, ToolComplete(turn=1, tool_id="t", status="complete", output="y" * 100_000))
    text = found[-2]["content"][0]["content"]["text"]
    assert "\n… 33,680 characters left out\n" in text
    assert len(text) <= TOOL_TEXT_MAX
    assert len(found[-1]["content"][0]["content"]["text"]) == 100_000


@pytest.mark.parametrize("given", ["rm x", '"\\ud800"', "[" * 100_000, "1e999", "{} {}"])
def test_a_tools_input_that_is_no_json_is_sent_as_text(given: str) -> None:
    assert told(ToolStart(turn=1, tool_id="t", title="Run", input=given))[0]["rawInput"] == {"input": given}


def test_a_diff_has_its_two_sides() -> None:
    assert sides("@@ -1,3 +1,3 @@ def f\n a\n-b\n+c\n\n\\ No newline at end of file\n") == ("a\nb\n\n", "a\nc\n\n")
    assert sides("@@ -0,0 +1 @@\n+new\n") == (None, "new\n")
    found = told(ToolUpdate(turn=1, tool_id="t", diffs=(Diff(path="/x", patch="@@ -1 +0,0 @@\n-a\n"),)))
    assert found[0]["content"] == [{"type": "diff", "path": "/x", "newText": "", "oldText": "a\n"}]


# --- questions and options -------------------------------------------------------------------------------------------


def test_a_choice_is_a_permission_with_a_kind_for_each() -> None:
    assert as_sent(permission("s", ASKED)) == {
        "sessionId": "s",
        "toolCall": {"toolCallId": "request-r1", "title": "Sure?�[2J", "content": content("rm x")},
        "options": [
            {"optionId": "y", "name": "Yes", "kind": "allow_once"},
            {"optionId": "n", "name": "No", "kind": "reject_once"},
        ],
    }


def test_a_form_is_a_flat_schema() -> None:
    fields = (
        Field(name="name", title="Name", required=True, default="x"),
        Field(name="n", type="integer", description="how many"),
        Field(name="one", type="choice", choices=CHOICES),
        Field(name="some", type="choices", choices=CHOICES, default="y"),
    )
    asked = form("s", RequestOpen(turn=1, request_id="r", kind="form", prompt="Fill in", detail="why", fields=fields))
    options = [{"const": "y", "title": "Yes"}, {"const": "n", "title": "No"}]
    assert as_sent(asked) == {
        "sessionId": "s",
        "message": "Fill in\n\nwhy",
        "mode": "form",
        "requestedSchema": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "title": "Name", "default": "x"},
                "n": {"type": "integer", "title": "n", "description": "how many"},
                "one": {"type": "string", "title": "one", "oneOf": options},
                "some": {"type": "array", "title": "some", "items": {"anyOf": options}},
            },
        },
    }


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("line", "`agent answer s r ANSWER`"),
        ("secret", "`agent answer s r -`"),
        ("form", "`agent answer s r JSON`"),
        ("keys", "`agent attach s`"),
    ],
)
def test_what_an_editor_cannot_ask_names_the_command(kind: Any, how: str) -> None:
    assert how in elsewhere("s", RequestOpen(turn=1, request_id="r", kind=kind))


def test_a_tool_is_passed_on_with_its_name_and_where_it_works() -> None:
    at = (Location(path="src/a.py", line=12), Location(path="b.py"))
    start = ToolStart(turn=1, tool_id="t", title="Edit", tool="edit", tool_name="MultiEdit", locations=at)
    begun, moved = told(start, ToolUpdate(turn=1, tool_id="t", locations=at[1:]))
    assert begun["locations"] == [{"path": "src/a.py", "line": 12}, {"path": "b.py"}]
    assert begun["_meta"] == {"toolName": "MultiEdit"}
    assert moved["locations"] == [{"path": "b.py"}]


def test_a_permission_says_where_it_runs_and_what_its_choices_mean() -> None:
    choices = (Choice(id="y", name="Yes", kind="allow_once", description="This time"), CHOICES[1])
    asked = RequestOpen(
        turn=1, request_id="r", kind="choices", prompt="make", choices=choices, detail="make all", tool="execute",
        tool_name="Bash", cwd="/srv/app", locations=(Location(path="Makefile", line=3),),
    )  # fmt: skip
    sent = as_sent(permission("s", asked))
    assert sent["toolCall"] == {
        "toolCallId": "request-r",
        "title": "make",
        "content": content("make all\nin /srv/app"),
        "kind": "execute",
        "locations": [{"path": "Makefile", "line": 3}],
        "_meta": {"toolName": "Bash"},
    }
    assert sent["options"][0] == {"optionId": "y", "name": "Yes", "kind": "allow_once", "description": "This time"}
    (shown_as,) = told(asked)
    assert (shown_as["kind"], shown_as["locations"]) == ("execute", [{"path": "Makefile", "line": 3}])
    which = form("s", RequestOpen(turn=1, request_id="r", kind="choices", choices=choices, own_words=True))
    options = which.requested_schema["properties"]["answer"]["oneOf"]  # type: ignore[index]
    assert options[0] == {"const": "y", "title": "Yes", "description": "This time"}


def test_what_commands_and_options_mean_is_passed_on() -> None:
    review = Command(name="review", description="Look at it", hint="branch name")
    (update,) = told(SessionInfo(commands=(review, Command(name="init"))))
    assert update["availableCommands"] == [
        {"name": "review", "description": "Look at it", "input": {"hint": "branch name"}},
        {"name": "init", "description": ""},
    ]
    ask = Choice(id="ask", name="Ask", description="Before each edit")
    mode = Option(id="m", name="Mode", value="ask", category="mode", choices=(ask,), description="What it asks for")
    model = Option(id="l", name="Model", value="ask", category="model", choices=(ask,))
    found = as_sent(state("s", (mode, model)))
    assert found["modes"]["availableModes"] == [{"id": "ask", "name": "Ask", "description": "Before each edit"}]
    assert found["models"]["availableModels"] == [{"modelId": "ask", "name": "Ask", "description": "Before each edit"}]
    assert found["configOptions"][0]["description"] == "What it asks for"
    assert found["configOptions"][0]["options"] == [{"value": "ask", "name": "Ask", "description": "Before each edit"}]


def test_own_words_have_a_field_of_their_own_beside_the_choice() -> None:
    asked = form(
        "s", RequestOpen(turn=1, request_id="r", kind="choices", prompt="Which?", choices=CHOICES, own_words=True)
    )
    assert as_sent(asked)["requestedSchema"] == {
        "type": "object",
        "properties": {
            "answer": {
                "type": "string",
                "title": "Answer",
                "oneOf": [{"const": "y", "title": "Yes"}, {"const": "n", "title": "No"}],
            },
            "answer_custom": {
                "type": "string",
                "title": "Other",
                "description": "Your own answer instead of one of those above",
            },
        },
        "required": [],
    }
    field = Field(name="q", type="choices", choices=CHOICES, own_words=True, required=True)
    asked = form("s", RequestOpen(turn=1, request_id="r", kind="form", fields=(field,)))
    assert list(asked.requested_schema["properties"]) == ["q", "q_custom"]  # type: ignore[call-overload]


def test_an_editor_without_forms_is_told_where_own_words_are_taken() -> None:
    asked = RequestOpen(turn=1, request_id="r", kind="choices", prompt="Which?", choices=CHOICES, own_words=True)
    (block,) = as_sent(permission("s", asked))["toolCall"]["content"]
    assert block["content"]["text"].startswith("In your own words: in a terminal, `agent answer s r ANSWER`")


def test_options_are_modes_models_and_configuration() -> None:
    mode = Option(id="m", name="Mode", value="ask", category="mode", choices=(Choice(id="ask", name="Ask"),))
    model = Option(id="l", name="Model", value="big", category="model", choices=(Choice(id="big", name="Big"),))
    odd = Option(id="o", name="Odd", value="1", category="weather", choices=(Choice(id="1", name="One"),))
    free = Option(id="f", name="Free", value="x")
    found = as_sent(state("s", (mode, model, odd, free)))
    assert found["modes"] == {"currentModeId": "ask", "availableModes": [{"id": "ask", "name": "Ask"}]}
    assert found["models"] == {"currentModelId": "big", "availableModels": [{"modelId": "big", "name": "Big"}]}
    assert [(each["id"], each["type"], each.get("category")) for each in found["configOptions"]] == [
        ("m", "select", "mode"), ("l", "select", "model"), ("o", "select", None),
    ]  # fmt: skip
    assert as_sent(state("", ())) == {}
    other = msgspec.structs.replace(mode, value="auto")
    assert rows(changes((mode,), (other,)))[1] == {"sessionUpdate": "current_mode_update", "currentModeId": "auto"}
    assert changes((mode,), (mode, odd)) == rows_of_options((mode, odd))


def rows_of_options(options: tuple[Option, ...]) -> list[Any]:
    from agent.frontends.editors.outgoing import ConfigOptions

    return [ConfigOptions(config_options=shown(options))]


# --- turns -----------------------------------------------------------------------------------------------------------


def accepted(turn: int, status: Any) -> Submitted:
    return Submitted(turn=turn, status=status)


def see(turns: AwaitedTurns, *payloads: Payload) -> list[bool]:
    return [turns.see(payload) for payload in payloads]


async def test_a_queued_prompt_that_is_cancelled_ends_now_and_is_withdrawn() -> None:  # S12
    turns = AwaitedTurns()
    waiting = turns.sent("p")
    assert turns.accepted(waiting, accepted(2, "queued")) == Stop()
    assert turns.cancel() == Stop(withdraws=("p",))  # the running turn is somebody else's
    assert await waiting.done == "cancelled"
    turns.over("p")
    taken_back = TurnComplete(turn=2, status="interrupted", withdrawn_by=OWN)
    assert see(turns, taken_back, MessageStart(turn=2)) == [False, False]


async def test_a_prompt_that_is_not_withdrawn_in_time_is_stopped_when_it_begins() -> None:
    turns = AwaitedTurns()
    turns.accepted(turns.sent("p"), accepted(2, "queued"))
    turns.cancel()
    turns.over("p")
    done = TurnComplete(turn=1, status="complete")
    assert see(turns, done, MessageStart(turn=2), MessageStart(turn=2, part=2)) == [False, True, False]


async def test_a_running_prompt_that_is_cancelled_is_interrupted_and_ends_with_its_turn() -> None:
    turns = AwaitedTurns()
    waiting = turns.sent("p")
    turns.accepted(waiting, accepted(1, "started"))
    assert turns.cancel() == Stop(interrupts=(1,))
    assert turns.stopping
    see(turns, TurnComplete(turn=1, status="error", error="killed"))
    assert await waiting.done == "cancelled"  # whatever the reason says


async def test_a_cancel_that_comes_before_the_prompt_was_taken_is_not_lost() -> None:
    turns = AwaitedTurns()
    waiting = turns.sent("p")
    assert turns.cancel() == Stop()
    assert turns.accepted(waiting, accepted(1, "started")) == Stop(interrupts=(1,))


async def test_a_cancel_before_the_prompt_was_queued_withdraws_it_then() -> None:  # S12
    turns = AwaitedTurns()
    running, waiting = turns.sent("p"), turns.sent("q")
    turns.accepted(running, accepted(1, "started"))
    assert turns.cancel() == Stop(interrupts=(1,))
    assert turns.accepted(waiting, accepted(2, "queued")) == Stop(withdraws=("q",))
    assert await waiting.done == "cancelled"


async def test_leaving_tells_which_prompts_wait() -> None:
    turns = AwaitedTurns()
    turns.accepted(turns.sent("p"), accepted(1, "started"))
    turns.accepted(turns.sent("q"), accepted(2, "queued"))
    assert turns.leave() == ("q",)


async def test_a_turn_that_is_over_before_its_prompt_was_acknowledged_counts() -> None:
    turns = AwaitedTurns()
    waiting = turns.sent("p")
    assert turns.cancel() == Stop()
    mine = UserMessage(turn=7, prompt_id="p", text="x", sender=OWN)
    see(turns, mine, MessageStart(turn=7), TurnComplete(turn=7, status="complete"))
    assert turns.accepted(waiting, accepted(7, "started")) == Stop()  # an interrupt would hit the next turn
    assert await waiting.done == "cancelled"


async def test_a_cancel_without_a_prompt_stops_what_runs() -> None:
    assert AwaitedTurns().cancel() == Stop(interrupts=(0,))


async def test_ends_that_nobody_heard_are_not_waited_for() -> None:
    turns = AwaitedTurns()
    known, unknown = turns.sent("p"), turns.sent("q")
    turns.accepted(known, accepted(1, "started"))
    turns.nothing_runs()
    with pytest.raises(PeerLost, match="how it ended was not heard"):  # S14: that is no success
        await known.done
    assert not unknown.done.done()
    turns.leave()
    assert await unknown.done == "cancelled"


def test_a_diff_that_was_cut_says_so_on_both_of_its_sides() -> None:
    diff = Diff(path="a", patch="@@ -1,9 +1,9 @@\n-old\n+new\n\\ … 16 lines left out\n", cut=16, added=9, removed=9)
    found = told(ToolStart(turn=1, tool_id="t", title="Edit"),
                 ToolComplete(turn=1, tool_id="t", status="complete", diffs=(diff,)))  # fmt: skip
    (shown,) = found[-1]["content"]
    assert (shown["oldText"], shown["newText"]) == ("old\n… 16 lines left out\n", "new\n… 16 lines left out\n")


def test_a_full_screen_program_is_named_since_the_turn_waits_for_it() -> None:
    news = (SessionInfo(screen="vim"), SessionInfo(screen=""))
    shown = "[vim is on the screen: in a terminal, `agent attach --raw` shows it]\n\n"
    assert told(*news) == [said("agent_message_chunk", shown, "note-1")]
    assert replayed(*news) == []
