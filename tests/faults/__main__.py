"""`python -m tests.faults`: see the package."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from itertools import islice
from pathlib import Path

from tests.e2e.lab import missing
from tests.faults.drive import drive
from tests.faults.schedule import WEIGHTS, parse, rounds, text
from tests.faults.shrink import shrunk


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Run faults; 0 if everything held."""
    asked = argparse.ArgumentParser(
        prog="python -m tests.faults", description="Faults under load, and what came of it."
    )
    asked.add_argument("--minutes", type=float, default=30.0, help="at most")
    asked.add_argument("--rounds", type=int, default=None, help="at most")
    asked.add_argument("--seed", type=int, default=None, help="of the faults and the load")
    asked.add_argument("--kinds", default=",".join(WEIGHTS), help="only these, with commas between")
    asked.add_argument("--schedule", default="", help="these faults, as a failed run printed them")
    asked.add_argument("--shrink", type=float, default=5.0, help="minutes to look for a shorter schedule that fails")
    asked.add_argument("--logs", type=Path, default=None, help="folder for what the services have said")
    given = asked.parse_args()
    if reason := missing():
        _say(reason)
        return 2
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    schedule = parse(given.schedule) or islice(rounds(seed, given.kinds.split(",")), given.rounds)
    _say(f"seed {seed}")
    result = asyncio.run(drive(schedule, _say, seconds=60 * given.minutes, seed=seed, logs=given.logs))
    print(result.figures.table())
    if not result.failed:
        return 0
    print(f"\nseed {seed}\n{result.figures.failures(result.schedule)}\n", flush=True)
    if given.shrink > 0:
        found = asyncio.run(shrunk(result, seed, 60 * given.shrink, _say))
        print(f'the shortest schedule that failed again: --seed {seed} --schedule "{text(found)}"')
    return 1


if __name__ == "__main__":
    sys.exit(main())
