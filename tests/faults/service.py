"""`python -m tests.faults.service up …`: the service, with a clock that is as wrong as a file says.

A process cannot have a wall clock of its own on Linux (time namespaces shift the monotonic clocks alone), and the
service asks for the time in one place: that one is replaced, the rest is what `agent up` runs.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from agent.clock import SystemClock
from agent.frontends.cli.main import main

FILE = "FAULTS_CLOCK"
"""The variable that names the file: seconds to add to the time. No file: none."""
LOOK = 0.1
"""Seconds between two looks at it."""

_real = SystemClock.time


class Offset:
    """What the file says."""

    def __init__(self, path: Path) -> None:
        self._path, self._seconds, self._next = path, 0.0, 0.0

    def now(self, clock: SystemClock) -> float:
        """Seconds to add."""
        if clock.monotonic() >= self._next:
            self._next = clock.monotonic() + LOOK
            with suppress(OSError, ValueError):
                self._seconds = float(self._path.read_text())
        return self._seconds


if __name__ == "__main__":
    offset = Offset(Path(os.environ[FILE]))
    SystemClock.time = lambda self: _real(self) + offset.now(self)  # type: ignore[method-assign]
    sys.exit(main())
