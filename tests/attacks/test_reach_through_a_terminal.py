"""A program in a terminal session wants to drive the terminals of those who did not ask for it (threat T4, asset A6).

Expected: control sequences go to who said `--raw` and to nobody else; whoever may only watch types nothing.
"""

from __future__ import annotations

import re

import pytest

from tests.attacks.conftest import Scene
from tests.attacks.test_fool_the_viewer import EVIL, FORBIDDEN, on_a_terminal
from tests.e2e.device import Wire, until

pytestmark = pytest.mark.device

PROGRAM = f"while read x; do printf '<{''.join(EVIL.values())}>\\n'; done"


def test_without_raw_no_control_sequence_of_a_terminal_session_reaches_a_viewer(everyone: Scene) -> None:
    """Attack: a program answers a prompt with every sequence there is. Expected: text, as from any other session."""
    desk, laptop = everyone.desk, everyone.laptop
    session = desk.line("new", "--backend", "terminal", "--", "sh", "-c", f"stty -echo; {PROGRAM}")
    laptop.wait_for_session(session)
    for command in (("prompt", session, "go"), ("log", session)):
        shown = on_a_terminal(everyone, *command)
        assert "click" in shown
        assert not FORBIDDEN & set(re.sub(r"\x1b\[[0-9;]*m|\r(?=\n)", "", shown))  # colours of our own
    desk.run("close", session)


def test_who_may_only_watch_a_terminal_types_nothing(everyone: Scene) -> None:
    """Attack: a device that may only watch types and resizes. Expected: refused, and the program hears nothing."""
    desk, laptop = everyone.desk, everyone.laptop
    session = desk.line("new", "--backend", "terminal", "--", "cat")
    laptop.wait_for_session(session)
    desk.run("share", session, "read-only")
    until(lambda: laptop.sessions()[session]["share"] == "read-only", "the laptop to hear of it")
    with Wire(laptop) as wire:
        attached = wire.call("terminal.attach", session_id=session, rows=5, cols=5)
        assert (attached["rows"], attached["cols"]) == (24, 80)
        for method, params in (("terminal.input", {"data": "cm0K"}), ("terminal.resize", {"rows": 5, "cols": 5})):
            with pytest.raises(Exception, match="only be watched"):
                wire.call(method, session_id=session, **params)
        assert wire.notes("terminal.resized") == []
        assert wire.notes("terminal.output") == []
    desk.run("close", session)
