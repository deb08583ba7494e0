"""adapters.storage.addresses: what is remembered is there again; it may be lost, so damage stops nothing."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from agent.adapters.storage.addresses import AddressFile
from agent.errors import StateError
from agent.links.rules.address_book import sign_record
from agent.protocol.addresses import AddressRecord
from tests.fakes.trust import identity

RECORD = sign_record(
    AddressRecord(device=identity(1).id, revision=7, port=7471, hosts=("10.0.0.2", "fd00::2")), identity(1)
)


def test_there_are_none_at_first(tmp_path: Path) -> None:
    assert AddressFile(tmp_path / "state").load() == []


def test_what_was_saved_is_there_after_a_restart(tmp_path: Path) -> None:
    AddressFile(tmp_path / "state").save([RECORD])
    assert AddressFile(tmp_path / "state").load() == [RECORD]
    mode = (tmp_path / "state" / "addresses.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 2, "records": []}', b"\xff" * 100])
def test_a_damaged_file_and_one_of_a_later_version_are_begun_anew(tmp_path: Path, content: bytes) -> None:
    AddressFile(tmp_path).save([RECORD])
    (tmp_path / "addresses.json").write_bytes(content)
    assert AddressFile(tmp_path).load() == []
    AddressFile(tmp_path).save([RECORD])
    assert AddressFile(tmp_path).load() == [RECORD]


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:  # T7
    AddressFile(tmp_path).save([RECORD])
    (tmp_path / "addresses.json").chmod(0o666)
    with pytest.raises(StateError, match="other users may change"):
        AddressFile(tmp_path).load()
