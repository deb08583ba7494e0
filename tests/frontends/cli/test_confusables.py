"""T10: names that could be taken for another device's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.frontends.cli.confusables import MIXED, SAME, mixed, skeleton, warnings


def row(one: str, name: str, *, own: bool = False, paired: bool = False) -> dict[str, Any]:
    return {"id": one, "name": name, "self": own, "paired": paired}


@pytest.mark.parametrize(
    "name",
    [
        "desk",
        "DESK",
        "de sk",
        "d\u0435sk",
        "des\u043a",
        "d\u00e9sk",
        "\uff44esk",
        "de\u200bsk",
        "\u0501\u0435\u0455k",
        "desk.",
    ],
)
def test_a_stranger_that_looks_like_a_paired_device_is_flagged_and_that_one_is_not(name: str) -> None:
    rows = [row("a", "laptop", own=True), row("b", "desk", paired=True), row("c", name)]
    assert warnings(rows)["c"] == SAME
    assert "b" not in warnings(rows)


@pytest.mark.parametrize(("one", "other"), [("pi1", "piI"), ("modern", "modem"), ("web0", "webo"), ("vvork", "work")])
def test_shapes_that_read_alike_are_one(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


def test_whoever_looks_like_this_device_is_flagged_paired_or_not() -> None:
    rows = [row("a", "laptop", own=True), row("b", "1aptop", paired=True), row("c", "lapt\u043ep")]
    assert warnings(rows) == {"b": SAME, "c": SAME}


def test_two_paired_devices_of_one_name_are_both_flagged() -> None:
    assert warnings([row("b", "desk", paired=True), row("c", "Desk", paired=True)]) == {"b": SAME, "c": SAME}


def test_ordinary_names_are_left_alone() -> None:
    names = ["laptop", "desk", "pi-1", "pi-2", "Büro", "書斎 PC", "кухня", "σπίτι", "nas", "nás2"]
    assert warnings([row(str(i), name) for i, name in enumerate(names)]) == {}


def test_letters_of_two_alphabets_in_one_name_are_flagged() -> None:
    assert mixed("p\u0430ypal")
    assert warnings([row("c", "d\u0435n")]) == {"c": MIXED}


@given(st.lists(st.text(max_size=20), max_size=6))
def test_no_name_is_too_strange(names: list[str]) -> None:
    found = warnings([row(str(i), name) for i, name in enumerate(names)])
    assert set(found.values()) <= {SAME, MIXED}
