"""Who is in: devices without multicast, and devices that are put out."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import MakeNetwork
from tests.e2e.device import Wire, now, pair, until

pytestmark = pytest.mark.device

HIDDEN = 'peers.static = ["{}"]\npresence.mode = "hidden"\n'


def test_hidden_devices_are_joined_and_linked_by_address(network: MakeNetwork) -> None:
    # DESIGN §8 `hidden`, L3 "configured or remembered": nothing is announced, and still a household.
    desk, laptop = network("desk", "laptop")
    sniffer = desk.host.popen(["python3", "-u", "-c", SNIFF], stdout=-1)
    assert sniffer.stdout
    assert sniffer.stdout.readline() == "listening\n"
    desk.configure(HIDDEN.format(laptop.host.ipv4))
    laptop.configure(HIDDEN.format(f"{desk.host.ipv4}:7471"))
    desk.up()
    laptop.up()
    row = laptop.wait_to_see(desk, paired=False)
    assert row["source"] == "static"
    pair(desk, laptop, address=True)
    session = desk.create("hidden")
    laptop.wait_for_session(session, status="idle")
    assert laptop.line("prompt", session, "echo found") == "found"
    desk.leave()
    laptop.wait_to_see(desk, "offline", seconds=3.0)
    laptop.leave()
    for device in (laptop, desk):
        device.up()
    laptop.wait_to_see(desk, linked=True)
    laptop.wait_for_session(session, status="idle")
    # Without the settings too: where it was reached last is remembered.
    for device in (laptop, desk):
        device.leave()
        device.configure('presence.mode = "hidden"\n')
    for device in (laptop, desk):
        device.up()
    laptop.wait_to_see(desk, linked=True)
    assert laptop.json("status")["presence"] == "hidden"
    sniffer.kill()
    sent = sniffer.stdout.read().splitlines()
    assert [
        packet for packet in sent if not packet.startswith("query 0 ")
    ] == []  # it may ask, without a word of itself
    assert not [packet for packet in sent if any(each.id in packet or each.name in packet for each in (desk, laptop))]


SNIFF = """
import socket, struct
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
print("listening")
while True:
    packet, (_, protocol, *_rest) = s.recvfrom(9000)
    at = {0x0800: (packet[0] & 15) * 4, 0x86DD: 40}.get(protocol)
    if at and packet[9 if protocol == 0x0800 else 6] == 17:
        _, port = struct.unpack_from("!2H", packet, at)
        if port == 5353:
            (flags, _, answers) = struct.unpack_from("!3H", packet, at + 10)
            print("response" if flags & 0x8000 else "query", answers, packet[at + 8:])
"""


def test_a_device_that_is_put_out_is_out_within_a_second(network: MakeNetwork) -> None:
    # T4: link and attachments end within 1 s. T2: the other side reads a refusal, not a network error. §9: exit 5.
    desk, laptop = network("desk", "laptop")
    desk.start()
    laptop.start()
    desk.wait_until_up()
    laptop.wait_until_up()
    pair(desk, laptop)
    session = desk.create("no longer")
    laptop.wait_for_session(session, status="idle")
    with Wire(desk) as here, Wire(laptop) as there:
        here.call("session.attach", session_id=session)
        there.call("session.attach", session_id=session)
        until(lambda: len(desk.ask("session.participants", session_id=session)) == 2, "both")
        began = now()
        desk.ask("device.unpair", device="laptop")
        until(lambda: len(desk.ask("session.participants", session_id=session)) == 1, "the attachment to end")
        until(lambda: not laptop.peers()[desk.id]["linked"], "the link to end")
        assert now() - began < 1.0
        desk.run("prompt", session, "echo a secret")
        assert "a secret" not in str(there.told)
    assert desk.ask("gateway.status")["links"] == 0
    assert len(desk.json("devices")) == 1
    for argv in (("prompt", session, "id"), ("log", session), ("attach", session), ("new", "--on", "desk")):
        refused = laptop.run(*argv, status=5)
        assert "desk does not accept this device" in refused.stderr
        assert "agent join" in refused.stderr
    assert [e for e in desk.events(session) if e["type"] == "message.user"] != []
    assert "laptop" not in str([e for e in desk.events(session) if e["type"] == "message.user"])
    row = laptop.peers()[desk.id]
    assert row["state"] == "online"  # it is heard; it only does not accept this device
    # Either side may begin anew.
    pair(desk, laptop)
    laptop.wait_for_session(session, status="idle")
    assert laptop.line("prompt", session, "echo in again") == "in again"


def test_putting_out_holds_on_this_side_too(network: MakeNetwork) -> None:
    # T4: whoever unpairs neither dials nor accepts, also after a restart.
    desk, laptop = network("desk", "laptop")
    for device in (desk, laptop):
        device.start()
    for device in (desk, laptop):
        device.wait_until_up()
    pair(desk, laptop)
    session = laptop.create("the laptop's")
    desk.wait_for_session(session, status="idle")
    told = desk.run("unpair", "laptop")
    assert "laptop is no longer paired" in told.stderr
    desk.wait_to_see(laptop, paired=False)
    assert session not in desk.sessions()
    refused = desk.run("new", "--on", "laptop", status=5)
    assert "not paired" in refused.stderr
    desk.leave()
    desk.up()
    desk.wait_to_see(laptop, paired=False, linked=False)
    assert desk.ask("gateway.status")["links"] == 0
    assert desk.run("unpair", "laptop", status=5).stderr.startswith("agent: laptop is not paired")
