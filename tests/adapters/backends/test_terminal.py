"""adapters.backends.terminal: programs on a terminal of their own, real ones."""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from agent.adapters.backends.pty.hangup import members
from agent.adapters.backends.pty.terminal import PseudoTerminal
from agent.adapters.backends.terminal import TerminalBackend
from agent.adapters.backends.terminal.output import CommandOutput
from agent.adapters.backends.terminal.prompts import TypedLines
from agent.adapters.backends.terminal.screen import ProgramScreen, Queries
from agent.adapters.backends.terminal.session import TerminalSession, typed
from agent.adapters.backends.terminal.turn import END_MAX, SAID_MAX, TerminalTurn
from agent.errors import BackendFailed, TooLarge
from agent.ports import Described, Exited, Finished, RunsPrograms, Start, Tail
from agent.ports.terminal import ShowsTerminal, Terminal
from agent.protocol.model import SessionId
from agent.protocol.terminal import CHUNK, RING, Size
from agent.protocol.terminal_lines import plain
from tests.fakes.clock import LoopClock, turns
from tests.fakes.listener import Listener, finished, run, said
from tests.fakes.waiting import until

SESSION = SessionId(f"one-{os.getpid()}")  # its own: test runs beside this one end what carries their mark
Begin = Callable[..., Awaitable[TerminalSession]]


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
async def begin(listener: Listener) -> AsyncIterator[Begin]:
    """Start programs; they are ended with the test."""
    begun: list[TerminalSession] = []

    async def start(*command: str, cwd: str = "") -> TerminalSession:
        asked = Start(session=SESSION, command=command, cwd=cwd)
        session = await TerminalBackend().start(asked, listener.emit)
        assert isinstance(session, TerminalSession)
        begun.append(session)
        await listener.next()  # Described
        return session

    yield start
    for session in begun:
        await session.close()


class Watcher:
    """A viewer that takes everything, or up to `limit`."""

    def __init__(self, terminal: Terminal, limit: int | None = None) -> None:
        self._terminal, self._limit, self.shown = terminal, limit, b""
        self._at = terminal.begin
        self._more = asyncio.Event()
        terminal.watch(self._changed)
        self._changed()

    def _changed(self) -> None:
        while data := self._terminal.read(self._at, CHUNK):
            self.shown += data
            self._at += len(data)
        self._terminal.let(self._at + CHUNK if self._limit is None else self._limit)
        self._more.set()

    async def until(self, what: bytes) -> None:
        async with asyncio.timeout(20):
            while what not in self.shown:
                self._more.clear()
                await self._more.wait()

    async def until_over(self) -> None:
        async with asyncio.timeout(20):
            while not self._terminal.over:
                self._more.clear()
                await self._more.wait()


def environment(pid: int) -> list[bytes]:
    """As the program got it; empty where the system does not tell."""
    environ = Path(f"/proc/{pid}/environ")
    return environ.read_bytes().split(b"\0") if environ.exists() else []


def unread(session: TerminalSession) -> int:
    """Bytes that the program has written and nobody has read."""
    count = array.array("i", [0])
    fcntl.ioctl(session._terminal.master, termios.FIONREAD, count)
    return count[0]


async def test_a_session_offers_its_terminal_and_its_process(begin: Begin) -> None:
    session = await begin("cat")
    assert isinstance(session, ShowsTerminal)
    assert isinstance(session, RunsPrograms)
    (pid,) = session.processes()
    assert os.getsid(pid) == pid
    if entries := environment(pid):
        assert f"LAN_AGENT_SESSION={SESSION}".encode() in entries
        assert b"TERM=xterm-256color" in entries
        assert not [entry for entry in entries if entry.startswith((b"TMUX=", b"COLUMNS=", b"LINES="))]


async def test_what_is_typed_is_read_and_what_is_written_is_kept(begin: Begin) -> None:
    terminal = (await begin("cat")).terminal
    watcher = Watcher(terminal)
    await terminal.write("žluťoučký\r".encode())
    await watcher.until("žluťoučký\r\nžluťoučký\r\n".encode())
    assert (terminal.begin, terminal.end) == (0, len(watcher.shown))


