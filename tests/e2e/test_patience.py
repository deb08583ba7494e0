"""L8, R12: what is typed on the laptop while the desk is out of reach waits, is shown, and runs exactly once."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import networks
from tests.e2e.device import Device, Lines, pair, until
from tests.e2e.tmux import Window, missing_tmux

pytestmark = pytest.mark.device

Household = tuple[Device, Device]
BACK = 30.0
"""Seconds for what waited to be carried out, on a loaded machine."""
AWAY = "desk is out of reach"


@pytest.fixture(scope="module")
def household() -> Iterator[Household]:
    with networks() as network:
        desk, laptop = network("desk", "laptop")
        for device in (desk, laptop):
            device.start()
        for device in (desk, laptop):
            device.wait_until_up()
        pair(desk, laptop)
        watched = desk.create("watched")
        laptop.wait_for_session(watched)
        laptop.begin("log", watched, "--follow")
        yield desk, laptop


@pytest.fixture(autouse=True)
def _plugged(household: Household) -> Iterator[None]:
    """Begin with a link, and leave the cable in."""
    desk, laptop = household
    laptop.wait_to_see(desk, linked=True, seconds=BACK)
    yield
    desk.host.plug()
    if not desk.runs():
        desk.up()


def unplug(household: Household) -> None:
    """Pull the cable, and wait until the laptop is sure: 8 s instead of 23, for it watches a session there (L3)."""
    desk, laptop = household
    desk.host.unplug()
    laptop.wait_to_see(desk, "offline", seconds=60)


def prompts(desk: Device, session: str) -> list[str]:
    """What its log says was asked, in order."""
    return [event["payload"]["text"] for event in desk.events(session) if event["type"] == "message.user"]


def test_prompts_of_every_kind_run_once_when_the_cable_is_back(household: Household) -> None:
    desk, laptop = household
    session = desk.create("cable")
    laptop.wait_for_session(session)
    unplug(household)
    begun = [
        laptop.begin("prompt", session, "echo by-id"),
        laptop.begin("prompt", "cable", "echo by-title"),
        laptop.begin("prompt", "desk/cable", "echo by-device"),
        laptop.begin("prompt", "--no-wait", session[:6], "echo by-prefix"),
    ]
    for command in begun:
        command.wait_for(f"not sent yet: {AWAY} for")
    told = laptop.run("sessions")
    assert "desk is offline for" in told.stderr
    assert "(`agent sessions --all`)" in told.stderr
    assert "cable" not in told.stdout
    assert "cable" in laptop.run("sessions", "--all").stdout
    desk.host.plug()
    assert [command.end(seconds=BACK) for command in begun] == [0, 0, 0, 0]
    assert begun[0].out == ["by-id"]
    until(lambda: len(prompts(desk, session)) == 4, "all four")
    desk.run("prompt", session, "echo last")
    asked = ["echo by-id", "echo by-title", "echo by-device", "echo by-prefix", "echo last"]
    assert sorted(prompts(desk, session)) == sorted(asked)


def test_ctrl_c_takes_back_and_wait_0_fails_at_once(household: Household) -> None:
    desk, laptop = household
    session = desk.create("taken back")
    laptop.wait_for_session(session)
    unplug(household)
    failed = laptop.run("prompt", "--wait", "0", session, "echo never", status=6)
    assert AWAY in failed.stderr
    assert AWAY in laptop.run("rename", "--wait", "0", session, "other", status=6).stderr
    assert AWAY in laptop.run("attach", "--wait", "1", session, status=6).stderr
    command = laptop.begin("prompt", session, "echo never")
    command.wait_for("Ctrl-C takes it back")
    command.process.send_signal(signal.SIGINT)
    assert command.end(seconds=BACK) == 130
    desk.host.plug()
    laptop.wait_to_see(desk, linked=True, seconds=BACK)
    laptop.run("prompt", session, "echo after")
    assert prompts(desk, session) == ["echo after"]


@pytest.mark.skipif(bool(missing_tmux()), reason=missing_tmux() or "")
def test_attach_keeps_what_is_typed_and_sends_it_in_order(household: Household, tmp_path: Path) -> None:
    desk, laptop = household
    session = desk.create("typed")
    laptop.wait_for_session(session)
    with Window(laptop, tmp_path / "tmux") as terminal:
        terminal.agent("attach", session)
        terminal.wait_for("Ctrl-D leaves")
        unplug(household)
        terminal.line("echo one-$((1+1))")
        terminal.wait_for("not sent yet:", "Ctrl-C takes it back")
        terminal.line("echo two-$((1+1))")
        terminal.line("echo wrong")
        terminal.wait_for("> echo one-$((1+1))", "> echo two-$((1+1))", "> echo wrong")
        terminal.press("C-c")
        until(lambda: terminal.text().rstrip().endswith("> echo wrong"), "the line to come back")
        terminal.press("C-u")
        desk.host.plug()
        terminal.wait_for("one-2", "two-2", seconds=BACK)
        terminal.press("C-d")
        terminal.wait_for("status=0")
    assert prompts(desk, session) == ["echo one-$((1+1))", "echo two-$((1+1))"]


def test_an_answer_and_an_interrupt_wait(household: Household) -> None:
    desk, laptop = household
    session = desk.create("asks")
    laptop.wait_for_session(session)
    asking = desk.begin("prompt", session, "read -p 'name? ' n; echo hello $n")
    laptop.wait_for_session(session, status="needs-input")
    unplug(household)
    answering = laptop.begin("answer", session, "Ada")
    answering.wait_for(AWAY)
    desk.host.plug()
    assert answering.end(seconds=BACK) == 0
    assert asking.end(seconds=BACK) == 0
    assert any("hello Ada" in line for line in asking.out)
    running = desk.begin("prompt", session, "sleep 100")
    laptop.wait_for_session(session, status="working")
    unplug(household)
    stopping = laptop.begin("interrupt", session)
    stopping.wait_for(f"not sent yet: {AWAY}")
    desk.host.plug()
    assert stopping.end(seconds=BACK) == 0
    assert running.end(seconds=BACK) == 130


class Editor:
    """`agent acp` on pipes."""

    def __init__(self, lines: Lines) -> None:
        self._lines, self._asked = lines, 0

    def begin(self, method: str, **params: object) -> int:
        self._asked += 1
        request = {"jsonrpc": "2.0", "id": self._asked, "method": method, "params": params}
        assert self._lines.process.stdin is not None
        self._lines.process.stdin.write(json.dumps(request) + "\n")
        self._lines.process.stdin.flush()
        return self._asked

    def result(self, asked: int) -> dict[str, object]:
        def found() -> list[dict[str, object]]:
            told = [json.loads(line) for line in self._lines.out]
            return [message for message in told if message.get("id") == asked and "method" not in message]

        answer = until(found, lambda: f"an answer in {self._lines.out}", seconds=BACK)[0]
        assert "result" in answer, answer
        result = answer["result"]
        assert isinstance(result, dict)
        return result


def test_a_prompt_of_an_editor_waits_and_runs_once(household: Household) -> None:
    desk, laptop = household
    session = desk.create("editor")
    laptop.wait_for_session(session)
    lines = laptop.begin("acp", session)
    editor = Editor(lines)
    editor.result(editor.begin("initialize", protocolVersion=1, clientCapabilities={}))
    editor.result(editor.begin("session/load", sessionId=session, cwd="/", mcpServers=[]))
    unplug(household)
    asked = editor.begin("session/prompt", sessionId=session, prompt=[{"type": "text", "text": "echo edited"}])
    lines.wait_for("not sent yet:")
    desk.host.plug()
    assert editor.result(asked)["stopReason"] == "end_turn"
    assert prompts(desk, session) == ["echo edited"]


def test_a_restart_of_the_own_service_while_the_device_is_away_loses_nothing(household: Household) -> None:
    desk, laptop = household
    session = desk.create("restarted here")
    laptop.wait_for_session(session)
    unplug(household)
    command = laptop.begin("prompt", session, "echo kept")
    command.wait_for(f"not sent yet: {AWAY}")
    laptop.kill()
    command.wait_for("the service on this device is out of reach")
    laptop.up()
    assert AWAY in laptop.run("prompt", "--wait", "0", "restarted here", "echo never", status=6).stderr  # R12
    desk.host.plug()
    assert command.end(seconds=BACK) == 0
    assert prompts(desk, session) == ["echo kept"]


def test_a_restart_of_the_other_service_is_waited_for(household: Household) -> None:
    desk, laptop = household
    session = desk.create("restarted there")
    laptop.wait_for_session(session)
    desk.leave()
    command = laptop.begin("prompt", session, "echo kept")
    command.wait_for("not sent yet:")
    desk.up()
    assert command.end(seconds=BACK) == 0
    assert prompts(desk, session) == ["echo kept"]


def test_a_script_is_not_cut_by_our_own_rate_limit(household: Household) -> None:  # item 14
    desk, laptop = household
    session = desk.create("script")
    laptop.wait_for_session(session)
    lines = [f"echo line {number}" for number in range(30)]
    laptop.run("attach", session, input="\n".join(lines) + "\n", timeout=120)
    assert prompts(desk, session) == lines


def test_a_prompt_that_a_restart_cut_says_so(household: Household) -> None:
    _, laptop = household
    session = laptop.create("cut")
    command = laptop.begin("prompt", session, "sleep 100")
    laptop.wait_for_session(session, status="working")
    laptop.kill()
    laptop.up()
    assert command.end(seconds=BACK) == 1
    assert any("restart" in line or "stopped" in line for line in command.err), command.err
