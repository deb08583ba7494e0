"""The list from which a session is picked: typing narrows it, arrows move in it."""

from __future__ import annotations

import pytest

from agent.client.terminal_text import width
from agent.frontends.cli.picker import PickList

LABELS = [
    "  1) Build · laptop · shell · idle",
    "  2) Docs · desk · codex · needs input",
    "  3) build it · den · x · ended",
]
UP, DOWN = "\x1b[A", "\x1b[B"


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [
        (["\r"], 0),
        ([DOWN, "\r"], 1),
        ([DOWN, DOWN, DOWN, UP, "\r"], 1),
        (["build", "\r"], 0),
        (["build", DOWN, "\r"], 2),
        (["desk needs", "\r"], 1),
        ([DOWN, DOWN, "build", "\r"], 0),
        (["3\r"], 2),
        (["nothing", "\r", "\x15", "\r"], 0),
        (["buildx\x7f\x0e\r"], 0),
    ],
)
def test_typing_narrows_and_arrows_choose(keys: list[str], chosen: int) -> None:
    picker = PickList(LABELS)
    *before, last = keys
    assert {picker.feed(key.encode()) for key in before} <= {None}
    assert picker.feed(last.encode()) is True
    assert picker.chosen == chosen


@pytest.mark.parametrize("key", ["\x1b", "\x04"])
def test_one_leaves_without_a_choice(key: str) -> None:
    assert PickList(LABELS).feed(key.encode()) is False


def test_the_one_that_is_meant_is_always_in_view() -> None:
    picker = PickList([f"{number:3}) {'long ' * 30}" for number in range(1, 101)])
    for _ in range(60):
        picker.feed(DOWN.encode())
        lines = picker.lines(40, 10)
        assert len(lines) <= 10
        assert sum(line.startswith(">") for line in lines) == 1
        assert all(width(line) < 40 for line in lines)
    picker.feed(b"none of them")
    assert "  none matches" in picker.lines(40, 10)
