"""Probing addresses: of peers from the settings that multicast does not reach, and of silent devices (R10).

A probe fetches a certificate without telling who asks; the certificate names the device, and nothing else counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from agent.ports import Clock, Dialer
from agent.protocol.identity import device_id
from agent.protocol.model import DeviceId, Endpoint, PresenceRecord
from agent.tasks import Alarm, keep, spawn

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0
"""Seconds between looks for devices that should be probed."""
AGAIN = 60.0
"""Seconds after which a static peer that answered is probed again: half of what makes it stale."""
AT_ONCE = 8
"""Devices that are probed at a time."""

Resolve = Callable[[str, int], Awaitable[list[Endpoint]]]


class ProbeResults(Protocol):
    """Takes what probes find: the presence service."""

    def heard_static(self, record: PresenceRecord) -> None:
        """Take the record of a device that answered at an address from the settings."""

    def answered(self, device: DeviceId) -> None:
        """Record that a silent device answered its probe."""

    def dial_failed(self, device: DeviceId, reason: str) -> None:
        """Record that the device did not answer at any address."""

    def to_probe(self) -> list[DeviceId]:
        """Devices of which a probe would tell whether they are there."""

    def endpoints(self, device: DeviceId) -> list[Endpoint]:
        """Endpoints at which to probe a device, best first."""


class Prober:
    """Probes static peers and silent devices. `run` until cancelled."""

    def __init__(
        self,
        *,
        own: DeviceId,
        static: Sequence[tuple[str, int]],
        resolve: Resolve,
        delay: Callable[[int], float],
        dialer: Dialer,
        results: ProbeResults,
        kept: Callable[[DeviceId], bool],
        clock: Clock,
    ) -> None:
        self._own = own
        self._static = static
        self._resolve = resolve
        self._delay = delay
        self._dialer = dialer
        self._results = results
        self._kept = kept
        self._clock = clock
        self._look = Alarm(clock)

    def look(self) -> None:
        """Probe at once every device that should be probed."""
        self._look.ring()

    async def run(self) -> None:
        """Probe static peers and silent devices until cancelled."""
        async with asyncio.TaskGroup() as group:
            for host, port in self._static:
                spawn(
                    group, keep(partial(self._follow, host, port), "probe.static", self._clock), f"probe.static-{host}"
                )
            spawn(group, keep(self._silent, "probe.silent", self._clock), "probe.silent")

    async def _follow(self, host: str, port: int) -> None:
        failures = 0
        while True:
            found = False
            for endpoint in await self._resolve(host, port):
                found = await self._learn(endpoint) or found
            failures = 0 if found else failures + 1
            await self._clock.sleep(AGAIN if found else self._delay(failures))

    async def _learn(self, endpoint: Endpoint) -> bool:
        certificate = await self._dialer.identify(endpoint)
        if certificate is None:
            return False
        device = device_id(certificate)
        if device != self._own:
            # Revision 0: an address says nothing of sessions, and never overrules what the device itself announces.
            record = PresenceRecord(device=device, revision=0, name="", port=endpoint.port, hosts=(endpoint.host,))
            self._results.heard_static(record)
        return True

    async def _silent(self) -> None:
        while True:
            await self._look.wait(LOOK_EVERY)
            silent = [device for device in self._results.to_probe() if not self._kept(device)][:AT_ONCE]
            async with asyncio.TaskGroup() as group:
                for device in silent:
                    spawn(group, self._probe(device), f"probe.device-{device}")

    async def _probe(self, device: DeviceId) -> None:
        for endpoint in self._results.endpoints(device)[:4]:
            certificate = await self._dialer.identify(endpoint)
            if certificate is not None and device_id(certificate) == device:
                self._results.answered(device)
                return
        self._results.dial_failed(device, "does not answer")
