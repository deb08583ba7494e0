"""Spreads the addresses of all members over links: a device linked to any one member finds every other (L10).

Each device signs where it can be dialled; members keep the newest record of each device, send each other those that
the other lacks whenever a link comes up, and pass new ones on. Guests and hosts have no part in it. These addresses are
tried after all that are surer, and never trusted: the pin decides who answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial

from agent.errors import AgentError, NotPaired, StateError
from agent.links.peers import Peers
from agent.links.rules.address_book import AddressBook, endpoints_of, sign_record
from agent.ports import AddressStore, Clock, OwnAddresses
from agent.presence.rules.pacing import next_revision
from agent.presence.rules.seal import PublicKey
from agent.protocol.addresses import TELL_MAX, AddressRecord, SyncAddresses, TellAddresses, ToldAddresses
from agent.protocol.codec import typed
from agent.protocol.household import Signed
from agent.protocol.identity import BadCertificate, Identity, public_key
from agent.protocol.messages import Nothing
from agent.protocol.methods import ADDRESS_SYNC, ADDRESS_TELL
from agent.protocol.model import DeviceId, Endpoint, PairedDevice
from agent.protocol.ratelimit import Bucket, Rate
from agent.tasks import Alarm, spawn

log = logging.getLogger(__name__)

LOOK_EVERY = 2.0
"""Seconds between two looks at this machine's own addresses."""
GATHER = 0.5
"""Seconds in which news gather before they are passed on, so that many devices that start cost a few messages."""
WAKE_APART = 5.0
"""Seconds between two dials of one device because of new addresses."""
RENEW_APART = 60.0
"""Seconds between two new records with the same addresses, made because a member had a newer one of this device."""
CHECKS = Rate(600.0, 1024)
"""Signatures that are checked for one sender: 0.1 ms each."""
CHECKS_AT_ONCE = 32
"""Signatures after which others get their turn."""
ANSWER = 10.0
"""Seconds for one exchange."""


class Addresses:
    """Publishes this device's addresses and passes on those of members. `run` until cancelled."""

    def __init__(
        self,
        *,
        identity: Identity,
        port: int,
        own: OwnAddresses,
        peers: Peers,
        store: AddressStore,
        clock: Clock,
        advertised: Callable[[DeviceId, tuple[Endpoint, ...]], None],
    ) -> None:
        """`port` is the listener's; `advertised` takes the endpoints of each member. Raises: StateError."""
        self._identity = identity
        self._port = port
        self._own = own
        self._peers = peers
        self._store = store
        self._clock = clock
        self._advertised = advertised
        self._book = AddressBook()
        self._own_key = {identity.id: identity.key.public_key()}
        self._book.trust(self._own_key)
        self._keys: dict[DeviceId, PublicKey] = {}  # of the members
        self._remembered = store.load()  # not verified yet: by the keys of the members
        self._fresh: dict[DeviceId, DeviceId] = {}  # whose record is to be passed on, and who sent it
        self._shown: dict[DeviceId, tuple[Endpoint, ...]] = {}  # as last reported to the registry
        self._woken: dict[DeviceId, float] = {}
        self._checks: dict[DeviceId, Bucket] = {}
        self._unsaved = self._ask_again = self._outdated = False
        self._renewed_at = float("-inf")
        self._alarm = Alarm(clock)
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Look at this device's addresses and pass on new records, until cancelled."""
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
        """Take all trusted devices: forget those that are no members, and request what is known of new ones."""
        before, self._keys = self._keys, self._keys_of(devices)
        self._book.trust(self._keys | self._own_key)
        for gone in before.keys() - self._keys.keys():
            for kept in (self._shown, self._woken, self._checks):
                kept.pop(gone, None)
            self._unsaved = True
        for signed in self._remembered:
            record = self._book.worth_checking(signed, sender=None, now=self._clock.time())
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
        """Take that a device is linked now, or is no more."""
        if up:
            self.link_up(device)

    def link_up(self, device: DeviceId) -> None:
        """Request the records that this device lacks over a new link. The other side does the same."""
        if self._group is not None and device in self._keys:
            spawn(self._group, self._exchange(device), f"addresses.exchange-{device}")

    # --- over links --------------------------------------------------------------------------------------------------

    async def sync(self, device: DeviceId, request: SyncAddresses) -> ToldAddresses:
        """Answer `address.sync`: the records that the other member lacks. Raises: NotPaired."""
        self._member(device)
        return ToldAddresses(records=self._book.newer_than(request.known))

    async def tell(self, device: DeviceId, news: TellAddresses) -> Nothing:
        """Answer `address.tell`: take records that another member sends. Raises: NotPaired."""
        await self._hear(self._member(device), news.records)
        return Nothing()

    def _member(self, device: DeviceId) -> DeviceId:
        if device not in self._keys:
            raise NotPaired("only members of a household exchange this")
        return device

    async def _exchange(self, device: DeviceId) -> None:
        request = SyncAddresses(known=self._book.revisions())
        try:
            raw = await self._peers.call(device, ADDRESS_SYNC, request, again=False, seconds=ANSWER)
            await self._hear(device, typed(raw, ToldAddresses).records)
        except AgentError as exc:
            log.debug("no exchange", extra={"device": device, "error": str(exc)})

    async def _hear(self, sender: DeviceId, records: Iterable[Signed]) -> None:
        for number, signed in enumerate(records, 1):
            record = self._book.worth_checking(signed, sender=sender, now=self._clock.time())
            if record is None:
                continue
            if not self._may_check(sender) or not self._book.accept(signed, record):
                log.info("addresses were not believed", extra={"device": record.device, "told_by": sender})
                break  # a member checks what it passes on: the rest is no better
            self._unsaved = True
            if record.device == self._identity.id:
                self._outdated = True  # of an earlier life whose clock was ahead: ours must be newer to count
                continue
            self._fresh[DeviceId(record.device)] = sender
            self._show(DeviceId(record.device))
            if number % CHECKS_AT_ONCE == 0:
                await asyncio.sleep(0)
                if sender not in self._keys:
                    return  # it was put out meanwhile
        if self._fresh:
            self._alarm.ring()

    def _may_check(self, sender: DeviceId) -> bool:
        now = self._clock.monotonic()
        return self._checks.setdefault(sender, Bucket(CHECKS, now)).take(now) == 0.0

    # --- what is passed on -------------------------------------------------------------------------------------------

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
        self._outdated = False
        self._renewed_at = now
        return True

    def _pass_on(self) -> None:
        fresh, self._fresh = self._fresh, {}
        known = self._book.all()
        for device in self._peers.linked():
            if device not in self._keys:
                continue
            if self._ask_again:
                self.link_up(device)
            news = [known[each] for each, sent_by in fresh.items() if each in known and device not in {each, sent_by}]
            for at in range(0, len(news), TELL_MAX):
                params = partial(TellAddresses, records=tuple(news[at : at + TELL_MAX]))
                self._peers.post(device, ADDRESS_TELL, params)
        self._ask_again = False

    def _show(self, device: DeviceId) -> None:
        record = self._book.record(device)
        if record is None:
            return
        found = endpoints_of(record, local_only=self._own.local_only, foreign=self._own.is_foreign)
        own = {Endpoint(host, self._port) for host in self._own.hosts()}
        found = tuple(endpoint for endpoint in found if endpoint not in own)
        if found == self._shown.get(device):
            return
        self._shown[device] = found
        self._advertised(device, found)
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
