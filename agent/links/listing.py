"""The sessions of a device as it tells them over one link: all of them, then changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

from msgspec import Raw

from agent.errors import AgentError, Busy, TimedOut
from agent.links.rules.results import ROWS_MAX, told_changes, told_rows
from agent.ports import Clock
from agent.protocol.messages import ListSessions
from agent.protocol.model import DeviceId, SessionId, SessionRow
from agent.protocol.ratelimit import Bucket, Rate

log = logging.getLogger(__name__)

ANSWER, AGAIN = 10.0, 1.0
"""Seconds for the list of sessions, and before it is asked for again."""
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


class SessionNews(Protocol):
    """Who is told of the sessions: the registry's service."""

    def takes_sessions(self, device: DeviceId) -> bool:
        """Whether what the device tells of its sessions counts for anything."""

    def link_sessions(
        self,
        device: DeviceId,
        rows: Sequence[SessionRow],
        removed: tuple[SessionId, ...] = (),
        *,
        whole: bool = False,
    ) -> None:
        """The device told its sessions: all of them (`whole`), or changes."""


class Asked(Protocol):
    """The link over which they are told."""

    async def request(self, method: str, params: Callable[[], object], *, seconds: float) -> Raw:
        """Ask, and wait for the answer."""

    def spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        """Run something that ends with the connection."""

    def check(self) -> None:
        """Raise PeerLost if what the link brought is void (L9)."""


class Listing:
    """Asks for the list and passes changes on; those that overtake the list wait for it."""

    def __init__(self, device: DeviceId, news: SessionNews, clock: Clock, budget: Bucket) -> None:
        self._device = device
        self._news = news
        self._clock = clock
        self._budget = budget
        self.known = asyncio.Event()  # whether the sessions are known, as far as they will be
        self._watching = False  # whether the other side was asked to tell changes, too
        self._early: list[Changes] | None = []  # changes that came before the list; None once it is there
        self._early_size = 0  # bytes
        self._waiting: dict[SessionId, SessionRow | None] = {}  # what to apply next; None: it is gone
        self._steps = Bucket(STEPS, clock.monotonic())
        self._later = False  # whether it is about to be applied

    async def run(self, link: Asked) -> None:
        """Have the list told, then what has overtaken it; again, if its word counts only now."""
        if not self._news.takes_sessions(self._device):
            self.known.set()
            return
        try:
            rows = await self._rows(link)
        except AgentError as exc:
            log.info("no list of sessions", extra={"device": self._device, "error": str(exc)})
            return
        finally:
            self.known.set()
        self._news.link_sessions(self._device, rows, whole=True)
        early, self._early = self._early, None
        self._waiting.clear()  # older than the list
        for changed, removed in early or ():
            self._put(link, changed, removed)

    def _apply(self) -> None:
        waiting, self._waiting = self._waiting, {}
        rows = [row for row in waiting.values() if row is not None]
        gone = tuple(session for session, row in waiting.items() if row is None)
        self._news.link_sessions(self._device, rows, gone)

    async def _apply_later(self, pause: float) -> None:
        while pause:
            await self._clock.sleep(pause)
            pause = self._steps.take(self._clock.monotonic())
        self._later = False
        self._apply()

    def _put(self, link: Asked, changed: list[SessionRow], removed: tuple[SessionId, ...]) -> None:
        for session, row in [*((row.id, row) for row in changed), *((each, None) for each in removed)]:
            self._waiting.pop(session, None)  # in the order of the newest
            if len(self._waiting) < ROWS_MAX:
                self._waiting[session] = row
        if not self._later:
            if pause := self._steps.take(self._clock.monotonic()):
                self._later = True
                link.spawn(self._apply_later(pause), "peers.apply")
            else:
                self._apply()

    async def _rows(self, link: Asked) -> list[SessionRow]:
        # However busy the other side is: without its list nothing of what it tells later would count.
        while True:
            try:
                method = "session.list" if self._watching else "session.watch"
                rows = await link.request(method, lambda: ListSessions(scope="local"), seconds=ANSWER)
            except (Busy, TimedOut) as exc:
                log.info("no list of sessions yet", extra={"device": self._device, "error": str(exc)})
                self.known.set()  # who waits for it is told what is known
                await self._clock.sleep(max(AGAIN, exc.retry_after))
            else:
                link.check()
                self._watching = True
                return told_rows(rows)

    def changed(self, link: Asked, params: Raw, size: int) -> bool:
        """Take changes, in a frame of `size` bytes; False if they are more than a device may tell.

        Of a device whose word does not count they are not even read (T11). Raises: Undescribed.
        """
        if not self._news.takes_sessions(self._device):
            return True
        if self._budget.take(self._clock.monotonic(), max(size, FRAME_COST)):
            return False
        changes = told_changes(params)
        if self._early is None:
            self._put(link, *changes)
            return True
        self._early_size += size
        if self._early_size > EARLY_MAX:
            return False
        self._early.append(changes)
        return True
