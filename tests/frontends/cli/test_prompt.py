"""`agent prompt`, `agent answer`, `agent log`: one turn, its outcome, its record."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import NotPaired, PeerUnreachable
from agent.protocol.events import (
    Choice,
    MessageDelta,
    MessageStart,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    ToolComplete,
    ToolStart,
    UserMessage,
)
from agent.protocol.excerpts import GAP
from agent.protocol.model import Sender
from tests.frontends.conftest import Agent
from tests.frontends.gateway import DESK, HERE, OWN, FakeGateway, _reply, _sender


def test_the_reply_alone_goes_to_stdout(gateway: FakeGateway, agent: Agent) -> None:
    ran = agent("prompt", "Build", "echo", "hello", "you")
    assert ran == (0, "hello you\n", "")
    assert gateway.called("prompt.submit")[0].text == "echo hello you"


def test_a_reply_whose_middle_was_left_out_is_told_beside_it(gateway: FakeGateway, agent: Agent) -> None:
    cut = f"head{GAP}… 1,874,207 characters left out\ntail\n"
    gateway.emit(UserMessage(turn=1, prompt_id="x", text="seq", sender=_sender()), *_reply(1, cut))
    gateway._turns["x"] = 1
    ran = agent("prompt", HERE, "--id", "x", "seq")
    assert (ran.status, ran.out) == (0, cut)
    assert "the reply was too long: 1,874,207 characters of it were left out" in ran.err


def test_a_number_after_all_events_is_told(gateway: FakeGateway, agent: Agent) -> None:
    agent("prompt", HERE, "echo", "hi")
    assert agent("log", HERE, "--since", "999999") == (0, "", "nothing after 999999\n")
    assert agent("log", HERE, "--since", "1").err == ""


@pytest.mark.parametrize("words", [("yes",), ("nosuch", "x")])
def test_an_answer_to_nothing_leads_to_the_session(gateway: FakeGateway, agent: Agent, words: tuple[str, ...]) -> None:
    told = "agent: the session asks nothing now\n  hint: `agent attach Build` shows what it does\n"
    assert agent("answer", "Build", *words) == (4, "", told)


def test_an_answer_to_another_question_names_the_open_ones(gateway: FakeGateway, agent: Agent) -> None:
    gateway.requests["r7"] = RequestOpen(turn=1, request_id="r7", kind="line", prompt="Colour?")
    told = "agent: no open request 'nosuch'\n  hint: open: r7\n"
    assert agent("answer", HERE, "nosuch", "x") == (4, "", told)


def test_other_turns_are_not_printed(gateway: FakeGateway, agent: Agent) -> None:
    gateway.emit(UserMessage(turn=1, prompt_id="x", text="echo old", sender=_sender()), *_reply(1, "old\n"))
    gateway._turns["x"] = 1
    assert agent("prompt", HERE, "echo", "new").out == "new\n"


def test_a_failing_command_is_status_1(gateway: FakeGateway, agent: Agent) -> None:
    assert agent("prompt", HERE, "fail") == (1, "no\n", "")


def test_json_prints_the_events_of_the_turn_and_ends_with_turn_complete(gateway: FakeGateway, agent: Agent) -> None:
    lines = [json.loads(line) for line in agent("prompt", HERE, "--json", "echo", "hi").out.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert set(lines[0]) == {"session_id", "seq", "type", "payload", "at"}
    assert lines[0]["payload"]["text"] == "echo hi"
    assert lines[-1]["type"] == "turn.complete"


def test_the_same_id_again_prints_the_same_reply_and_runs_nothing(gateway: FakeGateway, agent: Agent) -> None:  # S3
    agent("prompt", HERE, "--id", "one", "echo", "hi")
    events = len(gateway.log)
    ran = agent("prompt", HERE, "--id", "one", "echo", "hi")
    assert (ran.status, ran.out, len(gateway.log)) == (0, "hi\n", events)
    assert "was sent before" in ran.err


def test_no_wait_prints_the_id_and_says_the_state(gateway: FakeGateway, agent: Agent) -> None:
    assert agent("prompt", HERE, "--no-wait", "--id", "p1", "echo", "hi") == (0, "p1\n", "started\n")


def test_steer_is_asked_for(gateway: FakeGateway, agent: Agent) -> None:
    assert agent("prompt", HERE, "--steer", "echo", "hi").out == "hi\n"
    agent("prompt", HERE, "echo", "hi")
    assert [call.steer for call in gateway.called("prompt.submit")] == [True, False]


def test_what_is_steered_into_a_running_turn_is_told_to_go_first(gateway: FakeGateway, agent: Agent) -> None:
    gateway.busy = True
    assert agent("prompt", HERE, "--no-wait", "echo", "hi").err.startswith("queued, 1 before it; `agent withdraw")
    steered = agent("prompt", HERE, "--no-wait", "--steer", "x").err
    assert steered.startswith("goes first, once the running turn has stopped; ")


def test_what_the_agent_does_stays_out_of_the_reply(gateway: FakeGateway, agent: Agent) -> None:
    said = UserMessage(turn=1, prompt_id="x", text="go", sender=_sender())
    tool = ToolStart(turn=1, tool_id="t", title="make")
    done = ToolComplete(turn=1, tool_id="t", status="complete", output="built\n")
    gateway.emit(said, MessageStart(turn=1), tool, done, *_reply(1, "ready\n"))
    gateway._turns["x"] = 1
    ran = agent("prompt", HERE, "--id", "x", "go")
    assert (ran.out, ran.err) == ("ready\n", "was sent before\n")  # on a terminal the tools are told on stderr


def test_a_time_out_is_status_7_and_says_that_the_turn_goes_on(gateway: FakeGateway, agent: Agent) -> None:
    ran = agent("prompt", HERE, "--timeout", "0.5", "sleep")
    assert (ran.status, ran.out) == (7, "waiting\n")
    assert "it goes on" in ran.err
    assert not gateway.called("session.interrupt")


def test_stdin_is_read_for_a_dash(gateway: FakeGateway, home: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "agent", "prompt", HERE, "-"],
        input="echo a\nb\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "a\nb\n", "")


@pytest.mark.parametrize(("word", "given"), [("-", b"a\xff"), (b"a\xff", b"")])
@pytest.mark.parametrize("command", ["prompt", "answer"])
def test_what_is_not_utf_8_is_told_and_not_sent(
    gateway: FakeGateway, home: Path, command: str, word: str | bytes, given: bytes
) -> None:
    words = [sys.executable, "-m", "agent", command, HERE, word]
    ran = subprocess.run(words, input=given, capture_output=True, check=False, timeout=30)
    assert ran.returncode == 2
    assert ran.stderr.startswith(b"agent: ")
    assert b"is not UTF-8 text\n" in ran.stderr
    assert not gateway.calls


def test_ctrl_c_interrupts_the_turn(gateway: FakeGateway, home: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "agent", "prompt", HERE, "sleep"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n"
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=20)
    assert (child.returncode, err) == (130, "interrupting\n")
    assert len(gateway.called("session.interrupt")) == 1


def test_a_full_screen_program_is_named_with_what_shows_it_and_the_turn_goes_on(
    gateway: FakeGateway, home: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "agent", "prompt", HERE, "sleep"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == "waiting\n"
        gateway.emit(SessionInfo(screen="vim"), SessionInfo(screen=""))
        shows = f"`agent attach --raw {HERE}` shows it"
        assert child.stderr.readline() == f"vim is on the screen, and the turn goes on: {shows}\n"
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=20)
    assert child.returncode == 130


def test_what_the_session_says_while_the_turn_runs_is_told_beside_the_reply(
    gateway: FakeGateway, home: Path, agent: Agent
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "agent", "prompt", HERE, "sleep"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == "waiting\n"
        gateway.emit(SessionInfo(note="zsh 5.9: its start-up files are not done after 10 s"))
        assert child.stderr.readline() == "-- zsh 5.9: its start-up files are not done after 10 s\n"
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=20)
    assert child.returncode == 130


def test_a_request_tells_how_to_answer_and_answer_does(gateway: FakeGateway, home: Path, agent: Agent) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "agent", "prompt", HERE, "choose", "Go?"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stderr is not None
        told = [child.stderr.readline() for _ in range(4)]
        answer = f"`agent answer {HERE} r1 ANSWER`, where ANSWER is yes, no, or a number, name or id"
        assert told == ["? Go?\n", "  1) Yes (y)\n", "  2) No (n)\n", f"  answer with {answer}\n"]
        wrong = agent("answer", HERE, "7")
        assert (wrong.status, wrong.err.splitlines()[0]) == (2, "agent: '7' is none of the choices")
        assert agent("answer", HERE, "2") == (0, "", "")
        out, _ = child.communicate(timeout=20)
    assert (child.returncode, out) == (0, "got n\n")
    assert agent("answer", HERE, "2").status == 4


def test_who_answers_too_late_is_told_who_was_first(gateway: FakeGateway, agent: Agent) -> None:  # S9
    choices = (Choice(id="a", name="Allow", kind="allow_once"), Choice(id="d", name="Deny", kind="reject_once"))
    desk = Sender(device=DESK, name="desk")
    gateway.emit(
        RequestOpen(turn=1, request_id="r1", kind="choices", prompt="Go?", choices=choices),
        RequestClosed(turn=1, request_id="r1", status="answered", answer="a", by=desk),
        RequestOpen(turn=1, request_id="r2", kind="line"),
        RequestClosed(turn=1, request_id="r2", status="expired", reason="the turn was interrupted"),
    )
    late = "your answer was not sent\n"
    assert agent("answer", HERE, "r1", "no") == (1, "", f"agent: desk answered first: Allow; {late}")
    assert agent("answer", HERE, "r2", "no") == (1, "", f"agent: no longer asked: the turn was interrupted; {late}")
    assert "  no longer asked: the turn was interrupted\n" in agent("log", HERE).out
    gateway.emit(
        RequestOpen(turn=1, request_id="r3", kind="line"),
        RequestClosed(turn=1, request_id="r3", status="answered", answer="x", by=Sender(device=OWN, name="laptop")),
    )
    assert agent("answer", HERE, "r3", "no").err == f"agent: this device has answered already: x; {late}"
    assert not gateway.called("request.answer")


def test_log_prints_who_said_what(gateway: FakeGateway, agent: Agent) -> None:
    agent("prompt", HERE, "echo", "hi")
    assert agent("log", HERE).out == "[laptop] echo hi\nhi\n-- done · exit 0 · /src\n"
    rows = [json.loads(line) for line in agent("log", "Build", "--json", "--since", "2").out.splitlines()]
    assert (rows[0]["seq"], rows[0]["session_id"]) == (3, HERE)
    assert rows[-1]["type"] == "turn.complete"


def test_log_of_a_running_turn_prints_what_there_is(gateway: FakeGateway, agent: Agent) -> None:
    gateway.emit(
        UserMessage(turn=1, prompt_id="x", text="a\x1b[2Jb", sender=_sender(), queued=True),
        MessageStart(turn=1),
        MessageDelta(turn=1, text="\x1b[31mred\x1b]0;t"),
        MessageDelta(turn=1, text="itle\x07\n"),
    )
    assert agent("log", HERE).out == "[laptop] a�[2Jb (queued)\n[laptop] a�[2Jb\nred\n"  # T10


@pytest.mark.parametrize(("error", "status"), [(NotPaired(), 5), (PeerUnreachable(), 6)])
def test_refusals_have_their_status(gateway: FakeGateway, agent: Agent, error: NotPaired, status: int) -> None:
    gateway.refusals["prompt.submit"] = error
    ran = agent("prompt", HERE, "echo")
    assert (ran.status, ran.out) == (status, "")
    assert ran.err == f"agent: {error}\n  hint: {error.hint}\n"


def test_an_unknown_session_is_status_4(gateway: FakeGateway, agent: Agent) -> None:
    for command in (
        ["prompt", "nope", "x"],
        ["attach", "nope"],
        ["log", "nope"],
        ["close", "nope"],
        ["answer", "nope", "y"],
    ):
        ran = agent(*command)
        assert (ran.status, ran.err.splitlines()[0]) == (4, "agent: no session 'nope'")


def test_a_reader_that_leaves_is_no_trouble(gateway: FakeGateway, home: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [sys.executable, "-m", "agent", "peers"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (1, "")
