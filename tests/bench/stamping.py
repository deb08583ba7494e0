"""`python -m tests.bench.stamping PORT`: stands before the Hermes gateway at that port, and notes when it sent.

It prints `{"port": …}` when it is ready, and for each turn that is over a list of `[monotonic seconds, text]`, one for
each piece of the reply at the moment at which the gateway had sent it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import aiohttp
from aiohttp import web

FRAME_MAX = 32 << 20


class Stamping:
    """One gateway, behind a port of ours."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"
        self._pieces: list[tuple[float, str]] = []

    async def status(self, request: web.Request) -> web.Response:
        """`GET /api/status`, as the gateway answers it."""
        async with aiohttp.ClientSession() as http, http.get(f"{self._base}{request.path}") as answer:
            return web.Response(body=await answer.read(), content_type="application/json", status=answer.status)

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """The gateway's socket."""
        client = web.WebSocketResponse(max_msg_size=FRAME_MAX, compress=False)
        await client.prepare(request)
        url = f"{self._base}{request.path_qs}"
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(url, max_msg_size=FRAME_MAX, compress=0) as gateway,
            asyncio.TaskGroup() as group,
        ):
            asking = group.create_task(self._ask(client, gateway), name="stamping.ask")
            async for message in gateway:
                at = time.monotonic()  # noqa: TID251 - the clock of those who compare
                self._note(at, json.loads(message.data).get("params") or {})
                await client.send_str(message.data)
            asking.cancel()
        return client

    async def _ask(self, client: web.WebSocketResponse, gateway: aiohttp.ClientWebSocketResponse) -> None:
        async for message in client:
            await gateway.send_str(message.data)
        await gateway.close()

    def _note(self, at: float, params: dict[str, Any]) -> None:
        if params.get("type") == "message.delta":
            self._pieces.append((at, params["payload"]["text"]))
        elif params.get("type") == "message.complete":
            print(json.dumps(self._pieces), flush=True)
            self._pieces = []


async def main(port: int) -> None:
    stamping = Stamping(port)
    app = web.Application()
    app.add_routes([web.get("/api/status", stamping.status), web.get("/api/ws", stamping.socket)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
