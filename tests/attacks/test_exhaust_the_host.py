"""Somebody wants the desk to stop working: a stranger who floods, a paired device that has gone bad (T1, T4, A5).

Expected: bounded memory, the paired device is served on. Figures: tests/bench/bench_attacks.py.
"""

from __future__ import annotations

import sys
import threading

import msgspec
import pytest

from tests.attacks.conftest import PORT, Scene

pytestmark = pytest.mark.device

pack = msgspec.msgpack.encode


def test_a_flood_of_silent_connects_costs_no_memory_and_keeps_nobody_out(scene: Scene) -> None:
    """Attack: 800 mute connects a second for 10 s, held open. Expected: < 20 MiB, and every command is answered."""
    session = scene.desk.create("goes on")
    scene.laptop.wait_for_session(session)
    before = scene.rss()
    told: dict[str, int] = {}
    flooding = threading.Thread(target=lambda: told.update(scene.attack("flood", "800", "10")))
    flooding.start()
    highest, answers = 0, 0
    while flooding.is_alive():
        assert scene.laptop.line("log", session) == ""
        highest, answers = max(highest, scene.rss()), answers + 1
    flooding.join()
    assert told["opened"] >= 4000
    assert answers >= 3
    assert highest - before < 20 * 1024 * 1024


def test_a_paired_device_attaches_anew_during_the_flood(scene: Scene) -> None:
    """Attack: the same, while the laptop's service starts. Expected: it links although 256 strangers wait."""
    flooding = threading.Thread(target=lambda: scene.attack("flood", "800", "8"))
    flooding.start()
    scene.laptop.leave()
    scene.laptop.up()
    scene.laptop.wait_to_see(scene.desk, linked=True)
    assert flooding.is_alive()
    flooding.join()


@pytest.mark.parametrize("what", ["half-open", "whole-hello"])
def test_t11_handshakes_that_are_begun_cost_no_memory_and_keep_nobody_out(scene: Scene, what: str) -> None:
    """Attack: 800 ClientHellos a second, cut off or whole, then silence, for 8 s; the laptop's service starts.

    Expected: < 20 MiB, and it links and attaches while the flood goes on.
    """
    session = scene.desk.create("goes on")
    before = scene.rss()
    scene.laptop.leave()
    flooding = threading.Thread(target=lambda: scene.attack(what, "800", "10"))
    flooding.start()
    scene.laptop.up()
    scene.laptop.wait_to_see(scene.desk, linked=True)
    scene.laptop.wait_for_session(session)
    assert scene.laptop.line("log", session) == ""
    assert flooding.is_alive()
    flooding.join()
    assert scene.rss() - before < 20 * 1024 * 1024


POST = b"POST /v1/ws HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n"


@pytest.mark.parametrize(
    ("parts", "pause"),
    [
        pytest.param([], 0.0, id="says-nothing"),
        pytest.param([b"GET /v1/ws HTTP/1.1\r\n", *[b"X: y\r\n"] * 100], 0.2, id="dribbles-headers"),
        pytest.param([POST, *[b"x"] * 100], 0.2, id="dribbles-a-body"),
        pytest.param([b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"] * 100, 0.2, id="asks-again-and-again"),
    ],
)  # fmt: skip
def test_a_paired_connection_that_is_no_link_ends(scene: Scene, parts: list[bytes], pause: float) -> None:
    """Attack: a paired device holds connections that never become a link. Expected: cut after 5 s."""
    told = scene.attack("say", scene.stolen, str(pause), sent=parts)
    assert (told["tls"], told["closed"]) == (True, True), told


def test_a_header_that_never_ends_is_refused(scene: Scene) -> None:
    """Attack: 10 MiB of header. Expected: 400 or cut, no memory."""
    before = scene.rss()
    told = scene.attack("say", scene.stolen, "0", sent=[b"GET /v1/ws HTTP/1.1\r\nX: " + b"y" * 1_000_000] * 3)
    assert (told["tls"], told["closed"]) == (True, True)
    assert scene.rss() - before < 20 * 1024 * 1024


READY_FIRST = -32016


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([b"\x91" * 200_000], id="depth"),
        pytest.param([b"\xdd\xff\xff\xff\xff"], id="four-billion-items"),
        pytest.param([b"\xc6\xff\xff\xff\xff"], id="four-gigabytes"),
        pytest.param([b"\xc1"], id="no-msgpack"),
        pytest.param([pack({"jsonrpc": "2.0", "id": 1, "method": "x" * 100_000})], id="long-method"),
        pytest.param(
            [pack({"jsonrpc": "2.0", "method": "gateway.ready", "params": {"device": 5}})], id="bad-notification"
        ),
        pytest.param([b""], id="empty"),
    ],
)
def test_three_malformed_frames_end_a_link(scene: Scene, frames: list[bytes]) -> None:
    """Attack: bombs over a link of a paired device. Expected: an error each, closed after three, nothing else."""
    told = scene.attack("link", scene.stolen, sent=frames * 3)
    assert len(told["codes"]) == 3, told
    assert set(told["codes"]) <= {-32700, -32600, -32602}
    assert told["close"] == 1002


