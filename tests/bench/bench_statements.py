"""What a frame of statements costs, beside verifying one signature. Run: `python -m tests.bench.bench_statements`.

Targets: a frame of 1,900 forged admissions takes no longer than 250 verifications; of a household at its largest a
statement costs 4 (its signature, its certificate, and what follows from it), and no step in which nobody else is served
takes longer than 100. Ends with status 1 when one is missed.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from msgspec import structs

from agent.protocol.household import Signed
from agent.protocol.identity import fingerprint, is_signed_by
from agent.trust.rules.roster import Roster
from agent.trust.rules.statement import FOUNDING, Statement, sign
from tests.fakes.trust import identity

ROUNDS = 7
FORGED, BRANCHES, BRANCH = 1900, 10, 70
HOME = bytes(16)
FRAME, STATEMENT, STEP = 250.0, 4.0, 100.0
"""Targets, in verifications."""


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def admissions(by: int, under: bytes, devices: range) -> list[Signed]:
    said = Statement(
        household=HOME,
        kind="admit",
        by=fingerprint(identity(by).certificate),
        under=under,
        seq=1,
        who=b"",
        name="",
        at=1,
        seen=(),
    )
    certificates = [identity(device).certificate for device in devices]
    return [sign(structs.replace(said, seq=n, who=who), identity(by)) for n, who in enumerate(certificates, 1)]


def largest() -> list[Signed]:
    """Statements of 711 devices."""
    roster = Roster(HOME, identity(1).certificate)
    for number, branch in enumerate(roster.add(admissions(1, FOUNDING, range(2, 2 + BRANCHES)))):
        first = 1000 + number * BRANCH
        roster.add(admissions(2 + number, branch.digest, range(first, first + BRANCH)))
    return roster.statements


def longest_step(statements: list[Signed]) -> float:
    reading = Roster(HOME, identity(1).certificate).read(statements)
    longest, more = 0.0, True
    while more:
        began = time.perf_counter()
        more = reading.step()
        longest = max(longest, time.perf_counter() - began)
    return longest


def main() -> int:
    """Measure, print, and judge."""
    household, founder = largest(), identity(1)
    forged = [Signed(body=each.body, signature=bytes(64)) for each in admissions(1, FOUNDING, range(2, 2 + FORGED))]
    data, signature = bytes(500), founder.key.sign(bytes(500))
    figures: dict[str, list[float]] = {"frame of forgeries": [], "statement": [], "longest step": []}
    one = []
    for _ in range(ROUNDS):
        verify = seconds(lambda: [is_signed_by(founder.certificate, signature, data) for _ in range(200)]) / 200
        one.append(verify)
        whole = seconds(lambda: Roster(HOME, founder.certificate, household))
        figures["frame of forgeries"].append(seconds(lambda: Roster(HOME, founder.certificate, forged)) / verify)
        figures["statement"].append(whole / len(household) / verify)
        figures["longest step"].append(longest_step(household) / verify)
    print(f"a verification: {statistics.median(one) * 1e6:.0f} us; {len(household)} statements; {ROUNDS} rounds")
    missed = False
    for (name, found), target in zip(figures.items(), (FRAME, STATEMENT, STEP), strict=True):
        figure = statistics.median(found)
        missed |= figure > target
        print(f"{name:>18}: {figure:6.1f} x a verification (at most {target:g})")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
