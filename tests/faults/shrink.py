"""The shortest schedule that fails in the same way, looked for within a limit of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tests.faults.clients import now
from tests.faults.drive import Result, drive
from tests.faults.schedule import Round, text


async def shrunk(result: Result, seed: int, seconds: float, say: Callable[[str], None]) -> list[Round]:
    """Run parts of the schedule again, each on a fresh scene; the shortest that failed as the first violation did.

    What failed may need a coincidence: a part that passes is no proof. If none fails, all up to the failure is told.
    """
    until = now() + seconds
    violations = result.figures.model.violations
    kind, at = (violations[0].kind, violations[0].round) if violations else ("traceback", len(result.schedule) - 1)
    found = result.schedule[: at + 1]
    tried = set()
    again = True
    while again:
        again = False
        for part in _parts(found):
            if now() > until:
                return found
            if text(part) in tried:
                continue
            tried.add(text(part))
            say(f"trying {text(part)}")
            outcome = await drive(part, say, seconds=until - now(), seed=seed, stop_at=1)
            kinds = {violation.kind for violation in outcome.figures.model.violations}
            if kind in kinds or (kind == "traceback" and outcome.figures.tracebacks):
                found, again = list(part), True
                break
    return found


def _parts(schedule: Sequence[Round]) -> Iterator[Sequence[Round]]:
    # Its end first, since what failed last did so there; then all but one round; then all but one fault.
    for length in (1, 2, 4, 8, 16):
        if length < len(schedule):
            yield schedule[-length:]
    if 1 < len(schedule) <= 16:
        for index in range(len(schedule)):
            yield [*schedule[:index], *schedule[index + 1 :]]
    for index, together in enumerate(schedule):
        if len(together) > 1:
            for fault in together:
                yield [*schedule[:index], (fault,), *schedule[index + 1 :]]
