"""Sees to it that there is one service a home: the runtime folder, its lock, and the control socket's path (T7)."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.adapters.storage.files import private_folder
from agent.errors import AgentError, ServiceOver, StateError

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
"""What a file system answers that takes no locks."""

TakeLock = Callable[[int, int], None]
"""flock(2)."""


class AlreadyRunning(AgentError):
    """A service runs in this home already."""

    hint = "`agent status` shows it; LAN_AGENT_HOME names another home for a second one"


class HomeLock:
    """The lock of a home, held by an open file: the kernel lets go of it when the service ends, however it ends."""

    def __init__(self, runtime: Path, *, flock: TakeLock = fcntl.flock) -> None:
        """Take the lock. Raises: AlreadyRunning; StateError (the folder, or no folder here takes locks)."""
        self._runtime, self._flock = runtime, flock
        self._path, self._lock = self._taken()

    def lost(self) -> str:
        """Why this service can no longer be sure to be the only one in its home; empty: it can."""
        try:
            there, held = self._path.stat(), os.fstat(self._lock)
        except OSError as exc:
            return f"the lock {self._path} is gone ({exc.strerror})"
        if (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino):
            return f"the lock {self._path} was replaced"
        return ""

    def keep(self) -> None:
        """Take the lock anew if its file was deleted, as whatever cleans /tmp does.

        Raises: ServiceOver, if another service has the home now; StateError, if it cannot be taken.
        """
        if not self.lost():
            return
        try:
            path, lock = self._taken()
        except AlreadyRunning as exc:
            told = "another service has taken this home, after its lock was deleted"
            raise ServiceOver(told, hint="that one goes on; `agent status` shows it") from exc
        before = self._lock
        self._path = path
        self._lock = lock
        os.close(before)

    def close(self) -> None:
        """Let go of the lock."""
        os.close(self._lock)

    def _taken(self) -> tuple[Path, int]:
        # In the runtime folder; where that takes no locks, in a folder of /tmp that is named by it.
        refused = ""
        for place in (_within, _elsewhere):
            path = place(self._runtime)
            lock = _open(path)
            try:
                self._flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(lock, 0)
                os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
            except BlockingIOError as exc:
                pid = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
                os.close(lock)
                told = f"the service is running already{f' (process {pid})' if pid.isdigit() else ''}"
                raise AlreadyRunning(told) from exc
            except OSError as exc:
                os.close(lock)
                if exc.errno not in NO_LOCKS:
                    raise StateError(f"{path} cannot be locked: {exc.strerror}", hint="check the disk") from exc
                refused = f"{path} cannot be locked ({exc.strerror})"
            else:
                return path, lock
        raise StateError(
            f"{refused}, so that two services could use one home",
            hint="put the runtime folder on a local disk: XDG_RUNTIME_DIR or LAN_AGENT_HOME says where it is",
        )


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as exc:
        raise StateError(f"{path} cannot be opened: {exc.strerror}", hint="move it away and start again") from exc


def _within(runtime: Path) -> Path:
    return private_folder(runtime) / "lock"


def _elsewhere(runtime: Path) -> Path:
    named = hashlib.sha256(os.fsencode(runtime.resolve())).hexdigest()[:16]
    return private_folder(Path(f"/tmp/lan-agent-{os.geteuid()}/locks")) / named  # noqa: S108 - checked to be ours


@contextmanager
def only_one(runtime: Path) -> Iterator[HomeLock]:
    """Hold the home's lock. Raises: AgentError, if a service runs there already; StateError (the folder)."""
    lock = HomeLock(runtime)
    try:
        yield lock
    finally:
        lock.close()


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
