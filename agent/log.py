"""One log line: time, level, logger, constant text, then the fields (`extra`) as key=value; on a terminal, plain words.

Goes to stderr, between what the service says to whoever started it.
"""

from __future__ import annotations

import logging
import sys

from agent.protocol.characters import escaped, unsafe

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class FieldFormatter(logging.Formatter):
    """Appends what was passed as `extra`, control characters escaped: names come from the network (T10)."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one line: the message, then its fields."""
        line = super().format(record)
        fields = " ".join(f"{key}={value!r}" for key, value in vars(record).items() if key not in _STANDARD)
        return unsafe.sub(lambda found: escaped(found.group()), f"{line} [{fields}]" if fields else line)


class PersonFormatter(FieldFormatter):
    """Writes a record in the voice of the lines that `agent up` says on a terminal, without logger and level."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one line: what happened, then why and where, as far as the fields say it."""
        fields = ", ".join(f"{key} {value}" for key, value in vars(record).items() if key not in _STANDARD)
        line = record.getMessage() + (f": {fields}" if fields else "")
        if record.exc_info and record.exc_info[1] is not None:
            line += f": {record.exc_info[1]!r}; LAN_AGENT_DEBUG=1 says where"
        return unsafe.sub(lambda found: escaped(found.group()), f"agent: {' '.join(line.split())}")


def _not_of_the_sender(record: logging.LogRecord) -> bool:
    # aiohttp logs a traceback for every connection that speaks no HTTP: whoever sends garbage would fill the disk.
    return not (record.exc_info and type(record.exc_info[1]).__module__ == "aiohttp.http_exceptions")


def set_up(level: int = logging.WARNING) -> None:
    """Log to stderr from `level` on: in plain words on a terminal, unless every step is wanted, else for programs."""
    handler = logging.StreamHandler(sys.stderr)
    for_people = level > logging.DEBUG and sys.stderr is not None and sys.stderr.isatty()
    machine = FieldFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S")
    handler.setFormatter(PersonFormatter() if for_people else machine)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("aiohttp.server").addFilter(_not_of_the_sender)
