"""Records merged per second with 1,000 devices of 20 sessions each.

Run: `python -m tests.bench.bench_registry [ROUNDS]`. Prints the median of the rounds, records a second:
`first` (each device is new, all its sessions are listed for the first time), `one change` (each record is a new
publication in which one session differs, the usual case), `same again` (a re-announcement) and, per second, look-ups.
Seconds are of this process's CPU: what else the machine does counts as little as can be. A record is a device's, with
all its sessions: times 20, these are session rows.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable

from agent.presence.rules.registry import Registry
from agent.protocol.model import DeviceId, PairedDevice, PresenceRecord, SessionClaim, Status

DEVICES, SESSIONS, NOW = 1000, 20, 1_800_000_000


def device_id(n: int) -> DeviceId:
    return DeviceId(f"d{n:05}" + "a" * 10)


def records(publication: int) -> list[PresenceRecord]:
    """One publication of every device; session `publication % SESSIONS` differs from the one before."""
    made = []
    for n in range(DEVICES):
        claims = tuple(
            SessionClaim(
                id=f"{n:03x}{each:02x}s",
                status=Status.WORKING if publication and each == publication % SESSIONS else Status.IDLE,
                updated_at=NOW + (publication if each == publication % SESSIONS else 0) - each,
                title=f"session {each} of device {n}",
            )
            for each in range(SESSIONS)
        )
        made.append(
            PresenceRecord(
                device=device_id(n),
                revision=NOW * 1000 + publication,
                name=f"device {n}",
                port=7777,
                hosts=(f"10.0.{n // 250}.{n % 250 + 1}", f"fe80::{n:x}%eth0"),
                idle=SESSIONS,
                sessions=claims,
            )
        )
    return made


def rate(count: int, work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return count / (time.process_time() - start)


def one_round() -> dict[str, float]:
    view = Registry(DeviceId("own" + "a" * 13), name="here", version="1")
    view.paired(
        [PairedDevice(id=device_id(n), name=f"device {n}", certificate=b"", paired_at=0.0) for n in range(DEVICES)], NOW
    )

    def hear(batch: list[PresenceRecord], now: float) -> None:
        for record in batch:
            view.heard(record, "mdns", now)

    publications = [records(n) for n in range(4)]
    figures = {"first": rate(DEVICES, lambda: hear(publications[0], NOW))}
    assert len(view.sessions()) == DEVICES * SESSIONS
    figures["one change"] = rate(
        3 * DEVICES, lambda: hear([record for each in publications[1:] for record in each], NOW + 1)
    )
    figures["same again"] = rate(DEVICES, lambda: hear(publications[-1], NOW + 60))
    prefixes = [session.id[:5] for session in view.sessions()[:1000]]
    figures["look-ups"] = rate(len(prefixes), lambda: [view.find_session(each) for each in prefixes])
    return figures


def main() -> None:
    rounds = [one_round() for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 5)]
    print(f"{DEVICES} devices, {SESSIONS} sessions each; Python {platform.python_version()}, {len(rounds)} rounds")
    for name in rounds[0]:
        figures = [each[name] for each in rounds]
        print(f"{name:>12}: {statistics.median(figures):>9,.0f}/s  (from {min(figures):,.0f} to {max(figures):,.0f})")


if __name__ == "__main__":
    main()
