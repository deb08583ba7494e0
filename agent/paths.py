"""Where things of this device are.

The command line reads this on every start, so nothing heavy is imported here: `agent peers` has a budget (DESIGN §9).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from agent.errors import ConfigError

HOMELESS = "this user has no home directory"
FOR_HOMELESS = "set HOME, or LAN_AGENT_HOME to a folder for all that the service keeps"
SOCKET = "control.sock"
SOCKET_PATH_MAX = 100
"""Bytes of a Unix socket's path: the kernels take 108 (Linux) and 104 (macOS), with the final zero."""


def expanded(path: str) -> Path:
    """The path, absolute, with the home directory in place of `~`. Raises: ConfigError, if this user has none."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:  # no HOME, and no entry in the table of users
        raise ConfigError(f"cannot tell where {path} is: {HOMELESS}", hint=FOR_HOMELESS) from None


def runtime_folder(environ: Mapping[str, str]) -> Path:
    """The folder of the control socket, absolute; not created. `LAN_AGENT_HOME` moves it.

    A path too long for a socket is replaced by a short one under /tmp, named by a hash of the long one: whoever
    creates that folder must check that it is its own and 0700. Raises: ConfigError.
    """
    home = environ.get("LAN_AGENT_HOME")
    if home:
        folder = expanded(home) / "run"
    elif sys.platform == "linux":
        folder = _of_this_user(environ)  # what platformdirs says, 18 ms sooner, and more
    else:
        import platformdirs  # noqa: PLC0415 - 18 ms that most starts do not need

        folder = Path(platformdirs.user_runtime_dir("lan-agent"))
    if len(os.fsencode(folder / SOCKET)) <= SOCKET_PATH_MAX:
        return folder
    import hashlib  # noqa: PLC0415 - 5 ms that most starts do not need

    named = hashlib.sha256(os.fsencode(home or folder)).hexdigest()[:16]
    return Path(f"/tmp/lan-agent-{os.getuid()}/{named}")  # noqa: S108 - short, per user, checked by its creator


def _of_this_user(environ: Mapping[str, str]) -> Path:
    # Without the variable (cron, su) and with somebody else's (su), the folder that a login of this user has. That one
    # comes with the first login: a service which was there before is found where it started.
    usual, spare = f"/run/user/{os.getuid()}", Path(f"/tmp/lan-agent-{os.getuid()}/run")  # noqa: S108 - as above
    named = environ.get("XDG_RUNTIME_DIR", "").strip()
    if named.rstrip("/") not in {"", usual} and _is_ours(named):
        return Path(named, "lan-agent")
    folder = Path(usual, "lan-agent")
    if not _is_ours(usual) or (_is_ours(spare / SOCKET) and not _is_ours(folder / SOCKET)):
        return spare
    return folder


def _is_ours(path: str | Path) -> bool:
    try:
        return Path(path).stat().st_uid == os.getuid()
    except OSError:
        return False


def control_socket_path(environ: Mapping[str, str]) -> Path:
    """Where the service of this environment listens for its own user's commands. Raises: ConfigError."""
    return runtime_folder(environ) / SOCKET
