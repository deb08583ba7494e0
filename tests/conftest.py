"""For all tests."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["tests.agents.fixtures"]

# A script that runs the tests in the background has them ignore SIGINT, and every program that they start inherits it
# (POSIX, 2.12): nothing that waits for Ctrl-C could be tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no defect: nothing here is judged by how long it takes.
settings.register_profile("lan-agent", deadline=None)
settings.load_profile("lan-agent")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run unit tests first, to know a mistake early, then files with many slow ones first, so that none ends alone."""
    files: dict[Path, int] = {}
    for item in items:
        files[item.path] = files.get(item.path, 0) + (item.get_closest_marker("e2e") is not None)
    items.sort(key=lambda item: (files[item.path] > 0, "faults" not in item.path.parts, -files[item.path]))
