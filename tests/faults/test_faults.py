"""A fixed set of faults under load; `python -m tests.faults` has as many as one likes (docs/reliability.md)."""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import islice

import pytest

from tests.e2e.lab import missing
from tests.faults.drive import drive
from tests.faults.schedule import Round, parse, rounds, text

pytestmark = [pytest.mark.device, pytest.mark.timeout(900)]

EVERY_KIND = (
    "cable laptop 1; kill desk 0.5; reset pi 0; silent laptop 9; restart pi 0.2; mute desk 2; deaf pi 2; "
    "loss:30 laptop 2; stop desk 2; suspend:12 laptop 1; address pi 0; ipv6-only desk 1; down laptop 1; gone pi 1; "
    "no-multicast desk 1 + kill laptop 1; clock:24 pi 1; clock:-24 desk 1; disk laptop 1; restore desk 0; damage pi 0"
)
SEED, ROUNDS = 9, 12


@pytest.mark.parametrize(
    "schedule",
    [pytest.param(parse(EVERY_KIND), id="every-kind"), pytest.param(list(islice(rounds(SEED), ROUNDS)), id="by-dice")],
)
def test_no_fault_loses_doubles_or_hides_anything(schedule: list[Round]) -> None:
    # S1 to S15, L5, L8, R12: as tests/faults/model.py has them.
    if reason := missing():
        if os.environ.get("CI"):
            pytest.fail(f"faults must run in CI: {reason}")
        pytest.skip(reason)
    result = asyncio.run(drive(schedule, lambda line: print(line, file=sys.stderr), seed=SEED))
    print(result.figures.table())
    again = f'python -m tests.faults --seed {SEED} --schedule "{text(schedule)}"'
    assert not result.failed, f"{result.figures.failures(result.schedule)}\n{again}"
    assert result.figures.model.compared > 100 * len(schedule)
