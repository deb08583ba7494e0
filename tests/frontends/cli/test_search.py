"""`agent search`, `agent forget`, `agent sessions --all`: what a person sees, and what a script gets."""

from __future__ import annotations

import json

import pytest

from agent.errors import Busy, SessionNotFound
from agent.frontends.cli.search import QUERY_MAX
from agent.protocol import transcripts
from agent.protocol.model import DeviceRef, SessionId, Status
from agent.protocol.transcripts import DeviceUnreached, Found, Hit, Past
from tests.frontends.conftest import Agent, Screen
from tests.frontends.gateway import DESK, HERE, OWN, FakeGateway, device, session

DEN = DeviceUnreached(DeviceRef(DESK, "den"), "den is out of reach for 4 min")


def hit(excerpt: str = "mend the pump", *marks: tuple[int, int], **more: object) -> Hit:
    fields: dict[str, object] = {
        "session_id": HERE,
        "title": "Water\x1b[31mworks",
        "device": DeviceRef(OWN, "laptop"),
        "seq": 42,
        "type": "message.user",
        "at": "2027-01-15T08:00:00Z",
    }
    return Hit(excerpt=excerpt, marks=marks, **(fields | more))  # type: ignore[arg-type]  # overrides are checked by the tests


def test_a_hit_says_where_it_is_and_how_to_open_it(gateway: FakeGateway, screen: Screen) -> None:
    gateway.found = Found(hits=(hit("mend the pump", (9, 13)),))
    where, words = screen("search", "pump").splitlines()
    assert where.startswith("Water")
    assert "\x1b" not in where
    assert where.endswith(f"agent log {HERE[:8]} --since 41")
    assert words == "  prompt: mend the pump"
    assert gateway.called("session.search")[0].text == "pump"


def test_what_was_found_is_painted_and_nothing_else_of_it(gateway: FakeGateway, agent: Agent) -> None:
    gateway.found = Found(hits=(hit("a\x1b[2Jb pump c", (7, 11)),))
    ran = agent("--color", "always", "search", "pump")
    assert "\x1b[2J" not in ran.out


def test_in_a_pipe_each_hit_is_one_line_of_fields(gateway: FakeGateway, agent: Agent) -> None:
    gateway.found = Found(hits=(hit("one\ttwo"), hit(type="tool.complete", seq=1)))
    first, second = agent("search", "one", "two").out.splitlines()
    assert first.split("\t") == [
        HERE, "Water\ufffd[31mworks", "laptop", "2027-01-15T08:00:00Z", "41", "prompt", "one two",
    ]  # fmt: skip
    assert second.split("\t")[4:6] == ["0", "output"]
    assert gateway.called("session.search")[0].text == "one two"


def test_json_is_the_answer_as_it_came(gateway: FakeGateway, agent: Agent) -> None:
    gateway.found = Found(hits=(hit(),), unreached=(DEN,), more=True)
    ran = agent("search", "--json", "--all-devices", "pump")
    told = json.loads(ran.out)
    assert (told["hits"][0]["seq"], told["unreached"][0]["device"]["name"], told["more"]) == (42, "den", True)
    assert gateway.called("session.search")[0].scope == "all"


def test_devices_that_were_not_searched_are_named_on_stderr(gateway: FakeGateway, agent: Agent) -> None:
    gateway.found = Found(hits=(), unreached=(DEN,), indexing=("desk",))
    ran = agent("search", "--all-devices", "pump")
    assert (ran.status, ran.out) == (0, "")
    assert ran.err.splitlines() == [
        "nothing found",
        "not searched: den is out of reach for 4 min",
        "desk is still indexing its transcripts: search again in a moment",
    ]


def test_nothing_found_here_leads_to_the_other_devices_if_there_are_any(gateway: FakeGateway, agent: Agent) -> None:
    gateway.devices = [device(), device(DESK, "desk")]
    ran = agent("search", "pump")
    assert ran.status == 0
    assert "--all-devices" in ran.err
    gateway.devices = [device()]
    ran = agent("search", "pump")
    assert "--all-devices" not in ran.err
    assert "`begin*`" in ran.err


def test_that_there_is_more_is_said_with_the_option(gateway: FakeGateway, agent: Agent) -> None:
    gateway.found = Found(hits=(hit(),), more=True)
    assert "--limit 100" in agent("search", "pump").err


