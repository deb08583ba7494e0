"""Tells which machine this is, so that copied files are noticed, and who else is on it.

Source: docs/decisions/0023-which-machine.md.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import pwd
import re
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from agent.adapters.storage.state import StateFile

_LINUX = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_TRANSIENT = Path("/run/machine-id")
"""What systemd lays over /etc/machine-id where that cannot be written: another one at each boot (machine-id(5))."""
_SERIALS = (Path("/sys/class/dmi/id/product_uuid"), Path("/proc/device-tree/serial-number"))
_CARDS = Path("/sys/class/net")
_SIOCETHTOOL, _ETHTOOL_GPERMADDR = 0x8946, 0x20
_ADDRESS_SIZE = 6
_SIZE = 16


class Machine(Struct, frozen=True, kw_only=True):
    """The marks that tell a machine from others, as far as the system tells them."""

    id: str = ""  # of the installation; empty: not known, or another one at each boot
    hardware: frozenset[str] = frozenset()  # serial numbers, and permanent addresses of network cards
    place: str = ""  # of the folder itself: a copy of files lies elsewhere


UNKNOWN = Machine()


def this_machine(folder: Path) -> Machine:
    """The machine that this runs on, and where `folder` lies."""
    return Machine(id=machine_id(), hardware=_hardware(), place=_place(folder))


def beside_others(state: StateFile, others: bool) -> str:
    """The name of this user, if there were `others` with a device here at a start of this one; else empty.

    Both devices would be called by the host's name. It is remembered: a name must not change with who starts first.
    """
    if others:
        state.put("beside-others", 1)
    if not state.get("beside-others"):
        return ""
    user = os.geteuid()
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def machine_id() -> str:
    """32 hexadecimal digits that another machine does not have; empty if the system does not tell any that last."""
    if sys.platform == "darwin":
        return _mac()
    for path in _LINUX:
        with suppress(OSError, UnicodeDecodeError):
            if _TRANSIENT.exists() and path.samefile(_TRANSIENT):
                continue
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


def _hardware() -> frozenset[str]:
    found: set[str] = set()
    for path in _SERIALS:
        with suppress(OSError, UnicodeDecodeError):
            serial = path.read_text(encoding="ascii").strip("\0\n ").lower()
            if len(set(serial) - set("-0f")) > 1:  # neither empty nor a filler
                found.add(f"{path.name} {serial}")
    with suppress(OSError):
        for card in sorted(_CARDS.iterdir()):
            # Soldered or plugged into the machine: one on USB is carried to another.
            if (card / "device").exists() and "/usb" not in str((card / "device").resolve()):
                found |= _permanent(card.name)
    return frozenset(found)


def _permanent(card: str) -> set[str]:
    # The address that the card was made with, whatever it uses at the moment (ethtool -P; no rights are needed).
    room = array.array("B", struct.pack("II", _ETHTOOL_GPERMADDR, _ADDRESS_SIZE) + bytes(_ADDRESS_SIZE))
    where, _ = room.buffer_info()
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCETHTOOL, struct.pack("16sP", card.encode(), where) + bytes(16))
        address = room.tobytes()[8:]
        # One that is no manufacturer's may be the same in all machines of a kind: 02:fc:00:00:00:01 in virtual ones.
        if any(address) and not address[0] & 0x03:
            return {f"card {address.hex()}"}
    return set()


def _place(folder: Path) -> str:
    # Copying a folder makes another one; a disk that is copied as a whole has the same.
    try:
        found, system = folder.stat(), os.statvfs(folder)
    except OSError:
        return ""
    return f"{system.f_fsid} {found.st_ino}" if system.f_fsid else ""
