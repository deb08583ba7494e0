"""`agent attach`: on a real pseudo-terminal, and in a pipe."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import avt
import pytest

from agent.errors import BadParams, SessionEnded, SessionNotFound
from agent.protocol.events import (
    Choice,
    MessageComplete,
    MessageDelta,
    MessageStart,
    RequestClosed,
    RequestKind,
    RequestOpen,
    SessionInfo,
    TurnComplete,
    UserMessage,
    make_event,
)
from agent.protocol.messages import Answered, ParticipantsChanged, PeerLink, SessionLost, SessionsChanged, TurnTail
from agent.protocol.model import Participant, Sender, Status
from agent.protocol.terminal import TerminalOutput, TerminalResized, typed_bytes
from tests.fakes.waiting import SECONDS
from tests.frontends.cli.emulator import Emulator
from tests.frontends.conftest import Agent
from tests.frontends.gateway import DESK, HERE, NOW, OWN, FakeGateway, _reply, _sender, session


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *argv: str, term: str = "xterm") -> None:
        self.fd, inner = pty.openpty()
        self.before = termios.tcgetattr(inner)
        self._inner = inner
        enter = (
            "import os, sys; os.login_tty(int(sys.argv[1])); os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
        )
        self.child = subprocess.Popen(  # as its controlling terminal, so that Ctrl-C is a signal
            [sys.executable, "-c", enter, str(inner), "-m", "agent", *argv],
            env={**os.environ, "TERM": term, "COLUMNS": "80"},
            pass_fds=[inner],
        )
        self._raw = b""
        self._at = 0

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    @property
    def text(self) -> str:
        """What was printed so far, without colours. A read may end within a character or a sequence."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self._raw.decode(errors="replace")).replace("\r\n", "\n")

    def until(self, wanted: str, seconds: float = SECONDS) -> str:
        """Read until `wanted` is printed after what was read before; the text up to it, without colours."""
        end = time.monotonic() + seconds  # noqa: TID251 - a test's watch
        while (found := self.text.find(wanted, self._at)) < 0:
            left = max(0.0, end - time.monotonic())  # noqa: TID251 - as above
            assert select.select([self.fd], [], [], left)[0], f"{wanted!r} not in {self.text[self._at :]!r}"
            try:
                data = os.read(self.fd, 65_536)
            except OSError:  # what Linux says when the command has ended
                data = b""
            assert data, f"ended without {wanted!r}: {self.text[self._at :]!r}"
            self._raw += data
        before, self._at = self.text[self._at : found], found + len(wanted)
        return before

    def until_shown(self, *lines: str) -> None:
        """Read until the last lines on the screen are these."""
        end = time.monotonic() + SECONDS  # noqa: TID251 - a test's watch
        while (shown := self.lines()[-len(lines) :]) != list(lines):
            left = max(0.0, end - time.monotonic())  # noqa: TID251 - as above
            assert select.select([self.fd], [], [], left)[0], f"{lines!r} are not on the screen: {shown!r}"
            self._raw += os.read(self.fd, 65_536)
        self._at = len(self.text)

    def lines(self) -> list[str]:
        """What stands on the screen, and what has scrolled off it."""
        screen = Emulator()
        screen.feed(self._raw.decode(errors="replace").replace("\r\n", "\n"))
        return screen.lines()

    def restored(self) -> bool:
        return termios.tcgetattr(self._inner)[:4] == self.before[:4]

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        os.close(self.fd)
        os.close(self._inner)


@pytest.fixture
def terminal(gateway: FakeGateway) -> Iterator[Terminal]:
    gateway.participants = (
        Participant(device=OWN, name="laptop", count=1),
        Participant(device=DESK, name="desk", count=2),
    )
    shown = Terminal("attach", "Build")
    yield shown
    shown.close()


def test_attach_says_where_one_is_and_ctrl_d_leaves(gateway: FakeGateway, terminal: Terminal) -> None:
    assert "-- Build · on laptop · shell · since 2027-01-15" in terminal.until("also here: desk (2)")
    terminal.until("> ")
    assert not terminal.restored()
    terminal.type("\x04")
    terminal.until("-- left Build; `agent attach Build` returns")
    assert terminal.child.wait(10) == 0
    assert terminal.restored()
    assert gateway.viewers == 0 or not gateway.called("session.close")  # S6


def test_a_prompt_is_shown_with_its_sender_once(gateway: FakeGateway, terminal: Terminal) -> None:  # S7
    terminal.until("> ")
    terminal.type("echo hello\r")
    terminal.until("[laptop] echo hello\nhello\n-- done · exit 0 · /src\n")
    terminal.until("> ")
    terminal.type("\x04")
    assert terminal.child.wait(10) == 0


def test_output_does_not_garble_what_is_typed(gateway: FakeGateway, terminal: Terminal) -> None:
    terminal.until("> ")
    terminal.type("echo ab")
    terminal.until("> echo ab")
    gateway._turns["another's"] = 1
    gateway.emit(*_reply(1, "one\ntwo"))
    terminal.until_shown("one", "two", "-- done · exit 0 · /src", "> echo ab")
    terminal.type("c\r")
    terminal.until("[laptop] echo abc\nabc\n")


