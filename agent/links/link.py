"""One connection to a paired device: how it is opened, what it is, and who is told about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

from msgspec import Raw

from agent.errors import AgentError, PeerLost, TimedOut
from agent.links.listing import Listing, SessionNews
from agent.ports import Channel, Dialer
from agent.protocol.messages import Nothing, Ready
from agent.protocol.model import DeviceId, Endpoint
from agent.tasks import child


class LinkNews(SessionNews, Protocol):
    """Who is told about links: the registry's service and the proxy."""

    def link_up(self, device: DeviceId, *, name: str, version: str, endpoint: Endpoint | None) -> None:
        """A link carries."""

    def goodbye(self, device: DeviceId) -> None:
        """The device itself says that it leaves."""

    def link_lost(self, device: DeviceId, reason: str) -> None:
        """It carries no more."""

    def dial_failed(self, device: DeviceId, reason: str) -> None:
        """Nobody answered."""

    def refused(self, device: DeviceId) -> None:
        """It is there, and does not accept this device."""

    def endpoints(self, device: DeviceId) -> list[Endpoint]:
        """Where to dial, best first."""


ATTACHING_MAX = 16
"""Attachments under way over one link: their answers are large, and hundreds may be wanted when a link is back."""
ASKING_MAX = 48
"""Other requests under way over one link: with those as many as the other side answers side by side (64)."""
ATTACHING = frozenset({"session.attach", "terminal.attach"})


class Link:
    """One connection to a paired device."""

    def __init__(
        self,
        channel: Channel,
        group: asyncio.TaskGroup,
        *,
        dialled: Endpoint | None,
        host: str,
        opened: float,
        listing: Listing,
    ) -> None:
        self.channel, self.dialled = channel, dialled
        self.host = host  # IP address of the other side
        self.opened = self.used = opened  # monotonic seconds
        self.ready: Ready | None = None
        self.over = False  # whether it was lost, or put aside for another one, though it may take a moment to close
        self.listing = listing
        self._attaching, self._asking = asyncio.Semaphore(ATTACHING_MAX), asyncio.Semaphore(ASKING_MAX)
        self._group = group
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def ours(self) -> bool:
        """Whether this device dialled it."""
        return self.dialled is not None

    @property
    def endpoint(self) -> Endpoint | None:
        """Where the device can be dialled, as far as this link tells."""
        if self.dialled is not None or self.ready is None or not self.host or not 1 <= self.ready.port <= 65535:
            return self.dialled
        return Endpoint(self.host, self.ready.port)

    async def request(self, method: str, params: Callable[[], object], *, seconds: float) -> Raw:
        """Ask over this very link, and wait for the answer up to `seconds`. `params` are asked for when they are sent.

        Only so many requests are under way at once; the others wait for their turn, first come, first served.
        Raises: PeerLost, TimedOut, or what the device answered.
        """
        async with self._attaching if method in ATTACHING else self._asking:
            return await self.channel.request(method, params(), seconds=seconds)

    async def answers(self, seconds: float) -> bool:
        """Whether the other side says anything at all within so many seconds: a refusal will do."""
        try:
            await self.channel.request("gateway.status", Nothing(), seconds=seconds)
        except AgentError as exc:
            return not isinstance(exc, PeerLost | TimedOut)
        return True

    def check(self) -> None:
        """Raise PeerLost if the link was lost or replaced: what it has brought is void then (L9).

        The other side forgets with a connection what was attached over it, whatever it answered before.
        """
        if self.over:
            raise PeerLost

    def spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        """Run something that ends with the connection."""
        self._tasks.append(child(self._group, work, name))

    def end(self) -> None:
        """Let nothing outlive the connection."""
        self.listing.known.set()
        for task in self._tasks:
            task.cancel()


class Dialling:
    """Opens connections to one device.

    Addresses of a network that was left take seconds each, so places that become known while the device is dialled need
    not wait for those. Once for each dial only, or whoever forges records could keep it from ever coming to an end.
    """

    def __init__(self, device: DeviceId, dialer: Dialer, news: LinkNews) -> None:
        self._device = device
        self._dialer = dialer
        self._news = news
        self._first: asyncio.Timeout | None = None  # ends the first attempt
        self._tried: set[Endpoint] = set()  # by that

    def look_again(self) -> None:
        """Something new is known of the device: begin anew if that is where it can be dialled."""
        if self._first is not None and set(self._news.endpoints(self._device)) - self._tried:
            self._first.reschedule(0.0)  # at once

    async def dial(self, endpoints: Sequence[Endpoint]) -> tuple[Channel, Endpoint]:
        """Connect at the first place that answers. Raises: PeerUnreachable, Refused, NotPaired."""
        self._tried = set(endpoints)
        try:
            async with asyncio.timeout(None) as self._first:
                return await self._dialer.dial(self._device, endpoints)
        except TimeoutError:
            endpoints = self._news.endpoints(self._device)
        finally:
            self._first = None
        return await self._dialer.dial(self._device, endpoints)
