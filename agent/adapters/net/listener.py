"""Listens on the LAN port: mutual TLS, then an exact look-up of the certificate, then somebody else's protocol (T2).

Gate one is the trust store of the TLS context. Gate two compares the fingerprint of the certificate that was shown with
the devices trusted at that moment, before the protocol hears of the connection: contexts may be a moment old, and a
trust store also believes what a certificate in it has signed.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import cast

from agent.adapters.net.accept import DEFAULT_LIMITS, AcceptLoop, Limits
from agent.adapters.net.passthrough import PassThrough
from agent.adapters.net.tls import peer_certificate, server_context
from agent.ports import Clock
from agent.protocol.identity import Identity, device_id, fingerprint
from agent.protocol.model import DeviceId, Endpoint

_log = logging.getLogger(__name__)


class Listener:
    """Takes links of trusted devices; each connection goes to a protocol such as that of aiohttp's `web.Server`.

    Protocols can ask `device_of(transport)` who is there, again for every request.
    """

    def __init__(
        self,
        identity: Identity,
        sockets: Sequence[socket.socket],
        clock: Clock,
        limits: Limits = DEFAULT_LIMITS,
        *,
        known: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """Begin with trust in nobody. `known`: the addresses of paired devices; floods keep none of them out.

        Raises: StateError, if the key's file cannot be used.
        """
        self._identity, self._limits = identity, limits
        self._protocol: Callable[[], asyncio.Protocol]  # of the connections that `run` takes
        self._context = server_context(identity, ())
        self._allowed: dict[bytes, DeviceId] = {}  # by fingerprint
        self._open: dict[DeviceId, dict[asyncio.Transport, None]] = {}  # oldest first
        self._silent: dict[asyncio.Transport, asyncio.TimerHandle] = {}  # no link yet, and when that ends them
        self._loop = AcceptLoop(sockets, lambda: self._context, self._gate, clock, limits, known=known)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses and ports where links are taken."""
        return self._loop.endpoints

    async def run(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Accept until cancelled, and hand each connection to a `protocol` of its own.

        Open connections stay until their protocols or `cut` end them.
        """
        self._protocol = protocol
        await self._loop.run()

    def close(self) -> None:
        """Listen no more; to be called after `run` has ended."""
        self._loop.close()

    def trust(self, certificates: Iterable[bytes]) -> None:
        """Trust these devices (certificates in DER) and no others: connections of the others end at once.

        No connect of a trusted device is lost meanwhile. Raises: StateError, and then nothing has changed.
        """
        trusted = tuple(certificates)
        self._context = server_context(self._identity, trusted)
        self._allowed = {fingerprint(der): device_id(der) for der in trusted}
        for device in self._open.keys() - set(self._allowed.values()):
            self.cut(device)

    def cut(self, device: DeviceId) -> int:
        """End all connections of a device without a word, and return how many there were."""
        transports = self._open.pop(device, {})
        for transport in transports:
            transport.abort()
        return len(transports)

    def device_of(self, transport: asyncio.BaseTransport | None) -> DeviceId | None:
        """The device whose key authenticated this connection; None if it is not trusted (any more)."""
        certificate = peer_certificate(transport)
        return self._allowed.get(fingerprint(certificate)) if certificate else None

    def linked(self, transport: asyncio.BaseTransport | None) -> None:
        """Let a connection stay whose link was asked for and granted. Any other one is cut after `first_request`.

        aiohttp has no time limit of its own for a request that is dribbled, or never comes (measured).
        """
        timer = self._silent.pop(cast("asyncio.Transport", transport), None)
        if timer is not None:
            timer.cancel()

    def connections(self, device: DeviceId) -> int:
        """Number of connections of a device that are open."""
        return len(self._open.get(device, ()))

    def _gate(self) -> asyncio.Protocol:
        return _Gate(self._enter, self._leave)

    def _enter(self, transport: asyncio.Transport) -> asyncio.Protocol | None:
        device = self.device_of(transport)
        if device is None:
            _log.info("connection refused: its certificate is not trusted")
            return None
        held = self._open.setdefault(device, {})
        if len(held) >= self._limits.connections:
            # The oldest is the likeliest to be dead: a device that changed its network redials.
            oldest = next(iter(held))
            del held[oldest]
            oldest.abort()
        held[transport] = None
        later = asyncio.get_running_loop().call_later
        self._silent[transport] = later(self._limits.first_request, transport.abort)
        return self._protocol()

    def _leave(self, transport: asyncio.Transport) -> None:
        self.linked(transport)
        for device, held in self._open.items():
            if transport in held:
                del held[transport]
                if not held:
                    del self._open[device]
                return


class _Gate(PassThrough):
    # Stands before the real protocol, which is made only for a trusted device and hears everything afterwards.

    def __init__(
        self,
        enter: Callable[[asyncio.Transport], asyncio.Protocol | None],
        leave: Callable[[asyncio.Transport], None],
    ) -> None:
        super().__init__()
        self._enter, self._leave = enter, leave
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.inner = self._enter(self._transport)
        if self.inner is None:
            self._transport.abort()
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._leave(self._transport)
        super().connection_lost(exc)
