"""Whose program listens at a port of this machine (Linux): another user may sit where a gateway is looked for (T6)."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from agent.processes import PROC, listening


def is_ours(base: str, proc: Path = PROC) -> bool:
    """Whether nobody but this user, or root, answers at `base` (http://127.0.0.1:PORT).

    To be asked after something has answered there and before it is told anything. Where no table tells (macOS), it
    is taken on trust. Source: proc_pid_net(5).
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
