"""`agent peers`, `agent sessions`: what is printed, and what a script gets."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from time import time  # noqa: TID251 - compared with the clock on the wall
from typing import Any

import msgspec
import pytest

from agent.frontends.cli.output import local_time
from agent.protocol.messages import PairedRow
from agent.protocol.model import SessionId, Status
from agent.protocol.times import rfc3339
from tests.frontends.conftest import Agent, Screen
from tests.frontends.gateway import DESK, HERE, THERE, FakeGateway, device, session


def test_peers_lists_this_device_first_and_marked(gateway: FakeGateway, agent: Agent, screen: Screen) -> None:
    gateway.devices = [device(DESK, "desk", working=1, needs_input=1, sessions=3), device()]
    head, own, desk = screen("peers").splitlines()
    assert head.split() == ["NAME", "STATE", "SESSIONS", "ADDRESS", "HEARD"]
    assert own.startswith("laptop (this device)")
    assert desk.split()[0] == "desk"
    assert "3 (1 working, 1 needs input)" in desk
    ran = agent("peers")
    assert (ran.status, ran.err) == (0, "")
    own, desk = ran.out.splitlines()
    assert own.split("\t")[0] == "laptop"
    assert desk.split("\t") == [
        "desk", "online", "3", "192.0.2.1:4000,[fe80::1%eth0]:4000", "2027-01-15T08:00:00Z", DESK, "paired",
        "1", "1", "", "", "",
    ]  # fmt: skip


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


def test_an_offline_device_says_for_how_long(gateway: FakeGateway, screen: Screen) -> None:
    gateway.devices.append(device(DESK, "desk", state="offline", since=rfc3339(time() - 9)))
    assert re.search(r"  offline for (9|1\d) s  ", screen("peers", columns=160))


@pytest.mark.parametrize(
    ("role", "told"),
    [
        ("member", "no sessions there yet: start one with `agent new --on desk`"),
        ("guest", "desk is a guest of this device, which sees none of its sessions"),
        ("host", "no session of desk is open to this device, which is its guest: ask its owner"),
        ("", "desk is not paired with this device: `agent pair` on one of the two, `agent join` on the other"),
    ],
)
def test_an_empty_list_of_one_device_leads_on_as_the_rights_allow(
    gateway: FakeGateway, agent: Agent, role: Any, told: str
) -> None:
    gateway.devices.append(device(DESK, "desk", sessions=0, paired=bool(role)))
    row = PairedRow(
        id=DESK, name="desk", fingerprint="", self=False, paired_at=None, seen_at=None, role=role or "member"
    )
    gateway.paired = msgspec.to_builtins([row])
    ran = agent("sessions", "--on", "desk")
    assert (ran.status, ran.out, ran.err) == (0, "", f"  hint: {told}\n")


def test_an_unpaired_and_an_offline_device_are_told_in_words(
    gateway: FakeGateway, agent: Agent, screen: Screen
) -> None:
    gateway.devices = [
        device(),
        device(DESK, "", paired=False, state="offline", since="2027-01-15T08:00:00Z", reason="it said goodbye"),
    ]
    line = screen("peers").splitlines()[2]
    assert line.startswith("192.0.2.1:4000 +1")  # R7
    assert "offline, not paired, for 0 s (it said goodbye)" in line
    fields = agent("peers").out.splitlines()[1].split("\t")
    assert (fields[1], fields[6]) == ("offline", "not paired")
    assert fields[9:11] == ["2027-01-15T08:00:00Z", "it said goodbye"]


def test_names_from_the_network_are_cleaned(gateway: FakeGateway, agent: Agent, screen: Screen) -> None:  # T10
    gateway.devices = [device(), device(DESK, "a\x1b]0;x\x07\u202eb\nc\td")]
    gateway.sessions = [session(title="t\x1b[2J\r\u2066x\ty")]
    for command, rows in (("peers", 2), ("sessions", 1)):
        piped, shown = agent(command).out.splitlines(), screen(command)
        assert not set("\x1b\x07\r\u202e\u2066") & set("".join(piped) + shown)
        assert {line.count("\t") for line in piped} == {12 if command == "sessions" else 11}
        assert (len(piped), len(shown.splitlines())) == (rows, rows + 1)


def test_remote_sessions_stand_under_their_heading_only_if_there_are_any(
    gateway: FakeGateway, agent: Agent, screen: Screen
) -> None:
    assert "Live on other devices" not in screen("sessions")  # R6
    gateway.sessions = [session(THERE, "Deploy"), session(title="")]
    lines = screen("sessions").splitlines()
    assert "Untitled session" in lines[1]  # R7, local first
    assert lines[2:4] == ["", "Live on other devices"]
    assert "Deploy" in lines[4]
    assert "desk" in lines[4]
    assert [line.split("\t")[6] for line in agent("sessions").out.splitlines()] == ["here", "online"]


def test_a_stale_session_says_so_without_colour(gateway: FakeGateway, agent: Agent, screen: Screen) -> None:
    gateway.sessions = [session(THERE, stale=True, status=Status.NEEDS_INPUT), session(THERE, attachable=False)]
    out = screen("sessions")
    assert "needs input (stale)" in out
    assert "idle (not paired)" in out
    fields = [line.split("\t") for line in agent("sessions").out.splitlines()]
    assert [(row[0], row[6]) for row in fields] == [("needs-input", "stale"), ("idle", "not paired")]


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
    assert len(agent("peers", "--wait", "30").out.splitlines()) == 2
    gateway.devices = [device()]
    ran = agent("peers", "--wait", "0.2")
    assert (ran.status, len(ran.out.splitlines())) == (0, 1)
    assert [name for name, _ in gateway.calls].count("peer.watch") == 1


def test_sessions_of_devices_that_are_away_are_folded(
    gateway: FakeGateway, agent: Agent, screen: Screen
) -> None:  # R12, R6
    since = rfc3339(time() - 240)
    gateway.devices.append(device(DESK, "desk", state="offline", since=since))
    gateway.sessions.append(session(THERE, "Deploy", away=True, stale=True, attachable=False))
    out = screen("sessions")
    assert "Deploy" not in out
    assert out.splitlines()[-1] == "desk is offline for 4 min: 1 session (`agent sessions --all`)"
    assert "Live on other devices" not in out
    ran = agent("sessions")
    assert len(ran.out.splitlines()) == 1
    assert ran.err == "desk is offline for 4 min: 1 session (`agent sessions --all`)\n"  # no row, so not in the data
    listed = screen("sessions", "--all")
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
    assert (ran.out, ran.err) == ("", "desk is offline: 2 sessions (`agent sessions --all`)\n")


def test_a_device_that_refuses_this_one_says_so_in_every_list(
    gateway: FakeGateway, agent: Agent, screen: Screen
) -> None:  # R14
    reason = "does not accept this device (unpaired or revoked)"
    gateway.devices.append(device(DESK, "desk", sessions=0, reason=reason))
    row = PairedRow(
        id=DESK, name="desk", fingerprint="", self=False, paired_at=None, seen_at=None, state="online", reason=reason
    )
    gateway.paired = [msgspec.to_builtins(row)]
    assert screen("sessions").splitlines()[-1] == f"desk {reason}"
    gateway.sessions = []
    ran = agent("sessions", "--on", "desk")
    assert (ran.out, ran.err) == ("", f"desk {reason}\n")
    assert f"online ({reason})" in screen("peers", columns=160)
    assert f"online ({reason})" in screen("devices", columns=160)


def test_sessions_that_are_away_are_completed(gateway: FakeGateway, home: Path) -> None:  # R12
    gateway.sessions.append(session(THERE, "Deploy", away=True))
    words = {"_AGENT_COMPLETE": "bash_complete", "COMP_WORDS": f"agent prompt {THERE[:3]}", "COMP_CWORD": "2"}
    environ = {**os.environ, **words}
    done = subprocess.run([sys.executable, "-m", "agent"], env=environ, capture_output=True, text=True, check=False)
    assert THERE in done.stdout


def test_of_a_device_that_is_away_the_sessions_that_it_had_are_counted(gateway: FakeGateway, screen: Screen) -> None:
    gateway.devices = [device(), device(DESK, "desk", state="offline", sessions=0, remembered=3)]  # R12
    assert "3 as last known" in screen("peers").splitlines()[2]


@pytest.mark.parametrize("told", [True, False])
def test_a_notice_stands_with_its_time_unless_the_service_is_too_old_to_tell(
    gateway: FakeGateway, agent: Agent, told: bool
) -> None:
    at = "2027-01-15T08:00:00Z"
    gateway.status = {"notices": ("desk prompted here",), "noticed_at": (at,) if told else ()}
    when = f"{local_time(at)}  " if told else ""
    assert f"notice      {when}desk prompted here\n" in agent("status").out
