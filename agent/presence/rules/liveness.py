"""Whether a device is there, and how we know (R10). Pure; all times are Unix seconds."""

from __future__ import annotations

from typing import Literal

from agent.protocol.model import REFUSES, STOPPED

State = Literal["online", "stale", "offline"]

STALE_AFTER = 150.0
"""Seconds without a word: two re-announcements of 60 ± 10 s missed, and a margin."""
FORGET_AFTER = 86_400.0
"""Seconds after which an unpaired device that is not there is no longer listed."""
FAILURES = 2
"""Failed dials in a row that make a device offline: one time-out is never "dead"."""
GOODBYE_HOLDS = 10.0
"""Seconds for which a goodbye counts that came while a link was up: the link may break a moment later."""
PROBE_EVERY = 5.0
"""Seconds between two probes of one device."""
ANSWER_HOLDS = 1.0
"""Seconds after an answer in which a goodbye causes no probe: a forger must not set the rate of our probes."""


class Liveness:
    """The facts about one device, and the state that follows from them."""

    def __init__(self, heard_at: float | None = None) -> None:
        self.heard_at = heard_at
        self.linked = False
        self.since: float | None = None  # when it went offline
        self._gone = "" if heard_at is not None else "not heard yet"
        self._doubt = ""
        self._refuses = False
        self._failures = 0
        self._failed_at = -PROBE_EVERY
        self._goodbye_at: float | None = None
        self._stopped = False  # it said goodbye and its link ended: only an answer overrules that
        self._answered_at = -PROBE_EVERY
        self._asking = False  # a goodbye, perhaps forged, waits for a dial that fails or succeeds
        self._withdrawn = False  # it answered after a goodbye, and its record was not heard again since

    @classmethod
    def unheard(cls, seen_at: float) -> Liveness:
        """The liveness of a paired device that was not heard since the start; `seen_at` 0.0: never at all."""
        live = cls()
        live.heard_at = seen_at or None
        return live

    @property
    def state(self) -> State:
        """Whether the device is online, stale (unsure), or offline."""
        if self.linked:
            return "online"
        if self._gone:
            return "offline"
        return "stale" if self._doubt else "online"

    @property
    def reason(self) -> str:
        """Why the device counts as stale or offline, or is of no use to this one; else empty."""
        return "" if self.linked else self._gone or self._doubt or (REFUSES if self._refuses else "")

    @property
    def refuses(self) -> bool:
        """Whether the device is there and refused this one when it was dialled last (R14)."""
        return self._refuses and not self.linked

    def heard(self, now: float, *, news: bool, sure: bool = True) -> None:
        """Take a record of the device; `news`: with a revision that was not known, so its sender did something.

        A device that does not answer is not made online by an echo of a known record: a sleep proxy can send that.
        Nor is one that has left, if it can be asked instead (not `sure`): anybody can send an echo. And one that said
        over its link that it stops is back only once it answers: its last record may come after its goodbye.
        """
        self.heard_at = now
        self._goodbye_at = None
        self._withdrawn = False
        self._asking = self._asking and not news
        if self._stopped or (not news and not sure and self.since is not None):
            self._failures = max(1, self._failures)
        elif not self._failures:
            self._be_online()
        elif news and not self.linked:
            self._gone, self.since = "", None
            self._failures = 1
            self._doubt = "heard, but it did not answer"

    def answered(self, now: float) -> None:
        """Record that the device accepted a connection."""
        self.heard_at = now
        self._failures = 0
        self._goodbye_at = None
        self._stopped = False
        self._answered_at, self._asking = now, False
        self._be_online()

    def refused(self, now: float) -> None:
        """Record that the device accepted a connection and then refused this one."""
        self.answered(now)
        self._refuses = True

    def link_up(self, now: float) -> None:
        """Record that an authenticated link is open: nothing is surer."""
        self.linked, self._refuses = True, False
        self.answered(now)

    def link_lost(self, reason: str, now: float) -> None:
        """Record the end of the link: offline for sure only if the device had just said goodbye, else stale."""
        if not self.linked:
            return
        self.linked = False
        self.heard_at = now
        self._failures = 0
        if self._goodbye_at is not None and now - self._goodbye_at <= GOODBYE_HOLDS:
            self._be_offline(STOPPED, now)
            self._stopped = True
        else:
            self._doubt = reason or "the link was lost"

    def goodbye(self, now: float, *, sure: bool = True) -> None:
        """Record that the announcement was withdrawn. Anybody on the network can say so: a live link knows better.

        Not `sure`: the device can be asked, and its state stays until that fails once.
        """
        self._goodbye_at = now
        if self.linked or self._gone:
            return
        if sure:
            self._failures = 0
            self._be_offline(STOPPED, now)
        else:
            self._asking = self._withdrawn = True

    def dial_failed(self, reason: str, now: float) -> None:
        """Record that the device was dialled or probed and did not answer."""
        if self.linked:
            return
        self._failures += 1
        self._failed_at = now
        if self._gone:
            if self.since is None:  # never heard: now there is a better reason
                self._gone = reason or self._gone
            return
        if self._asking or self._withdrawn:
            self._failures = 0
            self._be_offline(STOPPED, now)
        elif self._failures >= FAILURES:
            self._be_offline(reason or "does not answer", now)
        else:
            self._doubt = reason or "did not answer"

    def expire(self, now: float) -> bool:
        """Let time pass: silence makes stale. Returns False once the device, if unpaired, should be forgotten."""
        if self.linked:
            return True
        deadline = self.deadline(forgettable=False)
        if deadline is not None and deadline <= now:
            self._doubt = f"not heard for {STALE_AFTER:.0f} s"
        return self.state == "online" or now < self._last_heard() + FORGET_AFTER

    def deadline(self, *, forgettable: bool) -> float | None:
        """When (Unix seconds) `expire` has something to do next; None: never."""
        if self.linked:
            return None
        if self.state == "online":
            return self._last_heard() + STALE_AFTER
        return self._last_heard() + FORGET_AFTER if forgettable else None

    def wants_probe(self, now: float) -> bool:
        """Whether a probe would tell something: the device is stale, said goodbye, or was heard after a failed dial."""
        if self.linked or now - self._failed_at < PROBE_EVERY:
            return False
        if self._asking and now - self._answered_at >= ANSWER_HOLDS:
            return True
        if self._withdrawn and now - self._answered_at >= PROBE_EVERY:
            return True  # the goodbye of a record that is withdrawn already is not heard a second time
        return self.state == "stale" or (self._failures > 0 and self._last_heard() > self._failed_at)

    def _last_heard(self) -> float:
        return self.heard_at if self.heard_at is not None else 0.0

    def _be_online(self) -> None:
        self._gone = ""
        self._doubt = ""
        self.since = None

    def _be_offline(self, reason: str, now: float) -> None:
        self._gone = reason
        self._doubt = ""
        self.since = now
        self._asking = self._withdrawn = False
