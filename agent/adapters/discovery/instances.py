"""What was heard of each announced instance: when it is told, how often, and how much of it at most.

Everything that arrives is hostile: one host can announce thousands of instances, or change one thousands of times a
second. The table never asks a cache for a part that it has heard: the record that was *heard* last counts, not the
one that was new last. Source: docs/design/discovery.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from msgspec import Struct

from agent.ports import Clock, Echoed, Goodbye, Heard, Sighting
from agent.protocol.model import DeviceId, PresenceRecord
from agent.tasks import compartment, spawn

log = logging.getLogger(__name__)

MAX_INSTANCES = 256
NEW_PER_SECOND = 20.0
MAX_RESOLVING = 8
COALESCE = 0.1
"""Seconds between two sightings of one instance."""
REPEAT = 1.0
"""Seconds in which the same record again is no news (it arrives over IPv4 and IPv6)."""
ECHO = 5.0
"""Seconds between two `Echoed`: an attacker must not set our rate."""
SILENT = 150.0
"""Seconds of silence after which an instance may lose its place to a new one."""


class InstanceRecords(Struct, frozen=True):
    """All records of one instance together: text, host, port and addresses."""

    text: bytes  # TXT rdata
    server: str  # host name of the SRV record, lower case
    port: int
    addresses: tuple[str, ...]


class Decode(Protocol):
    """Turns TXT strings into a record; None if they are not of our kind. `presence.rules.txt.decode`."""

    def __call__(self, strings: Sequence[bytes], *, port: int, hosts: tuple[str, ...]) -> PresenceRecord | None:
        """Never raises, whatever the bytes."""


class Network(Protocol):
    """The network, as far as the table of instances needs it."""

    def cached(self, name: str) -> InstanceRecords | None:
        """What is known of an instance; None if a part is missing. Of several values that which was new last."""

    def addresses(self, server: str) -> tuple[str, ...]:
        """The known addresses of a host."""

    async def ask(self, name: str) -> None:
        """Ask the network for the missing parts, for a few seconds at most."""

    def reachable(self, addresses: Sequence[str]) -> tuple[str, ...]:
        """The addresses that are on a network of this machine, with zones."""

    def elsewhere(self, addresses: Sequence[str]) -> tuple[str, ...]:
        """The addresses that are on none of our networks, and could be another machine's all the same."""


