"""A network in memory: `MemoryLan().join(…)` is a `ports.Discovery` that hears the others who joined."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from agent.ports import Clock, Echoed, Goodbye, Heard, PairingWindow, Sighting
from agent.presence.rules.txt import decode
from agent.protocol.model import DeviceId, Endpoint, PresenceRecord


class MemoryLan:
    """Delivers at once and in order. Nothing is lost unless a member is unplugged."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.members: list[MemoryDiscovery] = []
        self.opened = asyncio.Event()  # replaced whenever a window opens

    def join(self, host: str | None = None, port: int = 7777) -> MemoryDiscovery:
        """Another machine on the network."""
        number = len(self.members) + 1
        member = MemoryDiscovery(self, f"machine {number}", (host or f"10.0.0.{number}",), port)
        self.members.append(member)
        return member

    def announce(self, record: PresenceRecord, strings: Sequence[bytes] = (), instance: str = "") -> None:
        """Somebody sends a record, whoever it is of; `strings` as it was read from, if that matters."""
        self.deliver(Heard(record, tuple(strings), instance), self.members)

    def withdraw(self, device: DeviceId) -> None:
        """Somebody sends a goodbye, whoever it is of."""
        self.deliver(Goodbye(device), self.members)

    def deliver(self, sighting: Sighting, to: Iterable[MemoryDiscovery]) -> None:
        for member in list(to):
            member.receive(sighting)


class MemoryDiscovery:
    """One machine's discovery. `published`, `announced` and `poked` are for tests to look at."""

    def __init__(self, lan: MemoryLan, name: str, addresses: tuple[str, ...], port: int) -> None:
        self.lan, self.name, self.addresses, self.port = lan, name, addresses, port
        self.plugged = True
        self.published: list[tuple[bytes, ...]] = []
        self.announced = self.poked = 0
        self._heard: Callable[[Sighting], None] | None = None
        self._windows: dict[str, PairingWindow] = {}

    @property
    def running(self) -> bool:
        return self._heard is not None

    @property
    def record(self) -> PresenceRecord | None:
        """What it announces, as the others read it."""
        return decode(self.published[-1], port=self.port, hosts=self.addresses) if self.published else None

    @property
    def heard(self) -> Heard:
        """The same with what it was read from."""
        assert self.record is not None
        return Heard(self.record, self.published[-1], self.instance())

    async def run(self, heard: Callable[[Sighting], None]) -> None:
        self._heard = heard
        try:
            self._send()
            self._ask()
            await asyncio.Event().wait()
        finally:
            if self.record is not None and self.plugged:
                self.lan.deliver(Goodbye(self.record.device), self._others())
            self._heard = None

    def publish(self, strings: Sequence[bytes]) -> None:
        self.published.append(tuple(strings))
        self._send()

    def instance(self) -> str:
        return f"{self.name}._lan-agent._tcp.local."

    def announce_again(self) -> None:
        self.announced += 1
        self._send()

    def poke(self) -> None:
        self.poked += 1
        self._ask()

    def hosts(self) -> tuple[str, ...]:
        return self.addresses

    def interfaces(self) -> tuple[str, ...]:
        return ("memory0",)

    async def open_window(self, slot: str, name: str, port: int, over: str = "") -> None:
        endpoints = tuple(Endpoint(host, port) for host in self.addresses)
        self._windows = {slot: PairingWindow(slot=slot, name=name, endpoints=endpoints, over=over)}
        opened, self.lan.opened = self.lan.opened, asyncio.Event()
        opened.set()

    async def close_window(self) -> None:
        self._windows = {}

    async def find_windows(self, slot: str, seconds: float) -> list[PairingWindow]:
        async with asyncio.TaskGroup() as group:
            timer = group.create_task(self._timer(seconds), name="lan.windows-timer")
            try:
                while not (found := self._open_windows(slot)) and not timer.done():
                    waiter = group.create_task(self.lan.opened.wait(), name="lan.windows-wait")
                    await asyncio.wait([timer, waiter], return_when=asyncio.FIRST_COMPLETED)
                    waiter.cancel()
            finally:
                timer.cancel()
        return found

    async def _timer(self, seconds: float) -> None:
        await self.lan.clock.sleep(seconds)

    def receive(self, sighting: Sighting) -> None:
        """A packet arrives."""
        if self._heard is None or not self.plugged:
            return
        own = self.record
        if isinstance(sighting, Heard) and own is not None and sighting.record.device == own.device:
            sighting = Echoed(sighting)
        self._heard(sighting)

    def _others(self) -> list[MemoryDiscovery]:
        return [member for member in self.lan.members if member is not self]

    def _open_windows(self, slot: str) -> list[PairingWindow]:
        if not self.plugged:
            return []
        return [other._windows[slot] for other in self._others() if other.plugged and slot in other._windows]

    def _send(self) -> None:
        if self.running and self.plugged and self.record is not None:
            self.lan.deliver(self.heard, self._others())

    def _ask(self) -> None:
        if self.running and self.plugged:
            for other in self._others():
                if other.running and other.plugged and other.record is not None:
                    self.receive(other.heard)