def test_the_cursor_is_drawn_where_the_line_is_edited(gateway: FakeGateway, terminal: Terminal) -> None:
    terminal.until("> ")
    terminal.type("echo ab日本")
    terminal.until("> echo ab日本")
    terminal.type("\x1b[D\x1b[D")
    terminal.until("> echo ab日本\x1b[4D")
    terminal.type("c\x01")
    terminal.until("> echo abc日本\x1b[12D")
    gateway._turns["another's"] = 1
    gateway.emit(*_reply(1, "one\n"))
    terminal.until_shown("one", "-- done · exit 0 · /src", "> echo abc日本")  # printed above, the cursor where it was
    terminal.type("\r")
    terminal.until("[laptop] echo abc日本\nabc日本\n")


def test_alt_enter_steers_also_instead_of_an_answer(gateway: FakeGateway, terminal: Terminal) -> None:
    terminal.until("> ")
    terminal.type("choose Go on?\r")
    terminal.until("answer: ")
    terminal.type("echo rather this\x1b\r")
    terminal.until("[laptop] echo rather this\n")
    assert [(call.text, call.steer) for call in gateway.called("prompt.submit")] == [
        ("choose Go on?", False), ("echo rather this", True),
    ]  # fmt: skip
    assert not gateway.called("request.answer")


def test_a_secret_never_becomes_a_prompt(gateway: FakeGateway, terminal: Terminal) -> None:
    terminal.until("> ")
    terminal.type("secret Password\r")
    terminal.until("answer: ")
    terminal.type("hunter2\x1b\r")
    terminal.until("(hidden)")
    assert [call.answer for call in gateway.called("request.answer")] == ["hunter2"]
    assert len(gateway.called("prompt.submit")) == 1


def test_requests_are_answered_by_line_number_and_in_secret(gateway: FakeGateway, terminal: Terminal) -> None:
    terminal.until("> ")
    terminal.type("choose Go on?\r")
    terminal.until("? Go on?\n  1) Yes\n  2) No\n")
    terminal.until("answer: ")
    terminal.type("9\r")
    terminal.until("'9' is none of the choices")
    terminal.type("1\r")
    terminal.until("[laptop] y\n")
    terminal.until("got y\n")
    terminal.until("> ")
    terminal.type("secret Password\r")
    terminal.until("? Password\n")
    terminal.until("answer: ")
    terminal.type("hunter2\r")
    assert "hunter2" not in terminal.until("(hidden)")
    assert gateway.called("request.answer")[-1].answer == "hunter2"


@pytest.mark.parametrize("kind", ["line", "secret"])
def test_half_an_answer_to_what_another_device_answered_is_not_sent_as_a_prompt(
    gateway: FakeGateway, terminal: Terminal, kind: RequestKind
) -> None:  # S9
    asked = RequestOpen(turn=1, request_id="r1", kind=kind, prompt="Who?")
    closed = RequestClosed(
        turn=1, request_id="r1", status="answered", answer="Bob", by=Sender(device=DESK, name="desk")
    )  # fmt: skip
    gateway._turns["another's"] = 1
    terminal.until("> ")
    terminal.type("echo ")
    terminal.until("> echo ")
    gateway.emit(asked)
    terminal.until("answer: ")
    if kind == "line":
        terminal.type("Ada")
        terminal.until("echo Ada")
    gateway.emit(closed)
    if kind == "line":
        terminal.until("-- desk answered first: Bob; your answer was not sent: echo Ada\n")
    terminal.until("[desk] Bob\n")
    terminal.until("> echo ")  # what stood there before the question
    terminal.type("on\r")
    terminal.until("[laptop] echo on\n")
    assert [call.text for call in gateway.called("prompt.submit")] == ["echo on"]
    assert not gateway.called("request.answer")


def test_the_loser_of_a_race_is_told_who_was_first_and_may_use_own_words(
    gateway: FakeGateway, terminal: Terminal
) -> None:  # S9
    colours = (Choice(id="r", name="Red"), Choice(id="g", name="Green"))
    asked = RequestOpen(
        turn=1, request_id="c1", kind="choices", prompt="Which?", choices=colours, own_words=True
    )  # fmt: skip
    terminal.until("> ")
    gateway._turns["another's"] = 1
    gateway.requests["c1"] = asked
    gateway.emit(asked)
    terminal.until("? Which?\n  1) Red\n  2) Green\n  (or in your own words)\n")
    terminal.until("answer, or your own words: ")
    gateway.beaten_by = Answered(status="already-answered", by=Sender(device=DESK, name="desk"), answer="g")
    terminal.type("rather mauve\r")
    terminal.until("-- desk answered first: Green\n")
    assert gateway.called("request.answer")[0].answer == "rather mauve"


def test_ctrl_c_interrupts_the_turn_and_leaves_when_idle(gateway: FakeGateway, terminal: Terminal) -> None:
    terminal.until("> ")
    terminal.type("sleep\r")
    terminal.until("waiting\n")
    terminal.type("\x03")
    terminal.until("-- interrupted\n")
    assert len(gateway.called("session.interrupt")) == 1
    terminal.until("> ")
    terminal.type("half")
    terminal.until("> half")
    terminal.type("\x03")  # takes the line that is being typed first
    terminal.until("> ")
    terminal.type("\x03")
    terminal.until("Ctrl-C again")
    terminal.type("\x03")
    terminal.until("-- left")
    assert terminal.child.wait(10) == 0
    assert terminal.restored()


