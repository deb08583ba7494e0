from __future__ import annotations

import base64
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.adapters.storage.identity import load_or_create_identity
from agent.adapters.storage.state import StateFile, TrustFile
from agent.errors import StateError
from tests.fakes.trust import paired


def seeded(size: int) -> bytes:
    return b"\7" * size


def other_seed(size: int) -> bytes:
    return b"\10" * size


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def full_disk() -> Iterator[None]:
    """Writes beyond 16 bytes of a file fail, as on a disk that is full in the middle of one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_folder_and_files_are_private(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "state"
    load_or_create_identity(home)
    TrustFile(home).put(paired(1))
    StateFile(home).put("port", 7000)
    assert mode(home) == 0o700
    assert {path.name: mode(path) for path in home.iterdir()} == {
        "identity.pem": 0o600,
        "trust.json": 0o600,
        "state.json": 0o600,
    }


def test_an_open_folder_of_ours_is_closed(tmp_path: Path) -> None:
    home = tmp_path / "state"
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    load_or_create_identity(home)
    assert mode(home) == 0o700


def test_a_key_that_others_may_read_is_refused_as_ssh_does(tmp_path: Path) -> None:
    load_or_create_identity(tmp_path, seeded)
    (tmp_path / "identity.pem").chmod(0o640)
    with pytest.raises(StateError, match="other users may read") as refused:
        load_or_create_identity(tmp_path, seeded)
    assert f"chmod 600 {tmp_path}/identity.pem" in refused.value.hint


def test_a_trust_file_that_others_may_change_is_refused(tmp_path: Path) -> None:
    TrustFile(tmp_path).put(paired(1))
    (tmp_path / "trust.json").chmod(0o606)
    with pytest.raises(StateError, match="other users may change"):
        TrustFile(tmp_path)


def test_a_trust_file_that_others_may_read_is_closed(tmp_path: Path) -> None:
    TrustFile(tmp_path).put(paired(1))
    (tmp_path / "trust.json").chmod(0o644)
    assert TrustFile(tmp_path).devices() == [paired(1)]
    assert mode(tmp_path / "trust.json") == 0o600


@pytest.mark.parametrize("name", ["identity.pem", "trust.json", "state.json"])
def test_a_symbolic_link_is_not_followed(tmp_path: Path, name: str) -> None:
    home, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.write_text("{}")
    (home / name).symlink_to(elsewhere)
    with pytest.raises(StateError, match="symbolic link"):
        open_all(home)
    assert elsewhere.read_text() == "{}"


def test_a_folder_behind_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "there")
    with pytest.raises(StateError, match="symbolic link"):
        load_or_create_identity(tmp_path / "state")


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StateError, match="state"):
        load_or_create_identity(tmp_path / "state")


def test_a_pipe_in_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "trust.json", 0o600)
    with pytest.raises(StateError, match="not a file"):
        TrustFile(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("identity.pem", b""),
        ("identity.pem", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        ("trust.json", b""),
        ("trust.json", b'{"version":1,"devices":[{}]}'),
        ("trust.json", b'{"version":1,"devices":'),
        ("trust.json", b"[" * 100_000),
        ("trust.json", b'{"version":1,"devices":"\xff"}'),
        ("state.json", b'{"revision":"x"}'),
        ("state.json", b"[" * 100_000),
    ],
)
def test_a_damaged_file_is_named_and_never_overwritten(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StateError, match=name) as damaged:
        open_all(tmp_path)
    assert name in damaged.value.hint
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["identity.pem", "trust.json", "state.json"])
def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(StateError, match="is not a file"):
        open_all(tmp_path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "trust.json").open("wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "trust.json").chmod(0o600)
    with pytest.raises(StateError, match="larger"):
        TrustFile(tmp_path)


def test_trust_in_a_certificate_of_another_form_is_damage(tmp_path: Path) -> None:
    TrustFile(tmp_path).put(paired(1))
    path = tmp_path / "trust.json"
    certificate = base64.b64encode(paired(1).certificate)
    path.write_bytes(path.read_bytes().replace(certificate, base64.b64encode(b"0\x82")))
    with pytest.raises(StateError, match="damaged"):
        TrustFile(tmp_path)


def test_trust_under_the_id_of_another_device_is_damage(tmp_path: Path) -> None:
    TrustFile(tmp_path).put(paired(1))
    path = tmp_path / "trust.json"
    path.write_text(path.read_text().replace(paired(1).id, paired(2).id))
    with pytest.raises(StateError, match="another one"):
        TrustFile(tmp_path)


def test_trust_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    path.write_text('{"version":2,"devices":[]}')
    path.chmod(0o600)
    with pytest.raises(StateError, match="later version"):
        TrustFile(tmp_path)
    assert path.read_text() == '{"version":2,"devices":[]}'


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    trust, state = TrustFile(tmp_path), StateFile(tmp_path)
    trust.put(paired(1))
    state.put("revision", 1)
    with full_disk():
        with pytest.raises(StateError, match=r"cannot write .*trust\.json"):
            trust.put(paired(2))
        with pytest.raises(StateError, match=r"cannot write .*trust\.json"):
            trust.remove(paired(1).id)
        state.put("revision", 1_800_000_000_000)  # safe to lose, so no error
        with pytest.raises(StateError, match="cannot write"):
            load_or_create_identity(tmp_path / "new")
    assert trust.devices() == TrustFile(tmp_path).devices() == [paired(1)]
    assert state.get("revision") == 1_800_000_000_000
    assert StateFile(tmp_path).get("revision") == 1
    state.put("revision", 3)
    assert StateFile(tmp_path).get("revision") == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "state.json", "trust.json"]
    assert not list((tmp_path / "new").iterdir())


def test_a_write_that_died_half_way_is_forgotten(tmp_path: Path) -> None:
    TrustFile(tmp_path).put(paired(1))
    (tmp_path / "trust.json.new").write_bytes(b"{half")
    store = TrustFile(tmp_path)
    assert store.devices() == [paired(1)]
    store.put(paired(2))
    assert len(TrustFile(tmp_path).devices()) == 2
    assert not (tmp_path / "trust.json.new").exists()


def test_numbers_outlive_a_restart(tmp_path: Path) -> None:
    state = StateFile(tmp_path)
    assert state.get("port") == 0
    state.put("port", 7000)
    state.put("revision", 1_800_000_000_000)
    assert StateFile(tmp_path).get("port") == 7000
    assert StateFile(tmp_path).get("revision") == 1_800_000_000_000


def test_an_empty_state_file_is_what_a_power_cut_leaves(tmp_path: Path) -> None:
    (tmp_path / "state.json").touch(mode=0o600)
    assert StateFile(tmp_path).get("revision") == 0


def open_all(home: Path) -> None:
    StateFile(home)
    TrustFile(home)
    load_or_create_identity(home)
