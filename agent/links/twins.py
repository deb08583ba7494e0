"""Reports twins, two machines with one key as after a disk was copied, for as long as there are signs of them.

The proof is two live links with one key from two runs of the program (`links.supervisor`); announcements that somebody
else signs with this device's key are another sign (`presence.announcer`). Nothing is decided here: an owner stops one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.ports import Clock
from agent.problems import Problems
from agent.protocol.model import DeviceId
from agent.protocol.names import clean, short_id

QUIET = 200.0
"""Seconds without a new sign after which a report ends: the machine that is turned away tries again each minute."""
LOOK_EVERY = 20.0
HOST_MAX = 64
"""Characters of an address that another device names."""
_ADVICE = "one has files that were copied from the other; stop one of the two and move its identity.pem away"


class TwinReports:
    """Each device that is there twice is a problem for as long as there are signs of it."""

    def __init__(self, clock: Clock, name_of: Callable[[DeviceId], str], problems: Problems) -> None:
        self._clock = clock
        self._name_of = name_of
        self._problems = problems
        self._seen: dict[str, float] = {}  # monotonic seconds of the last sign

    async def run(self) -> None:
        """End reports without new signs, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY)
            now = self._clock.monotonic()
            for about in [about for about, at in self._seen.items() if now - at >= QUIET]:
                del self._seen[about]
                self._problems.problem(about, "")

    def linked(self, device: DeviceId, hosts: Iterable[str]) -> None:
        """Report that two machines with the key of `device` are linked at the same time, from these addresses."""
        who = f"{self._name_of(device)} ({short_id(device)})"
        self._report(f"twin {device}", f"{who} runs on two machines at once{_at(hosts)}: {_ADVICE}")

    def reported(self, by: DeviceId, hosts: Iterable[str]) -> None:
        """Report that a member says that another machine has this one's key. Advice is given where that is seen."""
        at = _at(hosts)
        self._report(
            "twin by link", f"{self._name_of(by)} says that it is linked to another machine with this device's key{at}"
        )

    def announced(self, hosts: Iterable[str]) -> None:
        """Report that another machine announces itself with this one's key."""
        self._report("twin", f"another device announces itself with this device's key{_at(hosts)}: {_ADVICE}")

    def _report(self, about: str, text: str) -> None:
        self._seen[about] = self._clock.monotonic()
        self._problems.problem(about, text)


def _at(hosts: Iterable[str]) -> str:
    known = dict.fromkeys(clean(host, HOST_MAX) for host in hosts if host)
    return f", at {' and '.join(known)}" if known else ""
