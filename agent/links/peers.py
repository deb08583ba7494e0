"""Links to all paired devices, and requests over them that survive a lost link (L2-L5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from msgspec import Raw

from agent.errors import AgentError, NotPaired, PeerLost, PeerUnreachable, Refused
from agent.links.keeper import NOT_NEEDED, Keeper, Shared
from agent.links.link import Link, LinkNews
from agent.links.rules.policy import LinkUse, to_close
from agent.links.twins import Twins
from agent.observers import Observers
from agent.ports import Channel, Clock, Dialer, MessageHandler
from agent.protocol.messages import Ready
from agent.protocol.model import REFUSES, DeviceId, PairedDevice, Role
from agent.tasks import child, keep, spawn

log = logging.getLogger(__name__)

FIRST_CONTACT = 8.0
"""Seconds to reach a device that nobody is linked to yet."""
ANSWER = 30.0
"""Seconds for the answer to a request over a link."""
LOST_MAX = 600.0
"""Seconds for which a lost link is no error to whoever uses it (L5)."""
STARTING = 10.0
"""Seconds after the start in which a device that was not reached yet may have any session."""
LEAVE = 0.1
"""Seconds in which a goodbye over links goes out."""
PRUNE_EVERY = 10.0
IDLE = 60.0
"""Seconds after which an unused link on demand is closed (L4)."""


class Peers:
    """One keeper for each paired device."""

    def __init__(
        self,
        *,
        own: Ready,
        paired: Callable[[], Iterable[PairedDevice]],
        dialer: Dialer,
        news: LinkNews,
        announced: Callable[[DeviceId], Iterable[str]],
        clock: Clock,
        jitter: Callable[[], float],
        twins: Twins,
        name_of: Callable[[DeviceId], str],
        limit: int = 32,
        on_demand: bool = False,
    ) -> None:
        """`announced`: the hosts of a device's record; `limit`: so many links stay open (L4)."""
        self._own = own
        self._paired = paired
        self._dialer = dialer
        self._news = news
        self._announced = announced
        self._clock = clock
        self._jitter = jitter
        self._twins = twins
        self._name_of = name_of
        self._limit = limit
        self._on_demand = on_demand
        self.link_changed: Observers[[DeviceId, bool]] = Observers()
        """Told a device, and whether there is a link to it now; False also when nobody need wait for one any longer."""
        self._keepers: dict[DeviceId, Keeper] = {}
        self._tasks: dict[DeviceId, asyncio.Task[None]] = {}
        self._links: dict[DeviceId, Link] = {}
        self._roles: dict[DeviceId, Role] = {}
        self._hosts: dict[DeviceId, frozenset[str]] = {}  # announced last
        self._started: float | None = None  # monotonic seconds
        self._running: tuple[asyncio.TaskGroup, Shared] | None = None

    async def run(self, handler: MessageHandler, protected: Callable[[DeviceId], bool]) -> None:
        """Keep the links until cancelled; `handler` is given what arrives over them.

        `protected` tells whether the link to a device is in use, so that it is not closed (L4).
        """
        shared = Shared(
            own=self._own,
            dialer=self._dialer,
            news=self._news,
            clock=self._clock,
            jitter=self._jitter,
            handler=handler,
            twins=self._twins,
            changed=self._changed,
            limited=self._limited,
        )
        async with asyncio.TaskGroup() as group:
            self._drop_keepers()
            self._running = group, shared
            self._started = self._clock.monotonic()
            self.trust_changed(self._paired())
            while True:
                await self._clock.sleep(PRUNE_EVERY)
                self._prune(protected)

    def _limited(self, device: DeviceId) -> bool:
        # Whether it may only watch, or is no member: then its word moves nobody to do something.
        return not any(each.id == device and each.role == "member" and not each.read_only for each in self._paired())

    async def leave(self) -> None:
        """Say goodbye on every link, and take no more; call it before `run` is cancelled."""
        linked = self.linked()
        for keeper in self._keepers.values():
            keeper.leave()
        if linked:
            await self._clock.sleep(LEAVE)

    def trust_changed(self, devices: Iterable[PairedDevice]) -> None:
        """These devices are paired now: link new ones, cut the others at once (T4)."""
        if self._running is None:
            return
        group, shared = self._running
        roles = {device.id: device.role for device in devices}
        paired, before, self._roles = set(roles), self._roles, roles
        for device in sorted(set(self._keepers) & paired):
            if before[device] != roles[device]:
                self._keepers[device].role_changed()
        for device in set(self._keepers) - paired:
            keeper = self._keepers.pop(device)
            self._tasks.pop(device).cancel()
            self._hosts.pop(device, None)
            if not keeper.dismiss():
                self.link_changed.tell(device, False)  # nobody need wait for it any longer
        for device in sorted(paired - set(self._keepers)):
            wanted = not self._on_demand and len(self._keepers) < self._limit
            keeper = self._keepers[device] = Keeper(device, shared, wanted=wanted)
            self._tasks[device] = child(group, keep(keeper.run, "peers.keep", self._clock), f"peers.keep-{device}")

    def _drop_keepers(self) -> None:
        # Those of a run that failed: their tasks ended with it.
        keepers, self._keepers, self._tasks = list(self._keepers.values()), {}, {}
        for keeper in keepers:
            if (link := keeper.link) is not None:
                keeper.lost(link)
                link.channel.abort()

    def heard(self, device: DeviceId) -> None:
        """A record of a device arrived: dial now if there is no link, or ask over it if the addresses are others.

        A new one is heard within a second or two, that the old one is gone ten later (measured).
        """
        keeper = self._keepers.get(device)
        if keeper is None:
            return
        hosts = frozenset(self._announced(device))
        moved = self._hosts.get(device, hosts) != hosts
        self._hosts[device] = hosts
        if keeper.link is None and keeper.wanted:
            keeper.wake()
        elif keeper.link is not None and moved:
            keeper.link.channel.doubt()

    def network_changed(self) -> None:
        """This machine has other addresses: ask over each link whether it still carries, dial whoever has none."""
        for keeper in self._keepers.values():
            if keeper.link is not None:
                keeper.link.channel.doubt()
            elif keeper.wanted:
                keeper.wake()

    async def accept(self, channel: Channel, host: str) -> None:
        """Serve a connection that a paired device opened from `host`, to its end. Raises: NotPaired."""
        keeper = self._keepers.get(channel.device) if channel.device else None
        if keeper is None:
            raise NotPaired
        await keeper.serve(channel, host)

    def keeps(self, device: DeviceId) -> bool:
        """Whether this service dials the device by itself, so that nobody else need ask whether it is there."""
        keeper = self._keepers.get(device)
        return keeper is not None and keeper.wanted

    def trusts(self, device: DeviceId) -> bool:
        """Whether the device is paired, linked or not."""
        return device in self._keepers

    def refuses(self, device: DeviceId) -> bool:
        """Whether the device is there and, for sure, does not accept this one (R14)."""
        keeper = self._keepers.get(device)
        return keeper is not None and keeper.refused_surely

    def stopped(self, device: DeviceId) -> bool:
        """Whether the device said that it stops, and was not linked since."""
        keeper = self._keepers.get(device)
        return keeper is not None and keeper.has_stopped

    def linked(self) -> list[DeviceId]:
        """Devices with a link."""
        return sorted(self._links)

    def settling(self) -> bool:
        """Whether this service has just started, and a device that is to be linked was not reached yet."""
        if self._started is None:
            return True
        if self._clock.monotonic() - self._started >= STARTING:
            return False
        return any(
            keeper.wanted and not keeper.tried and (keeper.link is None or not keeper.link.listing.known.is_set())
            for keeper in self._keepers.values()
        )

    def linked_since(self, device: DeviceId) -> float | None:
        """Monotonic seconds at which the link to a device was opened; None: there is none."""
        link = self._links.get(device)
        return None if link is None else link.opened

    async def link(self, device: DeviceId, seconds: float = FIRST_CONTACT) -> Link:
        """The link to a device, dialled if need be. Raises: NotPaired, Refused, PeerUnreachable."""
        keeper = self._keepers.get(device)
        if keeper is None:
            raise NotPaired(f"{self._name_of(device)} is not paired with this device")
        try:
            return await keeper.get(seconds)
        except Refused as exc:
            raise Refused(f"{self._name_of(device)} {REFUSES}") from exc
        except PeerUnreachable as exc:
            raise PeerUnreachable(f"{self._name_of(device)} does not answer") from exc

    async def call(
        self, device: DeviceId, method: str, params: object, *, again: bool = True, seconds: float = ANSWER
    ) -> Raw:
        """Ask a device. With `again`, a request that was under way when the link broke is asked anew (L5).

        Its answer counts though the link that brought it was replaced, as it tells what was done.
        Raises: NotPaired, Refused, PeerUnreachable, PeerLost, TimedOut, or what the device answered.
        """
        link = await self.link(device)
        until = self._clock.monotonic() + LOST_MAX
        while True:
            try:
                return await link.request(method, lambda: params, seconds=seconds)
            except PeerLost:
                if not again or link.channel.open:  # open: the device itself said so
                    raise
            link = await self._back(device, until)

    async def attach(
        self, device: DeviceId, method: str, params: Callable[[], object], *, seconds: float = ANSWER
    ) -> tuple[Raw, Link]:
        """Ask once for what lasts as long as the link; the answer, and the link over which it stands.

        `params` are asked for when they are sent. Raises: as `call`, PeerLost also if the link that brought the answer
        was replaced meanwhile: what was attached over it is gone over there (L9).
        """
        link = await self.link(device)
        answer = await link.request(method, params, seconds=seconds)
        link.check()
        return answer, link

    def current(self, device: DeviceId) -> Link | None:
        """The link to a device at this moment."""
        return self._links.get(device)

    async def _back(self, device: DeviceId, until: float) -> Link:
        while True:
            try:
                return await self.link(device, max(0.1, until - self._clock.monotonic()))
            except PeerUnreachable as exc:
                if self._clock.monotonic() >= until:
                    raise PeerLost from exc
                await self._clock.sleep(self._jitter())

    def busy(self, device: DeviceId, *, attached: bool) -> None:
        """Whether a client here watches a session of that device: the link is then pinged more often (L3)."""
        if (link := self._links.get(device)) is not None:
            link.channel.busy(attached=attached)

    def notify(self, device: DeviceId, method: str, params: object) -> None:
        """Tell a device something that needs no answer, if there is a link."""
        if (link := self._links.get(device)) is not None:
            link.channel.notify(method, params)

    def tell(self, device: DeviceId, method: str, params: Callable[[], object]) -> None:
        """Ask without waiting for the answer, if there is a link. `params` are asked for when they are sent."""
        keeper = self._keepers.get(device)
        if keeper is not None and keeper.link is not None and self._running is not None:
            keeper.link.used = self._clock.monotonic()
            group, _ = self._running
            spawn(group, self._told(keeper.link, method, params), f"peers.tell-{method}")

    async def _told(self, link: Link, method: str, params: Callable[[], object]) -> None:
        try:
            await link.request(method, params, seconds=ANSWER)
        except AgentError as exc:
            log.debug("nobody took it", extra={"method": method, "error": str(exc)})

    def _changed(self, keeper: Keeper) -> None:
        # A link that took another's place counts as come back: what was attached over the old one must be again.
        if keeper.link is self._links.get(keeper.device):
            if keeper.refused_surely:
                self.link_changed.tell(keeper.device, False)  # nobody need wait for it any longer
            return
        if keeper.link is None:
            del self._links[keeper.device]
        else:
            self._links[keeper.device] = keeper.link
        self.link_changed.tell(keeper.device, keeper.link is not None)

    def _prune(self, protected: Callable[[DeviceId], bool]) -> None:
        links = [
            LinkUse(device, keeper.link.used, protected(device))
            for device, keeper in self._keepers.items()
            if keeper.link is not None
        ]
        now = self._clock.monotonic()
        for device in to_close(links, limit=self._limit, on_demand=self._on_demand, idle=IDLE, now=now):
            keeper = self._keepers[device]
            keeper.wanted = False
            keeper.let_go(NOT_NEEDED)