@pytest.mark.parametrize("key", ["\x1b[A", "\x1b"])
def test_up_or_esc_takes_the_newest_waiting_prompt_back_into_the_line(
    gateway: FakeGateway, terminal: Terminal, key: str
) -> None:  # S12
    terminal.until("> ")
    terminal.type("sleep\r")
    terminal.until("waiting\n")
    terminal.type("later one\r")
    terminal.until("[laptop] later one (queued)\n")
    terminal.type("later two\r")
    terminal.until("[laptop] later two (queued)\n")
    terminal.type(key)
    terminal.until('-- never ran: taken back by laptop · "later two"\n')
    terminal.until("> later two")
    terminal.type("!")
    terminal.until("> later two!")
    terminal.type("\x15")
    terminal.type(key)
    terminal.until('taken back by laptop · "later one"\n')
    terminal.until("> later one")
    assert len(gateway.called("prompt.withdraw")) == 2


def test_a_prompt_that_began_meanwhile_is_not_taken_back_and_that_is_said(
    gateway: FakeGateway, terminal: Terminal
) -> None:  # S12
    terminal.until("> ")
    terminal.type("later one\r")
    terminal.until("[laptop] later one (queued)\n")
    gateway.begins = "and runs"
    terminal.type("\x1b[A")
    terminal.until('-- "later one" runs already; Ctrl-C interrupts it\n')


def test_ctrl_c_clears_the_line_first_and_says_what_a_second_one_does_and_what_waits(
    gateway: FakeGateway, terminal: Terminal
) -> None:
    terminal.until("> ")
    terminal.type("sleep\r")
    terminal.until("waiting\n")
    terminal.type("later one\r")
    terminal.until("[laptop] later one (queued)\n")
    terminal.type("half")
    terminal.until("> half")
    terminal.type("\x03")
    terminal.until("-- line cleared; Ctrl-C again interrupts the turn\n")
    assert not gateway.called("session.interrupt")
    terminal.type("\x03")
    terminal.until("-- interrupting; 1 prompt waits and runs next; Up takes the newest back\n")
    gateway.wait_for("session.interrupt")


def test_a_turn_that_goes_on_is_told_in_one_line_above_the_input(gateway: FakeGateway, terminal: Terminal) -> None:
    terminal.until("> ")
    terminal.type("sleep\r")
    terminal.until("waiting\n")
    terminal.until("-- working ")
    terminal.until(" s · sleep · Ctrl-C interrupts\n> ")
    terminal.type("\x03")
    terminal.until_shown("waiting", "-- interrupted", ">")
    assert not any("working" in line for line in terminal.lines())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_restored_when_it_is_ended(gateway: FakeGateway, terminal: Terminal, number: int) -> None:
    terminal.until("> ")
    terminal.child.send_signal(number)
    assert terminal.child.wait(10) == 128 + number
    assert terminal.restored()


def test_a_restart_of_the_service_is_told_and_loses_nothing(gateway: FakeGateway, terminal: Terminal) -> None:  # S4
    terminal.until("> ")
    terminal.type("sleep\r")
    terminal.until("waiting\n")
    gateway.stop()
    terminal.until("-- the service is away")
    gateway.emit(MessageDelta(turn=1, text="while away\n"))
    gateway.start()
    text = terminal.until("while away\n")
    assert "waiting\n" not in text


def test_a_log_that_began_anew_is_shown_as_it_is_and_nothing_is_promised(
    gateway: FakeGateway, terminal: Terminal
) -> None:  # S15
    terminal.until("> ")
    terminal.type("sleep\r")
    terminal.until("waiting\n")
    gateway.stop()
    terminal.until("-- the service is away")
    gateway.put_back(MessageStart(turn=0), MessageDelta(turn=0, text="of before\n"))
    gateway.start()
    text = terminal.until("of before\n")
    assert "began anew" in text
    terminal.type("echo on\r")
    assert "nothing was lost" not in text + terminal.until("on\n")


def test_news_of_others_and_of_the_link_are_one_line_each(gateway: FakeGateway, terminal: Terminal) -> None:
    terminal.until("> ")
    gateway.tell("session.participants", ParticipantsChanged(session_id=HERE, participants=()))
    terminal.until("-- desk left\n")
    joined = Participant(device=DESK, name="de\x1b[2Jsk", count=1)
    gateway.tell("session.participants", ParticipantsChanged(session_id=HERE, participants=(joined,)))
    terminal.until("-- de�[2Jsk joined\n")  # T10
    gateway.tell("peer.lost", PeerLink(device=DESK, name="desk", sessions=(HERE,)))
    terminal.until("-- link to desk lost; nothing is lost, retrying\n")
    gateway.tell("peer.back", PeerLink(device=DESK, name="desk", sessions=(HERE,)))
    terminal.until("-- link to desk is back\n")
    gateway.tell("peer.lost", PeerLink(device=DESK, name="desk", sessions=(HERE,), reason="it has stopped"))
    terminal.until("-- desk has stopped; waiting for it\n")
    gateway.tell("peer.back", PeerLink(device=DESK, name="desk", sessions=(HERE,)))
    terminal.until("-- link to desk is back\n")
    gateway.emit(SessionInfo(status="ended", note="exit"))
    terminal.until("-- the session has ended")
    assert terminal.child.wait(10) == 0


