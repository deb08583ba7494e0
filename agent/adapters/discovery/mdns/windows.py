"""Pairing windows: a second service type, announced only while a device shows a code."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from zeroconf import ServiceInfo, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

from agent.adapters.discovery.instances import InstanceRecords, join_text, split_text
from agent.adapters.discovery.interfaces import Interface
from agent.adapters.discovery.mdns.names import PAIR_TYPE
from agent.adapters.discovery.mdns.network import QM, Lookup, service_info
from agent.ports import PairingWindow
from agent.protocol.model import NAME_MAX, Endpoint
from agent.protocol.names import clean
from agent.tasks import compartment

MAX_WINDOWS = 8
"""Windows of one slot that are looked at: whoever opens many gains nothing."""

OVER_MAX = 16
"""Characters of the word that says how a window has ended."""
_MOMENT = 0.5  # seconds in which others may follow the first
_MAX_NAMES = 64  # that wait to be looked at


class Windows:
    """A window of our own, and a search for those of others."""

    def __init__(self, server: str, interfaces: Callable[[], Sequence[Interface]]) -> None:
        self._server, self._interfaces = server, interfaces
        self._own: ServiceInfo | None = None
        self._own_key = ""
        self.searches = 0  # that are going on

    async def open(self, opened: AsyncZeroconf | None, slot: str, name: str, port: int, over: str = "") -> None:
        """Announce a window, in place of an earlier one; without sockets, as soon as `resume` is called."""
        await self.close(opened)
        ended = [b"over=" + over.encode()] if over else []
        text = join_text([b"v=1", b"slot=" + slot.encode(), b"name=" + name.encode(), *ended])
        # Nothing of a former window can match: a random name needs no probing, and its records never come back.
        self._own = service_info(PAIR_TYPE, secrets.token_hex(8), port, self._server, text)
        self._own_key = self._own.key
        if opened:
            await self.resume(opened)

    async def resume(self, opened: AsyncZeroconf) -> None:
        """Announce the window that was opened before there were sockets."""
        if self._own:
            self.readdress()
            await opened.async_register_service(self._own, cooperating_responders=True)

    async def close(self, opened: AsyncZeroconf | None) -> None:
        """Withdraw our own window, if there is one."""
        window, self._own = self._own, None
        if window and opened and opened.zeroconf.registry.async_get_info_name(window.key):
            await (await opened.async_unregister_service(window))

    def readdress(self) -> None:
        """Take over the addresses of now; they go out with the next announcement."""
        if self._own:
            set_addresses(self._own, self._interfaces())

    async def find(self, zeroconf: Zeroconf, slot: str, found: dict[str, PairingWindow]) -> None:
        """Add windows of others to `found`, for a moment after the first; the caller limits the wait for it."""
        self.searches += 1
        try:
            await self._find(zeroconf, slot, found)
        finally:
            self.searches -= 1

    async def _find(self, zeroconf: Zeroconf, slot: str, found: dict[str, PairingWindow]) -> None:
        names: asyncio.Queue[str] = asyncio.Queue(_MAX_NAMES)

        def note(name: str, **_: object) -> None:
            if not names.full():  # a handler must not raise
                names.put_nowait(name)

        lookup = Lookup(zeroconf, PAIR_TYPE, self._interfaces)
        async with AsyncServiceBrowser(zeroconf, PAIR_TYPE, handlers=[note], question_type=QM):
            limit = asyncio.timeout(None)
            try:
                async with limit:
                    while len(found) < MAX_WINDOWS:
                        name = await names.get()
                        window = None
                        with compartment("discovery.window"):  # of another one there may be better records
                            window = await self._look_at(lookup, name)
                        if window and window.slot == slot:
                            found[name] = window
                            if limit.when() is None:
                                limit.reschedule(asyncio.get_running_loop().time() + _MOMENT)
            except TimeoutError:
                return

    async def _look_at(self, lookup: Lookup, name: str) -> PairingWindow | None:
        if name.lower() == self._own_key:
            return None
        if (resolved := lookup.cached(name)) is None:
            await lookup.ask(name)
            resolved = lookup.cached(name)
        return window_of(resolved, lookup.reachable(resolved.addresses)) if resolved else None


def window_of(resolved: InstanceRecords, hosts: Sequence[str]) -> PairingWindow | None:
    """Read the records of a window; None if they are not of version 1 or nothing can be dialled."""
    fields = {key.lower(): value for key, _, value in (s.partition(b"=") for s in reversed(split_text(resolved.text)))}
    if fields.get(b"v") != b"1" or not hosts or not resolved.port:
        return None
    slot, name, over = (fields.get(key, b"").decode(errors="replace") for key in (b"slot", b"name", b"over"))
    endpoints = tuple(Endpoint(host, resolved.port) for host in hosts)
    ended = clean(over, OVER_MAX)
    return PairingWindow(slot=clean(slot, 2), name=clean(name, NAME_MAX), endpoints=endpoints, over=ended)


def set_addresses(info: ServiceInfo, interfaces: Sequence[Interface]) -> None:
    """Announce the service at the addresses of these interfaces."""
    hosts = (host for interface in interfaces for host in interface.hosts)
    info.addresses = [ip_address(host.partition("%")[0]).packed for host in hosts]
    info.async_clear_cache()
