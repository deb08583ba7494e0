"""`python -m tests.faults.guest HOST PORT PEM DEVICE SEED SECONDS SESSION…`: a gateway that has gone bad; prints JSON.

It has the key of a paired guest, opens one link after the other and says what `fuzz` makes; what it is asked, it
answers likewise.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections import Counter
from contextlib import suppress

import aiohttp

from agent.adapters.net.tls import pairing_client_context
from agent.errors import AgentError
from agent.protocol.codec import MSGPACK, msgpack
from tests.faults.fuzz import Fuzzer

PAUSE = 2.1
"""Seconds between two links: a paired device may open 30 a minute."""
PER_SECOND = 120
"""Frames; 200 requests a second would be refused, unread."""


class Guest:
    """What it has done."""

    def __init__(self, device: str, fuzzer: Fuzzer) -> None:
        self._device, self._fuzzer = device, fuzzer
        self.counts: Counter[str] = Counter()

    async def run(self, url: str, tls: ssl.SSLContext, seconds: float) -> None:
        """Say things for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as http:
                while True:
                    try:
                        async with http.ws_connect(
                            url, protocols=[MSGPACK], server_hostname="0.0.0.0", max_msg_size=0
                        ) as socket:
                            self.counts["links"] += 1
                            await self._link(socket)
                    except (aiohttp.ClientError, OSError) as exc:
                        self.counts[type(exc).__name__] += 1
                    await asyncio.sleep(PAUSE)

    async def _link(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        ready = {"device": self._device, "name": "guest", "protocol": 1}
        await socket.send_bytes(msgpack.notification("gateway.ready", ready))
        async with asyncio.TaskGroup() as group:
            talking = group.create_task(self._talk(socket), name="guest.talk")
            async for frame in socket:
                if frame.type is aiohttp.WSMsgType.BINARY:
                    await self._hear(socket, frame.data)
            talking.cancel()
        self.counts[f"closed {socket.close_code}"] += 1

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        with suppress(ConnectionError, aiohttp.ClientError):
            while True:
                await socket.send_bytes(self._fuzzer.frame())
                self.counts["frames"] += 1
                await asyncio.sleep(1 / PER_SECOND)

    async def _hear(self, socket: aiohttp.ClientWebSocketResponse, data: bytes) -> None:
        try:
            told = msgpack.decode(data)
        except AgentError:
            self.counts["not understood"] += 1
            return
        if isinstance(told.method, str) and isinstance(told.id, int | str):
            with suppress(ConnectionError, aiohttp.ClientError):
                await socket.send_bytes(self._fuzzer.answer(told.id, told.method))
            self.counts["answers"] += 1
        elif not isinstance(told.method, str):
            self.counts["results" if not hasattr(told.error, "code") else "errors"] += 1


def main(argv: list[str]) -> None:
    """Run it."""
    host, port, pem, device, seed, seconds, *sessions = argv
    tls = pairing_client_context()
    tls.load_cert_chain(pem)
    guest = Guest(device, Fuzzer(int(seed), sessions))
    asyncio.run(guest.run(f"https://{host}:{port}/v1/ws", tls, float(seconds)))
    print(json.dumps(guest.counts))


if __name__ == "__main__":
    main(sys.argv[1:])
