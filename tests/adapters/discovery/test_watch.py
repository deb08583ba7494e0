"""Following interfaces, and saying why nobody can find us."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator

import pytest

from agent.adapters.discovery.interfaces import MAX_DAMPING, Interface, InterfaceWatch
from agent.adapters.discovery.mdns.discovery import SocketTrouble

ETH0 = Interface("eth0", 2, True, ("192.168.1.5/24",))
WLAN0 = Interface("wlan0", 3, True, ("192.168.1.6/24",))


class SleeplessClock:
    """Adds up what would be slept."""

    def __init__(self) -> None:
        self.slept = 0.0

    def time(self) -> float:
        return self.slept

    def monotonic(self) -> float:
        return self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds


def watch(*looks: tuple[Interface, ...] | OSError) -> tuple[InterfaceWatch, SleeplessClock, Iterator[object]]:
    rest = iter(looks)

    def scan() -> tuple[Interface, ...]:
        look = next(rest)
        if isinstance(look, OSError):
            raise look
        return look

    clock = SleeplessClock()
    return InterfaceWatch(scan, clock), clock, rest


async def test_the_first_interface_is_waited_for() -> None:
    watching, _, _ = watch((), OSError(errno.ENOBUFS, "no"), (), (ETH0,))
    none: list[None] = []
    assert await watching.first(lambda: none.append(None)) == (ETH0,)
    assert len(none) == 3


async def test_nothing_new_costs_one_look() -> None:
    watching, _, rest = watch((ETH0,), ())
    assert await watching.next((ETH0,)) == (ETH0,)
    assert next(rest) == ()


async def test_a_failed_look_changes_nothing() -> None:
    watching, _, _ = watch(OSError(errno.EMFILE, "too many"))
    assert await watching.next((ETH0,)) == (ETH0,)


async def test_a_change_is_believed_when_two_looks_agree() -> None:
    watching, clock, _ = watch((), (WLAN0,), (ETH0, WLAN0), (ETH0, WLAN0))
    assert await watching.next((ETH0,)) == (ETH0, WLAN0)
    assert clock.slept < 4.0


async def test_an_interface_that_keeps_flapping_is_taken_as_it_is() -> None:
    looks = [(ETH0,) if number % 2 else () for number in range(MAX_DAMPING + 1)]
    watching, _, rest = watch(*looks)
    await watching.next((WLAN0,))
    assert list(rest) == []


def failing(failure: BaseException) -> logging.LogRecord:
    return logging.LogRecord("zeroconf", logging.WARNING, "", 0, "socket", (), (type(failure), failure, None))


@pytest.mark.parametrize("number", [errno.EHOSTUNREACH, errno.EPERM, errno.EADDRINUSE])
def test_a_problem_is_told_once_and_that_it_is_over(number: int) -> None:
    told: list[str] = []
    problems = SocketTrouble(told.append)
    problems.over()
    for _ in range(3):
        assert not problems.filter(failing(OSError(number, "")))
    problems.over()
    problems.over()
    assert len(told) == 2
    assert told[0]
    assert told[1] == ""


def test_an_interface_that_went_away_is_no_problem_and_no_noise() -> None:
    told: list[str] = []
    assert not SocketTrouble(told.append).filter(failing(OSError(errno.ENETUNREACH, "")))
    assert told == []


def test_what_else_zeroconf_says_is_logged() -> None:
    problems = SocketTrouble(lambda _: None)
    assert problems.filter(failing(ValueError("ours")))
    assert problems.filter(logging.LogRecord("zeroconf", logging.WARNING, "", 0, "text", (), None))
