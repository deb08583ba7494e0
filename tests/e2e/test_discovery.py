"""Discovery between hosts, over real multicast (docs/design/discovery.md has the traps)."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.avahi import Avahi
from tests.e2e.conftest import MakeLab
from tests.e2e.lab import Host
from tests.e2e.packets import PTR, SRV, TXT, TYPE, TYPE_NAME, instance_name, multicast, name, record, response

pytestmark = pytest.mark.device

ROOT = Path(__file__).parents[2]
Event = dict[str, Any]


class Device:
    """A program on a host that announces and listens; its events are waited for, each at most once."""

    def __init__(self, host: Host, name: str, *, interfaces: Sequence[str] = (), instance: str = "") -> None:
        self.id = f"{name}{'a' * 16}"[:16]
        self.instance = instance or f"{name} {self.id[:4]}"
        self.started_at = time.monotonic()  # noqa: TID251 - a test's watch
        command = [sys.executable, "-m", "tests.e2e.discover", self.id, self.instance, "4000", *interfaces]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        self.process = host.popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment)
        self._events: list[Event] = []
        self._news = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._news:
                self._events.append(json.loads(line))
                self._news.notify_all()

    def wait(self, matches: Callable[[Event], bool], what: str, *, seconds: float = 6.0) -> Event:
        """Take the first event that matches; the others stay."""
        until = time.monotonic() + seconds  # noqa: TID251 - a test's watch
        with self._news:
            seen = 0
            while True:
                for at in range(seen, len(self._events)):
                    event = self._events[at]
                    assert event["event"] != "error", event
                    if matches(event):
                        del self._events[at]
                        return event
                seen = len(self._events)
                left = until - time.monotonic()  # noqa: TID251 - a test's watch
                if left <= 0 or not self._news.wait(left):
                    pytest.fail(f"{self.instance!r} saw no {what} in {seconds} s, but {self._events}")

    def hears(self, other: Device, *, r: int | None = None, seconds: float = 6.0, host: str = "") -> Event:
        def matches(event: Event) -> bool:
            is_it = event["event"] == "heard" and event["id"] == other.id
            return is_it and (r is None or event["r"] == r) and (not host or host in event["hosts"])

        return self.wait(matches, f"{other.instance!r} r={r} {host}", seconds=seconds)

    def sees_leave(self, other: Device, *, seconds: float = 3.0) -> Event:
        return self.wait(lambda e: e["event"] == "goodbye" and e["id"] == other.id, "goodbye", seconds=seconds)

    def heard_nothing_of(self, other: Device) -> bool:
        with self._news:
            return all(event.get("id") != other.id for event in self._events)

    def forget(self) -> None:
        with self._news:
            self._events.clear()

    def tell(self, *command: object) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def publish(self, revision: int, *more: str) -> None:
        self.tell("publish", ["txtvers=1", f"r={base36(revision)}", f"id={self.id}", f"n={self.instance}", *more])


def base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits or "0"


def pair(*devices: Device) -> None:
    """Wait until all of them have heard each other, and forget it."""
    for device in devices:
        for other in devices:
            if other is not device:
                device.hears(other)
    for device in devices:
        device.forget()


# --- finding each other -------------------------------------------------------------------------------------------


def test_devices_find_each_other_on_ipv4_and_ipv6_within_two_seconds_of_their_start(lab: MakeLab) -> None:
    hosts = lab(2).hosts
    desk, laptop = Device(hosts[0], "desk"), Device(hosts[1], "lap")
    heard = desk.hears(laptop, host=f"{hosts[1].ipv6()}%eth0")
    assert hosts[1].ipv4 in heard["hosts"]
    assert heard["port"] == 4000
    assert heard["at"] - laptop.started_at < 2.5  # 2 s on an idle machine; CI is not
    laptop.hears(desk, host=hosts[0].ipv4)
    late = Device(lab(1).hosts[0], "late")  # on another network: nobody hears it
    assert desk.heard_nothing_of(late)


def test_devices_find_each_other_on_ipv6_alone(lab: MakeLab) -> None:
    hosts = lab(2, ipv4=False).hosts
    desk, laptop = Device(hosts[0], "desk"), Device(hosts[1], "lap")
    assert desk.hears(laptop)["hosts"] == [f"{hosts[1].ipv6()}%eth0"]
    assert laptop.hears(desk)["hosts"] == [f"{hosts[0].ipv6()}%eth0"]


def test_three_devices_on_one_machine_find_each_other_on_loopback(lab: MakeLab) -> None:
    host = lab(1).hosts[0]
    devices = [Device(host, each, interfaces=["lo"]) for each in ("one", "two")]
    pair(*devices)
    late = Device(host, "late", interfaces=["lo"])  # answers by unicast would go to the oldest
    for device in devices:
        heard = late.hears(device, seconds=4.0)
        assert heard["hosts"] == ["127.0.0.1"]
        assert heard["at"] - late.started_at < 3.0
        assert device.hears(late, seconds=4.0)["at"] - late.started_at < 3.0


def test_loopback_alone_keeps_everything_on_this_machine(lab: MakeLab) -> None:
    hosts = lab(2).hosts
    inside, outside = Device(hosts[0], "inside", interfaces=["lo"]), Device(hosts[1], "outside")
    beside = Device(hosts[0], "beside")  # has joined the group on eth0, which a socket of `inside` then hears
    pair(outside, beside)
    outside.tell("again")
    outside.publish(2)
    beside.hears(outside, r=2)
    assert inside.heard_nothing_of(outside)
    assert outside.heard_nothing_of(inside)


# --- changes ------------------------------------------------------------------------------------------------------


def test_a_status_that_flips_and_flips_back_is_seen_each_time(lab: MakeLab) -> None:
    desk, laptop = (Device(host, each) for host, each in zip(lab(2).hosts, ("desk", "lap"), strict=True))
    pair(desk, laptop)
    desk.publish(10, "c=1,0,0")
    first = laptop.hears(desk, r=10)
    time.sleep(0.3)  # the pause is what is tested: below 12 s such a flip is lost without a revision
    desk.publish(11)
    assert laptop.hears(desk, r=11)["at"] - first["at"] < 2.0


def test_a_change_is_heard_in_milliseconds_and_the_same_record_again_as_well(lab: MakeLab) -> None:
    desk, laptop = (Device(host, each) for host, each in zip(lab(2).hosts, ("desk", "lap"), strict=True))
    pair(desk, laptop)
    desk.publish(20)
    laptop.hears(desk, r=20, seconds=1.0)
    until = time.monotonic() + 6.0  # noqa: TID251 - a test's watch
    laptop.forget()
    while laptop.heard_nothing_of(desk):  # the copies of the change are in the way for a second
        assert time.monotonic() < until  # noqa: TID251 - a test's watch
        desk.tell("again")
        time.sleep(0.3)
    assert laptop.hears(desk)["r"] == 20


def test_a_device_that_leaves_says_goodbye_and_a_killed_one_comes_back(lab: MakeLab) -> None:
    hosts = lab(3).hosts
    desk, laptop, box = (Device(host, each) for host, each in zip(hosts, ("desk", "lap", "box"), strict=True))
    pair(desk, laptop, box)
    laptop.process.terminate()
    desk.sees_leave(laptop)
    assert laptop.wait(lambda event: event["event"] == "left", "its end", seconds=2.0)
    box.process.kill()
    box.process.wait()
    again = Device(hosts[2], "box")  # the same name: nobody defends it
    again.publish(7)
    assert desk.hears(again, r=7)["name"] == box.instance


@pytest.mark.parametrize("shared", ["Mac", "M" * 63], ids=["short", "no room for a number"])
def test_two_devices_of_one_name_are_both_listed(lab: MakeLab, shared: str) -> None:
    hosts = lab(3).hosts
    first, second = Device(hosts[0], "aaa", instance=shared), Device(hosts[1], "bbb", instance=shared)
    watcher = Device(hosts[2], "ccc")
    watcher.hears(first)
    for revision in (90, 91):
        first.publish(revision)
        watcher.hears(first, r=revision)
        second.publish(revision)
        watcher.hears(second, r=revision)


# --- networks that change -----------------------------------------------------------------------------------------


def test_a_new_address_is_followed(lab: MakeLab) -> None:
    hosts = lab(2).hosts
    desk, laptop = Device(hosts[0], "desk"), Device(hosts[1], "lap")
    pair(desk, laptop)
    hosts[0].set_ipv4("10.64.0.99")
    laptop.hears(desk, host="10.64.0.99", seconds=8.0)
    laptop.publish(30)
    desk.hears(laptop, r=30)


def test_a_device_that_starts_before_its_network_is_found_once_it_is_there(lab: MakeLab) -> None:
    hosts = lab(2).hosts
    hosts[0].down()
    desk, laptop = Device(hosts[0], "desk"), Device(hosts[1], "lap")
    assert desk.wait(lambda event: event["event"] == "problem", "problem")["sentence"] == "no network interface is up"
    hosts[0].up()
    assert desk.wait(lambda event: event["event"] == "problem", "end of the problem")["sentence"] == ""
    laptop.hears(desk, seconds=8.0)
    desk.hears(laptop, seconds=8.0)


def test_an_interface_that_appears_is_used(lab: MakeLab) -> None:
    hosts = lab(2).hosts
    desk, laptop = Device(hosts[0], "desk"), Device(hosts[1], "lap")
    pair(desk, laptop)
    hosts[0].add_interface("wlan0", "10.64.0.50")
    laptop.hears(desk, host="10.64.0.50", seconds=8.0)


def test_what_was_missed_without_a_cable_is_made_up_for(lab: MakeLab) -> None:
    hosts = lab(2).hosts
    desk, laptop = Device(hosts[0], "desk"), Device(hosts[1], "lap")
    pair(desk, laptop)
    hosts[1].unplug()
    desk.publish(40)
    desk.tell("hosts")
    desk.wait(lambda event: event["event"] == "hosts", "answer")
    time.sleep(3.0)  # the copies are lost, and the loss of the carrier is noticed
    assert laptop.heard_nothing_of(desk)
    hosts[1].plug()
    laptop.publish(41)
    desk.hears(laptop, r=41, seconds=8.0)
    desk.tell("again")
    laptop.hears(desk, r=40)


def test_a_change_arrives_through_a_lossy_link(lab: MakeLab) -> None:
    hosts = lab(2).hosts
    desk, laptop = Device(hosts[0], "desk"), Device(hosts[1], "lap")
    pair(desk, laptop)
    hosts[1].lose(30)
    desk.publish(45)
    laptop.hears(desk, r=45)  # three copies, twice
    hosts[1].lose(100)
    laptop.publish(46)
    time.sleep(0.6)  # until the last copy
    assert desk.heard_nothing_of(laptop)
    hosts[1].lose(0)
    laptop.publish(47)
    desk.hears(laptop, r=47)


# --- hostile packets ----------------------------------------------------------------------------------------------


def test_a_forged_goodbye_is_mended_by_asking(lab: MakeLab) -> None:
    hosts = lab(3).hosts
    desk, laptop = Device(hosts[0], "desk"), Device(hosts[1], "lap")
    pair(desk, laptop)
    multicast(hosts[2], response(record(TYPE_NAME, PTR, 0, instance_name(desk.instance))))
    laptop.sees_leave(desk)
    desk.wait(lambda event: event["event"] == "echoed", "notice of the forgery")
    laptop.tell("poke")
    laptop.hears(desk, seconds=3.0)


def test_a_forged_record_of_our_name_is_noticed(lab: MakeLab) -> None:
    hosts = lab(3).hosts
    desk, laptop = Device(hosts[0], "desk"), Device(hosts[1], "lap")
    pair(desk, laptop)
    desk.publish(50)
    laptop.hears(desk, r=50)
    forged = b"".join(bytes([len(string)]) + string for string in (b"r=zz", f"id={desk.id}".encode(), b"n=evil"))
    multicast(hosts[2], response(record(instance_name(desk.instance), TXT, 4500, forged, flush=True)))
    laptop.hears(desk, r=35 * 36 + 35)
    desk.wait(lambda event: event["event"] == "echoed", "notice of the forgery")
    desk.publish(51)
    laptop.hears(desk, r=51)


def test_hostile_pointers_and_noise_do_not_blind_the_listener(lab: MakeLab) -> None:
    hosts = lab(3).hosts
    desk, laptop = Device(hosts[0], "desk"), Device(hosts[1], "lap")
    pair(desk, laptop)
    outside = [
        name("x", "_lan-agent", "_tcp", "nolocal"),
        name("x", "_other", "_tcp", "local"),
        name("a" * 63, "b" * 63, "c" * 63, *TYPE.split(".")),
        name("bell\x07\x1b[31m", *TYPE.split(".")),
        TYPE_NAME,
        b"\0",
    ]
    for target in outside:
        multicast(hosts[2], response(record(TYPE_NAME, PTR, 4500, target)))
    multicast(hosts[2], response(record(instance_name(desk.instance), SRV, 120, struct.pack("!3H", 0, 0, 0) + b"\0")))
    multicast(hosts[2], response(record(instance_name(desk.instance), TXT, 4500, b"\xff\x00\x05ab"))[:-1])
    multicast(hosts[2], os.urandom(200))
    desk.publish(60)
    laptop.hears(desk, r=60)


# --- pairing windows ----------------------------------------------------------------------------------------------


def test_a_pairing_window_is_found_by_its_slot_and_withdrawn(lab: MakeLab) -> None:
    hosts = lab(2).hosts
    desk, laptop = Device(hosts[0], "desk"), Device(hosts[1], "lap")
    for device in (desk, laptop):
        device.tell("find", "99", 1.0)  # waits for the sockets too
        device.wait(lambda event: event["event"] == "windows", "answer")
    laptop.tell("find", "07", 5.0)
    desk.tell("open", "07", "Desk \x1b[31m", 4711)
    (found,) = laptop.wait(lambda event: event["event"] == "windows", "answer")["windows"]
    assert found["slot"] == "07"
    assert found["name"] == "Desk [31m"
    assert {"host": hosts[0].ipv4, "port": 4711} in found["endpoints"]
    desk.tell("find", "07", 0.5)  # its own window is none to join
    assert desk.wait(lambda event: event["event"] == "windows", "answer")["windows"] == []
    desk.tell("close")
    laptop.tell("find", "07", 0.1)
    laptop.wait(lambda event: event["event"] == "windows", "answer")
    laptop.tell("find", "07", 1.0)
    assert laptop.wait(lambda event: event["event"] == "windows", "answer")["windows"] == []


# --- beside avahi -------------------------------------------------------------------------------------------------


def test_avahi_on_the_same_host_and_elsewhere_sees_name_and_sessions(lab: MakeLab, avahi: Callable[..., Avahi]) -> None:
    hosts = lab(2).hosts
    beside = avahi(hosts[0])
    desk, laptop = Device(hosts[0], "desk"), Device(hosts[1], "lap")
    pair(desk, laptop)
    desk.publish(70, "s0=k3v9q2,w,sf00a1,Fix the build")
    laptop.hears(desk, r=70)
    shown = beside.browse('"s0=k3v9q2,w,sf00a1,Fix the build"')
    assert "desk\\032desk" in shown
    assert "lap\\032lapa" in shown


def test_garbage_that_avahi_publishes_under_our_type_does_no_harm(lab: MakeLab, avahi: Callable[..., Avahi]) -> None:
    hosts = lab(2).hosts
    beside = avahi(hosts[0])
    desk, laptop = Device(hosts[0], "desk"), Device(hosts[1], "lap")
    pair(desk, laptop)
    services = (["No TXT"], ["Garbage", "no-equals", "=", "id", "r=-", "id=\x01\x02", "s0=,,,,,,"])
    for label, *strings in services:
        null = subprocess.DEVNULL
        command = beside.command("avahi-publish", "-s", label, TYPE.removesuffix(".local"), "9", *strings)
        hosts[0].popen(command, stdout=null, stderr=null)
    assert "Garbage" in beside.browse("Garbage")
    desk.publish(80)
    heard = laptop.hears(desk, r=80)
    assert heard["name"] == desk.instance


def test_a_program_that_keeps_the_port_for_itself_is_told_and_outlived(
    lab: MakeLab, avahi: Callable[..., Avahi]
) -> None:
    hosts = lab(2).hosts
    selfish = avahi(hosts[0], "disallow-other-stacks=yes")
    selfish.wait_until_up()
    desk, laptop = Device(hosts[0], "desk"), Device(hosts[1], "lap")
    told = desk.wait(lambda event: event["event"] == "problem", "problem")
    assert "5353" in told["sentence"]
    selfish.daemon.kill()
    assert desk.wait(lambda event: event["event"] == "problem", "end of the problem")["sentence"] == ""
    laptop.hears(desk)
