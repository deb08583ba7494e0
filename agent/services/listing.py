"""The sessions of a device as it tells them over one link: all of them, then changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Raw

from agent.core.hearsay import told_changes, told_rows
from agent.core.messages import ListSessions
from agent.core.records import DeviceId, SessionId, SessionRow
from agent.errors import AgentError, Busy, TimedOut
from agent.ports import Clock

log = logging.getLogger(__name__)

ANSWER, AGAIN = 10.0, 1.0
"""Seconds for the list of sessions, and before it is asked for again."""
EARLY_MAX = 2_097_152
"""Bytes of changes that may overtake the list of sessions."""


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

    def check(self) -> None:
        """Raise PeerLost if what the link brought is void (L9)."""


class Listing:
    """Asks for the list and passes changes on; those that overtake the list wait for it."""

    def __init__(self, device: DeviceId, news: SessionNews, clock: Clock) -> None:
        self._device, self._news, self._clock = device, news, clock
        self.known = asyncio.Event()  # whether the sessions are known, as far as they will be
        self._watching = False  # whether the other side was asked to tell changes, too
        self._early: list[Changes] | None = []  # changes that came before the list; None once it is there
        self._early_size = 0  # bytes

    async def run(self, link: Asked) -> None:
        """Have the list told, and then what has overtaken it; again, if its word counts only now."""
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
        for changed, removed in early or ():
            self._news.link_sessions(self._device, changed, removed)

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

    def changed(self, params: Raw, size: int) -> bool:
        """Take changes, in a frame of `size` bytes; False if more of them overtake the list than are kept.

        Of a device whose word does not count they are not even read (T11). Raises: Undescribed.
        """
        if not self._news.takes_sessions(self._device):
            return True
        changes = told_changes(params)
        if self._early is None:
            self._news.link_sessions(self._device, *changes)
            return True
        self._early_size += size
        if self._early_size > EARLY_MAX:
            return False
        self._early.append(changes)
        return True
