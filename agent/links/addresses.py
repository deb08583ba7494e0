"""Who is linked to anybody finds everybody (L10): own addresses are told over every link, members' are passed on.

Each device signs where it can be dialled; members keep the newest of what each has signed, tell each other what they
lack whenever a link comes up, and pass on what is new. Guests and hosts have no part in it. What was told is tried
after everything that is surer, never trusted: the pin decides who answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial

from agent.errors import AgentError, NotPaired, StateError
from agent.links.peers import Peers
from agent.links.rules.address_book import AddressBook, places
from agent.ports import AddressStore, Channel, Clock, OwnAddresses
from agent.presence.rules.pacing import next_revision
from agent.presence.rules.seal import PublicKey
from agent.protocol.addresses import TELL_MAX, AddressRecord, SyncAddresses, TellAddresses, ToldAddresses, sign_record
from agent.protocol.codec import typed
from agent.protocol.household import Signed
from agent.protocol.identity import BadCertificate, Identity, public_key
from agent.protocol.messages import Nothing
from agent.protocol.model import DeviceId, Endpoint, PairedDevice
from agent.protocol.ratelimit import Bucket, Rate
from agent.tasks import Alarm, spawn

log = logging.getLogger(__name__)

LOOK_EVERY = 2.0
"""Seconds between two looks at this machine's own addresses."""
GATHER = 0.5
"""Seconds in which news gather before they are passed on, so that a street of devices that start is a few messages."""
WAKE_APART = 5.0
"""Seconds between two dials of one device because somebody told new addresses of it."""
RENEW_APART = 60.0
"""Seconds between two new records that say nothing new, because a member knew one of ours that we did not."""
CHECKS = Rate(600.0, 1024)
"""Signatures that are checked for one teller: 0.1 ms each."""
CHECKS_AT_ONCE = 32
"""Signatures after which others get their turn."""
ANSWER = 10.0
"""Seconds for one exchange."""


