"""Which machine this is, so that a copied disk is noticed."""

from __future__ import annotations

import ctypes
import re
import sys
from contextlib import suppress
from pathlib import Path

_LINUX = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_SIZE = 16


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def machine_id() -> str:
    """32 hexadecimal digits that another machine does not have; empty if the system does not tell."""
    if sys.platform == "darwin":
        return _mac()
    for path in _LINUX:
        with suppress(OSError, UnicodeDecodeError):
            found = path.read_text(encoding="ascii").strip()
            if re.fullmatch(r"[0-9a-f]{32}", found) and found != "0" * 32:
                return found
    return ""


def _mac() -> str:
    # gethostuuid(3): the same after an installation anew.
    with suppress(OSError, AttributeError):
        found, wait = (ctypes.c_ubyte * _SIZE)(), _Timespec(1, 0)
        if ctypes.CDLL(None).gethostuuid(found, ctypes.byref(wait)) == 0:
            return bytes(found).hex()
    return ""
