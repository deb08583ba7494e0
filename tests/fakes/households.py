"""Gateways with keys of their own that form a household over links in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count

from agent.gateway.routes import Routes
from agent.gateway.trust import household_routes
from agent.ports import AddressStore, OwnAddresses
from agent.protocol.identity import fingerprint
from agent.protocol.model import Endpoint, PairedDevice, PresenceRecord
from tests.fakes.clock import settle
from tests.fakes.gateways import Device, Net, started
from tests.fakes.trust import identity


class Member(Device):
    """One gateway with a household. `number` gives its key."""

    def __init__(
        self,
        net: Net,
        name: str,
        number: int,
        *,
        on_demand: bool = False,
        own_addresses: OwnAddresses | None = None,
        addresses: AddressStore | None = None,
    ) -> None:
        self.identity = identity(number)
        self.key_changes = 0
        entropy = count(number * 1000)
        super().__init__(
            net,
            name,
            device=self.identity.id,
            on_demand=on_demand,
            key=self.identity,
            entropy=lambda size: next(entropy).to_bytes(size),
            own_addresses=own_addresses,
            addresses=addresses,
        )
        self.household.keys_changed.subscribe(self._keys_changed)
        self.trusted.changes.subscribe(self.meet)

    def more_routes(self) -> Sequence[Routes]:
        return (household_routes(self.gossip),)

    def _keys_changed(self) -> None:
        self.key_changes += 1

    def meet(self, devices: Sequence[PairedDevice]) -> None:
        """Hear of those whom multicast would have told of long ago."""
        for device in devices:
            if not self.registry.endpoints(device.id):
                record = PresenceRecord(device=device.id, revision=0, name="", port=1000, hosts=("10.0.0.9",))
                self.presence.heard_static(record)

    async def run(self, ready: asyncio.Event) -> None:
        self.household.settle()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(super().run(ready), name=f"{self.name}.gateway")
            group.create_task(self.gossip.run(), name=f"{self.name}.gossip")
            await running

    def as_paired(self) -> PairedDevice:
        return PairedDevice(
            id=self.id,
            name=self.name,
            certificate=self.identity.certificate,
            paired_at=1.0,
            endpoints=(Endpoint("10.0.0.9", 1000),),
        )

    def trusts(self, other: Member) -> bool:
        return other.id in self.paired

    @property
    def mark(self) -> bytes:
        return fingerprint(self.identity.certificate)


def pair(host: Member, joiner: Member) -> None:
    """As after the five messages of pairing. Raises: PairingFailed."""
    told = host.household.id, joiner.household.id
    host.gossip.check(told[1])
    joiner.gossip.check(told[0])
    for one, other in ((host, joiner), (joiner, host)):
        one.paired[other.id] = other.as_paired()
        one.trust_changed()
    host.gossip.paired(joiner.as_paired(), told[1], hosting=True)
    joiner.gossip.paired(host.as_paired(), told[0], hosting=False)


@asynccontextmanager
async def street(*names: str, on_demand: Sequence[str] = ()) -> AsyncIterator[tuple[Net, list[Member]]]:
    """Gateways that run; nobody is paired with anybody. Their ids are in the order of their names."""
    net = Net()
    numbers = sorted(range(1, len(names) + 1), key=lambda number: identity(number).id)
    members = [
        Member(net, name, number, on_demand=name in on_demand) for name, number in zip(names, numbers, strict=True)
    ]
    async with started(net, members):
        await settle()
        yield net, members
