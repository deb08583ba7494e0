"""Questions in Hermes's words, one at a time; what the person answers, and what nobody meant as an answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from agent.errors import BadParams, RequestNotFound
from agent.frontends.hermes_ui.outgoing import UiEvent
from agent.frontends.hermes_ui.questions import EMPTY, LEAVE, UNSEEN, UiQuestions, approvals
from agent.protocol.events import Choice, Location, RequestOpen
from tests.frontends.agents import FORM
from tests.frontends.gateway import HERE
from tests.frontends.hermes_ui.recorded import assert_shape

ALLOW = (
    Choice(id="a1", name="Allow once", kind="allow_once"),
    Choice(id="a2", name="Always", kind="allow_always"),
    Choice(id="r1", name="Reject", kind="reject_once"),
)


def request(which: str = "r", **more: Any) -> RequestOpen:
    return RequestOpen(turn=1, request_id=which, **{"kind": "line", "prompt": "Which?", **more})


def questions() -> UiQuestions:
    return UiQuestions(HERE, local=True)


def shown(frames: Iterable[UiEvent]) -> list[tuple[str, Any]]:
    told = []
    for frame in frames:
        assert_shape(frame.type, frame.payload)
        told.append((frame.type, frame.payload))
    return told


def test_allowing_and_refusing_is_an_approval_as_recorded() -> None:
    asked = request(kind="choices", choices=ALLOW, prompt="Run it?", detail="rm -rf \x1b[8m./nothing")
    about, (kind, payload) = shown(questions().opened(asked))
    assert about[0] == "review.summary"
    assert "./nothing" in about[1]["text"]
    assert "\x1b" not in about[1]["text"]
    assert kind == "approval.request"
    assert payload["choices"] == ["once", "always", "deny"]
    assert (payload["command"], payload["description"]) == ("rm -rf ./nothing", "Run it?")  # T10


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        (ALLOW, {"once": "a1", "always": "a2", "deny": "r1"}),
        # Those of Hermes itself, one of which has no kind of its own.
        (
            (
                Choice(id="once", name=""),
                Choice(id="session", name="", kind="allow_always"),
                Choice(id="deny", name=""),
            ),
            {"once": "once", "session": "session", "deny": "deny"},
        ),
        # An id of Hermes's for another kind of choice: the kind counts.
        (
            (
                Choice(id="once", name="", kind="allow_always"),
                Choice(id="always", name="", kind="allow_once"),
                Choice(id="deny", name="", kind="reject_once"),
            ),
            {"always": "once", "once": "always", "deny": "deny"},
        ),
        # Two of one kind, another kind, nothing to refuse with: the UI has no words for these.
        ((*ALLOW, Choice(id="a3", name="", kind="allow_once")), {}),
        ((*ALLOW, Choice(id="r2", name="Never", kind="reject_always")), {}),
        (ALLOW[:2], {}),
        ((Choice(id="y", name="Yes"), Choice(id="n", name="No")), {}),
    ],
)
def test_which_choices_are_an_approval(choices: tuple[Choice, ...], words: dict[str, str]) -> None:
    found = approvals(request(kind="choices", choices=choices))
    assert {word: choice.id for word, choice in found.items()} == words


def test_what_takes_own_words_is_no_approval_and_takes_them() -> None:
    asked = questions()
    ((kind, payload),) = shown(asked.opened(request(kind="choices", choices=ALLOW, own_words=True)))
    assert (kind, payload["choices"]) == ("clarify.request", ["Allow once", "Always", "Reject"])
    assert asked.given("r", "rather not now")[1] == "rather not now"
    assert asked.given("r", "Always")[1] == "a2"


def test_the_choice_that_was_shown_is_meant_whatever_others_are_called() -> None:  # T10
    odd = (Choice(id="2", name="one\x1b[2J"), Choice(id="1", name="two"), Choice(id="x", name="two"))
    asked = questions()
    ((_, payload),) = shown(asked.opened(request(kind="choices", choices=odd)))
    assert payload["choices"] == ["one\ufffd[2J", "two", "two (3)"]
    assert [asked.given("r", label)[1] for label in payload["choices"]] == ["2", "1", "x"]


def test_where_a_command_would_run_and_what_choices_mean_is_shown() -> None:
    asked = request(
        kind="choices", choices=ALLOW, prompt="Run it?", detail="make", cwd="/srv/app", locations=(Location(path="a"),)
    )  # fmt: skip
    about, approval = shown(questions().opened(asked))
    assert about[1]["text"].splitlines() == ["    make", "    in /srv/app", "    at a"]
    assert approval[0] == "approval.request"
    told = (Choice(id="r", name="Red", description="as\x1b[2J blood"), Choice(id="g", name="Green"))
    which = questions()
    ((_, payload),) = shown(which.opened(request(kind="choices", choices=told, own_words=True)))
    assert payload["choices"] == ["Red: as\ufffd[2J blood", "Green"]  # T10
    assert which.given("r", payload["choices"][0])[1] == "r"


def test_an_approval_is_answered_by_the_choice_of_the_session() -> None:
    asked = questions()
    with pytest.raises(RequestNotFound):
        asked.chosen("once", 0.0)
    asked.opened(request(kind="choices", choices=ALLOW))
    assert asked.chosen("always", 0.0)[1] == "a2"
    with pytest.raises(BadParams):
        asked.chosen("session", 0.0)


def test_a_line_a_choice_by_name_and_a_secret() -> None:
    asked = questions()
    assert shown(asked.opened(request())) == [
        ("clarify.request", {"request_id": "r", "question": "Which?", "choices": None})
    ]
    assert asked.given("r", "forty-two")[1] == "forty-two"
    asked = questions()
    yes_no = (Choice(id="y", name="Yes"), Choice(id="n", name="No"))
    ((kind, payload),) = shown(asked.opened(request(kind="choices", choices=yes_no)))
    assert (kind, payload["choices"]) == ("clarify.request", ["Yes", "No"])
    assert asked.given("r", "No")[1] == "n"
    _, answer, frames = asked.given("r", "perhaps")
    assert answer is None
    assert [frame.type for frame in frames] == ["review.summary", "clarify.request"]  # says why, asks again
    asked = questions()
    assert shown(asked.opened(request(kind="secret", prompt="Password: "))) == [
        ("secret.request", {"request_id": "r", "prompt": "Password:", "env_var": "this session"})
    ]
    assert asked.given("r", "hunter2")[1] == "hunter2"


def test_dismissing_a_line_is_not_answering_it() -> None:
    # The UI sends the same for Esc and for Enter on nothing: an empty line may say yes to something.
    asked = questions()
    asked.opened(request())
    _, answer, frames = asked.given("r", "")
    assert answer is None
    ((_, payload),) = shown(frames)
    assert payload["choices"] == [EMPTY, LEAVE]
    assert asked.given("r", EMPTY)[1] == ""
    asked.given("r", "")
    assert asked.given("r", "so be it")[1] == "so be it"
    asked.given("r", "")
    _, answer, frames = asked.given("r", "")
    assert answer is None
    assert "still asked: `agent answer" in shown(frames)[0][1]["text"]
    assert asked.shown is None


def test_a_form_is_asked_field_by_field() -> None:
    asked = questions()
    ((_, payload),) = shown(asked.opened(FORM))
    assert "count (whole number, required): How many" in payload["question"]
    _, answer, frames = asked.given("form-1", "many")
    assert answer is None
    assert "whole number" in shown(frames)[0][1]["text"]  # says why, asks again
    _, answer, frames = asked.given("form-1", "3")
    assert shown(frames)[0][1]["choices"] == ["Ask first", "Do it"]
    asked.given("form-1", "Ask first")
    assert asked.given("form-1", "")[1] == {"count": 3, "mode": "ask"}
    asked = questions()
    asked.opened(FORM)
    assert asked.given("form-1", "decline")[1] == "decline"


def test_keys_and_what_may_not_be_answered_here_are_lines() -> None:
    asked = questions()
    ((kind, payload),) = shown(asked.opened(request(kind="keys")))
    assert kind == "review.summary"
    assert "agent attach --raw" in payload["text"]
    elsewhere = UiQuestions(HERE, local=False)
    ((kind, payload),) = shown(elsewhere.opened(request(kind="secret", local=True)))
    assert kind == "review.summary"
    assert "own device only" in payload["text"]
    assert shown(UiQuestions(HERE, local=True).opened(request(kind="secret", local=True)))[0][0] == "secret.request"


def test_one_question_at_a_time() -> None:
    asked = questions()
    asked.opened(request("one"))
    assert asked.opened(request("two")) == []
    assert asked.opened(request("one")) == []  # told again
    asked.answers("one")
    assert asked.closed("one", 0.0) == (False, [])  # the UI puts it away when it has the reply to its answer
    ((_, payload),) = shown(asked.put_away())
    assert payload["request_id"] == "two"
    assert asked.put_away() == []


def test_an_answer_whose_end_comes_late_withdraws_nothing() -> None:
    asked = questions()
    asked.opened(request("one"))
    asked.answers("one")
    asked.put_away()
    assert asked.closed("one", 0.0) == (False, [])
    assert asked.was_answered("one")


def test_a_question_that_was_answered_elsewhere_is_withdrawn() -> None:  # S9
    asked = questions()
    asked.opened(request("one"))
    asked.opened(request("two"))
    assert asked.closed("two", 0.0) == (False, [])  # it was not shown
    assert asked.closed("one", 0.0) == (True, [])
    with pytest.raises(RequestNotFound, match="no longer asked"):
        asked.given("one", "late")
    asked.told_over("one", "desk answered first: 42")
    with pytest.raises(RequestNotFound, match="desk answered first: 42"):
        asked.given("one#1", "late")
    with pytest.raises(RequestNotFound, match="desk answered first: 42"):
        asked.chosen("once", 0.0)


def test_an_approval_meant_for_the_question_before_is_not_taken() -> None:
    # The protocol's approvals name no question: "once" for the first must not allow the second.
    asked = questions()
    asked.opened(request("one", kind="choices", choices=ALLOW))
    asked.opened(request("two", kind="choices", choices=ALLOW))
    withdrawn, frames = asked.closed("one", 100.0)
    assert withdrawn
    assert [frame.type for frame in frames] == ["approval.request"]
    with pytest.raises(BadParams, match="look again"):
        asked.chosen("once", 100.0 + UNSEEN - 0.1)
    assert asked.chosen("once", 100.0 + UNSEEN)[0].request_id == "two"


def test_what_is_open_after_a_lost_connection() -> None:
    asked = questions()
    asked.opened(request("one"))
    withdrawn, frames = asked.open_now((request("two"),), 0.0)
    assert withdrawn
    assert [payload["request_id"] for _, payload in shown(frames)] == ["two"]
