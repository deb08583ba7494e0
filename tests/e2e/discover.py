"""A device that does nothing but discovery: events on stdout, commands on stdin, one JSON value a line.

It is a program of its own because two processes that share UDP port 5353 are not two devices: each host needs one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import time
from contextlib import suppress

import msgspec

from agent.adapters.discovery.mdns import MdnsDiscovery
from agent.clock import SystemClock
from agent.ports import Echoed, Goodbye, Heard, Sighting
from agent.protocol.model import DeviceId


def say(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, "at": time.monotonic(), **fields}), flush=True)  # noqa: TID251 - a test's watch


def heard(sighting: Sighting) -> None:
    match sighting:
        case Heard(record):
            fields = {"r": record.revision, "name": record.name, "hosts": record.hosts, "port": record.port}
            say("heard", id=record.device, **fields)
        case Goodbye(device):
            say("goodbye", id=device)
        case Echoed():
            say("echoed")


async def obey(discovery: MdnsDiscovery, reader: asyncio.StreamReader) -> None:
    while line := await reader.readline():
        match json.loads(line):
            case ["publish", strings]:
                discovery.publish([string.encode() for string in strings])
            case ["again"]:
                discovery.announce_again()
            case ["poke"]:
                discovery.poke()
            case ["hosts"]:
                say("hosts", hosts=discovery.hosts(), interfaces=discovery.interfaces())
            case ["open", slot, name, port]:
                await discovery.open_window(slot, name, port)
                say("opened")
            case ["close"]:
                await discovery.close_window()
            case ["find", slot, seconds]:
                windows = await discovery.find_windows(slot, seconds)
                say("windows", windows=msgspec.to_builtins(windows))
    await asyncio.Event().wait()


async def main(device: str, instance: str, port: str, *interfaces: str) -> None:
    discovery = MdnsDiscovery(
        device=DeviceId(device),
        instance=instance,
        port=int(port),
        clock=SystemClock(),
        interfaces=interfaces,
        problem=lambda sentence: say("problem", sentence=sentence),
    )
    discovery.publish([b"txtvers=1", b"r=1", b"id=" + device.encode(), b"n=" + instance.encode()])
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    loop.set_exception_handler(lambda _, context: say("error", text=str(context)))
    with suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as group:
            running = group.create_task(discovery.run(heard), name="discover.run")
            commands = group.create_task(obey(discovery, reader), name="discover.obey")
            loop.add_signal_handler(signal.SIGTERM, lambda: [task.cancel() for task in (running, commands)])
    say("left")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main(*sys.argv[1:]))
