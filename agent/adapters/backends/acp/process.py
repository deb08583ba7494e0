"""One agent's process: its pipes, the end of its stderr, and how it is ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from agent.adapters.backends.acp.timeouts import Timeouts
from agent.adapters.backends.launching import not_started
from agent.adapters.backends.limits import give_back
from agent.adapters.backends.process_owner import SESSION_MARK
from agent.protocol.model import SessionId
from agent.protocol.names import clean

AHEAD_MAX = 65_536
"""Bytes read beyond what was taken; then the agent waits at its next write."""
STDERR_MAX = 65_536
"""Bytes of the end of stderr that are kept."""
LOOKS_MAX = 25
"""How often a pipe that is not silent, of an agent that has ended, is looked at."""
LAST_LINES, LAST_CHARACTERS = 3, 400
"""How much of it an error message shows."""


class AgentProcess(asyncio.SubprocessProtocol):
    """The pipes of a running agent, which leads a process session of its own. One task reads."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts
        self._transport: asyncio.SubprocessTransport | None = None
        self._read: list[bytes] = []
        self._ahead = self._taken = 0  # bytes not yet read by us, and in all
        self._eof = False
        self._wake = asyncio.Event()
        self._exited = asyncio.Event()
        self._stderr: list[bytes] = []
        self._stderr_size = 0
        self.pid = 0

    @property
    def status(self) -> int | None:
        """Exit status of the agent, negative for a signal; None while it runs."""
        return self._transport.get_returncode() if self._transport is not None else None

    async def read(self) -> bytes:
        """Return what the agent has written since the last call, waiting for something; empty at the end."""
        while not self._read:
            if self._eof:
                return b""
            self._wake.clear()
            await self._wake.wait()
        data = b"".join(self._read)
        self._read.clear()
        self._ahead = 0
        if (pipe := self._pipe(1)) is not None and not pipe.is_reading():
            pipe.resume_reading()
        return data

    def write(self, line: bytes) -> None:
        """Hand the agent a line; what it does not read waits here. Nothing happens once it has ended."""
        assert self._transport is not None
        pipe = cast("asyncio.WriteTransport | None", self._transport.get_pipe_transport(0))
        if pipe is not None and not pipe.is_closing():
            pipe.write(line)

    def last_words(self) -> str:
        """The end of the agent's stderr, in one line; empty if it said nothing."""
        lines = b"".join(self._stderr).decode(errors="replace").splitlines()
        said = [text for line in lines if (text := clean(line, LAST_CHARACTERS).strip())]
        return " / ".join(said[-LAST_LINES:])[-LAST_CHARACTERS:]

    async def stop(self, *, heeds_eof: bool) -> None:
        """End the agent and its process group: by the end of its input, then SIGTERM, then SIGKILL. Idempotent.

        `heeds_eof`: whether the agent ends when its input does; else it is not waited for before SIGTERM.
        """
        transport = self._transport
        if transport is None:
            return
        if (pipe := transport.get_pipe_transport(0)) is not None:
            pipe.close()
        if not (heeds_eof and await self._ends_within(self._timeouts.eof)):
            self._signal(signal.SIGTERM)
            await self._ends_within(self._timeouts.term)
        self._signal(signal.SIGKILL)  # the rest of its group too
        await self._ends_within(self._timeouts.term)
        self._eof = True
        self._wake.set()
        transport.close()

    async def ended(self) -> str:
        """Why there is nothing more to read from the agent, once it is known whether it ended."""
        await self._ends_within(self._timeouts.status)
        return self._how()

    def _how(self) -> str:
        status = self.status
        if status is None:
            how = "closed its output"
        elif status < 0:
            how = f"was ended by {_signal_name(-status)}"
        else:
            how = f"ended with exit status {status}"
        # Who was killed had no last words: what it said is of long before.
        words = "" if status == -signal.SIGKILL else self.last_words()
        return f"{how}: {words}" if words else how

    async def _ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._exited.wait()
        return self._exited.is_set()

    def _signal(self, number: signal.Signals) -> None:
        # The group's id is the agent's: it stays taken while any member lives, so it is nobody else's.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _pipe(self, descriptor: int) -> asyncio.ReadTransport | None:
        assert self._transport is not None
        return cast("asyncio.ReadTransport | None", self._transport.get_pipe_transport(descriptor))

    # --- asyncio.SubprocessProtocol ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that the agent was started (asyncio.SubprocessProtocol)."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.pid = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Take what the agent has written to a pipe (asyncio.SubprocessProtocol)."""
        if fd == 2:
            self._complained(data)
            return
        self._read.append(data)
        self._ahead += len(data)
        self._taken += len(data)
        if self._ahead >= AHEAD_MAX and (pipe := self._pipe(1)) is not None and pipe.is_reading():
            pipe.pause_reading()
        self._wake.set()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Note that the agent has closed a pipe (asyncio.SubprocessProtocol)."""
        if fd == 1:
            self._ended()

    def process_exited(self) -> None:
        """Note that the agent has ended. A program of its own may hold on to the pipe for long."""
        self._exited.set()
        self._loop.call_later(self._timeouts.silence, self._until_silent, self._taken, 0)

    def _until_silent(self, taken: int, looks: int) -> None:
        """End when nothing came since; while nobody takes what came, there may be more."""
        pipe = self._pipe(1)
        waits = pipe is not None and not pipe.is_closing() and not pipe.is_reading()
        if self._eof or not (waits or (self._taken != taken and looks < LOOKS_MAX)):
            self._ended()
            return
        self._loop.call_later(self._timeouts.silence, self._until_silent, self._taken, looks + (not waits))

    def _ended(self) -> None:
        self._eof = True
        self._wake.set()

    def _complained(self, data: bytes) -> None:
        self._stderr.append(data)
        self._stderr_size += len(data)
        if self._stderr_size > 2 * STDERR_MAX:
            kept = b"".join(self._stderr)[-STDERR_MAX:]
            self._stderr, self._stderr_size = [kept], len(kept)


async def launch(
    argv: Sequence[str], environ: Mapping[str, str], folder: Path, session: SessionId, timeouts: Timeouts
) -> AgentProcess:
    """Start an agent in that folder for a session. Raises: BackendFailed, naming the program."""
    try:
        _, process = await asyncio.get_running_loop().subprocess_exec(
            lambda: AgentProcess(timeouts),
            *argv,
            cwd=folder,
            env={**environ, SESSION_MARK: session},
            start_new_session=True,
        )
    except OSError as exc:
        raise not_started(argv[0], exc) from exc
    give_back(process.pid)
    return process


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
