"""log: on a terminal its lines are in the voice of what a person is told there; for programs they have fields."""

from __future__ import annotations

import logging

from agent.log import FieldFormatter, PersonFormatter


def record(error: Exception | None = None, **fields: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "agent.trust.pairing", "levelname": "WARNING", "msg": "pairing failed"})
    vars(made).update(fields)
    made.exc_info = (type(error), error, None) if error is not None else None
    return made


def test_on_a_terminal_a_line_has_neither_logger_nor_level() -> None:
    told = PersonFormatter().format(record(host="10.0.0.7", reason="the code is wrong"))
    assert told == "agent: pairing failed: host 10.0.0.7, reason the code is wrong"


def test_what_somebody_sent_drives_no_terminal() -> None:  # T10
    told = PersonFormatter().format(record(reason="a\x1b[2Jb\nc"))
    assert "\x1b" not in told
    assert "\n" not in told


def test_an_error_is_one_line_that_says_where_there_is_more() -> None:
    told = PersonFormatter().format(record(RuntimeError("boom")))
    assert told == "agent: pairing failed: RuntimeError('boom'); LAN_AGENT_DEBUG=1 says where"


def test_for_programs_a_line_keeps_its_fields() -> None:
    machine = FieldFormatter("%(levelname)s %(name)s: %(message)s")
    assert machine.format(record(host="10.0.0.7")) == "WARNING agent.trust.pairing: pairing failed [host='10.0.0.7']"
