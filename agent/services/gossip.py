"""How the household spreads: over every link, in both directions, at once (T4).

When a link comes up both sides ask what they lack; what is new is passed on to every other link. Everything that a
household may hold fits into one frame, so there is nothing to page. Devices that are paired and not in one household
become so here: the one that has a household lets the other in; if neither has, the one with the smallest id founds it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from msgspec import Raw

from agent.core.household import Signed
from agent.core.messages import HouseholdNews, HouseholdSync, Nothing
from agent.core.records import DeviceId, PairedDevice
from agent.core.wire import typed
from agent.errors import AgentError, NotPaired
from agent.ports import Channel, Clock, TrustStore
from agent.services.alarm import Alarm
from agent.services.household import Household
from agent.services.peers import Peers
from agent.tasks import child, spawn

_log = logging.getLogger(__name__)

ANSWER = 10.0
"""Seconds for one exchange."""
INTRODUCTION = 2.0
"""Seconds in which a link to a device that was just paired comes up, and brings its household along."""
FAREWELL = 2.0
"""Seconds that leaving waits for the others to hear of it."""
LOOK_EVERY = 3600.0
"""Seconds after which the age of the key is looked at again."""
PATIENCE = 2.0
"""Seconds that whoever put a device out has to tell the new key, before another member makes one."""


class Gossip:
    """Tells and hears. The only one that changes the household while links are up."""

    def __init__(self, *, own: DeviceId, household: Household, trust: TrustStore, peers: Peers, clock: Clock) -> None:
        self._own, self._household, self._trust, self._peers, self._clock = own, household, trust, peers, clock
        self._group: asyncio.TaskGroup | None = None
        self._alarm = Alarm(clock)

    async def run(self) -> None:
        """Exchange and look after the key until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for device in self._peers.linked():
                self.link_up(device)
            while True:
                await self._alarm.wait(LOOK_EVERY)
                await self._clock.sleep(PATIENCE)
                self._look_after_key()

    # --- what happens here -------------------------------------------------------------------------------------------

    def link_up(self, device: DeviceId) -> None:
        """A link carries: ask what this device lacks."""
        if self._group is not None:
            spawn(self._group, self._exchange(device), f"gossip.exchange-{device}")

    def check(self, theirs: bytes) -> None:
        """Raises: PairingFailed, if a device of household `theirs` cannot be paired as a member."""
        self._household.check(theirs)

    def paired(self, device: PairedDevice, theirs: bytes, *, hosting: bool) -> None:
        """A device of household `theirs` was paired just now. Raises: StateError."""
        fresh = self._household.paired(device, theirs, hosting=hosting)
        self._pass_on(fresh)
        if device.id in self._peers.linked():
            self.link_up(device.id)  # paired anew over a link that is still there
        elif self._group is not None:
            spawn(self._group, self._reach(device.id), f"gossip.reach-{device.id}")

    async def introduced(self, device: PairedDevice) -> None:
        """Return once this device is in one household with one that was just paired, or after `INTRODUCTION`."""
        until = self._clock.monotonic() + INTRODUCTION
        while not self._household.is_member(device) and self._clock.monotonic() < until:
            await self._clock.sleep(0.05)

    def unpair(self, device: DeviceId) -> None:
        """Put a device out, here at once and elsewhere as it is heard. Raises: DeviceNotFound, StateError."""
        self._pass_on(self._household.unpair(device))

    async def leave(self) -> int:
        """Leave the household; how many devices have heard of it. Raises: StateError."""
        news = self._household.news(self._household.farewell())
        members = [device.id for device in self._linked()]
        async with asyncio.TaskGroup() as group:
            told = [child(group, self._told(device, news), f"gossip.leave-{device}") for device in members]
        self._household.forget()
        return sum(task.result() for task in told)

    async def _told(self, device: DeviceId, news: HouseholdNews) -> bool:
        try:
            await self._peers.call(device, "household.tell", news, again=False, seconds=FAREWELL)
        except AgentError as exc:
            return exc.kind == "peer-lost"  # it cuts who left
        return True

    async def _reach(self, device: DeviceId) -> None:
        # Links on demand open when needed: letting a device in is not done before it has heard of it.
        try:
            await self._peers.link(device)
        except AgentError as exc:
            _log.debug("not reached yet", extra={"device": device, "error": str(exc)})

    # --- over links --------------------------------------------------------------------------------------------------

    async def sync(self, channel: Channel, asked: HouseholdSync) -> object:
        """`household.sync`. Raises: NotPaired."""
        sender = self._sender(channel)
        self._meet(sender, asked.household)
        return self._household.news(but=asked.digests) if self._household.is_member(sender) else HouseholdNews()

    async def tell(self, channel: Channel, news: HouseholdNews) -> object:
        """`household.tell`. Raises: NotPaired."""
        self._hear(self._sender(channel), news)
        return Nothing()

    async def _exchange(self, device: DeviceId) -> None:
        asked = HouseholdSync(household=self._household.id, digests=self._household.digests())
        try:
            self._known(device)  # a guest hears nothing of the household
            raw: Raw = await self._peers.call(device, "household.sync", asked, again=False, seconds=ANSWER)
            news = typed(raw, HouseholdNews)
            sender = self._known(device)
            self._meet(sender, news.household)
            self._hear(sender, news)
        except AgentError as exc:
            _log.debug("no exchange", extra={"device": device, "error": str(exc)})

    def _meet(self, sender: PairedDevice, theirs: bytes) -> None:
        # Paired, and perhaps in no household yet: as after pairing, and with devices that were paired before 0.2.
        household = self._household
        if theirs or household.is_member(sender) or household.is_out(sender):
            return
        pairwise = [device.id for device in self._trust.devices() if device.role == "member"]
        if household.id or self._own < min(pairwise):
            self._pass_on(household.admit(sender))

    def _hear(self, sender: PairedDevice, news: HouseholdNews) -> None:
        joined = not self._household.id
        fresh = self._household.hear(sender, news)
        if joined and self._household.id:
            for device in self._peers.linked():
                if device != sender.id:
                    self.link_up(device)
        self._pass_on(fresh, but=sender.id)
        self._alarm.ring()

    def _pass_on(self, fresh: Iterable[Signed], but: DeviceId | None = None) -> None:
        told = list(fresh)
        if told:
            self._tell(self._household.news(told), but)

    def _tell(self, news: HouseholdNews, but: DeviceId | None = None) -> None:
        for device in self._linked():
            if device.id != but:
                self._peers.tell(device.id, "household.tell", lambda: news)

    def _look_after_key(self) -> None:
        try:
            if self._household.is_first_of(self._linked()) and self._household.turn_if_stale():
                self._tell(self._household.news(()))
        except AgentError as exc:
            _log.warning("the household's key could not be changed", extra={"error": str(exc)})

    def _linked(self) -> list[PairedDevice]:
        linked = set(self._peers.linked())
        return [each for each in self._trust.devices() if each.id in linked and self._household.is_member(each)]

    def _sender(self, channel: Channel) -> PairedDevice:
        if channel.device is None:
            raise NotPaired("only gateways exchange this")
        return self._known(channel.device)

    def _known(self, device: DeviceId) -> PairedDevice:
        for known in self._trust.devices():
            if known.id == device and known.role == "member":
                return known
        raise NotPaired
