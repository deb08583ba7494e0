"""What agents ask people, and how answers reach them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from agent.adapters.backends.acp.questions import AgentQuestions
from agent.adapters.backends.acp.tools import ToolFacts
from agent.ports import Finished, ToolFinished, ToolStarted, Withdrew
from agent.protocol.events import Choice, Field, Location
from agent.protocol.jsonrpc import Request
from tests.adapters.backends.acp.agents import odd
from tests.adapters.backends.acp.conftest import Begin
from tests.fakes.listener import Listener, finished, run, said


async def test_a_permission_is_answered_by_the_option_chosen(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await session.prompt("tool! make it so")
    asked = await listener.until_asked()
    assert (asked.kind, asked.prompt) == ("choices", "make it so")
    assert asked.choices == (
        Choice(id="Ada", name="Ada", kind="allow_once"),
        Choice(id="Bob", name="Bob", kind="allow_always"),
        Choice(id="no", name="No", kind="reject_once"),
    )
    await session.answer(asked.request_id, "Ada")
    events = await listener.turn()
    assert [type(event) for event in events] == [ToolStarted, ToolFinished, Finished]


async def test_a_turn_that_ends_by_a_refusal_was_not_stopped_by_the_agent(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await session.prompt("tool! make it so")
    await session.answer((await listener.until_asked()).request_id, "no")
    assert finished(await listener.turn()) == Finished(status="interrupted")


async def test_what_is_asked_is_taken_back_before_the_cancel(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())  # which fails if it is cancelled while something is still asked
    for _ in range(3):
        await session.prompt("ask")
        asked = await listener.until_asked()
        await session.interrupt()
        events = await listener.turn()
        assert events == [Withdrew(asked.request_id, "the turn was interrupted"), Finished(status="interrupted")]
    assert said(await run(session, listener, "say fine")) == "fine "


async def test_a_form_is_asked_and_its_fields_reach_the_agent(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await session.prompt("form")
    asked = await listener.until_asked()
    assert (asked.kind, asked.prompt) == ("form", "Who?")
    assert asked.fields == (
        Field(name="name", title="Name", required=True),
        Field(name="size", type="integer", default=3),
        Field(name="colour", type="choice", choices=(Choice(id="r", name="Red"), Choice(id="g", name="Green"))),
        Field(name="tags", type="choices", choices=(Choice(id="a", name="a"), Choice(id="b", name="b"))),
        Field(name="sure", type="boolean"),
    )
    await session.answer(asked.request_id, {"name": "Ada", "tags": ["a"], "sure": True})
    got = said(await listener.turn()).removeprefix("got ")
    assert json.loads(got) == {"action": "accept", "content": {"name": "Ada", "size": 3, "tags": ["a"], "sure": True}}


async def test_a_form_may_be_declined(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await session.prompt("form")
    await session.answer((await listener.until_asked()).request_id, "decline")
    assert said(await listener.turn()) == 'got {"action": "decline"}'


async def test_a_page_to_open_is_shown(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await session.prompt("url")
    asked = await listener.until_asked()
    assert (asked.kind, asked.prompt, asked.detail) == ("choices", "Log in", "https://example.org/x")
    await session.answer(asked.request_id, "accept")
    assert said(await listener.turn()) == "url accept"


async def test_a_page_that_was_opened_elsewhere_is_no_longer_asked_for(begin: Begin, listener: Listener) -> None:
    session = await begin(odd())
    await session.prompt("url opened")
    asked = await listener.until_asked()
    events = await listener.turn()
    assert events[0] == Withdrew(asked.request_id, "it was done in a browser")
    assert said(events) == "url accept"


async def test_questions_of_an_agent_that_dies_are_withdrawn(begin: Begin, listener: Listener) -> None:
    import os
    import signal

    session = await begin(odd())
    await session.prompt("ask")
    asked = await listener.until_asked()
    os.kill(session.processes()[0], signal.SIGKILL)
    events = await listener.turn()
    assert Withdrew(asked.request_id, "the turn has failed") in events
    assert finished(events).status == "error"
    await session.answer(asked.request_id, "Ada")  # no error, and nobody gets it
    assert said(await run(session, listener, "say x")) == "x "


async def test_ids_of_questions_do_not_come_again_in_another_process(begin: Begin, listener: Listener) -> None:
    ids = set()
    for _ in range(3):
        session = await begin(odd(), restored=True)
        await session.prompt("ask")
        ids.add((await listener.until_asked()).request_id)
        await session.close()
    assert len(ids) == 3


def permission(**fields: object) -> Request[Raw]:
    return Request(Raw(b"1"), "session/request_permission", Raw(json.dumps(fields).encode()))


def test_what_a_permission_is_about_is_shown_without_any_tool_call() -> None:
    diff = {"type": "diff", "path": "a.txt", "oldText": "one\ntwo\n", "newText": "one\n2\n"}
    note = {"type": "content", "content": {"type": "text", "text": "May I?"}}
    call = {
        "toolCallId": "x",
        "title": "Edit a.txt",
        "rawInput": {"command": ["bash", "-lc", "sed"]},
        "content": [note, diff],
    }
    question = AgentQuestions().ask(
        permission(toolCall=call, options=[{"optionId": "y", "name": "Yes", "kind": "allow_once"}])
    )
    assert question
    assert question.asked.prompt == "Edit a.txt"
    assert question.asked.detail == "sed\nMay I?\na.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"

    call |= {"rawInput": {"changes": {"a.txt": {"content": "one\n2\n"}}}}  # of codex: the diff says it better
    question = AgentQuestions().ask(permission(toolCall=call, options=[{"optionId": "y"}]))
    assert question
    assert question.asked.detail == "May I?\na.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"


def test_a_permission_says_where_its_command_would_run_and_what_it_means() -> None:
    call = {
        "toolCallId": "t1",
        "title": "make",
        "kind": "execute",
        "rawInput": {"command": "make", "cwd": "/srv/app"},
        "locations": [{"path": "/srv/app/Makefile", "line": 3}],
        "_meta": {"claudeCode": {"toolName": "Bash"}},
    }
    options = [{"optionId": "y", "name": "Yes", "kind": "allow_once", "description": "This time"}]
    question = AgentQuestions().ask(permission(toolCall=call, options=options))
    assert question
    asked = question.asked
    assert (asked.tool, asked.tool_name, asked.cwd) == ("execute", "Bash", "/srv/app")
    assert asked.locations == (Location(path="/srv/app/Makefile", line=3),)
    assert asked.choices[0].description == "This time"

    # Agents tell it with the call, and ask with little more than the title.
    told = ToolFacts(kind="execute", name="bash", cwd="/srv", locations=(Location(path="a"),))
    known = AgentQuestions(lambda call_id: told if call_id == "t1" else ToolFacts())
    question = known.ask(permission(toolCall={"toolCallId": "t1", "title": "make"}, options=options))
    assert question
    assert (question.asked.tool, question.asked.tool_name, question.asked.cwd) == ("execute", "bash", "/srv")
    assert question.asked.locations == (Location(path="a"),)
    question = known.ask(permission(toolCall={"toolCallId": "other", "title": "make"}, options=options))
    assert question
    assert (question.asked.tool_name, question.asked.cwd, question.asked.locations) == ("", "", ())


def test_what_the_choices_of_a_field_mean_is_told() -> None:
    question = AgentQuestions().ask(elicitation({"q": select("red")}))
    assert question
    assert question.asked.fields[0].choices == (Choice(id="red", name="red", description="about red"),)


def test_options_whose_ids_are_too_long_or_the_same_can_be_told_apart() -> None:
    options = [{"optionId": "x" * 200, "name": "A"}, {"optionId": "b", "name": "B"}, {"optionId": "b", "name": "C"}]
    questions = AgentQuestions()
    question = questions.ask(permission(toolCall={}, options=options))
    assert question
    assert [choice.id for choice in question.asked.choices] == ["option-1", "b", "option-3"]
    found = questions.answered(question.asked.request_id, "option-1")
    assert found
    assert found[1] == {"outcome": {"outcome": "selected", "optionId": "x" * 200}}


def elicitation(properties: dict[str, object], *required: str) -> Request[Raw]:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    params = {"mode": "form", "message": "Which?", "requestedSchema": schema}
    return Request(Raw(b"1"), "elicitation/create", Raw(json.dumps(params).encode()))


def select(*labels: str, several: bool = False) -> dict[str, object]:
    """A question as Claude's agent asks it (claude-agent-acp, `askUserQuestionsToCreateRequest`)."""
    options = [{"const": label, "title": label, "description": f"about {label}"} for label in labels]
    if several:
        return {"type": "array", "title": "Colour", "items": {"anyOf": options}}
    return {"type": "string", "title": "Colour", "oneOf": options}


