"""A schedule is printed, read again, and made of a seed."""

from __future__ import annotations

from itertools import islice

import pytest

from tests.faults.faults import HOW
from tests.faults.fuzz import Fuzzer
from tests.faults.schedule import WEIGHTS, Fault, parse, rounds, text


def test_a_schedule_is_read_as_it_was_printed() -> None:
    made = list(islice(rounds(7), 200))
    assert parse(text(made)) == made
    assert parse("kill desk 1; mute laptop 9 + loss:20 pi 9") == [
        (Fault("kill", "desk", 1.0),),
        (Fault("mute", "laptop", 9.0), Fault("loss", "pi", 9.0, 20)),
    ]


def test_a_seed_always_gives_the_same() -> None:
    assert list(islice(rounds(7), 50)) == list(islice(rounds(7), 50)) != list(islice(rounds(8), 50))
    one, two = Fuzzer(7, ["s"]), Fuzzer(7, ["s"])
    assert [one.frame() for _ in range(200)] == [two.frame() for _ in range(200)]


def test_every_kind_of_fault_is_chosen_and_can_be_made() -> None:
    chosen = {fault.kind for together in islice(rounds(1), 500) for fault in together}
    assert chosen == set(WEIGHTS) == set(HOW)


@pytest.mark.parametrize("line", ["kill desk", "kill nobody 1", "flood desk 1", "kill desk soon", "loss:some pi 1"])
def test_what_is_no_fault_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no fault"):
        parse(line)
