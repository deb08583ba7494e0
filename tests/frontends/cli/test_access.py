"""`agent share`, `audit`, `new --private`, `pair --guest`, `devices --read-only`: what they ask, and what they show."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.errors import Forbidden, ReadOnly
from agent.protocol.audit import Action, AuditEntry
from agent.protocol.messages import AuditNoted, PairNews
from tests.frontends.cli.test_attach import Terminal
from tests.frontends.conftest import Agent, Screen
from tests.frontends.gateway import DESK, HERE, FakeGateway


@pytest.mark.parametrize("how", ["all", "read-only", "private"])
def test_share_says_who_may_use_a_session(gateway: FakeGateway, agent: Agent, how: str) -> None:
    assert agent("share", HERE, how) == (0, "", "")
    asked = gateway.called("session.share")[0]
    assert (asked.session_id, asked.share) == (HERE, how)


def test_share_takes_no_other_word(agent: Agent) -> None:
    assert agent("share", HERE, "public").status == 2


def test_new_private(gateway: FakeGateway, agent: Agent) -> None:
    assert agent("new", "--private").status == 0
    assert agent("new").status == 0
    assert [asked.share for asked in gateway.called("session.create")] == ["private", "all"]


def test_what_is_not_allowed_is_a_status_and_advice(gateway: FakeGateway, agent: Agent) -> None:
    gateway.refusals["session.close"] = ReadOnly("that session may only be watched")
    gateway.refusals["session.share"] = Forbidden("only the device that has a session decides who shares it")
    ran = agent("close", HERE)
    assert (ran.status, ran.out) == (5, "")
    assert ran.err.startswith("agent: that session may only be watched\n  hint: ")
    assert agent("share", HERE, "all").status == 5


@pytest.mark.parametrize(
    ("argv", "stay"),
    [(("--ttl", "8h"), 28_800.0), (("--ttl", "30min"), 1800.0), (("--ttl", "90"), 90.0), ((), 28_800.0)],
)
def test_a_guest_stays_as_long_as_it_is_told(
    gateway: FakeGateway, agent: Agent, argv: tuple[str, ...], stay: float
) -> None:
    gateway.news = [PairNews(what="paired", device=DESK, name="desk")]
    ran = agent("pair", "--guest", "--read", "--session", "Build", *argv)
    assert (ran.status, ran.out) == (0, "42-913-577\n")
    assert "is a guest of this device: it may watch the session Build, and no more" in ran.err
    asked = gateway.called("device.pair")[0]
    assert (asked.guest, asked.read_only, asked.session, asked.stay, asked.ttl) == (True, True, "Build", stay, 300.0)


@pytest.mark.parametrize(
    "argv",
    [("--read",), ("--session", "x"), ("--ttl", "2h"), ("--ttl", "0"), ("--ttl", "soon"), ("--guest", "--ttl", "999d")],
)
def test_what_makes_no_sense_is_wrong_usage(gateway: FakeGateway, agent: Agent, argv: tuple[str, ...]) -> None:
    assert agent("pair", *argv).status == 2
    assert gateway.called("device.pair") == []


def test_a_guest_is_told_what_it_may_do(gateway: FakeGateway, agent: Agent) -> None:
    gateway.joined = {"role": "host", "read_only": True, "expires_at": "2027-01-15T20:00:00Z"}
    ran = agent("join", "42-913-577")
    assert ran.status == 0
    assert "this device is a guest of desk (qrst-uvwx): it may watch the sessions there" in ran.err
    assert "2027-01-" in ran.err


def test_devices_shows_roles_limits_and_ends(gateway: FakeGateway, screen: Screen) -> None:
    row = {"id": DESK, "name": "desk", "fingerprint": "0", "self": False, "paired_at": None, "seen_at": None,
           "state": "online", "role": "member", "read_only": False, "session": "", "expires_at": None}  # fmt: skip
    guest = {**row, "name": "pad", "role": "guest", "read_only": True, "session": HERE,
             "expires_at": "2027-01-15T20:00:00Z"}  # fmt: skip
    gateway.paired = [{**row, "name": "laptop", "self": True}, {**row, "was": "p\x1bi"}, guest]
    lines = screen("devices", columns=160).splitlines()
    assert "ROLE" in lines[0]
    assert " member " in lines[2]
    assert lines[2].startswith("desk (was p\N{REPLACEMENT CHARACTER}i) ")
    assert f"guest, read-only, only {HERE}, until 2027-01-1" in lines[3]


def test_a_device_may_be_limited_and_let_go(gateway: FakeGateway, agent: Agent) -> None:
    assert agent("devices", "--read-only", "desk") == (0, "", "")
    asked = len(gateway.called("device.limit"))
    assert agent("devices", "--read-only", "desk", "--full", "desk").status == 2
    assert len(gateway.called("device.limit")) == asked
    assert agent("devices", "--full", "desk") == (0, "", "")
    assert [(asked.device, asked.read_only) for asked in gateway.called("device.limit")] == [
        ("desk", True),
        ("desk", False),
    ]


AT = "2026-01-01T00:00:0"


def test_audit_shows_who_did_what(gateway: FakeGateway, agent: Agent) -> None:
    gateway.audit = [
        AuditEntry(at=f"{AT}0.000Z", device=DESK, name="de\x1bsk", action="prompted", session=HERE, length=7),
        AuditEntry(at=f"{AT}1.000Z", device=DESK, name="desk", action="refused", detail="session.close: x"),
    ]
    lines = agent("audit").out.splitlines()
    assert lines[0].split("\t") == ["2026-01-01T00:00:00.000Z", "de�sk", "prompted", HERE, "7", "", ""]
    assert lines[1].split("\t")[2:] == ["refused", "", "", "session.close: x", ""]
    (first, second) = json.loads(agent("audit", "--json").out)
    assert first == {"at": "2026-01-01T00:00:00.000Z", "device": DESK, "name": "de\x1bsk", "action": "prompted",
                     "session": HERE, "length": 7, "title": "", "detail": ""}  # fmt: skip
    assert second["length"] == 0


def test_audit_since(gateway: FakeGateway, agent: Agent) -> None:
    assert "nobody has done anything here since then" in agent("audit", "--since", "8h", "--limit", "5").err
    agent("audit", "--since", "2026-01-31T12:00:00Z")
    ago, stamp = gateway.called("audit.list")
    assert ago.since.endswith("Z")
    assert (ago.limit, stamp.since, stamp.limit) == (5, "2026-01-31T12:00:00Z", 1000)


def entry(second: int, action: Action = "prompted", **more: Any) -> AuditEntry:
    return AuditEntry(at=f"{AT}{second}.000Z", device=DESK, name="desk", action=action, **more)


@contextmanager
def following(gateway: FakeGateway, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """`agent audit --follow` in a pipe, once it watches."""
    command = [sys.executable, "-m", "agent", "audit", "--follow", *argv]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        try:
            yield running
        finally:
            running.kill()


def test_audit_follows_and_leaves_nothing_out_over_a_restart(gateway: FakeGateway, home: Path) -> None:
    gateway.audit = [entry(0), entry(1), entry(1, session=HERE)]
    with following(gateway, "--json", "--since", f"{AT}0Z", "--limit", "7") as running:
        assert running.stdout
        shown = [json.loads(running.stdout.readline()) for _ in range(3)]
        assert [each["session"] for each in shown] == ["", "", HERE]
        gateway.tell("audit.noted", AuditNoted(entries=(entry(2), entry(2))))
        assert [json.loads(running.stdout.readline())["at"] for _ in range(2)] == [f"{AT}2.000Z"] * 2
        gateway.stop()
        # Meanwhile: one more that looks the same, and one of later.
        gateway.audit = [entry(2), entry(2), entry(2), entry(3, "refused", detail="session.close: x")]
        gateway.start()
        late = [json.loads(running.stdout.readline()) for _ in range(2)]
        assert [(each["at"][-6:-1], each["detail"]) for each in late] == [("2.000", ""), ("3.000", "session.close: x")]
        gateway.tell("audit.noted", AuditNoted(entries=(entry(4),)))
        assert json.loads(running.stdout.readline())["at"] == f"{AT}4.000Z"
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130
        assert running.stdout.read() == ""
        assert running.stderr
        assert "Traceback" not in running.stderr.read()
    first, again = gateway.called("audit.watch")
    assert (first.since, first.limit) == (f"{AT}0Z", 7)
    assert (again.since, again.limit) == (f"{AT}2.000Z", 5000)


def test_audit_follows_a_line_an_entry(gateway: FakeGateway, home: Path) -> None:
    gateway.audit = [entry(0, "attached")]
    with following(gateway) as running:
        assert running.stdout
        assert running.stdout.readline() == f"{AT}0.000Z\tdesk\tattached\t\t\t\t\n"
        for second, action in enumerate(("prompted", "refused"), 1):
            gateway.tell("audit.noted", AuditNoted(entries=(entry(second, action, session=HERE),)))  # type: ignore[arg-type]
            line = running.stdout.readline().rstrip("\n")
            assert line.split("\t") == [f"{AT}{second}.000Z", "desk", action, HERE, "", "", ""]


def test_audit_ends_when_its_reader_leaves(gateway: FakeGateway, home: Path) -> None:
    with following(gateway, "--json") as running:
        assert running.stdout
        gateway.wait_for("audit.watch")
        running.stdout.close()
        gateway.tell("audit.noted", AuditNoted(entries=(entry(0),)))
        assert running.wait(20) == 1
        assert running.stderr
        assert running.stderr.read() == ""


def test_audit_follows_with_the_clock_on_a_terminal(gateway: FakeGateway, home: Path) -> None:
    gateway.audit = [entry(0)]
    shown = Terminal("audit", "--follow")
    try:
        shown.until("desk")
        assert " ago" not in shown.text
        shown.type("\x03")
        assert shown.child.wait(20) == 130
    finally:
        shown.close()
