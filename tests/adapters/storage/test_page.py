"""adapters.storage.page: logins that outlive a restart, tickets that only the own user reads."""

from __future__ import annotations

import stat
from pathlib import Path

from agent.adapters.storage.page import PageFiles
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
