"""Lines in and out of a process, whatever its standard streams are: pipes, sockets, files or a terminal.

A thread each, since a file cannot be waited for and a shared pipe must not be made non-blocking under others. Both are
daemons: a client that neither reads nor leaves does not keep the command.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError

LINE_MAX = 8 * 1024 * 1024
"""Bytes of a line."""
TOO_LONG = b"(too long)"
"""What is given for a longer one: it is no message, and is told to be none."""
UNSENT_MAX = 1024 * 1024
"""Bytes that wait for the reader of ours; then who writes waits."""
WAITING_LINES = 64
"""Lines that wait for us; then nothing more is read."""
CHUNK = 65_536
LAST_WORDS = 2.0
"""Seconds that a reader has for what was written before the end."""


class Pipes:
    """Reads lines from one file descriptor and writes lines to another."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue(WAITING_LINES)
        self._unsent = bytearray()
        self._unwritten = 0  # bytes, those included that are being written
        self._some = threading.Condition()
        self._room = asyncio.Event()
        self._room.set()
        self._flushed = asyncio.Event()
        self._flushed.set()
        self._broken = False
        for job in (self._read, self._write):
            threading.Thread(target=job, name=f"acp{job.__name__}", daemon=True).start()

    async def lines(self) -> AsyncIterator[bytes]:
        """Each line that is not blank, without its end, until the input ends or the reader of ours has left."""
        while (line := await self._lines.get()) is not None and not self._broken:
            if line.strip():
                yield line

    async def write(self, line: bytes) -> None:
        """Send a line; returns when it may be followed by another one. Nothing happens once the reader has left."""
        if self._broken:
            return
        self._unwritten += len(line) + 1
        self._flushed.clear()
        if self._unwritten > UNSENT_MAX:
            self._room.clear()
        with self._some:
            self._unsent += line + b"\n"
            self._some.notify()
        await self._room.wait()

    async def flush(self) -> None:
        """Return when everything is written, or the reader takes too long."""
        try:
            async with asyncio.timeout(LAST_WORDS):
                await self._flushed.wait()
        except TimeoutError:
            return

    # --- threads -----------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        held, too_long = bytearray(), False
        while True:
            try:
                data = os.read(self._source, CHUNK)
            except OSError:
                data = b""
            *whole, rest = (bytes(held) + data).split(b"\n")
            for line in whole:
                if not self._give(TOO_LONG if too_long else line):
                    return
                too_long = False
            held = bytearray(rest)
            if len(held) > LINE_MAX:
                held, too_long = bytearray(), True
            if not data:
                if held:
                    self._give(bytes(held))
                self._give(None)
                return

    def _give(self, line: bytes | None) -> bool:
        given = self._lines.put(line)
        try:
            asyncio.run_coroutine_threadsafe(given, self._loop).result()
        except (RuntimeError, CancelledError):  # the command has ended
            given.close()
            return False
        return True

    def _write(self) -> None:
        while True:
            with self._some:
                while not self._unsent:
                    self._some.wait()
                data, self._unsent = bytes(self._unsent), bytearray()
            try:
                done = 0
                while done < len(data) and not self._broken:
                    done += os.write(self._sink, data[done : done + CHUNK])
            except OSError:
                self._broken = True
                self._give(None)
            try:
                self._loop.call_soon_threadsafe(self._wrote, len(data))
            except RuntimeError:  # the command has ended
                return

    def _wrote(self, size: int) -> None:
        self._unwritten -= size
        if self._unwritten <= UNSENT_MAX:
            self._room.set()
        if not self._unwritten:
            self._flushed.set()
