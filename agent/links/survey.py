"""One question to several devices at once: those that answer in time, and the others with the reason why not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Generic

from msgspec import Struct

from agent.errors import AgentError, MethodNotFound, PeerUnreachable
from agent.links.peers import Peers
from agent.links.rules.peer_results import read_result
from agent.ports import Clock
from agent.presence.rules.registry import Registry
from agent.protocol.methods import Method, P, R
from agent.protocol.model import DeviceId, DeviceRef
from agent.protocol.transcripts import DeviceUnreached
from agent.protocol.waiting import out_of_reach
from agent.tasks import child

REACH, ANSWER = 3.0, 5.0
"""Seconds to reach a device, and for its answer: a person waits for the slowest."""


class Answer(Struct, Generic[R], frozen=True):
    """The answer of one device."""

    device: DeviceRef  # under its name here
    result: R


class Failure(Struct, frozen=True):
    """Why a device gave no answer, or which error it answered."""

    device: DeviceRef
    error: AgentError


class Answers(Struct, Generic[R], frozen=True):
    """The answers of those that gave one, and what came of the others."""

    given: Sequence[Answer[R]]
    failed: Sequence[Failure] = ()

    @property
    def unreached(self) -> tuple[DeviceUnreached, ...]:
        """The devices that gave none, by name, each with a reason for a person."""
        failed = sorted(self.failed, key=lambda each: each.device.name.casefold())
        return tuple(DeviceUnreached(each.device, str(each.error)) for each in failed)


class Survey:
    """Asks other devices. Only a client of this one may cause it: one hop, no loops (L7)."""

    def __init__(self, registry: Registry, peers: Peers, clock: Clock) -> None:
        self._registry = registry
        self._peers = peers
        self._clock = clock

    def devices(self) -> list[DeviceId]:
        """Ids of all devices whose sessions are shown here."""
        return [row.id for row in self._registry.devices() if self._registry.takes_sessions(row.id)]

    async def ask(self, devices: Iterable[DeviceId], method: Method[P, R], params: P) -> Answers[R]:
        """Ask all of them side by side. One that is known to be away is not waited for."""
        given: list[Answer[R]] = []
        failed: list[Failure] = []

        async def ask(device: DeviceId) -> None:
            ref = DeviceRef(device, self._registry.name_of(device))
            try:
                given.append(Answer(ref, await self._ask(device, method, params)))
            except MethodNotFound:
                error = MethodNotFound(f"the lan-agent of {ref.name} is too old for this", hint="update it there")
                failed.append(Failure(ref, error))
            except AgentError as exc:
                failed.append(Failure(ref, exc))

        async with asyncio.TaskGroup() as group:
            for device in devices:
                child(group, ask(device), f"links.ask-{device}")
        return Answers(given, failed)

    async def _ask(self, device: DeviceId, method: Method[P, R], params: P) -> R:
        row, name = self._registry.device(device), self._registry.name_of(device)
        if row is not None and row.state == "offline":
            raise PeerUnreachable(out_of_reach(name, row, self._clock.time()))
        link = await self._peers.link(device, REACH)
        return read_result(await link.request(method, lambda: params, seconds=ANSWER), method, name)
