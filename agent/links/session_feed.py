"""The sessions of a device as it sends them over one link: all of them, then changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

from msgspec import Raw

from agent.errors import AgentError, Busy, TimedOut
from agent.links.rules.peer_results import ROWS_MAX, read_changes, read_rows
from agent.ports import Clock
from agent.protocol.messages import ListSessions
from agent.protocol.methods import SESSION_LIST, SESSION_WATCH, Method, P, R
from agent.protocol.model import DeviceId, SessionId, SessionRow
from agent.protocol.ratelimit import Bucket, Rate

log = logging.getLogger(__name__)

ANSWER, AGAIN = 10.0, 1.0
"""Seconds for the list of sessions, and before it is requested again."""
EARLY_MAX = 2_097_152
"""Bytes of changes that may overtake the list of sessions."""
STEPS = Rate(per_minute=600, burst=256)
"""Steps in which changes are applied, the newest of each session: one in 100 ms, more after a quiet time."""
NEWS_RATE = Rate(per_minute=60 << 20, burst=8 << 20)
"""Bytes of changes: ten thousand sessions at once, and 1 MiB a second."""
FRAME_COST = 1024
"""Bytes that a smaller frame counts for: reading it is work, too."""


Changes = tuple[list[SessionRow], tuple[SessionId, ...]]
"""Rows that are new or different, and ids that are gone."""


class SessionObserver(Protocol):
    """Takes the sessions of other devices: the presence service."""

    def takes_sessions(self, device: DeviceId) -> bool:
        """Whether sessions of the device count: not those of a stranger or a guest."""

    def link_sessions(
        self,
        device: DeviceId,
        rows: Sequence[SessionRow],
        removed: tuple[SessionId, ...] = (),
        *,
        whole: bool = False,
    ) -> None:
        """Take session rows that the device sent: all of them (`whole`), or changes."""


class FeedLink(Protocol):
    """The link over which a feed comes (`links.link.Link`)."""

    async def request(self, method: Method[P, R], params: Callable[[], P], *, seconds: float) -> Raw:
        """Send a request and wait for its result; `params` is called when it is sent."""

    def spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        """Start a task that ends with the connection."""

    def check(self) -> None:
        """Raise PeerLost if results that the link brought are void (L9)."""


class SessionFeed:
    """Requests the list of sessions and applies changes to it; changes that overtake the list wait for it."""

    def __init__(self, device: DeviceId, observer: SessionObserver, clock: Clock, budget: Bucket) -> None:
        self._device = device
        self._observer = observer
        self._clock = clock
        self._budget = budget
        self.known = asyncio.Event()  # whether the sessions are known, as far as they will be
        self._watching = False  # whether the other side was asked to send changes, too
        self._early: list[Changes] | None = []  # changes that came before the list; None once it is there
        self._early_size = 0  # bytes
        self._waiting: dict[SessionId, SessionRow | None] = {}  # what to apply next; None: it is gone
        self._steps = Bucket(STEPS, clock.monotonic())
        self._later = False  # whether it is about to be applied

    async def run(self, link: FeedLink) -> None:
        """Request the list, then apply the changes that overtook it; call it again once the device counts."""
        if not self._observer.takes_sessions(self._device):
            self.known.set()
            return
        try:
            rows = await self._rows(link)
        except AgentError as exc:
            log.info("no list of sessions", extra={"device": self._device, "error": str(exc)})
            return
        finally:
            self.known.set()
        self._observer.link_sessions(self._device, rows, whole=True)
        early, self._early = self._early, None
        self._waiting.clear()  # older than the list
        for changed, removed in early or ():
            self._put(link, changed, removed)

    def _apply(self) -> None:
        waiting, self._waiting = self._waiting, {}
        rows = [row for row in waiting.values() if row is not None]
        gone = tuple(session for session, row in waiting.items() if row is None)
        self._observer.link_sessions(self._device, rows, gone)

    async def _apply_later(self, pause: float) -> None:
        while pause:
            await self._clock.sleep(pause)
            pause = self._steps.take(self._clock.monotonic())
        self._later = False
        self._apply()

    def _put(self, link: FeedLink, changed: list[SessionRow], removed: tuple[SessionId, ...]) -> None:
        for session, row in [*((row.id, row) for row in changed), *((each, None) for each in removed)]:
            self._waiting.pop(session, None)  # in the order of the newest
            if len(self._waiting) < ROWS_MAX:
                self._waiting[session] = row
        if not self._later:
            pause = self._steps.take(self._clock.monotonic())
            if pause:
                self._later = True
                link.spawn(self._apply_later(pause), "peers.apply")
            else:
                self._apply()

    async def _rows(self, link: FeedLink) -> list[SessionRow]:
        # However busy the other side is: without its list no change that it sends later would count.
        while True:
            try:
                method = SESSION_LIST if self._watching else SESSION_WATCH
                rows = await link.request(method, lambda: ListSessions(scope="local"), seconds=ANSWER)
            except (Busy, TimedOut) as exc:
                log.info("no list of sessions yet", extra={"device": self._device, "error": str(exc)})
                self.known.set()  # whoever waits gets what is known
                await self._clock.sleep(max(AGAIN, exc.retry_after))
            else:
                link.check()
                self._watching = True
                return read_rows(rows)

    def changed(self, link: FeedLink, params: Raw, size: int) -> bool:
        """Take changes, in a frame of `size` bytes; False if they are more than a device may send.

        Those of a device whose sessions do not count are not even read (T11). Raises: Undescribed.
        """
        if not self._observer.takes_sessions(self._device):
            return True
        if self._budget.take(self._clock.monotonic(), max(size, FRAME_COST)):
            return False
        changes = read_changes(params)
        if self._early is None:
            self._put(link, *changes)
            return True
        self._early_size += size
        if self._early_size > EARLY_MAX:
            return False
        self._early.append(changes)
        return True
