"""Events of backends as entries of the log: none is forgotten. What becomes of each: `test_state`, `test_bounds`."""

from __future__ import annotations

from typing import get_args

from agent.ports.backends import BackendEvent, Prompted, Tail
from agent.sessions.rules.mapping import payloads_of
from tests.cases import types_told_apart

BY_THE_SESSION = {Prompted.__name__, Tail.__name__}
"""One begins a turn, which the session itself decides; the other is shown, and no entry of the log."""


def test_every_event_of_a_backend_has_a_case() -> None:
    events = {kind.__name__ for kind in get_args(BackendEvent)}
    assert len(events) > 10
    assert types_told_apart(payloads_of) == events - BY_THE_SESSION
