"""The server as a program of its own, so that it can run beside an agent in a network namespace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

Row = dict[str, Any]
Start = Callable[..., "subprocess.Popen[str]"]
"""Starts a program: `(words, *, stdin, stdout, env)`, text on its pipes."""

ROOT = Path(__file__).parents[2]


def here(words: list[str], **options: Any) -> subprocess.Popen[str]:
    """Start it in this network namespace."""
    return subprocess.Popen(words, text=True, **options)


class ModelProcess:
    """Runs while it is entered; its outcomes and texts are those of `Heard`, as JSON values."""

    def __init__(self, start: Start = here, *options: str) -> None:
        self._words = [sys.executable, "-m", "tests.models", *options]
        self._start = start
        self._rows: dict[int, Row] = {}
        self._changed = threading.Condition()
        self.url = ""

    def __enter__(self) -> Self:
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = self._start(self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ)
        assert self._process.stdout
        ready = self._process.stdout.readline()
        assert ready, f"{self._words} ended with {self._process.wait(10)}"
        self.url = json.loads(ready)["url"]
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._reader.join(10)
        self._process.stdout.close()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def requests(self) -> list[Row]:
        """All requests so far, oldest first; each as it stands now."""
        return [row for _, row in sorted(self._rows.items())]

    @property
    def turns(self) -> list[Row]:
        """Those that belong to conversations."""
        return [row for row in self.requests if row["turn"]]

    def release(self, name: str) -> None:
        """Let `model: wait NAME` go on, now or whenever it comes."""
        assert self._process.stdin
        self._process.stdin.write(f"release {name}\n")
        self._process.stdin.flush()

    def wait_for(self, true: Callable[[list[Row]], bool], *, seconds: float = 30.0) -> None:
        """Return as soon as that holds of the requests. Raises: TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: true(self.requests), seconds):
                raise TimeoutError(f"the model was asked {self.requests}")

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            row = json.loads(line)
            with self._changed:
                self._rows[row["number"]] = row
                self._changed.notify_all()
