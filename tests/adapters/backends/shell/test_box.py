"""adapters.backends.shell.box: what service and shell hand each other beside the terminal."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agent.adapters.backends.shell.box import Box, Done, runtime_folder


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_a_box_is_its_users_own_and_signs_with_a_nonce_of_its_own(tmp_path: Path) -> None:
    one, other = Box.make(tmp_path), Box.make(tmp_path)
    assert one.path != other.path
    assert stat.S_IMODE(one.path.stat().st_mode) == 0o700
    assert modes(one.path) == {0o600}
    assert one.nonce != other.nonce
    assert len(one.nonce) >= 24
    assert (one.path / "nonce").read_text() == one.nonce


def test_a_prompt_is_its_number_a_line_feed_and_the_text_as_it_is(tmp_path: Path) -> None:
    box = Box.make(tmp_path)
    assert (box.path / "in").read_bytes() == b"0\n"
    box.put(7, "echo 'ž'\n\techo two\n")
    assert (box.path / "in").read_bytes() == "7\necho 'ž'\n\techo two\n".encode()
    box.put(8, "\ud800")  # no text that a file can hold
    assert (box.path / "in").read_bytes() == b"8\n?"


def test_a_shell_that_reads_while_a_prompt_is_put_gets_all_of_one(tmp_path: Path) -> None:
    box = Box.make(tmp_path)
    box.put(1, "first")
    with (box.path / "in").open("rb") as reading:
        box.put(2, "second")
        assert reading.read() == b"1\nfirst"


def test_what_the_shell_has_taken_and_done_is_read(tmp_path: Path) -> None:
    box = Box.make(tmp_path)
    assert (box.taken(), box.done()) == (0, None)
    (box.path / "taken").write_text("3")
    (box.path / "done").write_text("n3 17 130\n")
    assert (box.taken(), box.done()) == (3, Done(3, 17, 130))


@pytest.mark.parametrize("text", ["", "n", "n3", "n3 17", " 17 0", "nx 1 2", "n3 17 0 more", "n1" * 200, "\xff\0"])
def test_what_is_none_of_ours_tells_nothing(text: str, tmp_path: Path) -> None:
    box = Box.make(tmp_path)
    for name in ("taken", "done"):
        (box.path / name).write_text(text)
    assert (box.taken(), box.done()) == (0, None)


def test_a_box_that_a_cleaner_of_old_files_took_is_there_again_with_the_next_prompt(tmp_path: Path) -> None:
    box = Box.make(tmp_path)
    shutil.rmtree(box.path)
    box.put(2, "true")
    assert (box.path / "nonce").read_text() == box.nonce
    assert (box.path / "in").read_bytes() == b"2\ntrue"
    assert stat.S_IMODE(box.path.stat().st_mode) == 0o700


def test_the_box_of_a_shell_that_still_runs_is_found_with_its_nonce(tmp_path: Path) -> None:
    box = Box.make(tmp_path)
    assert Box.find(box.path).nonce == box.nonce
    box.remove()
    box.remove()
    assert not box.path.exists()
    with pytest.raises(FileNotFoundError):
        Box.find(box.path)


def test_boxes_whose_shells_are_gone_are_removed_when_one_is_made(tmp_path: Path) -> None:
    used, left, foreign = Box.make(tmp_path), Box.make(tmp_path), tmp_path / "something-else"
    foreign.mkdir()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as shell, subprocess.Popen(["true"]) as gone:
        used.belongs_to(shell.pid)
        left.belongs_to(gone.pid)
        gone.wait()
        Box.make(tmp_path)
        assert used.path.exists()
        assert not left.path.exists()
        assert foreign.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process was started")
def test_a_process_that_has_the_number_of_a_shell_that_is_gone_keeps_no_box(tmp_path: Path) -> None:
    left = Box.make(tmp_path)
    (left.path / "owner").write_text(f"{os.getpid()} 1")
    Box.make(tmp_path)
    assert not left.path.exists()


def test_boxes_are_where_programs_keep_what_ends_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    private, shared = tmp_path / "private", tmp_path / "shared"
    private.mkdir(mode=0o700)
    shared.mkdir()
    shared.chmod(0o755)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(private))
    assert runtime_folder() == private
    for other in (shared, tmp_path / "missing"):  # systemd-logind makes it private: this one is something else
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(other))
        assert runtime_folder() == tmp_path
