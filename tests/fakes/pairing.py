"""Pairing windows that are found and reached in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from agent.errors import PairingFailed, PeerUnreachable, TurnedAway
from agent.ports import PairingExchange, PairingWindow, Sighting
from agent.protocol.model import Endpoint, PairedDevice

Answer = Callable[[PairingExchange], Awaitable[None]]
ACCEPTED, REFUSED, BROKEN = b"accepted", b"refused", b"broken"


class MemoryExchange:
    """`ports.PairingExchange`: one end of two queues."""

    def __init__(self, certificate: bytes, host: str, out: asyncio.Queue[bytes], back: asyncio.Queue[bytes]) -> None:
        self.certificate, self.host = certificate, host
        self._out, self._back = out, back

    async def send(self, frame: bytes) -> None:
        self._out.put_nowait(frame)

    async def receive(self) -> bytes:
        frame = await self._back.get()
        if frame == REFUSED:
            raise TurnedAway
        if frame == BROKEN:
            raise PairingFailed("the other device hung up")
        return frame

    async def end(self, *, accepted: bool) -> None:
        await self.send(ACCEPTED if accepted else REFUSED)

    async def accepted(self) -> None:
        if await self.receive() != ACCEPTED:
            raise PairingFailed("the other device did not confirm")


class PairingNet:
    """What the devices of one test share: open windows, and what is announced."""

    def __init__(self) -> None:
        self.listening: dict[int, tuple[bytes, Answer, asyncio.TaskGroup]] = {}
        self.announced: dict[str, PairingWindow] = {}  # by host
        self.connects = 0


class MemoryPairing:
    """`ports.PairingTransport` of one device at one address."""

    def __init__(self, net: PairingNet, certificate: bytes, host: str) -> None:
        self._net, self._certificate, self._host = net, certificate, host
        self.broken: Exception | None = None  # raised instead of listening

    async def serve(self, opened: Callable[[int], None], answer: Answer) -> None:
        if self.broken is not None:
            raise self.broken
        port = 40_000 + len(self._net.listening)
        try:
            async with asyncio.TaskGroup() as group:
                self._net.listening[port] = (self._certificate, answer, group)
                opened(port)
                await asyncio.Event().wait()
        finally:
            del self._net.listening[port]

    @asynccontextmanager
    async def connect(self, endpoints: Sequence[Endpoint]) -> AsyncIterator[PairingExchange]:
        self._net.connects += 1
        found = next((self._net.listening[each.port] for each in endpoints if each.port in self._net.listening), None)
        if found is None:
            raise PeerUnreachable("no pairing window answers")
        certificate, answer, group = found
        there: asyncio.Queue[bytes] = asyncio.Queue()
        here: asyncio.Queue[bytes] = asyncio.Queue()
        group.create_task(self._run(answer, MemoryExchange(certificate, self._host, here, there)), name="fake.pairing")
        try:
            yield MemoryExchange(certificate, endpoints[0].host, there, here)
        finally:
            there.put_nowait(BROKEN)

    @staticmethod
    async def _run(answer: Answer, exchange: PairingExchange) -> None:
        try:
            await answer(exchange)
        finally:
            await exchange.send(BROKEN)


class NoHousehold:
    """`trust.pairing.Membership` of devices that are paired and nothing more."""

    def check(self, theirs: bytes) -> None: ...

    def paired(self, device: PairedDevice, theirs: bytes, *, hosting: bool) -> None: ...


class WindowDiscovery:
    """`ports.Discovery` that knows of pairing windows alone."""

    def __init__(self, net: PairingNet, host: str) -> None:
        self._net, self._host = net, host
        self.broken: Exception | None = None

    async def run(self, heard: Callable[[Sighting], None]) -> None:
        await asyncio.Event().wait()

    def publish(self, strings: Sequence[bytes]) -> None: ...

    def announce_again(self) -> None: ...

    def poke(self) -> None: ...

    def instance(self) -> str:
        return f"{self._host}._lan-agent._tcp.local."

    def hosts(self) -> tuple[str, ...]:
        return (self._host,)

    def interfaces(self) -> tuple[str, ...]:
        return ("lo",)

    async def open_window(self, slot: str, name: str, port: int, over: str = "") -> None:
        if self.broken is not None:
            raise self.broken
        endpoints = (Endpoint(self._host, port),)
        self._net.announced[self._host] = PairingWindow(slot=slot, name=name, endpoints=endpoints, over=over)

    async def close_window(self) -> None:
        self._net.announced.pop(self._host, None)

    async def find_windows(self, slot: str, seconds: float) -> list[PairingWindow]:
        return [window for window in self._net.announced.values() if window.slot == slot]
