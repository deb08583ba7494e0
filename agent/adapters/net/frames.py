"""Cuts links whose frames aiohttp's WebSocket swallows without a word: fragments without end, control frames.

Neither ever becomes a message, so no limit on messages meets them: a million empty fragments cost the reader a second
and the sender 6 MB (measured). Gateways send each message in one frame (DESIGN §3) and a ping every 5 s at most.
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from agent.adapters.net.passthrough import PassThrough
from agent.ports import Clock
from agent.protocol.ratelimit import Bucket, Rate

_log = logging.getLogger(__name__)

CONTROL = Rate(per_minute=120, burst=60)
"""Pings, pongs and closes that one side of a link may send; at most 24 a minute are ours and their answers."""
_HEAD_END = b"\r\n\r\n"
_HEADER_MAX = 14
"""Bytes of the longest frame header (RFC 6455, 5.2)."""


class FrameWatch:
    """Follows the bytes of one direction: the head of the HTTP upgrade, and then frame after frame."""

    def __init__(self, now: float) -> None:
        """Begin before the first byte; `now` is monotonic seconds, here and below."""
        self._control = Bucket(CONTROL, now)
        self._in_head = True
        self._kept = b""  # of a head's end or of a header that has not arrived whole
        self._left = 0  # bytes of the present frame's payload

    def feed(self, data: bytes, now: float) -> str:
        """Look at bytes that arrived. Returns why the connection must end; empty: it need not."""
        at = 0
        if self._in_head:
            so_far = self._kept + data
            end = so_far.find(_HEAD_END)
            if end < 0:
                self._kept = so_far[-len(_HEAD_END) + 1 :]
                return ""
            at = end + len(_HEAD_END) - len(self._kept)
            self._in_head, self._kept = False, b""
        while at < len(data):
            if self._left:
                passed = min(self._left, len(data) - at)
                self._left -= passed
                at += passed
                continue
            header = self._kept + data[at : at + _HEADER_MAX - len(self._kept)]
            size = _size(header)
            if len(header) < size:
                self._kept = header
                return ""
            at += size - len(self._kept)
            self._kept = b""
            self._left = _payload(header)
            if reason := self._refuse(header[0], now):
                return reason
        return ""

    def _refuse(self, first: int, now: float) -> str:
        opcode, final = first & 0x0F, first & 0x80
        if opcode >= 8:
            return "more control frames than a link needs" if self._control.take(now) else ""
        return "" if opcode and final else "a message in fragments"


def _size(header: bytes) -> int:
    """Bytes that this header has, as far as its beginning tells."""
    if len(header) < 2:
        return 2
    return 2 + {126: 2, 127: 8}.get(header[1] & 0x7F, 0) + (4 if header[1] & 0x80 else 0)


def _payload(header: bytes) -> int:
    length = header[1] & 0x7F
    if length < 126:
        return length
    return int.from_bytes(header[2:4] if length == 126 else header[2:10], "big")


class FrameGuard(PassThrough):
    """Stands in front of aiohttp on one link, and cuts it when its frames are none that a gateway sends."""

    def __init__(self, inner: asyncio.Protocol, clock: Clock, transport: asyncio.BaseTransport | None = None) -> None:
        """Stand in front of `inner`, which has taken the connection of `transport` already."""
        super().__init__(inner)
        self._clock, self._transport = clock, transport
        self._watch = FrameWatch(clock.monotonic())
        self._cut = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass on that the connection is up (asyncio.Protocol)."""
        self._transport = transport
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on that have arrived, or cut the connection."""
        if self._cut:
            return  # what was on its way still comes
        if reason := self._watch.feed(data, self._clock.monotonic()):
            self._cut = True
            _log.warning("a link was cut", extra={"reason": reason})
            cast("asyncio.Transport", self._transport).abort()
        else:
            super().data_received(data)
