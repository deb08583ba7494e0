"""One log line: time, level, logger, constant text, then the fields (`extra`) as key=value. Goes to stderr."""

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


def _not_of_the_sender(record: logging.LogRecord) -> bool:
    # aiohttp logs a traceback for every connection that speaks no HTTP: whoever sends garbage would fill the disk.
    return not (record.exc_info and type(record.exc_info[1]).__module__ == "aiohttp.http_exceptions")


def set_up(level: int = logging.WARNING) -> None:
    """Log to stderr from `level` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FieldFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("aiohttp.server").addFilter(_not_of_the_sender)
