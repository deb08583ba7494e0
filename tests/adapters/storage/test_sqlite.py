"""The transcript file: what survives, what is refused, and what a full disk does."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agent.adapters.storage.sqlite import SqliteTranscripts
from agent.errors import StateError, StoreFull
from agent.ports import SessionMeta
from agent.protocol.events import Event, MessageDelta, MessageStart, make_event
from agent.protocol.model import SessionId

ONE = SessionId("one")
META = SessionMeta(id=ONE, epoch="e1", backend="shell", created_at=1_800_000_000.0)
PRELUDE = """
import asyncio, resource, sys
from pathlib import Path
from agent.protocol.model import SessionId
from agent.protocol.events import MessageDelta, make_event
from agent.errors import StoreFull
from agent.ports import SessionMeta
from agent.adapters.storage.sqlite import SqliteTranscripts

def event(seq, size=10):
    return make_event(seq, MessageDelta(turn=1, text="x" * size), 1.0)

def meta(name):
    return SessionMeta(id=SessionId(name), epoch="e", backend="shell", created_at=1.0)
"""


def run_program(body: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PRELUDE + body, str(path)], stdout=subprocess.PIPE, text=True)


def modes(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.lstat().st_mode) for file in folder.iterdir()}


def event(seq: int) -> Event:
    return make_event(seq, MessageDelta(turn=1, text=f"piece {seq}"), 1.0)


async def filled(path: Path, events: int = 3) -> None:
    store = SqliteTranscripts(path)
    await store.put(META)
    await store.append(ONE, [event(seq) for seq in range(1, events + 1)])
    await store.close()


async def test_a_log_goes_on_where_it_stopped_after_a_restart(tmp_path: Path) -> None:  # S2
    await filled(tmp_path / "t.db")
    store = SqliteTranscripts(tmp_path / "t.db")
    assert await store.sessions() == [META]
    with pytest.raises(ValueError, match="event 3 of session one where 4 was due"):
        await store.append(ONE, [event(3)])
    await store.append(ONE, [event(4)])
    assert await store.read(ONE, 0, 10) == [event(seq) for seq in (1, 2, 3, 4)]
    await store.close()


async def test_what_was_removed_is_gone_after_a_restart_too(tmp_path: Path) -> None:
    await filled(tmp_path / "t.db")
    store = SqliteTranscripts(tmp_path / "t.db")
    await store.remove(ONE)
    await store.close()
    store = SqliteTranscripts(tmp_path / "t.db")
    assert (await store.sessions(), await store.read(ONE, 0, 10)) == ([], [])
    await store.close()
    with sqlite3.connect(tmp_path / "t.db") as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (0,)
    connection.close()


async def test_everything_acknowledged_survives_a_kill(tmp_path: Path) -> None:  # S2
    program = run_program(
        """
async def main():
    store = SqliteTranscripts(Path(sys.argv[1]))
    for name in ("one", "two", "three"):
        await store.put(meta(name))
    async def write(name):
        seq = 0
        while True:
            await store.append(SessionId(name), [event(seq + 1), event(seq + 2)])
            seq += 2
            print(name, seq, flush=True)
    await asyncio.gather(write("one"), write("two"), write("three"))

asyncio.run(main())
""",
        tmp_path / "t.db",
    )
    assert program.stdout is not None
    told: dict[str, int] = {}

    def note(line: str) -> None:
        name, seq = line.split()
        told[name] = int(seq)

    for _ in range(400):
        note(program.stdout.readline())
    program.send_signal(signal.SIGKILL)
    for line in program.stdout.read().splitlines():
        if re.fullmatch(r"\w+ \d+", line):
            note(line)
    program.wait()
    program.stdout.close()
    store = SqliteTranscripts(tmp_path / "t.db")
    assert set(told) == {"one", "two", "three"}
    for name, seq in told.items():
        kept = [each.seq for each in await store.read(SessionId(name), 0, 100_000)]
        assert kept == list(range(1, len(kept) + 1))
        assert len(kept) >= seq
        assert len(kept) % 2 == 0  # all of an append or none
    await store.close()


def test_a_full_disk_refuses_those_without_room_alone_and_mends(tmp_path: Path) -> None:
    program = run_program(
        """
async def main():
    path = Path(sys.argv[1])
    store = SqliteTranscripts(path)
    one, two = SessionId("one"), SessionId("two")
    await store.put(meta("one"))
    await store.put(meta("two"))
    await store.append(two, [event(1)])
    wal = path.with_name(path.name + "-wal")
    everything = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + 60_000, everything[1]))
    outcome = await asyncio.gather(
        store.append(one, [event(1)]),
        store.append(two, [event(2), event(3, 120_000)]),
        store.append(one, [event(2)]),
        store.append(two, [event(4)]),
        return_exceptions=True,
    )
    print(*[type(each).__name__ for each in outcome])
    print(str(outcome[1]).replace(str(path), "PATH"), "|", outcome[1].hint)
    print(await store.last_seq(one), await store.last_seq(two))
    resource.setrlimit(resource.RLIMIT_FSIZE, everything)
    await store.append(two, [event(2), event(3, 120_000)])
    await store.append(one, [event(3)])
    print(await store.last_seq(one), await store.last_seq(two))
    await store.close()
    again = SqliteTranscripts(path)
    print([each.seq for each in await again.read(two, 0, 9)])
    await again.close()

