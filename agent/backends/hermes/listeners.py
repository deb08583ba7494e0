"""Whose program listens at a port of this machine (Linux): another user may sit where a gateway is looked for (T6)."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

_LISTENS = "0A"


def is_ours(base: str, proc: Path = Path("/proc")) -> bool:
    """Whether nobody but this user, or root, answers at `base` (http://127.0.0.1:PORT).

    To be asked after something has answered there and before it is told anything. Where no table tells (macOS), it
    is taken on trust. Source: proc_pid_net(5); the columns of /proc/net/tcp are local address, state and user.
    """
    parts = urlsplit(base)
    reached = _reached(parts.hostname or "", parts.port or 80)
    owners: set[int] = set()
    told = False
    for table in ("net/tcp", "net/tcp6"):
        try:
            rows = [line.split() for line in (proc / table).read_text().splitlines()[1:]]
        except OSError:
            continue
        told = True
        owners |= {int(row[7]) for row in rows if row[3] == _LISTENS and row[1] in reached}
    return not told or (bool(owners) and owners <= {os.geteuid(), 0})


def _reached(host: str, port: int) -> set[str]:
    # Local addresses, as the tables write them, of sockets that a connection to there may reach.
    ends = [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")]  # noqa: S104 - compared, not listened at
    if host != "::1":
        ends += [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::ffff:127.0.0.1")]
    if ":" in host or host == "localhost":
        ends.append((socket.AF_INET6, "::1"))
    if host.startswith("127."):
        ends.append((socket.AF_INET, host))
    return {f"{_written(socket.inet_pton(family, address))}:{port:04X}" for family, address in ends}


def _written(address: bytes) -> str:
    words = (address[at : at + 4] for at in range(0, len(address), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
