"""What zeroconf keeps of questions, and how much it reads at once (T11)."""

from __future__ import annotations

import asyncio
import socket
import struct
from types import SimpleNamespace
from typing import cast

from zeroconf import (  # type: ignore[attr-defined]  # public, but its `__all__` forgets them
    DNSCache,
    DNSIncoming,
    ServiceInfo,
    Zeroconf,
)
from zeroconf._history import QuestionHistory
from zeroconf._services.registry import ServiceRegistry

from agent.adapters.discovery.mdns.discovery import PACKET_MAX, read_small, without_history
from agent.adapters.discovery.mdns.names import TYPE
from tests.e2e.packets import PTR, TYPE_NAME, A, name, record


def question(number: int) -> bytes:
    """For our type, with 200 answers that are known: one more question for each class."""
    known = [record(name(f"k{number}-{n}", "local"), A, 4500, bytes(4)) for n in range(200)]
    head = struct.pack("!6H", 0, 0, 1, len(known), 0, 0)
    return head + TYPE_NAME + struct.pack("!2H", PTR, number) + b"".join(known)


async def test_t11_no_question_of_anybody_is_remembered() -> None:
    registry = ServiceRegistry()
    registry.async_add(ServiceInfo(TYPE, f"den.{TYPE}", 4000, server="den.local.", addresses=[bytes([10, 0, 0, 1])]))
    history = QuestionHistory()
    fake = SimpleNamespace(cache=DNSCache(), registry=registry, question_history=history, out_queue=None)
    fake.out_delay_queue = None
    zeroconf = cast("Zeroconf", fake)
    without_history(zeroconf)
    for number in range(1, 500):
        assert zeroconf.query_handler.async_response([DNSIncoming(question(number))], ucast_source=False)
    assert not history._history
    assert not zeroconf.question_history._history


async def test_t11_a_packet_is_read_into_what_the_longest_one_needs() -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    class Reader(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            arrived.put_nowait(data)

    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    loop = asyncio.get_running_loop()
    here.setblocking(False)
    transport, _ = await loop.create_datagram_endpoint(Reader, sock=here)
    read_small(
        cast("Zeroconf", SimpleNamespace(engine=SimpleNamespace(readers=[SimpleNamespace(transport=transport)])))
    )
    with there:
        there.send(b"x" * PACKET_MAX)
        assert len(await arrived.get()) == PACKET_MAX
        there.send(b"x" * 60_000)
        assert len(await arrived.get()) == PACKET_MAX + 1  # too long for zeroconf, so it is left out
    transport.close()
