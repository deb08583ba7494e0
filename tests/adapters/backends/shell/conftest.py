"""Shell sessions with start-up files of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from agent.adapters.backends.shell import ShellBackend
from agent.adapters.backends.shell.session import ShellSession
from agent.ports import Start
from agent.protocol.model import SessionId
from tests.fakes.listener import Listener

Starter = Callable[..., Awaitable[ShellSession]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's home, with nothing in it."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / ".config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / ".local"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("SHLVL", "1")
    monkeypatch.delenv("ZDOTDIR", raising=False)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
async def start(home: Path, listener: Listener) -> AsyncIterator[Starter]:
    """Start shells whose start-up file has some lines; they are ended with the test."""
    started: list[ShellSession] = []
    files = {"bash": ".bashrc", "zsh": ".zshrc", "fish": ".config/fish/config.fish"}

    async def make(shell: str, lines: str = "") -> ShellSession:
        if lines:
            file = home / files[shell]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(lines + "\n")
        backend = await ShellBackend().start(Start(session=SessionId("one"), shell=shell), listener.emit)
        assert isinstance(backend, ShellSession)
        started.append(backend)
        return backend

    yield make
    for backend in started:
        await backend.close()
