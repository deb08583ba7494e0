"""Somebody on the network wants to use a pairing window that he was not shown (threats T3, T8).

Expected: three guesses at a short code, said on the host, and nothing left of a window that ended in whatever way.
Relay, replay, reflection, foreign certificates, changed bytes: tests/adapters/net/test_pairing.py,
tests/trust/rules/test_handshake.py.
"""

from __future__ import annotations

import signal

import pytest

from tests.attacks.conftest import Scene
from tests.e2e.device import Device, Lines, until

pytestmark = pytest.mark.device


def window(device: Device, *options: str) -> tuple[Lines, str, str]:
    """`agent pair`, the code it shows, and where it listens."""
    shown = device.begin("pair", *options)
    code = until(lambda: shown.out, "a code")[0]
    return shown, code, shown.wait_for("--address").rpartition(" ")[2]


def listens(device: Device, scene: Scene, address: str) -> bool:
    """Whether anybody still answers there, asked from the stranger's host."""
    host, _, port = address.rpartition(":")
    asked = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"
    return scene.stranger.host.run(["python3", "-c", asked, host, port]).returncode == 0


def wrong(code: str) -> str:
    """Another code that finds the same window."""
    return f"{code[:3]}{'111-111' if code.endswith('000-000') else '000-000'}"


def test_the_third_wrong_code_ends_the_window_and_the_host_counts_aloud(scene: Scene) -> None:
    """Attack: guess. Expected: counted on the host's screen, the right code is worth nothing afterwards."""
    shown, code, address = window(scene.desk)
    for left in (2, 1, 0):
        refused = scene.stranger.run("join", wrong(code), "--address", address, status=5)
        assert "does not take this code" in refused.stderr
        shown.wait_for(f"{3 - left} so far")
    assert shown.end() == 5
    assert "agent pair --long" in shown.err[-1]
    assert [line for line in shown.err if "2 more tries" in line]
    scene.stranger.run("join", code, "--address", address, status=6)
    assert not listens(scene.desk, scene, address)
    assert len(scene.stranger.json("devices")) == 1


def test_a_long_code_is_not_used_up_by_guessing(scene: Scene) -> None:
    """Attack: use up the tries, so that nobody can pair. Expected: the window stays, and every failure is said."""
    shown, _, address = window(scene.desk, "--long")
    for number in range(1, 6):
        scene.stranger.run("join", "a" * 26, "--address", address, status=5)
        shown.wait_for(f"a wrong code was tried, {number} so far")
    assert listens(scene.desk, scene, address)
    shown.process.send_signal(signal.SIGINT)
    assert shown.end() == 130


@pytest.mark.parametrize("how", ["ctrl-c", "killed", "time"])
def test_a_window_that_was_left_is_closed_and_the_next_one_opens(scene: Scene, how: str) -> None:
    """Attack: none; but a port or record left behind would be a door. Expected: closed, withdrawn, free again."""
    shown, code, address = window(scene.desk, *(("--ttl", "1") if how == "time" else ()))
    if how == "ctrl-c":
        shown.process.send_signal(signal.SIGINT)
    elif how == "killed":
        shown.process.kill()
    assert shown.end() == {"ctrl-c": 130, "killed": -9, "time": 7}[how]
    until(lambda: not listens(scene.desk, scene, address), "the port to close")
    gone = scene.stranger.run("join", code, "--address", address, status=6)
    assert "agent pair" in gone.stderr
    again, *_ = window(scene.desk)  # not "shows a code already"
    again.process.send_signal(signal.SIGINT)
    assert again.end() == 130


def test_a_join_that_was_left_changes_nothing_and_uses_no_try(scene: Scene) -> None:
    """Ctrl-C on the joining side while it looks for the window. Expected: nothing stored on either side."""
    before = [len(device.json("devices")) for device in (scene.desk, scene.stranger)]
    joining = scene.stranger.begin("join", "99-123-456")  # nobody shows that: it looks for 8 s
    joining.process.send_signal(signal.SIGINT)
    assert joining.end() != 0
    assert [len(device.json("devices")) for device in (scene.desk, scene.stranger)] == before


def test_a_window_speaks_no_http_and_no_link(scene: Scene) -> None:
    """Attack: treat the pairing port as the LAN port. Expected: no byte, and no try is used."""
    shown, _, address = window(scene.desk)
    host, _, port = address.rpartition(":")
    told = scene.stranger.host.run(
        ["curl", "-sk", "--max-time", "8", "-o", "-", f"https://{host}:{port}/v1/ws"], timeout=20
    )
    assert told.stdout == ""
    assert not [line for line in shown.err if "so far" in line]
    shown.process.send_signal(signal.SIGINT)
    shown.end()
