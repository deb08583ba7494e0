"""Starting where something is wrong: a taken home, a foreign file, a typo, no network, no space."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeNetwork
from tests.e2e.device import Device, pair, until

pytestmark = pytest.mark.device


def fails(device: Device, status: int) -> str:
    """Start the service, which must end by itself with that status; what it said."""
    before = len(device.said())
    device.start()
    assert device.service
    assert device.service.wait(10) == status, device.said()
    said = device.said()[before:]
    assert "Traceback" not in said
    assert said.startswith("agent: ")
    assert said.count("\n") <= 2, said  # one line, and a hint
    return said


def test_a_home_takes_one_service(network: MakeNetwork) -> None:
    (desk,) = network("desk")
    desk.up()
    session = desk.create("unharmed")
    second = desk.run("up", status=1)
    assert f"the service is running already (process {desk.ask('gateway.status')['pid']})" in second.stderr
    assert "LAN_AGENT_HOME" in second.stderr
    assert desk.line("prompt", session, "echo still here") == "still here"
    desk.assert_healthy()
    desk.kill()  # it leaves lock and socket behind
    assert desk.run("peers", status=3).stderr.startswith("agent: the service is not running")
    desk.up()
    until(lambda: desk.status_of(session) == "idle", "the session's return")  # it is starting first


def test_a_foreign_thing_in_place_of_the_socket_is_left_as_it_is(network: MakeNetwork, tmp_path: Path) -> None:
    # T7: what is not ours is not removed, and nothing is written through a link.
    (desk,) = network("desk")
    desk.socket.parent.mkdir(parents=True, mode=0o700)
    desk.socket.write_text("somebody's notes")
    assert f"{desk.socket} is not a socket" in fails(desk, 78)
    assert desk.socket.read_text() == "somebody's notes"
    assert "not the service's socket" in desk.run("peers", status=3).stderr
    desk.socket.unlink()
    target = tmp_path / "target"
    target.write_text("elsewhere")
    desk.socket.symlink_to(target)
    assert "is not a socket" in fails(desk, 78)
    assert desk.socket.is_symlink()
    assert target.read_text() == "elsewhere"
    desk.socket.unlink()
    desk.up()
    assert desk.socket.stat().st_mode & 0o777 == 0o600
    assert desk.socket.parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_enter_is_refused_or_closed(network: MakeNetwork) -> None:
    # T7: the control socket lives in a 0700 directory, also if somebody made it before us.
    (desk,) = network("desk")
    desk.socket.parent.mkdir(parents=True)
    desk.socket.parent.chmod(0o777)
    desk.start()
    assert desk.service
    until(lambda: desk.socket.exists() or not desk.runs(), "a decision")
    if desk.runs():
        assert desk.socket.parent.stat().st_mode & 0o777 == 0o700
    else:
        assert desk.service.returncode == 78
        assert str(desk.socket.parent) in desk.said()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('nmae = "desk"\n', "nmae"),
        ("port = 'many'\n", "port"),
        ("port = 70000\n", "port"),
        ('presence.mode = "loud"\n', "loud"),
        ("links = 3\n", "links"),
        ("name = \n", "not TOML"),
        ('peers.static = ["host:99999"]\n', "host:99999"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(network: MakeNetwork, text: str, told: str) -> None:
    # §9: 78
    (desk,) = network("desk")
    desk.configure(text)
    assert told in fails(desk, 78)


def test_a_taken_port_is_told(network: MakeNetwork) -> None:
    (desk,) = network("desk")
    desk.host.popen(
        ["python3", "-c", "import socket; s = socket.create_server(('', 7000)); print(); input()"], stdin=-1
    )
    desk.configure("port = 7000\n")
    until(lambda: "7000" in desk.host.run(["ss", "-Htln"]).stdout, "the port to be taken")
    assert "port 7000 is in use" in fails(desk, 78)
    desk.configure("")
    desk.host.popen(["python3", "-c", "import socket; s = socket.create_server(('', 7471)); input()"], stdin=-1)
    until(lambda: "7471" in desk.host.run(["ss", "-Htln"]).stdout, "the port to be taken")
    desk.up()  # any other one is as good
    port = desk.ask("gateway.status")["port"]
    assert port != 7471
    desk.leave()
    desk.up()
    assert desk.ask("gateway.status")["port"] == port  # and stays, since others remember it


def test_a_device_without_a_network_works_and_joins_when_there_is_one(network: MakeNetwork) -> None:
    # DESIGN §8 interfaces are followed; R6: alone, there is no section for others.
    desk, laptop = network("desk", "laptop")
    desk.host.down()
    laptop.start()
    desk.up()
    until(lambda: "no network interface is up" in desk.said(), "word of it")
    assert desk.json("status")["problems"] == ["no network interface is up"]
    session = desk.create("alone")
    assert desk.line("prompt", session, "echo works") == "works"
    assert desk.line("sessions").split("\t")[6] == "here"
    assert desk.run("pair", "--ttl", "1", status=7).stdout.strip()
    desk.host.up()
    laptop.wait_to_see(desk)
    desk.wait_to_see(laptop)
    assert desk.json("status")["problems"] == []
    pair(desk, laptop)
    assert laptop.wait_for_session(session)["attachable"]
    desk.assert_healthy()


def test_a_device_without_loopback_and_interfaces_at_all_starts(network: MakeNetwork) -> None:
    (desk,) = network("desk")
    desk.host.down()
    desk.host.down("lo")
    desk.up()
    session = desk.create("alone")
    assert desk.line("prompt", session, "echo works") == "works"
    desk.leave()
    assert "Traceback" not in desk.said()


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path], None]]:
    """Mount a file system of two megabytes at a folder."""
    with ExitStack() as mounted:

        def mount(folder: Path) -> None:
            folder.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", str(folder)], check=True)
            mounted.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)

        yield mount


def fill(folder: Path) -> Path:
    """Take all the space there is."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError as exc:
            if exc.errno != errno.ENOSPC:
                raise
    return ballast


