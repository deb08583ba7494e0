"""Small private files that are replaced whole, as every file of the state folder is.

A folder of ours is 0700 and a file 0600, owned by us and reached through no symbolic link. Source: FACTS-SECURITY §4.
"""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import suppress
from pathlib import Path

from agent.errors import StateError

SIZE_MAX = 8 << 20
"""Bytes of a state file: a larger one is none of ours, and none is written."""

_SHARED = stat.S_IRWXG | stat.S_IRWXO
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH


def private_folder(folder: Path) -> Path:
    """Make the folder and what is missing above it, and make it private if it is ours. Raises: StateError."""
    try:
        for missing in reversed([each for each in (folder, *folder.parents) if not os.path.lexists(each)]):
            missing.mkdir(mode=0o700, exist_ok=True)
        _check_above(folder)
        found = folder.lstat()
    except OSError as exc:
        raise _failed("use", folder, exc) from exc
    if not stat.S_ISDIR(found.st_mode):
        raise StateError(f"{folder} is a symbolic link", hint="name the folder that it leads to")
    if found.st_uid != os.geteuid():
        raise StateError(f"{folder} belongs to another user", hint="use a folder of your own, or mend its owner")
    if found.st_mode & _SHARED:
        folder.chmod(0o700)
    return folder


def _check_above(folder: Path) -> None:
    # In a folder that everybody may write to, /tmp above all, a name is its owner's to move away and to replace.
    for child in (folder, *folder.parents):
        if not child.parent.stat().st_mode & stat.S_IWOTH or child == child.parent:
            continue
        if not child.parent.stat().st_mode & stat.S_ISVTX:
            raise StateError(f"everybody may replace what is in {child.parent}", hint=f"`chmod o-w {child.parent}`")
        if child.lstat().st_uid not in {0, os.geteuid()}:
            raise StateError(f"{child} belongs to another user", hint="have it removed, or use another folder")


def read_private(path: Path, *, secret: bool = False) -> bytes | None:
    """The content of a private file; None if there is none.

    A file that others may write is refused, and a `secret` one that they may read too, as ssh does: its content must be
    thought known. Raises: StateError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as exc:
        if path.is_symlink():
            raise StateError(f"{path} is a symbolic link", hint="put the file itself there") from exc
        raise _failed("read", path, exc) from exc
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise StateError(f"{path} is not a file", hint="move it away and start again")
    with os.fdopen(descriptor, "rb") as file:
        if found.st_uid != os.geteuid():
            raise StateError(f"{path} belongs to another user", hint="mend its owner, or move it away")
        if found.st_mode & (_SHARED if secret else _WRITABLE):
            doing = "read" if secret else "change"
            raise StateError(
                f"other users may {doing} {path}",
                hint=f"if nobody did: `chmod 600 {shlex.quote(str(path))}`",
            )
        if found.st_mode & _SHARED:
            os.fchmod(descriptor, 0o600)
        try:
            data = file.read(SIZE_MAX + 1)
        except OSError as exc:
            raise _failed("read", path, exc) from exc
    if len(data) > SIZE_MAX:
        raise StateError(f"{path} is larger than any file of ours", hint="move it away and start again")
    return data


def write_private(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace the file: a reader sees the old or the new content, never a part.

    Returns once the new content survives a power cut; with `durable` off, a power cut may leave the old content or an
    empty file. Raises: StateError, and then the old content is still there: also if no start could read the new one.
    """
    if len(data) > SIZE_MAX:
        raise StateError(f"{path.name} would be larger than {SIZE_MAX >> 20} MiB", hint="nothing was changed")
    fresh = path.with_name(path.name + ".new")
    try:
        with suppress(FileNotFoundError):
            fresh.unlink()  # of a process that died here; only one service uses a folder at a time
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # whatever the umask
            file.write(data)
            file.flush()
            if durable:
                os.fsync(descriptor)
        fresh.replace(path)
        if durable:
            _sync_folder(path.parent)
    except OSError as exc:
        with suppress(OSError):
            fresh.unlink()
        raise _failed("write", path, exc) from exc


def damaged(path: Path, reason: str) -> StateError:
    """The error for a file that is there and cannot be understood; it is never overwritten."""
    return StateError(f"{path} is damaged: {reason}", hint=f"restore it from a backup, or move {path.name} away")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failed(doing: str, path: Path, exc: OSError) -> StateError:
    hint = "check the disk and the folder's permissions; HOME or LAN_AGENT_HOME puts it elsewhere"
    return StateError(f"cannot {doing} {path}: {exc.strerror}", hint=hint)
