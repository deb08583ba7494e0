"""Supervises the one link to a paired device: dials, redials with backoff, accepts, drops a second one (L2 to L5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from msgspec import Raw, Struct

from agent.errors import AgentError, Forbidden, NotPaired, PeerLost, PeerUnreachable, Refused
from agent.links.link import Dialling, Link, LinkObserver
from agent.links.rules.policy import new_link_stays
from agent.links.session_feed import NEWS_RATE, SessionFeed
from agent.links.twins import TwinReports
from agent.ports import Channel, Clock, Dialer, MessageHandler
from agent.protocol.codec import typed
from agent.protocol.messages import Ready, TwinSeen
from agent.protocol.methods import GATEWAY_READY, GATEWAY_TWIN, SESSION_CHANGED
from agent.protocol.model import STOPPED, DeviceId, Endpoint
from agent.protocol.ratelimit import Bucket
from agent.tasks import Alarm, failures, reconnect_delay, within

log = logging.getLogger(__name__)

STOPPING = "the service stops"
"""Reason for closing a link that is a goodbye, and works also where there is no multicast."""
ANOTHER = "another link stays"
"""Reason for closing one of two links to the same device."""
NOT_NEEDED = "not needed now"
"""Reason for closing a link that the other side must not open again by itself (L4)."""
READY = 5.0
"""Seconds within which a connected gateway must have sent `gateway.ready`."""
SHORT = 2.0
"""Seconds; a shorter link counts as a failed attempt, or two devices that disagree would dial for ever."""
TWIN = "another machine with this key is linked"
"""Reason for turning a link away: two machines with one key would replace each other's link without end."""
TWIN_PROOF = 3.0
"""Seconds in which the machine that was linked first must answer, or it counts as gone."""
TWIN_RETRY = 60.0
"""Seconds before a machine that was turned away because of its twin dials again, whatever it hears meanwhile."""
STOPPED_PAUSE = 2.0
"""Seconds, times 0.5 to 1, before a device that said that it stops is dialled: it may still be closing."""
REFUSED_RETRY = 60.0
"""Seconds before a device that refused us is dialled again, unless it is paired anew."""
REFUSED_SURE = 3
"""Refusals in a row that count as sure: a device that stops just then looks the same (measured)."""


class Shared(Struct, frozen=True, kw_only=True):
    """What the supervisors of all links have in common."""

    own: Ready
    dialer: Dialer
    observer: LinkObserver
    clock: Clock
    jitter: Callable[[], float]
    handler: MessageHandler
    twins: TwinReports
    changed: Callable[[LinkSupervisor], None]
    limited: Callable[[DeviceId], bool]  # whether a device may only watch, or is no member