def test_a_full_disk_refuses_prompts_and_loses_nothing(
    network: MakeNetwork, small_disk: Callable[[Path], None]
) -> None:
    # S2, S3: refused in words on every device, nothing half-written, not run; with space it goes on.
    desk, laptop = network("desk", "laptop")
    small_disk(desk.home)
    desk.start()
    laptop.start()
    desk.wait_until_up()
    laptop.wait_until_up()
    pair(desk, laptop)
    session = desk.create("short of space")
    laptop.wait_for_session(session, status="idle")
    assert laptop.line("prompt", session, "echo before") == "before"
    before = desk.events(session)
    ballast = fill(desk.home)
    for device in (desk, laptop):
        refused = device.run("prompt", session, "--id", f"by {device.name}", "echo ran >> ran", status=1)
        assert "cannot be written" in refused.stderr
        assert "space" in refused.stderr
    assert not (desk.home.parent / "ran").exists()
    assert desk.events(session) == before
    assert desk.status_of(session) == "idle"
    refused = desk.run("new", status=1)
    assert "cannot be written" in refused.stderr
    assert len([row for row in desk.sessions().values() if row["local"]]) == 1
    desk.assert_healthy()
    ballast.unlink()
    assert laptop.line("prompt", session, "--id", "by laptop", "echo after; ls ran* 2>/dev/null | wc -l") == "after\n0"
    events = desk.events(session)
    assert events[: len(before)] == before
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    desk.kill()
    desk.up()
    assert desk.events(session)[: len(events)] == events


def test_a_disk_that_fills_during_a_reply_makes_it_wait(
    network: MakeNetwork, small_disk: Callable[[Path], None]
) -> None:
    # S2: what cannot be stored is not published, and not lost: it comes when there is space. Others are told no.
    (desk,) = network("desk")
    small_disk(desk.home)
    desk.up()
    session, other = desk.create("talks on"), desk.create("another")
    viewer = desk.begin("log", session, "--json", "--follow")
    running = desk.begin("prompt", session, "for i in $(seq 100); do echo line $i; sleep 0.02; done")
    running.wait_for("line 3")
    ballast = fill(desk.home)
    until(lambda: "cannot be written" in desk.said(), "notice of it")
    shown = len(running.out)
    refused = desk.run("prompt", other, "echo no", status=1)
    assert "cannot be written" in refused.stderr
    assert desk.status_of(session) == "working"
    ballast.unlink()
    assert running.end() == 0
    assert shown < 100
    assert running.out == [f"line {i}" for i in range(1, 101)]
    assert desk.line("prompt", other, "echo served") == "served"
    stored = desk.run("log", session, "--json").stdout.splitlines()
    until(lambda: viewer.out == stored, "the viewer to have every event once")
    assert desk.said().count("a session waits") == 1
    desk.assert_healthy()
