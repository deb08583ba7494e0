"""The box of a shell session: the private folder through which service and shell hand each other what no terminal sees.

    nonce   what marks are signed with; the shell reads it once
    in      NUMBER LF TEXT: the prompt that the shell takes as its next line when it hears the key
    taken   NUMBER: the last one that it took; the same number never runs twice, also after `exec bash`
    done    nNUMBER SERIAL STATUS: the last prompt that it has finished, written before its mark
    owner   PID STARTED: the shell, before it runs the service; the box of one that is gone is removed

The service writes `nonce`, `in` and `owner`, the shell `taken` and `done`: never both the same file. The folder is the
user's own (0700); the environment of the shell names it, and holds no secret.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from agent.processes import find_process

_PREFIX = "lan-agent-shell-"
_READ_MAX = 256
_DONE = re.compile(r"n?(\d{1,18}) (\d{1,18}) (\d{1,3})\n?\Z", re.ASCII)
_NUMBER = re.compile(r"\d{1,18}(?=\n|\Z)", re.ASCII)


class Done(NamedTuple):
    """A prompt that the shell has finished."""

    number: int
    serial: int  # counts the shell's commands, those of people included
    status: int


class Box:
    """The private folder that a session's service and shell share. Writing raises OSError, if the disk is full."""

    def __init__(self, path: Path, nonce: str) -> None:
        self.path, self.nonce = path, nonce

    @classmethod
    def make(cls, folder: Path | None = None) -> Box:
        """A new box in that folder, or in the user's for things that live as long as programs. Raises: OSError.

        Boxes there whose shells are gone are removed: a service that was killed could not.
        """
        folder = folder or runtime_folder()
        sweep(folder)
        box = cls(Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder)), secrets.token_hex(12))
        box.belongs_to(os.getpid())
        box.put(0, "")
        return box

    @classmethod
    def find(cls, path: Path) -> Box:
        """The box of a shell that still runs. Raises: OSError, if it is not there."""
        return cls(path, (path / "nonce").read_text(encoding="ascii"))

    def put(self, number: int, text: str) -> None:
        """Offer a prompt to the shell, in place of the one before; its number is larger than all others were."""
        if not (self.path / "nonce").exists():  # a cleaner of old files was here; the folder may be gone, too
            self.path.mkdir(mode=0o700, exist_ok=True)
            self._write("nonce", self.nonce)
        self._write("in", f"{number}\n{text}")

    def done(self) -> Done | None:
        """The last prompt that the shell has finished; None if there is none yet."""
        found = _DONE.match(self._read("done"))
        return Done(*map(int, found.groups())) if found else None

    def taken(self) -> int:
        """The number of the last prompt that the shell took; 0 if it took none."""
        found = _NUMBER.match(self._read("taken"))
        return int(found[0]) if found else 0

    def offered(self) -> int:
        """The number of the prompt that was put last; 0 if none was."""
        found = _NUMBER.match(self._read("in"))
        return int(found[0]) if found else 0

    def belongs_to(self, pid: int) -> None:
        """Note the process that uses the box: it stays as long as that one does."""
        self._write("owner", f"{pid} {_started(pid)}")

    def remove(self) -> None:
        """Remove the folder. Idempotent."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _write(self, name: str, text: str) -> None:
        # Beside it, then renamed: the shell reads the whole or what was there before. Never through a link.
        beside = self.path / f".{name}"
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode(errors="replace"))
        beside.rename(self.path / name)

    def _read(self, name: str) -> str:
        try:
            with (self.path / name).open("rb") as file:
                return file.read(_READ_MAX).decode("ascii", "replace")
        except OSError:
            return ""


def runtime_folder() -> Path:
    """The user's own folder for what does not outlive a start of the machine; else that for temporary files."""
    usual = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    with contextlib.suppress(OSError):
        found = usual.stat()
        if usual.is_absolute() and found.st_uid == os.getuid() and found.st_mode & 0o777 == 0o700:
            return usual
    return Path(tempfile.gettempdir())


def sweep(folder: Path) -> None:
    """Remove the boxes of this user in a folder whose shells are gone."""
    with contextlib.suppress(OSError):
        for path in folder.glob(f"{_PREFIX}*"):
            with contextlib.suppress(OSError):
                if path.lstat().st_uid == os.getuid() and _is_left(path):
                    shutil.rmtree(path, ignore_errors=True)


def _is_left(path: Path) -> bool:
    try:
        pid, started = map(int, (path / "owner").read_text(encoding="ascii").split())
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # the latter: by now another user's process has the number
        return True
    except (OSError, ValueError):
        return False  # just made, or removed meanwhile
    return _started(pid) != started


def _started(pid: int) -> int:
    """When a process was started, in clock ticks since boot; 0 where the system does not tell."""
    process = find_process(pid) if sys.platform == "linux" else None
    return process.started if process is not None else 0