class LinkSupervisor:
    """Keeps one link to one paired device, whoever dials. `run` until cancelled."""

    def __init__(self, device: DeviceId, shared: Shared, *, wanted: bool) -> None:
        self.device = device
        self.link: Link | None = None
        self.wanted = wanted  # whether the link is to be there (False: on demand, and nobody asks)
        self.refused = False
        self.tried = False  # whether it was dialled in vain, or has refused, since the start
        self._shared = shared
        self._observer = shared.observer
        self._clock = shared.clock
        self._dialling = Dialling(device, shared.dialer, shared.observer)
        self._wake = Alarm(shared.clock)
        self._progress = asyncio.Event()  # set and replaced at every change of the link or failed attempt
        self._attempts = 0
        self._leaving = False  # whether this service stops
        self.has_stopped = False  # whether the device has said that it stops, and was not linked since
        self._pauses = False  # whether to wait before the next dial
        self._opening: set[Link] = set()  # connections without `gateway.ready` yet
        self.refusals = 0  # in a row
        # The budget of session rows that the device may send, over all its links.
        self._listed = Bucket(NEWS_RATE, shared.clock.monotonic())

    # --- used by the service -----------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Dial now rather than later: something new is known of the device."""
        self._attempts = min(self._attempts, 2)
        self._wake.ring()
        self._dialling.look_again()

    async def get(self, seconds: float) -> Link:
        """The link, dialled if need be. Raises: Refused, PeerUnreachable (after `seconds`)."""
        self.wanted = True
        if self.link is None:
            self.wake()
        failures = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.current() is None and failures < 2:
                    before = self._attempts
                    await self._progress.wait()
                    if self.current() is None and self.refused:
                        raise Refused
                    failures += self._attempts > before
        link = self.current()
        if link is None:
            raise PeerUnreachable
        self.used(link)
        return link

    def used(self, link: Link) -> None:
        """Note that the link is used now, for the choice of links to close (L4)."""
        link.used = self._clock.monotonic()

    def current(self) -> Link | None:
        """The link, if a request can be sent over it at this moment."""
        return self.link if self.link is not None and self.link.channel.open else None

    @property
    def refused_surely(self) -> bool:
        """Whether the device has refused this one often enough that it is no chance."""
        return self.refusals >= REFUSED_SURE

    def lost(self, link: Link) -> None:
        """Take the end of a connection. A second call does nothing."""
        link.over = True
        self._opening.discard(link)
        if link.channel.close_reason == STOPPING and self.link in {None, link}:
            self.has_stopped = True
            self._pauses = True
        if self.link is not link:
            if self.link is not None and self.link.over and not self._opening:
                self.lost(self.link)  # this connection was to take its place
        elif not (link.channel.close_reason == ANOTHER and self._opening):  # else the other one is about to carry
            self.link = None
            if self._clock.monotonic() - link.opened >= SHORT:
                self._attempts = 0  # whichever side dialled it
            self.wanted = self.wanted and link.channel.close_reason != NOT_NEEDED
            log.info("link lost", extra={"device": self.device})
            if link.channel.close_reason == STOPPING:
                self._observer.goodbye(self.device)
            self._observer.link_lost(self.device, "the link was lost")
            self._progressed()
            if not link.ours:
                self._wake.ring()  # else the one who dialled it goes on by itself

    def dismiss(self) -> bool:
        """Cut the link and all connections of a device that is trusted no more. Returns whether there was a link."""
        for opening in tuple(self._opening):
            self._turn_away(opening, "not paired any more")
        link = self.link
        if link is None:
            return False
        self.lost(link)
        link.channel.abort()
        return True

    def leave(self) -> None:
        """Close the link with a goodbye, and every connection that is still opened: this service stops."""
        self._leaving = True
        self.let_go(STOPPING)

    def let_go(self, reason: str) -> None:
        """Close the link with a reason, if there is a link."""
        link = self.link
        if link is not None:
            self.lost(link)
            link.channel.close(reason)

    async def run(self) -> None:
        """Keep the link until cancelled."""
        try:
            while True:
                if self.link is not None or not self.wanted or self._leaving:
                    await self._wake.wait(None)
                elif self._pauses:
                    self._pauses = False
                    await self._wake.wait(STOPPED_PAUSE * self._shared.jitter())  # it is heard if it starts again
                else:
                    self._wake.clear()
                    await self._try()
        finally:
            if self.link is not None:
                self.link.channel.close(STOPPING)

    async def _try(self) -> None:
        try:
            await self._dial()
        except* Exception as exc:  # noqa: BLE001 - recorded
            # A bug of ours costs this link, not those of all other devices.
            failures().note("peers.link", exc)
            self._attempts += 1
            await self._back_off()

    async def serve(self, channel: Channel, host: str, dialled: Endpoint | None = None) -> None:
        """Run one connection to its end: as the device's link, if this is the one that stays.

        `host` is the IP address of the other side; `dialled` where we dialled it, None if it dialled us.
        """
        async with asyncio.TaskGroup() as group:
            feed = SessionFeed(self.device, self._observer, self._clock, self._listed)
            link = Link(channel, group, dialled=dialled, host=host, opened=self._clock.monotonic(), feed=feed)
            self._opening.add(link)
            link.spawn(self._expect_ready(link), "peers.expect-ready")
            if self._leaving:
                self._turn_away(link, STOPPING)
            else:
                channel.notify(GATEWAY_READY, self._shared.own)
            try:
                await channel.run(_Incoming(self, link, self._shared.handler))
            finally:
                link.end()
                self.lost(link)

    async def _expect_ready(self, link: Link) -> None:
        await self._clock.sleep(READY)
        if link.ready is None:
            link.channel.close("no gateway.ready")

    def ready(self, link: Link, ready: Ready) -> None:
        """Take `gateway.ready` of the other side: from here on the connection can be the link."""
        if link.ready is not None or link.over:
            return
        if ready.device != self.device:
            self._turn_away(link, "not the device of that certificate")
            return
        link.ready = ready
        if _is_another_machine(self.link, ready):
            link.spawn(self._compare(link, ready), "peers.compare")
        else:
            self._choose(link, ready)

    async def _compare(self, link: Link, ready: Ready) -> None:
        # Two machines that answer prove a copied key. The first one stays, or neither would ever be of use.
        first = self.link
        if first is None or not await self._responds(first):
            if not link.over and self.link is first:
                self._take(link, ready)  # whoever dialled the first one: it is dead
            elif not link.over:
                self._choose(link, ready)
            return
        hosts = (first.host, link.host)
        for each in (first, link):
            each.channel.notify(GATEWAY_TWIN, TwinSeen(hosts=hosts))
        self._turn_away(link, TWIN)
        self._shared.twins.linked(self.device, hosts)

    async def _responds(self, link: Link) -> bool:
        asking = link.responds(2 * TWIN_PROOF)
        return await within(TWIN_PROOF, asking, self._clock, "peers.ask-the-first") is True

    def _choose(self, link: Link, ready: Ready) -> None:
        if _stays(self.link, link, own=self._shared.own.device, peer=self.device):
            self._take(link, ready)
        else:
            self._turn_away(link, ANOTHER)

    def _take(self, link: Link, ready: Ready) -> None:
        if self.link is not None:
            self._turn_away(self.link, ANOTHER)
        self._opening.discard(link)
        self.link = link
        self.refused = False
        self.refusals = 0
        self.has_stopped = self._pauses = False
        log.info("link up", extra={"device": self.device, "dialled": link.ours})
        self._observer.link_up(self.device, name=ready.name, version=ready.version, endpoint=link.endpoint)
        link.spawn(link.feed.run(link), "peers.watch")
        self._progressed()

    def role_changed(self) -> None:
        """Request the device's sessions anew: it has another role, in which they may count."""
        if self.link is not None:
            self.link.spawn(self.link.feed.run(self.link), "peers.watch")

    def sessions_changed(self, link: Link, params: Raw, size: int) -> None:
        """Take `session.changed` in a frame of `size` bytes; too many close the link. Raises: Undescribed."""
        if link is self.link and not link.feed.changed(link, params, size):
            self._turn_away(link, "too many changes of sessions")

    def twin_reported(self, seen: TwinSeen) -> None:
        """Take `gateway.twin`: a second machine has this device's key. Ignored of a device that may only watch."""
        if not self._shared.limited(self.device):
            self._shared.twins.reported(self.device, seen.hosts)

    # --- dialling ----------------------------------------------------------------------------------------------------

    async def _dial(self) -> None:
        endpoints = self._observer.endpoints(self.device)
        if not endpoints:
            self._failed("no address is known")
            await self._wake.wait(None)
            return
        began = self._clock.monotonic()
        try:
            channel, endpoint = await self._dialling.dial(endpoints)
        except Refused as exc:
            if self.has_stopped:
                self.has_stopped = False  # it hung up as it went; another time it is a refusal
                self._failed(STOPPED)
                await self._back_off()
                return
            self.refused = self.tried = True
            self._attempts += 1
            log.info("refused", extra={"device": self.device, "error": str(exc)})
            self.refusals += 1
            self._observer.refused(self.device)
            self._progressed()
            if self.refused_surely:
                await self._wake.wait(REFUSED_RETRY)
            else:
                await self._back_off()
        except NotPaired:
            await self._wake.wait(None)
        except AgentError as exc:
            self._failed(str(exc))
            await self._back_off()
        else:
            await self.serve(channel, endpoint.host, endpoint)
            if channel.close_reason == TWIN:
                self._failed("it is linked to another machine that has this device's key")
                await self._clock.sleep(TWIN_RETRY)
            elif self.link is None and self._clock.monotonic() - began < SHORT:
                self._attempts += 1
                await self._back_off()

    async def _back_off(self) -> None:
        await self._wake.wait(reconnect_delay(self._attempts, self._shared.jitter()))

    def _turn_away(self, link: Link, reason: str) -> None:
        link.over = True
        self._opening.discard(link)
        link.channel.close(reason)

    def _failed(self, reason: str) -> None:
        if self.link is None:
            self.refused = False
            self.refusals = 0
            self.tried = True
            self._attempts += 1
            self._observer.dial_failed(self.device, reason)
            self._progressed()

    def _progressed(self) -> None:
        progress, self._progress = self._progress, asyncio.Event()
        progress.set()
        self._shared.changed(self)


