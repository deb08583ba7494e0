"""A bound on the connections that others than this user have at a listener on the loopback (T11).

Another user of the machine may open thousands, and each one costs up to 200 KiB before its request is read (measured).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from agent.adapters.net.passthrough import PassThrough

OTHERS_MAX = 128
"""Connections at once of all others, such as a proxy that forwards the page; one more is hung up."""


class OthersLimit:
    """Stands in front of what reads the connections of one listener; called for each of them."""

    def __init__(self, owner_of: Callable[[asyncio.BaseTransport], int | None]) -> None:
        """`owner_of`: which user has the other end, None where the system does not tell."""
        self.owner_of = owner_of
        self.others: set[asyncio.Protocol] = set()

    def __call__(self, inner: asyncio.Protocol) -> asyncio.Protocol:
        """A connection that is about to be made."""
        return _Limited(inner, self)


class _Limited(PassThrough):
    def __init__(self, inner: asyncio.Protocol, limit: OthersLimit) -> None:
        super().__init__(inner)
        self._limit = limit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._limit.owner_of(transport) not in {0, os.geteuid()}:
            if len(self._limit.others) >= OTHERS_MAX:
                self.inner = None
                assert isinstance(transport, asyncio.Transport)
                transport.abort()
                return
            self._limit.others.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._limit.others.discard(self)
        super().connection_lost(exc)
