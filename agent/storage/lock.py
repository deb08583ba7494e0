"""One service a home: the runtime folder, its lock, and the path of the control socket (T7)."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.errors import AgentError, StateError
from agent.storage.files import private_folder


@contextmanager
def only_one(runtime: Path) -> Iterator[None]:
    """Hold the home's lock. Raises: AgentError, if a service runs there already; StateError (the folder)."""
    path = private_folder(runtime) / "lock"
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as exc:
        raise StateError(f"{path} cannot be opened: {exc.strerror}", hint="move it away and start again") from exc
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            pid = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
            raise AgentError(
                f"the service is running already{f' (process {pid})' if pid.isdigit() else ''}",
                hint="`agent status` shows it; LAN_AGENT_HOME names another home for a second one",
            ) from exc
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def bind_socket(path: Path) -> socket.socket:
    """A socket of this user's at that path, in place of one that a service left behind; call while holding the lock.

    Raises: StateError, if anything but a socket of ours is there: it is left as it is.
    """
    with suppress(FileNotFoundError):
        found = os.lstat(path)
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
            raise StateError(f"{path} is not a socket of this service", hint="move it away and start again")
        path.unlink()
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound.bind(str(path))
    path.chmod(0o600)
    return bound
