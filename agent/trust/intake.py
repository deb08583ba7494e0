"""Taking in what somebody tells of the household, a few signatures at a time, as far as it may cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from agent.ports import Clock
from agent.protocol.household import Signed
from agent.trust.rules.reading import Reading


class Heard(NamedTuple):
    """What became of what somebody told."""

    fresh: Sequence[Signed] = ()  # what was new
    whole: bool = True  # whether all of it was read
    forged: bool = False  # whether there was something in it that nobody has signed


async def read_all(reading: Reading, may: Callable[[int], bool], clock: Clock) -> bool:
    """Read, letting others have their turn in between; whether all of it was read.

    `may` is told after each step how many signatures were verified, and says whether there may be another one.
    """
    more = True
    while more:
        before = reading.checked
        more = reading.step()
        if not may(reading.checked - before) and more:
            return False
        await clock.sleep(0)
    return True
