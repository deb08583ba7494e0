"""L8 on the command line: what is typed while a device is out of reach waits, is shown, taken back or given back."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from agent.client.control_socket import Client
from agent.client.pending import WaitingLines, why
from agent.client.stream import streaming
from agent.errors import Busy, PeerLost, PeerUnreachable
from agent.protocol.events import TurnComplete
from agent.protocol.messages import CreateSession, SessionLost
from agent.protocol.methods import SESSION_CREATE
from agent.protocol.model import DeviceId
from agent.protocol.times import rfc3339
from agent.protocol.waiting import Waiting
from tests.frontends.cli.test_attach import Terminal
from tests.frontends.conftest import Agent
from tests.frontends.gateway import HERE, FakeGateway

NOW = 1_800_000_000.0


def note(**more: object) -> Waiting:
    fields: dict[str, object] = {
        "call_id": "1", "session_id": HERE, "method": "prompt.submit", "device": DeviceId("d"), "name": "desk",
        "since": rfc3339(NOW - 12),
    }  # fmt: skip
    return Waiting(**(fields | more))  # type: ignore[arg-type] # of the right kinds


def test_a_line_says_what_waits_for_whom_since_when_and_what_can_be_done() -> None:
    assert WaitingLines().line(note(), NOW) == "not sent yet: desk is out of reach for 12 s; Ctrl-C takes it back"
    assert why(note(sent=True), NOW) == "sent, but not confirmed: desk is out of reach for 12 s"
    assert why(note(method="session.attach"), NOW) == "waiting: desk is out of reach for 12 s"
    assert why(note(since="", reason="too many prompts from this device"), NOW).endswith(
        "too many prompts from this device"
    )


def test_the_same_is_said_once_a_minute() -> None:
    lines = WaitingLines()
    assert lines.line(note(), NOW)
    assert not lines.line(note(), NOW + 10)
    assert lines.line(note(sent=True), NOW + 11)
    assert lines.line(note(sent=True), NOW + 80)


@pytest.fixture
def terminal(gateway: FakeGateway) -> Iterator[Terminal]:
    shown = Terminal("attach", "Build")
    shown.until("> ")
    gateway.away = True
    yield shown
    shown.close()


def test_what_is_typed_while_the_device_is_away_runs_once_when_it_is_back(
    gateway: FakeGateway, terminal: Terminal
) -> None:
    terminal.type("echo one\r")
    terminal.until("> echo one\n-- not sent yet: desk: said goodbye; Ctrl-C takes it back")
    terminal.type("echo two\r")
    terminal.until("> echo two\n")
    gateway.back()
    terminal.until("[laptop] echo one\none\n")
    terminal.until("[laptop] echo two\ntwo\n")
    assert [call.text for call in gateway.called("prompt.submit")] == ["echo one", "echo two"]


def test_ctrl_c_takes_back_the_newest_first_into_the_line(gateway: FakeGateway, terminal: Terminal) -> None:
    terminal.type("echo one\r")
    terminal.until("Ctrl-C takes it back")
    terminal.type("echo two\r")
    terminal.until("> ")
    terminal.type("\x03")
    terminal.until("> echo two")
    terminal.type("\x03")  # the line
    terminal.until("> ")
    terminal.type("\x03")  # what waits
    terminal.until("-- taken back: it was not sent")
    terminal.until("> echo one")
    gateway.back()
    terminal.type("\x15echo three\r")
    terminal.until("[laptop] echo three\nthree\n")
    assert [call.text for call in gateway.called("prompt.submit")] == ["echo three"]


def test_what_was_not_sent_is_printed_on_leaving(gateway: FakeGateway, terminal: Terminal) -> None:
    terminal.type("echo one\r")
    terminal.until("Ctrl-C takes it back")
    terminal.type("echo two\r")
    terminal.until("> ")
    terminal.type("\x04")
    terminal.until("-- not sent: echo one\n-- not sent: echo two\n")
    assert terminal.child.wait(10) == 0
    assert gateway.called("prompt.submit") == []


def test_an_interrupt_that_waits_leaves_the_keyboard_free_and_is_taken_back(
    gateway: FakeGateway, terminal: Terminal
) -> None:
    gateway.back()
    terminal.type("run\r")
    terminal.until("waiting\n")
    gateway.away = True
    terminal.type("\x03")
    terminal.until("-- not sent yet: desk")
    terminal.type("echo typed")
    terminal.until("> echo typed")
    terminal.type("\x03")
    terminal.until("\r\x1b[K")
    terminal.type("\x03")
    terminal.until("taken back")
    gateway.back()
    assert gateway.called("session.interrupt") == []


def test_an_answer_that_waits_is_given_once(gateway: FakeGateway, terminal: Terminal) -> None:
    gateway.back()
    terminal.type("ask Name?\r")
    terminal.until("answer: ")
    gateway.away = True
    terminal.type("Ada\r")
    terminal.until("-- not sent yet: desk")
    gateway.back()
    terminal.until("got Ada")
    assert [call.answer for call in gateway.called("request.answer")] == ["Ada"]


def test_in_a_pipe_the_status_is_that_of_what_was_not_sent(gateway: FakeGateway, home: Path) -> None:
    gateway.refusals["prompt.submit"] = PeerUnreachable("desk is out of reach for 10 min")
    ran = subprocess.run(
        [sys.executable, "-m", "agent", "attach", HERE], input="echo one\necho two\n", capture_output=True, text=True,
        check=False, timeout=30,
    )  # fmt: skip
    assert ran.returncode == 6
    assert "-- not sent: echo one\n-- not sent: echo two\n" in ran.stderr
    assert len(gateway.called("prompt.submit")) == 1


class Running:
    """A command, and what it says on stderr."""

    def __init__(self, *argv: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "agent", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.child.stderr is not None
        self.err: IO[str] = self.child.stderr
        self._watch = threading.Timer(30, self.child.kill)
        self._watch.start()

    def until(self, wanted: str) -> str:
        said = ""
        while wanted not in said:
            line = self.err.readline()
            assert line, f"{wanted!r} not in {said!r}"
            said += line
        return said

    def end(self) -> tuple[int, str, str]:
        out, err = self.child.communicate()
        self._watch.cancel()
        return self.child.returncode, out, err


def test_a_prompt_waits_and_runs_when_the_device_is_back(gateway: FakeGateway, home: Path) -> None:
    gateway.away = True
    ran = Running("prompt", "Build", "echo hi")
    ran.until("not sent yet: desk: said goodbye; Ctrl-C takes it back")
    gateway.back()
    assert ran.end()[:2] == (0, "hi\n")
    assert len(gateway.called("prompt.submit")) == 1


def test_a_prompt_ends_when_the_sessions_device_is_put_out_by_another(gateway: FakeGateway, home: Path) -> None:  # T4
    ran = Running("prompt", HERE, "sleep")
    assert ran.child.stdout is not None
    assert ran.child.stdout.readline() == "waiting\n"
    reason = "desk is not paired with this device"
    gateway.tell("session.lost", SessionLost(session_id=HERE, reason=reason, kind="not-paired"))
    status, _, err = ran.end()
    assert (status, len(gateway.called("session.attach"))) == (5, 1)
    assert reason in err


@pytest.mark.parametrize("attached", [True, False])
def test_ctrl_c_takes_a_prompt_back(gateway: FakeGateway, home: Path, attached: bool) -> None:
    gateway.away = True
    ran = Running("prompt", *([] if attached else ["--no-wait"]), "Build", "echo hi")
    ran.until("not sent yet")
    ran.child.send_signal(signal.SIGINT)
    status, out, _ = ran.end()
    gateway.back()
    assert (status, out, gateway.called("prompt.submit")) == (130, "", [])


@pytest.mark.parametrize(
    "argv",
    [
        ["prompt", HERE, "echo hi"], ["prompt", "--no-wait", HERE, "echo hi"], ["attach", HERE], ["answer", HERE, "x"],
        ["interrupt", HERE], ["close", HERE], ["rename", HERE, "other"], ["log", HERE], ["set", HERE],
    ],
)  # fmt: skip
def test_wait_0_fails_at_once_with_status_6(gateway: FakeGateway, agent: Agent, argv: list[str]) -> None:
    gateway.away = True
    ran = agent(argv[0], "--wait", "0", *argv[1:])
    assert (ran.status, ran.out) == (6, "")
    assert "agent: desk is out of reach for 4 min\n" in ran.err


@pytest.mark.parametrize(
    ("argv", "method"),
    [
        (["interrupt", HERE], "session.interrupt"),
        (["rename", HERE, "other"], "session.rename"),
        (["close", HERE], "session.close"),
        (["log", HERE], "session.history"),
        (["set", HERE], "session.attach"),
    ],
)
def test_every_command_has_the_same_patience(gateway: FakeGateway, home: Path, argv: list[str], method: str) -> None:
    gateway.away = True
    ran = Running(*argv)
    ran.until("desk: said goodbye; Ctrl-C")
    gateway.back()
    assert ran.end()[0] == 0
    assert len(gateway.called(method)) >= 1


def test_when_the_time_is_up_the_text_is_given_back(gateway: FakeGateway, agent: Agent) -> None:
    gateway.away = True
    ran = agent("prompt", "--wait", "0.3", HERE, "echo hi")
    assert (ran.status, ran.out) == (6, "")
    assert "not sent: echo hi\nagent: desk is out of reach for 4 min\n" in ran.err


def test_what_may_have_arrived_keeps_its_id_when_it_is_sent_again(gateway: FakeGateway, terminal: Terminal) -> None:
    # S3: nobody can say whether it ran, so the same text again must not run it twice.
    gateway.back()
    gateway.refusals["prompt.submit"] = PeerLost("it was sent before")
    terminal.type("echo one\r")
    terminal.until("> echo one")
    del gateway.refusals["prompt.submit"]
    terminal.type("\r")
    terminal.until("[laptop] echo one\none\n")
    ids = {call.prompt_id for call in gateway.called("prompt.submit")}
    assert len(ids) == 1


def test_a_prompt_that_a_restart_cut_says_so_with_status_1(gateway: FakeGateway, home: Path) -> None:
    ran = Running("prompt", HERE, "run")
    gateway.wait_for("prompt.submit")
    gateway.stop()
    gateway.start()
    gateway.emit(TurnComplete(turn=1, status="interrupted", error="the service was restarted"))
    status, _, err = ran.end()
    assert status == 1
    assert "agent: the service was restarted\n" in err


class Crowded(Client):
    """A service that refuses so often, each time for so long, before it does what it is asked."""

    def __init__(self, times: int, seconds: float) -> None:
        self.slept: list[float] = []
        self.told: list[str] = []
        super().__init__(Path("nowhere"), sleep=self.slept.append, waits=lambda refusal: self.told.append(str(refusal)))
        self.times, self.after = times, seconds

    def _asked(self, method: str, params: dict[str, Any] | None, seconds: float | None) -> Any:
        if self.times:
            self.times -= 1
            raise Busy("too many new sessions from this device", retry_after=self.after)
        return {"session_id": HERE}


def test_a_refusal_that_says_when_to_come_again_is_waited_out_and_told_once() -> None:  # L8
    crowded = Crowded(3, 2.0)
    assert crowded.call("session.create") == {"session_id": HERE}
    assert (crowded.slept, crowded.told) == ([2.0] * 3, ["too many new sessions from this device"])


def test_such_a_refusal_is_waited_out_as_long_as_anything_is() -> None:  # L8
    crowded = Crowded(1000, 60.0)
    with pytest.raises(Busy):
        crowded.call("session.create")
    assert sum(crowded.slept) == 600.0
    assert not Crowded(0, 1.0).slept
    with pytest.raises(Busy):
        Crowded(1, 1.0).call("session.create", patience=0.0)


def test_a_new_session_that_is_refused_for_a_moment_says_so_and_is_made(gateway: FakeGateway, home: Path) -> None:  # L8
    gateway.refusals["session.create"] = Busy("too many new sessions from this device", retry_after=0.1)
    ran = Running("new", "--on", "desk")
    ran.until("waiting: too many new sessions from this device; Ctrl-C gives up")
    del gateway.refusals["session.create"]
    assert ran.end()[0] == 0


async def test_a_front_end_that_stays_waits_out_the_refusal_of_a_new_session(gateway: FakeGateway) -> None:  # L8
    gateway.refusals["session.create"] = Busy("too many new sessions from this device", retry_after=0.1)
    async with streaming(gateway.path) as stream, asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(stream.once(SESSION_CREATE, CreateSession()), name="test.create")
        await asyncio.to_thread(gateway.wait_for, "session.create")
        del gateway.refusals["session.create"]
        assert (await asked).session_id


def test_ctrl_c_before_an_answer_was_given_says_that_nothing_was_sent(gateway: FakeGateway, home: Path) -> None:
    gateway.away = True
    ran = Running("answer", HERE, "x")
    ran.until("Ctrl-C gives up")
    ran.child.send_signal(signal.SIGINT)
    status, _, err = ran.end()
    assert status == 130
    assert "nothing was sent" in err
    assert "taken back" not in err


def test_of_several_lines_that_wait_it_is_said_which(gateway: FakeGateway, terminal: Terminal) -> None:
    terminal.type("echo the first of them is longer than forty characters\r")
    terminal.until("Ctrl-C takes it back")
    terminal.type("echo two\r")
    terminal.until("> echo two\n")
    gateway.still_away()
    terminal.until('-- "echo the first of them is longer than f\u2026": not sent yet: desk', 30)


def test_what_went_out_and_perhaps_arrived_is_named_and_not_called_unsent(
    gateway: FakeGateway, terminal: Terminal
) -> None:
    gateway.back()
    gateway.refusals["prompt.submit"] = PeerLost("desk is out of reach; whether it arrived is not known")
    terminal.type("echo one\r")
    terminal.until('-- "echo one": desk is out of reach; whether it arrived is not known')


def test_a_new_session_for_a_device_that_is_away_is_asked_for_again_and_waits(
    gateway: FakeGateway, agent: Agent
) -> None:  # L8
    gateway.refusals["session.create"] = PeerUnreachable("desk is out of reach for 10 min")
    ran = agent("new", "--on", "desk", "--wait", "2min")
    assert (ran.status, ran.out) == (6, "")
    first, second = gateway.called("session.create")
    assert (first.wait, second.wait, second.device) == (0.0, 120.0, "desk")
    assert second.call_id
    assert agent("new", "--on", "desk", "--wait", "0").status == 6
    assert len(gateway.called("session.create")) == 3


def test_a_line_of_shell_that_is_one_word_is_told_how_to_be_run(gateway: FakeGateway, agent: Agent) -> None:
    ran = agent("new", "--", "make; make test")
    assert ran.status == 0
    assert "is one word, the name of a program" in ran.err
    assert "`agent new -- sh -c 'make; make test'`" in ran.err
    assert agent("new", "--", "make", "test").err == ""
    assert agent("new", "--backend", "claude", "--", "run the tests").err == ""
