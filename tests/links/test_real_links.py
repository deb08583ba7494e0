"""Gateways in one process whose links are real: TLS, aiohttp and sockets on the loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from aiohttp import web

from agent.adapters.net.dial import TlsDialer
from agent.adapters.net.link import WebSocketChannel
from agent.adapters.net.tls import client_context, pairing_client_context
from agent.clock import SystemClock
from agent.protocol.codec import MSGPACK, msgpack
from agent.protocol.identity import Identity
from agent.protocol.model import DeviceId, Endpoint, PairedDevice
from tests.adapters.net.connections import device, listening
from tests.fakes.clock import FakeClock, turns
from tests.fakes.gateways import Device, Net, started
from tests.links.test_peers import attach, create, submit

ROUNDS = 24


class Wired(Device):
    """A gateway with a LAN port and a dialer."""

    def __init__(self, net: Net, name: str, identity: Identity) -> None:
        super().__init__(net, name, device=identity.id)
        self.identity = identity
        self.endpoint: Endpoint
        self.dialer = TlsDialer(context_for=self._context, probe_context=pairing_client_context, clock=net.clock)

    def _context(self, device: DeviceId) -> ssl.SSLContext | None:
        known = self.paired.get(device)
        return client_context(self.identity, known.certificate) if known else None

    async def dial(self, device: DeviceId, endpoints: Sequence[Endpoint]) -> tuple[WebSocketChannel, Endpoint]:
        self.net.dials.append((self.id, device))
        return await self.dialer.dial(device, endpoints)

    @asynccontextmanager
    async def listening(self, other: Wired) -> AsyncIterator[None]:
        """Take links of another device."""

        async def serve(request: web.Request) -> web.StreamResponse:
            ws = web.WebSocketResponse(protocols=(MSGPACK,), autoping=False, compress=False, timeout=1.0)
            await ws.prepare(request)
            cut = request.transport.abort if request.transport else None
            channel = WebSocketChannel(ws, msgpack, clock=self.net.clock, device=other.id, pings=True, cut=cut)
            await self.accept(channel)
            return ws

        app = web.Application()
        app.router.add_get("/v1/ws", serve)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        assert runner.server is not None
        try:
            async with listening(self.identity, runner.server) as listener:
                listener.trust([other.identity.certificate])
                self.endpoint = listener.endpoints[0]
                yield
        finally:
            await runner.cleanup()

    def knows(self, other: Wired) -> None:
        self.paired[other.id] = PairedDevice(
            id=other.id,
            name=other.name,
            certificate=other.identity.certificate,
            paired_at=1.0,
            endpoints=(other.endpoint,),
        )
        self.trust_changed()


async def until_linked(one: Wired, other: Wired) -> None:
    while one.peers.current(other.id) is None or other.peers.current(one.id) is None:
        await turns(1)


async def test_whoever_attaches_while_one_link_replaces_another_hears_everything(tmp_path: Path) -> None:  # L9
    net = Net()
    net.clock = cast("FakeClock", SystemClock())
    desk, laptop = Wired(net, "desk", device(tmp_path, 1)), Wired(net, "laptop", device(tmp_path, 2))
    async with desk.listening(laptop), laptop.listening(desk), started(net, [desk, laptop]):
        desk.knows(laptop)
        laptop.knows(desk)
        await until_linked(desk, laptop)
        session = await create(desk)
        while laptop.registry.session(session) is None:
            await turns(1)
        async with laptop.client() as staying, desk.client() as local, asyncio.timeout(60):
            await attach(staying, session)
            await attach(local, session)
            for number in range(1, ROUNDS + 1):
                channel, endpoint = await laptop.dial(desk.id, [desk.endpoint])
                supervisor = laptop.peers._supervisors[desk.id]
                net.group.create_task(supervisor.serve(channel, endpoint.host, endpoint), name="test.link")
                await turns(number % 12)
                async with laptop.client() as coming:
                    attached = await attach(coming, session)
                    await submit(local, session, f"hello {number}")
                    await coming.until("turn.complete")
                    await staying.until("turn.complete", number)
                    assert coming.seqs() == list(range(attached.seq + 1, coming.seqs()[-1] + 1))
            assert staying.seqs() == local.seqs()
            assert staying.lost == []
