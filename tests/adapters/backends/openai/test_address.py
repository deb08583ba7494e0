"""Where a configured server is, and how its key is kept (T7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.adapters.backends.openai.address import ServerAddress, server_address
from agent.errors import BackendFailed
from agent.ports import BackendConfig

KEY = "sk-0123456789abcdef"


def address(**fields: Any) -> ServerAddress:
    return server_address("one", BackendConfig(kind="openai", **fields))


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("https://llm.example.net/api/v2/", "https://llm.example.net/api/v2"),
        ("https://llm.example.net/v1/chat/completions", "https://llm.example.net/v1"),
    ],
)
def test_an_address_is_taken_as_people_write_it(url: str, base: str) -> None:
    assert address(url=url).url == base


@pytest.mark.parametrize("url", ["", "llm.example.net", "ftp://x/", "http://", "http://x:99999/", "http://[::1/"])
def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(BackendFailed, match="not an address"):
        address(url=url)


@pytest.mark.parametrize("url", [f"https://me:{KEY}@x/v1", f"https://x/v1?key={KEY}", f"https://x/v1#{KEY}"])
def test_a_key_in_the_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BackendFailed, match="more than an address") as told:
        address(url=url)
    assert KEY not in str(told.value) + told.value.hint


def test_fields_of_other_kinds_are_refused() -> None:
    for field, value in (("argv", ("x",)), ("env", {"KEY": KEY}), ("cwd", "/")):
        with pytest.raises(BackendFailed, match=f'^{field} is nothing for kind "openai"') as told:
            address(url="https://x", **{field: value})
        assert KEY not in str(told.value)
    with pytest.raises(BackendFailed, match="both set"):
        address(url="https://x", key_env="A", key_file="b")


def test_a_key_does_not_cross_the_network_in_the_clear() -> None:
    with pytest.raises(BackendFailed, match="in the clear"):
        address(url="http://192.168.7.2:8000", key_env="KEY")
    with pytest.raises(BackendFailed, match="in the clear"):
        address(url="http://localhost.example.net", key_env="KEY")
    assert address(url="http://192.168.7.2:8000").key({"KEY": KEY}) == ""
    for url in ("https://192.168.7.2", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"):
        assert address(url=url, key_env="KEY").key({"KEY": f" {KEY}\n"}) == KEY


def test_a_variable_that_is_not_set_is_named() -> None:
    for environ in ({}, {"MY_KEY": " "}):
        with pytest.raises(BackendFailed, match=r"the variable MY_KEY .* is not set"):
            address(url="https://x", key_env="MY_KEY").key(environ)


def test_a_key_file_is_read_when_nobody_else_may(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    found = address(url="https://x", key_file=str(file))
    for mode in (0o644, 0o640, 0o604, 0o660):
        file.chmod(mode)
        with pytest.raises(BackendFailed, match="not safe") as told:
            found.key({})
        assert "chmod 600" in told.value.hint
    file.chmod(0o600)
    assert found.key({}) == KEY
    assert KEY not in repr(found)


@pytest.mark.parametrize("content", [b"", b"two words", b"two\nlines", "klíč".encode(), b"\xff\xfe", b"a\x00b"])
def test_what_is_no_key_is_not_sent(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(BackendFailed, match="what should be its key is none"):
        address(url="https://x", key_file=str(file)).key({})


def test_a_key_file_that_is_missing_or_a_folder_is_told_without_its_path(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(BackendFailed, match=r"key_file cannot be read|not safe") as told:
            address(url="https://x", key_file=str(path)).key({})
        assert str(tmp_path) not in str(told.value) + told.value.hint
