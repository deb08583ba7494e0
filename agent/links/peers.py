"""The links to all paired devices, and requests over them that survive a lost link (L2 to L5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from msgspec import Raw

from agent.errors import AgentError, MethodNotFound, NotPaired, PeerLost, PeerUnreachable, Refused
from agent.links.link import Link, LinkObserver
from agent.links.rules.policy import LinkUse, to_close
from agent.links.supervisor import NOT_NEEDED, LinkSupervisor, Shared
from agent.links.twins import TwinReports
from agent.observers import Observers
from agent.ports import Channel, Clock, Dialer, MessageHandler
from agent.protocol.messages import Ready
from agent.protocol.methods import Method, NotificationKind, P, R
from agent.protocol.model import REFUSES, DeviceId, PairedDevice, Role
from agent.tasks import child, keep, spawn

log = logging.getLogger(__name__)

FIRST_CONTACT = 8.0
"""Seconds to reach a device that nobody is linked to yet."""
ANSWER = 30.0
"""Seconds for the result of a request over a link."""
LOST_MAX = 600.0
"""Seconds for which a lost link is no error to whoever uses it (L5)."""
STARTING = 10.0
"""Seconds after the start in which a device that was not reached yet may have any session."""
LEAVE = 0.1
"""Seconds that a goodbye over links takes to go out."""
PRUNE_EVERY = 10.0
UPDATE = "update it on that device, and start the service there again"
IDLE = 60.0
"""Seconds after which an unused link on demand is closed (L4)."""


class Peers:
    """The links to all paired devices, each with its supervisor. `run` until cancelled."""

    def __init__(
        self,
        *,
        own: Ready,
        paired: Callable[[], Iterable[PairedDevice]],
        dialer: Dialer,
        observer: LinkObserver,
        announced: Callable[[DeviceId], Iterable[str]],
        clock: Clock,
        jitter: Callable[[], float],
        twins: TwinReports,
        name_of: Callable[[DeviceId], str],
        limit: int = 32,
        on_demand: bool = False,
    ) -> None:
        """`announced` gives the hosts of a device's record; `limit` is how many links stay open (L4)."""
        self._own = own
        self._paired = paired
        self._dialer = dialer
        self._observer = observer
        self._announced = announced
        self._clock = clock
        self._jitter = jitter
        self._twins = twins
        self._name_of = name_of
        self._limit = limit
        self._on_demand = on_demand
        self.link_changed: Observers[[DeviceId, bool]] = Observers()
        """Observers of a device and whether it is linked now; False also when nobody need wait for a link more."""
        self._supervisors: dict[DeviceId, LinkSupervisor] = {}
        self._tasks: dict[DeviceId, asyncio.Task[None]] = {}
        self._links: dict[DeviceId, Link] = {}
        self._roles: dict[DeviceId, Role] = {}
        self._hosts: dict[DeviceId, frozenset[str]] = {}  # announced last
        self._started: float | None = None  # monotonic seconds
        self._running: tuple[asyncio.TaskGroup, Shared] | None = None

    async def run(self, handler: MessageHandler, protected: Callable[[DeviceId], bool]) -> None:
        """Keep the links until cancelled; `handler` takes the messages that arrive over them.

        `protected` says whether the link to a device is in use, so that it is not closed (L4).
        """
        shared = Shared(
            own=self._own,
            dialer=self._dialer,
            observer=self._observer,
            clock=self._clock,
            jitter=self._jitter,
            handler=handler,
            twins=self._twins,
            changed=self._changed,
            limited=self._limited,
        )
        async with asyncio.TaskGroup() as group:
            self._drop_supervisors()
            self._running = group, shared
            self._started = self._clock.monotonic()
            self.trust_changed(self._paired())
            while True:
                await self._clock.sleep(PRUNE_EVERY)
                self._prune(protected)

    def _limited(self, device: DeviceId) -> bool:
        # Whether the device may only watch, or is no member: then its reports are ignored.
        return not any(each.id == device and each.role == "member" and not each.read_only for each in self._paired())

    async def leave(self) -> None:
        """Say goodbye on every link, and accept no more of them; call it before `run` is cancelled."""
        linked = self.linked()
        for supervisor in self._supervisors.values():
            supervisor.leave()
        if linked:
            await self._clock.sleep(LEAVE)

    def trust_changed(self, devices: Iterable[PairedDevice]) -> None:
        """Take all devices that are paired now: link new ones, cut the links of others at once (T4)."""
        if self._running is None:
            return
        group, shared = self._running
        roles = {device.id: device.role for device in devices}
        paired, before, self._roles = set(roles), self._roles, roles
        for device in sorted(set(self._supervisors) & paired):
            if before[device] != roles[device]:
                self._supervisors[device].role_changed()
        for device in set(self._supervisors) - paired:
            supervisor = self._supervisors.pop(device)
            self._tasks.pop(device).cancel()
            self._hosts.pop(device, None)
            if not supervisor.dismiss():
                self.link_changed.notify(device, False)  # nobody need wait for it any longer
        for device in sorted(paired - set(self._supervisors)):
            wanted = not self._on_demand and len(self._supervisors) < self._limit
            supervisor = self._supervisors[device] = LinkSupervisor(device, shared, wanted=wanted)
            self._tasks[device] = child(group, keep(supervisor.run, "peers.keep", self._clock), f"peers.keep-{device}")

    def _drop_supervisors(self) -> None:
        # Supervisors of a run that failed: their tasks ended with it.
        supervisors, self._supervisors, self._tasks = list(self._supervisors.values()), {}, {}
        for supervisor in supervisors:
            link = supervisor.link
            if link is not None:
                supervisor.lost(link)
                link.channel.abort()

    def heard(self, device: DeviceId) -> None:
        """Dial a device whose record arrived, or probe its link if its addresses have changed.

        New addresses are heard within a second or two, the loss of the old ones ten seconds later (measured).
        """
        supervisor = self._supervisors.get(device)
        if supervisor is None:
            return
        hosts = frozenset(self._announced(device))
        moved = self._hosts.get(device, hosts) != hosts
        self._hosts[device] = hosts
        if supervisor.link is None and supervisor.wanted:
            supervisor.wake()
        elif supervisor.link is not None and moved:
            supervisor.link.channel.doubt()

    def network_changed(self) -> None:
        """Probe every link and dial every device without one: this machine has other addresses."""
        for supervisor in self._supervisors.values():
            if supervisor.link is not None:
                supervisor.link.channel.doubt()
            elif supervisor.wanted:
                supervisor.wake()

    async def accept(self, channel: Channel, host: str) -> None:
        """Serve a connection that a paired device opened from `host`, to its end. Raises: NotPaired."""
        supervisor = self._supervisors.get(channel.device) if channel.device else None
        if supervisor is None:
            raise NotPaired
        await supervisor.serve(channel, host)

    def keeps(self, device: DeviceId) -> bool:
        """Whether this service dials the device by itself, so that nobody else need probe it."""
        supervisor = self._supervisors.get(device)
        return supervisor is not None and supervisor.wanted

    def trusts(self, device: DeviceId) -> bool:
        """Whether the device is paired, linked or not."""
        return device in self._supervisors

    def refuses(self, device: DeviceId) -> bool:
        """Whether the device is there and, for sure, does not accept this one (R14)."""
        supervisor = self._supervisors.get(device)
        return supervisor is not None and supervisor.refused_surely

    def stopped(self, device: DeviceId) -> bool:
        """Whether the device said that it stops and has not been linked since."""
        supervisor = self._supervisors.get(device)
        return supervisor is not None and supervisor.has_stopped

    def linked(self) -> list[DeviceId]:
        """Ids of all devices that are linked now."""
        return sorted(self._links)

    def settling(self) -> bool:
        """Whether this service has just started, and a device that is to be linked was not reached yet."""
        if self._started is None:
            return True
        if self._clock.monotonic() - self._started >= STARTING:
            return False
        return any(
            each.wanted and not each.tried and (each.link is None or not each.link.feed.known.is_set())
            for each in self._supervisors.values()
        )

    def linked_since(self, device: DeviceId) -> float | None:
        """Monotonic seconds at which the link to a device was opened; None: there is none."""
        link = self._links.get(device)
        return None if link is None else link.opened

    async def link(self, device: DeviceId, seconds: float = FIRST_CONTACT) -> Link:
        """The link to a device, dialled if need be. Raises: NotPaired, Refused, PeerUnreachable."""
        supervisor = self._supervisors.get(device)
        if supervisor is None:
            raise NotPaired(f"{self._name_of(device)} is not paired with this device")
        try:
            return await supervisor.get(seconds)
        except Refused as exc:
            raise Refused(f"{self._name_of(device)} {REFUSES}") from exc
        except PeerUnreachable as exc:
            raise PeerUnreachable(f"{self._name_of(device)} does not answer") from exc

    async def call(
        self, device: DeviceId, method: Method[P, R], params: P, *, again: bool = True, seconds: float = ANSWER
    ) -> Raw:
        """Send a request to a device and wait for the result. With `again` it is repeated if the link breaks (L5).

        A result counts even if its link was replaced meanwhile, since it says what was done.
        Raises: NotPaired, Refused, PeerUnreachable, PeerLost, TimedOut, MethodNotFound (its version is too old), or the
        error that the device answered.
        """
        link = await self.link(device)
        until = self._clock.monotonic() + LOST_MAX
        while True:
            try:
                return await link.request(method, lambda: params, seconds=seconds)
            except MethodNotFound as exc:
                raise MethodNotFound(f"{self._name_of(device)}'s lan-agent is too old for this", hint=UPDATE) from exc
            except PeerLost:
                if not again or link.channel.open:  # open: the device itself answered that
                    raise
            link = await self._back(device, until)

    async def attach(
        self, device: DeviceId, method: Method[P, R], params: Callable[[], P], *, seconds: float = ANSWER
    ) -> tuple[Raw, Link]:
        """Send one request for something that lasts as long as the link; returns the result and that link.

        `params` is called when it is sent. Raises: as `call`; PeerLost also if the link that brought the result was
        replaced meanwhile: whatever was attached over it is gone at the other side (L9).
        """
        link = await self.link(device)
        answer = await link.request(method, params, seconds=seconds)
        link.check()
        return answer, link

    def current(self, device: DeviceId) -> Link | None:
        """The link to a device at this moment, if there is one."""
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
        """Say whether a client here watches a session of the device: its link is then pinged more often (L3)."""
        link = self._links.get(device)
        if link is not None:
            link.channel.busy(attached=attached)

    def notify(self, device: DeviceId, kind: NotificationKind[P], params: P) -> None:
        """Send a notification to a device, if it is linked."""
        link = self._links.get(device)
        if link is not None:
            link.channel.notify(kind, params)

    def post(self, device: DeviceId, method: Method[P, R], params: Callable[[], P]) -> None:
        """Send a request, if the device is linked, and ignore its result. `params` is called when it is sent."""
        supervisor = self._supervisors.get(device)
        if supervisor is not None and supervisor.link is not None and self._running is not None:
            supervisor.link.used = self._clock.monotonic()
            group, _ = self._running
            spawn(group, self._posted(supervisor.link, method, params), f"peers.post-{method.name}")

    async def _posted(self, link: Link, method: Method[P, R], params: Callable[[], P]) -> None:
        try:
            await link.request(method, params, seconds=ANSWER)
        except AgentError as exc:
            log.debug("a request failed", extra={"method": method.name, "error": str(exc)})

    def _changed(self, supervisor: LinkSupervisor) -> None:
        # A link that took another's place counts as come back: what was attached over the old one must be again.
        if supervisor.link is self._links.get(supervisor.device):
            if supervisor.refused_surely:
                self.link_changed.notify(supervisor.device, False)  # nobody need wait for it any longer
            return
        if supervisor.link is None:
            del self._links[supervisor.device]
        else:
            self._links[supervisor.device] = supervisor.link
        self.link_changed.notify(supervisor.device, supervisor.link is not None)

    def _prune(self, protected: Callable[[DeviceId], bool]) -> None:
        links = [
            LinkUse(device, supervisor.link.used, protected(device))
            for device, supervisor in self._supervisors.items()
            if supervisor.link is not None
        ]
        now = self._clock.monotonic()
        for device in to_close(links, limit=self._limit, on_demand=self._on_demand, idle=IDLE, now=now):
            supervisor = self._supervisors[device]
            supervisor.wanted = False
            supervisor.let_go(NOT_NEEDED)