def test_a_device_that_is_put_out_ends_the_attachment(gateway: FakeGateway) -> None:  # T4
    shown = Terminal("attach", "Build")
    try:
        shown.until("> ")
        shown.type("sleep\r")
        shown.until("waiting\n")
        reason = "desk is not paired with this device"
        gateway.tell("session.lost", SessionLost(session_id=HERE, reason=reason, kind="not-paired"))
        shown.until(reason)
        assert shown.child.wait(10) == 5
        assert shown.restored()
    finally:
        shown.close()


@pytest.mark.parametrize("refused", [True, False])
def test_ctrl_c_leads_out_of_a_turn_that_cannot_be_interrupted(
    gateway: FakeGateway, terminal: Terminal, refused: bool
) -> None:
    gateway.stubborn = True
    if refused:
        gateway.refusals["session.interrupt"] = SessionNotFound("no session 'Build'")
    terminal.until("> ")
    terminal.type("stubborn\r")
    terminal.until("waiting\n")
    terminal.type("\x03")
    gateway.wait_for("session.interrupt")
    if refused:
        terminal.until("no session")
    terminal.type("\x03")
    terminal.until("Ctrl-C again")
    terminal.type("\x03")
    terminal.until("-- left")
    assert terminal.child.wait(10) == 0
    assert len(gateway.called("session.interrupt")) == 1


@pytest.fixture
def asking(gateway: FakeGateway) -> Iterator[Terminal]:
    gateway.sessions = [session(), session(title=""), session(title="Far", away=True)]
    shown = Terminal("attach")
    shown.until("\x1b[?1049h")
    yield shown
    shown.close()


def test_without_a_session_it_asks_which(asking: Terminal) -> None:
    asking.until("  1) Build · laptop · shell · idle\n")
    asking.until("  2) Untitled session · laptop · shell · idle\n")
    asking.until("  3) Far · laptop · shell · offline\n")
    asking.until("session: ")
    asking.type("1\r")
    asking.until("\x1b[?1049l")  # nothing of the list stays
    asking.until("-- Build · on laptop")
    asking.until("> ")
    asking.type("\x04")
    assert asking.child.wait(10) == 0
    assert asking.restored()


@pytest.mark.parametrize("key", ["\x03", "\x1b", "\x04"])
def test_one_may_leave_without_a_choice(asking: Terminal, key: str) -> None:
    asking.until("session: ")
    asking.type(key)
    asking.until("\x1b[?1049l")
    assert asking.child.wait(10) == 130
    assert asking.restored()


def test_the_only_session_is_taken_at_once_and_none_is_an_error(gateway: FakeGateway, agent: Agent) -> None:
    shown = Terminal("attach")
    shown.until("-- Build · on laptop")
    shown.close()
    gateway.sessions = []
    shown = Terminal("attach")
    shown.until("there is no session to attach to\n  hint: start one with `agent new --attach`")
    assert shown.child.wait(10) == 4
    shown.close()


def test_a_session_with_a_screen_of_its_own_is_offered_that(gateway: FakeGateway) -> None:
    gateway.sessions = [session(backend="terminal")]
    for key, wanted in (("t", "-- Build · on laptop · terminal"), ("q", ""), ("\r", "agent: terminal.attach")):
        shown = Terminal("attach", "Build")
        shown.until("a full-screen program: Enter shows it")
        shown.type(key)
        shown.until(wanted)
        if key == "q":
            assert shown.child.wait(10) == 0
        shown.close()
    assert "it has a screen of its own: `agent attach --raw" in attached(HERE).stderr


def test_ctrl_v_shows_the_terminal_and_the_key_leads_back_to_the_text_that_went_on(
    gateway: FakeGateway, terminal: Terminal
) -> None:
    gateway.terminal, gateway.screen = True, b"\x1b[?1049h~ vim ~"
    terminal.until("Ctrl-V shows its terminal, Ctrl-D leaves")
    terminal.until("> ")
    terminal.type("a draft")
    terminal.until("> a draft")
    terminal.type("\x16")
    terminal.until("-- Ctrl-] leads back to the text; the session goes on")
    terminal.until("~ vim ~")
    gateway._turns["another's"] = 1
    gateway.emit(*_reply(1, "".join(f"line {number}\n" for number in range(300))), SessionInfo(note="said meanwhile"))
    gateway.emit(SessionInfo(screen="vim"))  # which is in sight: nothing to tell
    here = Participant(device=OWN, name="laptop", count=2)  # who shows it is nobody else
    gateway.tell("session.participants", ParticipantsChanged(session_id=HERE, participants=(here,)))
    terminal.type("\x16:wq\r\x03")
    gateway.wait_until(lambda: b"".join(typed_bytes(each) for each in gateway.called("terminal.input"))[-1:] == b"\x03")
    assert "line 1" not in terminal.text
    terminal.type("\x1d")
    terminal.until("\x1b[?1049l")
    terminal.until("lines meanwhile, then:\n")
    terminal.until("line 299\n")
    assert "is on the screen" not in terminal.until("-- said meanwhile\n")
    terminal.until("-- desk left")
    assert "laptop joined" not in terminal.text
    terminal.until_shown("> a draft")
    assert "line 1\n" not in terminal.text
    terminal.type("\x15echo b\r")
    terminal.until("[laptop] echo b\nb\n")
    terminal.type("\x16")
    terminal.until("~ vim ~")  # as often as one likes
    terminal.type("\x1d")
    terminal.until("> ")
    terminal.type("\x04")
    terminal.until("-- left Build; `agent attach Build` returns")
    assert terminal.child.wait(10) == 0
    assert terminal.restored()


