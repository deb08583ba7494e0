"""What fails when: made of a seed, or written by hand. The text of a schedule is how it is printed and read again.

    kill desk 1.0; mute laptop 9.0 + loss:20 pi 9.0

are two rounds. The faults of one round begin together; the next round begins once everybody has recovered.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

NAMES = ("desk", "laptop", "pi")
LONG = 9.0
"""Seconds after which a link that carries nothing was noticed (L3: one and a half intervals of 5 s), and a little."""

WEIGHTS: dict[str, int] = {
    "kill": 4,  # SIGKILL, then started again
    "restart": 3,  # SIGTERM, then started again
    "stop": 3,  # SIGSTOP, then SIGCONT
    "suspend": 2,  # the same, and hours have gone by
    "cable": 4,  # no carrier
    "mute": 3,  # what it sends is lost, silently
    "deaf": 3,  # what it should receive is
    "silent": 3,  # both
    "loss": 3,  # some of both; the number is the percentage
    "reset": 4,  # every connection is reset
    "address": 2,  # another IPv4 address
    "ipv6-only": 2,  # no IPv4 address
    "down": 2,  # the interface is switched off
    "gone": 2,  # it is taken out
    "no-multicast": 2,  # nothing of mDNS passes
    "clock": 2,  # the wall clock is wrong by the number of hours
    "disk": 2,  # the disk of the state folder is full
    "restore": 1,  # an older copy of the state folder is put back
    "damage": 1,  # a record of one session in the state folder is damaged
}
"""How often which kind is chosen."""

LONGER = 25.0
"""Seconds after which it was dialled in vain for a while."""

INSTANT = frozenset({"reset", "address", "restore", "damage"})
"""Kinds that do not last."""
ENDS_PROGRAMS = frozenset({"kill", "restart", "restore", "damage"})
"""Kinds after which the programs of that device's sessions run no more."""


class Fault(NamedTuple):
    """One thing that fails, and for how many seconds."""

    kind: str
    device: str
    seconds: float
    amount: int = 0
    """Of `loss`: per cent. Of `clock` and `suspend`: hours."""

    def __str__(self) -> str:
        return f"{self.kind}{f':{self.amount}' if self.amount else ''} {self.device} {self.seconds:g}"


Round = tuple[Fault, ...]


def rounds(seed: int, kinds: Sequence[str] = tuple(WEIGHTS)) -> Iterator[Round]:
    """Rounds without end: the same seed gives the same ones."""
    dice = random.Random(seed)
    weights = [WEIGHTS[kind] for kind in kinds]
    while True:
        count = 2 if dice.random() < 0.25 else 1
        chosen = dice.choices(kinds, weights, k=count)
        yield tuple(_fault(dice, *each) for each in zip(chosen, dice.sample(NAMES, count), strict=True))


def _fault(dice: random.Random, kind: str, device: str) -> Fault:
    if kind in INSTANT:
        return Fault(kind, device, 0.0)
    lasting = kind in {"mute", "deaf", "silent", "cable", "stop"}
    seconds = dice.choice((0.3, 1.0, 1.0, 2.0, 2.0, LONG, LONG, LONGER) if lasting else (0.2, 1.0, 2.5))
    amount = {"loss": (20, 40), "clock": (24, -24), "suspend": (1, 12)}.get(kind, (0,))
    return Fault(kind, device, seconds, dice.choice(amount))


def text(schedule: Sequence[Round]) -> str:
    """One line."""
    return "; ".join(" + ".join(str(fault) for fault in together) for together in schedule)


def parse(line: str) -> list[Round]:
    """Undo `text`. Raises: ValueError."""
    return [tuple(_parsed(part) for part in together.split("+")) for together in line.split(";") if together.strip()]


def _parsed(words: str) -> Fault:
    try:
        named, device, seconds = words.split()
        kind, _, amount = named.partition(":")
        fault = Fault(kind, device, float(seconds), int(amount or 0))
    except ValueError:
        raise ValueError(f"{words.strip()!r} is no fault: KIND[:NUMBER] DEVICE SECONDS") from None
    if fault.kind not in WEIGHTS or fault.device not in NAMES:
        raise ValueError(f"no fault {fault.kind!r} of {fault.device!r}; there are {', '.join(WEIGHTS)} of {NAMES}")
    return fault