OTHER = {"type": "string", "title": "Other", "description": "Type your own answer"}


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        ({"question_0": "red"}, {"question_0": "red"}),
        ({"question_0": "rather mauve"}, {"question_0_custom": "rather mauve"}),
        ({"question_1": ["red", "mauve"]}, {"question_1": ["red"], "question_1_custom": "mauve"}),
        ({"question_1": ["mauve"]}, {"question_1_custom": "mauve"}),
        ({"question_0": "blue", "question_1": ["blue"]}, {"question_0": "blue", "question_1": ["blue"]}),
    ],
)
def test_a_question_of_claude_takes_own_words_beside_its_choices(answer: dict[str, Any], content: object) -> None:
    questions = AgentQuestions()
    question = questions.ask(
        elicitation(
            {
                "question_0": select("red", "blue"),
                "question_0_custom": OTHER,
                "question_1": select("red", "blue", several=True),
                "question_1_custom": OTHER,
            }
        )
    )
    assert question
    assert [(field.name, field.type, field.own_words) for field in question.asked.fields] == [
        ("question_0", "choice", True), ("question_1", "choices", True),
    ]  # fmt: skip
    found = questions.answered(question.asked.request_id, answer)
    assert found
    assert found[1] == {"action": "accept", "content": content}


def test_the_only_question_of_an_older_claude_takes_own_words_too() -> None:
    question = AgentQuestions().ask(elicitation({"question_0": select("red"), "customAnswer": OTHER}))
    assert question
    assert question.own_words == {"question_0": "customAnswer"}


