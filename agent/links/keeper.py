"""The link to one paired device: dialled, redialled with backoff, accepted, and only one of them (L2, L3, L5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from msgspec import Raw, Struct

from agent.errors import AgentError, Forbidden, NotPaired, PeerLost, PeerUnreachable, Refused
from agent.links.link import Dialling, Link, LinkNews
from agent.links.listing import NEWS_RATE, Listing
from agent.links.rules.policy import new_link_stays
from agent.links.twins import Twins
from agent.ports import Channel, Clock, Dialer, MessageHandler
from agent.protocol.codec import typed
from agent.protocol.messages import Ready, TwinSeen
from agent.protocol.model import STOPPED, DeviceId, Endpoint
from agent.protocol.ratelimit import Bucket
from agent.tasks import Alarm, failures, reconnect_delay, within

log = logging.getLogger(__name__)

STOPPING = "the service stops"
"""Reason for closing a link that is a goodbye, heard also where no multicast is."""
ANOTHER = "another link stays"
"""Reason for closing one of two links."""
NOT_NEEDED = "not needed now"
"""Reason for closing a link that the other side must not open again by itself (L4)."""
READY = 5.0
"""Seconds within which a connected gateway must have said who it is."""
SHORT = 2.0
"""Seconds: a link that lasted less counts as a failed attempt, or two devices that disagree would dial for ever."""
TWIN = "another machine with this key is linked"
"""Reason for turning a link away: two machines with one key would replace each other's link without end."""
TWIN_PROOF = 3.0
"""Seconds in which the machine that was there first must answer, or it is thought gone."""
TWIN_RETRY = 60.0
"""Seconds before a machine that was turned away for its twin dials again, whatever it hears meanwhile."""
STOPPED_PAUSE = 2.0
"""Seconds, times 0.5 to 1, before a device that said that it stops is dialled: it may still be closing its door."""
REFUSED_RETRY = 60.0
"""Seconds before a device that refused us is asked again, unless it is paired anew."""
REFUSED_SURE = 3
"""Refusals in a row that are believed: a device that stops just then looks the same (measured)."""


class Shared(Struct, frozen=True, kw_only=True):
    """What the keepers of all devices have in common."""

    own: Ready
    dialer: Dialer
    news: LinkNews
    clock: Clock
    jitter: Callable[[], float]
    handler: MessageHandler
    twins: Twins
    changed: Callable[[Keeper], None]
    limited: Callable[[DeviceId], bool]  # whether a device's word moves nobody here to do something