def test_nothing_is_forgotten_while_one_of_the_names_is_wrong(gateway: FakeGateway, agent: Agent) -> None:
    ran = agent("forget", "--yes", HERE, "nosuch")
    assert ran.status == 4
    assert "no session 'nosuch'" in ran.err
    assert ran.err.endswith("nothing was deleted\n")
    assert not gateway.called("session.forget")


def test_a_session_that_is_named_twice_is_forgotten_once(gateway: FakeGateway, agent: Agent) -> None:
    ran = agent("forget", "--yes", "Build", HERE)
    assert (ran.status, ran.err) == (0, f"deleted: Build ({HERE})\n")
    assert len(gateway.called("session.forget")) == 1


def test_without_a_terminal_nothing_is_deleted_unless_it_is_said_to_be_meant(
    gateway: FakeGateway, agent: Agent
) -> None:
    ran = agent("forget", HERE)
    assert (ran.status, "--yes" in ran.err) == (2, True)
    assert not gateway.called("session.forget")


def test_a_live_session_is_to_be_closed_first(gateway: FakeGateway, agent: Agent) -> None:
    gateway.refusals["session.forget"] = Busy("the session is live", hint="close it first: `agent close x`")
    ran = agent("forget", "--yes", HERE)
    assert ran.status == 1
    assert "close it first" in ran.err


@pytest.mark.parametrize("said", ["y", "n", ""])
def test_a_terminal_asks_before_something_is_deleted(
    gateway: FakeGateway, agent: Agent, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    gateway.past = Past(sessions=(session(title="Build", status=Status.ENDED, closed=True),))
    asked: list[str] = []

    def confirm(text: str, **_: object) -> bool:
        asked.append(text)
        return said == "y"

    monkeypatch.setattr("click.confirm", confirm)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("agent.frontends.cli.output.Printer.err_tty", True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    ran = agent("forget", "Build")
    assert (ran.status, f"kept: Build ({HERE})\n" in ran.err) == ((0, False) if said == "y" else (1, True))
    assert asked
    assert "delete the transcript of Build" in asked[0]
    assert len(gateway.called("session.forget")) == (said == "y")


def test_closed_sessions_stand_last_and_only_with_all(gateway: FakeGateway, agent: Agent, screen: Screen) -> None:
    over = session(SessionId("closedclosedclos"), "Old plan", status=Status.ENDED, attachable=False, closed=True)
    gateway.past = Past(sessions=(over,), more=True, unreached=(DEN,))
    assert "Old plan" not in screen("sessions")
    assert gateway.called("session.past") == []  # it reads none of them
    lines = screen("sessions", "--all").splitlines()
    at = next(number for number, line in enumerate(lines) if "Over: " in line)
    assert "ended (closed)" in lines[at + 1]
    assert "Old plan" in lines[at + 1]
    assert any("den is out of reach" in line for line in lines[at:])
    assert any("older ones" in line for line in lines[at:])
    rows = json.loads(agent("sessions", "--all", "--json").out)
    assert [row.get("closed", False) for row in rows] == [False, True]


def test_of_one_device_that_is_away_it_is_said_and_no_error(gateway: FakeGateway, agent: Agent) -> None:
    gateway.devices.append(device(DESK, "den", state="offline"))
    other = DeviceUnreached(DeviceRef(OWN, "pi"), "pi does not answer")
    gateway.past = Past(sessions=(session(status=Status.ENDED, closed=True),), unreached=(DEN, other))
    ran = agent("sessions", "--all", "--on", "den")
    assert (ran.status, ran.out) == (0, "")
    assert "den is out of reach" in ran.err
    assert "pi does not" not in ran.err
    assert not gateway.called("session.past")[0].device


def test_an_unknown_session_is_told_as_the_service_told_it(gateway: FakeGateway, agent: Agent) -> None:
    gateway.refusals["session.search"] = SessionNotFound("no such thing", hint="look elsewhere")
    ran = agent("search", "x")
    assert (ran.status, "look elsewhere" in ran.err) == (4, True)


def test_a_query_that_is_too_long_is_told_before_it_is_sent(gateway: FakeGateway, agent: Agent) -> None:
    ran = agent("search", "x" * (QUERY_MAX + 1))
    assert (ran.status, "1,024 are allowed" in ran.err) == (2, True)
    assert agent("search", "x" * transcripts.QUERY_MAX).status == 0
