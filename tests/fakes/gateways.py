"""Several gateways in one process: everything real but the network, the disk and the clock."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any

from msgspec import structs

from agent.adapters.net.link import WebSocketChannel
from agent.assembly import Assembly, Outside
from agent.errors import PeerUnreachable, Refused
from agent.gateway.router import Router
from agent.gateway.routes import Routes
from agent.ports import AddressStore, Installed, OwnAddresses, TranscriptStore
from agent.problems import Problems
from agent.protocol.identity import Identity
from agent.protocol.messages import Ready
from agent.protocol.model import DeviceId, Endpoint, PairedDevice
from agent.sessions.catalog import BackendCatalog
from agent.settings import LinkSettings, SessionSettings, Settings
from agent.trust.devices import TrustedDevices
from tests.fakes.address_book import MemoryAddresses, SetAddresses
from tests.fakes.audit import MemoryAudit
from tests.fakes.clock import FakeClock, settle, turns
from tests.fakes.echo import EchoBackend
from tests.fakes.terminal import FakeTerminalBackend
from tests.fakes.transcripts import MemoryTranscripts
from tests.fakes.trust import MemoryHousehold, MemoryTrust, identity
from tests.fakes.viewer import Viewer, connected
from tests.fakes.websocket import MemoryWebSocket, channel, pair

log = logging.getLogger(__name__)

IN_LETTERS = str.maketrans("0123456789", "abcdefghij")
"""Digits as characters that an id may have."""


class Net:
    """Cables between gateways. `cut` breaks what is open and refuses what is dialled; `mute` only swallows."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.gateways: dict[DeviceId, Device] = {}
        self.ids, self.runs = count(1), count(1)
        self._cut: set[frozenset[DeviceId]] = set()
        self._open: dict[frozenset[DeviceId], list[tuple[DeviceId, MemoryWebSocket, WebSocketChannel]]] = {}
        self.dials: list[tuple[DeviceId, DeviceId]] = []
        self.group: asyncio.TaskGroup

    def cut(self, one: Device, other: Device) -> None:
        cable = frozenset((one.id, other.id))
        self._cut.add(cable)
        for _, _, link in self._open.pop(cable, []):
            link.abort()

    def heal(self, one: Device, other: Device) -> None:
        self._cut.discard(frozenset((one.id, other.id)))

    def sockets(self, one: Device, other: Device) -> list[MemoryWebSocket]:
        """The end at `one` of every connection there was."""
        opened = self._open.get(frozenset((one.id, other.id)), [])
        return [socket if caller == one.id else socket.other for caller, socket, _ in opened]

    async def join(
        self, caller: Device, callee: Device, *, stalled: bool = False, mute: bool = False
    ) -> MemoryWebSocket:
        """Link two devices, whatever their supervisors do; the caller's end, which sends no more while `stalled`.

        With `mute` the callee says nothing at all until the `stalled` of its end is set.
        """
        near, far = pair()
        if mute:
            far.stalled.clear()
        mine = channel(near, self.clock, device=callee.id, pings=True)
        theirs = channel(far, self.clock, device=caller.id, pings=True)
        self._open.setdefault(frozenset((caller.id, callee.id)), []).append((caller.id, near, mine))
        supervisor = caller.peers._supervisors[callee.id]
        self.group.create_task(callee.accept(theirs), name="net.accept")
        self.group.create_task(supervisor.serve(mine, "host", Endpoint(f"host-{callee.name}", 1000)), name="net.join")
        if stalled:
            while supervisor.link is None:
                await turns(1)
            near.stalled.clear()
        return near

    async def dial(self, caller: Device, device: DeviceId) -> WebSocketChannel:
        self.dials.append((caller.id, device))
        cable = frozenset((caller.id, device))
        callee = self.gateways.get(device)
        if callee is None or cable in self._cut or not callee.up:
            raise PeerUnreachable("no answer")
        if caller.id not in callee.paired:
            raise Refused
        near, far = pair()
        mine = channel(near, self.clock, device=device, pings=True)
        theirs = channel(far, self.clock, device=caller.id, pings=True)
        self._open.setdefault(cable, []).append((caller.id, near, mine))
        self.group.create_task(callee.accept(theirs, caller.host), name="net.accept")
        return mine


