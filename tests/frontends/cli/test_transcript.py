"""A transcript on the terminal: no type of event is forgotten. How each looks: `test_attach` and `test_activity`."""

from __future__ import annotations

from agent.frontends.cli.transcript import TranscriptPrinter
from agent.protocol.events import TYPES, Other
from tests.cases import types_told_apart

NOT_SHOWN = {Other.__name__}
"""What a backend said that has no name: kept in the log, for `--json`."""


def test_every_type_of_event_is_printed_or_left_out_on_purpose() -> None:
    assert types_told_apart(TranscriptPrinter.show) == {kind.__name__ for kind in TYPES.values()} - NOT_SHOWN
