"""A protocol that stands in front of another one and passes on what it lets through."""

from __future__ import annotations

import asyncio


class Layer(asyncio.Protocol):
    """Passes everything on to `inner`, once there is one. Subclasses look at what they care for."""

    def __init__(self, inner: asyncio.Protocol | None = None) -> None:
        self.inner = inner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is up."""
        if self.inner is not None:
            self.inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        if self.inner is not None:
            self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        """The other side sends no more; whether the connection stays."""
        return self.inner.eof_received() if self.inner is not None else None

    def pause_writing(self) -> None:
        """Too much waits to be sent."""
        if self.inner is not None:
            self.inner.pause_writing()

    def resume_writing(self) -> None:
        """It does not any more."""
        if self.inner is not None:
            self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over; `inner` is let go."""
        inner, self.inner = self.inner, None
        if inner is not None:
            inner.connection_lost(exc)