def test_a_session_without_a_terminal_says_so_and_the_text_goes_on(gateway: FakeGateway, terminal: Terminal) -> None:
    gateway.refusals["terminal.attach"] = BadParams("that session (claude) has no terminal to show")
    terminal.until("> ")
    terminal.type("echo a")
    terminal.until("> echo a")
    terminal.type("\x16")
    terminal.until("-- that session (claude) has no terminal to show\n")
    terminal.until_shown("> echo a")
    terminal.type("\r")
    terminal.until("[laptop] echo a\na\n")


@pytest.mark.parametrize("end", ["signal", "session"])
def test_what_ends_while_the_terminal_is_shown_leaves_everything_as_it_was(
    gateway: FakeGateway, terminal: Terminal, end: str
) -> None:
    gateway.terminal, gateway.screen = True, b"~ vim ~"
    terminal.until("> ")
    terminal.type("\x16")
    terminal.until("~ vim ~")
    if end == "signal":
        terminal.child.terminate()
        terminal.until("-- left Build")
    else:
        gateway.emit(SessionInfo(status="ended", note="exit"))
        terminal.until("-- the session has ended: exit\n")
    assert terminal.child.wait(10) == (143 if end == "signal" else 0)
    assert terminal.restored()


def test_a_program_that_takes_the_whole_screen_is_named_with_what_shows_it(
    gateway: FakeGateway, terminal: Terminal
) -> None:
    terminal.until("> ")
    gateway.emit(SessionInfo(screen="v\x1b[2Jim"))
    terminal.until("-- v\ufffd[2Jim is on the screen: Ctrl-V shows it\n")
    gateway.emit(SessionInfo(screen=""))
    gateway.emit(RequestOpen(turn=1, request_id="k", kind="keys", prompt=">>> "))
    terminal.until("-- Ctrl-V types on its terminal instead\n")
    gateway.sessions = [session(screen="vim", program="dash: ends of commands are guessed")]
    piped = attached(HERE)
    assert f"-- vim is on the screen: `agent attach --raw {HERE}` shows it" in piped.stderr
    assert " · shell · dash · since" in piped.stderr
    assert "-- dash: ends of commands are guessed" in piped.stderr


VIM = (
    b"$ vim\r\n\x1b[?1049h\x1b[22;0;0t\x1b[>4;2m\x1b[?1h\x1b=\x1b[?2004h\x1b[1;24r\x1b[?12h\x1b[?12l\x1b[22;2t"
    b"\x1b[22;1t\x1b[27m\x1b[23m\x1b[29m\x1b[m\x1b[H\x1b[2J\x1b[?25l\x1b[2;1H\x1b[94m~\x1b[m\x1b[1;1Hhello"
    b"\x1b[?25h\x1b[24;1H\x1b[K\x1b[24;1H:wq\r\x1b[?2004l\x1b[>4;m\x1b[23;2t\x1b[23;1t\r\r\n\x1b[?2004l\x1b[?1l"
    b"\x1b>\x1b[?1049l\x1b[23;0;0t\x1b[?25h\x1b[>4;m$ "
)
"""What vim writes on a terminal of 24 rows, from its beginning to its end; most of its rows are left out."""


@pytest.mark.parametrize("told", ["replay", "resized"])
def test_a_window_larger_than_the_one_that_a_program_drew_for_scrolls_as_a_whole(
    gateway: FakeGateway, told: str
) -> None:
    gateway.sessions = [session(backend="terminal")]
    gateway.terminal, gateway.screen = True, VIM if told == "replay" else b"$ "
    lines = b"".join(b"line %d\r\n" % number for number in range(40))
    shown = Terminal("attach", "--raw", "Build")
    fcntl.ioctl(shown.fd, termios.TIOCSWINSZ, struct.pack("4H", 32, 100, 0, 0))
    shown.until("$ ")
    if told == "resized":  # somebody with a smaller window was there, and has left
        gateway.tell("terminal.output", TerminalOutput(session_id=HERE, offset=2, data=VIM))
        gateway.tell("terminal.resized", TerminalResized(session_id=HERE, rows=32, cols=100))
    end = len(gateway.screen) + (len(VIM) if told == "resized" else 0)
    gateway.tell("terminal.output", TerminalOutput(session_id=HERE, offset=end, data=lines))
    shown.until("line 39\n")
    emulator = avt.Vt(100, 32)
    emulator.feed_str(shown._raw.decode())
    assert [line.text.rstrip() for line in emulator.view()] == [*(f"line {number}" for number in range(9, 40)), ""]
    shown.close()


def test_what_was_typed_after_the_program_had_ended_is_counted_and_not_shown(gateway: FakeGateway) -> None:
    gateway.sessions = [session(backend="terminal")]
    gateway.terminal = True
    shown = Terminal("attach", "--raw", "Build")
    shown.until("Ctrl-] leaves; the session goes on\n")
    shown.until("\x1b[22;0t")
    shown.type("pässword")
    gateway.wait_for("terminal.input")
    shown.type("\x1d")
    assert "ssword" not in shown.until("-- 8 characters that you typed did not reach the program\n")
    assert shown.child.wait(10) == 0
    shown.close()


