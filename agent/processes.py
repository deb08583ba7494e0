"""The process table of this machine: /proc where there is one (Linux), `ps` elsewhere (macOS).

Processes come and go while they are looked at, and another user's tell little: what cannot be read is left out, and
nothing here raises. A look at all processes takes milliseconds and belongs into a thread; one at a single process
takes microseconds. What says "Linux only" knows nothing on other systems. Nothing here may be used to read what a
process that is not of this service has in its environment (A1).

Source: proc_pid_stat(5) and its neighbours, ps(1). Why not psutil: docs/decisions/0024-processes.md.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
PS_SECONDS = 10.0
"""Seconds that `ps` may take."""
ANCESTORS_MAX = 256
"""Ancestors of a process that are looked at."""
THREADS_MAX = 64
"""Threads of a process that are looked at."""
_PS = ("ps", "-A", "-o", "pid=,ppid=,pgid=,stat=")
_LISTENS, _ESTABLISHED = "0A", "01"
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_LINUX = os.uname().sysname == "Linux"
_READ_NUMBERS = {"x86_64": "0", "aarch64": "63", "riscv64": "63", "loongarch64": "63"} | dict.fromkeys(
    ("i386", "i686", "armv6l", "armv7l", "ppc64le", "s390x"), "3"
)
_READ = _READ_NUMBERS.get(os.uname().machine)
"""Number of the system call read(2) on this machine; None: not known."""


class Process(NamedTuple):
    """A row of the process table."""

    pid: int
    parent: int
    group: int
    session: int  # 0: not known
    state: str  # one letter
    started: int = 0  # clock ticks since boot, which tell it from a later process with the same id; 0: not known

    @property
    def running(self) -> bool:
        """Whether the process runs or is about to; else it waits for something."""
        return self.state in "RD"

    @property
    def zombie(self) -> bool:
        """Whether the process has ended and nobody has taken its exit status yet."""
        return self.state in "ZX"


def find_process(pid: int) -> Process | None:
    """The row of one process; None if it is gone. Linux only."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name in front may hold anything
    state, parent, group, session = fields[:4]
    return Process(pid, int(parent), int(group), int(session), state, int(fields[19]))


