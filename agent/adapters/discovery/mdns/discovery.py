"""One device on the network: announced, and hearing the others."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import cast

from zeroconf import (  # type: ignore[attr-defined]  # the records are public, but its `__all__` forgets them  # type: ignore[attr-defined]  # its `__all__` forgets the records
    DNSQuestion,
    DNSRecord,
    DNSService,
    DNSText,
    Error,
    IPVersion,
    Zeroconf,
)
from zeroconf._handlers.query_handler import QueryHandler
from zeroconf._history import QuestionHistory
from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

from agent.adapters.discovery.instances import Instances, join_text
from agent.adapters.discovery.interfaces import Interface, InterfaceWatch, scan
from agent.adapters.discovery.mdns.names import TYPE
from agent.adapters.discovery.mdns.network import QM, Lookup, RecordListener, service_info
from agent.adapters.discovery.mdns.windows import Windows, set_addresses
from agent.ports import Clock, PairingWindow, Renamed, Sighting
from agent.presence.rules.txt import SIZE_MAX, decode
from agent.protocol.model import DeviceId
from agent.tasks import keep, owned, spawn

_ASKING = 0.5  # seconds that a poke lasts; its question goes out after 20 to 120 ms
_GOODBYE = 1.0  # seconds that leaving may take; three goodbyes need 0.25
_RETRY = 2.0  # seconds until the sockets are tried again
_SETTLING = (
    3  # looks after a change at which sockets are tried again: a new IPv6 address is first checked by the kernel
)
_OURS = 10.0  # seconds in which a record of ours may come back after it was replaced: a flood delays it

log = logging.getLogger(__name__)

PACKET_MAX = 8966
"""Bytes of a packet; zeroconf looks at none that is longer."""

_SENTENCES = {
    errno.EADDRINUSE: "another program keeps UDP port 5353 for itself"
    " (avahi: set disallow-other-stacks=no in avahi-daemon.conf)",
    errno.EHOSTUNREACH: "the system refuses multicast: no route to host"
    " (macOS: allow it in System Settings, Privacy & Security, Local Network)",
    errno.EPERM: "a firewall on this device blocks multicast to UDP port 5353",
    errno.EACCES: "a firewall on this device blocks multicast to UDP port 5353",
}


class MdnsDiscovery:
    """Announces this device and hears others by multicast on interfaces whose names match (`ports.Discovery`).

    `interfaces`: patterns for the names; none: every LAN. `instance` is the DNS-SD instance name; a number is added if
    another host has it. `problem` is told in a sentence why others may not find this device, and "" when that is over.
    """

    def __init__(
        self,
        *,
        device: DeviceId,
        instance: str,
        port: int,
        clock: Clock,
        interfaces: Sequence[str] = (),
        problem: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._device, self._clock = device, clock
        self._info = service_info(TYPE, instance, port, f"{device}.local.", join_text([]))
        self._former: deque[tuple[bytes, float]] = deque(maxlen=16)  # our earlier texts, and when they were replaced
        self._problems = SocketTrouble(problem)
        self._wanted = tuple(interfaces)
        self._watch = InterfaceWatch(partial(scan, self._wanted), clock)
        self._interfaces: tuple[Interface, ...] = ()
        self._windows = Windows(f"{device}.local.", lambda: self._interfaces)
        self._zeroconf: AsyncZeroconf | None = None
        self._registered = False
        self._leaving: asyncio.Task[None] | None = None  # an earlier run's goodbye
        self._copies: asyncio.Future[None] | None = None  # of the announcement that is going out
        self._changed = asyncio.Event()
        self._asked = asyncio.Event()
        self._opened = asyncio.Event()
        self._published = asyncio.Event()  # whether there is anything to announce

    async def run(self, heard: Callable[[Sighting], None]) -> None:
        """Announce and browse until cancelled, then say goodbye."""
        zeroconf_log = logging.getLogger("zeroconf")
        zeroconf_log.addFilter(self._problems)
        try:
            opened = await self._open()
            lookup = Lookup(opened.zeroconf, TYPE, lambda: self._interfaces)
            table = Instances(own=self._device, clock=self._clock, decode=decode, network=lookup, tell=heard)
            opened.zeroconf.async_add_listener(RecordListener(table, self), None)
            async with asyncio.TaskGroup() as group:

                def part(run: Callable[[], Coroutine[None, None, None]], name: str) -> None:
                    spawn(group, keep(run, name, self._clock), name)

                part(partial(self._browse, opened), "discovery.browse")
                part(partial(self._register, opened, heard), "discovery.register")
                part(table.run, "discovery.instances")
                part(partial(self._announce, opened), "discovery.announce")
                part(partial(self._follow, opened, table), "discovery.follow")
        finally:
            await self._close()
            zeroconf_log.removeFilter(self._problems)

    def publish(self, strings: Sequence[bytes]) -> None:
        """Announce these TXT strings. Raises: ValueError, if one or all are too long."""
        text = join_text(strings)
        if len(text) > SIZE_MAX:
            raise ValueError(f"a TXT record of {len(text)} bytes; at most {SIZE_MAX} fit")
        self._former.append((self._info.text, self._clock.monotonic()))
        self._info.text = text
        self._published.set()
        self._changed.set()

    def instance(self) -> str:
        """The full instance name that this device is announced under."""
        return self._info.name

    def announce_again(self) -> None:
        """Send the record that was announced last once more."""
        self._changed.set()

    def poke(self) -> None:
        """Ask the network which devices are on it."""
        self._asked.set()

    def hosts(self) -> tuple[str, ...]:
        """IP addresses that are announced now, link-local IPv6 with its zone."""
        return tuple(host for interface in self._interfaces for host in interface.hosts)

    def interfaces(self) -> tuple[str, ...]:
        """Names of the interfaces in use."""
        return tuple(interface.name for interface in self._interfaces)

    async def open_window(self, slot: str, name: str, port: int, over: str = "") -> None:
        """Announce a pairing listener until `close_window`, or that it is over."""
        await self._windows.open(self._zeroconf, slot, name, port, over)

    async def close_window(self) -> None:
        """Withdraw the pairing listener that is announced."""
        await self._windows.close(self._zeroconf)

    async def find_windows(self, slot: str, seconds: float) -> list[PairingWindow]:
        """Pairing listeners of other devices with that slot."""
        found: dict[str, PairingWindow] = {}
        try:
            async with asyncio.timeout(seconds):
                await self._opened.wait()
                assert self._zeroconf
                await self._windows.find(self._zeroconf.zeroconf, slot, found)
        except TimeoutError:
            log.debug("the search for pairing windows is over")
        return list(found.values())

    def is_own(self, name: str) -> bool:
        """Whether the instance name is ours; while it is being probed, nobody's."""
        return self._registered and name.lower() == self._info.key

    def is_ours(self, record: DNSText | DNSService) -> bool:
        """Whether we sent that record of our name. Ours come back from the loop, also some that were replaced since."""
        if isinstance(record, DNSService):
            return record.port == self._info.port and record.server_key == self._info.server_key
        now = self._clock.monotonic()
        return record.text == self._info.text or any(
            record.text == text and now - replaced < _OURS for text, replaced in self._former
        )

    def seeks_windows(self) -> bool:
        """Whether pairing windows of others are looked for."""
        return self._windows.searches > 0

    async def _open(self) -> AsyncZeroconf:
        """Open the sockets, as soon as there is an interface and they can be had."""
        version = IPVersion.All
        while True:
            self._interfaces = await self._watch.first(self._say_alone)
            try:
                opened = AsyncZeroconf(interfaces=self._sockets(), ip_version=version)
            except (OSError, RuntimeError) as exc:  # RuntimeError: an address went away just now
                if isinstance(exc, OSError) and exc.errno == errno.EAFNOSUPPORT and version is IPVersion.All:
                    version = IPVersion.V4Only  # a kernel without IPv6
                    continue
                if isinstance(exc, OSError):
                    self._problems.note(exc)
                log.debug("cannot open the multicast sockets: %s", exc)
                await self._clock.sleep(_RETRY)
            else:
                without_history(opened.zeroconf)
                self._problems.over()
                self._zeroconf = opened
                self._opened.set()
                return opened

    async def _register(self, opened: AsyncZeroconf, heard: Callable[[Sighting], None]) -> None:
        await self._windows.resume(opened)
        await self._published.wait()  # whoever publishes nothing (presence.mode hidden) is not named either
        set_addresses(self._info, self._interfaces)
        wanted = self._info.name
        try:
            copies = await opened.async_register_service(self._info, allow_name_change=True)
        except Error:  # with a number the name is too long; the id alone collides with nobody
            self._info.name = f"{self._device}.{TYPE}"
            copies = await opened.async_register_service(self._info, allow_name_change=True)
        self._copies = cast("asyncio.Future[None]", copies)
        if self._info.name != wanted:
            heard(Renamed())  # before the first copy goes out: what was signed for the other name is worth nothing
            self._info.async_clear_cache()
        self._registered = True
        log.info("announced as %s", self._info.get_name())

    async def _announce(self, opened: AsyncZeroconf) -> None:
        """Send three copies of the newest record; those of the one before are no longer needed."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._registered:  # else the first announcement will have it
                self._info.async_clear_cache()
                if self._copies:
                    self._copies.cancel()
                self._copies = cast("asyncio.Future[None]", await opened.async_update_service(self._info))

    async def _browse(self, opened: AsyncZeroconf) -> None:
        """Ask at the start and whenever poked. The answers reach the `Ear`.

        A browser that stayed would keep a timer for each pointer that anybody has sent, for as long as it claims to be
        valid.
        """
        self._asked.set()
        while True:
            await self._asked.wait()
            self._asked.clear()
            async with AsyncServiceBrowser(opened.zeroconf, TYPE, handlers=[_ignore], question_type=QM):
                await self._clock.sleep(_ASKING)

    async def _follow(self, opened: AsyncZeroconf, table: Instances) -> None:
        settling = _SETTLING
        while True:
            seen = await self._watch.next(self._interfaces)
            moved = seen != self._interfaces
            if not moved and not settling:
                continue
            settling = _SETTLING if moved else settling - 1
            self._interfaces = seen
            set_addresses(self._info, seen)
            self._windows.readdress()
            try:
                await opened.async_update_interfaces(self._sockets(), IPVersion.All)
            except OSError as exc:
                log.debug("cannot follow the interfaces: %s", exc)
            read_small(opened.zeroconf)
            if moved:
                self._problems.over()  # a socket that still fails will say so
                if not seen:
                    self._say_alone()
                log.info("interfaces: %s", ", ".join(self.interfaces()) or "none")
                table.refresh()
                self.announce_again()
            self.poke()

    async def _close(self) -> None:
        closing = self._zeroconf
        self._zeroconf = None
        self._registered = False
        self._opened.clear()
        if closing is None:
            return
        if self._copies:
            self._copies.cancel()  # no announcement may follow the goodbye
        # By itself: its sockets are closed also if nobody waits for the last goodbye.
        self._leaving = owned(closing.async_close(), "discovery.close")
        await asyncio.wait([self._leaving], timeout=_GOODBYE)

    def _say_alone(self) -> None:
        named = f" named {' or '.join(self._wanted)}" if self._wanted else ""
        self._problems.say(f"no network interface{named} is up")

    def _sockets(self) -> list[str]:
        return [host.partition("%")[0] for host in self.hosts()]


def _ignore(**_: object) -> None:
    """Take a browser's event: a browser is there to ask."""


