"""Forms: filled in field by field on a terminal, as JSON by scripts, refused; wrong values are told before sending."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.client.form_input import FormInput
from agent.errors import BadParams, Busy
from agent.paths import control_socket_path
from agent.protocol.events import Choice, Field, RequestClosed, RequestOpen
from tests.frontends.agents import FORM, MODES, AgentGateway
from tests.frontends.cli.test_attach import Terminal
from tests.frontends.conftest import Agent
from tests.frontends.gateway import HERE


@pytest.fixture
def gateway(home: Path) -> Iterator[AgentGateway]:
    fake = AgentGateway(control_socket_path(os.environ))
    fake.requests[FORM.request_id] = FORM
    yield fake
    fake.close()


@pytest.fixture
def answering(gateway: AgentGateway) -> Iterator[Terminal]:
    shown = Terminal("answer", HERE)
    yield shown
    shown.close()


def form(*fields: Field) -> FormInput:
    return FormInput(RequestOpen(turn=1, request_id="r", kind="form", fields=fields))


@pytest.mark.parametrize(
    ("field", "typed", "value"),
    [
        (Field(name="f", type="integer"), " 7 ", 7),
        (Field(name="f", type="number"), "1.5", 1.5),
        (Field(name="f", type="boolean"), "No", False),
        (Field(name="f", type="choice", choices=MODES), "2", "free"),
        (Field(name="f", type="choice", choices=MODES), "ask first", "ask"),
        (Field(name="f", type="choices", choices=MODES), "Do it, 1", ["free", "ask"]),
        (Field(name="f"), "7", "7"),
        (Field(name="f", type="integer", default=3), "", 3),
        (Field(name="f", type="boolean", default=False, required=True), "", False),
        (Field(name="f", type="choices", choices=MODES, default="ask"), "", ["ask"]),
    ],
)
def test_a_typed_line_becomes_the_value_of_its_field(field: Field, typed: str, value: object) -> None:
    assert form(field).take(typed) == {"f": value}


@pytest.mark.parametrize(
    "field",
    [Field(name="f"), Field(name="f", type="integer", default="many"), Field(name="f", type="choice", default="gone")],
)
def test_an_empty_line_leaves_out_what_has_no_usable_default(field: Field) -> None:
    assert form(field).take("") == {}


@pytest.mark.parametrize(
    ("field", "typed", "words"),
    [
        (Field(name="f", required=True), "", "f is needed"),
        (Field(name="f", type="integer"), "1.5", "a whole number"),
        (Field(name="f", type="integer"), "9" * 30, "a whole number"),
        (Field(name="f", type="number"), "nan", "a number"),
        (Field(name="f", type="boolean"), "perhaps", "yes or no"),
        (Field(name="f", type="choice", choices=MODES), "3", "none of the choices"),
        (Field(name="f", type="choices", choices=MODES), "1,3", "none of the choices"),
        (Field(name="f"), '{"g": 1}', "no field 'g'"),
        (Field(name="f"), "{", "a JSON object"),
    ],
)
def test_a_wrong_value_is_told_and_the_field_asked_again(field: Field, typed: str, words: str) -> None:
    asked = form(field)
    with pytest.raises(BadParams, match=words):
        asked.take(typed)
    assert asked.field == field
    assert asked.take("decline") == "decline"


def test_a_form_without_fields_takes_an_object() -> None:
    assert form().take('{"a": [], "b": null}') == {"a": [], "b": None}


def test_a_label_is_cleaned_and_names_the_default() -> None:  # T10
    choices = (Choice(id="a", name="A\x1b[2J"),)
    assert form(Field(name="x\x07", type="choice", choices=choices, default="a")).label == "x� [A�[2J]: "


def test_answer_asks_field_by_field_on_a_terminal(gateway: AgentGateway, answering: Terminal) -> None:
    answering.until(
        "? How shall it be?\n  (decline refuses to fill it in)\n  count (whole number, required): How many\n"
    )
    answering.until("count: ")
    answering.type("many\r")
    answering.until("agent: count is a whole number\n")
    answering.until("count: ")
    answering.type("3\r")
    answering.until("  mode (one of these, default Do it)\n    1) Ask first\n    2) Do it\nmode [Do it]: ")
    answering.type("\r")
    answering.until("  why (text)\n    For the log\nwhy: ")
    assert not gateway.called("request.answer")
    answering.type("so\r")
    assert answering.child.wait(10) == 0
    assert gateway.called("request.answer")[0].answer == {"count": 3, "mode": "free", "why": "so"}


def test_answer_on_a_terminal_ends_with_the_input(gateway: AgentGateway, answering: Terminal) -> None:
    answering.until("count: ")
    answering.type("\x04")
    assert answering.child.wait(10) == 130
    assert not gateway.called("request.answer")
    assert answering.restored()


def test_attach_asks_field_by_field_and_starts_over_when_refused(gateway: AgentGateway) -> None:
    gateway.refusals["request.answer"] = Busy("not now")
    shown = Terminal("attach", HERE)
    try:
        shown.until("-- mode: Ask first · model: Small one\n")
        shown.until("-- commands: /init /re�[2Jview /0 /1")
        shown.until(" /9 and 2 more\n")
        shown.until("count: ")
        shown.type("3\r")
        shown.until("   count: 3\n")
        shown.until("mode [Do it]: ")
        shown.type("x\r")
        shown.until(
            "-- 'x' is none of the choices (give a number, name or id: 1 = Ask first (ask), 2 = Do it (free))\n"
        )
        shown.type("1\r")
        shown.until("why: ")
        shown.type("\r")
        shown.until("-- not now")
        shown.until("count: ")
        del gateway.refusals["request.answer"]
        shown.type("decline\r")
        shown.until("[laptop] decline\n")
        shown.until("> ")
        assert [call.answer for call in gateway.called("request.answer")] == [{"count": 3, "mode": "ask"}, "decline"]
        gateway.requests["form-2"] = FORM
        gateway.emit(msgspec.structs.replace(FORM, request_id="form-2"))
        shown.until("count: ")
        shown.type("4\r")
        shown.until("mode [Do it]: ")
        gateway.emit(RequestClosed(turn=1, request_id="form-2", status="expired", reason="the turn is over"))
        shown.until("  no longer asked: the turn is over\n")
        shown.until("> ")
    finally:
        shown.close()


def test_scripts_give_an_object_or_decline(gateway: AgentGateway, agent: Agent) -> None:
    for wrong, words in (
        ("yes", "agent: a form is answered by a JSON object"),
        ("{}", "agent: the form needs 'count'"),
        ('{"count": "3"}', "agent: 'count' takes a whole number"),
        ('{"count": 3, "mode": "no"}', "agent: mode: 'no' is not one of the choices"),
    ):
        ran = agent("answer", HERE, wrong)
        assert (ran.status, ran.err.splitlines()[0]) == (2, words)
    assert not gateway.called("request.answer")
    assert agent("answer", HERE, json.dumps({"count": 3, "mode": "Ask first"})).status == 0
    assert gateway.called("request.answer")[0].answer == {"count": 3, "mode": "ask"}
    gateway.requests[FORM.request_id] = FORM
    assert agent("answer", HERE, "decline").status == 0
    assert gateway.called("request.answer")[1].answer == "decline"
