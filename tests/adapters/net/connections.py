"""Identities with files, a listener that echoes, and clients of all kinds, on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from agent.adapters.net.accept import DEFAULT_LIMITS, Limits, bind
from agent.adapters.net.listener import Listener
from agent.adapters.net.tls import client_context
from agent.adapters.storage.identity import load_or_create_identity
from agent.clock import SystemClock
from agent.protocol.identity import Identity
from agent.protocol.model import Endpoint

LOOPBACK = ("127.0.0.1", "::1")


def device(folder: Path, number: int) -> Identity:
    """An identity of its own for each number."""
    return load_or_create_identity(folder / f"device{number}", number.to_bytes)


class Echo(asyncio.Protocol):
    """Says everything back, in capitals."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data.upper())


@asynccontextmanager
async def listening(
    identity: Identity, protocol: Callable[[], asyncio.Protocol] = Echo, limits: Limits = DEFAULT_LIMITS
) -> AsyncIterator[Listener]:
    listener = Listener(identity, bind(0, LOOPBACK), SystemClock(), limits)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(listener.run(protocol), name="test.listener")
        await asyncio.sleep(0)
        try:
            yield listener
        finally:
            running.cancel()
            listener.close()


async def dial(endpoint: Endpoint, context: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(endpoint.host, endpoint.port, ssl=context, server_hostname="")


async def ask(endpoint: Endpoint, context: ssl.SSLContext) -> bytes:
    """What the echo answers; empty if it hung up or refused."""
    try:
        reader, writer = await dial(endpoint, context)
    except (OSError, ssl.SSLError):
        return b""
    try:
        writer.write(b"ping")
        return await reader.read(4)
    except OSError:
        return b""
    finally:
        await hang_up(writer)


async def attach(server: Listener, ours: Identity, theirs: Identity) -> bytes:
    """What a link gets that was made as it should be."""
    return await ask(server.endpoints[0], client_context(ours, theirs.certificate))


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    try:
        await writer.wait_closed()
    except OSError:
        return