class Keeper:
    """Keeps the link to one paired device."""

    def __init__(self, device: DeviceId, shared: Shared, *, wanted: bool) -> None:
        self.device = device
        self.link: Link | None = None
        self.wanted = wanted  # whether the link is to be there (False: on demand, and nobody asks)
        self.refused = False
        self.tried = False  # whether it was dialled in vain, or has refused, since the start
        self._shared = shared
        self._news = shared.news
        self._clock = shared.clock
        self._dialling = Dialling(device, shared.dialer, shared.news)
        self._wake = Alarm(shared.clock)
        self._progress = asyncio.Event()  # set and replaced at every change of the link or failed attempt
        self._attempts = 0
        self._leaving = False  # whether this service stops
        self.has_stopped = False  # whether the device has said that it stops, and was not linked since
        self._pauses = False  # whether to wait before the next dial
        self._opening: set[Link] = set()  # connections over which the other side has not said yet who it is
        self.refusals = 0  # in a row
        # What the device may tell of its sessions, over all its links.
        self._listed = Bucket(NEWS_RATE, shared.clock.monotonic())

    # --- used by the service -----------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something new is known of the device: dial now rather than later."""
        self._attempts = min(self._attempts, 2)
        self._wake.ring()
        self._dialling.look_again()

    async def get(self, seconds: float) -> Link:
        """The link, once it carries. Raises: Refused, PeerUnreachable (within `seconds`)."""
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
        """Something was asked over the link (L4)."""
        link.used = self._clock.monotonic()

    def current(self) -> Link | None:
        """The link, if something can be asked over it at this moment."""
        return self.link if self.link is not None and self.link.channel.open else None

    @property
    def refused_surely(self) -> bool:
        """Whether the device has refused this one often enough that it is no chance."""
        return self.refusals >= REFUSED_SURE

    def lost(self, link: Link) -> None:
        """A connection carries no more. Idempotent."""
        link.over = True
        self._opening.discard(link)
        if link.channel.told == STOPPING and self.link in {None, link}:
            self.has_stopped, self._pauses = True, True
        if self.link is not link:
            if self.link is not None and self.link.over and not self._opening:
                self.lost(self.link)  # this was what was to take its place
        elif not (link.channel.told == ANOTHER and self._opening):  # else the other one is about to carry
            self.link = None
            if self._clock.monotonic() - link.opened >= SHORT:
                self._attempts = 0  # whichever side dialled it
            self.wanted = self.wanted and link.channel.told != NOT_NEEDED
            log.info("link lost", extra={"device": self.device})
            if link.channel.told == STOPPING:
                self._news.goodbye(self.device)
            self._news.link_lost(self.device, "the link was lost")
            self._moved()
            if not link.ours:
                self._wake.ring()  # else the one who dialled it goes on by itself

    def dismiss(self) -> bool:
        """The device is trusted no more: cut its link, and what was to become one; whether there was one."""
        for opening in tuple(self._opening):
            self._turn_away(opening, "not paired any more")
        if (link := self.link) is None:
            return False
        self.lost(link)
        link.channel.abort()
        return True

    def leave(self) -> None:
        """This service stops: say so over the link, and over each that is opened yet."""
        self._leaving = True
        self.let_go(STOPPING)

    def let_go(self, reason: str) -> None:
        """Close the link, if there is one."""
        if (link := self.link) is not None:
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
        """Run one connection to its end, as the device's link if it is the one that stays.

        `host`: IP address of the other side; `dialled`: where we dialled it, None if it dialled us.
        """
        async with asyncio.TaskGroup() as group:
            listing = Listing(self.device, self._news, self._clock, self._listed)
            link = Link(channel, group, dialled=dialled, host=host, opened=self._clock.monotonic(), listing=listing)
            self._opening.add(link)
            link.spawn(self._expect_ready(link), "peers.expect-ready")
            if self._leaving:
                self._turn_away(link, STOPPING)
            else:
                channel.notify("gateway.ready", self._shared.own)
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
        """The other side said who it is: from here on the link carries."""
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
        # The proof of a copied key are two that answer. The first one stays, or neither would ever be of use.
        first = self.link
        if first is None or not await self._answers(first):
            if not link.over and self.link is first:
                self._take(link, ready)  # whoever dialled the first: it carries nothing
            elif not link.over:
                self._choose(link, ready)
            return
        hosts = (first.host, link.host)
        for each in (first, link):
            each.channel.notify("gateway.twin", TwinSeen(hosts=hosts))
        self._turn_away(link, TWIN)
        self._shared.twins.linked(self.device, hosts)

    async def _answers(self, link: Link) -> bool:
        asking = link.answers(2 * TWIN_PROOF)
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
        self._news.link_up(self.device, name=ready.name, version=ready.version, endpoint=link.endpoint)
        link.spawn(link.listing.run(link), "peers.watch")
        self._moved()

    def role_changed(self) -> None:
        """The device is something else to this one: what it says of its sessions may count from now on."""
        if self.link is not None:
            self.link.spawn(self.link.listing.run(self.link), "peers.watch")

    def sessions_changed(self, link: Link, params: Raw, size: int) -> None:
        """The other side told changes, in a frame of `size` bytes. Raises: Undescribed."""
        if link is self.link and not link.listing.changed(link, params, size):
            self._turn_away(link, "too many changes of sessions")

    def twin_told(self, seen: TwinSeen) -> None:
        """The other side says that a second machine has this device's key: the owner is told, if it has a word here."""
        if not self._shared.limited(self.device):
            self._shared.twins.told(self.device, seen.hosts)

    # --- dialling ----------------------------------------------------------------------------------------------------

    async def _dial(self) -> None:
        endpoints = self._news.endpoints(self.device)
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
            self._news.refused(self.device)
            self._moved()
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
            if channel.told == TWIN:
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
            self._news.dial_failed(self.device, reason)
            self._moved()

    def _moved(self) -> None:
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
    # What arrives over a link: the keeper takes what concerns the link, the handler the rest.
    def __init__(self, keeper: Keeper, link: Link, handler: MessageHandler) -> None:
        self._keeper = keeper
        self._link = link
        self._handler = handler

    def on_request(self, channel: Channel, method: str, params: Raw) -> Awaitable[object]:
        if self._link.ready is None:
            raise Forbidden("gateway.ready comes first")
        if self._link.over:
            raise PeerLost  # nobody would hear the answer, so nothing is done
        self._keeper.used(self._link)
        return self._handler.on_request(channel, method, params)

    def on_notification(self, channel: Channel, method: str, params: Raw, frame: bytes) -> None:
        if method == "gateway.ready":
            self._keeper.ready(self._link, typed(params, Ready))
        elif method == "gateway.twin":
            self._keeper.twin_told(typed(params, TwinSeen))
        elif method == "session.changed":
            self._keeper.sessions_changed(self._link, params, len(frame))
        elif self._keeper.link is self._link:
            self._handler.on_notification(channel, method, params, frame)

    def on_closed(self, channel: Channel) -> None:
        self._handler.on_closed(channel)
        self._keeper.lost(self._link)
