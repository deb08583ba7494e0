"""`python -m tests.e2e.hermes_socket URL`: one WebSocket as a program, so that it can run in a network namespace.

Frames come on standard output and go by standard input, one a line. A line `close` on it hangs up.
"""

from __future__ import annotations

import asyncio
import os
import sys

import aiohttp

FRAME_MAX = 32 << 20


async def main(url: str) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(url, max_msg_size=FRAME_MAX) as socket:
        loop = asyncio.get_running_loop()
        said = Lines()
        loop.add_reader(sys.stdin.fileno(), said.read)
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(send(socket, said.queue), name="socket.send")
            async for message in socket:
                print(message.data, flush=True)
            sending.cancel()
        loop.remove_reader(sys.stdin.fileno())


async def send(socket: aiohttp.ClientWebSocketResponse, said: asyncio.Queue[str]) -> None:
    while (line := await said.get()) != "close":
        await socket.send_str(line)
    await socket.close()


class Lines:
    """Standard input, by lines; its end is `close`."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str] = asyncio.Queue()
        self._rest = b""

    def read(self) -> None:
        data = os.read(sys.stdin.fileno(), 65536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.queue.put_nowait(line.decode())
        if not data:
            self.queue.put_nowait("close")
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