def _is_another_machine(link: Link | None, ready: Ready) -> bool:
    # Or the same one after a restart that was noticed here before the end of its former link.
    known = link.ready if link is not None else None
    return known is not None and bool(known.run) and bool(ready.run) and known.run != ready.run


def _stays(old: Link | None, new: Link, *, own: DeviceId, peer: DeviceId) -> bool:
    return (
        old is None
        or old.over
        or new_link_stays(
            own=own,
            peer=peer,
            old_is_ours=old.ours,
            new_is_ours=new.ours,
            apart=new.opened - old.opened,
        )
    )


class _Incoming:
    # What arrives over a link: the supervisor takes what concerns the link, the handler the rest.
    def __init__(self, supervisor: LinkSupervisor, link: Link, handler: MessageHandler) -> None:
        self._supervisor = supervisor
        self._link = link
        self._handler = handler

    def on_request(self, channel: Channel, method: str, params: Raw) -> Awaitable[object]:
        if self._link.ready is None:
            raise Forbidden("gateway.ready comes first")
        if self._link.over:
            raise PeerLost  # nobody would get the result, so nothing is done
        self._supervisor.used(self._link)
        return self._handler.on_request(channel, method, params)

    def on_notification(self, channel: Channel, method: str, params: Raw, frame: bytes) -> None:
        if method == GATEWAY_READY.name:
            self._supervisor.ready(self._link, typed(params, Ready))
        elif method == GATEWAY_TWIN.name:
            self._supervisor.twin_reported(typed(params, TwinSeen))
        elif method == SESSION_CHANGED.name:
            self._supervisor.sessions_changed(self._link, params, len(frame))
        elif self._supervisor.link is self._link:
            self._handler.on_notification(channel, method, params, frame)

    def on_closed(self, channel: Channel) -> None:
        self._handler.on_closed(channel)
        self._supervisor.lost(self._link)
