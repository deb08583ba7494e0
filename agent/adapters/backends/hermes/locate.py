"""Locates the gateways of this machine, by process tables, Hermes's own ledger and answers at their ports.

Command lines of the same user are read, never another process's environment. Only what answers as a gateway counts, and
only if no other user may sit there (T6).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from agent.adapters.backends.hermes.config import GatewayConfig
from agent.adapters.backends.hermes.connection import status_of, token_of
from agent.errors import BackendFailed
from agent.processes import PROC, command_line, listening, listening_of, of_this_user
from agent.protocol.bounds import Many, Whole, Words
from agent.protocol.lenient import read

PORT = 9119
"""Where a gateway listens unless it is told otherwise."""
LOOK = 0.8
"""Seconds for all questions of one look."""
LEDGER = "spawn-ledger.json"


class LocatedGateway(Struct, frozen=True, kw_only=True):
    """A gateway that answered. `process`: its id, if that is known; 0: not."""

    base: Words
    version: Words
    auth_required: bool = False
    process: Whole = 0

    @property
    def port(self) -> str:
        """The gateway's port, as it is told to people."""
        return self.base.rpartition(":")[2]


class Candidate(Struct, frozen=True):
    """A place where a gateway might be."""

    base: Words
    process: Whole = 0


class _Spawned(Struct, frozen=True):
    """A row of the ledger of newer gateways."""

    pid: Whole
    port: Whole
    purpose: Words = ""
    isolated: bool = False


async def find_gateways(
    config: GatewayConfig | None = None, *, seconds: float = LOOK, proc: Path = PROC
) -> list[LocatedGateway]:
    """The gateways that answer now, the likeliest first; those of other users are left out. Raises nothing."""
    if config is not None and config.base:
        places = [Candidate(config.base)]
    else:
        places = await asyncio.to_thread(candidates)
    answers = await asyncio.gather(*(status_of(place.base, seconds) for place in places))
    return [
        LocatedGateway(
            base=place.base, version=status.version, auth_required=status.auth_required, process=place.process
        )
        for place, status in zip(places, answers, strict=True)
        if status is not None and is_ours(place.base, proc)
    ]


async def gateway_to_join(config: GatewayConfig, *, proc: Path = PROC) -> tuple[LocatedGateway, str]:
    """The gateway to join, and its token. Raises: BackendFailed, which says what is missing."""
    found = await find_gateways(config, proc=proc)
    if not found:
        if config.base and not is_ours(config.base, proc) and await status_of(config.base, LOOK) is not None:
            told = "what answers there as a Hermes gateway is run by another user"
            raise BackendFailed(told, hint="only a gateway of your own is joined: it would get your token and prompts")
        if config.base:
            told = f"no Hermes gateway answers at port {config.base.rpartition(':')[2]} of that device"
            raise BackendFailed(told, hint=f"start it there, or correct url in [backends.{config.name}]")
        hint = "start one with `hermes dashboard` there"
        raise BackendFailed("no Hermes gateway runs on that device", hint=hint)
    token = config.token()
    for gateway in found:
        if token or (told := await token_of(gateway.base, LOOK)):
            return gateway, token or told
    port = found[0].port
    hint = 'put its token into a file and name that as token_file, or use mode = "own"'
    raise BackendFailed(f"the Hermes gateway on port {port} does not tell its token", hint=hint)


def candidates(proc: Path = PROC, home: Path | None = None) -> list[Candidate]:
    """Where gateways might be: the usual port, running ones, those of the ledger; each place once."""
    places: dict[str, Candidate] = {}
    running = dict(_processes(proc))
    for pid, port in running.items():
        for one in [port] if port else sorted(_listening(proc, pid)):
            _add(places, one, pid)
    for row in _ledger(home or Path(os.environ.get("HERMES_HOME") or Path.home() / ".hermes")):
        _add(places, row.port, row.pid)
    _add(places, PORT, 0)
    return sorted(places.values(), key=lambda place: not place.base.endswith(f":{PORT}"))


def _add(places: dict[str, Candidate], port: int, process: int) -> None:
    if 0 < port < 65536:
        base = f"http://127.0.0.1:{port}"
        places.setdefault(base, Candidate(base, process))


def _processes(proc: Path) -> Iterator[tuple[int, int]]:
    # Process id and port (0: any) of every `hermes serve` and `hermes dashboard` of this user.
    for pid in of_this_user(proc):
        if (port := port_of(command_line(pid, proc))) is not None:
            yield pid, port


def port_of(words: list[str]) -> int | None:
    """The port in the command line of a gateway; 0 if that was left to the system; None if it is no gateway's."""
    verbs = [at for at, word in enumerate(words) if word in {"serve", "dashboard"}]
    if not verbs or not any(
        Path(word).name in {"hermes", "hermes_cli", "hermes_cli.main"} for word in words[: verbs[0]]
    ):
        return None
    if {"--status", "--stop", "--help", "-h"} & set(words):
        return None
    for at, word in enumerate(words):
        given = words[at + 1] if word == "--port" and at + 1 < len(words) else word.partition("--port=")[2]
        if given.isdecimal():
            return int(given)
    return PORT


def _listening(proc: Path, pid: int) -> set[int]:
    # Of one that was given any port: the ports on which its sockets listen on loopback (Linux).
    return {each.port for each in listening_of(pid, proc) if each.address.startswith("127.")}


def _ledger(home: Path) -> list[_Spawned]:
    try:
        rows = read((home / LEDGER).read_bytes(), Many[_Spawned]) or []
    except OSError:
        return []
    return [row for row in rows if row.purpose in {"serve", "dashboard", "gateway"} and not row.isolated]


def is_ours(base: str, proc: Path = PROC) -> bool:
    """Whether nobody but this user, or root, answers at `base` (http://127.0.0.1:PORT).

    To be asked after something has answered there and before it is told anything: another user may sit where a gateway
    is looked for (T6). Where no table tells (macOS), it is taken on trust.
    """
    parts = urlsplit(base)
    sockets = listening(proc / "net")
    if sockets is None:
        return True
    reached = _reached(parts.hostname or "")
    port = parts.port or 80
    owners = {each.user for each in sockets if each.port == port and each.address in reached}
    return bool(owners) and owners <= {os.geteuid(), 0}


def _reached(host: str) -> set[str]:
    # Local addresses of sockets that a connection to there may reach.
    found = {"0.0.0.0", "::"}  # noqa: S104 - compared, not listened at
    if host != "::1":
        found |= {"127.0.0.1", "::ffff:127.0.0.1"}
    if ":" in host or host == "localhost":
        found.add("::1")
    if host.startswith("127."):
        found.add(host)
    return found