class _Instance:
    __slots__ = (
        "addresses",
        "admitted",
        "asking",
        "device",
        "heard_at",
        "is_news",
        "looked_at",
        "name",
        "service",
        "sighting",
        "text",
        "told_at",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.admitted = self.asking = self.is_news = False
        self.text: bytes | None = None  # heard last
        self.service: tuple[str, int] | None = None  # server and port heard last
        self.addresses: tuple[str, tuple[str, ...]] = ("", ())  # of which server, as last found
        self.sighting: Heard | None = None  # told last
        self.device: DeviceId | None = None
        self.heard_at = 0.0
        self.looked_at = self.told_at = float("-inf")


def split_text(text: bytes) -> list[bytes]:
    """The strings of a TXT rdata; a string that runs over the end is cut there."""
    strings = []
    at = 0
    while at < len(text):
        end = at + 1 + text[at]
        strings.append(text[at + 1 : end])
        at = end
    return strings


def join_text(strings: Sequence[bytes]) -> bytes:
    """The TXT rdata of these strings; of none, one empty string (RFC 6763 §6.1). Raises: ValueError above 255 bytes."""
    return b"".join(bytes([len(string)]) + string for string in strings) or b"\0"


class Instances:
    """The instances on the network, ours excluded. All methods but `run` are called on the loop and return at once."""

    def __init__(
        self, *, own: DeviceId, clock: Clock, decode: Decode, network: Network, tell: Callable[[Sighting], None]
    ) -> None:
        self._own = own
        self._clock = clock
        self._decode = decode
        self._network = network
        self._tell = tell
        self._known: dict[str, _Instance] = {}
        self._touched: dict[str, None] = {}  # by the packet at hand
        self._later: dict[str, None] = {}
        self._unresolved: dict[str, None] = {}
        self._resolving = 0
        self._allowance, self._refilled_at = NEW_PER_SECOND, clock.monotonic()
        self._echoed_at = float("-inf")
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._known)

    def knows(self, name: str) -> bool:
        """Whether the instance has a place in the table."""
        return name.lower() in self._known

    def servers(self) -> frozenset[str]:
        """The hosts of all instances that have a place."""
        return frozenset(known.service[0] for known in self._known.values() if known.service)

    def heard(self, name: str, *, text: bytes | None = None, service: tuple[str, int] | None = None) -> None:
        """Take a record of that instance: TXT rdata, server and port of an SRV record, or else a pointer to it.

        What it brought is told by the next `flush`.
        """
        key = name.lower()
        now = self._clock.monotonic()
        instance = self._known.get(key)
        if instance is None:
            if len(self._known) >= MAX_INSTANCES and not self._evict(now):
                return
            instance = self._known[key] = _Instance(name)
        instance.heard_at, instance.is_news = now, True
        if text is not None:
            instance.text = text
        if service is not None:
            instance.service = service
        self._touched[key] = None

    def moved(self, servers: Collection[str]) -> None:
        """Note that addresses of those hosts came or went."""
        owners = (key for key, known in self._known.items() if known.service and known.service[0] in servers)
        self._touched.update(dict.fromkeys(owners))

    def gone(self, name: str) -> None:
        """Note that the instance was withdrawn."""
        instance = self._known.pop(name.lower(), None)
        if instance is None or instance.device is None:
            return
        last = all(other.device != instance.device for other in self._known.values())
        self._tell(Goodbye(instance.device, instance.name, last))

    def echoed(self, heard: Heard | None = None) -> None:
        """Note that somebody else speaks under our name or id."""
        now = self._clock.monotonic()
        if now - self._echoed_at >= ECHO:
            self._echoed_at = now
            self._tell(Echoed(heard))

    def flush(self) -> None:
        """Tell what the packet at hand brought, as far as it may be told now."""
        touched, self._touched = self._touched, {}
        for key in touched:
            with compartment("discovery.instance"):
                self._consider(key)

    def refresh(self) -> None:
        """Look at every instance again: other addresses may be reachable now. Only what differs is told."""
        self._later.update(dict.fromkeys(self._known))
        self._wake.set()

    async def run(self) -> None:
        """Tell what had to wait and resolve what is incomplete, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                later, self._later = self._later, {}
                for key in later:
                    with compartment("discovery.instance"):
                        self._consider(key)
                while self._unresolved and self._resolving < MAX_RESOLVING:
                    key = next(iter(self._unresolved))
                    del self._unresolved[key]
                    if key in self._known:
                        self._resolving += 1
                        spawn(group, self._resolve(key, self._known[key].name), "discovery.resolve")
                if self._later:
                    await self._clock.sleep(COALESCE)
                    self._wake.set()

    def _consider(self, key: str) -> None:
        instance = self._known.get(key)
        if instance is None:
            return
        now = self._clock.monotonic()
        if now - instance.looked_at < COALESCE or not (instance.admitted or self._admit(now)):
            self._later[key] = None
            self._wake.set()
            return
        instance.admitted, instance.looked_at = True, now
        if not self._report(instance, now) and not instance.asking:
            instance.asking = True
            self._unresolved[key] = None
            self._wake.set()

    def _report(self, instance: _Instance, now: float) -> bool:
        """Tell what is known of the instance, if it is news. False if it is not complete."""
        found = self._complete(instance)
        if found is None:
            return False
        hosts = self._network.reachable(found.addresses)
        elsewhere = self._network.elsewhere(found.addresses)
        strings = split_text(found.text)
        known = found.port and (hosts or elsewhere)
        record = self._decode(strings, port=found.port, hosts=hosts) if known else None
        is_news, instance.is_news = instance.is_news, False
        if record is None:
            return True
        sighting = Heard(record, tuple(strings), instance.name, elsewhere)
        if record.device == self._own:
            if hosts:
                self.echoed(sighting)
        elif sighting != instance.sighting or (is_news and now - instance.told_at >= REPEAT):
            instance.sighting = sighting
            instance.device = record.device
            instance.told_at = now
            self._tell(sighting)
        return True

    def _complete(self, instance: _Instance) -> InstanceRecords | None:
        text, service = instance.text, instance.service
        if text is None or service is None:
            cached = self._network.cached(instance.name)
            if cached is None:
                return None
            text = cached.text if text is None else text
            service = instance.service = service or (cached.server, cached.port)
        addresses = tuple(self._network.addresses(service[0]))
        if addresses:
            instance.addresses = (service[0], addresses)
        elif instance.addresses[0] == service[0]:
            # A flood of phantoms fills the cache, whose shortest-lived records, addresses, then leave it at once.
            addresses = instance.addresses[1]
        return (
            InstanceRecords(text=text, server=service[0], port=service[1], addresses=addresses) if addresses else None
        )

    async def _resolve(self, key: str, name: str) -> None:
        instance = self._known.get(key)
        try:
            await self._network.ask(name)
        finally:
            self._resolving -= 1
            if instance is not None:
                instance.asking = False
        if (
            instance is not None
            and self._known.get(key) is instance
            and not self._report(instance, self._clock.monotonic())
            and instance.sighting is None
        ):
            del self._known[key]  # heard again, it starts anew
        self._wake.set()

    def _admit(self, now: float) -> bool:
        self._allowance = min(NEW_PER_SECOND, self._allowance + (now - self._refilled_at) * NEW_PER_SECOND)
        self._refilled_at = now
        if self._allowance < 1.0:
            return False
        self._allowance -= 1.0
        return True

    def _evict(self, now: float) -> bool:
        """Make room: first for what never was a device, then for the longest silent one."""
        victim = min(self._known.items(), key=lambda item: (item[1].sighting is not None, item[1].heard_at))
        if victim[1].sighting is not None and now - victim[1].heard_at < SILENT:
            log.debug("no room for another instance")
            return False
        del self._known[victim[0]]
        return True
