"""All sessions that can be attached to, of all devices, kept up to date; asked every 1.5 s by the terminal UI."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import TypeVar

from agent.client.stream import ConnectionBack, Stream, streaming
from agent.errors import AgentError, NotRunning, SessionNotFound
from agent.protocol.messages import ListSessions, SessionsChanged
from agent.protocol.methods import SESSION_WATCH, Method, P, R
from agent.protocol.model import SessionRow

T = TypeVar("T")
SHOWN_MAX = 200
"""Rows that are told, the newest."""


class SessionList:
    """The rows of all sessions as the service tells them; while it is away, as it told them last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[str, SessionRow] = {}
        self._stream: Stream | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Watch the list until cancelled. `ready` fails if there is no service at the beginning."""
        try:
            async with streaming(self.path, patience=math.inf) as stream:
                self._stream = stream
                await self._watch(stream)
                self.ready.set_result(None)
                async for note in stream.notes():
                    if isinstance(note, SessionsChanged):
                        self._rows.update({row.id: row for row in note.changed})
                        for gone in note.removed:
                            self._rows.pop(gone, None)
                    elif isinstance(note, ConnectionBack):
                        await self._watch(stream)
        except AgentError as exc:
            if self.ready.done():
                raise
            self.ready.set_exception(exc)

    async def _watch(self, stream: Stream) -> None:
        self._rows = {row.id: row for row in await stream.insist(SESSION_WATCH, ListSessions())}

    async def request(self, method: Method[P, R], params: P, *, seconds: float = 60.0) -> R:
        """Ask the service something else, once. Raises: AgentError."""
        if self._stream is None:
            raise NotRunning("the service is not running")
        return await self._stream.once(method, params, seconds=seconds)

    def rows(self) -> list[SessionRow]:
        """The rows that can be attached to: those of this device first, the newest first."""
        shown = [row for row in self._rows.values() if row.attachable]
        shown.sort(key=lambda row: (row.updated_at, row.id), reverse=True)
        shown.sort(key=lambda row: not row.local)
        return shown[:SHOWN_MAX]

    def find(self, session: str) -> SessionRow:
        """The row of a listed session. Raises: SessionNotFound."""
        row = self._rows.get(session)
        if row is None:
            raise SessionNotFound(f"no session {session!r}")
        return row
