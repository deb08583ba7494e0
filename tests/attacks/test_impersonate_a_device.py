"""Somebody with one key wants to pass for another device (threats T2, T4).

Expected: a connection is whose key it has, whatever it says. Forged, replayed and foreign announcements:
tests/e2e/test_announcements.py and tests/presence/test_verifier.py; stamped senders (S7): test_sessions.py there.
"""

from __future__ import annotations

import msgspec
import pytest

from tests.attacks.conftest import Scene

pytestmark = pytest.mark.device
pack = msgspec.msgpack.encode


@pytest.mark.parametrize("claimed", ["stranger", "desk", "nobody"])
def test_a_link_is_whose_key_it_has(scene: Scene, claimed: str) -> None:
    """Attack: the laptop's key, and a `gateway.ready` of another device. Expected: the link is closed."""
    device = {"stranger": scene.stranger.id, "desk": scene.desk.id, "nobody": "a" * 16}[claimed]
    ready = {"jsonrpc": "2.0", "method": "gateway.ready", "params": {"device": device, "name": "desk"}}
    told = scene.attack("link", scene.stolen, sent=[pack(ready)])
    assert told["close"] == 1000, told
    assert scene.desk.peers()[scene.laptop.id]["name"] == "laptop"
    assert not scene.desk.peers().get(scene.stranger.id, {}).get("paired")


def test_another_device_at_the_address_gets_no_prompt(scene: Scene) -> None:
    """Attack: take the desk's address. Expected: the laptop does not talk to whoever answers there."""
    session = scene.desk.create("stays mine")
    scene.laptop.wait_for_session(session)
    scene.desk.leave()
    ours, theirs = scene.desk.host.ipv4, scene.stranger.host.ipv4
    before = scene.stranger.json("sessions")
    try:
        scene.desk.host.set_ipv4("10.64.0.99")
        scene.stranger.host.set_ipv4(ours)
        scene.laptop.run("prompt", session, "echo stolen", "--timeout", "5", status=None)
        assert "stolen" not in scene.stranger.said()
        assert scene.stranger.json("sessions") == before
    finally:
        scene.stranger.host.set_ipv4(theirs)
        scene.desk.host.set_ipv4(ours)
        scene.desk.up()
