"""Transcripts where the file system lacks locks or shared memory maps, and the lock of a home there."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.adapters.storage.lock import AlreadyRunning, HomeLock
from agent.errors import ServiceOver, StateError

PRELUDE = """
import asyncio, os, sys
from pathlib import Path
from tests.fakes.lacking import lack
lack(*sys.argv[2].split())
from agent.protocol.model import SessionId
from agent.protocol.events import MessageDelta, make_event
from agent.ports import SessionMeta
from agent.adapters.storage.sqlite import SqliteTranscripts

ONE = SessionId("one")
def events(first, last):
    return [make_event(seq, MessageDelta(turn=1, text="x"), 1.0) for seq in range(first, last + 1)]
def told(text):
    print(text, flush=True)
path = Path(sys.argv[1])
"""
WRITES = """
async def main():
    store = SqliteTranscripts(path, machine="this", notice=told)
    await store.put(SessionMeta(id=ONE, epoch="e", backend="shell", created_at=1.0))
    async with asyncio.TaskGroup() as group:
        for seq in range(1, 201):
            group.create_task(store.append(ONE, events(seq, seq)))
        reads = [group.create_task(store.read(ONE, 0, 1000)) for _ in range(20)]
    assert all(len(each.result()) == 200 for each in reads)
    told("written")
    os._exit(9)  # as kill -9 does
asyncio.run(main())
"""
READS = """
async def main():
    store = SqliteTranscripts(path, machine=sys.argv[3])
    last = await store.last_seq(ONE)
    await store.append(ONE, events(last + 1, last + 1))
    assert len(await store.read(ONE, 0, 1000)) == last + 1
    await store.check()
    await store.close()
    told(str(last))
asyncio.run(main())
"""


def run(program: str, path: Path, lacks: str, machine: str = "this") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", PRELUDE + program, str(path), lacks, machine]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="system calls are refused by seccomp")
@pytest.mark.parametrize(
    ("lacks", "told"),
    [
        ("maps", "has no shared memory maps"),
        ("locks", "has no locks"),
        ("locks maps", "has no locks and no shared memory maps"),
    ],
)
def test_a_file_system_that_lacks_something_keeps_what_was_acknowledged(tmp_path: Path, lacks: str, told: str) -> None:
    path = tmp_path / "transcripts.db"
    done = run(WRITES, path, lacks)
    assert done.returncode == 9, done.stderr
    notice, written = done.stdout.splitlines()
    assert (told in notice, written) == (True, "written")
    again = run(READS, path, lacks)  # what the killed one has left behind is in nobody's way
    assert again.stdout.strip() == "200", again.stderr
    assert run(READS, path, "").stdout.strip() == "201"  # nor is it on another disk later
    assert run(READS, path, lacks).stdout.strip() == "202"
    left = {file.name for file in tmp_path.iterdir()} - {f"transcripts.db{end}" for end in ("", "-wal", "-shm")}
    assert left == set()


@pytest.mark.skipif(sys.platform != "linux", reason="system calls are refused by seccomp")
def test_without_locks_another_machine_is_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "transcripts.db"
    assert run(WRITES, path, "locks").returncode == 9
    refused = run(READS, path, "locks", "another")
    assert "is in use by another machine" in refused.stderr
    assert "rmdir" not in refused.stdout
    assert run(READS, path, "locks").stdout.strip() == "200"


def no_locks(descriptor: int, operation: int) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


class LocksElsewhere:
    """flock(2) that works outside of one folder only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, descriptor: int, operation: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").resolve().is_relative_to(self._folder):
            no_locks(descriptor, operation)
        fcntl.flock(descriptor, operation)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_folder_that_takes_no_locks_has_its_lock_elsewhere(tmp_path: Path) -> None:
    flock = LocksElsewhere(tmp_path)
    lock = HomeLock(tmp_path / "run", flock=flock)
    with pytest.raises(AlreadyRunning):
        HomeLock(tmp_path / "run", flock=flock)
    other = HomeLock(tmp_path / "other", flock=flock)
    other.close()
    assert lock.lost() == ""
    lock.close()
    HomeLock(tmp_path / "run", flock=flock).close()


def test_where_nothing_takes_locks_it_says_so_and_not_that_a_service_runs(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"cannot be locked \(No locks available\)"):
        HomeLock(tmp_path / "run", flock=no_locks)


def test_a_folder_elsewhere_is_looked_at_only_where_it_is_needed(tmp_path: Path) -> None:
    def elsewhere() -> set[str]:
        folder = Path(f"/tmp/lan-agent-{os.geteuid()}/locks")
        return {file.name for file in folder.iterdir()} if folder.is_dir() else set()

    before = elsewhere()
    HomeLock(tmp_path / "run").close()
    assert elsewhere() == before


def test_a_lock_that_was_deleted_is_taken_anew(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path / "run")
    (tmp_path / "run" / "lock").unlink()
    assert "is gone" in lock.lost()
    lock.keep()
    assert lock.lost() == ""
    with pytest.raises(AlreadyRunning):
        HomeLock(tmp_path / "run")
    lock.close()


def test_a_home_that_another_service_has_taken_ends_this_one(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path / "run")
    (tmp_path / "run" / "lock").unlink()
    other = HomeLock(tmp_path / "run")
    assert "was replaced" in lock.lost()
    with pytest.raises(ServiceOver, match="another service has taken this home"):
        lock.keep()
    other.close()
    lock.close()
