"""A running service beside avahi on the same host: both hear and are heard, and neither harms the other."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.e2e.avahi import SERVICE, Avahi
from tests.e2e.conftest import MakeNetwork
from tests.e2e.device import pair, until

pytestmark = pytest.mark.device

MakeAvahi = Callable[..., Avahi]


def test_avahi_browse_shows_name_and_sessions(network: MakeNetwork, avahi: MakeAvahi) -> None:
    # DESIGN §8: in mode open any DNS-SD browser reads who is there and what runs, on the same host and on another one.
    desk, laptop = network("desk", "laptop")
    beside = avahi(desk.host)
    beside.wait_until_up()  # it had the port first
    for device in (desk, laptop):
        device.configure('presence.mode = "open"\n')
        device.start()
    for device in (desk, laptop):
        device.wait_until_up()
    desk.wait_to_see(laptop)
    laptop.wait_to_see(desk)
    session = desk.create("Fix the build")
    shown = beside.browse("Fix the build")
    (line,) = [line for line in shown.splitlines() if line.startswith("=;eth0;IPv4;") and f'"id={desk.id}"' in line]
    assert f"desk\\032{desk.id[:4]}" in line
    assert f";{desk.id}.local;{desk.host.ipv4};7471;" in line  # never the machine's own name
    assert '"txtvers=1"' in line
    assert '"n=desk"' in line
    assert '"c=0,0,1"' in line
    assert f"={session[:6]}" in line
    assert f'"id={laptop.id}"' in shown
    desk.leave()
    until(lambda: desk.id not in beside.browse("laptop"), "avahi to hear the goodbye")


def test_garbage_published_under_our_type_does_no_harm(network: MakeNetwork, avahi: MakeAvahi) -> None:
    # T5, T10: what is no record of ours gets no row; what looks like one is cleaned, unpaired and unattachable.
    desk, laptop = network("desk", "laptop")
    for device in (desk, laptop):
        device.start()
    for device in (desk, laptop):
        device.wait_until_up()
    pair(desk, laptop)
    beside = avahi(laptop.host)
    beside.wait_until_up()
    named = "n=\x1b]0;owned\x07\x1b[31mred"
    services = (
        ["No TXT"],
        ["Garbage", "no-equals", "=", "id", "r=-", "id=\x01\x02", "s0=,,,,,,"],
        ["Short id", "txtvers=1", "r=1", "id=abc", "n=short"],
        ["Long", "txtvers=1", "r=1", "id=" + "a" * 200, "n=" + "x" * 200],
        ["Future", "txtvers=9", "r=1", "id=bbbbbbbbbbbbbbbb", "n=from later", "s0=what is this"],
        ["Escape", "txtvers=1", "r=1", "id=cccccccccccccccc", named, "s0=dddddd,w,0,\x1b[2J"],
        ["Thief", "txtvers=1", "r=zzzzzzzz", f"id={desk.id}", "n=thief", "c=9,9,9"],
    )
    for label, *strings in services:
        command = beside.command("avahi-publish", "-s", label, SERVICE, "9", *strings)
        laptop.host.popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for label, *_ in services:
        assert label.replace(" ", "\\032") in beside.browse(label.replace(" ", "\\032"))
    until(lambda: "cccccccccccccccc" in desk.peers(), "what can be read")
    until(lambda: "bbbbbbbbbbbbbbbb" in desk.peers(), "what is from a later version")
    for device, other in ((desk, laptop), (laptop, desk)):
        listed = device.ask("peer.list")
        allowed = {desk.id, laptop.id, "bbbbbbbbbbbbbbbb", "cccccccccccccccc"}
        assert {row["id"] for row in listed} <= allowed
        assert [row["id"] for row in listed if row["paired"]] == [other.id]
        assert device.sees(other, name=other.name, linked=True, sessions=0)  # the link knows better than a forgery
        own = next(row for row in listed if row["self"])
        assert (own["name"], own["sessions"]) == (device.name, 0)
        for argv in (("peers",), ("sessions",), ("peers", "--json"), ("sessions", "--json")):
            printed = device.run(*argv).stdout
            assert not any(ord(letter) < 32 and letter not in "\n\t" for letter in printed), (argv, printed)
        assert not any(row["attachable"] for row in device.sessions().values())
        device.assert_healthy()
    session = desk.create("still heard")
    laptop.wait_for_session(session, status="idle")
    assert laptop.line("prompt", session, "echo heard") == "heard"
