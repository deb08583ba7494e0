"""TLS 1.3 with pins on both sides (T2): the only place that makes SSL contexts.

A certificate of the profile is its own root, so a trust store of exactly the trusted leaves lets in nobody else and
an unpaired device never reaches a parser. Contexts cannot unlearn a certificate: trust that shrinks needs a new one
(0.8 ms). Source: FACTS-SECURITY §3.
"""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import ssl
from collections.abc import Iterable

from agent.errors import StateError
from agent.protocol.identity import Identity

BUFFER = 65_536
"""Bytes that asyncio reads at once from a TLS socket: 106 KiB a connection instead of 292, at the same speed."""


def server_context(identity: Identity, trusted: Iterable[bytes]) -> ssl.SSLContext:
    """The TLS context of the LAN port: takes clients with one of these certificates (DER). Raises: StateError."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity)
    context.verify_mode = ssl.CERT_REQUIRED
    _trust(context, trusted)
    return context


def client_context(identity: Identity, certificate: bytes) -> ssl.SSLContext:
    """The TLS context of a link: takes the one peer with this certificate (DER), at any address. Raises: StateError."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, identity)
    context.verify_mode = ssl.CERT_REQUIRED
    _trust(context, (certificate,))
    return context


def pairing_server_context(identity: Identity) -> ssl.SSLContext:
    """The TLS context of a pairing window: clients prove their key in the messages. Raises: StateError.

    Such clients show no certificate.
    """
    return _context(ssl.PROTOCOL_TLS_SERVER, identity)


def pairing_client_context() -> ssl.SSLContext:
    """The TLS context for pairing, and to see which certificate answers somewhere: takes any server.

    Nothing of ourselves is told, and what the server shows is worth nothing until SPAKE2 has bound it to the code.
    """
    return _context(ssl.PROTOCOL_TLS_CLIENT, None)


def peer_certificate(transport: asyncio.BaseTransport | None) -> bytes | None:
    """The certificate (DER) that the other side has proven over this connection; None without one, or without TLS."""
    found = transport.get_extra_info("ssl_object") if transport else None
    return found.getpeercert(binary_form=True) if isinstance(found, ssl.SSLObject) else None


def limit_buffers() -> None:
    """Make the TLS connections of this process small. Idempotent; does nothing where asyncio is built otherwise."""
    if hasattr(asyncio.sslproto.SSLProtocol, "max_size"):
        asyncio.sslproto.SSLProtocol.max_size = BUFFER


def _context(protocol: int, identity: Identity | None) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # addresses change; the pin is the identity
    context.verify_mode = ssl.CERT_NONE
    # A session ticket outlives a revocation: the peer resumes, and its certificate is not checked again (measured).
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    if identity is not None:
        try:
            context.load_cert_chain(identity.pem_path)
        except OSError as exc:
            raise StateError(f"cannot use {identity.pem_path}: {exc.strerror or exc}") from exc
    return context


def _trust(context: ssl.SSLContext, certificates: Iterable[bytes]) -> None:
    together = b"".join(dict.fromkeys(certificates))
    if together:
        context.load_verify_locations(cadata=together)