@pytest.mark.parametrize(
    "properties",
    [
        # One box for several questions belongs to none of them.
        {"question_0": select("red"), "question_1": select("red"), "customAnswer": OTHER},
        {"colour": select("red"), "other": OTHER},
        {"name": {"type": "string"}, "name_custom": OTHER},
        {"name": select("red"), "name_custom": {"type": "integer"}},
    ],
)
def test_other_fields_beside_a_choice_stay_fields(properties: dict[str, object]) -> None:
    question = AgentQuestions().ask(elicitation(properties))
    assert question
    assert [field.name for field in question.asked.fields] == list(properties)
    assert not any(field.own_words for field in question.asked.fields)


def test_a_choice_that_must_be_made_takes_no_own_words() -> None:
    # Its answer must stand in the field itself.
    question = AgentQuestions().ask(elicitation({"q": select("red"), "q_custom": OTHER}, "q"))
    assert question
    assert len(question.asked.fields) == 2


def test_an_agent_that_asks_without_end_is_not_heard() -> None:
    questions = AgentQuestions()
    asked = [questions.ask(permission(options=[{"optionId": "y"}])) for _ in range(100)]
    assert len([each for each in asked if each is not None]) == len(questions.open) == 32


@pytest.mark.parametrize(
    "params", [{"options": []}, {"options": "all"}, {}, {"options": [{"name": "no id"}]}, {"options": [7]}]
)
def test_a_permission_that_nobody_could_answer_is_not_asked(params: dict[str, object]) -> None:
    assert AgentQuestions().ask(permission(**params)) is None
