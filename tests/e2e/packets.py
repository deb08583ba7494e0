"""Multicast DNS packets made by hand: what an attacker sends."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from tests.e2e.lab import Host

PTR, TXT, SRV, A = 12, 16, 33, 1
TYPE = "_lan-agent._tcp.local"


def name(*labels: str) -> bytes:
    """A domain name on the wire."""
    encoded = [label.encode() for label in labels]
    return b"".join(bytes([len(label)]) + label for label in encoded) + b"\0"


TYPE_NAME = name(*TYPE.split("."))


def instance_name(instance: str) -> bytes:
    """The full name of an instance of our type."""
    return name(instance, *TYPE.split("."))


def record(owner: bytes, kind: int, ttl: int, data: bytes, *, flush: bool = False) -> bytes:
    """One resource record."""
    return owner + struct.pack("!HHIH", kind, 0x8001 if flush else 1, ttl, len(data)) + data


def response(*records: bytes) -> bytes:
    """A packet that answers what nobody asked."""
    return struct.pack("!6H", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def text(strings: Sequence[bytes]) -> bytes:
    """TXT rdata."""
    return b"".join(bytes([len(string)]) + string for string in strings)


def service(instance: str, strings: Sequence[bytes], *, port: int, host: str, ipv4: str) -> bytes:
    """A packet with all the records of a service."""
    owner, server = instance_name(instance), name(host, "local")
    return response(
        record(TYPE_NAME, PTR, 4500, owner),
        record(owner, SRV, 120, struct.pack("!3H", 0, 0, port) + server, flush=True),
        record(owner, TXT, 4500, text(strings), flush=True),
        record(server, A, 120, bytes(map(int, ipv4.split("."))), flush=True),
    )


SENDER = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(0, socket.IP_MULTICAST_TTL, 255)
s.setsockopt(0, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[1]))
s.setsockopt(1, socket.SO_REUSEADDR, 1)
s.setsockopt(1, socket.SO_REUSEPORT, 1)
s.bind(("", 5353))
for line in sys.stdin:
    s.sendto(bytes.fromhex(line), ("224.0.0.251", 5353))
    time.sleep(float(sys.argv[2]))
"""


def multicast(host: Host, *packets: bytes, apart: float = 0.0) -> None:
    """Send packets from a host to everybody on its link, that many seconds apart."""
    lines = "".join(f"{packet.hex()}\n" for packet in packets)
    host.run(["python3", "-c", SENDER, host.ipv4, str(apart)], input=lines, check=True)