async def test_the_program_is_told_of_its_size_and_of_every_change(begin: Begin) -> None:
    program = "trap 'stty size' WINCH; stty size; while read x; do :; done; while :; do sleep 0.05; done"
    terminal = (await begin("sh", "-c", program)).terminal
    watcher = Watcher(terminal)
    await watcher.until(b"24 80")
    terminal.resize(Size(30, 100))
    await watcher.until(b"30 100")
    terminal.repaint()
    await watcher.until(b"29 100")
    shown = len(watcher.shown)
    await until(lambda: b"30 100" in watcher.shown[shown:])
    assert terminal.size == Size(30, 100)


async def test_a_program_that_nobody_takes_from_waits_and_loses_nothing(begin: Begin) -> None:
    size = 3_000_000
    program = f"stty -opost -echo; printf 'its lines'; read x; yes 1234567 | head -c {size}; sleep 60"
    session = await begin("sh", "-c", program)
    terminal = session.terminal
    watcher = Watcher(terminal, limit=200_000)
    await watcher.until(b"its lines")
    await terminal.write(b"\r")
    await until(lambda: terminal.end >= 200_000 and unread(session) >= 1000)  # it fills what the system keeps for it
    assert terminal.end < 200_000 + 2 * CHUNK
    watcher._limit = None
    terminal.let(terminal.end + CHUNK)
    await until(lambda: len(watcher.shown) >= size + len("its lines"))
    assert watcher.shown == b"its lines" + b"1234567\n" * (size // 8)
    assert terminal.end - terminal.begin == RING


async def test_without_a_viewer_the_program_goes_on(begin: Begin) -> None:
    session = await begin("sh", "-c", "stty -opost; yes 1234567 | head -c 2000000; printf done; sleep 60")
    await until(lambda: session.terminal.end >= 2_000_004)
    assert session.terminal.read(2_000_000, 10) == b"done"


async def test_a_program_waits_no_longer_than_a_while_for_viewers_that_sleep() -> None:
    pseudo = PseudoTerminal(24, 80, plain=True)
    program = os.open(pseudo.name, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    screen = ProgramScreen(pseudo, "epoch", bytes, stall=0.3)
    asleep = Watcher(screen, limit=1000)

    def wrote() -> int:
        with contextlib.suppress(BlockingIOError):
            return os.write(program, b"x" * 65_536)
        return 0

    written = 0
    while piece := wrote():
        written += piece
        await asyncio.sleep(0)
    assert screen.end < written  # it is full, and the program waits
    await until(lambda: screen.end == written)
    for _ in range(20):
        written += wrote()
        await turns(5)
    await until(lambda: screen.end == written)
    asleep._limit = screen.end  # somebody wakes up: it waits for them again
    screen.let(screen.end)
    while piece := wrote():
        written += piece
        await asyncio.sleep(0)
    assert screen.end < written
    os.close(program)
    screen.finish(0)
    assert screen.end == written
    pseudo.close()


async def test_what_was_given_up_for_viewers_that_take_nothing_stays_so() -> None:
    # T11: the viewers' service says after each output how far they let it be read, and that is as far as before.
    pseudo = PseudoTerminal(24, 80, plain=True)
    program = os.open(pseudo.name, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    screen = ProgramScreen(pseudo, "epoch", bytes, stall=0.05)
    screen.watch(lambda: screen.let(1000))
    written = 0
    async with asyncio.timeout(20):
        while written < 2_000_000:  # one chunk for each time of waiting would be 30 of them
            with contextlib.suppress(BlockingIOError):
                written += os.write(program, b"x" * 65_536)
            await turns(1)
            if screen.end > 100_000:
                screen._stall = 3600.0
    os.close(program)
    screen.finish(0)
    pseudo.close()


async def test_a_program_is_not_told_to_draw_anew_all_the_time() -> None:
    pseudo = PseudoTerminal(24, 80, plain=True)
    screen = ProgramScreen(pseudo, "epoch", bytes)
    sizes: list[int] = []
    pseudo.resize = lambda rows, columns: sizes.append(rows)  # type: ignore[method-assign]  # what the program is told
    clock = LoopClock()
    for _ in range(50):
        screen.repaint()
        await clock.advance(0.01)
    assert sizes == [23, 24]
    screen.finish(0)
    pseudo.close()


async def test_questions_are_answered_while_nobody_is_there_and_by_viewers_else(begin: Begin) -> None:
    program = (
        "import sys, tty; tty.setraw(0)\n"
        "while sys.stdin.buffer.raw.read(1):\n"
        "    sys.stdout.write('\\x1b[6n'); sys.stdout.flush()\n"
        "    print(repr(sys.stdin.buffer.raw.read(20)), flush=True)"
    )
    terminal = (await begin(sys.executable, "-I", "-c", program)).terminal
    watcher = Watcher(terminal)
    await terminal.write(b"x")
    await watcher.until(rb"b'\x1b[1;1R'")
    terminal.answered(by_viewers=True)
    await terminal.write(b"x")
    await until(lambda: watcher.shown.count(b"\x1b[6n") == 2)  # heard here too, and left to the viewers
    await terminal.write(b"\x1b[7;7R")
    await watcher.until(rb"b'\x1b[7;7R'")
    assert watcher.shown.count(b"1;1R") == 1


async def test_ctrl_c_is_heard_by_a_program_that_reads_nothing_of_what_was_typed(
    begin: Begin, listener: Listener
) -> None:
    # While `stty` runs a shell forgives Ctrl-C: it goes on after a program that has ended well.
    session = await begin("sh", "-c", "stty -icanon; printf 'reads nothing'; exec sleep 600")
    watcher = Watcher(session.terminal)
    await watcher.until(b"reads nothing")
    await session.terminal.write(b"x" * 60_000)
    assert listener.silent()
    await session.terminal.write(b"\x03")
    end = await listener.next()
    assert isinstance(end, Exited)
    assert watcher.shown.count(b"x") < 60_000


async def test_the_end_comes_after_the_last_output_and_takes_everything_along(begin: Begin, listener: Listener) -> None:
    session = await begin("sh", "-c", "read x; sleep 600 & echo the last word; exit 5")
    (pid,) = session.processes()
    watcher = Watcher(session.terminal)
    await session.terminal.write(b"\r")
    assert await listener.next() == Exited(status="ended", reason="exit status 5", exit_status=5)
    await watcher.until_over()
    assert watcher.shown.endswith(b"the last word\r\n")
    assert session.terminal.exit_status == 5
    assert await members(pid) == []
    assert session.processes() == ()


async def test_a_killed_program_has_failed(begin: Begin, listener: Listener) -> None:
    session = await begin("cat")
    os.kill(session.processes()[0], signal.SIGKILL)
    end = await listener.next()
    assert isinstance(end, Exited)
    assert (end.status, end.reason) == ("failed", "the program was ended by SIGKILL")


async def test_a_program_that_is_not_there_is_named() -> None:
    async def emit(event: object) -> None:
        raise AssertionError(event)

    for command in ("no-such-program", "./no-such-program"):
        with pytest.raises(BackendFailed, match="no program"):
            await TerminalBackend().start(Start(session=SESSION, command=(command,)), emit)


async def test_a_program_is_not_run_again_after_a_restart(listener: Listener) -> None:
    with pytest.raises(BackendFailed, match="restarted"):
        await TerminalBackend().start(Start(session=SESSION, command=("cat",), restored=True), listener.emit)
    end = await listener.next()
    assert isinstance(end, Exited)
    assert end.status == "ended"


async def test_without_a_command_it_is_the_login_shell(
    begin: Begin, listener: Listener, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shell = tmp_path / "shell"
    shell.write_text('#!/bin/sh\necho "the shell of the user: $*"\nread x\n')
    shell.chmod(0o755)
    monkeypatch.setenv("SHELL", str(shell))
    session = await begin()
    await Watcher(session.terminal).until(b"the shell of the user: -l")
    unnamed = await TerminalBackend().start(Start(session=SESSION), listener.emit)
    told = await listener.next()
    await unnamed.close()
    assert isinstance(told, Described)
    assert told.title == "shell"  # R7


# --- prompts ----------------------------------------------------------------------------------------------------------


async def test_a_prompt_in_a_shell_gives_what_the_command_said(begin: Begin, listener: Listener) -> None:
    session = await begin("env", "PS1=> ", "bash", "--norc", "--noprofile")
    events = await run(session, listener, "echo $((40 + 2)); printf '\\033[31mred\\033[m\\n'")
    assert said(events) == "42\n\x1b[31mred\x1b[0m\n"
    assert finished(events).status == "complete"


@pytest.mark.parametrize(
    ("shell", "prompts"),
    [
        ("zsh", "PROMPT='%~ %# '; RPROMPT='[%T %?]'"),
        ("fish", "function fish_prompt; echo -n (pwd)'> '; end; function fish_right_prompt; echo -n [right]; end"),
        ("dash", "PS1='> '"),
        ("bash", r"PS1='me@here:\w\$ '"),
    ],
)
async def test_neither_what_was_typed_nor_the_next_prompt_is_a_reply(
    begin: Begin, listener: Listener, shell: str, prompts: str
) -> None:
    options = {"zsh": ("-f",), "fish": ("--no-config",), "bash": ("--norc", "--noprofile"), "dash": ()}
    session = await begin(shell, *options[shell])
    await run(session, listener, prompts)
    await run(session, listener, "true")
    for command, reply in [
        ("echo hi; false", "hi\n"),
        ("cd /", ""),  # the prompt is another one then
        ("printf half", "half"),
        ("true", ""),
        (f"echo {'x' * 200}", f"{'x' * 200}\n"),
        ("echo 'a\nb'", "a\nb\n"),
        ("seq 40", "".join(f"{number}\n" for number in range(1, 41))),
    ]:
        assert plain(said(await run(session, listener, command))) == reply, command


async def test_what_a_command_of_a_shell_asks_is_its_reply(begin: Begin, listener: Listener) -> None:
    session = await begin("env", "PS1=> ", "dash")
    assert said(await run(session, listener, "printf 'Name? '; read x")) == "Name? "
    assert said(await run(session, listener, "me")) == ""
    assert said(await run(session, listener, 'echo "[$x]"')) == "[me]\n"


async def test_a_flood_is_told_in_part_and_shown_whole(begin: Begin, listener: Listener) -> None:
    session = await begin("sh", "-c", "stty -echo; while read x; do yes 1234567 | head -c 800000; echo; done")
    events = await run(session, listener, "go")
    text = said(events)
    assert text.startswith("1234567\n1234567\n")
    assert SAID_MAX <= len(text) < SAID_MAX + END_MAX + 1000
    assert " characters left out: `agent attach --raw` shows them\n" in text
    assert text.endswith("1234567\n\n")  # the end of a long reply says how it went
    assert session.terminal.end >= 800_000


async def test_a_program_that_takes_keys_has_answered_when_it_is_quiet(
    begin: Begin, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine it is not ready in time, and setraw drops what was typed before.
    monkeypatch.setattr("agent.adapters.backends.terminal.session.BEGIN_MAX", 30.0)
    program = "import sys, tty; tty.setraw(0)\nwhile c := sys.stdin.read(1): print(repr(c), end='\\r\\n', flush=True)"
    session = await begin(sys.executable, "-I", "-c", program)
    assert said(await run(session, listener, "ab")).split("\n") == ["'a'", "'b'", "'\\r'", ""]


async def test_a_line_longer_than_a_terminal_takes_is_refused(begin: Begin) -> None:
    session = await begin("cat")
    with pytest.raises(TooLarge):
        await session.prompt("x" * 5000)


async def test_the_end_of_the_program_ends_the_turn(begin: Begin, listener: Listener) -> None:
    session = await begin("sh", "-c", "stty -echo; read x; printf 'half a line'")
    events = await run(session, listener, "go")
    assert said(events) == "half a line"
    assert isinstance(events[-1], Exited)
    assert not [event for event in events if isinstance(event, Finished)]


async def test_what_takes_the_whole_screen_is_named_and_not_at_each_change(begin: Begin, listener: Listener) -> None:
    taken = "for x in 1 2 3; do printf '\\33[?1049h'; sleep 0.05; printf '\\33[?1049l'; done"
    session = await begin("sh", "-c", f"read x; {taken}; printf over; read x")
    await session.terminal.write(b"\r")
    await Watcher(session.terminal).until(b"over")
    assert await listener.next() == Described(screen="sh")
    assert await listener.next() == Described(screen="")
    await session.terminal.write(b"\r")
    assert isinstance(await listener.next(), Exited)


def test_several_lines_are_pasted_if_the_program_takes_pastes() -> None:
    assert typed("a\nb", pastes=False) == b"a\rb\r"
    assert typed("a\nb", pastes=True) == b"\x1b[200~a\rb\x1b[201~\r"
    assert typed("a\n\x1b[201~rm", pastes=True) == b"\x1b[200~a\rrm\x1b[201~\r"  # the text cannot end the paste
    assert typed("a", pastes=True) == b"a\r"


def test_the_echo_of_what_was_typed_is_no_reply() -> None:
    typed_lines = TypedLines()
    typed_lines.type("one\ntwo", "$ ", "", edits=True)
    turn = TerminalTurn(typed_lines, CommandOutput(Size(24, 80)), 0.0)
    turn.heard(b"$ one\r\n$ two\r\nreply 1%\r", 1.0)
    assert turn.moving(2.0) == "reply 1%"
    turn.heard(b"reply 2%\r\n", 3.0)
    assert turn.take(whole=True) == "reply 2%\n"


async def test_a_bar_is_shown_while_it_moves_and_told_when_it_is_there(
    begin: Begin, listener: Listener, tmp_path: Path
) -> None:
    waits = f"until [ -e {tmp_path}/$x ]; do sleep 0.05; done"
    bar = f"for x in 10 50 100; do printf '\\r%s%%' $x; {waits}; done; echo; echo over"
    session = await begin("sh", "-c", f"stty -echo; echo ready; read x; {bar}; read x")
    await Watcher(session.terminal).until(b"ready")
    await session.prompt("go")
    for step in ("10", "50", "100"):
        assert await listener.next() == Tail(f"{step}%")
        (tmp_path / step).touch()
    assert said(await listener.turn()) == "100%\nover\n"


async def test_what_stood_on_the_screen_is_no_reply_and_keeps_its_place(begin: Begin, listener: Listener) -> None:
    session = await begin("sh", "-c", "stty -echo; printf 'one\\ntwo\\n'; read x; printf '\\33[2ANEW\\33[2B'; read x")
    await Watcher(session.terminal).until(b"two")
    assert said(await run(session, listener, "go")) == "NEW\n"


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        (b"\x1b[6n", b"\x1b[1;1R"),
        (b"\x1b[?6n", b"\x1b[?1;1R"),
        (b"\x1b[5n", b"\x1b[0n"),
        (b"\x1b[c\x1b[0c", b"\x1b[?62;22c\x1b[?62;22c"),
        (b"\x1b[>c", b"\x1b[>1;10;0c"),
        (b"\x1b[=c", b"\x1bP!|00000000\x1b\\"),
        (b"\x1b[31mno question\x1b[2J", b""),
    ],
)
def test_a_terminal_answers(output: bytes, answer: bytes) -> None:
    assert Queries().answers(b"x" + output + b"y") == answer
    queries = Queries()
    assert b"".join(queries.answers(output[at : at + 1]) for at in range(len(output))) == answer
