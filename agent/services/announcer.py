"""Publishes this device's record: what changed, when it may, under a revision that never returns (DESIGN §8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.core.pacing import Pacer, Urgency, next_revision
from agent.core.records import DeviceId, SessionRow, Status
from agent.core.txt import encode, make_record
from agent.ports import Clock, Discovery
from agent.services.alarm import Alarm

ECHO_APART = 5.0
"""Seconds between two answers to somebody who publishes under our name: an attacker must not set our rate."""


class Announcer:
    """Keeps what the network is told in step with `describe`, until cancelled."""

    def __init__(
        self,
        discovery: Discovery,
        clock: Clock,
        *,
        own: DeviceId,
        describe: Callable[[], tuple[str, int, Iterable[SessionRow]]],
        previous_revision: int,
        save_revision: Callable[[int], None],
    ) -> None:
        self._discovery, self._clock, self._own, self._describe = discovery, clock, own, describe
        self._revision, self._save_revision = previous_revision, save_revision
        self._pacer = Pacer()
        self._alarm = Alarm(clock)
        self._published: list[bytes] = []  # without the revision
        self._echo: float | None = None  # when the answer to an echo is due
        self._echoed_at = float("-inf")
        self._again = False  # whether the same content goes out under a new revision

    def changed(self, urgency: Urgency) -> None:
        """What `describe` gives has changed."""
        self._pacer.changed(urgency, self._clock.monotonic())
        self._alarm.ring()

    def echoed(self) -> None:
        """Somebody else published under our name: publish anew, or their version stays (FACTS-MDNS §8)."""
        if self._echo is None:
            self._echo = max(self._clock.monotonic(), self._echoed_at + ECHO_APART)
            self._alarm.ring()

    async def run(self) -> None:
        """Publish at once, then whenever something changed and it may be told."""
        self.changed("state")
        while True:
            now = self._clock.monotonic()
            if self._echo is not None and self._echo <= now:
                self._echo, self._echoed_at, self._again = None, now, True
                self._pacer.changed("state", now)
            if self._pacer.take(now):
                self._publish()
            times = [time for time in (self._pacer.due(), self._echo) if time is not None]
            await self._alarm.wait(min(times) - now if times else None)

    def _publish(self) -> None:
        name, port, sessions = self._describe()
        revision = next_revision(self._revision, int(self._clock.time() * 1000))
        strings = encode(make_record(self._own, revision, name, port=port, sessions=sessions))
        content = [string for string in strings if not string.startswith(b"r=")]
        if content == self._published and not self._again:
            return
        self._published, self._again, self._revision = content, False, revision
        self._save_revision(revision)
        self._discovery.publish(strings)


def urgency(before: SessionRow | None, after: SessionRow | None) -> Urgency | None:
    """How urgent the change of a session's row is for the network; None if a record does not show it."""
    was = before.status if before is not None and before.status.live else None
    now = after.status if after is not None and after.status.live else None
    if was is not now:
        return "needs-input" if now is Status.NEEDS_INPUT else "state"
    if before is None or after is None or now is None:
        return None
    return "title" if (before.title, before.updated_at) != (after.title, after.updated_at) else None
