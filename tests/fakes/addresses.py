"""Members of a household whose gateways answer at their addresses only (L10)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from agent.adapters.net.link import WebSocketChannel
from agent.errors import PeerUnreachable
from agent.gateway.routes import Caller, Route, Routes
from agent.protocol.addresses import SyncAddresses, TellAddresses, ToldAddresses
from agent.protocol.messages import Nothing
from agent.protocol.methods import ADDRESS_SYNC, ADDRESS_TELL
from agent.protocol.model import DeviceId, Endpoint, PairedDevice
from tests.fakes.address_book import MemoryAddresses, SetAddresses
from tests.fakes.clock import settle
from tests.fakes.gateways import Net, started
from tests.fakes.households import Member
from tests.fakes.trust import identity

PORT = 1000


class Resident(Member):
    """A member that tells its addresses, and can be dialled only at the first of them. No multicast reaches it."""

    def __init__(self, net: Net, name: str, number: int, *, host: str, remembers: MemoryAddresses) -> None:
        self.here = SetAddresses(host)
        self.remembers = remembers
        self.tried: list[Endpoint] = []
        self.waits = 0.0  # seconds for which it dials addresses where nobody answers
        self.heard: list[DeviceId] = []  # who told it addresses, in order
        super().__init__(net, name, number, own_addresses=self.here, addresses=remembers)

    def more_routes(self) -> Sequence[Routes]:
        async def sync(request: SyncAddresses, caller: Caller) -> ToldAddresses:
            return await self.addresses.sync(caller.device, request)

        async def tell(request: TellAddresses, caller: Caller) -> Nothing:
            self.heard.append(caller.device)
            return await self.addresses.tell(caller.device, request)

        return *super().more_routes(), (Route(ADDRESS_SYNC, sync), Route(ADDRESS_TELL, tell))

    def meet(self, devices: Sequence[PairedDevice]) -> None:
        """Nobody was heard before."""

    async def dial(self, device: DeviceId, endpoints: Sequence[Endpoint]) -> tuple[WebSocketChannel, Endpoint]:
        self.tried += endpoints
        callee = self.net.gateways[device]
        assert isinstance(callee, Resident)
        for endpoint in endpoints:
            if endpoint.host == callee.here.now[0]:
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


def make_residents(net: Net, former: Mapping[str, Resident] | None = None, /, **hosts: str) -> list[Resident]:
    """Residents by name, at these addresses; their ids are in the order of their names.

    They remember the addresses that the `former` ones of their names did.
    """
    remembers = {name: before.remembers for name, before in (former or {}).items()}
    numbers = sorted(range(1, len(hosts) + 1), key=lambda number: identity(number).id)
    return [
        Resident(net, name, number, host=host, remembers=remembers.get(name) or MemoryAddresses())
        for (name, host), number in zip(hosts.items(), numbers, strict=True)
    ]


@asynccontextmanager
async def residents(**hosts: str) -> AsyncIterator[tuple[Net, list[Resident]]]:
    """Residents that run; nobody is paired with anybody."""
    net = Net()
    made = make_residents(net, None, **hosts)
    async with started(net, made):
        await settle()
        yield net, made


def meet(one: Resident, other: Resident) -> None:
    """Each learns an address of the other, as from a packet."""
    for here, there in ((one, other), (other, one)):
        here.presence.advertised(there.id, (Endpoint(there.here.now[0], PORT),))
        here.peers.heard(there.id)
