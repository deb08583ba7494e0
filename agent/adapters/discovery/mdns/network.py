"""Puts what zeroconf hears and knows into the terms of `adapters.discovery.instances`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Protocol

from zeroconf import (  # type: ignore[attr-defined]  # public, but its `__all__` forgets the records and the resolver
    AddressResolver,
    DNSAddress,
    DNSPointer,
    DNSQuestionType,
    DNSRecord,
    DNSService,
    DNSText,
    Error,
    RecordUpdate,
    RecordUpdateListener,
    ServiceInfo,
    Zeroconf,
)
from zeroconf.asyncio import AsyncServiceInfo

from agent.adapters.discovery.instances import InstanceRecords, Instances
from agent.adapters.discovery.interfaces import Interface, elsewhere, reachable
from agent.adapters.discovery.mdns.cache import PER_NAME, TEXT_MAX, CacheKeeper
from agent.adapters.discovery.mdns.names import TYPE, is_instance, is_sendable
from agent.tasks import compartment

QM = DNSQuestionType.QM

RESOLVING = 3000
"""Milliseconds; a question is repeated after about one second."""

_reachable, _elsewhere = lru_cache(64)(reachable), lru_cache(64)(elsewhere)
"""Found once for all the instances of a host: anybody may announce 256 at one, and move it in every packet."""

log = logging.getLogger(__name__)


class Lookup:
    """The network of one service type: answers from zeroconf's cache, questions to fill it (`instances.Network`)."""

    def __init__(
        self,
        zeroconf: Zeroconf,
        service: str,
        interfaces: Callable[[], Sequence[Interface]],
        *,
        resolving: int = RESOLVING,
    ) -> None:
        """`resolving` is for how many milliseconds an instance is asked for."""
        self._zeroconf = zeroconf
        self._service = service
        self._interfaces = interfaces
        self._resolving = resolving

    def cached(self, name: str) -> InstanceRecords | None:
        """What is known of an instance; None if a part is missing or the name cannot be one."""
        info = self._info(name)
        if info is None or not info.load_from_cache(self._zeroconf):
            return None
        addresses = tuple(info.parsed_scoped_addresses())
        return InstanceRecords(text=info.text, server=info.server_key or "", port=info.port or 0, addresses=addresses)

    def addresses(self, server: str) -> tuple[str, ...]:
        """The known addresses of a host, IPv6 ones with the index of the interface they came by as zone."""
        try:
            host = AddressResolver(server)
        except Error:  # no name in .local
            return ()
        return tuple(host.parsed_scoped_addresses()[:PER_NAME]) if host.load_from_cache(self._zeroconf) else ()

    async def ask(self, name: str) -> None:
        """Ask for the missing parts of an instance. Does nothing for a name that cannot be asked for."""
        info = self._info(name)
        if info is None:
            return
        try:
            await info.async_request(self._zeroconf, self._resolving, QM)
        except (Error, ValueError) as exc:  # what an answer named meanwhile cannot be sent, such as its server
            log.debug("cannot be resolved", extra={"instance": name, "reason": repr(exc)})

    def reachable(self, addresses: Sequence[str]) -> tuple[str, ...]:
        """The addresses that are on a network of this machine, with zones."""
        return _reachable(tuple(addresses), tuple(self._interfaces()))

    def elsewhere(self, addresses: Sequence[str]) -> tuple[str, ...]:
        """The addresses that are on none of our networks, and could be another machine's all the same."""
        return _elsewhere(tuple(addresses), tuple(self._interfaces()))

    def _info(self, name: str) -> AsyncServiceInfo | None:
        if not is_sendable(name):
            return None
        try:
            return _Info(self._service, name)
        except Error:  # too long, control characters, outside the type
            return None


class _Info(AsyncServiceInfo):
    """An instance that looks at no more addresses than are kept: zeroconf compares each with each."""

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Take what a packet brought while the instance is asked for."""
        looked_at = Counter[str]({self.server_key or "": len(self.parsed_addresses())})
        few = []
        for update in records:
            if isinstance(update.new, DNSAddress):
                looked_at[update.new.key] += 1
                if looked_at[update.new.key] > PER_NAME:
                    continue
            few.append(update)
        super().async_update_records(zc, now, few)


class OwnRecord(Protocol):
    """Tells our own records, which come back from the loop, from those of somebody who uses our name."""

    def is_own(self, name: str) -> bool:
        """Whether the instance name is ours."""

    def is_ours(self, record: DNSText | DNSService) -> bool:
        """Whether we sent that record of our name, a moment ago at most."""

    def seeks_windows(self) -> bool:
        """Whether pairing windows are looked for at this moment."""


class RecordListener(RecordUpdateListener):
    """Hands every record of an instance to the table, also one that zeroconf knew already.

    A browser's events would leave out identical announcements, which are how a device is known to be there still,
    and a text that comes back. Nothing may be raised here: zeroconf would never call again (docs/design/discovery.md).
    """

    def __init__(self, table: Instances, own: OwnRecord) -> None:
        self._table, self._own = table, own
        self._zeroconf: Zeroconf | None = None
        self._cache = CacheKeeper(self)
        self._arrived: list[DNSRecord] = []  # with the packet at hand
        self._moved: set[str] = set()  # hosts whose addresses it changes

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Note what one packet brought; the cache does not have it yet."""
        self._zeroconf, self._arrived = zc, [update.new for update in records]
        for update in records:
            with compartment("discovery.record"):
                self._take(update, now)

    def async_update_records_complete(self) -> None:
        """Tell what the packet brought, now that the cache has all of it."""
        with compartment("discovery.cache"):
            if self._zeroconf is not None:
                self._cache.crop(self._zeroconf, self._arrived)
        with compartment("discovery.packet"):
            moved, self._moved = self._moved, set()
            self._table.moved(moved)
            self._table.flush()
        with compartment("discovery.cache"):
            arrived, self._arrived = self._arrived, []
            if self._zeroconf is not None:
                self._cache.packet(self._zeroconf, arrived)

    def knows(self, name: str) -> bool:
        """Whether the instance is ours or has a place in the table."""
        return self._own.is_own(name) or self._table.knows(name)

    def servers(self) -> Collection[str]:
        """The hosts of the instances in the table."""
        return self._table.servers()

    def seeks_windows(self) -> bool:
        """Whether pairing windows are looked for at this moment."""
        return self._own.seeks_windows()

    def _take(self, update: RecordUpdate, now: float) -> None:
        record = update.new
        expired = record.is_expired(now)
        if isinstance(record, DNSPointer):
            if record.key == TYPE and is_instance(record.alias):
                self._pointed(record.alias, expired)
        elif isinstance(record, DNSAddress):
            if update.old is None or expired:
                self._moved.add(record.key)
        elif isinstance(record, (DNSText, DNSService)) and not expired and is_instance(record.key):
            if self._own.is_own(record.name):
                if not self._own.is_ours(record):
                    self._table.echoed()
            elif isinstance(record, DNSText):
                if len(record.text) <= TEXT_MAX:
                    self._table.heard(record.name, text=record.text)
            else:
                self._table.heard(record.name, service=(record.server_key, record.port))

    def _pointed(self, name: str, expired: bool) -> None:
        if self._own.is_own(name):
            if expired:  # we say goodbye only when we no longer listen
                self._table.echoed()
        elif expired:
            self._table.gone(name)
        else:
            self._table.heard(name)


def service_info(service: str, instance: str, port: int, server: str, text: bytes) -> ServiceInfo:
    """The service to announce under that instance name; `text` is TXT rdata."""
    return ServiceInfo(service, f"{instance}.{service}", port, properties=text, server=server)
