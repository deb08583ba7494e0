"""Each event of hermes-agent 0.19.0, as it was recorded, in this project's words; the past; what must not be read."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from msgspec import Raw

from agent.adapters.backends.hermes import mapping
from agent.adapters.backends.hermes.history import GOES_ON, PastTool, PastTurn, logged, missing, turns_of, unseen
from agent.adapters.backends.hermes.questions import HermesQuestions, PendingQuestion
from agent.adapters.backends.hermes.redact import Redactor
from agent.adapters.backends.hermes.turns import TurnTracker
from agent.adapters.backends.hermes.wire import GatewayEvent, GatewayQuestion, HistoryEntry
from agent.ports import (
    Asked,
    BackendEvent,
    Described,
    Exchange,
    Finished,
    Planned,
    Said,
    Thought,
    ToolFinished,
    ToolStarted,
    Withdrew,
)
from agent.protocol.events import Answer, Choice, Location

RECORDED = [
    json.loads(line) for line in (Path(__file__).parent / "recordings/turns.jsonl").read_text("utf-8").splitlines()
]
REDACTOR = Redactor(Path("/home/me"))


def event(row: dict[str, object]) -> GatewayEvent:
    return GatewayEvent(str(row["type"]), "live", Raw(msgspec.json.encode(row.get("payload", {}))))


def first(kind: str) -> GatewayEvent:
    return next(event(row) for row in RECORDED if row["type"] == kind)


def shown(kind: str) -> list[BackendEvent]:
    told = first(kind)
    return mapping.shown(told.type, told.payload, REDACTOR)


def test_what_is_said_and_thought() -> None:
    assert shown("message.delta") == [Said("piece 1 ")]
    assert shown("reasoning.delta") == [Thought("thought 1 ")]
    assert shown("message.interim") == []  # streamed already


def test_tools() -> None:
    (started,) = shown("tool.start")
    assert isinstance(started, ToolStarted)
    assert (started.tool, started.tool_name, started.title) == ("terminal", "terminal", "Running echo hi")
    (done,) = shown("tool.complete")
    assert isinstance(done, ToolFinished)
    assert (done.tool_id, done.status, done.output) == (started.tool_id, "complete", "hi")
    assert mapping.command_of(first("tool.complete").payload) == "echo hi"


def test_the_file_that_a_tool_was_given_is_where_it_works() -> None:
    done = {"tool_id": "t", "name": "read_file", "args": {"path": "/home/me/notes.txt"}, "result": {"output": "x"}}
    (told,) = mapping.shown("tool.complete", Raw(json.dumps(done).encode()), REDACTOR)
    assert isinstance(told, ToolFinished)
    assert told.locations == (Location(path="~/notes.txt"),)


def test_a_list_of_tasks_is_a_plan() -> None:
    plans = [
        told
        for row in RECORDED
        for told in mapping.shown(str(row["type"]), event(row).payload, REDACTOR)
        if isinstance(told, Planned)
    ]
    assert [(entry.text, entry.status) for entry in plans[0].entries] == [
        ("first", "in_progress"),
        ("second", "pending"),
    ]


def test_titles_and_models_and_nothing_else_of_what_is_known() -> None:
    assert isinstance(title := shown("session.title")[0], Described)
    assert str(title.title).startswith("A title")
    assert shown("session.info") == [Described(model="fake")]


@pytest.mark.parametrize("kind", ["thinking.delta", "status.update", "tool.generating", "reasoning.available"])
def test_what_has_no_name_here_is_not_passed_on(kind: str) -> None:
    assert shown(kind) == []


@pytest.mark.parametrize(
    ("kind", "asks", "choices"),
    [
        ("approval.request", "choices", ["once", "session", "always", "deny"]),
        ("clarify.request", "choices", ["red", "blue"]),
    ],
)
def test_questions(kind: str, asks: str, choices: list[str]) -> None:
    questions = HermesQuestions(REDACTOR, remote_secrets=False)
    (asked,) = questions.event(first(kind)) or []
    assert isinstance(asked, Asked)
    assert asked.kind == asks
    assert [choice.id for choice in asked.choices] == choices
    assert asked.own_words == (kind == "clarify.request")  # whose every surface offers "Other"
    assert questions.clear("the turn is over") == [Withdrew(asked.request_id, "the turn is over")]


def test_questions_of_a_form_take_own_words_beside_their_choices() -> None:
    questions = HermesQuestions(REDACTOR, remote_secrets=False)
    parts = [{"qid": "a", "question": "Which?", "choices": ["red", "blue"]}, {"qid": "b", "question": "Why?"}]
    (asked,) = (
        questions.question(GatewayQuestion("srq-1", "clarify", "s", Raw(json.dumps({"questions": parts}).encode())))
        or []
    )
    assert isinstance(asked, Asked)
    assert [(field.type, field.own_words) for field in asked.fields] == [("choice", True), ("text", False)]


def clarify(**params: object) -> PendingQuestion:
    questions = HermesQuestions(REDACTOR, remote_secrets=False)
    (asked,) = questions.question(GatewayQuestion("srq-1", "clarify", "s", Raw(json.dumps(params).encode()))) or []
    assert isinstance(asked, Asked)
    pending = questions.take(asked.request_id)
    assert pending is not None
    return pending


def test_long_choices_are_answered_with_all_of_their_words() -> None:
    long = ["x" * 200, "y" * 200]
    alone = clarify(question="Which?", choices=long)
    assert alone.reply(alone.asked.choices[1].id, "s") == ("", {"answer": long[1]})
    parts = [{"qid": "a", "question": "Which?", "choices": long}, {"qid": "b", "choices": long, "multi_select": True}]
    several = clarify(questions=parts)
    first, second = several.asked.fields
    answer: Answer = {"a": first.choices[1].id, "b": [second.choices[0].id, "neither"]}
    assert several.reply(answer, "s") == ("", {"answers": {"a": long[1], "b": [long[0], "neither"]}})


def test_a_question_for_several_choices_that_is_declined_gets_no_answer() -> None:
    question = clarify(question="Which?", choices=["red", "blue"], multi_select=True)
    assert question.reply("decline", "s") == ("", {"answer": ""})
    assert question.reply({"answer": ["red", "a little green"]}, "s") == ("", {"answer": "red, a little green"})


def test_an_approval_with_words_that_nobody_here_knows_can_still_be_answered() -> None:
    questions = HermesQuestions(REDACTOR, remote_secrets=False)
    params = Raw(json.dumps({"command": "ls", "choices": ["once", "sandbox"]}).encode())
    (asked,) = questions.question(GatewayQuestion("srq-1", "approval", "s", params)) or []
    assert isinstance(asked, Asked)
    assert asked.choices == (
        Choice(id="once", name="Allow once", kind="allow_once"), Choice(id="sandbox", name="sandbox"),
    )  # fmt: skip


async def test_whole_turns_as_they_were_recorded() -> None:
    told: list[BackendEvent] = []

    async def emit(event: BackendEvent) -> None:
        told.append(event)

    tracker = TurnTracker(emit, REDACTOR, HermesQuestions(REDACTOR, remote_secrets=False))
    for row in RECORDED:
        happened = event(row)
        if tracker.begun(happened) is not None and tracker.turn is None:
            await tracker.begin("asked", ours=True)
        asked = tracker.questions.event(happened)
        await (tracker.tell(asked) if asked is not None else tracker.happened(happened))
    ends = [each for each in told if isinstance(each, Finished)]
    assert [end.status for end in ends] == ["complete"] * 4 + ["interrupted", "error"]
    assert ends[-1].error == "HTTP 400: refused, as the prompt asked"
    deltas = "".join(str(row["payload"]["text"]) for row in RECORDED if row["type"] == "message.delta")
    assert "".join(each.text for each in told if isinstance(each, Said)) == deltas  # byte for byte, nothing twice
    assert "/home/me" not in repr(told)
    assert "You are Hermes" not in repr(told)


def test_paths_of_the_home_are_redacted_and_only_those() -> None:
    assert REDACTOR.redacted("ls /home/me/x /home/me /home/mellow /home/me.old") == "ls ~/x ~ /home/mellow /home/me.old"


# --- the past ---------------------------------------------------------------------------------------------------------


def test_turns_of_a_conversation() -> None:
    messages = [
        HistoryEntry(role="system", text="be brief"),
        HistoryEntry(role="user", text="one"),
        HistoryEntry(role="tool", name="terminal", context="Running ls"),
        HistoryEntry(role="assistant", text="done"),
    ]
    assert turns_of(messages) == [PastTurn("one", (PastTool("terminal", "Running ls"), "done"))]


@pytest.mark.parametrize(
    ("said", "whole", "rest"),
    [
        ("a b ", "a b c", "c"),
        ("a b", "a b c", " c"),
        ("a\n\nb", "a b", ""),
        ("a x", "a b c", ""),
        ("", "a", "a"),
        ("a b c", "a b", ""),
    ],
)
def test_only_what_is_missing_is_said(said: str, whole: str, rest: str) -> None:
    assert missing(said, whole) == rest


def test_the_newest_place_where_both_agree_longest_counts() -> None:
    turns = [PastTurn("go on", ("a",)), PastTurn("go on", ("b",)), PastTurn("go on", ("c",))]
    assert unseen([], turns).turns == tuple(turns)
    assert unseen([Exchange("go on", "a"), Exchange("go on", "b")], turns).turns == (turns[2],)
    assert unseen([Exchange("go on", "c")], turns).turns == ()
    condensed = unseen([Exchange("other", "x")], turns)
    assert (condensed.last, condensed.turns) == (None, ())


def test_what_went_on_after_a_restart_is_one_turn() -> None:
    assert logged([Exchange("one", "a "), Exchange(GOES_ON, "b")]) == [Exchange("one", "a b")]
