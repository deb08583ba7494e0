"""Who is at the other end of a Unix socket, as the system tells it: a path can change hands after it was looked at."""

from __future__ import annotations

import socket
import struct
import sys

# Linux has struct ucred: pid, uid, gid. macOS has, at level 0 (SOL_LOCAL), LOCAL_PEERCRED with struct xucred (version,
# uid, group count, groups) and LOCAL_PEERPID.
_SOL_LOCAL = 0
_LOCAL_PEERCRED = 1
_LOCAL_PEERPID = 2


def peer_uid(connection: socket.socket | None) -> int | None:
    """Return the user id at the other end; None where the system does not tell, or the socket is none of Unix."""
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    try:
        if sys.platform == "linux":
            uid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
        else:
            uid = struct.unpack("2I", connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 8))[1]
    except OSError:
        return None
    return int(uid)


def peer_pid(connection: socket.socket | None) -> int | None:
    """Return the id of the process that opened the other end; None where the system does not tell."""
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    try:
        if sys.platform == "linux":
            pid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        else:
            pid = struct.unpack("i", connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID, 4))[0]
    except OSError:
        return None
    return int(pid) or None
