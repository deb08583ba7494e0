"""Devices that go, come back and move, and links that break: presence stays true, and nothing is lost or run twice."""

from __future__ import annotations

import json
import re

import pytest

from tests.e2e.conftest import MakeNetwork
from tests.e2e.device import Device, Row, Wire, now, pair, until

pytestmark = pytest.mark.device


def paired(network: MakeNetwork, *names: str) -> list[Device]:
    devices = network(*names)
    for device in devices:
        device.start()
    for device in devices:
        device.wait_until_up()
    for other in devices[1:]:
        pair(devices[0], other)
    return devices


def prompts(events: list[Row]) -> dict[str, Row]:
    """Prompts by id."""
    return {e["payload"]["prompt_id"]: e["payload"] for e in events if e["type"] == "message.user"}


def outcomes(events: list[Row]) -> dict[int, str]:
    """How each turn ended."""
    return {e["payload"]["turn"]: e["payload"]["status"] for e in events if e["type"] == "turn.complete"}


def assert_gapless(events: list[Row], first: int = 1) -> None:
    """Every event once, in order (S4)."""
    assert [event["seq"] for event in events] == list(range(first, first + len(events)))


def test_a_device_that_leaves_says_goodbye(network: MakeNetwork) -> None:
    # R10: offline at once, with since when and how we know; its sessions are unlisted; paired, it stays listed.
    desk, laptop, box = network("desk", "laptop", "pi")
    for device in (desk, laptop, box):
        device.start()
    for device in (desk, laptop, box):
        device.wait_until_up()
    pair(desk, laptop)
    box.wait_to_see(desk, paired=False)
    session = desk.create("goes away")
    laptop.wait_for_session(session)
    began = now()
    desk.leave()
    row = laptop.wait_to_see(desk, "offline", seconds=1.5)
    until(lambda: not box.sees(desk), "the stranger to hear it", seconds=1.5)
    assert now() - began < 3.0  # with the end of the process itself
    assert row["reason"] == "it has stopped"
    assert row["since"]
    assert session not in laptop.sessions()
    assert row["paired"]
    assert re.search(r"^desk\toffline\t.*\tit has stopped\t", laptop.run("peers").stdout, re.MULTILINE)
    refused = laptop.run("prompt", "--wait", "0", "--no-wait", session, "id", status=6)
    assert "desk is out of reach for" in refused.stderr  # R12: never "no such session"
    unreachable = laptop.run("new", "--on", "desk", "--wait", "0", status=6)
    assert "desk" in unreachable.stderr
    assert not desk.socket.exists()
    assert "Traceback" not in desk.said()
    desk.up()
    laptop.wait_to_see(desk, linked=True, seconds=5.0)
    laptop.wait_for_session(session, status="idle")