class Addresses:
    """This device's addresses, and those of the members. `run` until cancelled."""

    def __init__(
        self,
        *,
        identity: Identity,
        port: int,
        own: OwnAddresses,
        peers: Peers,
        store: AddressStore,
        clock: Clock,
        told: Callable[[DeviceId, tuple[Endpoint, ...]], None],
    ) -> None:
        """`port` is the listener's; `told` is given the places of each member. Raises: StateError."""
        self._identity = identity
        self._port = port
        self._own = own
        self._peers = peers
        self._store = store
        self._clock = clock
        self._told = told
        self._book = AddressBook()
        self._own_key = {identity.id: identity.key.public_key()}
        self._book.trust(self._own_key)
        self._keys: dict[DeviceId, PublicKey] = {}  # of the members
        self._remembered = store.load()  # not verified yet: by the keys of the members
        self._fresh: dict[DeviceId, DeviceId] = {}  # whose record is to be passed on, and who told it
        self._places: dict[DeviceId, tuple[Endpoint, ...]] = {}  # as last told to the registry
        self._woken: dict[DeviceId, float] = {}
        self._checks: dict[DeviceId, Bucket] = {}
        self._unsaved = self._ask_again = self._outdated = False
        self._renewed_at = float("-inf")
        self._alarm = Alarm(clock)
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Look at the own addresses and pass on what is new, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for device in self._peers.linked():
                self.link_up(device)
            while True:
                await self._look()
                self._pass_on()
                self._save()
                await self._alarm.wait(LOOK_EVERY)
                await self._clock.sleep(GATHER)

    # --- what happens here -------------------------------------------------------------------------------------------

    def trust_changed(self, devices: Iterable[PairedDevice]) -> None:
        """These devices are trusted now: forget who is no member, and ask for what is known of the new ones."""
        before, self._keys = self._keys, self._keys_of(devices)
        self._book.trust(self._keys | self._own_key)
        for gone in before.keys() - self._keys.keys():
            for kept in (self._places, self._woken, self._checks):
                kept.pop(gone, None)
            self._unsaved = True
        for signed in self._remembered:
            record = self._book.worth_checking(signed, teller=None, now=self._clock.time())
            if record is not None:
                self._book.accept(signed, record)
        for device in self._keys:
            self._show(device)
        if self._keys.keys() - before.keys():
            self._ask_again = True
            self._alarm.ring()

    def _keys_of(self, devices: Iterable[PairedDevice]) -> dict[DeviceId, PublicKey]:
        keys: dict[DeviceId, PublicKey] = {}
        for device in devices:
            if device.role != "member":
                continue
            try:
                keys[device.id] = self._keys.get(device.id) or public_key(device.certificate)
            except BadCertificate:
                continue
        return keys

    def link_changed(self, device: DeviceId, up: bool) -> None:
        """There is a link to a device now, or there is none."""
        if up:
            self.link_up(device)

    def link_up(self, device: DeviceId) -> None:
        """A link carries: ask what this device lacks. The other side asks likewise."""
        if self._group is not None and device in self._keys:
            spawn(self._group, self._exchange(device), f"addresses.exchange-{device}")

    # --- over links --------------------------------------------------------------------------------------------------

    async def sync(self, channel: Channel, asked: SyncAddresses) -> object:
        """`address.sync`. Raises: NotPaired."""
        self._member(channel)
        return ToldAddresses(records=self._book.newer_than(asked.known))

    async def tell(self, channel: Channel, news: TellAddresses) -> object:
        """`address.tell`. Raises: NotPaired."""
        await self._hear(self._member(channel), news.records)
        return Nothing()

    def _member(self, channel: Channel) -> DeviceId:
        if channel.device is None or channel.device not in self._keys:
            raise NotPaired("only members of a household exchange this")
        return channel.device

    async def _exchange(self, device: DeviceId) -> None:
        asked = SyncAddresses(known=self._book.revisions())
        try:
            raw = await self._peers.call(device, "address.sync", asked, again=False, seconds=ANSWER)
            await self._hear(device, typed(raw, ToldAddresses).records)
        except AgentError as exc:
            log.debug("no exchange", extra={"device": device, "error": str(exc)})

    async def _hear(self, teller: DeviceId, told: Iterable[Signed]) -> None:
        for number, signed in enumerate(told, 1):
            record = self._book.worth_checking(signed, teller=teller, now=self._clock.time())
            if record is None:
                continue
            if not self._may_check(teller) or not self._book.accept(signed, record):
                log.info("addresses were not believed", extra={"device": record.device, "told_by": teller})
                break  # a member checks what it passes on: the rest is no better
            self._unsaved = True
            if record.device == self._identity.id:
                self._outdated = True  # of an earlier life whose clock was ahead: ours must be newer to count
                continue
            self._fresh[DeviceId(record.device)] = teller
            self._show(DeviceId(record.device))
            if number % CHECKS_AT_ONCE == 0:
                await asyncio.sleep(0)
                if teller not in self._keys:
                    return  # it was put out meanwhile
        if self._fresh:
            self._alarm.ring()

    def _may_check(self, teller: DeviceId) -> bool:
        now = self._clock.monotonic()
        return self._checks.setdefault(teller, Bucket(CHECKS, now)).take(now) == 0.0

    # --- what is told ------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        before = self._own.hosts()
        await self._own.look()
        hosts = self._own.hosts()
        if hosts != before:
            for device in self._keys:
                self._show(device)  # what is near, and what is this machine's own, is another matter now
            self._peers.network_changed()
        held = self._book.record(self._identity.id)
        same = held is not None and (held.hosts, held.port) == (hosts, self._port)
        if same and not self._may_renew():
            return
        revision = next_revision(held.revision if held else 0, int(self._clock.time() * 1000))
        record = AddressRecord(device=self._identity.id, revision=revision, port=self._port, hosts=hosts)
        if self._book.accept(sign_record(record, self._identity), record):
            self._fresh[self._identity.id] = self._identity.id
            self._unsaved = True

    def _may_renew(self) -> bool:
        # Two machines with one key, as cloned disks are, would outbid each other without end.
        now = self._clock.monotonic()
        if not self._outdated or now - self._renewed_at < RENEW_APART:
            return False
        self._outdated, self._renewed_at = False, now
        return True

    def _pass_on(self) -> None:
        fresh, self._fresh = self._fresh, {}
        known = self._book.all()
        for device in self._peers.linked():
            if device not in self._keys:
                continue
            if self._ask_again:
                self.link_up(device)
            told = [known[each] for each, teller in fresh.items() if each in known and device not in {each, teller}]
            for at in range(0, len(told), TELL_MAX):
                news = partial(TellAddresses, records=tuple(told[at : at + TELL_MAX]))
                self._peers.tell(device, "address.tell", news)
        self._ask_again = False

    def _show(self, device: DeviceId) -> None:
        record = self._book.record(device)
        if record is None:
            return
        found = places(record, local_only=self._own.local_only, foreign=self._own.is_foreign)
        own = {Endpoint(host, self._port) for host in self._own.hosts()}
        found = tuple(place for place in found if place not in own)
        if found == self._places.get(device):
            return
        self._places[device] = found
        self._told(device, found)
        now = self._clock.monotonic()
        if now - self._woken.get(device, -WAKE_APART) >= WAKE_APART:
            self._woken[device] = now
            self._peers.heard(device)

    def _save(self) -> None:
        if self._unsaved:
            try:
                self._store.save([*self._book.all().values()])
            except StateError as exc:
                log.info("addresses are remembered until the end only", extra={"error": str(exc)})
            self._unsaved = False