def process_name(pid: int) -> str:
    """How a process calls itself, of at most 15 characters; empty if it is gone or the system does not tell."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return ""
    return text.partition("(")[2].rpartition(")")[0]


def process_table() -> dict[int, Process]:
    """Every process by its id; empty where that cannot be found out."""
    if _LINUX:
        return {row.pid: row for pid in _pids(PROC) if (row := find_process(pid)) is not None}
    return {row.pid: row for row in _listed()}


def of_session(session: int) -> list[Process]:
    """The processes of a terminal session. On Linux this costs little, however many others there are."""
    if _LINUX:
        rows = (find_process(pid) for pid in _pids(PROC) if _session_of(pid) == session)
        return [row for row in rows if row is not None and row.session == session]
    return [row for row in process_table().values() if row.session == session]


def ancestors(pid: int) -> list[Process]:
    """A process and those that it descends from, nearest first; empty if it is gone."""
    rows = None if _LINUX else process_table()
    found: list[Process] = []
    while pid > 0 and len(found) < ANCESTORS_MAX:
        row = find_process(pid) if rows is None else rows.get(pid)
        if row is None:
            break
        found.append(row)
        pid = row.parent
    return found


def descendants(pid: int) -> list[Process]:
    """What a process has started that still hangs on it, over all generations."""
    return descendants_among({pid}, process_table().values())


def descendants_among(pids: set[int], rows: Iterable[Process]) -> list[Process]:
    """The rows that descend from these processes; the processes are not among them."""
    children: dict[int, list[Process]] = {}
    for row in rows:
        children.setdefault(row.parent, []).append(row)
    seen = set(pids)
    found: list[Process] = []
    left = list(pids)
    while left:
        for row in children.get(left.pop(), ()):
            if row.pid not in seen:
                seen.add(row.pid)
                found.append(row)
                left.append(row.pid)
    return found


def children(pid: int) -> set[int]:
    """Process ids of the children of a process. Linux only."""
    found: set[int] = set()
    for thread in _threads(pid):
        with suppress(OSError):
            found |= {int(child) for child in (thread / "children").read_text().split()}
    return found


def of_this_user(proc: Path = PROC) -> list[int]:
    """Process ids of all programs of this user. Linux only."""
    found: list[int] = []
    for pid in _pids(proc):
        with suppress(OSError):
            if (proc / str(pid)).stat().st_uid == os.geteuid():
                found.append(pid)
    return found


def command_line(pid: int, proc: Path = PROC) -> list[str]:
    """The words by which a process was started; empty if it is gone or a zombie. Linux only."""
    try:
        text = (proc / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return []
    return text.removesuffix("\0").split("\0") if text else []


def is_copy(pid: int, shell: int) -> bool:
    """Whether a process is a copy of the shell still: a subshell, or a program before its exec. Linux only."""
    line = command_line(shell)
    return bool(line) and command_line(pid) == line


def environment(pid: int, name: str) -> list[str]:
    """Every value that the environment of a process had for that variable when it was started. Linux only."""
    prefix = f"{name}=".encode()
    try:
        entries = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
    return [each.removeprefix(prefix).decode(errors="replace") for each in entries if each.startswith(prefix)]


def catches(pid: int, signal: int) -> bool:
    """Whether a process has a handler for that signal. Linux only."""
    return _among(pid, "SigCgt:", signal)


def ignores(pid: int, signal: int) -> bool:
    """Whether a process ignores that signal. Linux only."""
    return _among(pid, "SigIgn:", signal)


def _among(pid: int, which: str, signal: int) -> bool:
    try:
        status = (PROC / str(pid) / "status").read_text(errors="replace")
    except OSError:
        return False
    signals = status.partition(which)[2].split()
    return bool(signals) and bool(int(signals[0], 16) >> (signal - 1) & 1)


def tells_reads(pid: int) -> bool:
    """Whether this system tells what that process is reading from."""
    return _READ is not None and (PROC / str(pid) / "syscall").exists()


def reads_from(pid: int) -> Iterator[str]:
    """The files that threads of a process wait for in read(2). Linux only, and not on every machine."""
    for thread in _threads(pid):
        with suppress(OSError):  # gone, or another user's
            call = (thread / "syscall").read_text().split()
            if call[0] == _READ:
                yield str((thread / "fd" / str(int(call[1], 16))).readlink())


class ListeningSocket(NamedTuple):
    """A TCP socket that takes connections."""

    address: str
    port: int
    user: int
    inode: str


def listening(net: Path = PROC / "net") -> list[ListeningSocket] | None:
    """The TCP sockets that listen, of one network namespace; None if the system does not tell. Linux only."""
    found: list[ListeningSocket] | None = None
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        try:
            rows = [line.split() for line in (net / name).read_text().splitlines()[1:]]
        except OSError:
            continue
        found = found or []
        for row in rows:
            if row[3] == _LISTENS:
                found.append(ListeningSocket(*_told(family, row[1]), int(row[7]), row[9]))
    return found


def listened_by_others(port: int, net: Path = PROC / "net") -> bool:
    """Whether another user of this machine listens on a TCP port. Linux only."""
    user = os.geteuid()
    return any(each.port == port and each.user != user for each in listening(net) or ())


def other_end(transport: asyncio.BaseTransport | None) -> int | None:
    """The user who has the other end of a connection that was accepted, as `connection_owner` tells."""
    own, other = (transport.get_extra_info(each) if transport else None for each in ("sockname", "peername"))
    return connection_owner(own[:2], other[:2]) if own and other else -1


def connection_owner(own: tuple[str, int], other: tuple[str, int]) -> int | None:
    """The user who has the other end of a TCP connection on this machine; -1: nobody who can be told.

    `own` is the address that was connected to. None if the system does not tell. Linux only.
    """
    found = _socket_at(other, own)
    if found is None and _socket_at(own, other) is None:  # there is one that listens, at least: it cannot be asked
        return _listed_owner(own, other)
    state, user = found or (0, 0)
    return user if state == int(_ESTABLISHED, 16) else -1  # a closed end is root's, the system says


def _socket_at(near: tuple[str, int], far: tuple[str, int]) -> tuple[int, int] | None:
    # State and user of one TCP socket, as sock_diag(7) tells it: in 20 µs. The table takes 2 ms, and 12 once another
    # user has 3,000 connections.
    try:
        family = socket.AF_INET6 if ":" in near[0] else socket.AF_INET
        places = (socket.inet_pton(family, host) for host, _ in (near, far))
        asked = struct.pack("=BBxxI", family, socket.IPPROTO_TCP, 0xFFFFFFFF)  # in whatever state
        asked += struct.pack("!HH16s16s", near[1], far[1], *places)
        asked += struct.pack("=Iq", 0, -1)  # on any interface, with any cookie
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
            kernel.send(struct.pack("=IHHII", 16 + len(asked), _SOCK_DIAG_BY_FAMILY, 1, 0, 0) + asked)
            told = kernel.recv(4096)
    except (OSError, AttributeError):  # forbidden, or no Linux
        return None
    kind, state, user = struct.unpack_from("=4xH10xxB62xI", told.ljust(84, b"\0"))
    return (state, user) if kind == _SOCK_DIAG_BY_FAMILY else None


def _listed_owner(own: tuple[str, int], other: tuple[str, int], net: Path = PROC / "net") -> int | None:
    known = False
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        try:
            rows = (net / name).read_text().splitlines()[1:]
        except OSError:
            continue
        known = True
        for row in map(str.split, rows):
            if _told(family, row[1]) == other and _told(family, row[2]) == own:
                user = int(row[7])
                return user if user or row[3] == _ESTABLISHED else -1
    return -1 if known else None


def listening_of(pid: int, proc: Path = PROC) -> list[ListeningSocket]:
    """The TCP sockets on which a process of this user listens. Linux only."""
    folder = proc / str(pid)
    inodes: set[str] = set()
    with suppress(OSError):
        for name in os.listdir(folder / "fd"):  # noqa: PTH208 - names only
            with suppress(OSError):  # closed meanwhile
                link = os.readlink(folder / "fd" / name)  # noqa: PTH115 - no path in it
                inodes.add(link.removeprefix("socket:[").removesuffix("]"))
    return [each for each in listening(folder / "net") or () if each.inode in inodes]


def _pids(proc: Path) -> list[int]:
    try:
        return [int(name) for name in os.listdir(proc) if name.isdecimal()]  # noqa: PTH208 - names only
    except OSError:
        return []


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:  # gone, or hidden from us
        return 0


def _threads(pid: int) -> list[Path]:
    try:
        return sorted((PROC / str(pid) / "task").iterdir())[:THREADS_MAX]
    except OSError:
        return []


def _listed() -> Iterator[Process]:
    try:
        done = subprocess.run(  # noqa: S603 - constant words
            _PS, capture_output=True, check=False, timeout=PS_SECONDS, encoding="utf-8", errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    for line in done.stdout.splitlines():
        pid, parent, group, state = line.split()
        yield Process(int(pid), int(parent), int(group), _session_of(int(pid)), state[0])  # macOS has no other way


def _told(family: socket.AddressFamily, entry: str) -> tuple[str, int]:
    address, _, port = entry.partition(":")
    return socket.inet_ntop(family, _in_network_order(address)), int(port, 16)


def _in_network_order(words: str) -> bytes:
    # The tables write each 32 bits as a number of this machine.
    return b"".join(int(words[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(words), 8))
