"""How this device is doing: what `agent status` shows, and what the service says where it was started."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from agent.assembly import Assembly
from agent.errors import StateError
from agent.ports import Clock, Discovery
from agent.presence.rules.claims import Contest
from agent.presence.rules.registry import Registry
from agent.presence.subscriptions import Subscription
from agent.problems import Problems
from agent.protocol.messages import Ready, StatusReport
from agent.protocol.model import DeviceId, DeviceRow
from agent.protocol.names import short_id
from agent.protocol.ratelimit import Bucket, Rate
from agent.protocol.times import rfc3339
from agent.trust.devices import TrustedDevices

REACH = ("network", "household", "twin", "twin ")
"""Subjects of problems because of which devices do not find or trust each other."""
STRANGERS = Rate(20.0, 20)
"""Lines about devices that are not paired: anybody can announce 20 new ones a second, for ever."""


class Health:
    """Gathers the state of the parts for `agent status`."""

    def __init__(
        self, parts: Assembly, discovery: Discovery, clock: Clock, *, mode: str, home: str, page: Callable[[], str]
    ) -> None:
        """`mode` is the setting presence.mode, `home` the state folder; `page` tells where the page is."""
        self._parts = parts
        self._discovery = discovery
        self._clock = clock
        self._mode = mode
        self._home = home
        self._page = page
        self._started = clock.time()

    async def status(self) -> StatusReport:
        """This device at this moment."""
        parts, now = self._parts, self._clock.time()
        return StatusReport(
            id=parts.own.device,
            name=parts.own.name,
            version=parts.own.version,
            pid=os.getpid(),
            port=parts.own.port,
            addresses=self._discovery.hosts(),
            interfaces=self._discovery.interfaces(),
            started_at=rfc3339(self._started),
            uptime=round(now - self._started, 3),
            paired=len(parts.trusted.devices()),
            online=sum(row.paired and row.state == "online" for row in parts.registry.devices()[1:]),
            links=len(parts.peers.linked()),
            sessions=len(parts.sessions.index.rows()),
            presence=self._mode,
            home=self._home,
            page=self._page(),
            transcripts=await self._size(),
            notices=parts.problems.notices,
            noticed_at=tuple(map(rfc3339, parts.problems.noticed_at)),
            problems=parts.problems.current,
            reach=parts.problems.about(REACH),
        )

    async def _size(self) -> int:
        try:
            return await self._parts.sessions.archive.size()
        except StateError:  # told as a problem already
            return 0


class Reporter:
    """Says where the service was started who this device is, and which others come and go."""

    def __init__(
        self,
        own: Ready,
        registry: Registry,
        trusted: TrustedDevices,
        problems: Problems,
        clock: Clock,
        *,
        mode: str,
        say: Callable[[str], None],
    ) -> None:
        """`mode` is the setting presence.mode; `say` talks to whoever started the service."""
        self._own = own
        self._registry = registry
        self._trusted = trusted
        self._problems = problems
        self._clock = clock
        self._mode = mode
        self._say = say
        self._told: dict[DeviceId, str] = {}  # of devices in the registry
        self._strangers = Bucket(STRANGERS, clock.monotonic())
        self._unsaid = 0

    async def run(self, changes: Subscription) -> None:
        """Say who we are, then which devices come and go, until cancelled."""
        self._say(f"{self._own.name} ({short_id(self._own.device)}) listens on port {self._own.port}; Ctrl-C stops it")
        if not self._trusted.devices():
            self._say("no paired device yet: `agent pair` here, then `agent join` on the other device")
        with changes:
            rows = self._registry.devices()
            self._forget(self._told.keys() - {row.id for row in rows})
            for row in rows:
                self._tell_device(row)
            async for change in changes:
                for row in change.devices:
                    self._tell_device(row)
                self._forget(change.devices_gone)
                for contest in change.contests:
                    self._tell_contest(contest)

    def _forget(self, devices: Iterable[DeviceId]) -> None:
        for device in devices:
            self._told.pop(device, None)

    def _tell_device(self, row: DeviceRow) -> None:
        if row.self:
            self._tell_address(row)
            return
        state = row.state if row.paired else f"{row.state}, not paired"
        if row.state == "online" and row.reason:
            state += f", but {row.reason}"
        before = self._told.get(row.id)
        self._told[row.id] = state
        if state == before or (before is None and row.state == "offline"):
            return
        if not row.paired and not self._may_tell_of_strangers():
            return
        where = f" at {row.addresses[0]}" if row.addresses and row.state == "online" else ""
        why = f": {row.reason}" if row.reason and row.state != "online" else ""
        self._say(f"{row.name} ({short_id(row.id)}) is {state}{where}{why}")

    def _may_tell_of_strangers(self) -> bool:
        if self._strangers.take(self._clock.monotonic()) > 0.0:
            self._unsaid += 1
            return False
        if self._unsaid:
            self._say(f"devices that are not paired came or went {self._unsaid} more times: see `agent peers`")
            self._unsaid = 0
        return True

    def _tell_contest(self, contest: Contest) -> None:
        # R13: said once for each two devices.
        rival, owner = (self._name(device) for device in (contest.rival, contest.owner))
        self._problems.notice(
            f"{rival} claims a session of {owner} ({contest.session}): that changes nothing, and nothing is sent "
            f"there. If {rival} is not to be trusted: `agent unpair {short_id(contest.rival)}`"
        )

    def _name(self, device: DeviceId) -> str:
        row = self._registry.device(device)
        return f"{row.name} ({short_id(device)})" if row else short_id(device)

    def _tell_address(self, own: DeviceRow) -> None:
        # Known a moment after the start, and again when the machine moves to another network.
        addresses = ", ".join(own.addresses)
        if addresses and addresses != self._told.get(own.id):
            self._told[own.id] = addresses
            self._say(f"announced at {addresses}" if self._mode != "hidden" else f"reached at {addresses}")
