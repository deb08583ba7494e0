"""adapters.storage.page: logins that outlive a restart, tickets that only the own user reads."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest
from msgspec import Raw

from agent.adapters.storage.page import PageFiles, ValueFile
from agent.errors import BadParams
from agent.ports.page import KeptLogins, Login

LOGIN = Login(cookie="c", origin="http://x.localhost:1", run="r", expires_at=1.5, resume="w", key=b"\x01\xff")


def files(folder: Path) -> PageFiles:
    (folder / "state").mkdir(mode=0o700, exist_ok=True)
    return PageFiles(folder / "state", folder / "run")


def test_logins_are_there_again_and_for_nobody_else(tmp_path: Path) -> None:
    kept = KeptLogins(key=b"k", logins=(LOGIN,))
    assert files(tmp_path).load() == KeptLogins()
    files(tmp_path).save(kept)
    assert files(tmp_path).load() == kept
    (path,) = (tmp_path / "state").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_cannot_be_read_or_was_shown_to_others_is_begun_anew(tmp_path: Path) -> None:
    there = files(tmp_path)
    there.save(KeptLogins(logins=(LOGIN,)))
    (path,) = (tmp_path / "state").iterdir()
    path.chmod(0o644)
    assert there.load() == KeptLogins()
    path.chmod(0o600)
    path.write_bytes(b"[" * 100_000)
    assert there.load() == KeptLogins()


def test_logins_that_cannot_be_written_end_no_service(tmp_path: Path) -> None:
    PageFiles(tmp_path / "none", tmp_path / "run").save(KeptLogins(logins=(LOGIN,)))


def test_a_ticket_is_a_file_of_the_own_user_until_it_is_removed(tmp_path: Path) -> None:
    there = files(tmp_path)
    one, other = (Path(there.put_ticket(text)) for text in ("one", "other"))
    assert (one.read_text(), other.read_text()) == ("one", "other")
    assert stat.S_IMODE(one.stat().st_mode) == 0o600
    assert stat.S_IMODE(one.parent.stat().st_mode) == 0o700
    there.remove_ticket(str(one))
    there.remove_ticket(str(one))
    assert (one.exists(), other.exists()) == (False, True)
    there.clear_tickets()
    assert list(one.parent.iterdir()) == []


def packed(**values: object) -> dict[str, Raw]:
    return {name: Raw(msgspec.msgpack.encode(value)) for name, value in values.items()}


def test_what_pages_keep_is_there_again_and_for_nobody_else(tmp_path: Path) -> None:
    values = packed(pins=["a", None, 1.5], draft={"text": "日本\x00"}, number=2**63)
    assert ValueFile(tmp_path).load() == {}
    ValueFile(tmp_path).save(values)
    assert ValueFile(tmp_path).load() == values
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["[]", "{", '{"a": 1e999}', '{"a": ' + "[" * 10_000])
def test_what_pages_kept_and_cannot_be_read_is_begun_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "page-values.json").write_text(content)
    (tmp_path / "page-values.json").chmod(0o600)
    assert ValueFile(tmp_path).load() == {}
    ValueFile(tmp_path).save(packed(a=1))
    assert ValueFile(tmp_path).load() == packed(a=1)


def test_what_cannot_be_written_stays_to_the_end(tmp_path: Path) -> None:
    ValueFile(tmp_path / "gone").save(packed(a=1))  # no error: the page has it still
    with pytest.raises(BadParams):
        ValueFile(tmp_path).save({"a": Raw(b"\xc1")})
