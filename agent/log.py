"""One log line: time, level, logger, constant text, then the fields (`extra`) as key=value. Goes to stderr."""

from __future__ import annotations

import logging
import re
import sys

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What an exception may quote from a peer, and a terminal must not get; lines and tabs of a traceback stay."""


class FieldFormatter(logging.Formatter):
    """Appends what was passed as `extra`, control characters escaped: names come from the network (T10)."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = _UNSAFE.sub(lambda found: repr(found.group())[1:-1], super().format(record))
        fields = " ".join(f"{key}={value!r}" for key, value in vars(record).items() if key not in _STANDARD)
        return f"{line} [{fields}]" if fields else line


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
