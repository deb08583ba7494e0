"""Peers by address from the settings, for networks without multicast."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address

from agent.errors import ConfigError
from agent.protocol.model import Endpoint

_FORMS = "write HOST, HOST:PORT, [IPV6%ZONE] or [IPV6%ZONE]:PORT"


def parse(text: str, default_port: int) -> tuple[str, int]:
    """Split "HOST[:PORT]" into host and port. A host is a name, an IPv4 address or an IPv6 address with its zone.

    An IPv6 address may stand without brackets if no port follows. Raises: ConfigError.
    """
    stripped = text.strip()
    if stripped.startswith("["):
        host, closed, rest = stripped[1:].partition("]")
        if not closed or not _is_ipv6(host) or (rest and not rest.startswith(":")):
            raise ConfigError(f"{text!r} is not the address of a device", hint=_FORMS)
        port = rest[1:] if rest else None
    elif _is_ipv6(stripped):
        host, port = stripped, None
    else:
        host, colon, rest = stripped.partition(":")
        port = rest if colon else None
    if not host or len(host) > 253 or any(not char.isprintable() or char in " /@[]" for char in host):
        raise ConfigError(f"{text!r} is not the address of a device", hint=_FORMS)
    if port is None:
        return host, default_port
    if not port.isascii() or not port.isdigit() or not 1 <= int(port[:6]) <= 65535:
        raise ConfigError(f"{text!r}: {port!r} is not a port", hint="a port is a number from 1 to 65535")
    return host, int(port)


async def resolve(host: str, port: int) -> list[Endpoint]:
    """Ask the system's resolver, in a thread, for the addresses of a host. Empty if it knows none, now."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # UnicodeError: a label that IDNA refuses
        return []
    endpoints: dict[Endpoint, None] = {}
    for _, _, _, _, address in found:
        name = str(address[0])
        scope = address[3] if len(address) == 4 else 0
        if scope and "%" not in name:
            name = f"{name}%{_zone(scope)}"
        endpoints[Endpoint(name, port)] = None
    return list(endpoints)


def resolve_delay(failures: int) -> float:
    """Seconds until a host is resolved again after that many failures in a row; 0 failures: a refresh.

    Doubles from 2 s up to 5 minutes: names of a home router appear when the device does.
    """
    return 300.0 if failures <= 0 else min(300.0, 2.0 ** min(failures, 9))


def _zone(scope: int) -> str:
    try:
        return socket.if_indextoname(scope)
    except OSError:
        return str(scope)


def _is_ipv6(text: str) -> bool:
    try:
        return ip_address(text).version == 6
    except ValueError:
        return False
