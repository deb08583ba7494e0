"""A protocol that stands in front of another one and passes on what it lets through."""

from __future__ import annotations

import asyncio


class PassThrough(asyncio.Protocol):
    """Passes everything on to `inner`, once there is one. Subclasses look at what they care for."""

    def __init__(self, inner: asyncio.Protocol | None = None) -> None:
        self.inner = inner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass on that the connection is up (asyncio.Protocol)."""
        if self.inner is not None:
            self.inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass on bytes that have arrived (asyncio.Protocol)."""
        if self.inner is not None:
            self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on that the other side sends no more; tell whether the connection stays."""
        return self.inner.eof_received() if self.inner is not None else None

    def pause_writing(self) -> None:
        """Pass on that too much waits to be sent (asyncio.Protocol)."""
        if self.inner is not None:
            self.inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that not too much waits any more (asyncio.Protocol)."""
        if self.inner is not None:
            self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on that the connection is over; `inner` is let go."""
        inner, self.inner = self.inner, None
        if inner is not None:
            inner.connection_lost(exc)
