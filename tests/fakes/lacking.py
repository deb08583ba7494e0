"""A process for which file systems lack something, as network homes and FUSE do: the kernel itself refuses the calls.

A seccomp filter (seccomp(2), classic BPF) answers the system calls with an error. It holds for the process and what it
starts, and cannot be taken back: for programs that a test runs.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Iterable

_CALLS = {"x86_64": (0xC000003E, 72, 73, 9), "aarch64": (0xC00000B7, 25, 32, 222)}  # audit arch; fcntl, flock, mmap
_LOCK_COMMANDS = (5, 6, 7, 36, 37, 38)  # F_GETLK, F_SETLK, F_SETLKW, and those for open file descriptions
_MAP_SHARED, _MAP_ANONYMOUS = 0x01, 0x20
_NR, _ARCH, _ARG1, _ARG3 = 0, 4, 24, 40  # offsets in struct seccomp_data
_LOAD, _EQUAL, _ANY_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_SET_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2

Instruction = tuple[int, int, int, int]  # code, skipped if true, skipped if not, value


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def lack(*what: str) -> None:
    """From now on this process has no "locks" (fcntl), "flock" or "maps" (shared ones of files)."""
    arch, fcntl, flock, mmap = _CALLS[platform.machine()]
    program: list[Instruction] = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _ALLOW)]
    if "locks" in what:
        commands = [(_EQUAL, len(_LOCK_COMMANDS) - i, 0, each) for i, each in enumerate(_LOCK_COMMANDS)]
        program += _refused(fcntl, [(_LOAD, 0, 0, _ARG1), *commands], errno.ENOLCK)
    if "flock" in what:
        program += _refused(flock, [], errno.ENOLCK)
    if "maps" in what:
        shared = [(_LOAD, 0, 0, _ARG3), (_ANY_SET, 1, 0, _MAP_ANONYMOUS), (_ANY_SET, 1, 0, _MAP_SHARED)]
        program += _refused(mmap, shared, errno.ENODEV)
    program.append((_RETURN, 0, 0, _ALLOW))
    code = b"".join(struct.pack("=HBBI", *each) for each in program)
    library = ctypes.CDLL(None, use_errno=True)
    chosen = _Program(len(program), code)
    for arguments in ((_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_SET_SECCOMP, _FILTER, ctypes.byref(chosen), 0, 0)):
        if library.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "prctl")


def _refused(call: int, tests: Iterable[Instruction], error: int) -> list[Instruction]:
    # If it is that call, and a test jumps to the last line, it is refused; else the next one has its turn.
    tests = list(tests)
    allow: list[Instruction] = [(_RETURN, 0, 0, _ALLOW)] if tests else []
    refuse: Instruction = (_RETURN, 0, 0, _ERRNO | error)
    return [(_LOAD, 0, 0, _NR), (_EQUAL, 0, len(tests) + len(allow) + 1, call), *tests, *allow, refuse]
