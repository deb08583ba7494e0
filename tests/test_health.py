"""health: what the service says where it was started, and how much of it at most."""

from __future__ import annotations

import asyncio

import pytest

from agent.health import REACH, STRANGERS, Reporter
from agent.presence.rules.registry import Registry
from agent.presence.subscriptions import Subscribers
from agent.problems import Problems
from agent.protocol.messages import Ready
from agent.protocol.model import DeviceId, PresenceRecord
from agent.trust.devices import TrustedDevices
from tests.fakes.clock import FakeClock, settle
from tests.fakes.trust import MemoryTrust

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
OWN = DeviceId("o" * 16)


class Told:
    """A service that says what it hears of others."""

    def __init__(self) -> None:
        self.clock, self.lines = FakeClock(), list[str]()
        self.registry, self.subscribers = Registry(OWN, name="desk", version=""), Subscribers()
        self.problems = Problems(self.lines.append, self.clock.time)
        own = Ready(device=OWN, name="desk", version="", protocol=1, port=7471, run="r")
        trusted = TrustedDevices(MemoryTrust(), self.clock)
        self.reporter = Reporter(
            own, self.registry, trusted, self.problems, self.clock, mode="sealed", say=self.lines.append
        )

    async def hear(self, number: int) -> None:
        device = DeviceId("".join(LETTERS[number // 32**place % 32] for place in range(16)))
        record = PresenceRecord(device=device, revision=1, name="n", port=7000, hosts=("10.0.0.7",))
        self.subscribers.publish(self.registry.heard(record, "mdns", self.clock.time()))
        await settle()


@pytest.fixture
def told() -> Told:
    return Told()


async def test_t11_strangers_that_come_and_go_fill_neither_memory_nor_the_output(told: Told) -> None:
    """Each id was kept for ever, and a line written for each: 20 a second, for whoever sends as many packets."""
    running = asyncio.get_running_loop().create_task(told.reporter.run(told.subscribers.subscribe()))
    await settle()
    told.lines.clear()
    for number in range(2000):
        await told.hear(number)
        await told.clock.advance(0.05)
    minutes = 2000 * 0.05 / 60
    assert len(told.reporter._told) <= len(told.registry.devices())
    assert len(told.lines) <= 2 * (STRANGERS.burst + STRANGERS.per_minute * minutes + 1)
    await told.clock.advance(60.0)
    told.lines.clear()
    await told.hear(2000)
    more, line = told.lines
    assert more.startswith("devices that are not paired came or went ")
    assert line.endswith("is online, not paired at 10.0.0.7")
    running.cancel()


async def test_trouble_that_is_over_leaves_nothing(told: Told) -> None:
    for number in range(100):
        told.problems.problem(f"twin {number}", "two devices have one key")
        told.problems.problem(f"twin {number}", "")
    assert told.problems.current == ()
    assert told.lines == ["agent: two devices have one key"] * 100


async def test_a_notice_about_the_same_takes_the_place_of_the_one_before(told: Told) -> None:
    told.problems.notice("pi calls itself den now", about="name of pi")
    told.problems.notice("another thing")
    await told.clock.advance(60.0)
    told.problems.notice("pi calls itself bank now", about="name of pi")
    now = told.clock.time()
    assert told.problems.noticed_at == (now - 60.0, now)
    assert told.problems.notices == ("another thing", "pi calls itself bank now")
    assert told.lines[-3:] == [
        "agent: pi calls itself den now", "agent: another thing", "agent: pi calls itself bank now",
    ]  # fmt: skip


async def test_what_keeps_devices_apart_is_told_by_its_subject(told: Told) -> None:
    told.problems.problem("network", "no network interface is up")
    told.problems.problem("backend 0", "no such kind")
    told.problems.problem("twin abc", "desk runs on two machines")
    assert told.problems.about(REACH) == ("no network interface is up", "desk runs on two machines")
