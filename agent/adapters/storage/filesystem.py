"""Abilities of the file system of a folder, tried out: network homes and FUSE lack one thing or the other.

SQLite takes record locks, and shares its index of the log among connections by a memory map. Where there are no locks
it says "database is locked", where there are no such maps "disk I/O error", and neither names the cause.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from pathlib import Path
from typing import NamedTuple

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
"""What a file system answers that takes no locks. Everything else says that somebody else has the lock."""

_PROBE = ".probe"
_SIZE = 4096


class Abilities(NamedTuple):
    """What a file system can do, as far as SQLite needs it."""

    locks: bool = True  # record locks (fcntl)
    maps: bool = True  # memory maps that are shared


def abilities(folder: Path) -> Abilities:
    """Try out what a file system can do with a file of that folder.

    If such a file cannot even be made there, nothing is known: all is well then.
    """
    path = folder / _PROBE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return Abilities()
    try:
        os.ftruncate(descriptor, _SIZE)  # a hole: needs no room
        return Abilities(locks=_takes_locks(descriptor), maps=_takes_maps(descriptor))
    except OSError:
        return Abilities()
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)


def _takes_locks(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        return exc.errno not in NO_LOCKS
    return True


def _takes_maps(descriptor: int) -> bool:
    try:
        mmap.mmap(descriptor, _SIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE).close()
    except OSError:
        return False
    return True