def test_a_killed_device_is_offline_in_seconds_and_returns_with_everything(network: MakeNetwork) -> None:
    # R10 through the link; S2: what was shown is there; S3: nothing accepted is lost, nothing runs twice.
    desk, laptop = paired(network, "desk", "laptop")
    before, session = desk.id, desk.create("survives")
    laptop.wait_for_session(session, status="idle")
    runs = desk.home.parent / "runs"
    laptop.run("prompt", session, "--id", "first", "echo first | tee -a runs")
    viewer = laptop.begin("log", session, "--json", "--follow")
    laptop.run("prompt", session, "--no-wait", "--id", "running", "echo running | tee -a runs; sleep 60")
    viewer.wait_for('"running\\n"')
    for queued in ("second", "third"):
        told = laptop.run("prompt", session, "--no-wait", "--id", queued, f"echo {queued} | tee -a runs")
        assert "queued" in told.stderr
    viewer.wait_for('"third"')
    desk.kill()
    row = laptop.wait_to_see(desk, "offline", seconds=5.0)
    assert row["reason"]
    assert row["reason"] != "it has stopped"
    assert session not in laptop.sessions()
    desk.up()
    assert next(row["id"] for row in desk.ask("peer.list") if row["self"]) == before
    laptop.wait_to_see(desk, linked=True, seconds=10.0)
    laptop.wait_for_session(session, status="idle")

    def done() -> bool:
        return len(outcomes(desk.events(session))) == 4

    until(done, "the queued prompts to run")
    events = desk.events(session)
    assert_gapless(events)
    assert outcomes(events) == {1: "complete", 2: "interrupted", 3: "complete", 4: "complete"}
    assert {name: said["turn"] for name, said in prompts(events).items()} == {
        "first": 1,
        "running": 2,
        "second": 3,
        "third": 4,
    }
    assert all(said["sender"]["name"] == "laptop" for said in prompts(events).values())
    viewer.wait_for('"third\\n"')
    until(lambda: [json.loads(line) for line in viewer.out] == events, "the viewer to have every event once")
    for again in ("first", "running", "third"):
        sent = laptop.run("prompt", session, "--no-wait", "--id", again, f"echo {again} again >> runs")
        assert "was sent before" in sent.stderr
    repeated = laptop.run("prompt", session, "--id", "second", "echo second again >> runs")
    assert repeated.stdout == "second\n"  # its reply as it was
    assert laptop.line("prompt", session, "cat runs") == "first\nrunning\nsecond\nthird"
    assert runs.read_text() == "first\nrunning\nsecond\nthird\n"


def test_two_devices_of_one_name_are_told_apart(network: MakeNetwork) -> None:
    # DESIGN §8 instance names, §9: several matches list the candidates; an id names one.
    one, two, laptop = network("twin", "twin", "laptop")
    for device in (one, two, laptop):
        device.start()
    for device in (one, two, laptop):
        device.wait_until_up()
    pair(one, laptop)
    pair(two, laptop)
    rows = [row for row in laptop.json("peers") if row["name"] == "twin"]
    assert {row["id"] for row in rows} == {one.id, two.id}
    one.wait_to_see(two)
    two.wait_to_see(one)
    ambiguous = laptop.run("new", "--on", "twin", status=4)
    for device in (one, two):
        short = f"{device.id[:4]}-{device.id[4:8]}"
        assert short in ambiguous.stderr
        session = laptop.line("new", "--on", short, "--title", "t", "--backend", "commands")
        assert device.wait_for_session(session, local=True)
    for device in (one, two):
        listed = laptop.json("sessions", "--on", device.id)
        assert [row["device"]["id"] for row in (listed if isinstance(listed, list) else [listed])] == [device.id]
    assert laptop.run("prompt", f"{one.id[:8]}/t", "echo here").stdout == "here\n"
    assert laptop.run("unpair", "twin", status=4).stderr.count("twin") >= 2


def test_a_device_with_a_new_address_is_followed(network: MakeNetwork) -> None:
    # L3, L5: the link comes back at the new address; the attached client sees every event once.
    desk, laptop = paired(network, "desk", "laptop")
    session = desk.create("moves")
    laptop.wait_for_session(session, status="idle")
    viewer = laptop.begin("log", session, "--json", "--follow")
    laptop.run("prompt", session, "echo before")
    # Without IPv6 the old link cannot carry on over its other address.
    desk.host.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6"], check=True)
    desk.host.set_ipv4("10.64.0.77")

    def followed() -> bool:
        row = laptop.peers()[desk.id]
        return bool(row["linked"]) and row["addresses"][:1] == ["10.64.0.77"]

    until(followed, lambda: f"the new address: {laptop.peers()[desk.id]}", seconds=45.0)
    assert laptop.run("prompt", session, "--timeout", "20", "echo after").stdout == "after\n"
    viewer.wait_for('"after\\n"')
    events = desk.events(session)
    until(lambda: [json.loads(line) for line in viewer.out] == events, "the viewer to have every event once")
    assert_gapless(events)