def test_a_request_beyond_its_limit_is_not_looked_at(scene: Scene) -> None:
    """Attack: requests of a size that only answers may have. Expected: an error each, closed after three."""
    large = {"jsonrpc": "2.0", "id": 99, "method": "session.list", "params": {"x": b"x" * 300_000}}
    told = scene.attack("link", scene.stolen, sent=[pack(large)] * 3)
    assert (told["codes"], told["results"], told["close"]) == ([-32008] * 3, 0, 1002)


def test_a_frame_beyond_the_limit_ends_the_link_before_it_is_read(scene: Scene) -> None:
    """Attack: a frame of 8 MiB. Expected: 1009 or a reset; the memory stays."""
    before = scene.rss()
    told = scene.attack("link", scene.stolen, sent=[b"x" * 8_000_000])
    assert (told["codes"], told["close"] in {1009, 1006}) == ([], True)
    assert scene.rss() - before < 20 * 1024 * 1024


UPGRADE = (
    b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: lan-agent.v1.msgpack\r\n\r\n"
)
FRAGMENTS = b"\x02\x80abcd" + b"\x00\x80abcd" * 2_000_000
PINGS = b"\x89\x80abcd" * 2_000_000


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([UPGRADE, FRAGMENTS], id="fragments"),
        pytest.param([UPGRADE, PINGS], id="pings"),
        pytest.param([UPGRADE + b"\x82\xff" + (2**62).to_bytes(8, "big") + b"abcd", PINGS], id="hidden-in-a-frame"),
        pytest.param([UPGRADE + FRAGMENTS], id="in-one-breath"),
        pytest.param([b"\r\n\r\n" + UPGRADE, PINGS], id="behind-another-head"),
        pytest.param([UPGRADE.replace(b"\r\n", b"\n"), PINGS], id="behind-a-head-that-never-ends"),
    ],
)
def test_frames_that_never_become_a_message_end_a_link(scene: Scene, sent: list[bytes]) -> None:
    """Attack: 12 MB of empty fragments or pings. Expected: cut while they come, before the 5 s of a silent link."""
    before = scene.rss()
    told = scene.attack("say", scene.stolen, "0.2", sent=sent)
    assert (told["tls"], told["closed"]) == (True, True), told
    assert told["seconds"] < 4.0
    assert scene.rss() - before < 20 * 1024 * 1024


def test_a_link_without_a_first_message_ends(scene: Scene) -> None:
    """Attack: links that never say `gateway.ready`. Expected: closed after 5 s; requests meanwhile are refused."""
    told = scene.attack("link", scene.stolen, sent=[pack({"jsonrpc": "2.0", "id": 5, "method": "session.list"})])
    assert told["codes"] == [READY_FIRST]
    assert told["close"] == 1000


STRANGERS_AT_EVERY_STAGE = """
import socket, sys, time
held = []
for number in range(600):
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
    if number % 2: s.sendall(bytes.fromhex("160301"))
    held.append(s)
print("open")
time.sleep(1.5)
"""


def test_half_open_handshakes_keep_nobody_out(scene: Scene) -> None:
    """Attack: 600 sockets, half of them in the middle of a handshake. Expected: a paired device links."""
    process = scene.stranger.host.popen(
        [sys.executable, "-c", STRANGERS_AT_EVERY_STAGE, scene.desk.host.ipv4, PORT], stdout=-1, env={"PATH": "/bin"}
    )
    assert process.stdout
    assert process.stdout.readline() == "open\n"
    scene.laptop.leave()
    scene.laptop.up()
    scene.laptop.wait_to_see(scene.desk, linked=True)
    process.wait(20)
