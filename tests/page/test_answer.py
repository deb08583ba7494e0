"""`answer.js`: what is filled in means what the service takes, and nothing hides in what is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.errors import BadParams
from agent.protocol.answers import checked
from agent.protocol.events import Choice, Field, RequestOpen

pytestmark = pytest.mark.device

Run = Callable[..., Any]
CHOICES = [{"id": "a", "name": "Apples"}, {"id": "b", "name": "Bread"}]
ABSENT = "absent"
FIELDS: list[tuple[dict[str, Any], Any, str, Any]] = [
    # field, what the control gives, own words, the value: ABSENT is left out, a text of ask.* is what is wrong
    ({}, "as it is", "", "as it is"),
    ({"type": "text"}, "", "", ABSENT),
    ({"type": "text", "required": True}, "", "", "ask.needed"),
    ({"type": "text", "required": True, "default": "x"}, "", "", ABSENT),
    ({"type": "text"}, " as it is ", "", " as it is "),
    ({"type": "integer"}, "12", "", 12),
    ({"type": "integer"}, "1.5", "", "ask.integer"),
    ({"type": "integer"}, "9007199254740993", "", "ask.integer"),
    ({"type": "number"}, "1.5", "", 1.5),
    ({"type": "number"}, "1e999", "", "ask.number"),
    ({"type": "number", "required": True}, " ", "", "ask.needed"),
    ({"type": "boolean"}, None, "", ABSENT),
    ({"type": "boolean", "required": True}, False, "", False),
    ({"type": "choice", "choices": CHOICES}, "b", "", "b"),
    ({"type": "choice", "choices": CHOICES, "required": True}, "", "", "ask.needed"),
    ({"type": "choice", "choices": CHOICES, "own_words": True}, "b", "pears", "pears"),
    ({"type": "choice", "choices": CHOICES}, "b", "pears", "b"),
    ({"type": "choices", "choices": CHOICES}, ["a", "b"], "", ["a", "b"]),
    ({"type": "choices", "choices": CHOICES, "own_words": True}, ["a"], "pears, plums", ["a", "pears, plums"]),
    ({"type": "choices", "choices": CHOICES, "required": True}, [], "", "ask.needed"),
]


def test_a_field_means_what_the_service_takes(module: Run) -> None:
    rows = [[{"name": "f", **field}, raw, own] for field, raw, own, _ in FIELDS]
    script = """({valueOf}, rows) => rows.map(([field, raw, own]) => {
      const {value = "absent", wrong} = valueOf(field, raw, own);
      return wrong ? {wrong} : {value};
    })"""
    found = module("answer.js", script, rows)
    for (field, raw, own, wanted), result in zip(FIELDS, found, strict=True):
        if isinstance(wanted, str) and wanted.startswith("ask."):
            assert result == {"wrong": wanted}, (field, raw)
            continue
        assert result == {"value": wanted}, (field, raw, own)
        choices = tuple(Choice(**choice) for choice in field.get("choices", ()))
        request = RequestOpen(
            turn=1, request_id="r", kind="form", fields=(Field(**{"name": "f", **field, "choices": choices}),)
        )
        answer = {} if wanted == ABSENT else {"f": wanted}
        assert checked(request, answer) == answer


def test_a_field_that_is_needed_is_needed_by_the_service_too() -> None:
    request = RequestOpen(turn=1, request_id="r", kind="form", fields=(Field(name="f", required=True),))
    with pytest.raises(BadParams):
        checked(request, {})


def test_what_allows_once_comes_first_whatever_the_program_lists_first(module: Run) -> None:
    kinds = ["reject_always", "allow_always", "reject_once", "allow_once"]
    choices = [{"id": kind, "name": kind, "kind": kind} for kind in kinds]
    order = "({ordered}, choices) => ordered(choices).map((choice) => choice.id)"
    assert module("answer.js", order, choices) == ["allow_once", "allow_always", "reject_once", "reject_always"]
    plain = [{"id": "z", "name": "z"}, {"id": "a", "name": "a", "kind": "allow_once"}]
    assert module("answer.js", order, plain) == ["z", "a"]


def test_nothing_hides_in_what_a_person_allows(module: Run) -> None:  # T10
    text = "rm \u202etxt.\u202c\x1b[8m -r\x07 \u200b/\ttab\r\nline \U0001f468\u200d\U0001f469"
    shown = module("answer.js", "({visible}, text) => visible(text)", text)
    assert shown == (
        "rm \u27e8202E\u27e9txt.\u27e8202C\u27e9\u27e81B\u27e9[8m -r\u27e87\u27e9 \u27e8200B\u27e9/\ttab\n"
        "line \U0001f468\u200d\U0001f469"
    )


def test_an_answer_is_told_in_words(module: Run) -> None:
    request = {
        "kind": "form",
        "choices": CHOICES,
        "fields": [{"name": "n", "title": "Food", "choices": CHOICES}, {"name": "sure"}],
    }
    script = """async ({inWords}, all) => {
      await (await import("/words.js")).use();
      return all.map(([answer, request]) => inWords(answer, request));
    }"""
    form = {"n": ["a", "b"], "sure": True, "left": None}
    asked = [["a", request], ["own", request], [form, request], [{}, request], ["", {"kind": "line"}], ["", None]]
    wanted = ["Apples", "own", "Food: Apples and Bread · sure: yes", "(empty)", "(empty)", "(hidden)"]
    assert module("answer.js", script, asked) == wanted


def test_a_key_that_was_pressed_is_told_by_its_name_and_other_characters_are_not_hidden(module: Run) -> None:
    script = """async ({inWords, KEYS}, all) => {
      await (await import("/words.js")).use();
      return [Object.values(KEYS).map((key) => inWords(key)), all.map((each) => inWords(each, {kind: "keys"}))];
    }"""
    names = ["Enter", "Esc", "\u2191", "\u2193", "Tab", "Ctrl+C"]
    assert module("answer.js", script, ["\x1b:q", "y"]) == [names, ["\u27e81B\u27e9:q", "y"]]