def test_a_pulled_cable_costs_no_line_of_a_streaming_reply(network: MakeNetwork) -> None:
    # S4, L3 (silence of 7.5 s while attached is a lost link), L5: peer.lost, peer.back, every line once, in order.
    desk, laptop = paired(network, "desk", "laptop")
    session = desk.create("streams")
    laptop.wait_for_session(session, status="idle")
    viewer = laptop.begin("log", session, "--json", "--follow")
    with Wire(laptop) as wire:
        epoch = wire.call("session.attach", session_id=session)["epoch"]
        running = laptop.begin("prompt", session, "for i in $(seq 150); do echo line $i; sleep 0.1; done")
        running.wait_for("line 5")
        laptop.host.unplug()
        pulled = now()
        lost = wire.wait_for(lambda m: m.get("method") == "peer.lost", "peer.lost", seconds=10.0)["params"]
        assert lost["name"] == "desk"
        assert session in lost["sessions"]
        assert now() - pulled > 2.0  # one time-out is never "dead"
        assert laptop.peers()[desk.id]["state"] != "online"
        queued = laptop.begin("prompt", session, "--id", "in-flight", "echo sent without a cable")
        laptop.host.plug()
        back = wire.wait_for(lambda m: m.get("method") == "peer.back", "peer.back", seconds=15.0)["params"]
        assert session in back["sessions"]
        assert running.end() == 0
        assert running.out == [f"line {i}" for i in range(1, 151)]
        assert any("link to desk lost" in line for line in running.err)
        assert any("is back" in line for line in running.err)
        assert queued.end() == 0
        assert queued.out == ["sent without a cable"]
        events = desk.events(session)
        assert_gapless(events)
        assert len(prompts(events)) == 2
        until(lambda: [json.loads(line) for line in viewer.out] == events, "the viewer to have every event once")
        mine = wire.notes("event")
        assert_gapless(mine, mine[0]["seq"])
        assert [{**e} for e in mine] == events[mine[0]["seq"] - 1 :]
        # A client that resumes with its last number gets the rest and nothing else.
        resumed = wire.call("session.attach", session_id=session, after=events[9]["seq"], epoch=epoch)
        assert resumed.get("resumed") is True


def test_a_short_silence_is_no_loss(network: MakeNetwork) -> None:
    # R10: one time-out is never "dead". TCP makes up for two seconds by itself; nobody hears of it.
    desk, laptop = paired(network, "desk", "laptop")
    session = desk.create("hiccup")
    laptop.wait_for_session(session, status="idle")
    with Wire(laptop) as wire:
        wire.call("session.attach", session_id=session)
        running = laptop.begin("prompt", session, "for i in $(seq 30); do echo line $i; sleep 0.1; done")
        running.wait_for("line 3")
        desk.host.unplug()
        end = now() + 1.5
        until(lambda: now() > end, "the time to pass")
        desk.host.plug()
        assert running.end() == 0
        assert running.out == [f"line {i}" for i in range(1, 31)]
        assert wire.notes("peer.lost") == []


def test_the_viewers_own_service_may_restart_in_the_middle(network: MakeNetwork) -> None:
    # S4, S6, L5: the proxying gateway is killed while a reply streams; the client returns with its seq.
    desk, laptop = paired(network, "desk", "laptop")
    session = desk.create("streams")
    laptop.wait_for_session(session, status="idle")
    viewer = laptop.begin("log", session, "--json", "--follow")
    until(lambda: viewer.out, "the viewer to be attached")
    running = laptop.begin("prompt", session, "for i in $(seq 40); do echo line $i; sleep 0.1; done")
    running.wait_for("line 5")
    laptop.kill()
    laptop.up()
    assert running.end() == 0
    assert running.out == [f"line {i}" for i in range(1, 41)]
    events = desk.events(session)
    until(
        lambda: [json.loads(line) for line in viewer.out] == events,
        lambda: f"the viewer to have every event once: {[json.loads(line)['seq'] for line in viewer.out]} {viewer.err}",
    )
    assert outcomes(events) == {1: "complete"}
