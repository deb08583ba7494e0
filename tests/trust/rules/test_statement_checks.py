"""trust.rules.reading: what a frame full of statements costs, counted in signatures (T11)."""

from __future__ import annotations

from msgspec import structs

from agent.protocol.household import Signed
from agent.trust.rules.roster import Roster
from agent.trust.rules.statement import FOUNDING, sign
from agent.trust.rules.statement_checks import CHECKS, Reading
from tests.trust.rules.test_roster import HOME, forged, mark, roster, who

MANY = 400


def admissions(by: int, under: bytes, count: int) -> list[Signed]:
    return [
        sign(forged(by=mark(by), under=under, seq=n + 1, who=who(n + 2).certificate), who(by)) for n in range(count)
    ]


def read(ours: Roster, statements: list[Signed]) -> tuple[Reading, int]:
    """Read to the end; how many steps it took."""
    reading, steps = ours.read(statements), 1
    while reading.step():
        steps += 1
    return reading, steps


def test_of_somebody_who_is_not_in_no_signature_is_verified() -> None:
    reading, _ = read(roster(), admissions(1, bytes(32), MANY))
    assert (reading.checked, reading.entered, reading.forged) == (0, {}, False)


def test_a_statement_in_the_name_of_another_costs_no_signature() -> None:
    said = [sign(forged(by=mark(1), under=FOUNDING, seq=n + 1), who(1)) for n in range(50)]
    assert read(roster(), said)[0].checked == 0


def test_the_first_bad_signature_ends_the_reading() -> None:
    # Whoever passes statements on has verified them: who tells one forgery is not asked for more.
    bad = [structs.replace(each, signature=bytes(64)) for each in admissions(0, FOUNDING, MANY)]
    reading, steps = read(roster(), bad)
    assert (reading.checked, reading.entered, reading.forged) == (1, {}, True)
    assert steps <= 4


def test_what_came_before_a_forgery_counts() -> None:
    ours = roster()
    genuine = admissions(0, FOUNDING, 2)
    below = forged(by=mark(2), under=genuine[0].digest, seq=1, who=who(9).certificate)
    reading, _ = read(ours, [*genuine, Signed(body=sign(below, who(2)).body, signature=bytes(64))])
    assert len(ours.settle(reading)) == 2


def test_what_is_known_is_not_verified_again() -> None:
    ours = roster()
    said = admissions(0, FOUNDING, 20)
    ours.add(said)
    reading, _ = read(ours, said)
    assert reading.checked == 0


def test_valid_statements_are_verified_a_few_at_a_time() -> None:
    ours = roster()
    said = admissions(0, FOUNDING, 100)
    reading = ours.read(said)
    most, before = 0, 0
    while reading.step():
        most, before = max(most, reading.checked - before), reading.checked
    assert most <= CHECKS + 1
    assert reading.checked == 200  # each one's signature, and the certificate that it admits
    assert len(ours.settle(reading)) == 100


def test_nothing_counts_before_it_is_settled_and_a_set_may_change_meanwhile() -> None:
    ours = roster()
    said = admissions(0, FOUNDING, 40)
    reading = ours.read(said)
    reading.step()
    reading.step()
    assert ours.digests == frozenset()
    ours.add(said[:30])
    while reading.step():
        pass
    assert len(ours.settle(reading)) == 10
    assert len(ours.digests) == 40
    assert Roster(HOME, who(0).certificate, said).members == ours.members
