"""The presence service: feeds the registry, publishes its changes to subscribers, announces this device.

Facts come from discovery (sightings), from links and probes (`link_up`, `answered`, …) and from the sessions hosted
here (`local_sessions`); every change that follows is published once to all subscribers (R11).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence

from agent.observers import Observers
from agent.ports import Clock, Discovery, Echoed, Goodbye, Heard, Renamed, SealKeys, Sighting
from agent.presence.announcer import Announcer, urgency
from agent.presence.rules.changes import Changes
from agent.presence.rules.registry import Registry
from agent.presence.subscriptions import Subscribers, Subscription
from agent.presence.verifier import Accepted, RecordVerifier, Unsigned
from agent.protocol.model import DeviceId, Endpoint, PairedDevice, PresenceRecord, SessionId, SessionRow
from agent.tasks import Alarm, compartment, keep, spawn

LOOK_EVERY = 5.0
"""Seconds between looks at what no event reports: our addresses, and whether the machine has slept."""
LOOK_SOON = 0.25  # while this device has no address yet, as at the start
EVERY, SPREAD = 50.0, 20.0
"""Seconds between re-announcements, and between pokes: 60 ± 10."""
POKE_APART = 1.0
COALESCE = 0.1
"""Seconds between two steps with sightings of one device."""
PENDING_MAX = 8
"""Sightings of one device that wait for the next step; the oldest leaves first."""
HINTS_APART = 5.0
"""Seconds between two dials because of records that anybody can have sent."""
SLEPT = 10.0
"""Seconds by which the clocks must have moved apart."""


class Presence:
    """The service around the registry. `run` it until cancelled; all other methods return at once."""

    def __init__(
        self,
        registry: Registry,
        discovery: Discovery | None,
        announcer: Announcer | None,
        clock: Clock,
        *,
        name: str,
        port: int,
        jitter: Callable[[], float],
        keys: SealKeys,
    ) -> None:
        """`discovery` None: there is no multicast; `announcer` None: nothing is announced. `keys` unseal what is heard.

        `name` and `port` are this device's.
        """
        self._registry = registry
        self._discovery = discovery
        self._announcer = announcer
        self._clock = clock
        self._name = name
        self._port = port
        self._jitter = jitter
        self._subscribers = Subscribers()
        self.heard: Observers[[DeviceId]] = Observers()
        """Observers of a paired device of which a record came."""
        self.doubted: Observers[[DeviceId]] = Observers()
        """Observers of a paired device with an unsure goodbye, which should be dialled at once."""
        self._verifier = RecordVerifier(keys)
        self._rights: dict[
            DeviceId, tuple[object, ...]
        ] = {}  # what decides what a paired device may do with the sessions here
        self._hinted: dict[DeviceId, float] = {}  # when a record without a signature was last followed
        self._fed: dict[DeviceId, float] = {}  # known devices, and when they were last fed to the registry
        self._waiting: dict[DeviceId, list[Sighting]] = {}
        self._feed, self._poke = Alarm(clock), Alarm(clock)
        self.own_changed(name=name, port=port)

    async def run(self) -> None:
        """Discover, announce and let time pass until cancelled; discovery then says goodbye."""
        async with asyncio.TaskGroup() as group:

            def part(run: Callable[[], Coroutine[None, None, None]], name: str) -> None:
                spawn(group, keep(run, name, self._clock), name)

            part(self._look, "presence.look")
            discovery = self._discovery
            if discovery is None:
                return
            part(lambda: discovery.run(self._sighted), "presence.discover")
            part(self._feeding, "presence.feed")
            part(lambda: self._poking(discovery), "presence.poke")
            if self._announcer is not None:
                part(self._announcer.run, "presence.announce")
                part(lambda: self._announcing_again(discovery), "presence.announce-again")

    def subscribe(self) -> Subscription:
        """Follow every change from now on. Read the registry's rows in the same step, before anything is awaited."""
        return self._subscribers.subscribe()

    # --- facts -------------------------------------------------------------------------------------------------------

    def own_changed(self, *, name: str | None = None, port: int | None = None) -> None:
        """Take another name of this device, or another port of its listener."""
        if (name or self._name, port or self._port) != (self._name, self._port):
            self._name, self._port = name or self._name, port or self._port
            if self._announcer is not None:
                self._announcer.changed("state")
        hosts = self._discovery.hosts() if self._discovery is not None else ()
        self._publish(self._registry.own_changed(name=self._name, port=self._port, hosts=hosts, now=self._clock.time()))

    def local_sessions(self, rows: Iterable[SessionRow], removed: Iterable[SessionId]) -> None:
        """Take new, changed and removed sessions that are hosted here."""
        upserts, gone = list(rows), list(removed)
        before = {session: self._registry.session(session) for session in [*gone, *(row.id for row in upserts)]}
        self._publish(self._registry.local_sessions(upserts, gone, self._clock.time()))
        for session, was in before.items():
            now = self._registry.session(session)
            how = urgency(was if was and was.local else None, now if now and now.local else None)
            if how is not None and self._announcer is not None:
                self._announcer.changed(how)

    def paired(self, devices: Iterable[PairedDevice]) -> None:
        """Take all the devices that are trusted now. A new one's signed record counts from now on, and is asked for."""
        trusted, now = list(devices), self._clock.time()
        new = self._verifier.trust(trusted)
        self._hinted = {device.id: self._hinted[device.id] for device in trusted if device.id in self._hinted}
        self._publish(self._registry.paired(trusted, now))
        rights: dict[DeviceId, tuple[object, ...]] = {
            device.id: (device.role, device.read_only, device.session) for device in trusted
        }
        if any(self._rights.get(device, had) != had for device, had in rights.items()):
            # Whoever may do more or less with the sessions here than before is told of them anew.
            self._publish(Changes(sessions=tuple(self._registry.sessions("local"))))
        self._rights = rights
        for heard in new.values():
            self._poke.ring()
            if heard is not None:
                self._judge(heard, now)

    def recall(self, device: DeviceId, rows: Iterable[SessionRow]) -> None:
        """Take the session rows that a paired device's link had sent before this service was started (R12)."""
        self._publish(self._registry.recall(device, rows, self._clock.time()))

    def keys_changed(self) -> None:
        """Seal with the household's newest key, and unseal again what could not be read."""
        if self._announcer is not None:
            self._announcer.changed("state")
        for record in self._verifier.reread():
            self._publish(self._registry.heard(record, "mdns", self._clock.time()))

    def heard_static(self, record: PresenceRecord) -> None:
        """Take the record of a device that answered at an address from the settings."""
        self._publish(self._registry.heard(record, "static", self._clock.time()))
        self._tell_heard(record.device)

    def advertised(self, device: DeviceId, endpoints: Sequence[Endpoint]) -> None:
        """Take the endpoints that a paired device signed, perhaps passed on by another one (L10)."""
        self._publish(self._registry.advertised(device, endpoints, self._clock.time()))

    def answered(self, device: DeviceId) -> None:
        """Record that a device accepted a connection."""
        self._publish(self._registry.answered(device, self._clock.time()))

    def refused(self, device: DeviceId) -> None:
        """Record that a device is there and does not accept this one (R14)."""
        self._publish(self._registry.answered(device, self._clock.time(), refused=True))

    def dial_failed(self, device: DeviceId, reason: str) -> None:
        """Record that a device did not answer at any address."""
        self._publish(self._registry.dial_failed(device, reason, self._clock.time()))

    def link_up(self, device: DeviceId, *, name: str, version: str, endpoint: Endpoint | None) -> None:
        """Record that a link to a device is open; `endpoint` is where it can be dialled again, if known."""
        now = self._clock.time()
        self._publish(self._registry.link_up(device, name=name, version=version, endpoint=endpoint, now=now))

    def takes_sessions(self, device: DeviceId) -> bool:
        """Whether sessions of the device are listed: not those of a stranger or a guest."""
        return self._registry.takes_sessions(device)

    def link_sessions(
        self,
        device: DeviceId,
        rows: Iterable[SessionRow],
        removed: Iterable[SessionId] = (),
        *,
        whole: bool = False,
    ) -> None:
        """Take the session rows that a device sent over its link: all of them (`whole`), or changes."""
        self._publish(self._registry.link_sessions(device, rows, removed, self._clock.time(), whole=whole))

    def goodbye(self, device: DeviceId) -> None:
        """Record that a device said over its link that it leaves."""
        self._publish(self._registry.goodbye(device, self._clock.time()))

    def link_lost(self, device: DeviceId, reason: str) -> None:
        """Record that the link to a device is lost."""
        self._publish(self._registry.link_lost(device, reason, self._clock.time()))

    def endpoints(self, device: DeviceId) -> list[Endpoint]:
        """Endpoints at which to dial a device, best first."""
        return self._registry.endpoints(device)

    def to_probe(self) -> list[DeviceId]:
        """Devices of which a connection attempt would tell whether they are there."""
        return self._registry.to_probe(self._clock.time())

    # --- discovery ---------------------------------------------------------------------------------------------------

    def _sighted(self, sighting: Sighting) -> None:
        with compartment("presence.sighted"):  # a callback that raises blinds the browser for good
            self._take(sighting)

    def _take(self, sighting: Sighting) -> None:
        if isinstance(sighting, Echoed | Renamed):
            if self._announcer is not None:
                self._announcer.echoed(sighting.heard) if isinstance(sighting, Echoed) else self._announcer.renamed()
            return
        device = sighting.device if isinstance(sighting, Goodbye) else sighting.record.device
        waiting = self._waiting.get(device)
        if waiting is None and self._clock.monotonic() - self._fed.get(device, -COALESCE) >= COALESCE:
            self._feed_one(device, sighting)
            return
        waiting = self._waiting.setdefault(device, [])
        if sighting in waiting:
            waiting.remove(sighting)
        waiting.append(sighting)
        del waiting[:-PENDING_MAX]
        self._feed.ring()

    def _feed_one(self, device: DeviceId, sighting: Sighting) -> None:
        now = self._clock.time()
        if isinstance(sighting, Heard):
            self._judge(sighting, now)
        elif isinstance(sighting, Goodbye) and self._registry.knows(device) and self._verifier.has_left(sighting):
            self._publish(self._registry.goodbye(device, now))
            self._poke.ring()  # anybody can send a goodbye for another device: have it announce itself
            if device in self._registry.to_probe(now):
                self.doubted.notify(device)
        if self._registry.knows(device):
            self._fed[device] = self._clock.monotonic()

    def _judge(self, heard: Heard, now: float) -> None:
        verdict = self._verifier.judge(heard, now)
        device = heard.record.device
        if isinstance(verdict, Accepted):
            self._publish(self._registry.heard(verdict.record, "mdns", now))
            self._tell_heard(device)
        elif isinstance(verdict, Unsigned):
            self._publish(self._registry.hinted(verdict.record, now))
            if now - self._hinted.get(device, -HINTS_APART) >= HINTS_APART:
                self._hinted[device] = now
                self._tell_heard(device)

    async def _feeding(self) -> None:
        while True:
            await self._feed.wait(None)
            await self._clock.sleep(COALESCE)
            waiting, self._waiting = self._waiting, {}
            for device, sightings in waiting.items():
                for sighting in sightings:
                    with compartment("presence.feed"):
                        self._feed_one(device, sighting)

    async def _poking(self, discovery: Discovery) -> None:
        while True:
            await self._poke.wait(EVERY + SPREAD * self._jitter())
            discovery.poke()
            await self._clock.sleep(POKE_APART)

    async def _announcing_again(self, discovery: Discovery) -> None:
        while True:
            await self._clock.sleep(EVERY + SPREAD * self._jitter())
            discovery.announce_again()

    # --- time --------------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        apart = self._clock.time() - self._clock.monotonic()
        while True:
            deadline = self._registry.next_deadline()
            now = self._clock.time()
            pause = LOOK_EVERY if self._has_address() else LOOK_SOON
            await self._clock.sleep(pause if deadline is None else min(pause, max(0.01, deadline - now)))
            self._publish(self._registry.expire(self._clock.time()))
            self.own_changed()
            recently = self._clock.monotonic() - COALESCE
            self._fed = {device: at for device, at in self._fed.items() if at > recently}
            apart, before = self._clock.time() - self._clock.monotonic(), apart
            if apart - before > SLEPT:
                self._poke.ring()
                if self._discovery is not None and self._announcer is not None:
                    self._discovery.announce_again()

    # --- how ---------------------------------------------------------------------------------------------------------

    def _has_address(self) -> bool:
        return self._discovery is None or bool(self._discovery.hosts())

    def _tell_heard(self, device: DeviceId) -> None:
        if self._registry.trusts(device):
            self.heard.notify(device)

    def _publish(self, changes: Changes) -> None:
        self._subscribers.publish(changes)
