"""Gateways with keys of their own that form a household over links in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count

from agent.gateway.methods import Handler
from agent.ports import Channel
from agent.protocol.identity import fingerprint
from agent.protocol.messages import HouseholdNews, HouseholdSync
from agent.protocol.model import DeviceId, Endpoint, PairedDevice, PresenceRecord
from agent.trust.gossip import Gossip
from agent.trust.household import Household
from tests.fakes.clock import settle
from tests.fakes.gateways import Device, Net, started
from tests.fakes.trust import MemoryHousehold, MemoryTrust, identity


class Member(Device):
    """One gateway with a household. `number` gives its key."""

    def __init__(self, net: Net, name: str, number: int, *, on_demand: bool = False) -> None:
        self.identity = identity(number)
        self.kept = MemoryHousehold()
        self.key_changes = 0
        entropy = count(number * 1000)
        paired: dict[DeviceId, PairedDevice] = {}
        trust = MemoryTrust(paired)
        household = Household(
            identity=self.identity,
            name=name,
            trust=trust,
            store=self.kept,
            clock=net.clock,
            changed=lambda: self.trust_changed(),  # noqa: PLW0108 - made further down
            keys_changed=self._keys_changed,
            entropy=lambda size: next(entropy).to_bytes(size),
        )
        super().__init__(
            net, name, device=self.identity.id, on_demand=on_demand, paired=paired, trust=trust, household=household
        )
        self.gossip = Gossip(own=self.id, household=household, trust=trust, peers=self.peers, clock=net.clock)
        self.peers.link_changed = self._link_changed

    def gossip_methods(self) -> Mapping[str, Handler]:
        return {"household.sync": self._sync, "household.tell": self._tell}

    async def _sync(self, channel: Channel, asked: HouseholdSync) -> object:
        return await self.gossip.sync(channel, asked)

    async def _tell(self, channel: Channel, news: HouseholdNews) -> object:
        return await self.gossip.tell(channel, news)

    def limit_device(self, device: DeviceId, *, read_only: bool) -> list[PairedDevice]:
        return self.gossip.limit(device, read_only=read_only)

    def _keys_changed(self) -> None:
        self.key_changes += 1

    def _link_changed(self, device: DeviceId, up: bool) -> None:
        self.proxy.link_changed(device, up)
        if up:
            self.gossip.link_up(device)

    def trust_changed(self) -> None:
        super().trust_changed()
        for device in self.paired:  # whom multicast would have told of long ago
            if not self.registry.endpoints(device):
                record = PresenceRecord(device=device, revision=0, name="", port=1000, hosts=("10.0.0.9",))
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
