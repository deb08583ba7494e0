"""Who has the transcripts open, on a file system without locks: a note beside the file, and SQLite's folder for a lock.

`transcripts.db.lock` is SQLite's (its VFS `unix-dotfile`); it stays behind when a service is killed.
`transcripts.db.owner` says which machine that was. The home's own lock sees to it that there is one service on this
machine, so what this machine has left behind may go.
"""

from __future__ import annotations

import hashlib
import os
import socket
from contextlib import suppress
from pathlib import Path

from agent.adapters.storage.files import read_private, write_private
from agent.errors import StateError


def take_place(path: Path, machine: str) -> None:
    """Note that this machine uses the file, and remove the lock that it has left behind.

    Call while holding the home's lock. `machine` names it and no other one; empty: not known. Raises: StateError, if
    another one may be using the file.
    """
    lock, owner = _lock(path), _owner(path)
    mark = hashlib.sha256(b"lan-agent place\0" + (machine or socket.gethostname()).encode()).hexdigest()
    if os.path.lexists(lock):
        host, _, noted = (read_private(owner) or b"").decode("utf-8", "replace").strip().partition(" ")
        if noted != mark:
            raise StateError(
                f"{path} is in use by another machine ({host or 'not known which'}), as {lock} says",
                hint=f"end the service there; if none runs there any more: `rmdir {lock}`",
            )
        with suppress(OSError):
            lock.rmdir()
    write_private(owner, f"{socket.gethostname().replace(' ', '-')} {mark}\n".encode())


def leave_place(path: Path) -> None:
    """Undo `take_place`, after the file was closed."""
    with suppress(OSError):
        _owner(path).unlink()


def _lock(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _owner(path: Path) -> Path:
    return path.with_name(f"{path.name}.owner")
