"""The audit log: `audit.jsonl` in the state folder, one entry a line, and the files that it was turned into before."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from agent.adapters.storage.files import private_folder
from agent.errors import StateError
from agent.protocol.audit import WHO_MAX, AuditEntry

NAME = "audit.jsonl"
SIZE_MAX = 1 << 20
"""Bytes of one file: some 8,000 entries."""
KEPT = 3
"""Older files that are kept, `audit.jsonl.1` being the newest of them."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AuditEntry).decode


class AuditFile:
    """The audit log in files (`ports.AuditLog`).

    Not synced: a power cut may take the last entries. Work is done in a thread, one at a time.
    """

    def __init__(self, folder: Path, *, size_max: int = SIZE_MAX, kept: int = KEPT) -> None:
        """Prepare the folder. Raises: StateError, if it cannot be used."""
        self._path = private_folder(folder) / NAME
        self._size_max, self._kept = size_max, kept
        self._lock = asyncio.Lock()

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        """Add entries to the log, in order. Raises: StateError."""
        data = b"".join(_line(_readable(entry)) for entry in entries)
        async with self._lock:
            await asyncio.to_thread(self._append, data)

    async def read(self, since: str, limit: int) -> list[AuditEntry]:
        """The newest `limit` entries at or after `since`, oldest first. Raises: StateError."""
        async with self._lock:
            return await asyncio.to_thread(self._read, since, limit)

    def _append(self, data: bytes) -> None:
        try:
            if self._size() + len(data) > self._size_max:
                self._turn()
            descriptor = _open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            try:
                torn = os.fstat(descriptor).st_size and not _ends_a_line(self._path)
                written = memoryview(b"\n" + data if torn else data)
                while written:
                    written = written[os.write(descriptor, written) :]
            finally:
                os.close(descriptor)
        except OSError as exc:
            raise _failed("write", self._path, exc) from exc

    def _size(self) -> int:
        try:
            return self._path.lstat().st_size
        except FileNotFoundError:
            return 0

    def _turn(self) -> None:
        # audit.jsonl -> .1 -> .2 -> .3 -> gone
        files = [self._path, *(self._older(number) for number in range(1, self._kept + 1))]
        for older, newer in zip(reversed(files), reversed(files[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)

    def _older(self, number: int) -> Path:
        return self._path.with_name(f"{NAME}.{number}")

    def _read(self, since: str, limit: int) -> list[AuditEntry]:
        found: list[AuditEntry] = []
        for path in (self._path, *(self._older(number) for number in range(1, self._kept + 1))):
            found = [*(entry for entry in self._entries(path) if entry.at >= since), *found][-limit:]
            if len(found) >= limit:
                break
        return found

    def _entries(self, path: Path) -> Iterator[AuditEntry]:
        try:
            descriptor = _open(path, os.O_RDONLY)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise _failed("read", path, exc) from exc
        with os.fdopen(descriptor, "rb") as file:
            for line in file:
                try:
                    yield _decode(line)
                except (ValueError, RecursionError):
                    continue  # cut short by a full disk or a power cut


def _readable(entry: AuditEntry) -> AuditEntry:
    # What is longer than its type allows would be passed over when the log is read.
    return entry if len(entry.name) <= WHO_MAX else msgspec.structs.replace(entry, name=entry.name[:WHO_MAX])


def _line(entry: AuditEntry) -> bytes:
    # What could not be read again is not written.
    try:
        line = _encode(entry)
        _decode(line)
    except (ValueError, OverflowError) as exc:
        raise StateError(f"an entry of the audit log is beyond its bounds: {exc}") from exc
    return line + b"\n"


def _open(path: Path, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(descriptor)
        raise PermissionError(1, "it is not a file of ours")
    if found.st_mode & 0o077:
        os.fchmod(descriptor, 0o600)
    return descriptor


def _ends_a_line(path: Path) -> bool:
    with os.fdopen(_open(path, os.O_RDONLY), "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _failed(doing: str, path: Path, exc: OSError) -> StateError:
    return StateError(f"cannot {doing} {path}: {exc.strerror}", hint="check the disk, and whose file that is")