asyncio.run(main())
""",
        tmp_path / "t.db",
    )
    out, _ = program.communicate(timeout=60)
    kinds, told, while_full, mended, again = out.splitlines()
    assert kinds == "NoneType StoreFull NoneType StoreFull"
    assert told.startswith("the transcripts in PATH cannot be written: ")
    assert told.endswith("| free some space on that device and send it again")
    assert while_full == "2 1"  # nothing half-written
    assert mended == "3 3"
    assert again == "[1, 2, 3]"


async def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    path.touch(mode=0o644)
    store = SqliteTranscripts(path)
    await store.put(META)
    assert modes(tmp_path) == {"t.db": 0o600, "t.db-wal": 0o600, "t.db-shm": 0o600}
    await store.close()


async def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    await filled(path)
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version = 7")
    raw.close()
    with pytest.raises(StateError, match=r"t\.db were written by a later version \(schema 7, this one knows 1\)"):
        SqliteTranscripts(path)


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE photos (name TEXT)")
    raw.close()
    before = path.read_bytes()
    with pytest.raises(StateError, match="another program"):
        SqliteTranscripts(path)
    assert path.read_bytes() == before


def test_garbage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    path.write_bytes(os.urandom(16_384))
    with pytest.raises(StateError, match=re.escape(str(path))) as told:
        SqliteTranscripts(path)
    assert "move it away" in told.value.hint
    assert "\n" not in str(told.value)


async def test_a_file_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    await filled(path, events=2000)
    os.truncate(path, 8192)
    with pytest.raises(StateError, match=re.escape(str(path))):
        SqliteTranscripts(path)


async def test_damage_found_while_reading_is_named_after_what_stands_before_it(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    await filled(path, events=2000)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)  # past the first pages, wherever SQLite has put them
        file.write(b"\xff" * 40_960)
    store = SqliteTranscripts(path)
    readable = await store.read(ONE, 0, 10_000)
    assert [each.seq for each in readable] == list(range(1, len(readable) + 1))
    with pytest.raises(StateError, match=re.escape(str(path))):
        await store.read(ONE, len(readable), 10_000)
    await store.close()


@pytest.mark.parametrize("path", ["missing/t.db", "."])
def test_a_path_that_cannot_be_a_file_is_named(tmp_path: Path, path: str) -> None:
    with pytest.raises(StateError, match="cannot be opened"):
        SqliteTranscripts(tmp_path / path)


async def test_a_caller_that_leaves_does_not_take_back_its_events(tmp_path: Path) -> None:
    store = SqliteTranscripts(tmp_path / "t.db")
    await store.put(META)
    async with asyncio.TaskGroup() as tasks:
        leaving = tasks.create_task(store.append(ONE, [make_event(1, MessageStart(turn=1), 1.0)]))
        await asyncio.sleep(0)
        leaving.cancel()
    await store.append(ONE, [event(2)])
    assert [each.seq for each in await store.read(ONE, 0, 9)] == [1, 2]
    await store.close()


async def test_closing_writes_what_is_pending(tmp_path: Path) -> None:
    store = SqliteTranscripts(tmp_path / "t.db")
    await store.put(META)
    async with asyncio.TaskGroup() as tasks:
        for seq in range(1, 51):
            tasks.create_task(store.append(ONE, [event(seq)]))
        await asyncio.sleep(0)
        tasks.create_task(store.close())
    assert list(modes(tmp_path)) == ["t.db"]
    with pytest.raises(RuntimeError, match="closed"):
        await store.append(ONE, [event(51)])
    again = SqliteTranscripts(tmp_path / "t.db")
    assert await again.last_seq(ONE) == 50
    await again.close()


async def test_two_stores_on_one_file_do_not_corrupt_it(tmp_path: Path) -> None:
    first, second = SqliteTranscripts(tmp_path / "t.db"), SqliteTranscripts(tmp_path / "t.db")
    await first.put(META)
    await second.append(ONE, [event(1)])
    assert await first.last_seq(ONE) == 1
    await first.close()
    await second.close()


async def test_a_file_that_was_deleted_or_replaced_takes_nothing_more(tmp_path: Path) -> None:  # S2
    home = tmp_path / "home"
    home.mkdir()
    store = SqliteTranscripts(home / "t.db")
    await store.put(META)
    await store.append(ONE, [event(1)])
    await store.check()
    home.rename(tmp_path / "aside")
    for refused in (store.append(ONE, [event(2)]), store.put(META), store.check()):
        with pytest.raises(StoreFull, match="deleted or replaced"):
            await refused
    home.mkdir()
    await filled(home / "t.db")
    with pytest.raises(StoreFull, match="deleted or replaced"):
        await store.append(ONE, [event(2)])
    home.rename(tmp_path / "other")
    (tmp_path / "aside").rename(home)  # the very file is back
    await store.check()
    await store.append(ONE, [event(2)])
    assert await store.last_seq(ONE) == 2
    await store.close()


async def test_what_refuses_is_asked_before_each_write(tmp_path: Path) -> None:
    reason = ""
    store = SqliteTranscripts(tmp_path / "t.db", refuses=lambda: reason)
    await store.put(META)
    reason = "the lock is gone"
    with pytest.raises(StoreFull, match="the lock is gone"):
        await store.append(ONE, [event(1)])
    with pytest.raises(StoreFull, match="the lock is gone"):
        await store.check()
    reason = ""
    await store.check()
    await store.append(ONE, [event(1)])
    await store.close()
