"""`agent page`: what it opens, prints and says; the door itself is in tests/gateway."""

from __future__ import annotations

import webbrowser
from typing import Any

import pytest

from tests.frontends.conftest import Agent
from tests.frontends.gateway import PAGE, FakeGateway

FILE = "file:///run/user/1000/lan-agent/page-1.html"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was given to a browser."""
    given: list[str] = []

    def open_it(address: str, *_: Any, **__: Any) -> bool:
        given.append(address)
        return True

    monkeypatch.setattr(webbrowser, "open", open_it)
    monkeypatch.setenv("BROWSER", "firefox")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    return given


def test_the_browser_is_given_a_file_and_no_secret(gateway: FakeGateway, agent: Agent, opened: list[str]) -> None:  # T7
    ran = agent("page")
    assert (ran.status, ran.out, opened) == (0, "", [FILE])
    assert "12 hours" in ran.err


def test_printed_is_the_file_and_nothing_is_opened(gateway: FakeGateway, agent: Agent, opened: list[str]) -> None:
    assert agent("page", "--print") == (0, f"{FILE}\n", "")
    assert opened == []


def test_without_a_browser_the_file_is_printed_with_the_other_way(
    gateway: FakeGateway, agent: Agent, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    ran = agent("page")
    assert (ran.out, opened) == (f"{FILE}\n", [])
    assert "agent page --code" in ran.err


def test_a_code_is_shown_with_every_address_and_the_way_through_ssh(
    gateway: FakeGateway, agent: Agent, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22")
    ran = agent("page", "--code")
    assert (ran.status, ran.out, opened) == (0, "abcd-2345\n", [])
    for told in ("ssh -L 7480:127.0.0.1:7480", "http://abcdefghijkm.localhost:7480", "https://desk.example.ts.net"):
        assert told in ran.err


def test_logout_says_how_many_there_were(gateway: FakeGateway, agent: Agent) -> None:
    assert agent("page", "--logout").err == "logged out: 2\n"


def test_one_way_at_a_time(gateway: FakeGateway, agent: Agent) -> None:
    assert agent("page", "--code", "--print").status == 2


def test_the_status_says_where_the_page_is(gateway: FakeGateway, agent: Agent) -> None:
    assert f"page        {PAGE}, `agent page` opens it\n" in agent("status").out
    gateway.status = {"page": ""}
    assert "page        not served\n" in agent("status").out
