"""Several gateways in one process: everything real but the network, the disk and the clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any

from msgspec import structs

from agent.adapters.net.link import WebSocketChannel
from agent.adapters.storage.memory import MemoryTranscripts
from agent.errors import PeerUnreachable, Refused
from agent.gateway.backends import BackendMethods
from agent.gateway.consent import Consent
from agent.gateway.lists import Lists
from agent.gateway.methods import Handler, Methods
from agent.gateway.trust import TrustMethods
from agent.links.peers import Peers
from agent.links.proxy import Proxy
from agent.links.twins import Twins
from agent.ports import Installed, TranscriptStore
from agent.presence.rules.registry import Registry
from agent.presence.service import Presence
from agent.protocol.messages import Ready, StatusReport
from agent.protocol.model import DeviceId, DeviceRef, Endpoint, PairedDevice, Sender
from agent.sessions.catalog import Backends
from agent.sessions.host import Sessions
from agent.trust.access import AccessControl
from agent.trust.audit import Audit
from agent.trust.household import Household
from tests.fakes.audit import MemoryAudit
from tests.fakes.clock import FakeClock, settle
from tests.fakes.echo import EchoBackend
from tests.fakes.keys import MemoryKeys
from tests.fakes.terminal import FakeTerminalBackend
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
        """Link two devices, whatever their keepers do; the caller's end, which sends no more while `stalled`.

        With `mute` the callee says nothing at all until the `stalled` of its end is set.
        """
        near, far = pair()
        if mute:
            far.stalled.clear()
        mine = channel(near, self.clock, device=callee.id, pings=True)
        theirs = channel(far, self.clock, device=caller.id, pings=True)
        self._open.setdefault(frozenset((caller.id, callee.id)), []).append((caller.id, near, mine))
        keeper = caller.peers._keepers[callee.id]
        self.group.create_task(callee.accept(theirs), name="net.accept")
        self.group.create_task(keeper.serve(mine, "host", Endpoint(f"host-{callee.name}", 1000)), name="net.join")
        if stalled:
            while keeper.link is None:
                await settle(1)
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


class Device:
    """One gateway."""

    def __init__(
        self,
        net: Net,
        name: str,
        store: TranscriptStore | None = None,
        *,
        on_demand: bool = False,
        limit: int = 32,
        device: DeviceId | None = None,
        paired: dict[DeviceId, PairedDevice] | None = None,
        trust: MemoryTrust | None = None,
        household: Household | None = None,
    ) -> None:
        self.net, self.name, self.id = net, name, device or DeviceId(f"{name:a<16}")
        self.store = store or MemoryTranscripts()
        self.up = False
        self.parts: list[asyncio.Task[None]] = []
        self.paired: dict[DeviceId, PairedDevice] = {} if paired is None else paired
        self.trust = trust or MemoryTrust(self.paired)
        self.household = household or Household(
            identity=identity(1),
            name=name,
            trust=self.trust,
            store=MemoryHousehold(),
            clock=net.clock,
            changed=lambda: self.trust_changed(),  # noqa: PLW0108 - made further down
            keys_changed=lambda: None,
        )
        self.echo = EchoBackend(net.clock)
        self.screens = FakeTerminalBackend()
        self.registry = Registry(self.id, name=name, version="1")
        self.presence = Presence(
            self.registry,
            None,
            net.clock,
            name=name,
            port=1000,
            previous_revision=0,
            save_revision=lambda revision: None,
            jitter=lambda: 0.5,
            identity=identity(1),
            keys=MemoryKeys(),
            entropy=bytes,
        )
        self.host = ""  # where the others see it
        self.conditions: dict[str, str] = {}
        self.twins = Twins(net.clock, problem=self.conditions.__setitem__)
        self.peers = Peers(
            own=Ready(device=self.id, name=name, version="1", port=1000, run=f"run-{next(net.runs)}"),
            paired=lambda: self.access.devices(),  # noqa: PLW0108 - made further down
            dialer=self,
            news=self.presence,
            clock=net.clock,
            jitter=lambda: 1.0,
            limit=limit,
            on_demand=on_demand,
            twins=self.twins,
        )
        self.proxy = Proxy(self.peers, clock=net.clock, name_of=self.name_of, row_of=self.registry.session)
        self.sessions = Sessions(
            own=DeviceRef(self.id, name),
            store=self.store,
            clock=net.clock,
            backends={"echo": self.echo, "terminal": self.screens},
            default_backend="echo",
            name_of=self.name_of,
            changed=self.presence.local_sessions,
            noted=lambda *what: self.access.noted(*what),  # noqa: PLW0108 - made further down
            trusts=lambda device: device == self.id or device in self.paired,
            new_id=lambda: f"{name[:4]:a<4}{str(next(net.ids)).translate(IN_LETTERS):a>12}",
        )
        self.log = MemoryAudit()
        self.notices: list[str] = []
        self.problems: list[str] = []
        self.audit = Audit(self.log, net.clock, self.name_of, self.problems.append)
        self.access = AccessControl(
            trust=self.trust,
            sessions=self.sessions,
            clock=net.clock,
            audit=self.audit,
            notice=self.notices.append,
            expired=self.trust_changed,
        )
        self.kinds = [Installed(name="echo", entry="echo", type=self.echo)]
        looks = Backends(self.kinds, default="echo", clock=net.clock)
        kinds = BackendMethods(self.id, self.registry, self.peers, looks)
        consent = Consent(
            registry=self.registry,
            sessions=self.sessions,
            limit=lambda device, read_only: self.limit_device(device, read_only=read_only),
            audit=self.audit,
            owner=Sender(device=self.id, name=name),
        )
        self.methods = Methods(
            own=self.id,
            name_of=self.name_of,
            registry=self.registry,
            lists=Lists(self.registry, self.presence, self.access),
            access=self.access,
            consent=consent,
            sessions=self.sessions,
            peers=self.peers,
            proxy=self.proxy,
            clock=net.clock,
            trust=TrustMethods.__new__(TrustMethods),  # pairing has tests of its own
            more={**self.gossip_methods(), "backend.list": kinds.list},
            status=_no_status,
        )
        self.peers.handler = self.methods
        self.peers.link_changed = self.proxy.link_changed
        self.peers.announced = self.registry.announced
        self.peers.protected = lambda device: (
            self.proxy.protected(device) or self.sessions.attachments.protects(device, self.sessions.directory.rows)
        )

    def gossip_methods(self) -> Mapping[str, Handler]:
        """`household.*`; these devices are paired by hand (`tests.fakes.households` has others)."""
        return {}

    def name_of(self, device: DeviceId) -> str:
        row = self.registry.device(device)
        return row.name if row else str(device)

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

    def limit_device(self, device: DeviceId, *, read_only: bool) -> list[PairedDevice]:
        """`device.limit`."""
        return self.household.limit(device, read_only=read_only)

    def unpair(self, other: Device) -> None:
        del self.paired[other.id]
        self.trust_changed()

    def trust_changed(self) -> None:
        self.access.trust_changed()
        self.presence.paired(self.access.devices())
        self.peers.trust_changed()
        if self.up:
            self.sessions.trust_changed()

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
        async with connected(self.methods, self.net.clock) as viewer:
            yield viewer

    def stop(self) -> None:
        """End its parts, all in one step, as the daemon does."""
        for part in self.parts:
            part.cancel()

    @property
    def stopped_well(self) -> bool:
        return all(part.cancelled() for part in self.parts)

    async def run(self, ready: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            self.parts = [group.create_task(self.sessions.run(ready.set), name=f"{self.name}.sessions")]
            await ready.wait()
            self.parts += [
                group.create_task(self.presence.run(), name=f"{self.name}.presence"),
                group.create_task(self.proxy.run(), name=f"{self.name}.proxy"),
                group.create_task(self.access.run(), name=f"{self.name}.access"),
                group.create_task(self.audit.run(), name=f"{self.name}.audit"),
                group.create_task(self.twins.run(), name=f"{self.name}.twins"),
            ]
            self.up = True
            try:
                self.parts.append(group.create_task(self.peers.run(), name=f"{self.name}.peers"))
                await asyncio.Event().wait()
            finally:
                self.up = False


def _no_status() -> StatusReport:
    raise AssertionError("not asked for here")


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
