"""Members of a household whose gateways answer at their addresses only (L10)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from agent.adapters.net.link import WebSocketChannel
from agent.errors import PeerUnreachable, StateError
from agent.gateway.methods import Handler
from agent.links.addresses import Addresses
from agent.ports import Channel
from agent.protocol.addresses import SyncAddresses, TellAddresses
from agent.protocol.household import Signed
from agent.protocol.model import DeviceId, Endpoint, PairedDevice
from tests.fakes.clock import settle
from tests.fakes.gateways import Net, started
from tests.fakes.households import Member
from tests.fakes.trust import identity

PORT = 1000


class MemoryAddresses:
    """`ports.AddressStore`; `full` makes every write fail."""

    def __init__(self) -> None:
        self.records: list[Signed] = []
        self.full = False

    def load(self) -> list[Signed]:
        return list(self.records)

    def save(self, records: Sequence[Signed]) -> None:
        if self.full:
            raise StateError("cannot write addresses: No space left on device")
        self.records = list(records)


class SetAddresses:
    """`ports.OwnAddresses` as a test sets them."""

    local_only = False

    def __init__(self, *hosts: str) -> None:
        self.now = hosts
        self._seen = hosts

    async def look(self) -> None:
        self._seen = self.now

    def hosts(self) -> tuple[str, ...]:
        return self._seen

    def on_link(self, host: str) -> bool:
        return host.split(".")[:3] in [own.split(".")[:3] for own in self._seen]

    def is_foreign(self, host: str) -> bool:
        return host not in self._seen


class Resident(Member):
    """A member that tells its addresses, and can be dialled only at the first of them. No multicast reaches it."""

    def __init__(self, net: Net, name: str, number: int, *, host: str, remembers: MemoryAddresses) -> None:
        self.own = SetAddresses(host)
        self.remembers = remembers
        self.tried: list[Endpoint] = []
        self.waits = 0.0  # seconds for which it dials addresses where nobody answers
        self.heard: list[DeviceId] = []  # who told it addresses, in order
        super().__init__(net, name, number)
        self.addresses = self.make_addresses()

    def make_addresses(self) -> Addresses:
        return Addresses(
            identity=self.identity,
            port=PORT,
            own=self.own,
            paired=lambda: self.access.devices(),  # noqa: PLW0108 - as the daemon does
            peers=self.peers,
            store=self.remembers,
            clock=self.net.clock,
            told=self.presence.told,
        )

    def gossip_methods(self) -> Mapping[str, Handler]:
        async def sync(channel: Channel, asked: SyncAddresses) -> object:
            return await self.addresses.sync(channel, asked)

        async def tell(channel: Channel, news: TellAddresses) -> object:
            assert channel.device is not None
            self.heard.append(channel.device)
            return await self.addresses.tell(channel, news)

        return {**super().gossip_methods(), "address.sync": sync, "address.tell": tell}

    def _link_changed(self, device: DeviceId, up: bool) -> None:
        super()._link_changed(device, up)
        if up:
            self.addresses.link_up(device)

    def trust_changed(self) -> None:
        self.access.trust_changed()
        self.presence.paired(self.access.devices())
        self.peers.trust_changed()
        self.addresses.trust_changed()
        if self.up:
            self.sessions.trust_changed()

    async def dial(self, device: DeviceId, endpoints: Sequence[Endpoint]) -> tuple[WebSocketChannel, Endpoint]:
        self.tried += endpoints
        callee = self.net.gateways[device]
        assert isinstance(callee, Resident)
        for endpoint in endpoints:
            if endpoint.host == callee.own.now[0]:
                return await self.net.dial(self, device), endpoint
        await self.net.clock.sleep(self.waits)
        raise PeerUnreachable(f"no answer at {len(endpoints)} addresses")

    async def accept(self, theirs: WebSocketChannel, host: str = "") -> None:
        await self.peers.accept(theirs, host)

    async def run(self, ready: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(super().run(ready), name=f"{self.name}.member")
            await ready.wait()
            group.create_task(self.addresses.run(), name=f"{self.name}.addresses")
            await running

    def as_paired(self) -> PairedDevice:
        return PairedDevice(
            id=self.id, name=self.name, certificate=self.identity.certificate, paired_at=1.0, endpoints=()
        )

    def knows(self, other: Resident) -> list[str]:
        """Where it would dial the other one."""
        return [endpoint.host for endpoint in self.registry.endpoints(other.id)]

    def linked_to(self, other: Resident) -> bool:
        return other.id in self.peers.linked()


def make_residents(net: Net, **hosts: str) -> list[Resident]:
    """Residents by name, at these addresses; their ids are in the order of their names."""
    numbers = sorted(range(1, len(hosts) + 1), key=lambda number: identity(number).id)
    return [
        Resident(net, name, number, host=host, remembers=MemoryAddresses())
        for (name, host), number in zip(hosts.items(), numbers, strict=True)
    ]


@asynccontextmanager
async def residents(**hosts: str) -> AsyncIterator[tuple[Net, list[Resident]]]:
    """Residents that run; nobody is paired with anybody."""
    net = Net()
    made = make_residents(net, **hosts)
    async with started(net, made):
        await settle()
        yield net, made


def meet(one: Resident, other: Resident) -> None:
    """Each learns an address of the other, as from a packet."""
    for here, there in ((one, other), (other, one)):
        here.presence.told(there.id, (Endpoint(there.own.now[0], PORT),))
        here.peers.heard(there.id)
