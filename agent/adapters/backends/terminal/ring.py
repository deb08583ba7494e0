"""The newest bytes of a stream, numbered from its beginning."""

from __future__ import annotations


class Ring:
    """Keeps up to `room` bytes, numbered from `begin`, the oldest one that is kept, up to but not including `end`."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._kept = bytearray()
        self.begin = self.end = 0

    def append(self, data: bytes) -> bytes:
        """Add bytes; those that made room for them, oldest first."""
        self._kept += data
        self.end += len(data)
        over = len(self._kept) - self._room
        if over <= 0:
            return b""
        dropped = bytes(self._kept[:over])
        del self._kept[:over]
        self.begin += over
        return dropped

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from number `offset` on; empty at the end. Raises: LookupError, if they are not kept."""
        if not self.begin <= offset <= self.end:
            raise LookupError(f"byte {offset} is not kept, only {self.begin} to {self.end}")
        start = offset - self.begin
        return bytes(self._kept[start : start + size])