class NoHistory(QuestionHistory):
    """A history of questions that remembers none.

    The history is there to leave a question out that somebody else has just asked. In zeroconf it keeps 10,000
    questions of anybody for up to 10 s, each with 256 records that its sender knows: hundreds of MiB; and who asks all
    that we would ask keeps us from asking.
    """

    def add_question_at_time(self, question: DNSQuestion, now: float, known_answers: set[DNSRecord]) -> None:
        """Forget a question that was heard."""


def without_history(zeroconf: Zeroconf) -> None:
    """Let zeroconf remember no questions. To be called before its sockets are served, so without waiting in between."""
    zeroconf.question_history = NoHistory()
    zeroconf.query_handler = QueryHandler(zeroconf)  # it holds the history that was there when it was made


def read_small(zeroconf: Zeroconf) -> None:
    """Give each packet a small buffer. To be called whenever there are other sockets.

    asyncio reads a datagram into 256 KiB and gives back what is not needed. What a packet leaves behind then lies
    between holes of that size, and malloc takes new memory for the next one: 15 MiB in a minute of 300 packets a second
    of which 4 MiB were in use (glibc, measured).
    """
    for reader in zeroconf.engine.readers:
        reader.transport.max_size = PACKET_MAX + 1  # type: ignore[attr-defined]  # of asyncio's transports, on all systems


class SocketTrouble(logging.Filter):
    """Reports each problem once; as a filter of zeroconf's logger it sees (and swallows) failures to send.

    `report` gets a sentence, or "" when the problem is over. An interface that just went away is none: the watch on
    interfaces sees to it.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        super().__init__()
        self._report, self._reported = report, ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Take failures of a socket; let the rest be logged."""
        failure = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if not isinstance(failure, OSError):
            return True
        self.note(failure)
        return False

    def note(self, failure: OSError) -> None:
        """Note that a socket failed to send."""
        self.say(_SENTENCES.get(failure.errno or 0, ""))

    def say(self, sentence: str) -> None:
        """Report a problem, unless it was reported last."""
        if sentence and sentence != self._reported:
            self._reported = sentence
            self._report(sentence)

    def over(self) -> None:
        """Report that sending works again, if a problem was reported."""
        if self._reported:
            self._reported = ""
            self._report("")