class Device(Assembly):
    """One gateway: the parts of the service, made as the daemon makes them."""

    def __init__(
        self,
        net: Net,
        name: str,
        store: TranscriptStore | None = None,
        *,
        on_demand: bool = False,
        limit: int = 32,
        device: DeviceId | None = None,
        key: Identity | None = None,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        own_addresses: OwnAddresses | None = None,
        addresses: AddressStore | None = None,
    ) -> None:
        self.net, self.name, self.id = net, name, device or DeviceId(f"{name:a<16}")
        self.store = store or MemoryTranscripts()
        self.up = False
        self.running: list[asyncio.Task[None]] = []
        self.paired: dict[DeviceId, PairedDevice] = {}
        self.trust = MemoryTrust(self.paired)
        self.kept = MemoryHousehold()
        self.echo = EchoBackend(net.clock)
        self.screens = FakeTerminalBackend()
        self.log = MemoryAudit()
        self.host = ""  # where the others see it
        super().__init__(
            own=Ready(device=self.id, name=name, version="1", port=1000, run=f"run-{next(net.runs)}"),
            identity=key or identity(1),
            settings=Settings(
                links=LinkSettings(max=limit, mode="on-demand" if on_demand else "always"),
                sessions=SessionSettings(backend="echo"),
            ),
            outside=Outside(
                clock=net.clock,
                discovery=None,
                dialer=self,
                own_addresses=own_addresses or SetAddresses(),
                transcripts=self.store,
                trust=self.trust,
                household=self.kept,
                addresses=addresses or MemoryAddresses(),
                audit=self.log,
                backends={"echo": self.echo, "terminal": self.screens},
                revision=0,
                save_revision=lambda revision: None,
                chance=lambda: 1.0,
                entropy=entropy,
                new_id=lambda: f"{name[:4]:a<4}{str(next(net.ids)).translate(IN_LETTERS):a>12}",
            ),
            trusted=TrustedDevices(self.trust, net.clock),
            problems=Problems(log.info, net.clock.time),
        )
        self.kinds = [Installed(name="echo", entry="echo", type=self.echo)]
        self.router = Router(
            registry=self.registry,
            presence=self.presence,
            sessions=self.sessions,
            backends=BackendCatalog(self.kinds, default="echo", clock=net.clock),
            peers=self.peers,
            proxy=self.proxy,
            access=self.access,
            gossip=self.gossip,
            audit=self.audit,
            clock=net.clock,
            more=self.more_routes(),
        )

    def more_routes(self) -> Sequence[Routes]:
        """`household.*`; these devices are paired by hand (`tests.fakes.households` has others)."""
        return ()

    @property
    def notices(self) -> list[str]:
        return list(self.problems.notices)

    def pair(self, other: Device) -> None:
        for one, two in ((self, other), (other, self)):
            one.paired[two.id] = PairedDevice(
                id=two.id,
                name=two.name,
                certificate=two.name.encode(),
                paired_at=1.0,
                endpoints=(Endpoint(f"host-{two.name}", 1000),),
            )
            one.trust_changed()

    def limit(self, other: Device, **terms: Any) -> None:
        """Change what is stored of a paired device: its role, and so on."""
        self.paired[other.id] = structs.replace(self.paired[other.id], **terms)
        self.trust_changed()

    def unpair(self, other: Device) -> None:
        del self.paired[other.id]
        self.trust_changed()

    def trust_changed(self) -> None:
        self.trusted.changed()

    async def accept(self, theirs: WebSocketChannel, host: str = "") -> None:
        try:
            await self.peers.accept(theirs, host)
        except* Exception:
            log.exception("a connection broke")  # as aiohttp does with a handler that raises

    async def dial(self, device: DeviceId, endpoints: Sequence[Endpoint]) -> tuple[WebSocketChannel, Endpoint]:
        return await self.net.dial(self, device), endpoints[0]

    async def identify(self, endpoint: Endpoint) -> bytes | None:
        return None

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Viewer]:
        """A client on this device's control socket."""
        async with connected(self.router, self.net.clock) as viewer:
            yield viewer

    def stop(self) -> None:
        """End its parts, all in one step, as the daemon does."""
        for part in self.running:
            part.cancel()

    @property
    def stopped_well(self) -> bool:
        return all(part.cancelled() for part in self.running)

    async def run(self, ready: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            self.running = [group.create_task(self.sessions.run(ready.set), name=f"{self.name}.sessions")]
            await ready.wait()
            parts = {
                "presence": self.presence.run(),
                "proxy": self.proxy.run(),
                "trusted": self.trusted.run(),
                "audit": self.audit.run(),
                "twins": self.twins.run(),
                "peers": self.peers.run(self.router, self.protected),
            }
            self.running += [group.create_task(run, name=f"{self.name}.{name}") for name, run in parts.items()]
            self.up = True
            try:
                await asyncio.Event().wait()
            finally:
                self.up = False


@asynccontextmanager
async def network(*names: str) -> AsyncIterator[tuple[Net, list[Device]]]:
    """Gateways that run, all paired with each other and linked."""
    net = Net()
    async with AsyncExitStack() as stack:
        devices = [Device(net, name) for name in names]
        await stack.enter_async_context(started(net, devices))
        for number, one in enumerate(devices):
            for other in devices[:number]:
                one.pair(other)
        await settle()
        yield net, devices


@asynccontextmanager
async def started(net: Net, devices: Sequence[Device]) -> AsyncIterator[None]:
    """Run gateways; on leaving, those that run end."""
    async with asyncio.TaskGroup() as group:
        net.group = group
        tasks = []
        for device in devices:
            net.gateways[device.id] = device
            ready = asyncio.Event()
            tasks.append(group.create_task(device.run(ready), name=f"{device.name}.run"))
            await ready.wait()
        await settle()
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
