"""A transcript on the terminal: no type of event is forgotten. How each looks: `test_attach` and `test_activity`."""

from __future__ import annotations

import pytest

from agent.client.view import SessionView
from agent.frontends.cli.output import Printer
from agent.frontends.cli.screen import SplitScreen
from agent.frontends.cli.transcript import TranscriptPrinter
from agent.protocol.events import TYPES, Other, Payload, SessionInfo, TurnComplete, UserMessage, make_event
from agent.protocol.model import DeviceId, Sender
from tests.cases import types_told_apart

NOT_SHOWN = {Other.__name__}
"""What a backend said that has no name: kept in the log, for `--json`."""


def test_every_type_of_event_is_printed_or_left_out_on_purpose() -> None:
    assert types_told_apart(TranscriptPrinter.show) == {kind.__name__ for kind in TYPES.values()} - NOT_SHOWN


def printed(*payloads: Payload, capsys: pytest.CaptureFixture[str]) -> list[str]:
    screen = SplitScreen(Printer(environ={}), lively=True)
    transcript = TranscriptPrinter(screen)
    view = SessionView()
    for seq, payload in enumerate(payloads, 1):
        transcript.show(view.entry(make_event(seq, payload, 0.0)))
    return capsys.readouterr().out.splitlines()


def test_why_a_session_ended_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:  # S14
    over = "the session has ended: exit status 3"
    info = SessionInfo(status="ended", note="exit status 3")
    turn = TurnComplete(turn=1, status="error", exit_status=3, error=over)
    assert printed(turn, info, capsys=capsys) == [f"-- failed: {over}"]
    assert printed(info, capsys=capsys) == [f"-- {over}"]
    done = TurnComplete(turn=1, status="complete", exit_status=0)
    assert printed(done, info, capsys=capsys) == ["-- done · exit 0", f"-- {over}"]
    assert printed(SessionInfo(note="back"), capsys=capsys) == ["-- back"]


def test_a_prompt_that_never_began_as_its_session_ended_is_named(capsys: pytest.CaptureFixture[str]) -> None:  # S14
    sender = Sender(device=DeviceId("abcdefghijklmnop"), name="laptop")
    waits = UserMessage(turn=2, prompt_id="p2", text="make test", sender=sender, queued=True)
    over = TurnComplete(turn=1, status="error", error="the session has ended: exit")
    unrun = TurnComplete(turn=2, status="error", error="the session ended before it ran (exit)")
    info = SessionInfo(status="ended", note="exit")
    assert printed(waits, over, unrun, info, capsys=capsys) == [
        "[laptop] make test (queued)",
        "-- failed: the session has ended: exit",
        '-- failed: the session ended before it ran (exit) · "make test"',
    ]
