"""Bytes of a pipe as lines of bounded length."""

from __future__ import annotations

from msgspec import Struct

LINE_MAX = 4_194_304
"""Bytes of one line that are kept: four times what a frame of ours may carry."""
EDGE = 512
"""Bytes of a longer line that are kept from its beginning and from its end."""


class LongLine(Struct, frozen=True):
    """A line that was left out."""

    size: int  # bytes
    head: bytes
    tail: bytes


class Lines:
    """Put in what was read, get whole lines out. Memory: one line."""

    def __init__(self, most: int = LINE_MAX) -> None:
        self._most = most
        self._parts: list[bytes] = []
        self._size = 0
        self._head = self._tail = b""  # of a line that is too long

    def feed(self, data: bytes) -> list[bytes | LongLine]:
        """The lines that end in `data`, without their ends; empty ones are left out."""
        pieces = data.split(b"\n")
        found: list[bytes | LongLine] = []
        for piece in pieces[:-1]:
            self._add(piece)
            if line := self._take():
                found.append(line)
        self._add(pieces[-1])
        return found

    def rest(self) -> bytes | LongLine:
        """What came after the last line, at the end of all."""
        return self._take()

    def _add(self, piece: bytes) -> None:
        if not piece:
            return
        self._size += len(piece)
        if self._size <= self._most:
            self._parts.append(piece)
            return
        if self._parts or not self._head:
            self._head = b"".join([*self._parts, piece])[:EDGE]
            self._parts = []
        self._tail = (self._tail + piece[-EDGE:])[-EDGE:]

    def _take(self) -> bytes | LongLine:
        size, self._size = self._size, 0
        if size > self._most:
            line = LongLine(size, self._head, self._tail)
            self._head = self._tail = b""
            return line
        if len(self._parts) == 1:
            return self._parts.pop()
        whole = b"".join(self._parts)
        self._parts.clear()
        return whole