def over(gateway: FakeGateway) -> None:
    gateway.sessions = [session(status=Status.ENDED)]
    gateway.emit(*_reply(1, "the last words\n"), SessionInfo(status="ended", note="exit"))


def test_a_session_that_has_ended_is_shown_and_started_anew_if_one_likes(gateway: FakeGateway) -> None:
    over(gateway)
    shown = Terminal("attach", "Build")
    shown.until("the last words\n")
    shown.until(f"-- the session has ended: exit\n-- `agent new --again {HERE}` starts it anew\n")
    shown.until("start it anew? [y/N]: ")
    shown.type("n\r")
    assert shown.child.wait(10) == 0
    shown.close()
    assert not gateway.called("session.restart")
    shown = Terminal("attach", "Build")
    shown.until("start it anew? [y/N]: ")
    shown.type("y\r")
    shown.until("-- Build · on laptop")
    shown.until("> ")
    shown.close()
    assert [call.session_id for call in gateway.called("session.restart")] == [HERE]


def test_of_a_closed_session_its_log_is_shown_before_one_is_asked(gateway: FakeGateway) -> None:
    over(gateway)
    gateway.closed = True
    shown = Terminal("attach", "Build")
    shown.until("the last words\n")
    shown.until("-- the session has ended: exit\n")
    shown.until("start it anew? [y/N]: ")
    shown.type("\r")
    assert shown.child.wait(10) == 1
    shown.close()


def test_in_a_pipe_the_command_that_starts_it_anew_is_said(gateway: FakeGateway, home: Path, agent: Agent) -> None:
    over(gateway)
    ran = attached(HERE)
    assert (ran.returncode, f"`agent new --again {HERE}` starts it anew" in ran.stderr) == (0, True)
    gateway.closed = True
    ran = attached(HERE)
    assert (ran.returncode, f"`agent new --again {HERE}` starts it anew" in ran.stderr) == (1, True)
    again = agent("new", "--again", HERE)
    assert (again.status, again.out) == (0, f"{HERE}\n")
    assert agent("new", "--again", HERE, "--backend", "shell").status == 2


def test_a_line_that_a_session_which_is_over_did_not_take_is_the_status_of_a_pipe(
    gateway: FakeGateway, home: Path
) -> None:
    over(gateway)
    gateway.refusals["prompt.submit"] = SessionEnded()
    ran = subprocess.run(
        [sys.executable, "-m", "agent", "attach", HERE], input="echo one\n", capture_output=True, text=True,
        check=False, timeout=30,
    )  # fmt: skip
    assert (ran.returncode, "-- not sent: echo one\n" in ran.stderr) == (1, True)


def test_the_draft_is_given_back_as_the_session_ends_and_nothing_to_return_to_is_promised(
    gateway: FakeGateway, terminal: Terminal
) -> None:
    terminal.until("> ")
    terminal.type("draft")
    terminal.until("> draft")
    gateway.emit(SessionInfo(status="ended", note="exit"))
    terminal.until(f"-- `agent new --again {HERE}` starts it anew\n")
    terminal.until("-- not sent: draft\n")
    assert terminal.child.wait(10) == 0
    terminal.type("the shell again")  # which the terminal echoes
    assert "-- left" not in terminal.until("the shell again")


def attached(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent", "attach", *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=30,
    )  # fmt: skip


def long_log(gateway: FakeGateway, turns: int, newest: int = 40) -> None:
    """A log of many turns, four lines and five entries each, of which a snapshot has the newest entries."""
    sender = Sender(device=DESK, name="desk")
    said = [
        entry
        for turn in range(1, turns + 1)
        for entry in (
            UserMessage(turn=turn, prompt_id=f"p{turn}", text=f"prompt {turn}", sender=sender),
            MessageStart(turn=turn),
            MessageDelta(turn=turn, text=f"line 1 of {turn}\n"),
            MessageComplete(turn=turn, text=f"line 1 of {turn}\nline 2 of {turn}\n", status="complete"),
            TurnComplete(turn=turn, status="complete"),
        )
    ]
    gateway.log = [make_event(seq, payload, NOW) for seq, payload in enumerate(said, 1)]
    gateway.newest = newest


def test_the_end_of_a_long_transcript_is_printed_and_how_much_is_before_it(gateway: FakeGateway, home: Path) -> None:
    long_log(gateway, 20_000)
    ran = attached(HERE)
    shown = ran.stdout.splitlines()
    assert len(shown) == 200
    assert shown[:4] == ["[desk] prompt 19951", "line 1 of 19951", "line 2 of 19951", "-- done"]
    assert shown[-1] == "-- done"
    assert f"-- before this: 19950 prompts, 99750 entries; `agent log {HERE}` prints all\n" in ran.stderr
    assert len(gateway.called("session.history")) == 1  # not the whole log


