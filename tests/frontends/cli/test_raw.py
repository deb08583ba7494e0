"""frontends.cli.raw: a person's own terminal in raw mode. What is shown: tests/e2e/test_terminals.py."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import select
import signal
import struct
import termios
from collections.abc import Iterator

import click
import pytest

from agent.frontends.cli.raw_terminal import DetachKey, RawTerminal
from tests.fakes.waiting import until
from tests.frontends.conftest import Agent

# --- the key that leaves ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("ctrl-]", b"\x1d"),
        ("Ctrl-B", b"\x02"),
        ("^a", b"\x01"),
        ("C-@", b"\x00"),
        ("ctrl-\\", b"\x1c"),
        ("ctrl-]", b"\x1b[93;5u"),  # as a terminal sends it once a program asked for kitty's protocol
        ("ctrl-]", b"\x1b[93::93;69:1u"),  # with Caps Lock
        ("ctrl-b", b"\x1b[27;5;98~"),  # with xterm's modifyOtherKeys
    ],
)
def test_the_key_leaves_however_it_is_sent_and_what_was_typed_before_it_counts(name: str, typed: bytes) -> None:
    assert DetachKey(name).before(b"ls\r" + typed + b"rm\r") == b"ls\r"


@pytest.mark.parametrize("typed", [b"", b"]", b"\x1b[93u", b"\x1b[93;6u", b"\x1b[A", b"\x1b[93;5:3u", "ľšč".encode()])
def test_other_keys_do_not(typed: bytes) -> None:
    assert DetachKey("ctrl-]").before(typed) is None


@pytest.mark.parametrize("name", ["", "x", "ctrl-", "ctrl-1", "alt-x", "ctrl-ab"])
def test_a_key_that_is_none_is_named(name: str) -> None:
    with pytest.raises(click.UsageError, match="detach-key"):
        DetachKey(name)


# --- the terminal -----------------------------------------------------------------------------------------------------


class Screen:
    """The other side of a pseudo-terminal; what is on it is not read until somebody does."""

    def __init__(self) -> None:
        self.master, self.inner = pty.openpty()
        self.typed: list[bytes] = []
        self.stopped: list[int] = []
        self.resized = 0

    def close(self) -> None:
        os.close(self.master)
        os.close(self.inner)

    def read(self) -> bytes:
        shown = b""
        while select.select([self.master], [], [], 0.1)[0]:
            shown += os.read(self.master, 65_536)
        return shown

    def take(self) -> RawTerminal:
        return RawTerminal(typed=self.typed.append, drained=lambda: None, stdin=self.inner, stdout=self.inner)

    def grew(self) -> None:
        self.resized += 1


@pytest.fixture
def screen() -> Iterator[Screen]:
    made = Screen()
    yield made
    made.close()


async def test_keys_come_as_they_are_and_the_terminal_is_as_it_was_afterwards(screen: Screen) -> None:
    before = termios.tcgetattr(screen.inner)
    terminal = screen.take()
    with terminal.raw(screen.grew, screen.stopped.append):
        assert not termios.tcgetattr(screen.inner)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)
        os.write(screen.master, b"\x03\x1a\r\x1d")
        await until(lambda: b"".join(screen.typed) == b"\x03\x1a\r\x1d")
        terminal.write(b"\x1b[?1049h\x1b[?1006h\x1b[?25lx\n")
        await terminal.settle()
        assert screen.read() == b"\x1b[22;0t\x1b[?1049h\x1b[?1006h\x1b[?25lx\n"
    assert screen.read().endswith(b"\x1b[?1006l\x1b[?25h\x1b[?1049l\x1b[23;0t")
    assert termios.tcgetattr(screen.inner) == before


async def test_a_terminal_that_takes_nothing_blocks_nobody_and_is_still_put_back(screen: Screen) -> None:
    before = termios.tcgetattr(screen.inner)
    terminal = screen.take()
    with terminal.raw(screen.grew, screen.stopped.append):
        terminal.write(b"\x1b[?2004h" + b"x" * 1_000_000)
        assert terminal.pending > 900_000
        os.write(screen.master, b"key")
        await until(lambda: b"".join(screen.typed) == b"key")
        fcntl.ioctl(screen.inner, termios.TIOCSWINSZ, struct.pack("4H", 30, 100, 0, 0))
        assert terminal.size() == (30, 100)
    assert termios.tcgetattr(screen.inner) == before
    assert b"\x1b[?2004l" in screen.read()


async def test_everything_is_shown_in_order_as_the_terminal_takes_it(screen: Screen) -> None:
    terminal, shown = screen.take(), b""
    everything = b"".join(b"%07d." % number for number in range(50_000))
    with terminal.raw(screen.grew, screen.stopped.append):
        terminal.write(everything)
        async with asyncio.timeout(20):
            while len(shown) < len(everything):
                if select.select([screen.master], [], [], 0)[0]:
                    shown += os.read(screen.master, 65_536)
                await asyncio.sleep(0)
        await terminal.settle()
        assert terminal.pending == 0
    assert shown.removeprefix(b"\x1b[22;0t") == everything[: len(shown) - 7]


@pytest.mark.parametrize("hidden", [b"\x1b[?10\x0000h", b"\x1b[?2004\x00h\x1b]0;never ended", b"\x1b[?1003\x00h\x1b["])
async def test_what_was_switched_on_out_of_sight_is_off_afterwards(screen: Screen, hidden: bytes) -> None:
    """Attack: controls within a sequence, which a terminal passes over, and a string that swallows what follows."""
    with screen.take().raw(screen.grew, screen.stopped.append) as _:
        os.write(screen.inner, hidden)
    left = screen.read().partition(hidden)[2]
    assert left.startswith(b"\x1b\\\x18\x1b[?9;1000;")
    assert {b"1003", b"2004"} <= set(left.partition(b"[?")[2].partition(b"l")[0].split(b";"))


@pytest.mark.parametrize(
    "asks", [b"\x1b[c", b"\x1b[21t", b"\x1b[\x006n", b"\x1b]52;c;?\x07", b"\x1bP$qm\x1b\\", b"\x05", b"\x1bZ"]
)
async def test_what_the_terminal_answers_is_not_typed_into_the_shell(screen: Screen, asks: bytes) -> None:
    """Attack: a program asks the terminal, whose answer it has chosen (its title), and ends before that comes."""
    terminal = screen.take()
    with terminal.raw(screen.grew, screen.stopped.append):
        terminal.write(asks)
        await terminal.settle()
        asyncio.get_running_loop().remove_reader(screen.inner)
        os.write(screen.master, b"\x1b]lrm -rf ~\x1b\\\r")
    assert not select.select([screen.inner], [], [], 0.2)[0]


async def test_what_was_typed_ahead_stays_if_nothing_was_asked(screen: Screen) -> None:
    terminal = screen.take()
    with terminal.raw(screen.grew, screen.stopped.append):
        terminal.write(b"\x1b[1;31mtext\x1b[K\x1b[2J\x1b]0;what\x07\x1b[22;0;0t")
        await terminal.settle()
        asyncio.get_running_loop().remove_reader(screen.inner)
        os.write(screen.master, b"ls\r")
    assert select.select([screen.inner], [], [], 1)[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
async def test_signals_are_told_and_a_new_size_too(screen: Screen, number: signal.Signals) -> None:
    with screen.take().raw(screen.grew, screen.stopped.append):
        os.kill(os.getpid(), signal.SIGWINCH)
        await until(lambda: screen.resized == 1)
        os.kill(os.getpid(), number)
        await until(lambda: screen.stopped == [int(number)])
        os.kill(os.getpid(), signal.SIGCONT)
        await until(lambda: screen.resized == 2)


# --- the command ------------------------------------------------------------------------------------------------------


def test_raw_needs_a_terminal_and_says_what_to_do_instead(agent: Agent) -> None:
    ran = agent("attach", "--raw", "whatever")
    assert ran.status == 2
    assert "--raw needs a terminal; in a pipe use `agent prompt SESSION -` and `agent log SESSION`" in ran.err


def test_a_wrong_detach_key_is_named_first(agent: Agent) -> None:
    ran = agent("attach", "--raw", "--detach-key", "f12", "whatever")
    assert ran.status == 2
    assert "no such key: 'f12'" in ran.err
