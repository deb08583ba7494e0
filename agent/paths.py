"""Where things of this device are.

The command line reads this on every start, so nothing heavy is imported here: `agent peers` has a budget (DESIGN §9).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

SOCKET_PATH_MAX = 100
"""Bytes of a Unix socket's path: the kernels take 108 (Linux) and 104 (macOS), with the final zero."""


def runtime_folder(environ: Mapping[str, str]) -> Path:
    """The folder of the control socket, absolute; not created. `LAN_AGENT_HOME` moves it.

    A path too long for a socket is replaced by a short one under /tmp, named by a hash of the long one: whoever
    creates that folder must check that it is its own and 0700.
    """
    home = environ.get("LAN_AGENT_HOME")
    if home:
        folder = Path(home).expanduser().absolute() / "run"
    elif sys.platform == "linux":
        # What platformdirs says, 18 ms sooner; without the variable (cron, su) the folder that a user service has.
        base = environ.get("XDG_RUNTIME_DIR", "").strip() or f"/run/user/{os.getuid()}"
        folder = Path(base, "lan-agent") if Path(base).is_dir() else Path(f"/tmp/lan-agent-{os.getuid()}/run")  # noqa: S108 - as below
    else:
        import platformdirs  # noqa: PLC0415 - 18 ms that most starts do not need

        folder = Path(platformdirs.user_runtime_dir("lan-agent"))
    if len(os.fsencode(folder / "control.sock")) <= SOCKET_PATH_MAX:
        return folder
    import hashlib  # noqa: PLC0415 - 5 ms that most starts do not need

    named = hashlib.sha256(os.fsencode(home or folder)).hexdigest()[:16]
    return Path(f"/tmp/lan-agent-{os.getuid()}/{named}")  # noqa: S108 - short, per user, checked by its creator


def control_socket_path(environ: Mapping[str, str]) -> Path:
    """Where the service of this environment listens for its own user's commands."""
    return runtime_folder(environ) / "control.sock"
