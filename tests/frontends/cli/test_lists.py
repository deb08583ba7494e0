"""`agent peers`, `agent sessions`: what is printed, and what a script gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from time import time  # noqa: TID251 - compared with the clock on the wall

import msgspec

from agent.protocol.messages import PairedRow
from agent.protocol.model import SessionId, Status
from agent.protocol.times import rfc3339
from tests.frontends.conftest import Agent
from tests.frontends.gateway import DESK, HERE, THERE, FakeGateway, device, session


def test_peers_lists_this_device_first_and_marked(gateway: FakeGateway, agent: Agent) -> None:
    gateway.devices = [device(DESK, "desk", working=1, needs_input=1, sessions=3), device()]
    ran = agent("peers")
    head, own, desk = ran.out.splitlines()
    assert head.split() == ["NAME", "STATE", "SESSIONS", "ADDRESS", "HEARD"]
    assert own.startswith("laptop (this device)")
    assert desk.split()[0] == "desk"
    assert "3 (1 working, 1 needs input)" in desk
    assert "192.0.2.1:4000,[fe80::1%eth0]:4000" in desk  # untruncated in a pipe
    assert "2027-01-15T08:00:00Z" in desk
    assert (ran.status, ran.err) == (0, "")


def test_json_is_the_rows_as_they_came(gateway: FakeGateway, agent: Agent) -> None:
    gateway.devices = [device(), device(DESK, "desk\x1b[31m")]
    assert json.loads(agent("peers", "--json").out) == json.loads(msgspec.json.encode(gateway.devices))
    assert json.loads(agent("sessions", "--json").out) == json.loads(msgspec.json.encode(gateway.sessions))


def test_an_empty_list_is_success_with_one_hint(gateway: FakeGateway, agent: Agent) -> None:
    gateway.sessions = []
    ran = agent("sessions")
    assert (ran.status, ran.out) == (0, "")
    assert ran.err == "  hint: no sessions yet: start one with `agent new`\n"
    assert agent("sessions", "--json").out == "[]\n"


def test_an_unpaired_and_an_offline_device_are_told_in_words(gateway: FakeGateway, agent: Agent) -> None:
    gateway.devices = [
        device(),
        device(DESK, "", paired=False, state="offline", since="2027-01-15T08:00:00Z", reason="it said goodbye"),
    ]
    line = agent("peers").out.splitlines()[2]
    assert line.startswith("192.0.2.1:4000 +1")  # R7
    assert "offline since 2027-01-15T08:00:00Z (it said goodbye), not paired" in line


def test_names_from_the_network_are_cleaned(gateway: FakeGateway, agent: Agent) -> None:  # T10
    gateway.devices = [device(), device(DESK, "a\x1b]0;x\x07\u202eb\nc")]
    gateway.sessions = [session(title="t\x1b[2J\r\u2066x")]
    for command in ("peers", "sessions"):
        out = agent(command).out
        assert not set("\x1b\x07\r\u202e\u2066") & set(out)
        assert len(out.splitlines()) == (3 if command == "peers" else 2)


def test_remote_sessions_stand_under_their_heading_only_if_there_are_any(gateway: FakeGateway, agent: Agent) -> None:
    assert "Live on other devices" not in agent("sessions").out  # R6
    gateway.sessions = [session(THERE, "Deploy"), session(title="")]
    lines = agent("sessions").out.splitlines()
    assert "Untitled session" in lines[1]  # R7, local first
    assert lines[2:4] == ["", "Live on other devices"]
    assert "Deploy" in lines[4]
    assert "desk" in lines[4]


def test_a_stale_session_says_so_without_colour(gateway: FakeGateway, agent: Agent) -> None:
    gateway.sessions = [session(THERE, stale=True, status=Status.NEEDS_INPUT), session(THERE, attachable=False)]
    out = agent("sessions").out
    assert "needs input (stale)" in out
    assert "idle (not paired)" in out


def test_sessions_on_one_device(gateway: FakeGateway, agent: Agent) -> None:
    gateway.devices = [device(), device(DESK, "desk")]
    gateway.sessions = [session(), session(THERE, "Deploy")]
    assert [row["id"] for row in json.loads(agent("sessions", "--on", "DES", "--json").out)] == [THERE]
    assert [row["id"] for row in json.loads(agent("sessions", "--on", "abcd-efgh", "--json").out)] == [HERE]
    ran = agent("sessions", "--on", "nobody")
    assert (ran.status, ran.err.splitlines()[0]) == (4, "agent: no device 'nobody'")
    gateway.devices.append(device(THERE, "desk two"))  # type: ignore[arg-type]  # any id will do
    ran = agent("sessions", "--on", "de")
    assert ran.status == 4
    assert "desk two" in ran.err


def test_wait_returns_as_soon_as_another_device_is_listed(gateway: FakeGateway, agent: Agent) -> None:
    gateway.devices = [device(), device(DESK, "desk")]
    assert len(agent("peers", "--wait", "30").out.splitlines()) == 3
    gateway.devices = [device()]
    ran = agent("peers", "--wait", "0.2")
    assert (ran.status, len(ran.out.splitlines())) == (0, 2)
    assert [name for name, _ in gateway.calls].count("peer.watch") == 1


def test_sessions_of_devices_that_are_away_are_folded(gateway: FakeGateway, agent: Agent) -> None:  # R12, R6
    since = rfc3339(time() - 240)
    gateway.devices.append(device(DESK, "desk", state="offline", since=since))
    gateway.sessions.append(session(THERE, "Deploy", away=True, stale=True, attachable=False))
    out = agent("sessions").out
    assert "Deploy" not in out
    assert out.splitlines()[-1] == "desk is offline for 4 min: 1 session (agent sessions --all)"
    assert "Live on other devices" not in out
    listed = agent("sessions", "--all").out
    assert "Out of reach, as last known" in listed
    assert "Deploy" in listed
    assert "idle (offline)" in listed
    assert "agent sessions --all" not in listed
    assert [row["id"] for row in json.loads(agent("sessions", "--json").out)] == [HERE]
    rows = json.loads(agent("sessions", "--json", "--all").out)
    assert [(row["id"], row["away"]) for row in rows] == [(HERE, False), (THERE, True)]


def test_sessions_that_are_all_away_are_no_reason_to_start_one(gateway: FakeGateway, agent: Agent) -> None:  # R12
    gateway.sessions = [
        session(THERE, "Deploy", away=True),
        session(SessionId("s3sotherccccccccc"), "Other", away=True),
    ]
    ran = agent("sessions")
    assert (ran.out, ran.err) == ("desk is offline: 2 sessions (agent sessions --all)\n", "")


def test_a_device_that_refuses_this_one_says_so_in_every_list(gateway: FakeGateway, agent: Agent) -> None:  # R14
    reason = "does not accept this device (unpaired or revoked)"
    gateway.devices.append(device(DESK, "desk", sessions=0, reason=reason))
    row = PairedRow(
        id=DESK, name="desk", fingerprint="", self=False, paired_at=None, seen_at=None, state="online", reason=reason
    )
    gateway.paired = [msgspec.to_builtins(row)]
    assert agent("sessions").out.splitlines()[-1] == f"desk {reason}"
    gateway.sessions = []
    ran = agent("sessions", "--on", "desk")
    assert (ran.out, ran.err) == (f"desk {reason}\n", "")
    assert f"online ({reason})" in agent("peers").out
    assert f"online ({reason})" in agent("devices").out


def test_sessions_that_are_away_are_completed(gateway: FakeGateway, home: Path) -> None:  # R12
    gateway.sessions.append(session(THERE, "Deploy", away=True))
    words = {"_AGENT_COMPLETE": "bash_complete", "COMP_WORDS": f"agent prompt {THERE[:3]}", "COMP_CWORD": "2"}
    environ = {**os.environ, **words}
    done = subprocess.run([sys.executable, "-m", "agent"], env=environ, capture_output=True, text=True, check=False)
    assert THERE in done.stdout
