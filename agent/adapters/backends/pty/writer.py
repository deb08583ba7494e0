"""Writes bytes into a pipe or terminal that may be full."""

from __future__ import annotations

import asyncio
import contextlib
import os


class NonBlockingWriter:
    """Writes to a non-blocking descriptor as fast as it takes. Bounded by its callers: one command, one answer."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._left = bytearray()

    @property
    def left(self) -> int:
        """Number of bytes that were not taken yet."""
        return len(self._left)

    def feed(self, data: bytes) -> None:
        """Write bytes, behind what was not taken yet."""
        self._left += data
        self._write()

    def forget(self) -> None:
        """Drop the bytes that were not taken yet."""
        self._left.clear()
        self._loop.remove_writer(self._descriptor)

    def _write(self) -> None:
        with contextlib.suppress(BlockingIOError):
            try:
                while self._left:
                    del self._left[: os.write(self._descriptor, self._left)]
            except OSError as exc:
                if isinstance(exc, BlockingIOError):
                    raise
                self._left.clear()  # nobody reads any more: the end of the shell is noticed elsewhere
        if self._left:
            self._loop.add_writer(self._descriptor, self._write)
        else:
            self._loop.remove_writer(self._descriptor)