def test_as_many_lines_are_printed_as_one_asks_for(gateway: FakeGateway, home: Path) -> None:
    long_log(gateway, 30)
    ran = attached("--tail", "3", HERE)
    assert ran.stdout.splitlines() == ["line 1 of 30", "line 2 of 30", "-- done"]
    assert "-- before this: 30 prompts, 148 entries;" in ran.stderr
    assert not gateway.called("session.history")
    assert attached("--tail", "0", HERE).stdout == ""
    assert len(attached("--tail", "100", HERE).stdout.splitlines()) == 100
    long_log(gateway, 500)
    everything = attached("--all", HERE)
    assert everything.stdout.splitlines()[0] == "[desk] prompt 1"
    assert len(everything.stdout.splitlines()) == 2000
    assert "before this" not in everything.stderr


def test_a_long_reply_is_cut_within_and_says_so(gateway: FakeGateway, home: Path) -> None:
    gateway.emit(*_reply(1, "".join(f"line {number}\n" for number in range(1000))))
    ran = attached("--tail", "4", HERE)
    assert ran.stdout.splitlines() == ["line 997", "line 998", "line 999", "-- done · exit 0 · /src"]
    assert "and the beginning of this; `agent log" in ran.stderr


def test_a_question_of_long_ago_is_asked_once(gateway: FakeGateway, home: Path) -> None:  # S9
    long_log(gateway, 30)
    request = RequestOpen(turn=1, request_id="r1", kind="line", prompt="Name?")
    gateway.log[2] = make_event(3, request, NOW)
    gateway.requests["r1"] = request
    for argv in (("--tail", "500"), ("--tail", "4"), ("--all",)):
        assert attached(*argv, HERE).stdout.count("? Name?") == 1


@pytest.mark.parametrize("argv", [[], ["--all"]])
def test_what_a_program_said_between_its_questions_stands_between_them(
    gateway: FakeGateway, home: Path, argv: list[str]
) -> None:
    sender = Sender(device=OWN, name="laptop")
    gateway.emit(UserMessage(turn=1, prompt_id="p1", text="./setup", sender=sender), MessageStart(turn=1))
    for number in (1, 2):
        request = RequestOpen(turn=1, request_id=f"r{number}", kind="line", prompt=f"n{number}?")
        closed = RequestClosed(turn=1, request_id=f"r{number}", status="answered", answer=f"A{number}", by=sender)
        gateway.emit(MessageDelta(turn=1, text=f"n{number}? "), request, closed)
        gateway.emit(MessageDelta(turn=1, text=f"A{number}\n"))
    whole = MessageComplete(turn=1, text="n1? A1\nn2? A2\n", status="complete")
    gateway.emit(whole, TurnComplete(turn=1, status="complete"))
    assert attached(*argv, HERE).stdout.splitlines() == [
        "[laptop] ./setup", "n1? ", "? n1?", "[laptop] A1", "A1", "n2? ", "? n2?", "[laptop] A2", "A2", "-- done"
    ]  # fmt: skip


def test_in_a_pipe_each_line_is_a_prompt_and_the_end_waits_for_them(gateway: FakeGateway, home: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "agent", "attach", HERE], input="echo one\necho two\n", capture_output=True, text=True,
        check=False, timeout=30,
    )  # fmt: skip
    assert ran.returncode == 0
    for word in ("one", "two"):
        assert f"[laptop] echo {word}\n" in ran.stdout
    assert ran.stdout.count("-- done") == 2
    assert "\x1b" not in ran.stdout + ran.stderr
    assert [call.text for call in gateway.called("prompt.submit")] == ["echo one", "echo two"]


def test_an_empty_input_file_leaves_at_once(gateway: FakeGateway, home: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "agent", "attach", HERE], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=30,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr.startswith("-- Build · on laptop")


def test_prompt_asks_on_a_terminal_and_hides_a_secret(gateway: FakeGateway) -> None:
    shown = Terminal("prompt", HERE, "secret", "Password")
    try:
        shown.until("? Password\n")
        assert not shown.restored()
        shown.type("hunter2\r")
        shown.until("got ")  # the fake session says it; the terminal did not
        assert shown.text.count("hunter2") <= 1
        assert gateway.called("request.answer")[0].answer == "hunter2"
        assert shown.child.wait(10) == 0
        assert shown.restored()
    finally:
        shown.close()


def test_watch_prints_json_on_a_terminal_if_that_is_asked_for(gateway: FakeGateway) -> None:
    for command in ("sessions", "peers"):
        shown = Terminal(command, "--watch", "--json")
        try:
            assert '"id"' in shown.until("}\n")
            assert "\x1b" not in shown.text
        finally:
            shown.close()


def test_a_dumb_terminal_is_told_what_changed_and_no_more(gateway: FakeGateway) -> None:
    shown = Terminal("sessions", "--watch", term="dumb")
    try:
        shown.until("Build")
        gateway.tell("session.changed", SessionsChanged(changed=(session(title="Deploy"),)))
        shown.until("Deploy")
        shown.type("\x03")
        assert shown.child.wait(10) == 130
        assert "\x1b" not in shown.text
    finally:
        shown.close()


def test_watch_redraws_on_a_terminal(gateway: FakeGateway) -> None:
    shown = Terminal("sessions", "--watch")
    try:
        shown.until("\x1b[H\x1b[J\x1b[2KSTATUS")
        shown.until("Build")
        gateway.tell("session.changed", SessionsChanged(changed=(session(title="Deploy"),)))
        shown.until("\x1b[H\x1b[2KSTATUS")  # line over line: a screen that is wiped first flickers
        assert "Build" not in shown.until("s3ss\n")  # the shortest unique prefix
        shown.type("\x03")
        assert shown.child.wait(10) == 130
    finally:
        shown.close()


