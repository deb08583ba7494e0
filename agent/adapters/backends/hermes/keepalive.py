"""Keeps sessions that were taken from a window of Hermes alive when this service stops, until that window has them.

Stock gateways end a session 20 s after the connection that has its events is gone, though its owner sits at a window of
it, and let no connection hand events to another one. So a small process of its own has them from then on, and ends when
a window, or this service once it is back, has taken each of them: both show in `last_active`. What is to be held comes
by standard input: no token stands in an argument or variable (T7).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys

import msgspec
from msgspec import Struct

from agent.adapters.backends.hermes import wire
from agent.adapters.backends.hermes.wire import GatewayEvent, GatewayQuestion, LiveSession, Refusal
from agent.errors import BackendFailed
from agent.protocol.bounds import Amount, Rows, Words
from agent.tasks import child

KEEP = 86_400.0
"""Seconds for which sessions are held at most: whoever does not prompt for a day resumes his session."""
LOOK = 2.0
"""Seconds between two looks at the list."""
HOLDS = 3.0
"""Seconds for a process to begin; the gateway waits 20 before it ends anything."""
PROGRAM = ("-P", "-m", "agent.adapters.backends.hermes.keepalive")
ASKED_MAX = 65_536


class SessionsToKeep(Struct, frozen=True, kw_only=True):
    """The sessions to keep, and the gateway where they live."""

    base: Words  # http://127.0.0.1:PORT
    token: Words
    sessions: Rows[Words]  # live ids
    look: Amount = LOOK


class KeptSessions:
    """Knows which of the sessions are still ours. Pure: what is heard and listed is told to it."""

    def __init__(self, rows: dict[str, LiveSession]) -> None:
        """`rows` is how the sessions are listed after they were taken."""
        self.sessions = dict(rows)
        self._heard: set[str] = set()  # since the last look
        self._heard_before: set[str] = set()  # between the two looks before
        self._doubted: set[str] = set()

    def heard(self, session: str) -> None:
        """Note that an event of the session arrived: its events come to us."""
        self._heard.add(session)

    def look(self, rows: dict[str, LiveSession]) -> None:
        """Take the list: what was used since, twice without a word to us, has another connection now.

        A list may be looked at after the events that came behind it, so what was heard counts for the next one, too.
        """
        heard = self._heard | self._heard_before
        for session, before in list(self.sessions.items()):
            row = rows.get(session)
            if row is None:
                del self.sessions[session]
            elif row.last_active == before.last_active or session in heard:
                self.sessions[session] = row
                self._doubted.discard(session)
            elif session in self._doubted:
                del self.sessions[session]
            else:
                self._doubted.add(session)  # its first event may be on its way
        self._heard_before, self._heard = self._heard, set()


async def start(kept: SessionsToKeep) -> None:
    """Have a process of its own hold these sessions; returns once it does. Raises nothing."""
    with contextlib.suppress(OSError, TimeoutError):
        for before in _scopes():
            async with asyncio.timeout(HOLDS):
                process = await asyncio.create_subprocess_exec(
                    *before,
                    sys.executable,
                    *PROGRAM,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                    start_new_session=True,
                    cwd="/",  # it outlives this service, and must not hold a folder
                )
                await process.communicate(msgspec.json.encode(kept) + b"\n")
            if process.returncode == 0:
                return


def _scopes() -> list[list[str]]:
    # systemd ends all that is left in the service's control group: a scope is one of its own (systemd-run(1)).
    if os.environ.get("INVOCATION_ID") and (program := shutil.which("systemd-run")):
        return [[program, "--user", "--scope", "--quiet", "--collect", "--"], []]
    return [[]]


async def hold(kept: SessionsToKeep, begun: asyncio.Event) -> None:
    """Hold the sessions until they are others' again; `begun` is set once they are held. Raises: BackendFailed."""
    from agent.adapters.backends.hermes.connection import connect  # noqa: PLC0415 - aiohttp, which the starter lacks

    connection = await connect(kept.base, kept.token)

    async def heard(item: GatewayEvent | GatewayQuestion) -> None:
        if owned is not None:
            owned.heard(item.session)

    async def rows() -> dict[str, LiveSession]:
        result = await connection.call("session.active_list", {}, seconds=15.0)
        return {row.id: row for row in wire.rows(result)}

    owned: KeptSessions | None = None
    try:
        async with asyncio.TaskGroup() as group:
            reading = child(group, connection.run(heard), "backends.hermes.keepalive.read")
            taken = []
            for session in kept.sessions:
                with contextlib.suppress(Refusal):  # it is no more
                    await connection.call("session.activate", {"session_id": session}, seconds=15.0)
                    taken.append(session)
            listed = await rows()
            owned = KeptSessions({session: listed[session] for session in taken if session in listed})
            begun.set()
            while owned.sessions and not reading.done():
                await asyncio.sleep(kept.look)
                owned.look(await rows())
            reading.cancel()
    finally:
        await connection.close()


async def _serve(kept: SessionsToKeep, begun: int) -> None:
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        holding = child(group, hold(kept, ready), "backends.hermes.keepalive.hold")
        holding.add_done_callback(lambda _: ready.set())
        await ready.wait()
        os.close(begun)


def main() -> int:
    """Begin in a process of its own, so that whoever waits for this one goes on; 0 once the sessions are held."""
    kept = msgspec.json.decode(sys.stdin.buffer.readline(ASKED_MAX), type=SessionsToKeep)
    ready, begun = os.pipe()
    if os.fork():
        os.close(begun)
        os.read(ready, 1)  # its end: it holds them, or has ended
        return 0
    os.close(ready)
    os.setsid()
    with contextlib.suppress(BackendFailed, ExceptionGroup, TimeoutError):
        asyncio.run(asyncio.wait_for(_serve(kept, begun), KEEP))
    return 0


if __name__ == "__main__":
    sys.exit(main())
