"""`agent demo --page`: a service that somebody ends is told, and the others go on. The whole walk is in `e2e`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.frontends.cli import demo
from agent.frontends.cli.output import Printer


class Service:
    """A process that has ended once a status was given to it."""

    status: int | None = None

    def poll(self) -> int | None:
        return self.status

    def terminate(self) -> None:
        self.status = 0

    def wait(self, _seconds: float) -> int | None:
        return self.status


class Device:
    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.service, self.log = name, Service(), folder / name
        self.log.write_text(f"{name} was here\n")
        self.environ = {"LAN_AGENT_HOME": str(folder)}


Play = Callable[..., int]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Play:
    """Stay with the page, and have the named services end one after another; Ctrl-C after them."""
    devices: list[Any] = [Device(name, tmp_path) for name in demo.NAMES]

    def run(self: Any) -> None:
        self._devices.extend(devices)

    def played(*killed: str) -> int:
        left = [device for name in killed for device in devices if device.name == name]

        def sleep(_seconds: float) -> None:
            if not left:
                raise KeyboardInterrupt
            left.pop(0).service.status = -9

        monkeypatch.setattr("time.sleep", sleep)
        app: Any = SimpleNamespace(printer=Printer(environ={"NO_COLOR": "1"}))
        assert demo.demo.callback
        return int(demo.demo.callback.__wrapped__(app, page=True))  # type: ignore[attr-defined]

    monkeypatch.setattr(demo._Demo, "run", run)
    monkeypatch.setattr(demo._Demo, "_show", lambda *_: None)
    return played


def test_one_that_is_ended_is_told_once_and_the_others_go_on(play: Play, capfd: pytest.CaptureFixture[str]) -> None:
    assert play("desk", "pi") == 0
    told = capfd.readouterr().out.partition("All three run until Ctrl-C.")[2].split("\n")
    assert [line for line in told if line] == [
        "The service on desk has ended: the page shows how that looks.",
        "The service on pi has ended: the page shows how that looks.",
        "The others have said goodbye; nothing is left behind.",
    ]


def test_without_the_one_that_has_the_page_it_ends(play: Play, capfd: pytest.CaptureFixture[str]) -> None:
    assert play("pi", "laptop") == 1
    told = capfd.readouterr()
    assert "The service on pi has ended" in told.out
    assert "the demo failed: the service on laptop has ended, and the page with it" in told.err
    assert "laptop was here" in told.err