def begun(gateway: FakeGateway) -> None:
    """Turn 1 of another client runs."""
    gateway._turns["another's"] = 1
    gateway.emit(UserMessage(turn=1, prompt_id="another's", text="make", sender=_sender()), MessageStart(turn=1))


def rows(text: str) -> TurnTail:
    return TurnTail(session_id=HERE, turn=1, after_seq=1, text=text)


def test_rows_that_a_program_may_still_change_are_drawn_in_place(gateway: FakeGateway, terminal: Terminal) -> None:
    terminal.until("> ")
    terminal.type("dra")
    terminal.until("> dra")
    begun(gateway)
    gateway.tell("turn.tail", rows("\x1b[32mlayer 1\x1b[0m\n 10 %"))
    terminal.until_shown("[laptop] make", "layer 1", " 10 %", "> dra")
    gateway.tell("turn.tail", rows("\x1b[32mlayer 1\x1b[0m\n 99 %"))
    terminal.type("ft")
    terminal.until_shown("[laptop] make", "layer 1", " 99 %", "> draft")
    assert b"\x1b[32mlayer 1" in terminal._raw
    gateway.emit(MessageDelta(turn=1, text="\x1b[32mlayer 1\x1b[0m\n"))
    terminal.until_shown("[laptop] make", "layer 1", " 99 %", "> draft")
    gateway.emit(MessageDelta(turn=1, text="100 %\n"), TurnComplete(turn=1, status="complete", exit_status=0))
    terminal.until_shown("[laptop] make", "layer 1", "100 %", "-- done · exit 0", "> draft")
    (asked,) = gateway.called("session.attach")
    assert (asked.colours, asked.tail) == (True, True)


@pytest.mark.parametrize(
    "command", [("prompt", HERE, "later"), ("log", "--follow", HERE)], ids=lambda each: str(each[0])
)
def test_a_prompt_and_a_log_show_rows_in_place_on_a_terminal(gateway: FakeGateway, command: tuple[str, ...]) -> None:
    shown = Terminal(*command)
    try:
        gateway.wait_until(lambda: gateway.viewers > 0)
        if command[0] == "log":
            begun(gateway)
        else:
            gateway.wait_for("prompt.submit")
            gateway.emit(MessageStart(turn=1))
        gateway.emit(MessageDelta(turn=1, text="one\n"))
        gateway.tell("turn.tail", rows(" 10 %"))
        shown.until_shown("one", " 10 %")
        gateway.tell("turn.tail", rows(" 99 %"))
        shown.until_shown("one", " 99 %")
        gateway.emit(RequestOpen(turn=1, request_id="r", kind="line", prompt="Name?"))
        if command[0] == "log":
            shown.until_shown("one", "? Name?", " 99 %")
        else:
            shown.until_shown("one", "? Name?", "answer:")  # one types there
        gateway.emit(RequestClosed(turn=1, request_id="r", status="expired"))
        gateway.tell("turn.tail", rows(""))
        gateway.emit(*_reply(1, "one\ntwo\n")[-2:])
        shown.until("two\n")
        if command[0] == "log":
            shown.child.send_signal(signal.SIGINT)
        shown.child.wait(10)
        assert " 99 %" not in shown.lines()
        assert gateway.called("session.attach")[0].tail
    finally:
        shown.close()


@pytest.mark.parametrize(
    ("command", "colours"),
    [
        (("prompt", HERE, "echo", "x"), False),
        (("prompt", "--json", HERE, "echo", "x"), False),
        (("--color", "always", "prompt", HERE, "echo", "x"), True),
        (("--color", "always", "prompt", "--json", HERE, "echo", "x"), True),
        (("log", HERE), False),
        (("log", "--json", HERE), False),
        (("--color", "always", "log", "--json", HERE), True),
        (("log", "--export", "json", HERE), False),
        (("--color", "always", "log", "--export", "json", HERE), True),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_in_a_pipe_there_are_no_rows_and_colours_only_if_they_are_asked_for(
    gateway: FakeGateway, agent: Agent, command: tuple[str, ...], colours: bool
) -> None:
    agent(*command)
    asked = [*gateway.called("session.attach"), *gateway.called("session.history")]
    assert {each.colours for each in asked} == {colours}
    assert not any(each.tail for each in gateway.called("session.attach"))


def test_rows_are_drawn_anew_after_ctrl_z_and_leave_what_was_printed_meanwhile(gateway: FakeGateway) -> None:
    shown = Terminal("log", "--follow", HERE)
    try:
        gateway.wait_until(lambda: gateway.viewers > 0)
        begun(gateway)
        gateway.tell("turn.tail", rows("layer\n 10 %"))
        shown.until_shown("[laptop] make", "layer", " 10 %")
        shown.child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, shown.child.pid, os.WSTOPPED)
        os.write(shown._inner, b"\n[1]+ Stopped\n$ fg\n")
        shown.until("$ fg\n")
        shown.child.send_signal(signal.SIGCONT)
        shown.until_shown("[1]+ Stopped", "$ fg", "layer", " 10 %")
        gateway.tell("turn.tail", rows("layer\n 20 %"))
        shown.until_shown("[1]+ Stopped", "$ fg", "layer", " 20 %")
    finally:
        shown.close()
