"""A choice by number, id, name or kind: the same on every front end, and never more than was asked for."""

from __future__ import annotations

import itertools

import pytest

from agent.client.choices import chosen as pick
from agent.client.choices import how_to_choose, usable_words
from agent.errors import BadParams
from agent.protocol.events import Choice


def choices(*rows: tuple[str, str, str]) -> tuple[Choice, ...]:
    return tuple(Choice(id=key, name=name, kind=kind) for key, name, kind in rows)


CLAUDE = choices(
    ("allow_always", "Always Allow", "allow_always"),
    ("allow", "Allow", "allow_once"),
    ("reject", "Reject", "reject_once"),
)
CODEX = choices(
    ("approved", "Yes, proceed", "allow_once"),
    ("approved-execpolicy-amendment", "Yes, and don't ask again", "allow_always"),
    ("abort", "No, and tell Codex what to do differently", "reject_once"),
)
GEMINI = choices(
    ("proceed_always", "Allow for this session", "allow_always"),
    ("proceed_once", "Allow", "allow_once"),
    ("cancel", "Reject", "reject_once"),
)
HERMES = choices(
    ("allow_once", "Allow once", "allow_once"),
    ("allow_session", "Allow for session", "allow_always"),
    ("allow_always", "Allow always", "allow_always"),
    ("deny", "Deny", "reject_once"),
    ("deny_always", "Deny always", "reject_always"),
)
OPENCODE = choices(
    ("once", "Allow once", "allow_once"),
    ("always", "Always allow", "allow_always"),
    ("reject", "Reject", "reject_once"),
)
GATEWAY = choices(  # of Hermes's own gateway
    ("once", "Allow once", "allow_once"),
    ("session", "Allow in this session", "allow_always"),
    ("always", "Always allow", "allow_always"),
    ("deny", "Deny", "reject_once"),
)
PLAIN = choices(("y", "Yes", ""), ("n", "No", ""))
COLOURS = choices(("r", "Red", ""), ("g", "Green", ""))


@pytest.mark.parametrize(
    ("offered", "yes", "always", "no"),
    [
        (CLAUDE, "allow", "allow_always", "reject"),
        (CODEX, "approved", "approved-execpolicy-amendment", "abort"),
        (GEMINI, "proceed_once", "proceed_always", "cancel"),
        (HERMES, "allow_once", "allow_always", "deny"),
        (OPENCODE, "once", "always", "reject"),
        (GATEWAY, "once", "always", "deny"),
    ],
)
def test_yes_always_and_no_go_by_kind_whatever_the_order(
    offered: tuple[Choice, ...], yes: str, always: str, no: str
) -> None:
    for order in itertools.permutations(offered):
        assert (pick(order, "yes"), pick(order, "Always"), pick(order, " NO ")) == (yes, always, no)
        assert [order[number - 1].id for number in (1, len(order))] == [
            pick(order, "1"), pick(order, f"#{len(order)}"),
        ]  # fmt: skip
        assert all(pick(order, choice.id) == pick(order, choice.name.upper()) == choice.id for choice in order)


def test_never_refuses_for_good() -> None:
    assert pick(HERMES, "never") == "deny_always"
    with pytest.raises(BadParams):
        pick(CLAUDE, "never")


@pytest.mark.parametrize(
    ("offered", "word"),
    [
        # What allows for good is never meant by "yes", nor what refuses for good by "no".
        (choices(("a", "Allow", "allow_always"), ("d", "Deny", "reject_once")), "yes"),
        (choices(("a", "Allow", "allow_once"), ("d", "Deny", "reject_always")), "no"),
        (choices(("a", "Here", "allow_once"), ("b", "Everywhere", "allow_once")), "yes"),
        (choices(("a", "Here", "allow_always"), ("b", "Everywhere", "allow_always")), "always"),
        (choices(("a", "No shell", "reject_once"), ("b", "No, stop", "reject_once")), "no"),
        # A name that says yes to more than once, beside a choice that is once.
        (choices(("a", "Yes", "allow_always"), ("b", "Once", "allow_once")), "yes"),
        # Without kinds only a whole name counts.
        (choices(("a", "Yes, and don't ask again", ""), ("b", "No", "")), "yes"),
        (COLOURS, "yes"),
        (COLOURS, "3"),
        (COLOURS, "0"),
        (COLOURS, "#3"),
        (COLOURS, "9" * 5000),
        (COLOURS, ""),
        ((), "1"),
        (choices(("a", "Same", ""), ("b", "same", "")), "same"),
        # Called 2, but the first: either may be meant.
        (choices(("a", "2", ""), ("b", "1", "")), "2"),
        # The id of one is the name of another.
        (choices(("x", "once", ""), ("once", "Allow", "")), "once"),
    ],
)
def test_what_means_none_or_several_is_refused_and_all_are_listed(offered: tuple[Choice, ...], word: str) -> None:
    with pytest.raises(BadParams) as refused:
        pick(offered, word)
    assert all(f"{number} = {choice.name}" in refused.value.hint for number, choice in enumerate(offered, 1))


def test_an_empty_line_is_called_so() -> None:
    with pytest.raises(BadParams, match="an empty line is none of the choices"):
        pick(COLOURS, " ")


def test_a_number_can_be_told_from_a_name() -> None:
    offered = choices(("a", "2", ""), ("b", "1", ""))
    assert (pick(offered, "#1"), pick(offered, "#2")) == ("a", "b")


def test_plain_yes_and_no_are_names() -> None:
    assert (pick(PLAIN, "yes"), pick(PLAIN, "N")) == ("y", "n")


@pytest.mark.parametrize(
    ("typed", "meant"), [("blue, rather", "blue, rather"), ("2", "g"), ("red", "r"), ("yes", "yes")]
)
def test_what_is_no_choice_is_ones_own_words_where_they_are_taken(typed: str, meant: str) -> None:
    assert pick(COLOURS, typed, own_words=True) == meant


def test_own_words_are_never_an_empty_line() -> None:
    with pytest.raises(BadParams):
        pick(COLOURS, "  ", own_words=True)


def test_the_hint_has_numbers_names_ids_and_the_words_that_mean_one() -> None:  # T10
    assert how_to_choose(CLAUDE) == (
        "give a number, name or id, or yes, no, always: "
        "1 = Always Allow (allow_always), 2 = Allow, 3 = Reject"
    )  # fmt: skip
    assert usable_words(HERMES) == ["yes", "no", "always", "never"]
    assert usable_words(COLOURS) == []
    many = tuple(Choice(id=f"c{number}", name=f"C\x1b[2J{number}") for number in range(30))
    assert how_to_choose(many).endswith("20 = C�[2J19 (c19) and 10 more")
