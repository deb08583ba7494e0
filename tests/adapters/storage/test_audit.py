"""adapters.storage.audit: one line an entry, private, bounded, and in order."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from agent.adapters.storage.audit import NAME, AuditFile
from agent.errors import StateError
from agent.protocol.audit import AuditEntry


def entry(number: int, detail: str = "") -> AuditEntry:
    at = f"2026-01-01T00:00:{number:02}.000Z"
    return AuditEntry(
        at=at, device="abcdefghijklmnop", name="den", action="prompted", session=f"s{number}", detail=detail
    )


def listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def sessions(log: AuditFile, since: str = "", limit: int = 1000) -> list[str]:
    return [each.session for each in await log.read(since, limit)]


async def test_entries_come_back_in_order_and_survive_a_restart(tmp_path: Path) -> None:
    log = AuditFile(tmp_path)
    assert await sessions(log) == []
    await log.append([entry(1), entry(2)])
    await log.append([entry(3)])
    again = AuditFile(tmp_path)
    assert await again.read("", 10) == [entry(1), entry(2), entry(3)]
    assert await sessions(again, since=entry(2).at) == ["s2", "s3"]
    assert await sessions(again, limit=2) == ["s2", "s3"]


async def test_the_file_is_private(tmp_path: Path) -> None:
    log = AuditFile(tmp_path)
    await log.append([entry(1)])
    path = tmp_path / NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    await log.append([entry(2)])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_it_is_bounded_and_the_oldest_go(tmp_path: Path) -> None:
    log = AuditFile(tmp_path, size_max=1000, kept=2)
    for number in range(60):
        await log.append([entry(number)])
    files = listed(tmp_path)
    assert [file.name for file in files] == [NAME, f"{NAME}.1", f"{NAME}.2"]
    assert all(file.stat().st_size <= 1000 for file in files)
    kept = await sessions(log)
    assert kept == [f"s{number}" for number in range(60 - len(kept), 60)]
    assert len(kept) > 15
    assert await sessions(log, limit=12) == [f"s{number}" for number in range(48, 60)]  # over two files


async def test_a_line_that_was_cut_short_costs_that_line_only(tmp_path: Path) -> None:
    log = AuditFile(tmp_path)
    await log.append([entry(1), entry(2)])
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-20])
    await log.append([entry(3)])
    assert await sessions(log) == ["s1", "s3"]


async def test_hostile_text_stays_on_its_line(tmp_path: Path) -> None:
    log = AuditFile(tmp_path)
    await log.append([entry(1, detail='x\n{"at":"9"}\x1b[2J'), entry(2)])
    assert (tmp_path / NAME).read_bytes().count(b"\n") == 2
    assert b"\x1b" not in (tmp_path / NAME).read_bytes()
    assert await sessions(log) == ["s1", "s2"]


async def test_a_link_or_a_folder_in_its_place_is_an_error_and_stays(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("somebody's")
    (tmp_path / NAME).symlink_to(elsewhere)
    log = AuditFile(tmp_path)
    with pytest.raises(StateError):
        await log.append([entry(1)])
    with pytest.raises(StateError):
        await log.read("", 10)
    assert elsewhere.read_text() == "somebody's"
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    with pytest.raises(StateError):
        await log.append([entry(1)])
    (tmp_path / NAME).rmdir()
    await log.append([entry(1)])
    assert await sessions(log) == ["s1"]
