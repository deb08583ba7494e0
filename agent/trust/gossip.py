"""Spreads the statements and keys of the household over every link, in both directions, at once (T4).

When a link comes up both sides request what they lack; new statements are passed on over every other link. All that a
household may hold fits into one frame, so there are no pages. Devices that are paired and not in one household are
brought into one here: the one that has a household lets the other in; if neither has, the smaller id founds one.

The cost of one device is bounded: bytes to parse, signatures to verify. What goes beyond is requested later, so that
nothing is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from msgspec import Raw

from agent.errors import AgentError, BadParams, Busy, NotPaired
from agent.links.peers import Peers
from agent.ports import Clock, TrustStore
from agent.protocol.codec import typed
from agent.protocol.household import Signed
from agent.protocol.messages import HouseholdNews, HouseholdSync, Nothing
from agent.protocol.methods import HOUSEHOLD_SYNC, HOUSEHOLD_TELL
from agent.protocol.model import DeviceId, PairedDevice
from agent.protocol.ratelimit import Bucket, Rate
from agent.tasks import Alarm, child, spawn
from agent.trust.household import Household

_log = logging.getLogger(__name__)

ANSWER = 10.0
"""Seconds for one exchange with another member."""
INTRODUCTION = 2.0
"""Seconds in which a link to a newly paired device comes up, and brings its household along."""
FAREWELL = 2.0
"""Seconds that leaving waits for the other members to hear of it."""
LOOK_EVERY = 3600.0
"""Seconds after which the age of the key is checked again."""
PATIENCE = 2.0
"""Seconds that the member which put a device out has to send the new key, before another member makes one."""
PARSED = Rate(393_216.0, 786_432)
"""Bytes of statements of each other device that are parsed: two households at their largest, then one a minute."""
VERIFIED = Rate(240.0, 2048)
"""Signatures of each other device that are verified, at 0.1 ms (measured): as many as the largest household has."""
REQUEST_COST = 4096
"""Bytes that a request costs the device which sends it, besides those of the result."""


class Gossip:
    """Exchanges statements with members; the only one that changes the household meanwhile. `run` until cancelled."""

    def __init__(self, *, own: DeviceId, household: Household, trust: TrustStore, peers: Peers, clock: Clock) -> None:
        self._own = own
        self._household = household
        self._trust = trust
        self._peers = peers
        self._clock = clock
        self._group: asyncio.TaskGroup | None = None
        self._alarm = Alarm(clock)
        self._budgets: dict[tuple[DeviceId, str], Bucket] = {}
        self._due_since: float | None = None  # since when another key is due, while it is
        self._owed: set[DeviceId] = set()  # devices that have sent more than was read

    async def run(self) -> None:
        """Exchange statements and keep the key fresh, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for device in self._peers.linked():
                self.link_up(device)
            while True:
                await self._alarm.wait(LOOK_EVERY)
                await self._clock.sleep(PATIENCE)
                self._look_after_key()

    # --- what happens here -------------------------------------------------------------------------------------------

    def link_changed(self, device: DeviceId, up: bool) -> None:
        """Take that a device is linked now, or is no more."""
        if up:
            self.link_up(device)

    def link_up(self, device: DeviceId) -> None:
        """Request what this device lacks over a new link."""
        if self._group is not None:
            spawn(self._group, self._exchange(device), f"gossip.exchange-{device}")

    def check(self, theirs: bytes) -> None:
        """Check that a device of household `theirs` can be paired as a member. Raises: PairingFailed."""
        self._household.check(theirs)

    def paired(self, device: PairedDevice, theirs: bytes, *, hosting: bool) -> None:
        """Take a device of household `theirs` that was just paired. Raises: StateError."""
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

    def unpair(self, device: DeviceId, *, with_admitted: bool = False) -> None:
        """Put a device out, `with_admitted` also those that it let in: here at once, elsewhere once it is heard.

        Raises: DeviceNotFound, StateError.
        """
        self._pass_on(self._household.unpair(device, with_admitted=with_admitted))

    def limit(self, device: DeviceId, *, read_only: bool) -> list[PairedDevice]:
        """Let a device only watch here, or do what its role allows; returns others that this changes.

        Raises: NotPaired, StateError.
        """
        changed = self._household.limit(device, read_only=read_only)
        if not read_only and device in self._peers.linked():
            self.link_up(device)  # its statements count again
        return changed

    async def leave(self) -> int:
        """Leave the household; returns how many devices have heard of it. Raises: StateError."""
        news = self._household.news(self._household.farewell())
        members = [device.id for device in self._linked()]
        async with asyncio.TaskGroup() as group:
            tasks = [child(group, self._deliver(device, news), f"gossip.leave-{device}") for device in members]
        self._household.forget()
        return sum(task.result() for task in tasks)

    async def _deliver(self, device: DeviceId, news: HouseholdNews) -> bool:
        try:
            await self._peers.call(device, HOUSEHOLD_TELL, news, again=False, seconds=FAREWELL)
        except AgentError as exc:
            return exc.kind == "peer-lost"  # a member cuts the link of a device that left
        return True

    async def _reach(self, device: DeviceId) -> None:
        # Links on demand open when needed: letting a device in is not done before it has heard of it.
        try:
            await self._peers.link(device)
        except AgentError as exc:
            _log.debug("not reached yet", extra={"device": device, "error": str(exc)})

    # --- over links --------------------------------------------------------------------------------------------------

    async def sync(self, device: DeviceId, request: HouseholdSync) -> HouseholdNews:
        """Answer `household.sync`: the statements that the sender lacks. Raises: NotPaired, Busy."""
        sender = self._known(device)
        self._meet(sender, request.household)
        if not self._household.is_member(sender):
            return HouseholdNews()
        news = self._household.news(but=request.digests)
        self._charge(sender.id, news, REQUEST_COST)
        return news

    async def tell(self, device: DeviceId, news: HouseholdNews) -> Nothing:
        """Answer `household.tell`: take the news that the sender has. Raises: NotPaired, Busy, BadParams."""
        await self._hear(self._known(device), news)
        return Nothing()

    async def _exchange(self, device: DeviceId) -> None:
        self._owed.discard(device)
        request = HouseholdSync(household=self._household.id, digests=self._household.digests())
        try:
            self._known(device)  # raises for a guest, which gets nothing of the household
            raw: Raw = await self._peers.call(device, HOUSEHOLD_SYNC, request, again=False, seconds=ANSWER)
            news = typed(raw, HouseholdNews)
            sender = self._known(device)
            self._meet(sender, news.household)
            await self._hear(sender, news)
        except AgentError as exc:
            _log.debug("no exchange", extra={"device": device, "error": str(exc)})

    def _meet(self, sender: PairedDevice, theirs: bytes) -> None:
        # Paired, and perhaps in no household yet: as after pairing, and with devices that were paired before 0.2. Who
        # may only watch here is not made a member everywhere else.
        household = self._household
        if theirs or household.is_member(sender) or household.is_out(sender) or household.is_limited(sender):
            return
        pairwise = [device.id for device in self._trust.devices() if device.role == "member"]
        if household.id or self._own < min(pairwise):
            self._pass_on(household.admit(sender))

    async def _hear(self, sender: PairedDevice, news: HouseholdNews) -> None:
        joined = not self._household.id
        self._charge(sender.id, news)
        heard = await self._household.hear(sender, news, lambda checks: not self._spend(sender.id, VERIFIED, checks))
        if joined and self._household.id:
            for device in self._peers.linked():
                if device != sender.id:
                    self.link_up(device)
        self._pass_on(heard.fresh, but=sender.id)
        self._alarm.ring()
        if heard.forged:
            _log.warning("a device sent a forged statement", extra={"device": sender.id})
            raise BadParams("a statement is not signed by whom it names")
        if not heard.whole:
            self._ask_later(sender.id, 60.0)

    # --- what it may cost --------------------------------------------------------------------------------------------

    def _charge(self, device: DeviceId, news: HouseholdNews, more: int = 0) -> None:
        size = more + sum(len(signed.body) + len(signed.signature) for signed in news.statements)
        wait = self._spend(device, PARSED, size)
        if wait:
            self._ask_later(device, wait)
            raise Busy("too many statements from this device", hint=f"they are asked for in {max(1, round(wait))} s")

    def _spend(self, device: DeviceId, rate: Rate, amount: int) -> float:
        # Seconds until the amount may be spent; 0.0: it was taken.
        now = self._clock.monotonic()
        key = device, "parsed" if rate is PARSED else "verified"
        bucket = self._budgets.get(key)
        if bucket is None:
            trusted = {known.id for known in self._trust.devices()}
            self._budgets = {known: kept for known, kept in self._budgets.items() if known[0] in trusted}
            bucket = self._budgets[key] = Bucket(rate, now)
        return bucket.take(now, float(amount))

    def _ask_later(self, device: DeviceId, seconds: float) -> None:
        if device not in self._owed and self._group is not None:
            self._owed.add(device)
            spawn(self._group, self._ask(device, seconds), f"gossip.ask-{device}")

    async def _ask(self, device: DeviceId, seconds: float) -> None:
        await self._clock.sleep(seconds)
        if device in self._owed and device in self._peers.linked():
            await self._exchange(device)
        self._owed.discard(device)

    def _pass_on(self, fresh: Iterable[Signed], but: DeviceId | None = None) -> None:
        statements = list(fresh)
        if statements:
            self._send(self._household.news(statements), but)

    def _send(self, news: HouseholdNews, but: DeviceId | None = None) -> None:
        for device in self._linked():
            if device.id != but:
                self._peers.post(device.id, HOUSEHOLD_TELL, lambda: news)

    def _look_after_key(self) -> None:
        household, linked, now = self._household, self._linked(), self._clock.monotonic()
        if not household.is_key_due():
            self._due_since = None
            return
        self._due_since = now if self._due_since is None else self._due_since
        first = household.is_first_of(linked)
        # T12. A device that may only watch may be the first one. It must not keep the key as it is, nor may a key of
        # its own, which was not taken here, be the greater one elsewhere.
        full = [device for device in linked if not household.is_limited(device)]
        over = not first and now - self._due_since >= LOOK_EVERY and household.is_first_of(full)
        try:
            if (first or over) and household.turn_if_stale(over=over):
                self._send(household.news(()))
        except AgentError as exc:
            _log.warning("the household's key could not be changed", extra={"error": str(exc)})

    def _linked(self) -> list[PairedDevice]:
        linked = set(self._peers.linked())
        return [each for each in self._trust.devices() if each.id in linked and self._household.is_member(each)]

    def _known(self, device: DeviceId) -> PairedDevice:
        for known in self._trust.devices():
            if known.id == device and known.role == "member":
                return known
        raise NotPaired
