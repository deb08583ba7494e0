"""A backend whose sessions do what a test tells them, event by event, over a socket: as slow as the test wants."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any, ClassVar

import msgspec

from agent import ports
from agent.ports import Backend, Emit, Start
from agent.protocol.events import Answer

FOLDER = "SCRIPTED_BACKEND"
"""Environment variable with the folder of the sockets, one for each session, called by its id."""


class ScriptedBackend:
    name: ClassVar[str] = "scripted"
    description: ClassVar[str] = "does what a test tells it"
    takes_command: ClassVar[bool] = False

    def missing(self) -> str:
        return ""

    async def start(self, start: Start, emit: Emit) -> Backend:
        session = ScriptedSession(emit)
        path = f"{os.environ[FOLDER]}/{start.session}"
        session.server = await asyncio.start_unix_server(session.serve, path)  # in place of that of an earlier start
        return session


class ScriptedSession:
    """Tells whoever connects all that it was asked for, as JSON lines, and emits what it is told."""

    server: asyncio.Server

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._heard: list[bytes] = []
        self._drivers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines(self._heard)
        self._drivers.add(writer)
        while line := await reader.readline():
            kind, fields = json.loads(line)
            await self._emit(msgspec.convert(fields, getattr(ports, kind)))
            writer.write(b'["emitted"]\n')
        self._drivers.discard(writer)
        writer.close()

    def _tell(self, *words: Any) -> None:
        self._heard.append(msgspec.json.encode(words) + b"\n")
        for writer in self._drivers:
            writer.write(self._heard[-1])

    async def prompt(self, text: str) -> None:
        self._tell("prompt", text)

    async def answer(self, request_id: str, answer: Answer) -> None:
        self._tell("answer", request_id, answer)

    async def choose(self, option: str, value: str) -> None:
        self._tell("choose", option, value)

    async def interrupt(self) -> None:
        self._tell("interrupt")

    async def close(self) -> None:
        self.server.close()
        for writer in self._drivers:
            writer.close()
