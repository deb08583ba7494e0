"""One connection to a paired device: how it is opened, what it carries, and who observes links."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

from msgspec import Raw

from agent.errors import AgentError, PeerLost, TimedOut
from agent.links.session_feed import SessionFeed, SessionObserver
from agent.ports import Channel, Dialer
from agent.protocol.messages import Nothing, Ready
from agent.protocol.methods import GATEWAY_STATUS, Follows, Method, P, R
from agent.protocol.model import DeviceId, Endpoint
from agent.tasks import child

ATTACHING_MAX = 16
"""Attachments under way over one link: their results are large, and hundreds may be wanted when a link is back."""
ASKING_MAX = 48
"""Other requests under way over one link: with the attachments as many as the other side serves at once (64)."""


class LinkObserver(SessionObserver, Protocol):
    """Observes links, and knows where to dial: the presence service."""

    def link_up(self, device: DeviceId, *, name: str, version: str, endpoint: Endpoint | None) -> None:
        """Record that a link to the device is open; `endpoint` is where it can be dialled again, if known."""

    def goodbye(self, device: DeviceId) -> None:
        """Record that the device itself said that it leaves."""

    def link_lost(self, device: DeviceId, reason: str) -> None:
        """Record that the link to the device is lost."""

    def dial_failed(self, device: DeviceId, reason: str) -> None:
        """Record that the device did not answer at any address."""

    def refused(self, device: DeviceId) -> None:
        """Record that the device is there and does not accept this one."""

    def endpoints(self, device: DeviceId) -> list[Endpoint]:
        """Endpoints at which to dial the device, best first."""


class Link:
    """One connection to a paired device, and the tasks that end with it."""

    def __init__(
        self,
        channel: Channel,
        group: asyncio.TaskGroup,
        *,
        dialled: Endpoint | None,
        host: str,
        opened: float,
        feed: SessionFeed,
    ) -> None:
        self.channel, self.dialled = channel, dialled
        self.host = host  # IP address of the other side
        self.opened = self.used = opened  # monotonic seconds
        self.ready: Ready | None = None
        self.over = False  # whether it was lost, or put aside for another one, though it may take a moment to close
        self.feed = feed
        self._attaching, self._asking = asyncio.Semaphore(ATTACHING_MAX), asyncio.Semaphore(ASKING_MAX)
        self._group = group
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def ours(self) -> bool:
        """Whether this device dialled the connection."""
        return self.dialled is not None

    @property
    def endpoint(self) -> Endpoint | None:
        """Where the device can be dialled, as far as this link shows."""
        if self.dialled is not None or self.ready is None or not self.host or not 1 <= self.ready.port <= 65535:
            return self.dialled
        return Endpoint(self.host, self.ready.port)

    async def request(self, method: Method[P, R], params: Callable[[], P], *, seconds: float) -> Raw:
        """Send a request over this very link and wait for the result. `params` is called when it is sent.

        Only so many requests are under way at once; the others wait for their turn, first come, first served.
        Raises: PeerLost, TimedOut (after `seconds`), or the error that the device answered.
        """
        async with self._attaching if method.follows is Follows.ATTACHMENT else self._asking:
            return await self.channel.request(method.name, params(), seconds=seconds)

    async def responds(self, seconds: float) -> bool:
        """Whether the other side answers anything at all within so many seconds: a refusal will do."""
        try:
            await self.channel.request(GATEWAY_STATUS.name, Nothing(), seconds=seconds)
        except AgentError as exc:
            return not isinstance(exc, PeerLost | TimedOut)
        return True

    def check(self) -> None:
        """Raise PeerLost if the link was lost or replaced: results that it brought are void then (L9).

        With a connection the other side forgets what was attached over it, whatever it answered before.
        """
        if self.over:
            raise PeerLost

    def spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        """Start a task that ends with the connection."""
        self._tasks.append(child(self._group, work, name))

    def end(self) -> None:
        """Cancel all tasks of the connection, which has ended."""
        self.feed.known.set()
        for task in self._tasks:
            task.cancel()


class Dialling:
    """Opens connections to one device.

    Addresses of a network that was left take seconds each, so endpoints that become known while the device is dialled
    need not wait for those. Once for each dial only, or forged records could keep it from ever coming to an end.
    """

    def __init__(self, device: DeviceId, dialer: Dialer, observer: LinkObserver) -> None:
        self._device = device
        self._dialer = dialer
        self._observer = observer
        self._first: asyncio.Timeout | None = None  # ends the first attempt early
        self._tried: set[Endpoint] = set()  # by the first attempt

    def look_again(self) -> None:
        """Begin a dial under way anew, if another endpoint of the device has become known."""
        if self._first is not None and set(self._observer.endpoints(self._device)) - self._tried:
            self._first.reschedule(0.0)  # at once

    async def dial(self, endpoints: Sequence[Endpoint]) -> tuple[Channel, Endpoint]:
        """Connect at the first endpoint that answers. Raises: PeerUnreachable, Refused, NotPaired."""
        self._tried = set(endpoints)
        try:
            async with asyncio.timeout(None) as self._first:
                return await self._dialer.dial(self._device, endpoints)
        except TimeoutError:
            endpoints = self._observer.endpoints(self._device)
        finally:
            self._first = None
        return await self._dialer.dial(self._device, endpoints)
