"""`python -m tests.models [--port N] [--shape S] [--model M]…`: the server as a program.

It prints one line of JSON when it is ready, `{"url": …}`, and one for each request that has come or is over, with its
number. On standard input it takes `release NAME`. It ends at SIGINT or SIGTERM and, if its input is a pipe, with that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import stat
import sys

from tests.models.server import Heard, ModelServer, row
from tests.models.shapes import SHAPES


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.models")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--shape", choices=list(SHAPES), default="openai")
    parser.add_argument("--model", action="append", default=[])
    given = parser.parse_args()

    def tell(heard: Heard) -> None:
        number = next(at for at, each in enumerate(server.requests) if each is heard)
        print(json.dumps({"number": number, **json.loads(row(heard))}), flush=True)

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    server = ModelServer(given.shape, tuple(given.model or ["fake"]), given.port, tell=tell)
    async with server:
        print(json.dumps({"url": server.url}), flush=True)
        if stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
            loop.add_reader(sys.stdin.fileno(), Commands(server, ended).read)
        await ended.wait()
        loop.remove_reader(sys.stdin.fileno())


class Commands:
    """What the other end of standard input says."""

    def __init__(self, server: ModelServer, ended: asyncio.Event) -> None:
        self._server, self._ended, self._rest = server, ended, b""

    def read(self) -> None:
        data = os.read(sys.stdin.fileno(), 65536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            verb, _, name = line.decode().partition(" ")
            if verb == "release":
                self._server.release(name)
        if not data:
            self._ended.set()


asyncio.run(main())
