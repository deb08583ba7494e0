"""Attaching to a session of a real Hermes gateway in the middle of a fast reply: exact each time, no word twice."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

from agent.adapters.backends.hermes import HermesBackend
from agent.adapters.backends.hermes.config import gateway_config
from agent.adapters.backends.hermes.hub import HubTimeouts
from agent.ports import BackendConfig, BackendEvent, Exchange, Finished, LetsGo, Offer, Prompted, Said, Start
from agent.protocol.model import SessionId
from tests.agents import Recipe
from tests.agents.fixtures import RealAgent
from tests.e2e.hermes import READY, START, program
from tests.models import ModelServer

pytestmark = [pytest.mark.agents, pytest.mark.timeout(300)]  # twenty replies of a real agent, 35 s on a quiet machine

ROUNDS, SESSIONS = 20, 6
"""`bench_hermes` makes 60 rounds."""
LATE = 30
"""Rounds that may be over before they are attached to."""
PIECES, GAP = 400, 0.003
"""Of one reply: as many at once, then as many with that many seconds between two of them.

A gateway that gets more at once is busy until the reply is over, and answers who attaches only then.
"""


class Window:
    """A plain client of the gateway."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._number = socket, 0
        self.deltas = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Self]:
        """Connect."""
        async with aiohttp.ClientSession() as http, http.ws_connect(url, max_msg_size=0) as socket:
            yield cls(socket)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask, and wait for the result."""
        self._number += 1
        await self._socket.send_json({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        while True:
            frame = await self._socket.receive_json()
            self.deltas += is_delta(frame)
            if frame.get("id") == self._number:
                assert "result" in frame, frame
                result: dict[str, Any] = frame["result"]
                return result

    async def see(self, deltas: int) -> None:
        """Return once that many pieces of the reply have come."""
        self.deltas = 0
        while self.deltas < deltas:
            self.deltas += is_delta(await self._socket.receive_json())


def is_delta(frame: dict[str, Any]) -> bool:
    return (frame.get("params") or {}).get("type") == "message.delta"


class Viewer:
    """Takes what a session tells, and keeps the turn that runs."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.over = asyncio.Event()
        self._past = False

    async def emit(self, event: BackendEvent) -> None:
        if isinstance(event, Prompted):
            self._past = event.past
        elif isinstance(event, Said) and not self._past:
            self.pieces.append(event.text)
        elif isinstance(event, Finished) and not self._past:
            assert event.status == "complete"
            self.over.set()


@asynccontextmanager
async def gateway(recipe: Recipe, token: str) -> AsyncIterator[int]:
    """`hermes serve` on loopback; its port."""
    process = await asyncio.create_subprocess_exec(
        *(program(recipe), "serve", "--host", "127.0.0.1", "--port", "0"),
        env={**recipe.environ(), "HERMES_DASHBOARD_SESSION_TOKEN": token, "PYTHONUNBUFFERED": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout
    try:
        async with asyncio.timeout(START):
            while READY not in (line := (await process.stdout.readline()).decode()):
                assert line, "it ended"
        yield int(line.rpartition("=")[2])
    finally:
        os.killpg(process.pid, 9)
        await process.wait()


async def test_attachments_into_a_fast_reply_are_exact(
    models: ModelServer, real_agent: RealAgent, tmp_path: Path
) -> None:
    recipe = real_agent("hermes", tmp_path / "home", tmp_path / "work", models.url)
    assert await attach_in_the_middle(models, recipe, tmp_path, ROUNDS) == ROUNDS


async def attach_in_the_middle(models: ModelServer, recipe: Recipe, folder: Path, rounds: int) -> int:
    """Attach until `rounds` times it was in the middle of a reply; each time exactly what the model sent is shown."""
    token_file = folder / "token"
    token_file.write_text(secrets.token_urlsafe(32))
    token_file.chmod(0o600)
    token = token_file.read_text()
    async with gateway(recipe, token) as port:
        url = f"http://127.0.0.1:{port}"
        config = BackendConfig(kind="hermes", mode="join", url=url, token_file=str(token_file))
        backend = HermesBackend(gateway_config("hermes", config), timeouts=HubTimeouts(poll=0.2, retry=0.05))
        async with Window.open(f"ws{url[4:]}/api/ws?token={token}") as window, asyncio.TaskGroup() as group:
            made = [await window.call("session.create", cols=100) for _ in range(SESSIONS)]
            holding = group.create_task(backend.watch(ignore), name="test.watch")
            logs: list[list[Exchange]] = [[] for _ in made]  # what this service has of each: the prompts were its own
            middle, number = 0, 0
            while middle < rounds:
                chosen, log, before = made[number % SESSIONS], logs[number % SESSIONS], len(models.turns)
                prompt = f"model: say {PIECES} r{number}\nmodel: slow {PIECES} {GAP}"
                await window.call("prompt.submit", session_id=chosen["session_id"], text=prompt)
                await window.see(1 + number)  # further into the reply each time
                viewer = Viewer()
                log.append(Exchange(prompt, ""))
                session = await backend.start(again(chosen["stored_session_id"], log), viewer.emit)
                async with asyncio.timeout(30):
                    await viewer.over.wait()
                sent = models.turns[before].said
                streamed = len(viewer.pieces) > 2  # what was there, and pieces that came
                if not streamed:  # the reply was over before: Hermes keeps it without the blank at its end
                    sent = sent.rstrip()
                    viewer.pieces = ["".join(viewer.pieces).rstrip()]
                assert "".join(viewer.pieces) == sent, f"round {number}: {diff(viewer.pieces, sent)}"
                log[-1] = Exchange(prompt, sent)
                middle += streamed
                assert isinstance(session, LetsGo)
                await session.let_go()
                number += 1
                assert number - middle <= LATE
            holding.cancel()
    return middle


def again(stored: str, log: list[Exchange]) -> Start:
    """How a session goes on after a restart of this service, which has prompted it last."""

    async def history(characters: int) -> list[Exchange]:
        return list(log)

    return Start(session=SessionId("attached"), lineage=(stored,), restored=True, history=history)


async def ignore(offers: Sequence[Offer]) -> None:
    pass


def diff(pieces: Sequence[str], sent: str) -> str:
    """Where they part."""
    shown = "".join(pieces)
    pairs = enumerate(zip(shown, sent, strict=False))
    at = next((at for at, (one, other) in pairs if one != other), min(len(shown), len(sent)))
    around = slice(max(0, at - 60), at + 60)
    return f"after {at} of {len(sent)} characters: {shown[around]!r} for {sent[around]!r}"
