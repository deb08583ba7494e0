"""What an attacker runs, on a host of his own: `python -m tests.attacks.rogue WHAT HOST PORT …`; prints JSON.

With a PEM file he has the key of a paired device; without one he has nothing. Bytes come on stdin, in hexadecimal.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress

import aiohttp

from agent.adapters.net.tls import pairing_client_context
from agent.protocol.codec import MSGPACK, msgpack

PATIENCE = 12.0
"""Seconds for which he waits for an answer, or comes again while he is turned away for coming too often."""
PACE = 0.5
"""Seconds in which one more handshake of his address is allowed (`of_one` in the gateway's accept loop)."""


def context(pem: str) -> ssl.SSLContext:
    """Takes whoever answers, and shows what is in the file."""
    made = pairing_client_context()
    if pem:
        made.load_cert_chain(pem)
    return made


async def through_tls(host: str, port: int, pem: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """Make a connection whose TLS handshake is complete, or None if there is no way through.

    Whoever has used up the handshakes of his address is hung up on before TLS, and comes again when he has one more:
    an attack that the budget kept out has proven nothing about the door behind it.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE
    while True:
        try:
            return await asyncio.open_connection(host, port, ssl=context(pem), server_hostname="")
        except OSError:  # also ssl.SSLError
            if loop.time() > until:
                return None
        await asyncio.sleep(PACE)


async def say(
    host: str, port: int, pem: str, parts: list[bytes], pause: float, *, to_the_end: bool = True
) -> dict[str, object]:
    """Send these bytes over TLS, with pauses between; all that is answered, and whether the other side hung up.

    `tls` says whether the handshake was complete, so that the bytes were sent at all.
    """
    loop = asyncio.get_running_loop()
    got, closed = b"", False
    connection = await through_tls(host, port, pem)
    if connection is None:
        return {"tls": False, "got": "", "closed": True, "seconds": 0.0}
    reader, writer = connection
    began = loop.time()

    async def speak() -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)

    try:
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            speaking = group.create_task(speak(), name="rogue.speak")
            while chunk := await reader.read(65_536):
                got += chunk
                if not to_the_end and b"\r\n\r\n" in got:
                    break
            else:
                closed = True
            speaking.cancel()
    except TimeoutError:
        pass
    except (OSError, ssl.SSLError, ExceptionGroup):
        closed = True
    return {"tls": True, "got": got.decode("latin-1"), "closed": closed, "seconds": round(loop.time() - began, 1)}


async def open_link(
    session: aiohttp.ClientSession, host: str, port: int, protocol: str
) -> aiohttp.ClientWebSocketResponse:
    """Ask for a link, again and again while he is hung up on before TLS (see `through_tls`)."""
    while True:
        try:
            return await session.ws_connect(
                f"https://{host}:{port}/v1/ws",
                protocols=[protocol],
                server_hostname="0.0.0.0",
                max_msg_size=0,
                autoclose=False,
            )
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(PACE)


async def link(
    host: str, port: int, pem: str, frames: list[bytes], protocol: str, *, pause: float = 0.0
) -> dict[str, object]:
    """Open a link and send these frames, with pauses; the codes of the errors that come back, and how it was closed."""
    codes: list[int] = []
    results = 0
    code: int | None = None
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context(pem))) as session:
        try:
            async with asyncio.timeout(PATIENCE):
                ws = await open_link(session, host, port, protocol)
            async with asyncio.timeout(PATIENCE), ws:
                with suppress(ConnectionError):
                    for frame in frames:
                        await ws.send_bytes(frame)
                        await asyncio.sleep(pause)
                while (message := await ws.receive()).type is aiohttp.WSMsgType.BINARY:
                    told = msgpack.decode(message.data)
                    if isinstance(told.error, dict) or hasattr(told.error, "code"):
                        codes.append(int(told.error.code))
                    elif told.id == 99:
                        results += 1
                code = message.data if message.type is aiohttp.WSMsgType.CLOSE else 1006
        except TimeoutError:
            code = None
        except aiohttp.WSServerHandshakeError as exc:
            code = exc.status
        except (aiohttp.ClientError, OSError):
            code = 1006
    return {"codes": codes, "results": results, "close": code}


def client_hello() -> bytes:
    """The first record of a TLS client."""
    outgoing = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        pairing_client_context().wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    return outgoing.read()


async def flood(host: str, port: int, per_second: int, seconds: float, said: bytes = b"") -> dict[str, object]:
    """Open connections, say that much on each, and keep them open."""
    held: list[socket.socket] = []
    talking: list[socket.socket] = []
    opened = 0
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < seconds:
        while opened < (loop.time() - began) * per_second:
            sock = socket.socket()
            sock.setblocking(False)
            with suppress(BlockingIOError, OSError):
                sock.connect((host, port))
            if said:
                talking.append(sock)
            held.append(sock)
            opened += 1
            if len(held) > 900:
                held.pop(0).close()
        await asyncio.sleep(0.005)
        for sock in talking:  # connected by now
            with suppress(OSError):
                sock.send(said)
        talking.clear()
    return {"opened": opened}


FLOODS: dict[str, Callable[[], bytes]] = {
    "flood": bytes,
    "half-open": lambda: client_hello()[:20],
    "whole-hello": client_hello,
}
"""What is said on each connection before the silence."""


def main(argv: list[str]) -> None:
    """Run one attack."""
    what, host, port, *more = argv
    parts = [] if what in FLOODS else [bytes.fromhex(line) for line in sys.stdin.read().splitlines()]
    if what == "say":
        told = asyncio.run(say(host, int(port), more[0], parts, float(more[1]), to_the_end=len(more) < 3))
    elif what == "link":
        told = asyncio.run(
            link(host, int(port), more[0], parts, (more[1:] or [MSGPACK])[0], pause=float((more[2:] or ["0"])[0]))
        )
    else:
        told = asyncio.run(flood(host, int(port), int(more[0]), float(more[1]), FLOODS[what]()))
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1:])
